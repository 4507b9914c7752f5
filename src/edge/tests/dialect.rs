//! Which dialect a connection speaks, by ALPN and first bytes.

use super::raw::{hello, Raw};
use super::world::World;
use crate::session::Stop;
use crate::wire::code::Code;
use crate::wire::control::{encode, Welcome};
use crate::wire::rlp::Item;
use std::time::Duration;

fn hello_bytes() -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(1, &hello(), &mut bytes);
    bytes
}

#[test]
fn a_client_without_alpn_is_known_by_its_hello_however_it_is_cut() {
    for cut in 0..hello_bytes().len() {
        let mut world = World::free();
        let mut raw = Raw::device(&mut world, 1, false);
        let (first, rest) = (hello_bytes()[..cut].to_vec(), hello_bytes()[cut..].to_vec());
        raw.bytes(&mut world, &first);
        raw.assert_alive(&world);
        raw.bytes(&mut world, &rest);
        raw.expect::<Welcome>(&mut world);
    }
}

#[test]
fn frames_right_behind_the_first_hello_are_not_lost() {
    let mut world = World::free();
    let mut raw = Raw::device(&mut world, 1, false);
    let mut bytes = hello_bytes();
    encode(3, &crate::wire::control::Ping {}, &mut bytes);
    raw.bytes(&mut world, &bytes);
    raw.expect::<Welcome>(&mut world);
    assert_eq!(raw.expect::<crate::wire::control::Pong>(&mut world).0, 3);
}

#[test]
fn a_diode_client_is_told_goodbye_in_its_own_words() {
    let mut world = World::free();
    let mut raw = Raw::device(&mut world, 1, false);
    raw.bytes(&mut world, &[0x00, 0x17, 0xd6]);
    assert!(matches!(world.node_stop(raw.line), Some(Stop::Foreign(..))));
    let now = world.now();
    let down = &mut world.lines[raw.line].down;
    let mut frame = Vec::new();
    while down.len() > 0 {
        frame.extend(down.take(now, &mut world.random));
    }
    let [_, message] = Item::parse(&frame[2..]).unwrap().tuple().unwrap();
    let [word, ..] = message.tuple::<3>().unwrap();
    assert_eq!(word.bytes().unwrap(), b"goodbye");
}

#[test]
fn bytes_of_no_dialect_end_without_a_word() {
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[2, 2, 0, 0, 0, 0, 0, 12],
        &[2, 1, 0, 1, 0, 0, 0, 12],
        &[2, 1, 0, 0, 0, 0, 0, 3],
        &[3, 1, 0, 0, 0, 0, 0, 12],
    ] {
        let mut world = World::free();
        let mut raw = Raw::device(&mut world, 1, false);
        raw.bytes(&mut world, garbage);
        assert!(
            matches!(world.node_stop(raw.line), Some(Stop::Lost(_))),
            "{garbage:?}"
        );
        assert!(raw.heard(&mut world).is_empty());
    }
}

#[test]
fn with_our_alpn_diodes_bytes_are_a_broken_rule() {
    let mut world = World::free();
    let mut raw = Raw::device(&mut world, 1, true);
    raw.bytes(&mut world, &[0x00, 0x17, 0xd6, 1, 0xd4, 0x8f, 0x67, 0x65]);
    let stop = world.node_stop(raw.line);
    assert!(matches!(stop, Some(Stop::Say(c)) if c.code == Code::PROTOCOL));
}

#[test]
fn somebody_who_says_nothing_or_too_little_is_not_waited_for() {
    for (bytes, alpn) in [(&[][..], true), (&[], false), (&[2, 1, 0], false)] {
        let mut world = World::free();
        let mut raw = Raw::device(&mut world, 1, alpn);
        raw.bytes(&mut world, bytes);
        world.pass(Duration::from_millis(4_900));
        raw.assert_alive(&world);
        world.pass(Duration::from_millis(200));
        let stop = world.node_stop(raw.line);
        assert!(matches!(stop, Some(Stop::Say(c)) if c.code == Code::TOO_SLOW));
        world.close();
    }
}
