//! The rules of the house: which room may use which, where unsafe code may
//! stand, how large a file may grow, what the tree weighs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The table of docs/architecture.md; `time`, `liveness`, `task`, `sorted`, `tokens` and `meter` are free for all, `cli` and the
/// program may use everything.
const MAY_USE: &[(&str, &[&str])] = &[
    ("identity", &[]),
    ("store", &[]),
    ("platform", &[]),
    ("time", &[]),
    ("liveness", &[]),
    ("task", &[]),
    ("sorted", &[]),
    ("tokens", &[]),
    ("meter", &[]),
    ("parts", &[]),
    ("cache", &["store"]),
    (
        "chain",
        &["cache", "session", "tls", "identity", "platform"],
    ),
    ("wire", &["identity"]),
    ("tls", &["identity"]),
    ("config", &["platform"]),
    ("ticket", &["wire", "identity", "store"]),
    ("reach", &["identity", "platform"]),
    ("reward", &["store", "ticket"]),
    ("ports", &["wire", "identity"]),
    ("session", &["wire", "tls", "identity", "ports", "platform"]),
    (
        "edge",
        &[
            "session", "wire", "tls", "identity", "ports", "ticket", "store", "platform",
        ],
    ),
    ("dht", &["wire", "identity", "store", "platform"]),
    (
        "peer",
        &[
            "session", "wire", "tls", "identity", "ports", "dht", "store", "platform",
        ],
    ),
    ("rpc", &["tls"]),
    (
        "node",
        &[
            "cache", "chain", "config", "dht", "edge", "identity", "peer", "platform", "ports",
            "reach", "reward", "rpc", "session", "store", "ticket", "tls", "wire",
        ],
    ),
];

/// What everyone may use.
const FREE: &[&str] = &[
    "time", "liveness", "task", "sorted", "tokens", "meter", "parts",
];
/// The only files with unsafe code.
const UNSAFE: &[&str] = &["src/platform/sys.rs", "src/store/env.rs"];
/// A room above this wants another wall.
const LINES_MAX: usize = 520;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files() -> Vec<(String, String)> {
    let mut folders: Vec<PathBuf> = vec![root().join("src")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
                found.push((name.to_owned(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(found.len() > 80, "the source was not found");
    found
}

/// Tests may use what they like.
fn is_test(name: &str) -> bool {
    name.contains("/tests/") || name.ends_with("tests.rs") || name.ends_with("testing.rs")
}

fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap()
}

fn room(name: &str) -> &str {
    name.strip_prefix("src/")
        .unwrap()
        .split(['/', '.'])
        .next()
        .unwrap()
}

#[test]
fn a_room_does_not_reach_into_one_that_it_must_not_know() {
    let rules: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for (name, text) in files() {
        let room = room(&name);
        if is_test(&name) || ["lib", "main", "cli"].contains(&room) {
            continue;
        }
        let allowed = rules
            .get(room)
            .unwrap_or_else(|| panic!("{name}: a room without a rule"));
        for line in without_tests(&text).lines() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for used in line.split("crate::").skip(1) {
                let used: String = used
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let known = rules.contains_key(used.as_str()) || used == "cli";
                if known
                    && used != room
                    && !FREE.contains(&used.as_str())
                    && !allowed.contains(&used.as_str())
                {
                    wrong.push(format!("{name} uses {used}"));
                }
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unsafe_code_stands_in_two_files_alone() {
    for (name, text) in files() {
        let code = text
            .lines()
            .filter(|l| !l.trim_start().starts_with("//"))
            .any(|l| {
                l.contains("unsafe {") || l.contains("unsafe fn") || l.contains("unsafe impl")
            });
        assert!(!code || UNSAFE.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn every_file_says_what_it_is_and_none_is_crowded() {
    for (name, text) in files() {
        let told = text.starts_with("//!") || is_test(&name);
        assert!(told, "{name} has no text at its top");
        let lines = text.lines().count();
        assert!(
            is_test(&name) || lines <= LINES_MAX,
            "{name} has {lines} lines: move a wall"
        );
    }
}

#[test]
fn the_map_names_every_room() {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let rooms: BTreeSet<String> = files()
        .iter()
        .map(|(name, _)| room(name).to_owned())
        .filter(|r| r != "lib" && r != "main")
        .collect();
    for room in rooms {
        assert!(
            map.contains(&format!("[`{room}`]")),
            "{room} is not on the map"
        );
    }
}
