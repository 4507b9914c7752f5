"""The licences of everything that is linked, with their texts.

A part whose licence is not on the list below, or that comes without the text
of its licence, is an error: somebody has to look before it is shipped.
"""

import os
import pathlib
import re

import linked
from linked import ROOT, Wrong

# What may be linked into a program under MIT without a duty beyond keeping the
# text, in the order of preference where a part offers a choice. The name is
# SPDX's, the words are what its text has in it and no other of these has.
ALLOWED = {
    "MIT": "permission is hereby granted, free of charge",
    "ISC": "permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted, provided",
    "0BSD": "permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted. the software",
    "BSD-2-Clause": "redistribution and use in source and binary forms, with or without modification, are permitted",
    "BSD-3-Clause": "names of its contributors may be used to endorse|name of the copyright holder nor|neither the name of",
    "Zlib": "this notice may not be removed or altered from any source distribution",
    "Unlicense": "this is free and unencumbered software released into the public domain",
    "Apache-2.0": "apache license",
    "Apache-2.0 WITH LLVM-exception": "llvm exceptions",
    "OLDAP-2.8": "openldap public license",
}
# Looked at: these name their licence and its holders in Cargo.toml or a
# COPYRIGHT file, but carry no text, so the standard one is printed with that.
# The crates of heed leave the file out of what they upload; the standard
# library's is outside of the folder that Debian ships.
NO_TEXT = {"heed", "heed-traits", "heed-types", "lmdb-master-sys", "rust-std"}

FILE = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)


def _words(expression):
    return re.findall(r"\(|\)|[^\s()/]+|/", expression.replace("/", " / "))


def choices(expression):
    """[{licences that must all be kept}] of an SPDX expression, one for each choice."""
    words = _words(expression)

    def either():
        found = both()
        while words and words[0] in ("OR", "/"):
            words.pop(0)
            found = found + both()
        return found

    def both():
        found = one()
        while words and words[0] == "AND":
            words.pop(0)
            other = one()
            found = [a | b for a in found for b in other]
        return found

    def one():
        if not words:
            raise Wrong(f"not a licence expression: {expression}")
        word = words.pop(0)
        if word == "(":
            found = either()
            if not words or words.pop(0) != ")":
                raise Wrong(f"not a licence expression: {expression}")
            return found
        if words and words[0] == "WITH":
            word = f"{word} WITH {words[1]}"
            del words[:2]
        return [frozenset([word])]

    found = either()
    if words:
        raise Wrong(f"not a licence expression: {expression}")
    return found


def choose(part):
    """The licences under which a part is passed on."""
    if not part.licence:
        raise Wrong(f"{part.id} names no licence: {part.folder}")
    order = list(ALLOWED)
    allowed = [c for c in choices(part.licence) if c <= set(order)]
    if not allowed:
        raise Wrong(
            f"{part.id} is under {part.licence}, which is not on the list of"
            " scripts/inventory/licences.py: look at it, then add it there or drop the crate"
        )
    return min(allowed, key=lambda c: (len(c), sorted(map(order.index, c))))


def _plain(text):
    """Words alone: some texts stand in comments, and all break lines elsewhere."""
    lines = (re.sub(r"^\s*(//+|#+|\*+)\s*", "", line) for line in text.lower().splitlines())
    return " ".join(" ".join(lines).split())


def _fits(licence, text):
    return any(words in text for words in ALLOWED[licence].split("|"))


def _files(part):
    if part.texts is not None:
        return part.texts
    found = []
    for folder, folders, names in os.walk(part.folder):
        folders[:] = sorted(f for f in folders if f not in ("lmdb", "tests", "benches", "examples"))
        # The folder is REUSE's, with files named after their licences.
        named = pathlib.Path(folder).name == "LICENSES"
        found += [pathlib.Path(folder) / n for n in sorted(names) if named or FILE.search(n)]
    # Code may have such a word in its name, too.
    return [f for f in found if f.suffix not in (".rs", ".py", ".go", ".toml", ".json", ".sh")]


def texts(part, standard):
    """[text] of the licences chosen, and of notices beside them."""
    chosen, found, missing = choose(part), [], None
    missing = set(chosen)
    for file in _files(part):
        try:
            text = file.read_text(errors="replace").strip()
        except FileNotFoundError as error:
            raise Wrong(f"{part.id}: the licence's text is gone: {error.filename}") from error
        plain = _plain(text)
        fits = {a for a in ALLOWED if _fits(a, plain)}
        # Whatever is no text of a licence that was not chosen is a notice: kept.
        if fits & chosen or not fits or part.origin == "c" or len(chosen) > 1:
            found.append(text)
        missing -= fits
    if missing and part.name in NO_TEXT:
        holders = ", ".join(part.authors) or f"the authors of {part.name}"
        for licence in sorted(missing):
            found.append(f"Copyright (c) {holders}\n\n{standard[licence]}")
        missing = set()
    if missing:
        raise Wrong(
            f"{part.id}: no text of {' and '.join(sorted(missing))} in {part.folder}:"
            " look for it, then add the crate to NO_TEXT in scripts/inventory/licences.py, with the reason"
        )
    return found


def _standard(parts):
    """Texts without a holder's name, for those that carry none."""
    mit = (ROOT / "LICENSE-MIT").read_text()
    body = mit[mit.index("Permission is hereby granted") :].strip()
    for part in parts:
        if part.origin not in ("crate", "std"):
            continue
        for file in _files(part):
            text = file.read_text(errors="replace").strip() if file.is_file() else ""
            if text.startswith("Apache License") and "APPENDIX" not in text and "END OF TERMS" in text:
                return {"MIT": body, "Apache-2.0": text}
            if text.startswith("Apache License") and "END OF TERMS AND CONDITIONS" in text:
                cut = text.index("END OF TERMS AND CONDITIONS") + len("END OF TERMS AND CONDITIONS")
                return {"MIT": body, "Apache-2.0": text[:cut]}
    return {"MIT": body}


def document(parts, target):
    """LICENSES.txt."""
    standard = _standard(parts)
    numbers, users, order = {}, {}, []
    rows = []
    for part in parts:
        own = []
        for text in texts(part, standard):
            key = _plain(text)
            if key not in numbers:
                numbers[key] = len(numbers) + 1
                order.append(text)
            number = numbers[key]
            if number not in own:
                own.append(number)
                users.setdefault(number, []).append(part.id.replace("@", " "))
        rows.append((part, " AND ".join(sorted(choose(part))), own))
    program = parts[0]
    out = [
        f"Licences of chr-node {program.version} and of all that is linked into it, for {target}",
        "",
        "Where a part leaves the choice between licences, the one named here was taken.",
        "Numbers are those of the texts below.",
        "",
    ]
    width = max(len(p.id) for p, _, _ in rows)
    for part, chosen, own in rows:
        out.append(f"{part.id.replace('@', ' '):{width}}  {chosen}  [{', '.join(map(str, own))}]")
    for number, text in enumerate(order, 1):
        out += ["", "=" * 72, f"[{number}] {', '.join(users[number])}", "=" * 72, ""]
        out += [line.rstrip() for line in text.splitlines()]
    return "\n".join(out) + "\n"


def main():
    """The command line."""
    parser = linked.Parser(
        prog="scripts/licences",
        description="Writes the licences of all that is linked into chr-node, with their texts.",
        epilog="Fails when a part's licence is not on the list of allowed ones, or its text is missing.",
    )
    linked.arguments(parser)
    parser.add_argument("out", metavar="OUT", help="the file to write; - for standard output")
    options = parser.parse_args()
    parts = linked.of(options)
    text = document(parts, options.target)
    if options.out == "-":
        print(text, end="")
    else:
        new = pathlib.Path(options.out + ".new")
        new.write_text(text)
        new.replace(options.out)


if __name__ == "__main__":
    linked.main("scripts/licences", main)
