//! What a user reads whose publish or forward cannot work: one line that says
//! what is wrong and what to do, and the exit code; or, while the program can
//! still come right, an event.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::programs::*;
use common::servers::*;
use common::tools::*;
use common::*;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const STRANGER: &str = "0x00000000000000000000000000000000000000aa";

#[test]
fn another_node_than_the_one_named_is_an_error_and_no_session() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let named = format!("{STRANGER}@{}", node.edge());
    for json in [false, true] {
        let mut command = publish(home.path(), "p", "80:public", &["--node", &named]);
        if json {
            command.arg("--json");
        }
        let ran = run(&mut command, SOON);
        ran.assert_one_line(1, &[STRANGER, node.id(), "--node"]);
        if json {
            let event: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
            assert_eq!(event["event"], "error");
        } else {
            assert_eq!(ran.out, "");
        }
    }
}

#[test]
fn a_node_that_changed_is_an_error_until_it_is_confirmed() {
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let home = homes[0].path();
    let first = Node::start(home);
    let place = first.edge();
    let at = place.to_string();
    let args = ["publish", "80:public", "--node", &at];
    let device = Device::start(home, "p", &args);
    device.expect("ready");
    until(SOON, "the node is remembered", || {
        let text = fs::read_to_string(home.join("known_nodes")).ok()?;
        text.contains(first.id()).then_some(())
    });
    drop(device);
    drop(first);
    let port = place.port().to_string();
    let second = Node::start_with(homes[1].path(), &[("EDGE2_PORT", &port)]);
    let ran = run(&mut publish(home, "p", "80:public", &["--node", &at]), SOON);
    ran.assert_one_line(1, &[second.id(), "--accept-node"]);
    // Confirmed once, it is the known one.
    for more in [&["--accept-node"][..], &[]] {
        let device = Device::start(home, "p", &[&args[..], more].concat());
        assert_eq!(device.expect("ready")["node"], second.id());
        until(SOON, "the change is remembered", || {
            let text = fs::read_to_string(home.join("known_nodes")).ok()?;
            text.contains(second.id()).then_some(())
        });
    }
}

#[test]
fn a_device_or_port_that_is_not_there_is_named_to_the_opener() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let home = home.path();
    let reason = refused_at(home, &node, &format!("{STRANGER}:8080"), &[]);
    assert!(
        reason.contains(STRANGER) && reason.contains("correct the address"),
        "{reason}"
    );
    // A free port that was just given back: nobody answers there.
    let dead = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let spec = format!("{}=8080:public", dead.port());
    let (publisher, ready) = Device::publish(home, "p", &node.address(), &[&spec]);
    let device = ready["device"].as_str().unwrap();
    let reason = refused_at(home, &node, &format!("{device}:8081"), &[]);
    assert!(reason.contains("does not publish tls:8081"), "{reason}");
    let reason = refused_at(home, &node, &format!("{device}:8080"), &[]);
    assert!(
        reason.contains(&dead.to_string()) && reason.contains("connection refused"),
        "{reason}"
    );
    // Who publishes reads it too.
    let told = publisher.expect("refused");
    assert!(told["reason"].as_str().unwrap().contains(&dead.to_string()));
    // A device's own port.
    let (file, own) = identity(home, "own.key");
    let (_own, listen) = {
        let target = format!("{own}:8080");
        let at = node.address();
        Device::forward(home, "own", &at, "127.0.0.1:0", &target, &[])
    };
    let reason = refusal(&_own, listen);
    assert!(reason.contains("two identities"), "{reason} {file:?}");
}

#[test]
fn connections_that_local_programs_drop_are_not_told_as_refusals() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let route = Route::tcp(home.path(), &node.address(), source_server(1));
    for _ in 0..5 {
        let mut stream = route.connect();
        stream.read_exact(&mut [0; 1000]).unwrap();
        // Closed with bytes unread: a reset.
    }
    let mut last = route.connect();
    last.read_exact(&mut [0; 1000]).unwrap();
    for device in [&route.forwarder, &route.publisher] {
        assert_eq!(device.event(Duration::from_millis(50)), None);
    }
}

#[test]
fn a_local_port_in_use_is_an_error_before_anything_is_dialled() {
    let home = tempfile::tempdir().unwrap();
    let (file, _) = identity(home.path(), "f.key");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap().to_string();
    let target = format!("{STRANGER}:80");
    let mut command = chr_node();
    command
        .args(["forward", &place, &target, "--node", "127.0.0.1:1"])
        .arg("--identity")
        .arg(file);
    run(&mut command, SOON).assert_one_line(1, &[&place, "in use", "choose another"]);
}

#[test]
fn a_node_without_its_ports_says_which_one_and_ends() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for variable in ["EDGE2_PORT", "PEER2_PORT", "RPC_PORT"] {
        let mut command = chr_node();
        command
            .args(["run", "-q"])
            .env("DATA_DIR", home.path())
            .env("CHR_NETWORK__BIND", "127.0.0.1")
            .envs(["EDGE2_PORT", "PEER2_PORT", "RPC_PORT"].map(|other| (other, "0")))
            .env(variable, &port);
        run(&mut command, SOON).assert_one_line(1, &[&port, "in use"]);
        assert!(!home.path().join("run.json").exists());
    }
}

#[test]
fn a_key_file_that_is_damaged_open_to_others_or_in_use_is_never_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let node = Node::start(home);
    let at = node.address();
    let start = |file: &str| {
        let mut command = chr_node();
        command
            .args(["publish", "80:public", "--node", &at, "--identity"])
            .arg(home.join(file));
        run(&mut command, SOON)
    };
    let (damaged, address) = identity(home, "damaged.key");
    fs::write(&damaged, "chr-key-1 00").unwrap();
    start("damaged.key").assert_one_line(1, &["damaged.key", &address]);
    assert_eq!(fs::read_to_string(&damaged).unwrap(), "chr-key-1 00");
    let (empty, _) = identity(home, "empty.key");
    fs::write(&empty, "").unwrap();
    start("empty.key").assert_one_line(1, &["empty.key"]);
    let (lost, address) = identity(home, "lost.key");
    fs::remove_file(&lost).unwrap();
    start("lost.key").assert_one_line(1, &["lost.key", &address]);
    assert!(!lost.exists(), "a new identity was made");
    let (open, _) = identity(home, "open.key");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    start("open.key").assert_one_line(1, &["open.key", "chmod 600"]);
    let _first = Device::publish(home, "used", &at, &["80:public"]);
    start("used.key").assert_one_line(1, &["used.key", "in use"]);
    // The node's own.
    let mut second = chr_node();
    second
        .args(["run", "-q"])
        .env("DATA_DIR", home)
        .env("EDGE2_PORT", "0")
        .env("PEER2_PORT", "0")
        .env("RPC_PORT", "0")
        .env("RPCS_PORT", "off");
    run(&mut second, SOON).assert_one_line(1, &["node.key", "in use"]);
}

#[test]
fn a_program_whose_identity_another_one_took_over_ends_and_does_not_fight() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let home = home.path();
    let spec = format!("{}=8080:public", echo_server());
    let (mut first, ready) = Device::publish(home, "one", &node.address(), &[&spec]);
    fs::copy(home.join("one.key"), home.join("two.key")).unwrap();
    let (second, again) = Device::publish(home, "two", &node.address(), &[&spec]);
    assert_eq!(ready["device"], again["device"]);
    let status = first.program.wait(SOON);
    assert_eq!(status.code(), Some(1));
    let said = complaints(&first.program);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("--identity"), "{said:?}");
    // The second is not thrown out in its turn.
    let target = format!("{}:8080", ready["device"].as_str().unwrap());
    let (_f, listen) = Device::forward(home, "f", &node.address(), "127.0.0.1:0", &target, &[]);
    assert_echo(listen, b"still here");
    assert_eq!(second.event(Duration::ZERO), None);
}

#[test]
fn a_device_signs_no_more_than_max_bytes_and_says_so() {
    let home = tempfile::tempdir().unwrap();
    // Without grace, what is not paid does not flow.
    let node = Node::start_with(home.path(), &[("CHR_TICKETS__GRACE_BYTES", "64K")]);
    let home = home.path();
    let spec = format!("{}=8080:public", source_server(1));
    let (_publisher, ready) = Device::publish(home, "p", &node.address(), &[&spec]);
    let target = format!("{}:8080", ready["device"].as_str().unwrap());
    let (mut forwarder, listen) = Device::forward(
        home,
        "f",
        &node.address(),
        "127.0.0.1:0",
        &target,
        &["--max-bytes", "20M"],
    );
    let mut stream = TcpStream::connect(listen).unwrap();
    let mut received = 0;
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        received += n;
    }
    assert!(received > 15_000_000, "{received} of 20 MB were paid for");
    assert!(received < 24_000_000, "{received}, more than was paid for");
    assert_eq!(forwarder.program.wait(SOON).code(), Some(1));
    let said = complaints(&forwarder.program);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("--max-bytes"), "{said:?}");
}

#[test]
fn a_place_where_no_node_answers_is_told_and_tried_again() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    // Services that are no nodes: one answers in clear, one hangs up.
    let web = serve(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let rude = serve(drop);
    for (name, place, words) in [
        ("nobody", nobody.to_string(), "connection refused"),
        (
            "name",
            "no-such-host.invalid:41046".to_owned(),
            "name is not found",
        ),
        ("web", format!("127.0.0.1:{web}"), "does not speak TLS"),
        ("rude", format!("127.0.0.1:{rude}"), "device port of a node"),
    ] {
        let args = ["publish", "80:public", "--node", &place];
        let mut device = Device::start(home, name, &args);
        for _ in 0..2 {
            let error = device.event(SOON).unwrap();
            assert_eq!(error["event"], "error");
            let reason = error["reason"].as_str().unwrap();
            assert!(
                reason.contains(&place) && reason.contains(words),
                "{name}: {reason}"
            );
        }
        device.program.signal("-INT");
        assert_eq!(device.program.wait(SOON).code(), Some(0));
    }
}
