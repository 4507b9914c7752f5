//! Devices with several nodes: a session with the best, a second one kept warm,
//! and nothing lost but what went through the node that died.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use chr_node::store::{Store, StoreOptions};
use chr_node::ticket::TicketRow;
use common::servers::*;
use common::tools::*;
use common::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// A node in a folder of its own.
fn node() -> (TempDir, Node) {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    (home, node)
}

/// `publish` at these nodes, with its address.
fn publish(home: &Path, spec: &str, nodes: &[&Node], options: &[&str]) -> (Device, String) {
    let places: Vec<String> = nodes.iter().map(|node| node.address()).collect();
    let mut args = vec!["publish", spec];
    for place in &places {
        args.extend(["--node", place]);
    }
    args.extend(options);
    let device = Device::start(home, "p", &args);
    let ready = device.expect("ready");
    assert_eq!(ready["node"], nodes[0].id(), "the best comes first");
    (device, ready["device"].as_str().unwrap().to_owned())
}

/// `forward` at these nodes to port 8080 of `device`, with its place.
fn forward(home: &Path, name: &str, device: &str, nodes: &[&Node]) -> (Device, SocketAddr) {
    let target = format!("{device}:8080");
    let more: Vec<String> = nodes[1..].iter().map(|node| node.address()).collect();
    let more: Vec<&str> = more.iter().flat_map(|place| ["--node", place]).collect();
    let first = nodes[0].address();
    Device::forward(home, name, &first, "127.0.0.1:0", &target, &more)
}

/// Whether a byte sent there comes back.
fn answers(place: SocketAddr) -> Option<()> {
    let mut stream = TcpStream::connect(place).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    stream.write_all(b"y").ok()?;
    stream.read_exact(&mut [0]).ok()
}

#[track_caller]
fn await_answer(place: SocketAddr, what: &str) {
    until(SOON, what, || answers(place));
}

/// The devices that a node says it serves.
fn devices(node: &Node) -> u64 {
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"chr_node_info"}"#;
    let answer = node.http(&format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{call}",
        call.len()
    ));
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let answer: serde_json::Value = serde_json::from_str(body).unwrap();
    answer["result"]["devices"].as_u64().unwrap()
}

#[track_caller]
fn await_devices(node: &Node, count: u64) {
    until(SOON, "the devices are there", || {
        (devices(node) == count).then_some(())
    });
}

#[test]
fn a_device_is_found_at_both_its_nodes_and_kill_9_of_one_cuts_nothing_at_the_other() {
    let ((_a, mut first), (_b, second)) = (node(), node());
    let home = tempfile::tempdir().unwrap();
    let spec = format!("{}=8080:public", echo_server());
    let (publisher, device) = publish(home.path(), &spec, &[&first, &second], &[]);
    let (_at_first, by_first) = forward(home.path(), "f", &device, &[&first]);
    let (at_second, by_second) = forward(home.path(), "g", &device, &[&second]);
    await_answer(by_first, "found at the first");
    await_answer(by_second, "found at the second, too");
    // A connection through the second node outlives the first.
    let mut stream = TcpStream::connect(by_second).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    first.program.signal("-KILL");
    first.program.wait(SOON);
    let lost = publisher.event(SOON).unwrap();
    assert_eq!(lost["event"], "lost", "{lost}");
    // The second stood already: no attempt lies between.
    let back = publisher.event(SOON).unwrap();
    assert_eq!(back["event"], "back", "{back}");
    assert_eq!(
        (&back["node"], &back["ms"]),
        (&second.id().into(), &0.into())
    );
    stream.write_all(b"z").unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"z");
    assert!(answers(by_second).is_some());
    assert!(at_second.event(Duration::ZERO).is_none(), "it lost nothing");
}

#[test]
fn new_connections_of_an_opener_go_through_its_second_node_when_the_first_dies() {
    let ((_a, mut first), (_b, second)) = (node(), node());
    let home = tempfile::tempdir().unwrap();
    let spec = format!("{}=8080:public", echo_server());
    let (_publisher, device) = publish(home.path(), &spec, &[&first, &second], &[]);
    let (forwarder, listen) = forward(home.path(), "f", &device, &[&first, &second]);
    // Both are warm at the second.
    await_devices(&second, 2);
    await_answer(listen, "found at the first");
    first.program.signal("-KILL");
    first.program.wait(SOON);
    let lost = forwarder.event(SOON).unwrap();
    assert_eq!(lost["event"], "lost");
    assert_eq!(forwarder.event(SOON).unwrap()["event"], "back");
    await_answer(listen, "found at the second");
}

#[test]
fn a_warm_session_that_dies_is_replaced_by_one_with_the_next_node() {
    let ((_a, mut first), (_b, mut second), (_c, third)) = (node(), node(), node());
    let home = tempfile::tempdir().unwrap();
    let spec = format!("{}=8080:public", echo_server());
    let (publisher, device) = publish(home.path(), &spec, &[&first, &second, &third], &[]);
    let (_at_third, listen) = forward(home.path(), "f", &device, &[&third]);
    await_devices(&second, 1);
    assert_eq!(devices(&third), 1, "the forwarder alone: two are enough");
    second.program.signal("-KILL");
    second.program.wait(SOON);
    await_devices(&third, 2);
    await_answer(listen, "found at the third");
    // Nothing was lost that the program used.
    assert!(publisher.event(Duration::ZERO).is_none());
    first.program.signal("-KILL");
    first.program.wait(SOON);
    assert_eq!(publisher.event(SOON).unwrap()["event"], "lost");
    let back = publisher.event(SOON).unwrap();
    assert_eq!(back["node"], third.id(), "{back}");
    assert!(answers(listen).is_some());
}

#[test]
fn a_device_that_the_first_node_does_not_know_is_opened_through_the_second() {
    let ((_a, first), (_b, second)) = (node(), node());
    let home = tempfile::tempdir().unwrap();
    let spec = format!("{}=8080:public", echo_server());
    // The two have one node in common, the second of one of them.
    let (_publisher, device) = publish(home.path(), &spec, &[&second], &[]);
    let (forwarder, listen) = forward(home.path(), "f", &device, &[&first, &second]);
    await_answer(listen, "found at the second");
    // What neither knows is refused with the reason, once.
    let stranger = "0x00112233445566778899aabbccddeeff00112233";
    let (lonely, nowhere) = forward(home.path(), "g", stranger, &[&first, &second]);
    await_devices(&second, 3);
    assert!(answers(nowhere).is_none());
    let refused = lonely.expect("refused");
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("not connected to this node"), "{reason}");
    drop(forwarder);
}

#[test]
fn a_first_node_that_has_frozen_does_not_keep_an_opener_from_the_second() {
    let ((_a, first), (_b, second)) = (node(), node());
    let home = tempfile::tempdir().unwrap();
    let spec = format!("{}=8080:public", echo_server());
    let (_publisher, device) = publish(home.path(), &spec, &[&second], &[]);
    let (forwarder, listen) = forward(home.path(), "f", &device, &[&first, &second]);
    await_devices(&second, 2);
    // Its connections stand, and nothing comes of them.
    first.program.signal("-STOP");
    assert!(answers(listen).is_some(), "{}", forwarder.program.stderr());
    // From then on the second is asked first: a crowd of openings needs no crowd
    // of waits.
    for _ in 0..20 {
        assert!(answers(listen).is_some());
    }
}

#[test]
fn two_places_of_one_node_are_one_session_and_no_end() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), &[("EDGE2_PORT", "0 0")]);
    let other = node.run["edge"][1].as_str().unwrap().to_owned();
    let spec = format!("{}=8080:public", echo_server());
    let args = [
        "publish",
        &spec,
        "--node",
        &node.address(),
        "--node",
        &other,
    ];
    let mut device = Device::start(home.path(), "p", &args);
    device.expect("ready");
    let error = device.expect("error");
    let reason = error["reason"].as_str().unwrap();
    assert!(reason.contains("name another node"), "{reason}");
    assert!(device.event(Duration::from_secs(1)).is_none());
    assert!(device.program.child.try_wait().unwrap().is_none());
    assert_eq!(devices(&node), 1);
}

#[test]
fn a_second_node_that_is_away_is_complained_of_once_and_taken_when_it_comes() {
    let ((_a, first), (_b, second)) = (node(), node());
    let place = second.edge();
    let data = second.data.clone();
    let named = second.address();
    drop(second);
    let home = tempfile::tempdir().unwrap();
    let spec = format!("{}=8080:public", echo_server());
    let args = [
        "publish",
        &spec,
        "--node",
        &first.address(),
        "--node",
        &named,
    ];
    let device = Device::start(home.path(), "p", &args);
    device.expect("ready");
    let error = device.expect("error");
    let reason = error["reason"].as_str().unwrap();
    assert!(reason.contains(&place.to_string()), "{reason}");
    let second = Node::start_with(&data, &[("EDGE2_PORT", &place.port().to_string())]);
    await_devices(&second, 1);
    assert!(device.event(Duration::ZERO).is_none(), "told once");
}

#[test]
fn a_first_node_that_does_not_answer_does_not_keep_a_device_from_the_second() {
    let (_b, second) = node();
    let home = tempfile::tempdir().unwrap();
    // It takes connections and never says a word.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = mute.local_addr().unwrap().to_string();
    let spec = format!("{}=8080:public", echo_server());
    let args = [
        "publish",
        &spec,
        "--node",
        &place,
        "--node",
        &second.address(),
    ];
    let device = Device::start(home.path(), "p", &args);
    let event = device.event(SOON).unwrap();
    assert_eq!(event["event"], "ready", "{event}");
    assert_eq!(event["node"], second.id());
}

/// What a device has signed for at a node that has stopped.
fn signed(data: &Path, device: &str) -> u64 {
    let store = Store::open(&data.join("store"), StoreOptions::default()).unwrap();
    let rows: Vec<TicketRow> = store.scan_prefix(&[], 100).unwrap();
    let own = rows.iter().filter(|row| row.device.to_string() == device);
    own.map(|row| row.ticket.total_bytes).sum()
}

#[test]
fn max_bytes_bounds_what_is_signed_for_all_nodes_together() {
    let ((a, mut first), (b, mut second)) = (node(), node());
    let home = tempfile::tempdir().unwrap();
    let spec = format!("{}=8080:public", echo_server());
    let nodes = [&first, &second];
    let (mut publisher, device) = publish(home.path(), &spec, &nodes, &["--max-bytes", "5M"]);
    let (_forwarder, listen) = forward(home.path(), "f", &device, &[&first]);
    await_devices(&second, 1);
    assert_echo(listen, &noise(3, 2_000_000));
    publisher.program.signal("-INT");
    assert_eq!(publisher.program.wait(SOON).code(), Some(0));
    for node in [&mut first, &mut second] {
        node.program.signal("-TERM");
        assert_eq!(node.program.wait(SOON).code(), Some(0));
    }
    let [at_first, at_second] = [a.path(), b.path()].map(|data| signed(data, &device));
    assert!(at_first >= 4 << 20, "{at_first}");
    assert!(at_second > 0, "the warm session is paid, too");
    assert!(
        at_second < 1 << 20,
        "and no more than it needs: {at_second}"
    );
    assert!(at_first + at_second <= 5 << 20, "{at_first} {at_second}");
}
