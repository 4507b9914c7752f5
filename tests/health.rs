//! Health: each of the five layers is broken for real, is named within five seconds
//! with what to do, and is well again when the fault is gone.
#![cfg(debug_assertions)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::mounts::{node_behind, small_disk};
use common::network::{node_at, peer_address};
use common::servers::*;
use common::tools::*;
use common::*;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A fault is named by then.
const NAMED: Duration = Duration::from_secs(5);
/// What was a while ago is no more told by then.
const FORGOTTEN: Duration = Duration::from_secs(120);
const LAYERS: [&str; 5] = [
    "process",
    "network",
    "storage",
    "performance",
    "integration",
];

/// The answer of `/health` with its status; `None` while nobody answers.
fn ask(node: &Node) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(node.rpc()).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let body = answer.split("\r\n\r\n").nth(1)?;
    let health: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}"));
    let layers = health["layers"].as_array().unwrap();
    let names: Vec<_> = layers.iter().map(|layer| layer["layer"].clone()).collect();
    assert_eq!(names, LAYERS, "all layers are always told");
    Some((status, health))
}

fn layer(health: &Value, name: &str) -> Value {
    let place = LAYERS.iter().position(|layer| *layer == name).unwrap();
    health["layers"][place].clone()
}

/// Waits until `name` is the one that is not well, for `reason`, with `remedy`.
/// The way of telling that was before the layers says the same.
#[track_caller]
fn named(node: &Node, name: &str, words: &[&str]) -> Value {
    let says = |told: &Value| format!("{} | {}", told["reason"], told["remedy"]);
    // A service that is being started again is told of as that first.
    let (status, health) = until(NAMED, &format!("{name} is named: {words:?}"), || {
        ask(node).filter(|(_, health)| {
            let told = layer(health, name);
            told["state"] != "ok" && words.iter().all(|word| says(&told).contains(word))
        })
    });
    assert_eq!(status, 200, "degraded is not dead: {health}");
    assert_eq!(health["status"], "degraded", "{health}");
    let told = layer(&health, name);
    assert!(told["since"].as_u64().unwrap() > 1_700_000_000, "{told}");
    assert!(told["seconds"].as_u64().unwrap() <= 10, "{told}");
    let reasons = health["reasons"].as_array().unwrap();
    let same = reasons.iter().find(|r| r["layer"] == name).unwrap();
    assert_eq!(same["reason"], told["reason"], "{health}");
    assert_eq!(same["remedy"], told["remedy"], "{health}");
    for other in LAYERS.iter().filter(|other| **other != name) {
        assert_eq!(layer(&health, other)["state"], "ok", "{health}");
    }
    health
}

#[track_caller]
fn well_again(node: &Node, most: Duration) {
    let began = Instant::now();
    let (_, health) = until(most, "all is well again", || {
        ask(node).filter(|(_, health)| health["status"] == "ok")
    });
    println!("well again after {} ms", began.elapsed().as_millis());
    assert_eq!(health["reasons"], serde_json::json!([]), "{health}");
}

fn faulty(home: &Path, fault: &str) -> Node {
    let mut command = chr_node();
    command.env("TEST_FAULT", fault).env("RUST_BACKTRACE", "0");
    Node::start_command(command, home, &[])
}

#[test]
fn a_service_that_panics_is_named_and_forgotten_when_it_stays_at_that() {
    let home = tempfile::tempdir().unwrap();
    let node = faulty(home.path(), "cron:panic");
    named(
        &node,
        "process",
        &[
            "service cron failed and was started again: panic",
            "report it with the log",
        ],
    );
    well_again(&node, FORGOTTEN);
}

#[test]
fn a_node_that_finds_nobody_is_named_until_its_seed_comes() {
    let home = tempfile::tempdir().unwrap();
    // A place where nobody is: bound, so that no other test takes it.
    let place = UdpSocket::bind("127.77.0.9:0").unwrap();
    let at = place.local_addr().unwrap();
    let node = node_at(home.path(), 1, &at.to_string(), &[]);
    let health = named(
        &node,
        "network",
        &["no other node has answered", "correct network.seeds"],
    );
    let since = layer(&health, "network")["since"].clone();
    drop(place);
    let port = at.port().to_string();
    let _seed = node_at(home.path(), 9, "none", &[("PEER2_PORT", port.as_str())]);
    // One state from its beginning to its end.
    if let Some((_, health)) = ask(&node) {
        let now = layer(&health, "network");
        let moved = now["since"]
            .as_u64()
            .unwrap()
            .abs_diff(since.as_u64().unwrap());
        assert!(now["state"] == "ok" || moved <= 1, "{now}");
    }
    well_again(&node, FORGOTTEN);
}

/// A hundred kilobytes through the node and back, so that it has something to keep.
fn carry(route: &Route) {
    let mut stream = route.connect();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let _ = write_blocks(&mut stream, 3, 9);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn a_disk_that_is_full_is_named_until_it_has_room() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    fs::create_dir(&store).unwrap();
    let Some(command) = node_behind(&small_disk(&store, "512k", 0)) else {
        return;
    };
    let node = Node::start_command(command, home.path(), &[]);
    let route = Route::tcp(home.path(), &node.address(), digest_server());
    carry(&route);
    assert_eq!(ask(&node).unwrap().1["status"], "ok");
    let inside = PathBuf::from(format!("/proc/{}/root", node.program.child.id()));
    let filler = inside.join(store.strip_prefix("/").unwrap()).join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
    file.sync_all().unwrap();
    drop(file);
    // Until a row finds no page that is free in the file.
    until(SOON, "a commit failed", || {
        carry(&route);
        let stats = common::network::call(&node, "network_stats");
        (stats["errors"]["store_failures"].as_u64()? > 0).then_some(())
    });
    named(
        &node,
        "storage",
        &["tickets cannot be stored", "free space on the disk"],
    );
    fs::remove_file(&filler).unwrap();
    until(FORGOTTEN, "all is well again", || {
        carry(&route);
        ask(&node).filter(|(_, health)| health["status"] == "ok")
    });
}

#[test]
fn an_executor_that_has_too_much_to_do_is_named_while_it_has() {
    let home = tempfile::tempdir().unwrap();
    let node = faulty(home.path(), "cron:busy");
    named(
        &node,
        "performance",
        &["ms for their turn", "runtime.threads"],
    );
    well_again(&node, FORGOTTEN);
}

#[test]
fn a_node_of_the_fleet_that_died_is_named_until_it_is_back() {
    let home = tempfile::tempdir().unwrap();
    let cellar = node_at(home.path(), 21, "none", &[]);
    let place = peer_address(&cellar);
    let fleet = format!("cellar={place}");
    let settings = [("CHR_FLEET__NODES", fleet.as_str())];
    let node = node_at(home.path(), 22, "none", &settings);
    until(SOON, "the link stands", || {
        let fleet = common::network::call(&node, "fleet_status");
        (fleet["nodes"][0]["reachable"] == true).then_some(())
    });
    well_again(&node, SOON);
    let port = cellar.run["peer"].as_str().unwrap();
    let port = port.rsplit(':').next().unwrap().to_owned();
    cellar.program.signal("-KILL");
    drop(cellar);
    named(
        &node,
        "integration",
        &[
            "1 of 1 nodes of the fleet do not answer: cellar",
            "start them",
        ],
    );
    let _cellar = node_at(home.path(), 21, "none", &[("PEER2_PORT", port.as_str())]);
    well_again(&node, FORGOTTEN);
}
