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

use common::raw::{key, Raw};
use common::servers::{digest_server, write_blocks, Route};
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

const LIMIT: u64 = 32 << 20;
const SESSIONS: usize = 100;
const ATTEMPTS: usize = 5_000;
/// Of them so many at once.
const HELD: usize = 300;

/// A control group of this test; gone with it.
struct Group(PathBuf);

impl Group {
    /// Version 1, else version 2; `None` where neither can be made, which is printed.
    fn new() -> Option<Group> {
        let name = format!("chr-node-test-{}", std::process::id());
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
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

fn kilobytes(pid: u64, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.unwrap().split_whitespace().next();
    number.unwrap().parse().unwrap()
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
    let Some(group) = Group::new() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    let program = chr_node();
    command
        .arg("-ec")
        .arg("echo $$ > \"$1\"\nexec \"$0\" run")
        .arg(program.get_program())
        .arg(group.0.join("cgroup.procs"));
    for (name, _) in program.get_envs().filter(|(_, value)| value.is_none()) {
        command.env_remove(name);
    }
    let data = home.path().join("data");
    let mut node = Node::start_command(command, &data, &[("MEMORY_LIMIT", "32M")]);
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
    let run: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(data.join("run.json")).unwrap()).unwrap();
    let own = kilobytes(run["pid"].as_u64().unwrap(), "RssAnon:") << 10;
    assert!(own < LIMIT / 2, "{own} bytes of its own");
    // Those who were here are still, and somebody new gets in.
    let health = node.http("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    drop(Raw::admitted(&node, &key(), 1 << 20));
    drop(sessions);
    node.program.signal("-TERM");
    assert!(node.program.wait(SOON).success());
}
