//! Datagrams through publish and forward: their edges, their order on a quiet
//! path, and that every sender gets its own answers.
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
use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

/// Datagrams under way at once: what loopback's socket buffers take for sure.
const WINDOW: usize = 16;

fn route(home: &Path, node: &Node, port: u16, options: &[&str]) -> Route {
    let spec = format!("{port}=8080/udp:public");
    Route::open(home, &node.address(), &spec, "127.0.0.1:0/udp", options)
}

fn sender(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}

/// Receives one datagram, which must be this one.
fn expect(socket: &UdpSocket, wanted: &[u8], number: usize) {
    let mut buffer = vec![0; 65_536];
    let n = socket.recv(&mut buffer).expect("an answer");
    assert_eq!(n, wanted.len(), "edges of datagram {number}");
    assert!(buffer[..n] == *wanted, "bytes of datagram {number}");
}

fn a_thousand(options: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let route = route(home.path(), &node, udp_echo(), options);
    let socket = sender(route.listen);
    let mut waiting: VecDeque<(usize, Vec<u8>)> = VecDeque::new();
    for number in 0..1_000 {
        // All lengths from 0 to 1,400 lie within a thousand steps of 7.
        let datagram = noise(number as u64 + 1, (number * 7) % 1_401);
        socket.send(&datagram).unwrap();
        waiting.push_back((number, datagram));
        if waiting.len() >= WINDOW {
            let (number, wanted) = waiting.pop_front().unwrap();
            expect(&socket, &wanted, number);
        }
    }
    for (number, wanted) in waiting {
        expect(&socket, &wanted, number);
    }
    // Nothing was made up on the way.
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 16]).is_err(), "one answer too many");
}

#[test]
fn a_thousand_datagrams_end_to_end_keep_their_edges() {
    a_thousand(&[]);
}

#[test]
fn a_thousand_datagrams_on_a_plain_port_keep_their_edges() {
    a_thousand(&["--plain"]);
}

/// The longest that UDP over IPv4 has, and many empty ones around it.
fn extremes(options: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let route = route(home.path(), &node, udp_echo(), options);
    let socket = sender(route.listen);
    let longest = noise(1, 65_507);
    for number in 0..5 {
        for datagram in [&b""[..], &longest, b"", b"x"] {
            socket.send(datagram).unwrap();
            expect(&socket, datagram, number);
        }
    }
}

#[test]
fn the_longest_and_the_empty_datagram_pass_end_to_end() {
    extremes(&[]);
}

#[test]
fn the_longest_and_the_empty_datagram_pass_on_a_plain_port() {
    extremes(&["--plain"]);
}

#[test]
fn senders_behind_one_forwarded_port_get_their_own_answers() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let route = route(home.path(), &node, udp_echo(), &[]);
    let sockets: Vec<UdpSocket> = (0..40).map(|_| sender(route.listen)).collect();
    for round in 0..5 {
        let datagram = |i: usize| noise((round * 100 + i) as u64 + 1, 200 + i);
        for (i, socket) in sockets.iter().enumerate() {
            socket.send(&datagram(i)).unwrap();
        }
        for (i, socket) in sockets.iter().enumerate() {
            expect(socket, &datagram(i), i);
        }
    }
}

#[test]
fn a_udp_service_that_starts_later_is_reached_without_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    // A free port that was just given back: nobody listens there yet.
    let reserved = UdpSocket::bind("127.0.0.1:0").unwrap();
    let place = reserved.local_addr().unwrap();
    drop(reserved);
    let route = route(home.path(), &node, place.port(), &[]);
    let socket = sender(route.listen);
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    for _ in 0..3 {
        socket.send(b"is anybody there?").unwrap();
        assert!(socket.recv(&mut [0; 64]).is_err());
    }
    let service = UdpSocket::bind(place).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((n, from)) = service.recv_from(&mut buffer) {
            let _ = service.send_to(&buffer[..n], from);
        }
    });
    until(SOON, "the service answers", || {
        socket.send(b"hello").unwrap();
        socket.recv(&mut [0; 64]).ok()
    });
}

#[test]
fn a_udp_port_is_no_tcp_port_and_the_user_is_told_so() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let publisher = Device::publish(
        home.path(),
        "p",
        &node.address(),
        &[&format!("{}=8080/udp:public", udp_echo())],
    );
    let target = format!("{}:8080", publisher.1["device"].as_str().unwrap());
    let (forwarder, listen) = Device::forward(
        home.path(),
        "f",
        &node.address(),
        "127.0.0.1:0",
        &target,
        &[],
    );
    let _connection = std::net::TcpStream::connect(listen).unwrap();
    let refused = forwarder.expect("refused");
    assert_eq!(refused["port"], "tls:8080");
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("/udp"), "what to do: {reason}");
}
