//! Reward periods of the real program: down time, restarts, power cuts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use chr_node::reward::{RewardRow, RUNNING};
use chr_node::store::{Store, StoreOptions};
use chr_node::tokens::{Tokens, ONE};
use common::tools::{run, until};
use common::{chr_node, Device, Node, SOON};
use serde_json::Value;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

const HOUR: u64 = 3600;

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

fn store(data: &Path) -> Store {
    Store::open(&data.join("store"), StoreOptions::default()).unwrap()
}

/// `reward_status` once the running period is known.
fn status(node: &Node) -> Value {
    until(SOON, "a reward period", || {
        let status = node.ask("reward_status");
        status["period_start"].is_u64().then_some(status)
    })
}

fn tokens(value: &Value) -> Tokens {
    Tokens::parse(value.as_str().expect("tokens")).unwrap()
}

#[test]
fn a_node_that_was_off_for_three_hours_has_three_periods_of_nothing() {
    let home = tempfile::tempdir().unwrap();
    let hour = now() / HOUR * HOUR;
    let store = store(home.path());
    // As it was left: stopped at the end of the period four hours ago.
    let left = RewardRow {
        start: hour - 4 * HOUR,
        end: hour - 3 * HOUR,
        seen: hour - 3 * HOUR,
        up_ms: HOUR * 1000,
        total: Some(5 * ONE),
        ..RewardRow::default()
    };
    smol::block_on(store.put(&left)).unwrap();
    store.close();
    let rates = ("CHR_REWARDS__RATES", "hour=2");
    let node = Node::start_with(home.path(), &[rates]);
    let told = status(&node);
    // A new hour may begin meanwhile.
    let history = told["history"].as_array().unwrap();
    let at = |start: u64| {
        let mut rows = history.iter();
        let row = rows.find(|row| row["period_start"] == start);
        row.unwrap_or_else(|| panic!("{start} in {told}")).clone()
    };
    let full = at(hour - 4 * HOUR);
    assert_eq!(
        (&full["uptime_score"], &full["chr_tokens_earned"]),
        (&1.0.into(), &"2".into())
    );
    for ago in [3, 2, 1] {
        let row = at(hour - ago * HOUR);
        assert_eq!(row["period_end"], hour - (ago - 1) * HOUR);
        assert_eq!(row["uptime_score"], 0.0, "{row}");
        assert_eq!(row["chr_tokens_earned"], "0", "{row}");
    }
    assert!(tokens(&told["pending"]) >= Tokens(7 * ONE), "{told}");
    assert!(told["period_start"].as_u64().unwrap() >= hour);
    drop(node);
    // All of it is on the disk: killed, it comes back with the same.
    let again = Node::start_with(home.path(), &[rates]);
    let later = status(&again);
    let rows = later["history"].as_array().unwrap();
    for row in history {
        assert!(rows.contains(row), "{row} in {later}");
    }
    assert!(tokens(&later["pending"]) >= Tokens(7 * ONE));
    drop(again);
    // And in a backup that a person can read.
    let data = home.path().to_str().unwrap();
    let mut export = chr_node();
    let exported = run(export.args(["store", "export", "--data-dir", data]), SOON);
    let rows = exported
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let rows: Vec<Value> = rows.collect();
    let start = hour - 4 * HOUR;
    let mut found = rows.iter();
    let full = found.find(|row| row["table"] == "reward_tracking" && row["row"]["start"] == start);
    let full = &full.unwrap_or_else(|| panic!("{rows:?}"))["row"];
    let two = (2 * ONE).to_string();
    assert_eq!(
        (&full["over"], &full["earned"]),
        (&true.into(), &two.into())
    );
}

/// Value of all periods, and score of all tickets.
fn counted(node: &Node) -> (u64, u64) {
    let told = status(node);
    let mut value = told["tickets"]["value"].as_u64().unwrap();
    for row in told["history"].as_array().unwrap() {
        value += row["tickets"]["value"].as_u64().unwrap();
    }
    let held = node.ask("ticket_list");
    let rows = held["epochs"].as_array().unwrap().iter();
    (value, rows.map(|row| row["score"].as_u64().unwrap()).sum())
}

/// Waits until all tickets are counted; what they are worth.
fn settled(node: &Node, least: u64) -> u64 {
    until(SOON, "the tickets are counted", || {
        let (value, score) = counted(node);
        assert!(value <= score, "{value} of {score} counted");
        (score >= least && value == score).then_some(score)
    })
}

#[test]
fn tickets_are_counted_once_whatever_happens_to_node_and_device() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let node = Node::start(&data);
    let publish =
        |node: &Node, name| Device::publish(home.path(), name, &node.address(), &["8080:public"]).0;
    let first = publish(&node, "a");
    let one = settled(&node, 1);
    // The same device once more, in place of its older session.
    drop(first);
    let second = publish(&node, "a");
    assert_eq!(settled(&node, one), one, "a ticket that is shown again");
    let third = publish(&node, "b");
    let two = settled(&node, one + 1);
    // Killed: what was not committed is lost, and found again in the tickets.
    drop(node);
    let node = Node::start_with(&data, &[("CHR_TICKETS__GRACE_BYTES", "1M")]);
    assert_eq!(settled(&node, two), two);
    drop((second, third));
    let _fourth = publish(&node, "a");
    assert_eq!(settled(&node, two), two);
}

#[test]
fn an_orderly_stop_leaves_the_running_period_on_the_disk() {
    let home = tempfile::tempdir().unwrap();
    let mut node = Node::start(home.path());
    let told = status(&node);
    node.program.signal("-TERM");
    assert!(node.program.wait(SOON).success());
    let store = store(home.path());
    let row: RewardRow = store.get(RUNNING).unwrap().unwrap();
    assert!(!row.over);
    assert!(row.end >= told["period_end"].as_u64().unwrap());
    assert!(
        row.seen + 2 >= now() - 30 && row.seen <= now() + 1,
        "{row:?}"
    );
    assert!(row.up_ms <= (row.seen - row.start) * 1000 + 1000, "{row:?}");
}

#[test]
fn rates_take_effect_when_the_settings_are_loaded_anew() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node.toml");
    std::fs::write(&file, "[rewards]\n").unwrap();
    let mut command = chr_node();
    command.arg("run").arg("--config").arg(&file);
    let node = Node::start_command(command, &home.path().join("data"), &[]);
    assert_eq!(status(&node)["rates"], Value::Null);
    std::fs::write(&file, "[rewards]\nrates = [\"hour=1.5\"]\n").unwrap();
    node.program.signal("-HUP");
    until(SOON, "the rates", || {
        let told = node.ask("reward_status");
        (told["rates"]["hour"] == "1.5" && told["chr_tokens_earned"].is_string()).then_some(())
    });
}
