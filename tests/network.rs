//! Nodes among each other, as real programs on 127.x addresses: joined by a
//! seed, back without one, and alive with wrong ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::servers::*;
use common::tools::*;
use common::*;
use serde_json::Value;
use std::path::Path;

/// A node at 127.0.N.1.
fn node_at(n: u8, data: &Path, settings: &[(&str, &str)]) -> Node {
    let bind = format!("127.0.{n}.1");
    let mut all = vec![("CHR_NETWORK__BIND", bind.as_str())];
    all.extend(settings);
    Node::start_with(data, &all)
}

fn wait_until_known(node: &Node, others: &[&Node]) {
    until(SOON, "the others are known", || {
        let known = node.known();
        let all = others
            .iter()
            .all(|other| known.iter().any(|id| id == other.id()));
        all.then_some(())
    });
}

fn wait_for(node: &Node, words: &str) -> String {
    until(SOON, words, || {
        let log = node.program.stderr();
        log.contains(words).then_some(log)
    })
}

fn stop(mut node: Node) -> String {
    node.program.signal("-TERM");
    assert_eq!(node.program.wait(SOON).code(), Some(0));
    node.program.stderr()
}

#[test]
fn three_nodes_find_each_other_by_one_seed() {
    let homes: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = node_at(2, homes[0].path(), &[]);
    let seed = format!("diode://{}", first.seed());
    let second = node_at(3, homes[1].path(), &[("SEED_LIST", &seed)]);
    let plain = first.peer().to_string();
    let third = node_at(4, homes[2].path(), &[("SEED_LIST", &plain)]);
    wait_until_known(&first, &[&second, &third]);
    wait_until_known(&second, &[&first, &third]);
    wait_until_known(&third, &[&first, &second]);
    for node in [&first, &second, &third] {
        let log = wait_for(node, "joined the network: ");
        assert_eq!(log.matches("joined the network").count(), 1, "{log}");
        let stats = node.ask("network_stats");
        let dht = stats["dht"].as_object().unwrap();
        assert!(dht["lookups"].is_u64() && dht["values"].is_u64(), "{stats}");
    }
    // What `peer_list` says is what the program shows.
    let row = until(SOON, "a row with a round trip", || {
        let peers = second.ask("peer_list");
        let rows = peers.as_array().unwrap().iter();
        let mut rows = rows.filter(|row| row["node_id"] == first.id());
        rows.find(|row| row["rtt_ms"].is_u64()).cloned()
    });
    assert_eq!(row["address"], first.peer().to_string());
    assert!(row["last_seen"].as_u64().unwrap() >= row["first_seen"].as_u64().unwrap());
    let score = row["reliability_score"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&score), "{row}");
    let data = homes[1].path().to_str().unwrap();
    let shown = run(chr_node().args(["peers", "--data-dir", data]), SOON);
    assert_eq!(
        (shown.code, shown.out.lines().count()),
        (0, 3),
        "{}",
        shown.out
    );
    assert!(shown.out.contains(first.id()) && shown.out.contains(third.id()));
    let url = format!("http://{}", second.rpc());
    let json = run(chr_node().args(["peers", "--json", "--rpc", &url]), SOON);
    let mut ids: Vec<String> = json
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|row| row["node_id"].as_str().unwrap().to_owned())
        .collect();
    let mut wanted = vec![first.id().to_owned(), third.id().to_owned()];
    ids.sort();
    wanted.sort();
    assert_eq!(ids, wanted);
    let log = stop(second);
    assert_eq!(log.matches("left the network").count(), 1, "{log}");
}

#[test]
fn a_restarted_node_is_back_without_a_seed() {
    let homes: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = node_at(6, homes[0].path(), &[]);
    let seed = first.seed();
    let second = node_at(7, homes[1].path(), &[("SEED_LIST", &seed)]);
    wait_until_known(&second, &[&first]);
    let id = second.id().to_owned();
    stop(second);
    let again = node_at(7, homes[1].path(), &[]);
    assert_eq!(again.id(), id);
    // Known at once from the store, and in the network by itself.
    wait_until_known(&again, &[&first]);
    wait_for(&again, "joined the network: 1 node known");
}

#[test]
fn wrong_seeds_are_named_and_the_node_lives() {
    let home = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let stranger = node_at(8, other.path(), &[]);
    let id = "0x00112233445566778899aabbccddeeff00112233";
    // Nobody's port, a name that does not exist, and somebody else.
    let seeds = format!(
        "127.0.9.9:9, no.such.host.invalid:51055, {id}@{}",
        stranger.peer()
    );
    let node = node_at(9, home.path(), &[("SEED_LIST", &seeds)]);
    let log = wait_for(&node, "seed no.such.host.invalid:51055: ");
    assert!(log.contains("network.seeds"), "{log}");
    let log = wait_for(&node, "no other node has answered for ");
    assert!(log.contains("127.0.9.9:9") && log.contains(id), "{log}");
    assert!(!log.contains("joined the network"), "{log}");
    let health = until(SOON, "health tells", || {
        let health =
            node.http("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        health.contains("\"degraded\"").then_some(health)
    });
    assert!(health.contains("\"layer\":\"network\""), "{health}");
    assert!(health.contains("correct network.seeds"), "{health}");
    let route = Route::tcp(home.path(), &node.address(), echo_server());
    assert_echo(route.listen, b"alone and served");
}

#[test]
fn a_node_without_seeds_is_well() {
    let home = tempfile::tempdir().unwrap();
    let node = node_at(10, home.path(), &[]);
    let health = node.http("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(health.contains("\"ok\""), "{health}");
    let shown = run(
        chr_node().args(["peers", "--rpc", &node.rpc().to_string()]),
        SOON,
    );
    assert!(
        shown.out.contains("no other node is known"),
        "{}",
        shown.out
    );
}

#[test]
fn a_seed_that_is_told_by_sighup_is_asked() {
    let homes: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = node_at(11, homes[0].path(), &[]);
    let file = homes[1].path().join("chr.toml");
    std::fs::write(&file, "").unwrap();
    let mut command = chr_node();
    command.args(["run", "--config"]).arg(&file);
    let bind = [("CHR_NETWORK__BIND", "127.0.12.1")];
    let second = Node::start_command(command, homes[1].path(), &bind);
    assert_eq!(second.known(), Vec::<String>::new());
    let text = format!("[network]\nseeds = [\"{}\"]\n", first.seed());
    std::fs::write(&file, text).unwrap();
    second.program.signal("-HUP");
    wait_until_known(&second, &[&first]);
    let log = wait_for(&second, "joined the network");
    assert!(!log.contains("needs a restart"), "{log}");
}

#[test]
fn nobody_to_ask_is_told_in_one_line() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().to_str().unwrap();
    let peers = |options: &[&str]| {
        let mut command = chr_node();
        command.args(["peers", "--data-dir", data]).args(options);
        run(&mut command, SOON)
    };
    let off = ["--set", "network.rpc_port=0"];
    peers(&off).assert_one_line(1, &["no node runs here", data, "--rpc URL"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    drop(taken);
    let rpc = format!("http://127.0.0.1:{port}");
    peers(&["--rpc", &rpc]).assert_one_line(1, &[&port, "nothing listens"]);
    peers(&["--rpc", "https://a.b:1"]).assert_one_line(2, &["--rpc", "network.rpc_port"]);
    peers(&["now"]).assert_one_line(2, &["now"]);
    // Something else listens there.
    let other = serve(|mut stream| {
        use std::io::{Read, Write};
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n<html>");
    });
    let rpc = format!("http://127.0.0.1:{other}");
    peers(&["--rpc", &rpc]).assert_one_line(1, &["no node answers there"]);
}

#[test]
fn devices_on_two_nodes_meet() {
    let homes: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = node_at(14, homes[0].path(), &[]);
    let seed = first.seed();
    let second = node_at(15, homes[1].path(), &[("SEED_LIST", &seed)]);
    wait_for(&first, "joined the network");
    wait_for(&second, "joined the network");
    let spec = format!("{}=8080:public", echo_server());
    let (_publisher, ready) =
        Device::publish(homes[0].path(), "publish", &first.address(), &[&spec]);
    let target = format!("{}:8080", ready["device"].as_str().unwrap());
    let (forwarder, listen) = Device::forward(
        homes[1].path(),
        "forward",
        &second.address(),
        "127.0.0.1:0",
        &target,
        &[],
    );
    // It is told to the network within a second of its ticket.
    until(SOON, "the device is found", || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(listen).ok()?;
        stream.set_read_timeout(Some(SOON)).ok()?;
        stream.write_all(b"across").ok()?;
        let mut back = [0; 6];
        stream.read_exact(&mut back).ok()?;
        (&back == b"across").then_some(())
    });
    let bytes = noise(5, 3 << 20);
    assert_echo(listen, &bytes);
    let peers = second.ask("peer_list");
    let row = peers.as_array().unwrap().iter();
    let mut row = row.filter(|row| row["node_id"] == first.id());
    let row = row.next().unwrap();
    assert_eq!(row["connected"], true, "{row}");
    assert!(row["bytes_in"].as_u64().unwrap() >= 3 << 20, "{row}");
    assert!(row["bytes_out"].as_u64().unwrap() >= 3 << 20, "{row}");
    drop(forwarder);
}

#[test]
fn devices_that_come_together_are_all_told_and_none_before_its_turn() {
    use chr_node::edge::device::{Device, DeviceEvent, DeviceOptions, NodeAddress};
    use chr_node::identity::SecretKey;
    use smol::Executor;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    const DEVICES: u64 = 50;
    /// A second.
    const RATE: u64 = 10;
    let homes: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = node_at(16, homes[0].path(), &[]);
    let seed = first.seed();
    let second = node_at(17, homes[1].path(), &[("SEED_LIST", &seed)]);
    wait_for(&first, "joined the network");
    wait_for(&second, "joined the network");
    let kept = |node: &Node| {
        let stats = node.ask("network_stats");
        stats["dht"]["values"].as_u64().unwrap()
    };
    // Both have published themselves.
    until(SOON, "the nodes' own records", || {
        (kept(&second) == 2).then_some(())
    });
    let address: NodeAddress = first.address().parse().unwrap();
    let executor = Arc::new(Executor::new());
    let inner = executor.clone();
    let began = Instant::now();
    let devices = smol::block_on(executor.run(async move {
        let start = |_| {
            let options = DeviceOptions::new(SecretKey::generate(), vec![address.clone()]);
            Device::start(options, &inner).unwrap()
        };
        let devices: Vec<Device> = (0..DEVICES).map(start).collect();
        for device in &devices {
            let event = device.next_event().await;
            assert!(matches!(event, DeviceEvent::Ready { .. }), "{event:?}");
        }
        devices
    }));
    let (stop, stopped) = smol::channel::bounded::<()>(1);
    let serving = std::thread::spawn(move || smol::block_on(executor.run(stopped.recv())));
    until(SOON, "all devices are known to the other node", || {
        let told = kept(&second) - 2;
        let most = 1 + RATE * (began.elapsed().as_secs() + 1);
        assert!(told <= most, "{told} after {:?}", began.elapsed());
        (told == DEVICES).then_some(())
    });
    let least = Duration::from_secs(DEVICES / RATE - 1);
    assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    drop(stop);
    let _ = serving.join();
    drop(devices);
}
