//! Devices that break the rules within a session or ask for too much of it: the
//! session ends with the reason, or the request is refused with the limit.
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
    encode, Abort, Close, ErrorAnswer, Hello, Open, Opened, Ping, Publish, Published,
};
use chr_node::wire::frame::{control_header, data_header};
use common::raw::{key, Raw, DATA};
use common::tools::*;
use common::*;
use std::time::{Duration, Instant};

const PAID: u64 = 1 << 40;

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
    while frame.kind == DATA {
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
    let raw = flood_once(&node, raw, &opens);
    ended(2);
    drop(raw);
    Raw::admitted(&node, &key(), PAID);
}

/// As [`flood`], for frames that cannot be sent twice.
fn flood_once(node: &Node, mut raw: Raw, frames: &[u8]) -> Raw {
    let before = node.program.rss();
    raw.socket
        .set_write_timeout(Some(Duration::from_secs(3)))
        .unwrap();
    // What comes while a session is closing is thrown away, so all may be taken.
    for part in frames.chunks(64 * 1024) {
        if raw.write(part).is_err() {
            break;
        }
    }
    let grown = node.program.rss().saturating_sub(before);
    assert!(grown < 3_000_000, "{grown} bytes for one session");
    raw
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

/// Tests that wait for deadlines of 20 s run only with CHR_TEST_FULL set.
fn patient() -> bool {
    let full = std::env::var_os("CHR_TEST_FULL").is_some();
    if !full {
        println!("skipped: takes 20 s, set CHR_TEST_FULL to run it");
    }
    full
}

#[test]
fn a_device_that_never_pays_is_sent_away_after_the_deadline() {
    if !patient() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let mut raw = Raw::greeted(&node, &key());
    let began = Instant::now();
    let close = raw.close_reason().expect("a reason");
    assert_eq!(close.code, Code::UNPAID, "{}", close.text);
    let waited = began.elapsed().as_secs_f64();
    assert!((19.0..25.0).contains(&waited), "{waited} s");
}

#[test]
fn an_opening_that_nobody_answers_is_refused_and_both_sides_go_on() {
    if !patient() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let mut opener = Raw::admitted(&node, &key(), PAID);
    let mut publisher = Raw::admitted(&node, &key(), PAID);
    let (_, offer) = asked(&node, &mut opener, &mut publisher);
    let error: ErrorAnswer = opener.expect();
    assert_eq!(error.code, Code::NO_ANSWER, "{}", error.text);
    let abort: Abort = publisher.expect();
    assert_eq!((abort.port, abort.code), (offer.port, Code::NO_ANSWER));
    // An answer that comes too late is no violation.
    publisher.send(offer.port, &Opened { credit: 1 });
    let (_, offer) = asked(&node, &mut opener, &mut publisher);
    publisher.send(offer.port, &Opened { credit: 1 });
    opener.expect::<Opened>();
}
