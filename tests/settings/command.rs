//! `chr-node config`, and the files in `configs/`.

use super::shown;
use crate::common::tools::*;
use crate::common::*;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn config(action: &str, options: &[&str]) -> Ran {
    let mut command = chr_node();
    command.args(["config", action]).args(options);
    run(&mut command, SOON)
}

fn row<'a>(rows: &'a [Value], key: &str) -> &'a Value {
    rows.iter().find(|row| row["key"] == key).expect(key)
}

/// The files in `configs/`.
fn profiles() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[test]
fn every_profile_passes_the_check_and_is_the_one_in_the_program() {
    let files = profiles();
    assert_eq!(files.len(), 5, "{files:?}");
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let path = file.to_str().unwrap();
        let checked = config("check", &["--config", path]);
        assert_eq!((checked.code, checked.err.as_str()), (0, ""), "{name}");
        assert_eq!(checked.out.lines().count(), 1, "{}", checked.out);
        if name == "auto" {
            assert_eq!(
                row(&shown(&["--config", path]), "node.profile")["value"],
                "auto"
            );
            continue;
        }
        let by_name = shown(&["--profile", name]);
        let mut taken = 0;
        for by_file in shown(&["--config", path]) {
            let key = by_file["key"].as_str().unwrap();
            let same = row(&by_name, key);
            assert_eq!(by_file["value"], same["value"], "{name} {key}");
            if by_file["source"] == "file" && key != "node.profile" {
                assert_eq!(same["source"], "profile", "{name} {key}");
                taken += 1;
            }
        }
        assert!(taken >= 8, "{name} has {taken} values");
    }
}

#[test]
fn show_tells_for_each_value_where_it_came_from() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("chr.toml");
    std::fs::write(&file, "[node]\n\nname = \"attic\"\n").unwrap();
    let path = file.to_str().unwrap();
    let mut command = chr_node();
    command
        .args(["config", "show", "--json", "--config", path])
        .args(["--profile", "router", "--set", "tickets.chain_id=7"])
        .env("RPC_PORT", "off");
    let ran = run(&mut command, SOON);
    let rows: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    for (key, value, source, place) in [
        ("node.name", "attic", "file", format!("{path}:3")),
        ("node.profile", "router", "command line", "--profile".into()),
        ("tickets.chain_id", "7", "command line", "--set".into()),
        ("network.rpc_port", "off", "environment", "RPC_PORT".into()),
        ("storage.map_size", "16M", "profile", "router".into()),
    ] {
        let row = row(&rows, key);
        assert_eq!(row["value"], value, "{row}");
        assert_eq!(
            (&row["source"], &row["where"]),
            (&source.into(), &place.into())
        );
    }
    assert_eq!(row(&rows, "log.level")["source"], "default");
    // What depends on the machine is told as the node would take it.
    let budget = &row(&rows, "node.memory_limit")["here"];
    assert!(budget["why"].as_str().unwrap().contains("free"), "{budget}");
}

#[test]
fn show_says_which_bound_lowers_the_connections() {
    let rows = shown(&["--set", "node.memory_limit=8M"]);
    let here = &row(&rows, "performance.max_connections")["here"];
    assert_eq!(here["value"], "256", "{here}");
    assert!(here["why"].as_str().unwrap().contains("node.memory_limit"));
    let plain = config("show", &["--set", "node.memory_limit=8M"]);
    assert!(plain
        .out
        .contains("here 256: node.memory_limit allows no more"));
}

#[test]
fn a_bad_setting_is_refused_by_check_and_run_in_the_same_words() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("chr.toml");
    let path = file.to_str().unwrap();
    let data = home.path().join("data");
    for (text, words) in [
        (
            "[network]\nrpc_port = 70000\n",
            &["network.rpc_port", "70000", "chr.toml:2", "a port"][..],
        ),
        (
            "[network]\nrpc_port = web\n",
            &["chr.toml:2", "rpc_port = web", "quoted"],
        ),
        (
            "[net]\n",
            &["[net]", "chr.toml:1", "the sections are node, network"],
        ),
        (
            "[log]\nlevle = \"info\"\n",
            &["log.levle", "chr.toml:2", "log.level?"],
        ),
        (
            "[log]\nlevel = 3\n",
            &["log.level", "chr.toml:2", "error, warn"],
        ),
        (
            "[node]\nname = \"a\"\nname = \"b\"\n",
            &["node.name", "chr.toml:3", "line 2"],
        ),
        ("\u{0}", &["chr.toml:1"]),
    ] {
        std::fs::write(&file, text).unwrap();
        let checked = config("check", &["--config", path]);
        checked.assert_one_line(2, words);
        let mut command = chr_node();
        command
            .args(["run", "--config", path])
            .env("DATA_DIR", &data);
        assert_eq!(run(&mut command, SOON).err, checked.err);
        assert!(!data.exists(), "a node that does not start made a folder");
    }
    for (path, words) in [
        (home.path(), "a folder"),
        (Path::new("/dev/zero"), "not a regular file"),
        (&home.path().join("none.toml"), "cannot be read"),
    ] {
        let path = path.to_str().unwrap();
        config("check", &["--config", path]).assert_one_line(2, &[path, words]);
    }
}

#[test]
fn check_warns_on_standard_error_and_still_succeeds() {
    let ran = config("check", &["--set", "performance.idle_timeout=9s"]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 1));
    assert!(
        ran.err.starts_with("warning: performance.idle_timeout"),
        "{}",
        ran.err
    );
    let json = config("check", &["--json", "--profile", "android"]);
    let answer: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (&answer["ok"], &answer["profile"]),
        (&true.into(), &"android".into())
    );
}
