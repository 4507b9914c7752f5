//! The scripts of the repository: clean to shellcheck, helpful, and not deaf to a
//! mistyped option.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::tools::{find_or_skip, run, Ran};
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Far more than any of them takes; on a busy machine a shell starts slowly.
const PATIENCE: Duration = Duration::from_secs(60);

/// All files that belong to the repository; what is built or fetched does not.
fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(ROOT)
        .output()
        .expect("git starts");
    let files: Vec<String> = String::from_utf8(listed.stdout)
        .unwrap()
        .split('\0')
        .filter(|name| !name.is_empty() && Path::new(ROOT).join(name).is_file())
        .map(ToOwned::to_owned)
        .collect();
    if files.is_empty() {
        eprintln!("skipped: the list of scripts: this is no checkout of git");
    }
    files
}

/// The first line of a program for an interpreter.
fn first_line(name: &str) -> String {
    let mut start = Vec::new();
    let file = std::fs::File::open(Path::new(ROOT).join(name)).unwrap();
    file.take(128).read_to_end(&mut start).unwrap();
    let line = start.split(|byte| *byte == b'\n').next().unwrap();
    String::from_utf8_lossy(line).into_owned()
}

/// Whether a shell reads it: by its first line, or by what it says to shellcheck.
fn is_for_a_shell(name: &str) -> bool {
    let first = first_line(name);
    if !first.starts_with("#!") {
        return first.starts_with("# shellcheck shell=");
    }
    let mut words = first.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.any(|word| ["sh", "bash", "dash", "ash"].contains(&word))
}

/// What a developer runs: programs in scripts/ and the folders below.
fn commands(files: &[String]) -> Vec<&String> {
    let all: Vec<&String> = files
        .iter()
        .filter(|name| name.starts_with("scripts/") && first_line(name).starts_with("#!"))
        .collect();
    assert!(files.is_empty() || all.len() > 10, "{all:?}");
    // lib.sh and what is like it is sourced; its first line is for editors.
    all.into_iter()
        .filter(|name| Path::new(name).extension().is_none())
        .collect()
}

fn ask(name: &str, word: &str) -> Ran {
    let mut command = Command::new(Path::new(ROOT).join(name));
    run(command.arg(word).current_dir(ROOT), PATIENCE)
}

#[test]
fn shellcheck_has_nothing_to_say_about_any_script() {
    let scripts: Vec<String> = files()
        .into_iter()
        .filter(|name| is_for_a_shell(name))
        .collect();
    if scripts.is_empty() || find_or_skip("shellcheck").is_none() {
        return;
    }
    for known in ["scripts/test", "platform/openwrt/files/etc/init.d/chr-node"] {
        assert!(scripts.iter().any(|name| name == known), "{scripts:?}");
    }
    let mut command = Command::new("shellcheck");
    command.args(["--external-sources", "--format=gcc"]);
    let said = run(command.args(&scripts).current_dir(ROOT), PATIENCE * 3);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
}

#[test]
fn every_script_tells_what_it_does() {
    for name in commands(&files()) {
        let told = ask(name, "--help");
        assert_eq!(told.code, 0, "{name}: {}", told.err);
        assert!(told.out.lines().count() > 2, "{name}: {}", told.out);
        assert!(told.err.is_empty(), "{name}: {}", told.err);
    }
}

#[test]
fn a_mistyped_option_is_an_error_of_one_line() {
    for name in commands(&files()) {
        // Its words are those of `cargo test`.
        if name == "scripts/test" {
            continue;
        }
        let told = ask(name, "--no-such-option");
        assert_eq!(told.code, 2, "{name}: {}", told.err);
        assert_eq!(told.err.lines().count(), 1, "{name}: {}", told.err);
        assert!(told.out.is_empty(), "{name}: {}", told.out);
    }
}
