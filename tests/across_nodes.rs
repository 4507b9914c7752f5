//! Devices on different nodes: what is lost when nodes do not find each other,
//! or when one of them goes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::network::*;
use common::programs::{identity, refusal};
use common::servers::*;
use common::tools::*;
use common::*;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// A device that offers `port` to all, at these nodes.
fn publish(home: &Path, name: &str, port: &str, nodes: &[&Node]) -> (Device, String) {
    let mut args = vec!["publish", port];
    let places: Vec<String> = nodes.iter().map(|n| n.address()).collect();
    for place in &places {
        args.extend(["--node", place]);
    }
    let device = Device::start(home, name, &args);
    let ready = device.expect("ready");
    (device, ready["device"].as_str().unwrap().to_owned())
}

/// Asks a forward until it answers: how long that took.
fn answers_again(listen: SocketAddr, most: Duration) -> Duration {
    let begun = Instant::now();
    until(most, "the forward answers", || {
        let mut stream = TcpStream::connect(listen).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(25)))
            .unwrap();
        std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\n\r\n").ok()?;
        stream.shutdown(std::net::Shutdown::Write).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.contains("across").then_some(())
    });
    begun.elapsed()
}

#[test]
fn a_device_on_another_node_is_found_and_its_bytes_arrive_whole() {
    let home = tempfile::tempdir().unwrap();
    let nodes = network(home.path(), 3);
    let target = digest_server();
    let spec = format!("{target}=9000:public");
    let (_publisher, device) = publish(home.path(), "p", &spec, &[&nodes[1]]);
    let (_forwarder, listen) = Device::forward(
        home.path(),
        "f",
        &nodes[2].address(),
        "127.0.0.1:0",
        &format!("{device}:9000"),
        &[],
    );
    // 24 MB: more than all windows on the way hold together.
    let mut stream = TcpStream::connect(listen).unwrap();
    let mut answer = [0; 40];
    let sent = write_blocks(&mut stream, 5, 384);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[8..], sent);
    // Both nodes have it in their books, and the link between them is listed.
    for (node, other) in [(&nodes[1], &nodes[2]), (&nodes[2], &nodes[1])] {
        let peers = call(node, "peer_list");
        let link = peers
            .as_array()
            .unwrap()
            .iter()
            .find(|p| p["node_id"] == other.id())
            .expect("the other node is listed")
            .clone();
        assert_eq!(link["connected"], true, "{link}");
        let carried = link["bytes_in"].as_u64().unwrap() + link["bytes_out"].as_u64().unwrap();
        assert!(carried > 24_000_000, "{link}");
    }
}

#[test]
fn a_device_that_is_nowhere_is_refused_with_a_reason_and_soon() {
    let home = tempfile::tempdir().unwrap();
    let nodes = network(home.path(), 3);
    let (_, nobody) = identity(home.path(), "nobody");
    let (forwarder, listen) = Device::forward(
        home.path(),
        "f",
        &nodes[2].address(),
        "127.0.0.1:0",
        &format!("{nobody}:80"),
        &[],
    );
    let reason = refusal(&forwarder, listen);
    assert!(reason.contains("nowhere in the network"), "{reason}");
    // One that is somewhere and does not publish the port says that.
    let target = http_server("across\n");
    let spec = format!("{target}=9000:public");
    let (_publisher, device) = publish(home.path(), "p", &spec, &[&nodes[1]]);
    let (forwarder, listen) = Device::forward(
        home.path(),
        "g",
        &nodes[2].address(),
        "127.0.0.1:0",
        &format!("{device}:9001"),
        &[],
    );
    let reason = refusal(&forwarder, listen);
    assert!(reason.contains("publish"), "{reason}");
}

#[test]
fn a_list_of_openers_holds_across_nodes() {
    let home = tempfile::tempdir().unwrap();
    let nodes = network(home.path(), 2);
    let target = http_server("across\n");
    let (_, friend) = identity(home.path(), "friend.key");
    let (_, _stranger) = identity(home.path(), "stranger.key");
    let place = nodes[0].address();
    let spec = format!("{target}=9000:private");
    let publisher = Device::start(
        home.path(),
        "p",
        &["publish", &spec, "--allow", &friend, "--node", &place],
    );
    let device = publisher.expect("ready")["device"]
        .as_str()
        .unwrap()
        .to_owned();
    let forward = |name: &str| {
        Device::forward(
            home.path(),
            name,
            &nodes[1].address(),
            "127.0.0.1:0",
            &format!("{device}:9000"),
            &[],
        )
    };
    let (_friend, listen) = forward("friend");
    answers_again(listen, SOON);
    let (stranger, listen) = forward("stranger");
    let reason = refusal(&stranger, listen);
    assert!(reason.contains("allow"), "{reason}");
}

#[test]
fn a_device_whose_node_dies_is_found_at_its_second_node() {
    let home = tempfile::tempdir().unwrap();
    let mut nodes = network(home.path(), 4);
    let target = http_server("across\n");
    let spec = format!("{target}=9000:public");
    let (_publisher, device) = publish(home.path(), "p", &spec, &[&nodes[1], &nodes[2]]);
    let (_forwarder, listen) = Device::forward(
        home.path(),
        "f",
        &nodes[3].address(),
        "127.0.0.1:0",
        &format!("{device}:9000"),
        &[],
    );
    answers_again(listen, SOON);
    // The first node of the network, which everyone knew: nobody needs it.
    drop(nodes.remove(0));
    let took = answers_again(listen, SOON);
    assert!(took < Duration::from_secs(30), "{took:?}");
    // Now the one that the device is best connected to.
    drop(nodes.remove(0));
    let took = answers_again(listen, SOON);
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn messages_reach_a_device_on_another_node_or_are_refused_with_a_reason() {
    let home = tempfile::tempdir().unwrap();
    let nodes = network(home.path(), 2);
    let place = nodes[0].address();
    let receiver = Device::start(
        home.path(),
        "r",
        &["publish", "--messages", "--node", &place],
    );
    let device = receiver.expect("ready")["device"]
        .as_str()
        .unwrap()
        .to_owned();
    let send = |to: &str, text: &str| {
        run(
            chr_node()
                .args(["message", to, text, "--node", &nodes[1].address()])
                .arg("--identity")
                .arg(home.path().join("s.key")),
            SOON,
        )
    };
    let sent = send(&device, "good morning");
    assert_eq!(sent.code, 0, "{}", sent.err);
    let message = receiver.expect("message");
    assert_eq!(message["text"], "good morning");
    let (_, nobody) = identity(home.path(), "nobody");
    let sent = send(&nobody, "anyone?");
    assert_eq!(sent.code, 1, "{}", sent.err);
    assert_eq!(sent.err.trim().lines().count(), 1, "{}", sent.err);
}

#[test]
fn a_network_that_was_restarted_node_by_node_needs_no_seed() {
    let home = tempfile::tempdir().unwrap();
    let mut nodes = network(home.path(), 4);
    // Everyone knows everyone before the restarts.
    for node in &nodes {
        until(SOON, "the node knows all others", || {
            (known(node) >= 3).then_some(())
        });
    }
    // The last one is stopped in order and comes back without seeds.
    let last = nodes.pop().unwrap();
    let id = last.id().to_owned();
    last.program.signal("-TERM");
    let mut last = last;
    assert!(last.program.wait(SOON).success());
    drop(last);
    let back = node_at(home.path(), 4, "none", &[]);
    assert_eq!(back.id(), id);
    until(SOON, "the node is back in the network", || {
        (known(&back) >= 3).then_some(())
    });
}

#[test]
fn nodes_with_wrong_clocks_take_part_and_their_devices_are_found() {
    let Some(faketime) = Faketime::find_or_skip() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let nodes = network(home.path(), 6);
    let seed = peer_address(&nodes[0]);
    let target = http_server("across\n");
    let spec = format!("{target}=9000:public");
    for (host, when) in [(7, "@1970-01-01 00:10:00"), (8, "+10y")] {
        let mut command = chr_node();
        faketime.apply(&mut command, when);
        let node = node_by(command, home.path(), host, &seed, &[]);
        // It learns from five others that its clock is wrong.
        until(SOON, "the node does not trust its clock", || {
            let info = call(&node, "chr_node_info");
            (known(&node) >= 5 && info["clock_trusted"] == false).then_some(())
        });
        until(SOON, "the node goes by their clocks", || {
            let info = call(&node, "chr_node_info");
            (info["clock_trusted"] == false).then_some(())
        });
        let name = format!("p{host}");
        let (_publisher, device) = publish(home.path(), &name, &spec, &[&node]);
        let (_forwarder, listen) = Device::forward(
            home.path(),
            &format!("f{host}"),
            &nodes[2].address(),
            "127.0.0.1:0",
            &format!("{device}:9000"),
            &[],
        );
        answers_again(listen, SOON);
    }
}
