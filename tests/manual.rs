//! The manual page and the completions: complete, and understood by the programs
//! that read them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../examples/manual/help.rs"]
mod help;
#[path = "../examples/manual/page.rs"]
mod page;
#[path = "../examples/manual/shells.rs"]
mod shells;

use chr_node::config::KEYS;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn manual() -> help::Manual {
    help::Manual::read().unwrap()
}

/// Where a program is; says that the test is skipped when it is missing.
fn find_or_skip(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file());
    if found.is_none() {
        eprintln!("skipped: {program} missing");
    }
    found
}

/// What the parser of the command line knows, read from its source: the help texts
/// are what the manual is made of.
fn known(start: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/args");
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("tests.rs") {
            continue;
        }
        for part in fs::read_to_string(&path).unwrap().split('"').skip(1) {
            let name = part.strip_prefix(start).unwrap_or("");
            if !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
                found.insert(part.to_owned());
            }
        }
    }
    found
}

#[test]
fn an_option_of_the_parser_is_not_missing_from_page_or_completions() {
    let manual = manual();
    let page = page::page(&manual, "2026-01-01").replace("\\-", "-");
    let (bash, zsh, fish) = (
        shells::bash(&manual),
        shells::zsh(&manual),
        shells::fish(&manual),
    );
    let options = known("--");
    assert!(options.len() > 20, "{options:?}");
    for option in options {
        // Other words for -v and -q.
        if option == "--verbose" || option == "--quiet" {
            continue;
        }
        let long = option.trim_start_matches('-');
        assert!(
            page.contains(&format!("\\fB{option}"))
                || page.contains(&format!("\\fB-{}\\fR, \\fB{option}", &long[..1])),
            "{option}: page"
        );
        assert!(bash.contains(&option), "{option}: bash");
        assert!(zsh.contains(&format!("*{option}")), "{option}: zsh");
        assert!(fish.contains(&format!(" -l {long} ")), "{option}: fish");
    }
}

#[test]
fn a_command_or_a_setting_is_not_missing_either() {
    let manual = manual();
    let page = page::page(&manual, "2026-01-01").replace("\\-", "-");
    let scripts = [
        shells::bash(&manual),
        shells::zsh(&manual),
        shells::fish(&manual),
    ];
    let source =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/args.rs")).unwrap();
    let (_, list) = source.split_once("const COMMANDS:").unwrap();
    let list = list.split("];").next().unwrap();
    let commands: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        assert!(page.contains(&format!("\n.SS {command}\n")), "{command}");
        for script in &scripts {
            assert!(script.contains(command), "{command}");
        }
    }
    for key in KEYS {
        assert!(
            page.contains(&format!("\\fB{}\\fR", key.name)),
            "{}",
            key.name
        );
        assert!(page.contains(&key.variable()), "{}", key.name);
        for script in &scripts {
            assert!(script.contains(key.name), "{}", key.name);
        }
    }
}

#[test]
fn man_has_no_complaint_and_shows_every_section() {
    let Some(man) = find_or_skip("man") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chr-node.1");
    fs::write(&file, page::page(&manual(), "2026-01-01")).unwrap();
    let output = Command::new(man)
        .args(["--warnings", "-E", "UTF-8", "-Tutf8", "-l"])
        .arg(&file)
        .env("MANWIDTH", "80")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    if complaints.contains("minimized") {
        eprintln!("skipped: this system has no manual pages");
        return;
    }
    assert!(output.status.success(), "{complaints}");
    assert_eq!(complaints, "");
    // Without bold and colour.
    let text = String::from_utf8_lossy(&output.stdout);
    let mut plain = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => while chars.next().is_some_and(|c| c != 'm') {},
            '\x08' => {
                plain.pop();
            }
            c => plain.push(c),
        }
    }
    for section in [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "COMMANDS",
        "OPTIONS",
        "FILES",
        "ENVIRONMENT",
        "SETTINGS",
        "SIGNALS",
        "EXIT STATUS",
        "EXAMPLES",
    ] {
        let found = plain.lines().any(|line| line == section);
        assert!(found, "{section}: {plain}");
    }
}

/// What bash offers for words, of which the last is being typed.
fn bash(script: &Path, words: &[&str]) -> Vec<String> {
    let program = format!(
        ". {}\nCOMP_WORDS=(\"$@\")\nCOMP_CWORD=$(($# - 1))\n_chr_node\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let output = Command::new("bash")
        .args(["--norc", "-uc", &program, "bash"])
        .args(words)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{words:?}: {said}"
    );
    let out = String::from_utf8_lossy(&output.stdout);
    out.lines()
        .filter(|l| !l.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn bash_offers_what_the_program_takes() {
    if find_or_skip("bash").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("chr-node.bash");
    let manual = manual();
    fs::write(&script, shells::bash(&manual)).unwrap();
    let all: Vec<String> = manual.commands.iter().map(|c| c.name.clone()).collect();
    assert_eq!(bash(&script, &["chr-node", ""]), all);
    for command in &manual.commands {
        let offered = bash(&script, &["chr-node", &command.name, "-"]);
        for option in &command.options {
            for flag in &option.flags {
                assert!(offered.contains(flag), "{}: {flag}", command.name);
            }
        }
    }
    let is =
        |words: &[&str], expected: &[&str]| assert_eq!(bash(&script, words), expected, "{words:?}");
    is(
        &["chr-node", "store", ""],
        &["check", "compact", "export", "import"],
    );
    is(&["chr-node", "identity", "s"], &["show"]);
    is(
        &["chr-node", "run", "--profile", "r"],
        &["raspberry-pi", "router"],
    );
    is(
        &["chr-node", "run", "--profile", "=", "r"],
        &["raspberry-pi", "router"],
    );
    is(&["chr-node", "run", "--set", "log.fo"], &["log.format="]);
    is(
        &["chr-node", "run", "--set", "log.level", "=", "d"],
        &["debug"],
    );
    is(&["chr-node", "--eph"], &["--ephemeral"]);
    let file = folder.path().join("chr").display().to_string();
    let found = script.display().to_string();
    is(&["chr-node", "run", "--config", &file], &[&found]);
    is(&["chr-node", "store", "import", &file], &[&found]);
    is(&["chr-node", "run", "--data-dir", &file], &[]);
}

#[test]
fn zsh_and_fish_understand_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let manual = manual();
    if let Some(zsh) = find_or_skip("zsh") {
        let script = folder.path().join("_chr-node");
        fs::write(&script, shells::zsh(&manual)).unwrap();
        let output = Command::new(zsh).arg("-fn").arg(&script).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
    }
    if let Some(fish) = find_or_skip("fish") {
        let script = folder.path().join("chr-node.fish");
        fs::write(&script, shells::fish(&manual)).unwrap();
        let ask = |line: &str| {
            let output = Command::new(&fish)
                .args(["--no-config", "-c"])
                .arg(format!("source {}; complete -C '{line}'", script.display()))
                .env("HOME", folder.path())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.is_empty(), "{said}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let commands = ask("chr-node ");
        for command in &manual.commands {
            assert!(
                commands.lines().any(|l| l.starts_with(&command.name)),
                "{commands}"
            );
        }
        assert!(ask("chr-node run --profile rou").starts_with("router"));
        assert!(ask("chr-node config show --pro").starts_with("--profile"));
    }
}
