//! How many may connect, how fast, and how long they may be silent.

use super::node_with;
use crate::common::raw::{key, Raw};
use crate::common::tools::*;
use crate::common::*;
use chr_node::edge::ALPN;
use chr_node::tls::Versions;
use chr_node::wire::code::Code;
use chr_node::wire::control::{ErrorAnswer, Open, Publish, Published};
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const PAID: u64 = 1 << 40;

/// Whether the node has hung up.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match (&mut &*stream).read(&mut [0]) {
        Err(e) => e.kind() != ErrorKind::WouldBlock,
        Ok(n) => n == 0,
    }
}

/// Dials one connection more than `most` and says nothing; one is closed, and no more.
fn assert_room_for(node: &Node, most: usize) {
    let all: Vec<TcpStream> = (0..=most)
        .map(|_| TcpStream::connect(node.edge()).unwrap())
        .collect();
    until(SOON, "one too many is closed", || {
        all.iter().any(is_closed).then_some(())
    });
    // What comes and goes meanwhile shows that the node has seen all of them.
    let _ = TcpStream::connect(node.rpc()).unwrap();
    let open = all.iter().filter(|stream| !is_closed(stream)).count();
    assert_eq!(open, most);
}

pub fn memory_limit() {
    // Half of 8 MB, but for the 128 KB of the cache, at 16 KB each.
    let (_home, node) = node_with(&[("MEMORY_LIMIT", "8M")]);
    assert_room_for(&node, 252);
}

pub fn max_connections() {
    let (_home, node) = node_with(&[("CHR_PERFORMANCE__MAX_CONNECTIONS", "3")]);
    assert_room_for(&node, 3);
}

pub fn max_sessions_per_address() {
    let (_home, node) = node_with(&[("CHR_SECURITY__MAX_SESSIONS_PER_ADDRESS", "2")]);
    let _held: Vec<Raw> = (0..2).map(|_| Raw::admitted(&node, &key(), PAID)).collect();
    let more = Raw::try_connect(node.edge(), &key(), &[ALPN], Versions::Both);
    assert!(more.is_err());
}

pub fn max_handshakes() {
    let (_home, node) = node_with(&[("CHR_SECURITY__MAX_HANDSHAKES", "4")]);
    assert_room_for(&node, 4);
}

pub fn max_handshakes_per_address() {
    let (_home, node) = node_with(&[("CHR_SECURITY__MAX_HANDSHAKES_PER_ADDRESS", "2")]);
    assert_room_for(&node, 2);
}

pub fn connection_timeout() {
    let (_home, node) = node_with(&[("CHR_PERFORMANCE__CONNECTION_TIMEOUT", "1s")]);
    let silent = TcpStream::connect(node.edge()).unwrap();
    let started = Instant::now();
    // The default is 30 s.
    until(Duration::from_secs(20), "silence is not waited for", || {
        is_closed(&silent).then_some(())
    });
    assert!(started.elapsed() >= Duration::from_millis(900));
}

pub fn idle_timeout() {
    let (_home, node) = node_with(&[("CHR_PERFORMANCE__IDLE_TIMEOUT", "2s")]);
    let started = Instant::now();
    let mut raw = Raw::admitted(&node, &key(), PAID);
    assert_eq!(raw.terms.as_ref().unwrap().idle_timeout, 2);
    let close = raw.close_reason().expect("a reason");
    assert!(started.elapsed() >= Duration::from_secs(2));
    assert_eq!(close.code, Code::IDLE, "{}", close.text);
}

pub fn max_ports_per_session() {
    let (_home, node) = node_with(&[("CHR_PERFORMANCE__MAX_PORTS_PER_SESSION", "1")]);
    let mut publisher = Raw::admitted(&node, &key(), PAID);
    let mut opener = Raw::admitted(&node, &key(), PAID);
    assert_eq!(opener.terms.as_ref().unwrap().max_ports, 1);
    publisher.request(&Publish {
        name: "tcp:80".into(),
        allow: None,
    });
    publisher.expect::<Published>();
    for _ in 0..2 {
        let port = opener.next_number();
        let open = Open {
            port,
            peer: publisher.address(),
            name: "tcp:80".into(),
            credit: 65_536,
        };
        opener.send(port, &open);
    }
    let refusal: ErrorAnswer = opener.expect();
    assert_eq!(refusal.code, Code::TOO_MANY_PORTS, "{}", refusal.text);
    assert_eq!(refusal.limit, Some(1));
}

/// How many of ten quick connections from one address stay.
fn that_stay(settings: &[(&str, &str)]) -> usize {
    let (_home, node) = node_with(settings);
    let all: Vec<TcpStream> = (0..10)
        .map(|_| TcpStream::connect(node.edge()).unwrap())
        .collect();
    // A device that gets through came after all of them.
    until(SOON, "a device is served", || {
        Raw::try_connect(node.edge(), &key(), &[ALPN], Versions::Both).ok()
    });
    all.iter().filter(|stream| !is_closed(stream)).count()
}

pub fn accept_rate_per_address() {
    let limited = [
        ("CHR_SECURITY__RATE_LIMITING", "true"),
        ("CHR_SECURITY__ACCEPT_RATE_PER_ADDRESS", "1"),
    ];
    assert!(that_stay(&limited) < 10);
}

pub fn rate_limiting() {
    let unlimited = [
        ("CHR_SECURITY__RATE_LIMITING", "false"),
        ("CHR_SECURITY__ACCEPT_RATE_PER_ADDRESS", "1"),
    ];
    assert_eq!(that_stay(&unlimited), 10);
}

pub fn accept_rate() {
    let (_home, node) = node_with(&[
        ("CHR_SECURITY__RATE_LIMITING", "true"),
        ("CHR_SECURITY__ACCEPT_RATE", "2"),
        ("CHR_SECURITY__ACCEPT_RATE_PER_ADDRESS", "1000"),
    ]);
    let started = Instant::now();
    for _ in 0..6 {
        Raw::connect(&node, &key());
    }
    // Two at once, the others two a second.
    assert!(
        started.elapsed() >= Duration::from_millis(1_400),
        "{:?}",
        started.elapsed()
    );
}
