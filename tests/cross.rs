//! What cargo, `cross` and scripts/cross-build are told of the targets agrees.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use toml_parser::parser::{parse_document, Event};
use toml_parser::{ParseError, Source};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of TOML without mistakes.
fn toml(name: &str) -> String {
    let text = std::fs::read_to_string(root().join(name)).unwrap();
    let (mut events, mut mistakes) = (Vec::<Event>::new(), Vec::<ParseError>::new());
    let tokens = Source::new(&text).lex().into_vec();
    parse_document(&tokens, &mut events, &mut mistakes);
    assert!(mistakes.is_empty(), "{name}: {mistakes:?}");
    assert!(!events.is_empty(), "{name} is empty");
    text
}

/// The targets in tables `[target.NAME]` and `[target.NAME.…]`.
fn targets(text: &str) -> BTreeSet<&str> {
    let headers = text.lines().filter_map(|l| l.strip_prefix("[target."));
    headers
        .map(|name| name.split(['.', ']']).next().unwrap())
        .collect()
}

/// The targets that scripts/cross-build knows.
fn known() -> BTreeSet<String> {
    let script = "die() { exit 1; }; . scripts/cross/setup.sh; echo \"${CROSS_TARGETS[@]}\"";
    let said = Command::new("bash")
        .args(["-euc", script])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(said.status.success(), "{said:?}");
    let words = String::from_utf8(said.stdout).unwrap();
    let known: BTreeSet<String> = words.split_whitespace().map(str::to_owned).collect();
    assert_eq!(known.len(), 7, "{known:?}");
    known
}

/// A script with words that end it before it builds or installs anything.
fn script(name: &str, words: &[&str]) -> Output {
    Command::new(root().join(name))
        .args(words)
        .current_dir("/")
        .output()
        .unwrap()
}

#[test]
fn cross_is_told_of_every_target_that_the_script_builds() {
    let known = known();
    let text = toml("Cross.toml");
    let told = targets(&text);
    assert_eq!(told, known.iter().map(String::as_str).collect());
}

#[test]
fn cargo_knows_what_every_foreign_target_needs_and_no_machine_s_own_affairs() {
    let text = toml(".cargo/config.toml");
    for target in known() {
        let emulated = !target.starts_with("x86_64") && !target.ends_with("android");
        let table = text.split(&format!("[target.{target}]\n")).nth(1);
        let table = table.and_then(|rest| rest.split("\n[").next());
        let runner = table.is_some_and(|table| table.contains("runner = "));
        assert_eq!(runner, emulated, "{target}");
        let flag = format!(
            "CFLAGS_{} = \"-DMDB_USE_ROBUST=0\"\n",
            target.replace('-', "_")
        );
        let wanted = target.contains("musl") || target.ends_with("android");
        assert_eq!(text.contains(&flag), wanted, "{flag}");
    }
    // They would break the build with a compiler that somebody has.
    for word in ["rustc =", "build-std", "RUSTC", "linker ="] {
        assert!(!text.contains(word), "{word} in .cargo/config.toml");
    }
}

#[test]
fn the_help_of_cross_build_names_every_target() {
    let help = script("scripts/cross-build", &["--help"]);
    assert!(help.status.success(), "{help:?}");
    let help = String::from_utf8(help.stdout).unwrap();
    for target in known() {
        assert!(help.contains(&format!("  {target} ")), "{target}");
    }
}

#[test]
fn wrong_words_are_told_before_anything_is_installed_or_built() {
    for (words, told) in [
        (&[][..], "no target"),
        (
            &["sparc64-unknown-linux-gnu"],
            "sparc64-unknown-linux-gnu is no target",
        ),
        (&["aarch64-linux-android"], "--check"),
        (&["--profile", "fast", "all"], "--profile fast"),
        (&["--features"], "--features wants a value"),
        (&["--fast", "all"], "unknown option --fast"),
    ] {
        let said = script("scripts/cross-build", words);
        assert_eq!(said.status.code(), Some(2), "{words:?}: {said:?}");
        assert!(said.stdout.is_empty(), "{words:?}");
        let err = String::from_utf8(said.stderr).unwrap();
        assert!(err.contains(told) && err.lines().count() == 1, "{err}");
    }
    let said = script(
        "scripts/cross/cargo",
        &["sparc64-unknown-linux-gnu", "build"],
    );
    assert!(!said.status.success() && said.stdout.is_empty(), "{said:?}");
}
