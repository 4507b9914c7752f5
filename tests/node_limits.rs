//! Clients that break the rules or ask for too much: they are sent away with a
//! reason where there is somebody to read it, and nobody else notices.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use chr_node::edge::ALPN;
use chr_node::identity::{hex, Address};
use chr_node::tls::Versions;
use chr_node::wire::code::Code;
use chr_node::wire::control::{
    encode, Abort, Close, ErrorAnswer, Hello, Open, Opened, Ping, Publish, Published,
};
use chr_node::wire::frame::{control_header, data_header};
use chr_node::wire::rlp::Item;
use common::raw::{key, Raw};
use common::servers::*;
use common::tools::*;
use common::*;
use nix::sys::socket::{bind, connect, socket, AddressFamily, SockFlag, SockType, SockaddrIn};
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PAID: u64 = 1 << 40;

/// A node with the limits that a user gets.
fn strict(home: &std::path::Path, settings: &[(&str, &str)]) -> Node {
    let defaults = [
        ("CHR_SECURITY__RATE_LIMITING", "true"),
        ("CHR_SECURITY__MAX_SESSIONS_PER_ADDRESS", "250"),
        ("CHR_SECURITY__MAX_HANDSHAKES", "64"),
        ("CHR_SECURITY__MAX_HANDSHAKES_PER_ADDRESS", "16"),
    ];
    Node::start_with(home, &[&defaults[..], settings].concat())
}

/// A connection from another address of this machine; all of 127.0.0.0/8 is.
fn connect_from(last: u8, to: SocketAddr) -> Option<TcpStream> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
    bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, last, 0)).unwrap();
    let SocketAddr::V4(to) = to else { return None };
    connect(fd.as_raw_fd(), &SockaddrIn::from(to)).ok()?;
    Some(TcpStream::from(fd))
}

/// Whether the other side has hung up.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match (&mut &*stream).read(&mut [0]) {
        Err(e) => e.kind() != ErrorKind::WouldBlock,
        Ok(n) => n == 0,
    }
}

#[test]
fn one_address_gets_its_share_of_sessions_and_no_more() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(
        home.path(),
        &[("CHR_SECURITY__MAX_SESSIONS_PER_ADDRESS", "3")],
    );
    let mut sessions: Vec<Raw> = (0..3).map(|_| Raw::admitted(&node, &key(), PAID)).collect();
    let more = Raw::try_connect(node.edge(), &key(), &[ALPN], Versions::Both);
    assert!(more.is_err());
    // Another address is not affected, and those that are in go on.
    let other = connect_from(7, node.edge()).unwrap();
    sessions[0].request(&Publish {
        name: "tls:80".into(),
        allow: None,
    });
    sessions[0].expect::<Published>();
    assert!(!is_closed(&other));
    drop(sessions.pop());
    until(SOON, "a place comes free", || {
        Raw::try_connect(node.edge(), &key(), &[ALPN], Versions::Both).ok()
    });
}

/// Keeps so many silent connections open from these addresses, and dials again
/// what the node closes, until it is dropped.
struct Siege {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Siege {
    fn begin(addresses: Vec<u8>, sockets: usize, node: SocketAddr) -> Siege {
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        let dial = move |i: usize| connect_from(addresses[i % addresses.len()], node);
        let mut held: Vec<_> = (0..sockets).map(&dial).collect();
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for (i, stream) in held.iter_mut().enumerate() {
                    if stream.as_ref().is_none_or(is_closed) {
                        *stream = dial(i);
                    }
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Siege {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Siege {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

#[test]
fn two_hundred_silent_connections_do_not_keep_a_device_out() {
    let home = tempfile::tempdir().unwrap();
    let node = strict(home.path(), &[]);
    // From the device's own address and from others: all handshakes are taken.
    let silent: Vec<_> = (0..200u8)
        .filter_map(|i| connect_from(1 + i % 6, node.edge()))
        .collect();
    assert_eq!(silent.len(), 200);
    let route = Route::tcp(home.path(), &node.address(), echo_server());
    assert_echo(route.listen, &noise(1, 100_000));
    let held = silent.iter().filter(|s| !is_closed(s)).count();
    assert!(held <= 64, "{held} silent connections are held");
}

#[test]
fn strangers_who_keep_dialling_do_not_keep_a_device_out() {
    let home = tempfile::tempdir().unwrap();
    let node = strict(home.path(), &[]);
    let _siege = Siege::begin(vec![2, 3, 4, 5, 6], 100, node.edge());
    let route = Route::tcp(home.path(), &node.address(), echo_server());
    assert_echo(route.listen, &noise(1, 100_000));
}

#[test]
fn a_client_that_says_nothing_is_closed_in_time() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(
        home.path(),
        &[
            ("CHR_PERFORMANCE__CONNECTION_TIMEOUT", "1s"),
            ("CHR_PERFORMANCE__IDLE_TIMEOUT", "1s"),
        ],
    );
    let tcp = TcpStream::connect(node.edge()).unwrap();
    let mut tls = Raw::connect(&node, &key());
    let mut idle = Raw::admitted(&node, &key(), PAID);
    tls.hello_is_expected();
    assert_eq!(tls.close_reason().unwrap().code, Code::TOO_SLOW);
    // Pings of the node are answered by `Raw`: it must be left alone.
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(idle.close_reason().unwrap().code, Code::IDLE);
    until(SOON, "the silent one is closed", || {
        is_closed(&tcp).then_some(())
    });
}

#[test]
fn a_diode_client_is_told_goodbye_in_its_own_words() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let first = hex::decode("0017d601d48f676574626c6f636b6865616465723283989680").unwrap();
    let mut raw = Raw::try_connect(node.edge(), &key(), &[], Versions::Only12).unwrap();
    raw.write(&first).unwrap();
    let answer = raw.read_plain_to_end();
    let (length, frame) = answer.split_at(2);
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    assert_eq!(length, frame.len(), "one whole frame");
    let [id, message] = Item::parse(frame).unwrap().tuple().unwrap();
    assert_eq!(id.u64().unwrap(), 0);
    let [word, reason, _] = message.tuple().unwrap();
    assert_eq!(word.bytes().unwrap(), b"goodbye");
    assert_eq!(reason.bytes().unwrap(), b"dialect");
}

#[test]
fn our_dialect_needs_no_alpn_and_its_first_bytes_may_come_one_by_one() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let mut raw = Raw::try_connect(node.edge(), &key(), &[], Versions::Only12).unwrap();
    let mut hello = Vec::new();
    let message = Hello {
        capabilities: 0,
        agent: "slow".into(),
    };
    encode(1, &message, &mut hello);
    raw.hello_is_expected();
    for byte in hello {
        raw.write(&[byte]).unwrap();
    }
    raw.expect::<chr_node::wire::control::Welcome>();
}

#[test]
fn garbage_and_other_protocols_are_closed_without_a_word() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    for first in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x02\x10\x00\x00\x00\x00\x00\x08\x00\x00\x00\x01data",
        b"\x02\x01\x80\x00\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00",
        b"\x02\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00",
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    ] {
        let mut raw = Raw::try_connect(node.edge(), &key(), &[], Versions::Both).unwrap();
        raw.write(first).unwrap();
        assert_eq!(raw.read_plain_to_end(), b"", "{first:?}");
    }
    // Not even TLS.
    let mut clear = TcpStream::connect(node.edge()).unwrap();
    std::io::Write::write_all(&mut clear, b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
    let mut answer = Vec::new();
    clear.set_read_timeout(Some(SOON)).unwrap();
    let _ = clear.read_to_end(&mut answer);
    assert!(answer.len() <= 7, "an alert at most: {answer:?}");
    Raw::admitted(&node, &key(), PAID);
}

/// What a session is closed with after these bytes.
fn closed_after(node: &Node, frames: &[u8]) -> Close {
    let mut raw = Raw::admitted(node, &key(), PAID);
    let _ = raw.write(frames);
    raw.close_reason().expect("a reason")
}

#[test]
fn frames_that_the_protocol_does_not_know_end_the_session_with_the_reason() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let mut second_hello = Vec::new();
    let message = Hello {
        capabilities: 0,
        agent: String::new(),
    };
    encode(3, &message, &mut second_hello);
    let mut trailing = control_header(0x06, 5, 1).to_vec();
    trailing.push(0);
    for (what, frames, word) in [
        (
            "version",
            b"\x03\x06\0\0\0\0\0\x04\0\0\0\x05".to_vec(),
            "version",
        ),
        (
            "flags",
            b"\x02\x06\0\x01\0\0\0\x04\0\0\0\x05".to_vec(),
            "flags",
        ),
        ("length", b"\x02\x06\0\0\0\0\0\x03\0\0\0".to_vec(), "length"),
        (
            "huge",
            b"\x02\x06\0\0\0\x01\0\0\0\0\0\x05".to_vec(),
            "length",
        ),
        ("type 0", b"\x02\0\0\0\0\0\0\x04\0\0\0\x05".to_vec(), "type"),
        (
            "type 0x80",
            b"\x02\x80\0\0\0\0\0\x04\0\0\0\x05".to_vec(),
            "type",
        ),
        (
            "type 0x30",
            b"\x02\x30\0\0\0\0\0\x04\0\0\0\x05".to_vec(),
            "type",
        ),
        ("trailing", trailing, "left over"),
        ("hello", second_hello, "second Hello"),
        ("port", data_header(99, 0).to_vec(), "never opened"),
    ] {
        let close = closed_after(&node, &frames);
        assert_eq!(close.code, Code::PROTOCOL, "{what}: {}", close.text);
        assert!(close.text.contains(word), "{what}: {}", close.text);
    }
}

/// Two sessions, and a port from the first to the second that is not answered yet.
fn asked(node: &Node, opener: &mut Raw, publisher: &mut Raw) -> (u32, Open) {
    publisher.request(&Publish {
        name: "tcp:80".into(),
        allow: None,
    });
    publisher.expect::<Published>();
    let number = ask(opener, publisher.address());
    let offer = publisher.expect();
    let _ = node;
    (number, offer)
}

fn ask(opener: &mut Raw, peer: Address) -> u32 {
    let number = opener.next_number();
    let open = Open {
        port: number,
        peer,
        name: "tcp:80".into(),
        credit: 65_536,
    };
    opener.send(number, &open);
    number
}

#[test]
fn data_beyond_the_credit_ends_the_sender_s_session_alone() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let mut opener = Raw::admitted(&node, &key(), PAID);
    let mut publisher = Raw::admitted(&node, &key(), PAID);
    let (number, offer) = asked(&node, &mut opener, &mut publisher);
    // Credit for one byte: what is sent stays in the node.
    publisher.send(offer.port, &Opened { credit: 1 });
    let credit = opener.expect::<Opened>().credit as usize;
    let block = noise(1, 16_000);
    let mut left = credit + 1;
    while left > 0 {
        let part = block.len().min(left);
        opener.send_data(number, &block[..part]);
        left -= part;
    }
    let close = opener.close_reason().expect("a reason");
    assert_eq!(close.code, Code::FLOW_CONTROL, "{}", close.text);
    // The other device is told that the port is gone, and goes on.
    let mut frame = publisher.next().unwrap();
    while frame.kind == raw_data() {
        frame = publisher.next().unwrap();
    }
    let abort: Abort = frame.read();
    assert_eq!((abort.port, abort.code), (offer.port, Code::PEER_LOST));
    publisher.request(&Publish {
        name: "tcp:81".into(),
        allow: None,
    });
    publisher.expect::<Published>();
}

fn raw_data() -> u8 {
    common::raw::DATA
}

/// Sends `flood` without reading until the node has had enough.
fn flood(node: &Node, mut raw: Raw, flood: &[u8]) {
    let before = node.program.rss();
    raw.socket
        .set_write_timeout(Some(Duration::from_secs(3)))
        .unwrap();
    let started = Instant::now();
    while raw.write(flood).is_ok() {
        assert!(started.elapsed() < SOON, "the node goes on answering");
    }
    let grown = node.program.rss().saturating_sub(before);
    assert!(grown < 3_000_000, "{grown} bytes for one session");
}

#[test]
fn a_device_that_asks_without_reading_the_answers_is_sent_away() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), &[("LOG_LEVEL", "info")]);
    let ended = |times: usize| {
        until(SOON, "the session ends with overflow", || {
            let said = node.program.stderr();
            (said.matches("(overflow)").count() >= times).then_some(())
        });
    };
    let mut pings = Vec::new();
    for _ in 0..500 {
        encode(7, &Ping {}, &mut pings);
    }
    flood(&node, Raw::admitted(&node, &key(), PAID), &pings);
    ended(1);
    // Openings that are refused, each with a text.
    let raw = Raw::admitted(&node, &key(), PAID);
    let mut opens = Vec::new();
    for n in 0..200_000 {
        let number = 1_001 + 2 * n;
        let open = Open {
            port: number,
            peer: Address([9; 20]),
            name: "tcp:80".into(),
            credit: 1,
        };
        encode(number, &open, &mut opens);
    }
    flood_once(&node, raw, &opens);
    ended(2);
    Raw::admitted(&node, &key(), PAID);
}

/// As [`flood`], for frames that cannot be sent twice.
fn flood_once(node: &Node, mut raw: Raw, frames: &[u8]) {
    let before = node.program.rss();
    raw.socket
        .set_write_timeout(Some(Duration::from_secs(3)))
        .unwrap();
    let whole = frames.chunks(64 * 1024).all(|part| raw.write(part).is_ok());
    assert!(!whole, "the node took everything");
    let grown = node.program.rss().saturating_sub(before);
    assert!(grown < 3_000_000, "{grown} bytes for one session");
}

#[test]
fn a_session_opens_as_many_ports_as_it_may_and_is_told_the_limit() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(
        home.path(),
        &[("CHR_PERFORMANCE__MAX_PORTS_PER_SESSION", "4")],
    );
    let mut opener = Raw::admitted(&node, &key(), PAID);
    assert_eq!(opener.terms.as_ref().unwrap().max_ports, 4);
    // One publisher each: its own limit must not be what is met.
    let mut publishers = Vec::new();
    for _ in 0..4 {
        let mut publisher = Raw::admitted(&node, &key(), PAID);
        let (_, offer) = asked(&node, &mut opener, &mut publisher);
        publisher.send(offer.port, &Opened { credit: 1 });
        opener.expect::<Opened>();
        publishers.push((publisher, offer.port));
    }
    ask(&mut opener, publishers[0].0.address());
    let error: ErrorAnswer = opener.expect();
    assert_eq!((error.code, error.limit), (Code::TOO_MANY_PORTS, Some(4)));
    // One closes: there is room again.
    let (mut publisher, port) = publishers.pop().unwrap();
    publisher.send(
        0,
        &Abort {
            port,
            code: Code::ABORTED,
            text: String::new(),
        },
    );
    opener.expect::<Abort>();
    let number = ask(&mut opener, publisher.address());
    let offer: Open = publisher.expect();
    publisher.send(offer.port, &Opened { credit: 1 });
    opener.expect::<Opened>();
    let _ = number;
}

#[test]
fn a_device_that_does_not_answer_keeps_its_opener_from_no_other() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let mut opener = Raw::admitted(&node, &key(), PAID);
    let mut hanging = Raw::admitted(&node, &key(), PAID);
    let mut answering = Raw::admitted(&node, &key(), PAID);
    asked(&node, &mut opener, &mut hanging);
    // More than may wait for an answer at once, all answered.
    for round in 0..300 {
        let (number, offer) = asked(&node, &mut opener, &mut answering);
        answering.send(offer.port, &Opened { credit: 1 });
        let frame = opener.next().unwrap();
        assert_eq!(frame.kind, 0x13, "round {round}: {frame:?}");
        let text = String::new();
        let code = Code::ABORTED;
        opener.send(
            0,
            &Abort {
                port: number,
                code,
                text,
            },
        );
        answering.expect::<Abort>();
    }
}
