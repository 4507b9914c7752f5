"""A CycloneDX list of everything that is linked into one build.

The same build gives the same bytes: the serial number is made of the content,
the time is SOURCE_DATE_EPOCH.
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import uuid

import licences
import linked
from linked import ROOT, Wrong

# Where serial numbers come from (RFC 9562, version 5): any fixed value would do.
NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
# A chr-node that names a crate in a message says where it lies: scripts/reproducible.sh
# has cut that down to this.
TRACE = re.compile(rb"/crates/([A-Za-z0-9_-]+?)-(\d+\.\d+\.\d+[0-9A-Za-z.+-]*)/")


def _licence(expression):
    # Cargo's old form of OR.
    return expression.replace("/", " OR ")


def _component(part):
    """One entry of `components`."""
    crate = part.checksum is not None
    entry = {
        "type": "application" if part.origin == "program" else "library",
        "bom-ref": part.id,
        "name": part.name,
        "version": part.version,
    }
    if part.authors:
        entry["authors"] = [{"name": a} for a in part.authors]
    if part.about:
        entry["description"] = " ".join(part.about.split())
    if part.origin != "program":
        entry["scope"] = "required"
    if crate:
        entry["hashes"] = [{"alg": "SHA-256", "content": part.checksum}]
    entry["licenses"] = [{"expression": _licence(part.licence)}]
    if crate:
        entry["purl"] = f"pkg:cargo/{part.name}@{part.version.replace('+', '%2B')}"
    elif part.origin == "std":
        entry["purl"] = f"pkg:github/rust-lang/rust@{part.version}"
    if part.repository:
        entry["externalReferences"] = [{"type": "vcs", "url": part.repository}]
    language = "C" if part.origin == "c" else "Rust"
    entry["properties"] = [{"name": "chr-node:language", "value": language}]
    if part.origin == "std" and crate:
        entry["properties"].append({"name": "chr-node:comes-with", "value": "Rust's standard library"})
    return entry


def moment():
    """SOURCE_DATE_EPOCH, or the time of the last commit."""
    told = os.environ.get("SOURCE_DATE_EPOCH")
    if not told:
        done = subprocess.run(
            ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"], stdout=subprocess.PIPE, text=True, check=False
        )
        told = done.stdout.strip() or "0"
    if not told.isdigit():
        raise Wrong(f"SOURCE_DATE_EPOCH is {told}: it must be a number of seconds")
    time = datetime.datetime.fromtimestamp(int(told), datetime.timezone.utc)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def document(parts, options):
    """The list as a dictionary."""
    program = parts[0]
    for part in parts:
        licences.choose(part)
    about = _component(program)
    about["properties"] += [
        {"name": "chr-node:target", "value": options.target},
        {"name": "chr-node:default-features", "value": str(not options.no_default_features).lower()},
        {"name": "chr-node:features", "value": options.features},
        {"name": "chr-node:profile", "value": options.profile},
    ]
    if options.binary:
        digest = hashlib.sha256(pathlib.Path(options.binary).read_bytes()).hexdigest()
        about["hashes"] = [{"alg": "SHA-256", "content": digest}]
    known = {p.id for p in parts}
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": moment(),
            "lifecycles": [{"phase": "build"}],
            "tools": {
                "components": [{"type": "application", "name": "scripts/sbom of chr-node", "version": program.version}]
            },
            "component": about,
        },
        "components": [_component(p) for p in parts[1:]],
        "dependencies": [
            {"ref": p.id, "dependsOn": sorted(p.needs & known)} if p.needs & known else {"ref": p.id} for p in parts
        ],
        # Nothing is linked that is not listed; --without-std cannot say so.
        "compositions": [
            {"aggregate": "incomplete" if options.without_std else "complete", "assemblies": [program.id]}
        ],
    }
    text = json.dumps(bom, sort_keys=True)
    bom["serialNumber"] = f"urn:uuid:{uuid.uuid5(NAMESPACE, text)}"
    return bom


def compare(parts, binary):
    """Every crate that the program's own messages name must be on the list."""
    known = {p.id for p in parts}
    data = pathlib.Path(binary).read_bytes()
    seen = {f"{m[1].decode()}@{m[2].decode()}" for m in TRACE.finditer(data)}
    if seen - known:
        raise Wrong(
            f"{binary} has code of {', '.join(sorted(seen - known))}, which the list lacks:"
            " was it built with other features, or from another commit?"
        )
    return len(seen)


def main():
    """The command line."""
    parser = linked.Parser(
        prog="scripts/sbom",
        description="Writes a CycloneDX 1.6 list (JSON) of everything that is linked into chr-node.",
        epilog="The time is SOURCE_DATE_EPOCH, or that of the last commit.",
    )
    linked.arguments(parser)
    parser.add_argument(
        "--binary", metavar="FILE",
        help="the program that was built: its hash is written down, and the crates that its messages name are looked for in the list",
    )
    parser.add_argument("out", metavar="OUT", help="the file to write; - for standard output")
    options = parser.parse_args()
    parts = linked.of(options)
    if options.binary:
        compare(parts, options.binary)
    text = json.dumps(document(parts, options), indent=1, sort_keys=True) + "\n"
    if options.out == "-":
        print(text, end="")
    else:
        new = pathlib.Path(options.out + ".new")
        new.write_text(text)
        new.replace(options.out)


if __name__ == "__main__":
    linked.main("scripts/sbom", main)
