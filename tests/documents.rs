//! What README.md says about settings and options is what the program does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use chr_node::cli::help::{text, Topic};
use chr_node::cli::parse;
use chr_node::config::KEYS;
use std::path::Path;

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The table of settings as README.md has to have it.
fn settings() -> String {
    let mut table = String::from("| key | variable | default | what it does, and what it takes |\n| --- | --- | --- | --- |\n");
    for key in KEYS {
        let code = |text: &str| match text {
            "" => String::new(),
            text => format!("`{text}`"),
        };
        table += &format!(
            "| `{}`{} | {} | {} | {} ({}) |\n",
            key.name,
            if key.live { " *" } else { "" },
            code(key.env.unwrap_or_default()),
            code(&key.default()),
            key.doc,
            key.allowed
        );
    }
    table
}

#[test]
fn the_table_of_settings_in_the_readme_is_the_program_s() {
    let wanted = settings();
    assert!(
        readme().contains(&wanted),
        "README.md must contain this table:\n{wanted}"
    );
}

#[test]
fn every_command_in_the_readme_is_understood() {
    let readme = readme();
    let commands: Vec<&str> = readme
        .split("```")
        .filter(|block| block.starts_with("sh\n"))
        .flat_map(str::lines)
        .filter_map(|line| line.strip_prefix("chr-node "))
        .collect();
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        let words = command.split_whitespace().map(std::ffi::OsString::from);
        assert!(parse(words).is_ok(), "{command}");
    }
}

#[test]
fn every_option_in_the_help_is_in_the_readme() {
    let readme = readme();
    for topic in [
        Topic::Run,
        Topic::Publish,
        Topic::Forward,
        Topic::Message,
        Topic::Identity,
        Topic::Config,
        Topic::Demo,
    ] {
        for word in text(topic).split(|c: char| !c.is_ascii_lowercase() && c != '-') {
            let option = word.starts_with("--") && word.len() > 2;
            if option && !["--help", "--version"].contains(&word) {
                assert!(readme.contains(&format!("`{word}")), "{word} of {topic:?}");
            }
        }
    }
}

#[test]
fn every_test_that_is_named_for_small_devices_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("docs/small-devices.md")).unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.contains('#')).collect();
    let rows = rows.iter().filter(|line| line.starts_with("| ")).count();
    assert!(rows >= 24, "{rows} rows");
    let mut named = 0;
    for (file, test) in table.split('`').filter_map(|word| word.split_once("::")) {
        let Ok(text) = std::fs::read_to_string(root.join(file)) else {
            assert_eq!(file, "FILE", "{file} is named and is not there");
            continue;
        };
        assert!(
            text.contains(&format!("fn {test}(")),
            "{file} has no {test}"
        );
        named += 1;
    }
    assert!(named > 3 * rows / 2, "{named} tests for {rows} rows");
}
