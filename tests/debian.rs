//! The Debian package: its settings, its unit, and its life in a small Debian.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn words(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn the_settings_of_the_service_are_taken_as_they_are_and_without_their_comment_signs() {
    let file = root().join("platform/debian/chr-node.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    // `#name = ` shows a setting, `# Name` is a remark.
    let all: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest,
            _ => line,
        })
        .collect();
    assert!(text.contains("data_dir = \"/var/lib/chr-node\""));
    let folder = tempfile::tempdir().unwrap();
    let shown = folder.path().join("all.toml");
    std::fs::write(&shown, all.join("\n")).unwrap();
    for file in [&file, &shown] {
        let output = Command::new(env!("CARGO_BIN_EXE_chr-node"))
            .args(["config", "check", "--config"])
            .arg(file)
            .env_clear()
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", words(&output));
    }
}

#[test]
fn the_unit_exposes_no_more_than_the_node_needs() {
    let unit = root().join("platform/systemd/chr-node.service");
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(&unit)
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: systemd-analyze missing");
        return;
    };
    let said = words(&output);
    let Some((_, score)) = said.split_once("Overall exposure level for chr-node.service: ") else {
        assert!(said.contains("--offline"), "{said}");
        eprintln!("skipped: systemd-analyze is older than 250");
        return;
    };
    let score: f32 = score.split_whitespace().next().unwrap().parse().unwrap();
    // 1.1 here: the network and its addresses, /proc of the machine, a socket of its own.
    assert!(score <= 1.2, "{said}");
}

#[test]
fn installing_upgrading_removing_and_purging_lose_no_identity_but_when_told() {
    let machine = if cfg!(target_arch = "x86_64") {
        "amd64"
    } else {
        ""
    };
    let id = Command::new("id").arg("-u").output().unwrap();
    if machine.is_empty() || id.stdout.trim_ascii() != b"0" {
        eprintln!("skipped: needs root and an x86_64 Debian");
        return;
    }
    for program in ["debootstrap", "dpkg-deb"] {
        if Command::new(program).arg("--version").output().is_err() {
            eprintln!("skipped: {program} missing");
            return;
        }
    }
    let output = Command::new(root().join("scripts/package-test"))
        // What is installed matters here; its licences are tests/release.rs's, and the
        // standard library's source is not on every machine.
        .args([
            machine,
            "--binary",
            env!("CARGO_BIN_EXE_chr-node"),
            "--without-std",
        ])
        .output()
        .unwrap();
    let said = words(&output);
    if said.contains("debootstrap failed") || said.contains("knows no mirror") {
        eprintln!("skipped: no small Debian could be had: {said}");
        return;
    }
    assert!(output.status.success(), "{said}");
}
