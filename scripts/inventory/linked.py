"""What is linked into chr-node for one target and set of features.

Three sources, each the one that decides: `cargo tree` for our own crates (it
resolves features as the build does), the same for the standard library (which
is built from source, with crates of its own), and this file for what is C:
LMDB, the cryptography of BoringSSL within ring, and what zig links for us.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Wrong(Exception):
    """What is wrong, for the one who runs the script."""


class Parser(argparse.ArgumentParser):
    """A command line whose mistakes are told in one line, as the other scripts do."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


class Part:
    """A crate, or a library in another language."""

    def __init__(self, name, version, licence, folder, **more):
        self.name = name
        self.version = version
        self.licence = licence  # an SPDX expression
        self.folder = pathlib.Path(folder)
        self.origin = more.get("origin", "crate")  # program, crate, std, or c
        self.checksum = more.get("checksum")  # SHA-256 of the .crate
        self.repository = more.get("repository")
        self.authors = more.get("authors", [])
        self.about = more.get("about")
        # Files with the licence's text; None: look for them in the folder.
        self.texts = more.get("texts")
        self.needs = set()  # ids of other parts

    @property
    def id(self):
        """What tells it from all other parts."""
        return f"{self.name}@{self.version}"


def _run(words, **more):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **more)
    if done.returncode != 0:
        told = [line.strip() for line in done.stderr.splitlines() if line.startswith("error")]
        raise Wrong(f"{' '.join(words[:2])}: {'; '.join(told) or done.stderr.strip() or done.returncode}")
    return done.stdout


def _cargo():
    return os.environ.get("CARGO", "cargo")


def _tree(manifest, words, target, env=None):
    """[(depth, name, version)] in the order of cargo tree."""
    lines = _run(
        [_cargo(), "tree", "--locked", "--quiet", "--manifest-path", str(manifest), *words]
        + ["--edges", "normal,no-proc-macro", "--target", target, "--prefix", "depth", "--format", "{p}"],
        env=env,
    ).splitlines()
    found = []
    for line in lines:
        if not line:
            continue
        match = re.match(r"(\d+)(\S+) v(\S+)", line)
        if not match:
            raise Wrong(f"cargo tree said what this script does not understand: {line}")
        found.append((int(match[1]), match[2], match[3]))
    return found


def _details(manifest, target, env=None):
    """Cargo's own words on each package that any features could bring."""
    text = _run(
        [_cargo(), "metadata", "--locked", "--quiet", "--format-version", "1", "--manifest-path", str(manifest)]
        + ["--all-features", "--filter-platform", target],
        env=env,
    )
    return {(p["name"], p["version"]): p for p in json.loads(text)["packages"]}


def _checksums(lock):
    packages = tomllib.loads(pathlib.Path(lock).read_text())["package"]
    return {(p["name"], p["version"]): p.get("checksum") for p in packages}


def _parts(manifest, lock, words, target, origin, env=None):
    details, checksums = _details(manifest, target, env), _checksums(lock)
    parts, above = {}, []
    for depth, name, version in _tree(manifest, words, target, env):
        about = details[(name, version)]
        part = parts.get((name, version))
        if part is None:
            part = parts[(name, version)] = Part(
                name,
                version,
                about["license"],
                pathlib.Path(about["manifest_path"]).parent,
                origin=origin,
                checksum=checksums.get((name, version)),
                repository=about["repository"],
                authors=about["authors"],
                about=about["description"],
            )
        del above[depth:]
        if above:
            above[-1].needs.add(part.id)
        above.append(part)
    return list(parts.values())


def _program(target, features, defaults):
    words = [] if defaults else ["--no-default-features"]
    if features:
        words += ["--features", features]
    parts = _parts(ROOT / "Cargo.toml", ROOT / "Cargo.lock", words, target, "crate")
    parts[0].origin = "program"
    parts[0].texts = [ROOT / "LICENSE-MIT"]
    return parts


def std_source():
    """Where the source of the standard library is, or None."""
    named = os.environ.get("RUST_STD_SOURCE")
    places = [named] if named else ["/usr/lib/rustlib/src/rust"]
    if not named:
        sysroot = subprocess.run(["rustc", "--print", "sysroot"], stdout=subprocess.PIPE, text=True, check=False)
        places.append(sysroot.stdout.strip() + "/lib/rustlib/src/rust")
    for place in map(pathlib.Path, places):
        if (place / "library/Cargo.lock").is_file():
            return place
    return None


# What cargo builds the library with unless told otherwise, but for `default`: that is
# taken anyway where the crate has it, and std of 1.96 has none.
STD_FEATURES = "panic-unwind,backtrace"
_ASK_FLAGS = 'CROSS_COMPILER=debian; . "$1/scripts/cross/flags.sh"; flags_for "$2" "$3"; echo "${CARGO_UNSTABLE_BUILD_STD_FEATURES-}"'


def _std_features(target, profile):
    """The features that scripts/cross-build has the library built with."""
    told = _run(["bash", "-euc", _ASK_FLAGS, "flags", str(ROOT), target, profile]).strip()
    return told or STD_FEATURES


def _std(target, profile):
    """The standard library as one part, and each crate that it brings."""
    source = std_source()
    if source is None:
        raise Wrong(
            "the standard library's source is not here, so what it brings cannot be listed;"
            " run scripts/cross-build once (or: apt-get install rust-web-src), or say --without-std"
        )
    library = source / "library"
    # Its manifests use what only a nightly compiler, or one told so, knows.
    env = dict(os.environ, RUSTC_BOOTSTRAP="1")
    words = ["--package", "std", "--features", _std_features(target, profile)]
    found = _parts(library / "Cargo.toml", library / "Cargo.lock", words, target, "std", env)
    own = {p.id for p in found if not p.checksum}
    std = Part(
        "rust-std",
        _rust_version(source),
        "Apache-2.0 OR MIT",
        source,
        origin="std",
        repository="https://github.com/rust-lang/rust",
        authors=["The Rust Project Contributors"],
        about="Rust's standard library: core, alloc, std, compiler-builtins, panic and unwind",
        texts=[source / "COPYRIGHT"],
    )
    crates = [p for p in found if p.checksum]
    for part in crates:
        part.needs -= own
    std.needs = {p.id for p in crates}
    return [std, *crates]


def _rust_version(source):
    """Debian's source says its version; that of rustup is its compiler's."""
    told = source / "src/version"
    if told.is_file():
        return told.read_text().strip()
    return _run([os.environ.get("RUSTC", "rustc"), "--version"]).split()[1]


def _lmdb(crate):
    source = crate.folder / "lmdb/libraries/liblmdb"
    text = (source / "lmdb.h").read_text(errors="replace")
    numbers = [re.search(rf"#define MDB_VERSION_{n}\s+(\d+)", text) for n in ("MAJOR", "MINOR", "PATCH")]
    if not all(numbers):
        raise Wrong(f"{source}/lmdb.h: no version found")
    return Part(
        "lmdb",
        ".".join(n[1] for n in numbers),
        "OLDAP-2.8",
        source,
        origin="c",
        repository="https://git.openldap.org/openldap/openldap",
        authors=["Howard Chu", "Symas Corp."],
        about=f"The store's database, in C; its source comes in the crate {crate.name} {crate.version}",
        texts=[source / "COPYRIGHT", source / "LICENSE"],
    )


def _boringssl(ring):
    return Part(
        "ring-c-and-assembly",
        ring.version,
        "Apache-2.0 AND ISC",
        ring.folder,
        origin="c",
        repository=ring.repository,
        authors=["the BoringSSL authors", "the fiat-crypto authors"],
        about="Ciphers, hashes and curves in C and assembly, of BoringSSL and fiat-crypto; within the crate ring",
        texts=[ring.folder / n for n in ("LICENSE-BoringSSL", "LICENSE-other-bits", "third_party/fiat/LICENSE")],
    )


def _zig(target, folder):
    """What zig links besides what it is given (scripts/cross-build)."""
    if not (folder / "lib/libunwind").is_dir():
        raise Wrong(f"{folder} is not zig's: no lib/libunwind there")
    version = _run([str(folder / "zig"), "version"]).strip()

    def part(name, licence, texts, about):
        return Part(
            name, f"zig-{version}", licence, folder, origin="c", about=about, texts=[folder / t for t in texts],
            repository="https://codeberg.org/ziglang/zig", authors=[f"the authors of {name}, as in zig {version}"],
        )

    yield part(
        "compiler-rt", "MIT AND Apache-2.0 WITH LLVM-exception", ["LICENSE", "lib/libunwind/LICENSE.TXT"],
        "zig's own compiler-rt: arithmetic that the CPU lacks",
    )
    yield part(
        "libunwind", "Apache-2.0 WITH LLVM-exception", ["lib/libunwind/LICENSE.TXT"], "LLVM's unwinder, of panics",
    )
    if "-musl" in target:
        yield part("musl", "MIT", ["lib/libc/musl/COPYRIGHT"], "The C library, linked statically")


def zig_folder():
    """Where scripts/cross-build keeps zig, or None if it has not installed any."""
    cache = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    places = [os.environ.get("CHR_CROSS_DIR"), cache + "/chr-node-cross", str(ROOT / "target/cross"), "/opt/rust-cross"]
    for place in filter(None, places):
        found = sorted(pathlib.Path(place).glob("venv/lib/python3*/site-packages/ziglang"))
        if found:
            return found[0]
    return None


def linked(target, features="", defaults=True, profile="release", std=True, zig=None):
    """All parts, the program first, the others by name and version.

    `std`: whether to list what the standard library brings.
    `zig`: the folder of the zig that linked it; None if the system's compiler did.
    """
    parts = _program(target, features, defaults)
    program, crates = parts[0], {p.name: p for p in parts}
    more = []
    for name, make in (("lmdb-master-sys", _lmdb), ("ring", _boringssl)):
        if name in crates:
            part = make(crates[name])
            crates[name].needs.add(part.id)
            more.append(part)
    base = []
    if std:
        base = _std(target, profile)
        program.needs.add(base[0].id)
        more += base
    if zig:
        runtime = list(_zig(target, pathlib.Path(zig)))
        (base[0] if base else program).needs |= {p.id for p in runtime}
        more += runtime
    seen = {p.id: p for p in parts}
    for part in more:
        # std may bring the very version of a crate that we have, too.
        if part.id in seen:
            seen[part.id].needs |= part.needs
        else:
            seen[part.id] = part
    rest = [p for p in seen.values() if p is not program]
    return [program, *sorted(rest, key=lambda p: (p.name, p.version))]


def arguments(parser):
    """The options that say which build is meant."""
    parser.add_argument("--target", metavar="TARGET", help="Rust's name, such as aarch64-unknown-linux-musl; default: this machine's")
    parser.add_argument("--features", default="", metavar="LIST", help="features besides the default ones")
    parser.add_argument("--no-default-features", action="store_true", help="the router build")
    parser.add_argument("--profile", default="release", choices=["release", "small"], help="cargo's profile [release]")
    parser.add_argument("--without-std", action="store_true", help="leave out what Rust's standard library brings")
    parser.add_argument(
        "--zig", metavar="DIR", help="the folder of the zig that links; 'none' for the system's linker;"
        " default: the one that scripts/cross-build uses, if it is there",
    )


def of(options):
    """The parts that the options of `arguments` mean."""
    if not options.target:
        told = _run([os.environ.get("RUSTC", "rustc"), "--version", "--verbose"])
        options.target = re.search(r"^host: (.*)$", told, re.MULTILINE)[1]
    zig = zig_folder() if options.zig is None else None if options.zig == "none" else pathlib.Path(options.zig)
    return linked(
        options.target, options.features, not options.no_default_features, options.profile, not options.without_std, zig
    )


def main(name, work):
    """Runs `work`; tells in one line what went wrong."""
    try:
        work()
    except Wrong as error:
        told = str(error)
    except OSError as error:
        told = f"{error.filename}: {error.strerror}"
    else:
        return
    print(f"{name}: {told}", file=sys.stderr)
    sys.exit(1)
