//! Nodes that die, stop and come back: what devices notice, and what is left on
//! disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use chr_node::identity::Address;
use chr_node::store::{Store, StoreOptions};
use chr_node::ticket::TicketRow;
use chr_node::wire::control::TicketAsk;
use common::raw::{self, Raw};
use common::servers::*;
use common::tools::*;
use common::*;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long devices may take to return to a node that is there again.
const RETURN: Duration = Duration::from_secs(5);

/// The next event must be this one.
#[track_caller]
fn next(device: &Device, name: &str, most: Duration) -> serde_json::Value {
    let event = device.event(most).unwrap_or_default();
    assert_eq!(event["event"], name, "{event}; {}", device.program.stderr());
    event
}

/// Skips reports of attempts that failed until the device is back.
#[track_caller]
fn await_back(device: &Device, since: Instant) -> u64 {
    loop {
        let event = device
            .event(RETURN.saturating_sub(since.elapsed()))
            .expect("back in time");
        if event["event"] == "back" {
            return event["ms"].as_u64().unwrap();
        }
        assert_eq!(event["event"], "error", "{event}");
    }
}

/// The same node on the same ports.
fn start_again(node: Node) -> Node {
    let (data, edge, rpc) = (
        node.data.clone(),
        node.edge().port().to_string(),
        node.rpc().port().to_string(),
    );
    drop(node);
    Node::start_with(&data, &[("EDGE2_PORT", &edge), ("RPC_PORT", &rpc)])
}

/// What a node has stored, once it has stopped.
fn stored_tickets(data: &Path) -> Vec<TicketRow> {
    let store = Store::open(&data.join("store"), StoreOptions::default()).unwrap();
    let rows = store.scan_prefix(&[], 100).unwrap();
    assert_eq!(store.health().bad_rows, 0);
    rows
}

fn row_of(rows: &[TicketRow], device: &str) -> TicketRow {
    let device: Address = device.parse().unwrap();
    let found = rows.iter().find(|row| row.device == device);
    found.expect("the device's row").clone()
}

/// Sends a block of 64 KiB every 8 ms: 8 MB a second.
fn slow_source() -> u16 {
    serve(|mut stream| {
        let block = noise(11, 64 * 1024);
        while stream.write_all(&block).is_ok() {
            std::thread::sleep(Duration::from_millis(8));
        }
    })
}

#[test]
fn after_kill_9_devices_return_by_themselves_and_what_they_paid_is_known() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    // A device that knows what the node has confirmed as durable.
    let key = raw::key();
    let paid = 123_456_789;
    let confirmed = Raw::admitted(&node, &key, paid);
    let specs = [
        format!("{}=8080:public", slow_source()),
        format!("{}=8081:public", echo_server()),
    ];
    let (publisher, ready) =
        Device::publish(home.path(), "p", &node.address(), &[&specs[0], &specs[1]]);
    let device = ready["device"].as_str().unwrap();
    let start = |name: &str, port: u16| {
        let target = format!("{device}:{port}");
        Device::forward(
            home.path(),
            name,
            &node.address(),
            "127.0.0.1:0",
            &target,
            &[],
        )
    };
    let (bulk, bulk_listen) = start("f", 8080);
    let (echo, echo_listen) = start("g", 8081);

    let mut stream = TcpStream::connect(bulk_listen).unwrap();
    let began = Instant::now();
    let mut received = 0;
    let mut buffer = vec![0; 256 * 1024];
    while received < 20 << 20 {
        received += stream.read(&mut buffer).unwrap();
    }
    let rate = received as f64 / began.elapsed().as_secs_f64();
    let mut node = node;
    node.program.signal("-KILL");
    node.program.wait(SOON);
    for device in [&publisher, &bulk, &echo] {
        next(device, "lost", SOON);
    }
    // The stream was cut, and must not look complete.
    let end = loop {
        match stream.read(&mut buffer) {
            Ok(0) => panic!("a clean end in the middle"),
            Ok(n) => received += n,
            Err(e) => break e.kind(),
        }
    };
    assert_eq!(end, ErrorKind::ConnectionReset);

    let rows = stored_tickets(home.path());
    let ours = row_of(&rows, &key.address().to_string());
    assert_eq!(ours.ticket.total_bytes, paid, "a durable ticket is lost");
    // At most 8 MiB or what one second and one commit carried may be missing.
    let missing = (8u64 << 20).max((rate * 1.5) as u64);
    let forwarder = bulk_address(home.path());
    for device in [device, &forwarder] {
        let row = row_of(&rows, device);
        let usage = row.usage;
        assert!(usage + missing >= received as u64, "{usage} of {received}");
        // Never too high: what was on its way cannot be more than the windows.
        let most = received as u64 + received as u64 / 50 + (5 << 20);
        assert!(usage <= most, "{usage} counted, {received} received");
        assert!(row.ticket.total_bytes > 0);
    }

    let node = start_again(node);
    let since = Instant::now();
    for device in [&publisher, &bulk, &echo] {
        let away = await_back(device, since);
        assert!(away > 0);
    }
    assert_echo(echo_listen, &noise(2, 1_000_000));
    let mut stream = TcpStream::connect(bulk_listen).unwrap();
    stream.read_exact(&mut buffer).unwrap();
    // The accounts go on where the disk had them.
    drop(confirmed);
    let mut again = Raw::greeted(&node, &key);
    let ask: TicketAsk = again.expect();
    assert_eq!(ask.usage, ours.usage);
}

/// The address of the identity file `f.key`.
fn bulk_address(home: &Path) -> String {
    let text = std::fs::read_to_string(home.join("f.key")).unwrap();
    text.split_whitespace().nth(2).unwrap().to_owned()
}

#[test]
fn a_node_that_is_stopped_says_so_and_its_devices_return() {
    let home = tempfile::tempdir().unwrap();
    let mut node = Node::start(home.path());
    let route = Route::tcp(home.path(), &node.address(), echo_server());
    assert_echo(route.listen, b"before");
    let key = raw::key();
    let mut session = Raw::admitted(&node, &key, 1 << 30);
    node.program.signal("-TERM");
    let status = node.program.wait(Duration::from_secs(2));
    assert_eq!(status.code(), Some(0), "{}", node.program.stderr());
    let close = session.close_reason().expect("a reason");
    assert_eq!(close.code.word(), "shutting-down");
    assert!(close.retry_after_ms.is_some_and(|ms| ms <= 5_000));
    for device in [&route.publisher, &route.forwarder] {
        let lost = next(device, "lost", SOON);
        let reason = lost["reason"].as_str().unwrap();
        assert!(reason.contains("stopping"), "{reason}");
    }
    // Stopped in order: nothing at all is missing from the accounts.
    let rows = stored_tickets(home.path());
    assert_eq!(
        row_of(&rows, &key.address().to_string()).ticket.total_bytes,
        1 << 30
    );
    assert!(row_of(&rows, &route.target[..42]).usage > b"before".len() as u64);
    let _node = start_again(node);
    let since = Instant::now();
    for device in [&route.publisher, &route.forwarder] {
        await_back(device, since);
    }
    assert_echo(route.listen, b"after");
}

#[test]
fn with_two_nodes_given_devices_meet_again_at_the_other_one() {
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = Node::start(homes[0].path());
    let second = Node::start(homes[1].path());
    let other = second.address();
    let route = Route::open(
        homes[0].path(),
        &first.address(),
        &format!("{}=8080:public", echo_server()),
        "127.0.0.1:0",
        &["--node", &other],
    );
    assert_echo(route.listen, b"at the first");
    first.program.signal("-KILL");
    let since = Instant::now();
    for device in [&route.publisher, &route.forwarder] {
        next(device, "lost", SOON);
        let back = next(device, "back", RETURN.saturating_sub(since.elapsed()));
        assert_eq!(back["node"], second.id());
    }
    assert_echo(route.listen, b"at the second");
}

#[test]
fn a_node_that_is_long_away_is_still_returned_to() {
    let home = tempfile::tempdir().unwrap();
    let mut node = Node::start(home.path());
    let route = Route::tcp(home.path(), &node.address(), echo_server());
    node.program.signal("-KILL");
    node.program.wait(SOON);
    next(&route.publisher, "lost", SOON);
    // Several attempts have failed before it comes back.
    let mut last = String::new();
    for _ in 0..3 {
        let error = next(&route.publisher, "error", SOON);
        last = error["reason"].as_str().unwrap().to_owned();
    }
    assert!(last.contains("connection refused"), "{last}");
    let _node = start_again(node);
    let since = Instant::now();
    await_back(&route.publisher, since);
    next(&route.forwarder, "lost", SOON);
    await_back(&route.forwarder, since);
    assert_echo(route.listen, b"after");
}

#[test]
fn a_publishing_program_that_ends_is_told_and_found_again_when_it_returns() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let spec = format!("{}=8080:public", echo_server());
    let (mut publisher, ready) = Device::publish(home.path(), "p", &node.address(), &[&spec]);
    let target = format!("{}:8080", ready["device"].as_str().unwrap());
    let (forwarder, listen) = Device::forward(
        home.path(),
        "f",
        &node.address(),
        "127.0.0.1:0",
        &target,
        &[],
    );
    let mut open = TcpStream::connect(listen).unwrap();
    open.write_all(b"x").unwrap();
    open.read_exact(&mut [0]).unwrap();
    publisher.program.signal("-INT");
    assert_eq!(publisher.program.wait(SOON).code(), Some(0));
    assert_eq!(
        open.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    let mut refused = TcpStream::connect(listen).unwrap();
    assert_eq!(
        refused.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset,
        "a refused port looks like an empty answer"
    );
    let event = next(&forwarder, "refused", SOON);
    assert!(event["reason"].as_str().unwrap().contains("not connected"));
    let _publisher = Device::publish(home.path(), "p", &node.address(), &[&spec]);
    until(SOON, "the port is found again", || {
        let mut stream = TcpStream::connect(listen).ok()?;
        stream.write_all(b"y").ok()?;
        stream.read_exact(&mut [0]).ok()
    });
}

#[test]
fn devices_that_start_before_their_node_get_ready_when_it_comes() {
    let home = tempfile::tempdir().unwrap();
    // A node that was there once: its address and port are known.
    let node = Node::start(home.path());
    let (at, port) = (node.address(), node.edge().port().to_string());
    drop(node);
    let spec = format!("{}=8080:public", echo_server());
    let device = Device::start(home.path(), "p", &["publish", &spec, "--node", &at]);
    let error = next(&device, "error", SOON);
    assert!(error["reason"].as_str().unwrap().contains("refused"));
    let _node = Node::start_with(home.path(), &[("EDGE2_PORT", &port)]);
    // Never `back`: it was not there before.
    let ready = loop {
        let event = device.event(SOON).expect("ready");
        if event["event"] != "error" {
            break event;
        }
    };
    assert_eq!(ready["event"], "ready");
}

#[test]
fn a_node_that_comes_back_as_another_one_gets_no_session() {
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let node = Node::start(homes[0].path());
    let place = node.edge().to_string();
    let spec = format!("{}=8080:public", echo_server());
    // Met without its address: remembered by its place.
    let (mut device, _) = Device::publish(homes[0].path(), "p", &place, &[&spec]);
    let port = node.edge().port().to_string();
    drop(node);
    let other = Node::start_with(homes[1].path(), &[("EDGE2_PORT", &port)]);
    assert_eq!(device.program.wait(SOON).code(), Some(1));
    let said = complaints(&device.program);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(other.id()) && said[0].contains("--accept-node"));
}
