//! A node that may have 32 MB, held to that by the kernel: a hundred sessions, a
//! transfer and a flood of connections at once do not end it.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use chr_node::identity::Address;
use chr_node::wire::code::Code;
use chr_node::wire::control::{
    encode, ErrorAnswer, Message, Open, Opened, Ping, Pong, Publish, Published,
};
use common::mounts::node_behind;
use common::raw::{key, Raw};
use common::servers::{digest_server, write_blocks, Route};
use common::tools::until;
use common::*;
use nix::sys::socket::{
    bind, connect, socket, AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrStorage,
};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: u64 = 32 << 20;
const SESSIONS: usize = 100;
const ATTEMPTS: usize = 5_000;
/// Of them so many at once.
const HELD: usize = 300;

/// A control group of this test; gone with it.
struct Group(PathBuf);

impl Group {
    /// Version 1, else version 2; `None` where neither can be made, which is printed.
    fn new(test: &str) -> Option<Group> {
        let name = format!("chr-node-test-{}-{test}", std::process::id());
        for (root, limit) in [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ] {
            let folder = Path::new(root).join(&name);
            if fs::create_dir(&folder).is_err() {
                continue;
            }
            let group = Group(folder);
            // Swap would hide what does not fit.
            if fs::write(group.0.join(limit), LIMIT.to_string()).is_ok() {
                let _ = fs::write(group.0.join("memory.swap.max"), "0");
                return Some(group);
            }
        }
        println!("skipped: no control group can be made here (root, and the memory controller)");
        None
    }

    /// A node that is held to the limit and knows it.
    fn node(&self, data: &Path) -> Node {
        let mut command = Command::new("sh");
        let program = chr_node();
        command
            .arg("-ec")
            .arg("echo $$ > \"$1\"\nexec \"$0\" run")
            .arg(program.get_program())
            .arg(self.0.join("cgroup.procs"));
        for (name, _) in program.get_envs().filter(|(_, value)| value.is_none()) {
            command.env_remove(name);
        }
        Node::start_command(command, data, &[("MEMORY_LIMIT", "32M")])
    }

    /// How often the kernel has ended a process of the group for its memory.
    fn kills(&self) -> u64 {
        ["memory.oom_control", "memory.events"]
            .iter()
            .filter_map(|file| fs::read_to_string(self.0.join(file)).ok())
            .find_map(|text| {
                let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
                line?.trim().parse().ok()
            })
            .unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its process has just ended; the kernel may need a moment to see that.
        for _ in 0..200 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The node's memory that no file could give back, in bytes.
fn own_memory(data: &Path) -> u64 {
    let run = fs::read_to_string(data.join("run.json")).unwrap();
    let run: serde_json::Value = serde_json::from_str(&run).unwrap();
    memory(run["pid"].as_u64().unwrap() as u32, "RssAnon:")
}

/// A connection from one of many addresses of this machine.
fn dial(number: usize, to: SocketAddr) -> Option<TcpStream> {
    let SocketAddr::V4(to) = to else {
        return None;
    };
    let fd = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .ok()?;
    let from = Ipv4Addr::new(127, 1, (number / 250) as u8, (number % 250 + 1) as u8);
    let from = SocketAddr::V4(SocketAddrV4::new(from, 0));
    bind(fd.as_raw_fd(), &SockaddrStorage::from(from)).ok()?;
    connect(fd.as_raw_fd(), &SockaddrIn::from(to)).ok()?;
    Some(TcpStream::from(fd))
}

/// Strangers: some say nothing, some talk nonsense, some begin a handshake.
fn flood(node: SocketAddr) -> usize {
    let mut held = std::collections::VecDeque::new();
    let mut came = 0;
    for number in 0..ATTEMPTS {
        let Some(mut stream) = dial(number, node) else {
            continue;
        };
        came += 1;
        let said = match number % 3 {
            0 => Vec::new(),
            1 => noise(number as u64, 3_000),
            // A record with a ClientHello of 508 bytes that never ends.
            _ => [
                &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3],
                &noise(number as u64, 300)[..],
            ]
            .concat(),
        };
        // A node that has hung up is no failure.
        let _ = stream.write_all(&said);
        held.push_back(stream);
        if held.len() > HELD {
            held.pop_front();
        }
    }
    came
}

#[test]
fn thirty_two_megabytes_hold_a_hundred_sessions_a_transfer_and_a_flood() {
    let Some(group) = Group::new("flood") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let mut node = group.node(&data);
    let edge = node.edge();

    let sessions: Vec<Raw> = (0..SESSIONS)
        .map(|_| Raw::admitted(&node, &key(), 1 << 20))
        .collect();
    let route = Route::tcp(home.path(), &node.address(), digest_server());
    let strangers = std::thread::spawn(move || flood(edge));
    let mut stream = route.connect();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let sent = write_blocks(&mut stream, 5, 64);
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer[8..], sent, "the transfer came through changed");
    let came = strangers.join().unwrap();
    assert!(came > ATTEMPTS / 2, "{came} got as far as the node");

    assert_eq!(group.kills(), 0, "the kernel ended a process");
    let own = own_memory(&data);
    assert!(own < LIMIT / 2, "{own} bytes of its own");
    // Those who were here are still, and somebody new gets in.
    let health = node.http("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    drop(Raw::admitted(&node, &key(), 1 << 20));
    drop(sessions);
    node.program.signal("-TERM");
    assert!(node.program.wait(SOON).success());
}

/// Pairs of devices that open ports of which nobody reads.
#[derive(Default)]
struct Stalled {
    pairs: Vec<(Raw, Raw)>,
    ports: usize,
}

impl Stalled {
    /// One pair more that opens what it may; why the node refuses, if it does.
    fn add(&mut self, node: &Node) -> Option<ErrorAnswer> {
        let mut to = Raw::admitted(node, &key(), 1 << 30);
        let mut from = Raw::admitted(node, &key(), 1 << 30);
        to.request(&Publish {
            name: "tcp:80".into(),
            allow: None,
        });
        to.expect::<Published>();
        // The profile for so little memory lets a session have 256.
        let mut refused = None;
        'ports: for _ in 0..250 {
            let port = from.next_number();
            let open = Open {
                port,
                peer: to.address(),
                name: "tcp:80".into(),
                credit: 65_536,
            };
            from.send(port, &open);
            // To whom the port is offered, unless it is refused; nothing may be sent there.
            let offered = loop {
                if let Some(frame) = to.next_within(Duration::from_millis(5)) {
                    break frame;
                }
                if let Some(frame) = from.next_within(Duration::from_millis(5)) {
                    refused = Some(frame.read::<ErrorAnswer>());
                    break 'ports;
                }
            };
            to.send(offered.id, &Opened { credit: 0 });
            let opened: Opened = from.expect();
            from.send_data(port, &vec![7; opened.credit as usize - 4]);
            self.ports += 1;
        }
        self.pairs.push((from, to));
        refused
    }
}

#[test]
fn ports_to_readers_that_stall_are_refused_before_they_fill_the_memory() {
    let Some(group) = Group::new("ports") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let node = group.node(&data);
    let mut stalled = Stalled::default();
    let no = loop {
        if let Some(no) = stalled.add(&node) {
            break no;
        }
        let ports = stalled.ports;
        assert!(ports < 5_000, "{ports} ports, and none was refused");
    };
    let ports = stalled.ports;
    assert_eq!(no.code, Code::TOO_MANY_PORTS);
    assert!(
        no.text.contains("memory") && no.retry_after_ms.is_some(),
        "{no:?}"
    );
    assert!(ports > 200, "{ports} ports");
    let own = own_memory(&data);
    assert!(
        own < LIMIT * 3 / 4,
        "{own} bytes of its own for {ports} ports"
    );
    assert_eq!(group.kills(), 0, "the kernel ended a process");
    let health = node.http("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
}

const SMALL: (&str, &str) = ("MEMORY_LIMIT", "8M");

#[test]
fn answers_that_nobody_reads_and_long_lists_of_openers_do_not_fill_the_memory() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let node = Node::start_with(&data, &[SMALL]);
    let before = own_memory(&data);
    let mut sessions = Vec::new();
    // A hundred who ask and never read: what one may leave is little by then.
    for _ in 0..100 {
        let mut raw = Raw::admitted(&node, &key(), 1 << 20);
        let peer = raw.address();
        for _ in 0..2_000 {
            let port = raw.next_number();
            let open = Open {
                port,
                peer,
                name: "tcp:80".into(),
                credit: 65_536,
            };
            let mut frame = Vec::new();
            encode(port, &open, &mut frame);
            // Ended for it, most of them.
            if raw.write(&frame).is_err() {
                break;
            }
        }
        sessions.push(raw);
    }
    let own = own_memory(&data) - before;
    assert!(own < 3 << 20, "{own} bytes for answers that nobody reads");
    drop(sessions);

    let mut published = 0;
    let mut sessions = Vec::new();
    let no = 'all: loop {
        let mut raw = Raw::admitted(&node, &key(), 1 << 20);
        for name in 1..=200 {
            let list = (0..512u16)
                .map(|n| Address([(n / 2) as u8; 20]))
                .collect::<Vec<_>>();
            raw.request(&Publish {
                name: format!("tcp:{name}"),
                allow: Some(list),
            });
            let answer = raw.next().unwrap();
            if answer.kind == <ErrorAnswer as Message>::KIND {
                break 'all answer.read::<ErrorAnswer>();
            }
            answer.read::<Published>();
            published += 1;
        }
        sessions.push(raw);
        assert!(
            sessions.len() < 10,
            "{published} lists, and none was refused"
        );
    };
    assert_eq!(no.code, Code::TOO_MANY_PORTS);
    assert!(no.text.contains("memory"), "{no:?}");
    assert!(published > 50, "{published}");
    let own = own_memory(&data) - before;
    assert!(own < 6 << 20, "{own} bytes for {published} lists");
}

#[test]
fn a_node_whose_memory_is_taken_lets_nobody_in_until_some_have_left() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    // What the kernel says of the process is the test's.
    let proc = home.path().join("proc");
    fs::create_dir_all(proc.join("self")).unwrap();
    let says = |kilobytes: u64| {
        let text = format!("VmRSS: 9000 kB\nRssAnon: {kilobytes} kB\n");
        let file = proc.join("self/status.new");
        fs::write(&file, text).unwrap();
        fs::rename(file, proc.join("self/status")).unwrap();
    };
    says(2_000);
    let script = format!("mount --bind {} /proc", proc.display());
    let Some(command) = node_behind(&script) else {
        return;
    };
    let node = Node::start_command(command, &data, &[SMALL]);
    let mut stalled = Stalled::default();
    stalled.add(&node);
    assert!(stalled.ports > 50);
    let mut raw = Raw::admitted(&node, &key(), 1 << 20);
    raw.request(&Publish {
        name: "tcp:80".into(),
        allow: None,
    });
    raw.expect::<Published>();
    let said = |words: &str| {
        until(Duration::from_secs(20), words, || {
            node.program.stderr().contains(words).then_some(())
        });
    };
    let connect = || {
        let versions = chr_node::tls::Versions::Both;
        Raw::try_connect(node.edge(), &key(), &[chr_node::edge::ALPN], versions)
    };

    says(7_000);
    said("no more connections and ports");
    assert!(connect().is_err());
    let port = raw.next_number();
    raw.send(
        port,
        &Open {
            port,
            peer: raw.address(),
            name: "tcp:80".into(),
            credit: 65_536,
        },
    );
    let no: ErrorAnswer = raw.expect();
    assert_eq!(no.code, Code::TOO_MANY_PORTS);
    let health = node.http("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(
        health.contains("node.memory_limit (8 MB) is nearly taken"),
        "{health}"
    );

    says(7_900);
    said("memory is full");
    let (_, to) = stalled.pairs.last_mut().unwrap();
    let close = to.close_reason().unwrap();
    assert_eq!(close.code, Code::NO_MEMORY);
    assert!(close.retry_after_ms.is_some());

    says(3_000);
    said("are welcome again");
    drop(Raw::admitted(&node, &key(), 1 << 20));
    // Nothing waited for this one.
    raw.request(&Ping {});
    raw.expect::<Pong>();
}

#[test]
fn a_limit_of_the_process_itself_is_not_overlooked() {
    let ran = Command::new("sh")
        .args(["-c", "ulimit -d 65536\nexec \"$0\" config show --json"])
        .arg(chr_node().get_program())
        .env_remove("MEMORY_LIMIT")
        .output()
        .unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    let line = text
        .lines()
        .find(|line| line.contains("\"node.memory_limit\""));
    let row: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
    assert_eq!(row["here"]["value"], "32M", "{row}");
}
