//! What a port, a session and a connection may have on their way.

use super::node_with;
use crate::common::raw::{key, Raw, DATA};
use crate::common::tools::*;
use crate::common::*;
use chr_node::wire::control::{Credit, Message, Open, Opened, Ping, Pong, Publish, Published};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const KIB: u64 = 1 << 10;
const PAID: u64 = 1 << 40;

/// Two sessions and a port between them; the publisher takes all that comes.
struct Pair {
    opener: Raw,
    publisher: Raw,
    port: u32,
    credit: u64,
}

impl Pair {
    fn new(node: &Node) -> Pair {
        let mut publisher = Raw::admitted(node, &key(), PAID);
        let mut opener = Raw::admitted(node, &key(), PAID);
        publisher.request(&Publish {
            name: "tcp:80".into(),
            allow: None,
        });
        publisher.expect::<Published>();
        let port = opener.next_number();
        let open = Open {
            port,
            peer: publisher.address(),
            name: "tcp:80".into(),
            credit: 65_536,
        };
        opener.send(port, &open);
        let offer: Open = publisher.expect();
        publisher.send(offer.port, &Opened { credit: 1 << 30 });
        let credit = opener.expect::<Opened>().credit.into();
        Pair {
            opener,
            publisher,
            port,
            credit,
        }
    }

    /// Sends all that there is credit for; how much it was.
    fn send(&mut self) -> u64 {
        let block = noise(1, 16_000);
        let all = self.credit;
        while self.credit > 0 {
            let part = block.len().min(usize::try_from(self.credit).unwrap());
            self.opener.send_data(self.port, &block[..part]);
            self.credit -= part as u64;
        }
        all
    }

    /// The credit that the node gives once all is delivered: the whole window.
    fn round(&mut self) -> u64 {
        let mut left = self.send();
        while left > 0 {
            let frame = self.publisher.next().expect("the session stands");
            if frame.kind == DATA {
                left -= frame.body.len() as u64;
            }
        }
        // What is due goes out in the turn of an answer, at the latest of the second.
        for _ in 0..2 {
            self.opener.request(&Ping {});
            loop {
                let frame = self.opener.next().expect("the session stands");
                if frame.kind == Credit::KIND {
                    self.credit += u64::from(frame.read::<Credit>().bytes);
                } else if frame.kind == Pong::KIND {
                    break;
                }
            }
        }
        self.credit
    }
}

/// Windows grow where a round takes less than 5 ms; this many hold some that do.
const ROUNDS: usize = 400;

/// The largest window of so many rounds; fewer when it reaches `enough`.
fn largest_window(settings: &[(&str, &str)], enough: u64) -> u64 {
    let (_home, node) = node_with(settings);
    let mut pair = Pair::new(&node);
    let mut largest = 0;
    for _ in 0..ROUNDS {
        largest = largest.max(pair.round());
        if largest >= enough {
            break;
        }
    }
    largest
}

pub fn max_window() {
    // Without the setting it grows beyond what the setting then forbids.
    let free = largest_window(&[], 256 * KIB);
    assert!(free >= 256 * KIB, "{free}");
    let bound = ("CHR_PERFORMANCE__MAX_WINDOW", "96K");
    assert_eq!(largest_window(&[bound], 128 * KIB), 96 * KIB);
}

pub fn session_buffer() {
    let bound = ("CHR_PERFORMANCE__SESSION_BUFFER", "64K");
    assert_eq!(largest_window(&[bound], 256 * KIB), 128 * KIB);
}

/// Bytes that the kernel holds of the node's connection to this device.
fn held_by_the_kernel(node: &Node, device: &TcpStream) -> u64 {
    let hex = |port: u16| format!(":{port:04X}");
    let (ours, theirs) = (
        hex(node.edge().port()),
        hex(device.local_addr().unwrap().port()),
    );
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let row = table.lines().find(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[1].ends_with(&ours) && fields[2].ends_with(&theirs)
    });
    let queues = row.expect("a row").split_whitespace().nth(4).unwrap();
    u64::from_str_radix(queues.split_once(':').unwrap().0, 16).unwrap()
}

/// A session that moves on within this time is not stuck.
const SILENCE: Duration = Duration::from_millis(700);

/// What the kernel holds for a device that reads nothing.
fn held_for_a_sleeper(send_buffer: &str) -> u64 {
    let (_home, node) = node_with(&[("CHR_PERFORMANCE__SEND_BUFFER", send_buffer)]);
    let mut pair = Pair::new(&node);
    let end = Instant::now() + SOON;
    loop {
        pair.send();
        // Until no more is asked for.
        match pair.opener.next_within(SILENCE) {
            Some(frame) if frame.kind == Credit::KIND => {
                pair.credit += u64::from(frame.read::<Credit>().bytes);
            }
            Some(_) => {}
            None => break,
        }
        assert!(Instant::now() < end, "the node never stops taking bytes");
    }
    held_by_the_kernel(&node, &pair.publisher.socket)
}

pub fn send_buffer() {
    // A little more than what is asked for: the kernel counts whole segments.
    let small = held_for_a_sleeper("16K");
    assert!(small < 160 * KIB, "{small}");
    let large = held_for_a_sleeper("512K");
    assert!(large > 300 * KIB, "{large}");
}

/// A sleeper's bytes are found at all.
#[test]
fn the_kernel_s_table_knows_both_ends() {
    let (_home, node) = node_with(&[]);
    let stream = TcpStream::connect(node.edge()).unwrap();
    until(SOON, "the connection is there", || {
        (held_by_the_kernel(&node, &stream) == 0).then_some(())
    });
}
