//! Tickets that are wrong, and devices that do not pay, through the real node:
//! which refusal they get, and that the session goes on where it may.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use chr_node::identity::Address;
use chr_node::ticket::{Ticket, MAX_TOTAL_BYTES};
use chr_node::wire::code::Code;
use chr_node::wire::control::{
    Credit, ErrorAnswer, Message, Open, Opened, Publish, Published, TicketAccepted, TicketAsk,
    TicketTooLow,
};
use common::raw::{key, Raw, DATA};
use common::*;
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// First credit of a port in a session with few of them.
const FIRST_CREDIT: usize = 64 * 1024;
/// What the node may send in the turn in which the limit is met.
const TURN: u64 = 512 * 1024;
/// A paused session is silent for this long; one that flows never is.
const SILENCE: Duration = Duration::from_millis(500);

/// A node and a session that it has asked for a ticket.
fn asked(settings: &[(&str, &str)]) -> (tempfile::TempDir, Node, Raw, TicketAsk) {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), settings);
    let mut raw = Raw::greeted(&node, &key());
    let ask: TicketAsk = raw.expect();
    (home, node, raw, ask)
}

/// Signs `ticket` anew after a change.
fn resign(raw: &Raw, mut ticket: Ticket, change: impl FnOnce(&mut Ticket)) -> Ticket {
    change(&mut ticket);
    ticket.signature = raw.key.sign(&ticket.digest(&raw.node));
    ticket
}

/// Sends a ticket that must be refused with this number, to this request.
#[track_caller]
fn assert_refused(raw: &mut Raw, ticket: &Ticket, code: u16) -> ErrorAnswer {
    let id = raw.request(ticket);
    let frame = raw.next().expect("an answer");
    assert_eq!(frame.id, id);
    let error: ErrorAnswer = frame.read();
    assert_eq!(error.code, Code(code), "{}", error.text);
    error
}

/// The session still takes a right ticket, and serves.
#[track_caller]
fn assert_usable(raw: &mut Raw, epoch: u64, total: u64) {
    let ticket = raw.sign(epoch, total);
    let id = raw.request(&ticket);
    let mut frame = raw.next().expect("an answer");
    if frame.id != id {
        // A ticket of the last epoch is taken, and the next one asked for.
        frame.read::<TicketAsk>();
        frame = raw.next().expect("an answer");
    }
    let accepted: TicketAccepted = frame.read();
    assert_eq!((accepted.epoch, accepted.total_bytes), (epoch, total));
    assert!(accepted.durable);
    raw.request(&Publish {
        name: "tls:80".into(),
        allow: None,
    });
    let mut frame = raw.next().expect("an answer");
    if frame.kind == TicketAsk::KIND {
        frame = raw.next().expect("an answer");
    }
    frame.read::<Published>();
}

#[test]
fn expired_and_future_tickets_are_refused_and_may_be_mended() {
    let (_home, _node, mut raw, ask) = asked(&[]);
    assert!(ask.epoch_known && ask.usage == 0);
    let now = ask.epoch;
    let ticket = raw.sign(now - 2, MIB);
    let error = assert_refused(&mut raw, &ticket, 100);
    assert!(error.retry_after_ms.is_some() && error.text.contains("clock"));
    let ticket = raw.sign(now + 1, MIB);
    assert!(assert_refused(&mut raw, &ticket, 101)
        .retry_after_ms
        .is_some());
    assert_usable(&mut raw, now, MIB);
    // The epoch that has just ended is still accepted.
    let mut other = Raw::greeted(&_node, &key());
    other.expect::<TicketAsk>();
    assert_usable(&mut other, now - 1, MIB);
}

#[test]
fn forged_tickets_and_those_of_others_are_refused() {
    let (_home, _node, mut raw, ask) = asked(&[]);
    let good = raw.sign(ask.epoch, MIB);
    // A byte of the signature, or of what is signed, was changed.
    for at in [1, 33, 64] {
        let mut forged = good.clone();
        forged.signature.0[at] ^= 1;
        let error = assert_refused(&mut raw, &forged, 106);
        assert!(error.text.contains("forged or another device's"));
    }
    let mut forged = good.clone();
    forged.total_bytes = 1000 * MIB;
    assert_refused(&mut raw, &forged, 106);
    // Signed by another device, in its own session perhaps.
    let mut others = good.clone();
    others.signature = key().sign(&others.digest(&raw.node));
    assert_refused(&mut raw, &others, 106);
    // By this device, for another node.
    let mut elsewhere = good.clone();
    elsewhere.signature = raw.key.sign(&elsewhere.digest(&Address([7; 20])));
    assert_refused(&mut raw, &elsewhere, 106);
    assert_usable(&mut raw, ask.epoch, MIB);
}

#[test]
fn tickets_beyond_the_bounds_or_for_another_chain_are_refused() {
    let (_home, _node, mut raw, ask) = asked(&[]);
    let good = raw.sign(ask.epoch, MIB);
    type Change = fn(&mut Ticket);
    let cases: [(u16, Change); 3] = [
        (102, |t| t.chain_id += 1),
        (103, |t| t.total_bytes = MAX_TOTAL_BYTES + 1),
        (104, |t| t.total_connections = u64::MAX),
    ];
    for (code, change) in cases {
        let ticket = resign(&raw, good.clone(), change);
        assert_refused(&mut raw, &ticket, code);
    }
    assert_usable(&mut raw, ask.epoch, MIB);
}

#[test]
fn a_fleet_is_served_by_the_list_and_a_claim_does_not_help() {
    let fleet = Address([0xfe; 20]);
    let member = key();
    let rule = format!("{fleet}/{}", member.address());
    let (_home, node, mut raw, ask) = asked(&[("CHR_SECURITY__FLEET_ALLOWLIST", &rule)]);
    let unlisted = raw.sign(ask.epoch, MIB);
    assert_refused(&mut raw, &unlisted, 107);
    let claimed = resign(&raw, unlisted, |t| t.fleet = fleet);
    let error = assert_refused(&mut raw, &claimed, 108);
    assert!(error.text.contains(&fleet.to_string()));
    // The member's own ticket in the stranger's session.
    let mut of_member = claimed.clone();
    of_member.signature = member.sign(&of_member.digest(&raw.node));
    assert_refused(&mut raw, &of_member, 106);
    let mut session = Raw::greeted(&node, &member);
    let ask: TicketAsk = session.expect();
    let ticket = session.sign(ask.epoch, MIB);
    let ticket = resign(&session, ticket, |t| t.fleet = fleet);
    session.request(&ticket);
    session.expect::<TicketAccepted>();
}

#[test]
fn a_ticket_for_less_than_was_signed_is_answered_with_what_it_takes() {
    let (_home, node, mut raw, ask) = asked(&[]);
    assert_usable(&mut raw, ask.epoch, 10 * MIB);
    let less = raw.sign(ask.epoch, 10 * MIB - 1);
    raw.request(&less);
    let low: TicketTooLow = raw.expect();
    assert_eq!((low.usage, low.last_total), (0, 10 * MIB));
    // In a later session the node still knows.
    let key = raw.key.clone();
    drop(raw);
    let mut again = Raw::greeted(&node, &key);
    again.expect::<TicketAsk>();
    again.request(&less);
    assert_eq!(again.expect::<TicketTooLow>().last_total, 10 * MIB);
    assert_usable(&mut again, ask.epoch, 10 * MIB);
}

#[test]
fn a_flood_of_tickets_is_slowed_down_and_not_looked_at() {
    let (_home, _node, mut raw, ask) = asked(&[]);
    let mut sent = Vec::new();
    for n in 1..=40 {
        let ticket = raw.sign(ask.epoch, n * MIB);
        sent.push(raw.request(&ticket));
    }
    let (mut accepted, mut refused) = (0, 0);
    for _ in sent {
        let frame = raw.next().expect("an answer to each");
        match frame.kind {
            TicketAccepted::KIND => accepted += 1,
            _ => {
                let error: ErrorAnswer = frame.read();
                assert_eq!(error.code, Code(111));
                assert!(error.retry_after_ms.is_some());
                refused += 1;
            }
        }
    }
    assert!(accepted >= 20 && refused > 0, "{accepted}, {refused}");
}

#[test]
fn nothing_is_published_or_opened_before_a_ticket() {
    let (_home, _node, mut raw, ask) = asked(&[]);
    raw.request(&Publish {
        name: "tls:80".into(),
        allow: None,
    });
    assert_eq!(raw.expect::<ErrorAnswer>().code, Code::NO_TICKET);
    let port = raw.next_number();
    let open = Open {
        port,
        peer: Address([1; 20]),
        name: "tls:80".into(),
        credit: 65_536,
    };
    raw.send(port, &open);
    assert_eq!(raw.expect::<ErrorAnswer>().code, Code::NO_TICKET);
    assert_usable(&mut raw, ask.epoch, MIB);
}

#[test]
fn a_node_that_wants_no_tickets_serves_without_them() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), &[("CHR_SECURITY__REQUIRE_TICKETS", "false")]);
    let mut raw = Raw::greeted(&node, &key());
    assert!(!raw.terms.as_ref().unwrap().tickets_required);
    raw.request(&Publish {
        name: "tls:80".into(),
        allow: None,
    });
    raw.expect::<Published>();
}

/// A port between two sessions: the opener's and the publisher's number.
fn open_port(opener: &mut Raw, publisher: &mut Raw) -> (u32, u32) {
    publisher.request(&Publish {
        name: "tcp:80".into(),
        allow: None,
    });
    publisher.expect::<Published>();
    let number = opener.next_number();
    let open = Open {
        port: number,
        peer: publisher.address(),
        name: "tcp:80".into(),
        credit: 1 << 30,
    };
    opener.send(number, &open);
    let offer: Open = publisher.expect();
    assert_eq!(offer.peer, opener.address());
    publisher.send(offer.port, &Opened { credit: 1 << 30 });
    opener.expect::<Opened>();
    (number, offer.port)
}

#[test]
fn unpaid_traffic_pauses_and_flows_again_after_the_next_ticket() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), &[("CHR_TICKETS__GRACE_BYTES", "64K")]);
    let mut publisher = Raw::admitted(&node, &key(), 1 << 40);
    let mut opener = Raw::admitted(&node, &key(), MIB);
    let (near, far) = open_port(&mut opener, &mut publisher);
    // The publisher has paid for everything and sends as far as it has credit.
    let total = 3 * MIB as usize;
    let sending = std::thread::spawn(move || {
        let block = noise(1, 16_000);
        let mut credit = FIRST_CREDIT;
        let mut left = total;
        while left > 0 {
            let part = block.len().min(left);
            while credit < part {
                let frame = publisher.next().expect("credit");
                credit += frame.read::<Credit>().bytes as usize;
            }
            publisher.send_data(far, &block[..part]);
            credit -= part;
            left -= part;
        }
        publisher
    });
    // The opener reads until nothing comes any more.
    let (mut received, mut ask, mut accepted) = (0, None, false);
    let mut read = |opener: &mut Raw, until: usize| {
        while received < until {
            match opener.next_within(SILENCE) {
                None => break,
                Some(frame) if frame.kind == DATA => {
                    assert_eq!(frame.id, near);
                    received += frame.body.len();
                }
                // Relaying does not wait for the disk: data may come first.
                Some(frame) if frame.kind == TicketAccepted::KIND => accepted = true,
                Some(frame) => ask = Some(frame.read::<TicketAsk>()),
            }
        }
        (received, ask.clone(), accepted)
    };
    let (paused_at, ask, _) = read(&mut opener, total);
    let ask = ask.expect("the node asks in time");
    assert!(ask.usage >= 3 * MIB / 4, "{ask:?}");
    assert!(
        paused_at as u64 > MIB,
        "{paused_at}: the grace was not given"
    );
    let most = MIB + 64 * 1024 + TURN;
    assert!((paused_at as u64) < most, "{paused_at} bytes for 1 MiB");
    let ticket = opener.sign(ask.epoch, 100 * MIB);
    opener.request(&ticket);
    let (received, _, accepted) = read(&mut opener, total);
    assert_eq!(received, total);
    if !accepted {
        opener.expect::<TicketAccepted>();
    }
    sending.join().unwrap();
}

#[test]
fn the_ticket_of_a_device_that_comes_back_is_not_recovered_again() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let tier = |name: &str| {
        let cache = node.ask("network_stats")["cache"].clone();
        cache[name]["hits"].as_u64().unwrap()
    };
    let device = key();
    for (session, hits) in [(1, 0), (2, 1), (3, 2)] {
        // The same ticket each time: signatures are deterministic.
        let raw = Raw::admitted(&node, &device, 40 * MIB);
        assert_eq!((tier("l1"), tier("source")), (hits, 1), "session {session}");
        drop(raw);
    }
    // Another device, another ticket.
    let _other = Raw::admitted(&node, &key(), 40 * MIB);
    assert_eq!((tier("l1"), tier("source")), (2, 2));
}
