//! Who connects and is no device, or not yet: strangers cost the node little and
//! keep nobody out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use chr_node::edge::ALPN;
use chr_node::identity::hex;
use chr_node::tls::Versions;
use chr_node::wire::code::Code;
use chr_node::wire::control::{encode, Hello, Publish, Published, Welcome};
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
use std::time::Duration;

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
    raw.expect::<Welcome>();
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
