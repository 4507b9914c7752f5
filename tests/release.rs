//! scripts/release and what it calls, with a program that is there already: the
//! folder, its checksums and signature, the list of what is linked, licences, the
//! table of sizes. That two builds are equal is shown by
//! `scripts/release --verify-reproducible`: it builds everything twice.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::tools::{find_or_skip, run, Ran};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Packing a debug program on a loaded machine.
const LONG: Duration = Duration::from_secs(300);
/// What a release is made of, besides scripts/ itself.
const WANTED: &[&str] = &[
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "configs",
    "examples",
    "scripts",
    "src",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Rust's name of this machine, with the C library that its releases are built for.
fn unit() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

fn sh(folder: &Path, script: &str) -> Ran {
    run(
        Command::new("bash")
            .args(["-c", script])
            .current_dir(folder),
        LONG,
    )
}

/// A committed copy of this checkout in a folder of its own, so that its state is
/// the test's alone; and the program of this build.
struct Checkout {
    folder: tempfile::TempDir,
}

impl Checkout {
    /// `None`, with a word about it, where something is missing.
    fn new() -> Option<Checkout> {
        for tool in ["git", "python3", "bash"] {
            find_or_skip(tool)?;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tree")).unwrap();
        for name in WANTED {
            let copied = Command::new("cp")
                .arg("-r")
                .arg(root().join(name))
                .arg(folder.path().join("tree"))
                .status()
                .unwrap();
            assert!(copied.success(), "{name}");
        }
        let checkout = Checkout { folder };
        let made = checkout.sh("git init -q . && git add -A && \
             git -c user.name=Test -c user.email=test@localhost commit -q -m 'As it is'");
        assert_eq!(made.code, 0, "{}", made.err);
        Some(checkout)
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    /// Where a release goes: beside the checkout.
    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sh(&self, script: &str) -> Ran {
        sh(&self.tree(), script)
    }

    /// `scripts/release --quick` of this build's program into `out`; `before` is
    /// what the shell does first.
    fn release(&self, before: &str, out: &Path, more: &str) -> Ran {
        self.sh(&format!(
            "{before} scripts/release --quick --binary {}={} --out {} {more}",
            unit(),
            env!("CARGO_BIN_EXE_chr-node"),
            out.display()
        ))
    }

    /// A key without password: the secret one's file and the public one's.
    fn key(&self) -> Option<(PathBuf, PathBuf)> {
        find_or_skip("minisign")?;
        let (secret, public) = (self.out("test.key"), self.out("test.pub"));
        let made = self.sh(&format!(
            "minisign -G -W -s {} -p {}",
            secret.display(),
            public.display()
        ));
        assert_eq!(made.code, 0, "{}", made.err);
        Some((secret, public))
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[track_caller]
fn complains(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, code, "{}{}", ran.out, ran.err);
    let last = ran.err.lines().last().unwrap_or_default();
    for word in words {
        assert!(last.contains(word), "no {word:?} in: {}", ran.err);
    }
}

/// `NAME@VERSION` of every crate that cargo links for a target.
fn crates(target: &str, more: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--prefix", "none", "--format", "{p}"])
        .args(["--edges", "normal,no-proc-macro", "--target", target])
        .args(more)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let found: BTreeSet<String> = text
        .lines()
        .map(|line| {
            let mut words = line.split(' ');
            let name = words.next().unwrap();
            format!(
                "{name}@{}",
                words.next().unwrap().strip_prefix('v').unwrap()
            )
        })
        .collect();
    assert!(found.len() > 60, "{found:?}");
    found
}

/// Whether the standard library's source is here, which a release lists.
fn std_source_or_skip() -> Option<()> {
    let sysroot = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
        .unwrap_or_default();
    let found = ["/usr", &sysroot]
        .iter()
        .any(|p| Path::new(&format!("{p}/lib/rustlib/src/rust/library/Cargo.lock")).is_file());
    if !found {
        eprintln!("skipped: no source of the standard library (scripts/cross-build --setup)");
    }
    found.then_some(())
}

/// The list of what is linked, without the standard library: its source is not
/// on every machine that runs tests.
fn sbom(target: &str, more: &str) -> Value {
    let ran = sh(
        root(),
        &format!("scripts/sbom --without-std --zig none --target {target} {more} -"),
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

#[test]
fn a_release_is_whole_signed_and_the_same_twice() {
    let Some(checkout) = Checkout::new() else {
        return;
    };
    let (Some((secret, public)), Some(())) = (checkout.key(), std_source_or_skip()) else {
        return;
    };
    let out = checkout.out("release");
    let sign = format!("--key {}", secret.display());
    let ran = checkout.release("", &out, &sign);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.out.trim(), out.display().to_string());

    let version = format!("{}-quick", env!("CARGO_PKG_VERSION"));
    let name = format!("chr-node-{version}-{}", unit());
    let files = [
        "BUILD.txt",
        "SHA256SUMS",
        "SHA256SUMS.minisig",
        &name,
        &format!("{name}.cdx.json"),
        &format!("{name}.tar.gz"),
    ];
    assert_eq!(names(&out), files.map(str::to_owned).into());
    let sums = sh(&out, "sha256sum -c SHA256SUMS");
    assert_eq!(sums.code, 0, "{}", sums.err);
    assert_eq!(sums.out.lines().count(), files.len() - 2, "{}", sums.out);
    assert_eq!(
        fs::read(out.join(&name)).unwrap(),
        fs::read(env!("CARGO_BIN_EXE_chr-node")).unwrap()
    );

    // What is in the archive, and that its files are the release's.
    let unpacked = checkout.out("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let tar = sh(
        &unpacked,
        &format!("tar xzf {}", out.join(format!("{name}.tar.gz")).display()),
    );
    assert_eq!(tar.code, 0, "{}", tar.err);
    let folder = unpacked.join(&name);
    for file in ["README.md", "LICENSE-MIT", "LICENSES.txt", "CHANGELOG.md"] {
        assert!(folder.join(file).is_file(), "{file}");
    }
    assert_eq!(
        names(&folder.join("configs")),
        names(&root().join("configs"))
    );
    let said = sh(&folder, "./chr-node --version");
    assert_eq!(
        said.out,
        format!("chr-node {}\n", env!("CARGO_PKG_VERSION"))
    );

    // The list names the program that it is about.
    let list = fs::read_to_string(out.join(format!("{name}.cdx.json"))).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    let hash = text(&list["metadata"]["component"]["hashes"][0], "content").to_owned();
    assert!(fs::read_to_string(out.join("SHA256SUMS"))
        .unwrap()
        .contains(&format!("{hash}  {name}\n")));

    let verify = format!("minisign -V -p {} -m SHA256SUMS", public.display());
    let good = sh(&out, &verify);
    assert_eq!(good.code, 0, "{}", good.err);
    let commit = checkout.sh("git rev-parse HEAD").out;
    assert!(
        good.out
            .contains(&format!("chr-node {version} commit {}", commit.trim())),
        "{}",
        good.out
    );

    // Again, where other things are the default: nothing of that may be seen.
    let again = checkout.out("again");
    let elsewhere = "export TZ=Asia/Tokyo LANG=de_DE.UTF-8 USER=other; umask 077;";
    let ran = checkout.release(elsewhere, &again, &sign);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let compare = format!(
        "python3 scripts/inventory/compare.py {} {}",
        out.display(),
        again.display()
    );
    let ran = checkout.sh(&compare);
    assert_eq!(ran.code, 0, "{}", ran.err);

    // One bit, in a program or in the checksums, is told.
    flip(&out.join(&name), 5000);
    assert_eq!(sh(&out, "sha256sum --quiet -c SHA256SUMS").code, 1);
    let ran = checkout.sh(&compare);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(
        ran.err
            .contains(&format!("differs: {name}: byte 5000, section .")),
        "{}",
        ran.err
    );
    flip(&out.join("SHA256SUMS"), 3);
    assert_ne!(sh(&out, &verify).code, 0);
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn what_is_wrong_is_told_before_anything_is_made() {
    let Some(checkout) = Checkout::new() else {
        return;
    };
    let out = checkout.out("release");
    let here = |more: &str| checkout.release("", &out, more);
    complains(
        &here("--key /nowhere/key"),
        1,
        &["/nowhere/key", "minisign -G"],
    );
    complains(
        &here("--targets mips-unknown-linux"),
        2,
        &["mips-unknown-linux", "there are", "aarch64"],
    );
    complains(
        &here("--verify-reproducible"),
        2,
        &["--quick", "nothing to verify"],
    );
    complains(
        &here("--targets armv7-unknown-linux-musleabihf"),
        1,
        &["armv7", "--binary"],
    );
    complains(&here("--colour"), 2, &["--colour", "--help"]);
    complains(
        &checkout.sh("scripts/release --out"),
        2,
        &["--out needs a value"],
    );
    if find_or_skip("minisign").is_some() {
        let file = checkout.out("not-a-key");
        fs::write(&file, "something else\n").unwrap();
        let sign = format!("--key {}", file.display());
        complains(&here(&sign), 1, &["not-a-key", "secret key"]);
    }
    // A release is of a commit; whoever wants another one says so, and so does its name.
    fs::write(checkout.tree().join("README.md"), "changed\n").unwrap();
    complains(&here(""), 1, &["not committed", "README.md", "--dirty"]);
    // Nothing half-done stays.
    let left: BTreeSet<String> = names(checkout.folder.path())
        .into_iter()
        .filter(|name| name.starts_with("release"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    if std_source_or_skip().is_none() {
        return;
    }
    let ran = here("--dirty");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("unsigned"), "{}", ran.err);
    let told = fs::read_to_string(out.join("BUILD.txt")).unwrap();
    assert!(
        told.contains("-dirty-quick\n") && told.contains("changes that are not in it"),
        "{told}"
    );
    // What is there is never touched.
    complains(&here("--dirty"), 1, &["exists already", "--out"]);
    assert_eq!(fs::read_to_string(out.join("BUILD.txt")).unwrap(), told);
}

#[test]
fn the_list_of_what_is_linked_has_the_crates_that_cargo_links_and_the_c_in_them() {
    if find_or_skip("python3").is_none() {
        return;
    }
    for (target, more) in [
        ("armv7-unknown-linux-musleabihf", ""),
        ("armv7-unknown-linux-musleabihf", "--no-default-features"),
        ("x86_64-unknown-linux-gnu", "--features chain-https"),
    ] {
        let list = sbom(target, more);
        let words: Vec<&str> = more.split_whitespace().collect();
        let mut wanted = crates(target, &words);
        // Linked with them, and no crates.
        let lmdb = list["components"]
            .as_array()
            .unwrap()
            .iter()
            .find(|c| text(c, "name") == "lmdb")
            .expect("LMDB is missing");
        assert!(text(lmdb, "version").starts_with("0.9."), "{lmdb}");
        wanted.insert(format!("lmdb@{}", text(lmdb, "version")));
        let ring = wanted
            .iter()
            .find(|c| c.starts_with("ring@"))
            .unwrap()
            .clone();
        wanted.insert(ring.replace("ring@", "ring-c-and-assembly@"));

        let mut found: BTreeSet<String> = list["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| format!("{}@{}", text(c, "name"), text(c, "version")))
            .collect();
        let program = &list["metadata"]["component"];
        assert!(found.insert(format!(
            "{}@{}",
            text(program, "name"),
            text(program, "version")
        )));
        assert_eq!(found, wanted, "{target} {more}");

        // Each crate with the checksum of the lock file, a licence and its page.
        let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
        for part in list["components"].as_array().unwrap() {
            assert!(
                !text(&part["licenses"][0], "expression").is_empty(),
                "{part}"
            );
            if text(part, "purl").starts_with("pkg:cargo/") {
                let checksum = text(&part["hashes"][0], "content");
                let head = format!(
                    "name = \"{}\"\nversion = \"{}\"\n",
                    text(part, "name"),
                    text(part, "version")
                );
                let entry = lock.split("\n\n").find(|entry| entry.contains(&head));
                let line = format!("checksum = \"{checksum}\"");
                assert!(entry.is_some_and(|entry| entry.contains(&line)), "{part}");
            }
        }
        // What needs what has no loose ends, and reaches everything.
        let edges = list["dependencies"].as_array().unwrap();
        let mut reached = BTreeSet::from([text(program, "bom-ref").to_owned()]);
        loop {
            let before = reached.len();
            for edge in edges
                .iter()
                .filter(|e| reached.contains(text(e, "ref")))
                .collect::<Vec<_>>()
            {
                for other in edge["dependsOn"].as_array().into_iter().flatten() {
                    reached.insert(other.as_str().unwrap().to_owned());
                }
            }
            if reached.len() == before {
                break;
            }
        }
        assert_eq!(reached, wanted, "{target} {more}");
    }
}

#[test]
fn the_list_of_what_is_linked_is_valid_and_always_the_same() {
    // scripts/test has put the validator there.
    let tools = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |dir| root().join(dir))
        .join("tools/cyclonedx/bin/python");
    if find_or_skip("python3").is_none() {
        return;
    }
    let target = unit();
    let script = |time: &str| {
        let ran = sh(
            root(),
            &format!("SOURCE_DATE_EPOCH={time} scripts/sbom --without-std --zig none --target {target} -"),
        );
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out
    };
    let list = script("1700000000");
    assert_eq!(list, script("1700000000"));
    assert!(
        list.contains("\"timestamp\": \"2023-11-14T22:13:20Z\""),
        "{list}"
    );
    let serial = |text: &str| -> String {
        let value: Value = serde_json::from_str(text).unwrap();
        value["serialNumber"].as_str().unwrap().to_owned()
    };
    assert_ne!(serial(&list), serial(&script("1700000001")));
    if !tools.is_file() {
        eprintln!(
            "skipped: no CycloneDX validator at {} (scripts/test installs it)",
            tools.display()
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let check = "import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
print(wrong)
sys.exit(1 if wrong else 0)
";
    for (text, code) in [
        (list.clone(), 0),
        (list.replace("\"required\"", "\"perhaps\""), 1),
    ] {
        let file = folder.path().join("sbom.json");
        fs::write(&file, text).unwrap();
        let ran = run(Command::new(&tools).args(["-c", check]).arg(&file), LONG);
        assert_eq!(ran.code, code, "{}{}", ran.out, ran.err);
    }
}

#[test]
fn every_crate_s_licence_is_there_with_its_text() {
    if find_or_skip("python3").is_none() {
        return;
    }
    let target = "aarch64-unknown-linux-musl";
    let ran = sh(
        root(),
        &format!("scripts/licences --without-std --zig none --target {target} -"),
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let (table, texts) = ran.out.split_once("\n====").unwrap();
    let mut numbers = BTreeSet::new();
    for one in crates(target, &[]) {
        let head = one.replace('@', " ") + " ";
        let row = table.lines().find(|l| l.starts_with(&head));
        let row = row.unwrap_or_else(|| panic!("{one} has no row"));
        let list = row.rsplit_once('[').unwrap().1.strip_suffix(']').unwrap();
        assert!(!list.is_empty(), "{row}");
        numbers.extend(list.split(", ").map(|n| n.parse::<usize>().unwrap()));
    }
    assert!(numbers.len() > 40, "{numbers:?}");
    for number in numbers {
        assert!(texts.contains(&format!("\n[{number}] ")), "text {number}");
    }
    for words in [
        "OpenLDAP Public License",
        "Brian Smith",
        "Howard Chu",
        "the chr-node authors",
    ] {
        assert!(texts.contains(words), "{words}");
    }
}

#[test]
fn a_crate_that_nobody_has_looked_at_is_not_released() {
    let Some(checkout) = Checkout::new() else {
        return;
    };
    let crate_folder = checkout.tree().join("strange");
    fs::create_dir_all(crate_folder.join("src")).unwrap();
    fs::write(crate_folder.join("src/lib.rs"), "").unwrap();
    let manifest = checkout.tree().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(
        &manifest,
        text.replace(
            "[dependencies]\n",
            "[dependencies]\nstrange = { path = \"strange\" }\n",
        ),
    )
    .unwrap();
    for (licence, file, words) in [
        (
            "GPL-3.0-only",
            "LICENSE",
            vec!["strange@9.9.9", "GPL-3.0-only", "not on the list"],
        ),
        (
            "MIT AND GPL-2.0",
            "LICENSE",
            vec!["strange@9.9.9", "not on the list"],
        ),
        (
            "MIT OR GPL-2.0",
            "read.me",
            vec!["strange@9.9.9", "no text of MIT"],
        ),
        ("ISC", "LICENSE", vec!["strange@9.9.9", "no text of ISC"]),
        ("(MIT", "LICENSE", vec!["not a licence expression"]),
    ] {
        fs::write(
            crate_folder.join("Cargo.toml"),
            format!(
                "[package]\nname = \"strange\"\nversion = \"9.9.9\"\nlicense = \"{licence}\"\n"
            ),
        )
        .unwrap();
        let _ = fs::remove_file(crate_folder.join("read.me"));
        fs::copy(root().join("LICENSE-MIT"), crate_folder.join("LICENSE")).unwrap();
        fs::rename(crate_folder.join("LICENSE"), crate_folder.join(file)).unwrap();
        // Not by `cargo metadata`, which wants crates of all systems at hand.
        let locked = checkout.sh("cargo update --workspace --offline");
        assert_eq!(locked.code, 0, "{}", locked.err);
        let ran = checkout.sh("scripts/licences --without-std --zig none licences.txt");
        complains(&ran, 1, &words);
        assert!(!checkout.tree().join("licences.txt").exists());
    }
}

#[test]
fn the_table_of_sizes_has_what_was_measured_and_says_what_was_not() {
    if find_or_skip("python3").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let release = folder.path().join("release");
    fs::create_dir(&release).unwrap();
    let add = |name: &str, data: &[u8]| fs::write(release.join(name), data).unwrap();
    add(
        "BUILD.txt",
        b"chr-node 3.1.4-rc.1\ncommit 0123456789abcdef\n",
    );
    add("SHA256SUMS", b"");
    // None of them is this machine's: that would be started.
    let other =
        ["sparc", "vax", "m68k"].map(|cpu| format!("chr-node-3.1.4-rc.1-{cpu}-unknown-linux"));
    add(&format!("{}-gnu", other[0]), &vec![7; 4_065_272]);
    add(&format!("{}-musl-router", other[1]), &vec![7; 1_899_499]);
    add(&format!("{}-musl", other[2]), b"x");
    add(&format!("{}-musl.tar.gz", other[2]), b"x");
    add("chr-node-3.1.4-rc.1-docker-amd64.tar", b"x");
    add(&format!("{}-musl.cdx.json", other[2]), b"x");
    let memory = folder.path().join("memory");
    fs::write(
        &memory,
        "{\"unit\":\"vax-unknown-linux-musl:router\",\"idle_rss_kb\":3379,\"idle_own_kb\":512,\"how\":\"in a guest\"}\n",
    )
    .unwrap();
    let readme = folder.path().join("README.md");
    let begin = "<!-- sizes: written by `scripts/release --table`, not by hand -->";
    let end = "<!-- end of sizes -->";
    fs::write(
        &readme,
        format!("before\n{begin}\nold | table\n{end}\nafter\n"),
    )
    .unwrap();
    let table = format!(
        "scripts/release --table {} --memory {} --readme {}",
        release.display(),
        memory.display(),
        readme.display()
    );
    let wanted = format!(
        "before
{begin}
Version 3.1.4-rc.1, commit 0123456789ab; a program is one file, stripped.

| target | C library needed | program | gzip -9 | idle memory | measured |
| --- | --- | --: | --: | --: | --- |
| `m68k-unknown-linux-musl` | none (musl, static) | 0 KB | 0 KB | not measured |  |
| `sparc-unknown-linux-gnu` | glibc, 2.17 or newer | 4,065 KB | 4 KB | not measured |  |
| `vax-unknown-linux-musl`, router build | none (musl, static) | 1,899 KB | 2 KB | 3.3 MB (0.5 of its own) | in a guest |
{end}
after
"
    );
    for _ in 0..2 {
        let ran = sh(root(), &table);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(fs::read_to_string(&readme).unwrap(), wanted);
    }
    // Wrong inputs change nothing.
    fs::write(&memory, "{\"unit\":\"vax\"}\n").unwrap();
    complains(&sh(root(), &table), 1, &["memory, line 1", "idle_rss_kb"]);
    fs::write(&memory, "").unwrap();
    fs::write(&readme, format!("{begin}\n")).unwrap();
    complains(
        &sh(root(), &table),
        1,
        &["README.md must have", "end of sizes"],
    );
    assert_eq!(fs::read_to_string(&readme).unwrap(), format!("{begin}\n"));
    add("BUILD.txt", b"something else\n");
    complains(&sh(root(), &table), 1, &["BUILD.txt does not begin with"]);
    fs::remove_file(release.join("SHA256SUMS")).unwrap();
    complains(&sh(root(), &table), 1, &["no release folder"]);
}

#[test]
fn memory_in_the_table_is_that_of_a_node_that_runs() {
    if find_or_skip("python3").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let release = folder.path().join("release");
    fs::create_dir(&release).unwrap();
    fs::write(release.join("BUILD.txt"), "chr-node 1.0.0\ncommit 0\n").unwrap();
    fs::write(release.join("SHA256SUMS"), "").unwrap();
    let program = release.join(format!("chr-node-1.0.0-{}", unit()));
    fs::copy(env!("CARGO_BIN_EXE_chr-node"), &program).unwrap();
    let readme = folder.path().join("README.md");
    let marks = "<!-- sizes: written by `scripts/release --table`, not by hand -->\n<!-- end of sizes -->\n";
    fs::write(&readme, marks).unwrap();
    let table = format!(
        "scripts/release --settle 1 --table {} --readme {}",
        release.display(),
        readme.display()
    );
    let ran = sh(root(), &table);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let written = fs::read_to_string(&readme).unwrap();
    let cell = written
        .split(" MB (")
        .next()
        .unwrap()
        .rsplit(' ')
        .next()
        .unwrap();
    let megabytes: f64 = cell.parse().unwrap();
    assert!((2.0..100.0).contains(&megabytes), "{written}");
    assert!(written.contains("VmRSS, 1 s after the start"), "{written}");
    // One that does not start is no figure.
    fs::write(&readme, marks).unwrap();
    fs::write(&program, "#!/bin/sh\necho broken >&2\nexit 3\n").unwrap();
    complains(
        &sh(root(), &table),
        1,
        &["did not come to listen", "broken"],
    );
    assert_eq!(fs::read_to_string(&readme).unwrap(), marks);
}

#[test]
fn a_folder_s_name_is_cut_out_of_what_is_built_there() {
    if find_or_skip("bash").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = |checkout: &str| {
        let tree = folder.path().join(checkout);
        fs::create_dir_all(tree.join("home/registry/src/mirror-0123")).unwrap();
        sh(
            &tree,
            &format!(
                "export CARGO_HOME=$PWD/home CARGO_TARGET_DIR=out SOURCE_DATE_EPOCH=7 \
                 CARGO_TARGET_ARMV7_UNKNOWN_LINUX_MUSLEABIHF_RUSTFLAGS=-Cwhatever; \
                 . {}/scripts/reproducible.sh && reproducible armv7-unknown-linux-musleabihf && env",
                root().display()
            ),
        )
    };
    let ran = script("tree");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let tree = fs::canonicalize(folder.path().join("tree")).unwrap();
    let tree = tree.display();
    let line = |name: &str| -> String {
        let head = format!("{name}=");
        ran.out
            .lines()
            .find_map(|l| l.strip_prefix(&head))
            .unwrap()
            .to_owned()
    };
    let rust = line("CARGO_TARGET_ARMV7_UNKNOWN_LINUX_MUSLEABIHF_RUSTFLAGS");
    let c = line("CFLAGS_armv7_unknown_linux_musleabihf");
    assert!(rust.starts_with("-Cwhatever "), "{rust}");
    for (from, to) in [
        (format!("{tree}"), "/chr-node"),
        (format!("{tree}/out"), "/out"),
        (format!("{tree}/home"), "/cargo"),
        (format!("{tree}/home/registry/src/mirror-0123"), "/crates"),
    ] {
        assert!(
            rust.contains(&format!("--remap-path-prefix={from}={to}")),
            "{rust}"
        );
        assert!(c.contains(&format!("-ffile-prefix-map={from}={to}")), "{c}");
    }
    // The last that fits counts: inner folders come after those around them.
    let place = |to: &str| rust.find(&format!("={to}")).unwrap();
    assert!(place("/chr-node") < place("/out"), "{rust}");
    assert!(place("/cargo") < place("/crates"), "{rust}");
    assert_eq!(line("SOURCE_DATE_EPOCH"), "7");
    // Cargo takes its flags apart at spaces: told instead of built wrongly.
    complains(&script("a tree"), 1, &["a space in", "another folder"]);
}
