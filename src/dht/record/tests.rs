//! What storers and askers must not take.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use crate::dht::seal::Curve;
use crate::dht::storage::{Source, Storage, STORAGE_BYTES};
use crate::dht::testing::{
    address, content, key, node_record, presence, presence_bytes, NOW, WALL,
};
use crate::identity::SecretKey;
use crate::time::Moment;
use crate::wire::presence::{AHEAD_MAX, UNTIL_MAX, VALID_MAX};
use proptest::prelude::*;

const HOUR: u64 = 3600;

/// A storer and an asker with real signatures, both at `wall`.
struct Pair {
    storage: Storage,
    choice: Choice,
    wall: Wall,
}

impl Pair {
    fn of(key: Address) -> Pair {
        Pair {
            storage: Storage::new(address(1), STORAGE_BYTES),
            choice: Choice::new(key),
            wall: WALL,
        }
    }

    fn device() -> Pair {
        Pair::of(presence_key(&device().address()))
    }

    /// What each of them says of `bytes`.
    fn offer(&mut self, bytes: &[u8]) -> (Result<bool, Refusal>, Result<bool, Refusal>) {
        let (from, source) = (address(2), Source(1));
        let stored = self
            .storage
            .take(Moment(1), self.wall, &from, source, bytes, &Curve);
        (stored, self.choice.offer(bytes, self.wall, &Curve))
    }

    fn both_refuse(&mut self, bytes: &[u8], why: Refusal) {
        assert_eq!(self.offer(bytes), (Err(why), Err(why)));
    }

    fn both_take(&mut self, bytes: &[u8]) {
        assert_eq!(self.offer(bytes), (Ok(true), Ok(true)));
    }
}

fn device() -> SecretKey {
    key(1)
}

fn node() -> SecretKey {
    key(2)
}

/// Signed rightly by device and node, now.
fn good() -> Presence {
    presence(&device(), &node(), NOW, NOW + VALID_MAX, NOW + UNTIL_MAX)
}

#[test]
fn a_presence_that_is_old_is_refused_by_storers_and_askers() {
    let mut pair = Pair::device();
    let bytes = presence_bytes(&good());
    pair.wall.unix = NOW + UNTIL_MAX;
    pair.both_refuse(&bytes, Refusal::Over);
    pair.wall.unix -= 1;
    pair.both_take(&bytes);
    // The node's word lasts longer than the device's: the device's counts.
    let mut pair = Pair::device();
    let short = presence(&device(), &node(), NOW, NOW + 60, NOW + UNTIL_MAX);
    pair.wall.unix = NOW + 60;
    pair.both_refuse(&presence_bytes(&short), Refusal::Over);
}

#[test]
fn a_presence_that_is_forged_is_refused_by_storers_and_askers() {
    let mut pair = Pair::device();
    // A stranger signs for the device.
    let mut forged = presence(&key(3), &node(), NOW, NOW + HOUR, NOW + HOUR);
    forged.device = device().address();
    forged.node_sig = node().sign(&forged.digest());
    pair.both_refuse(&presence_bytes(&forged), Refusal::Signature);
    // A right one with another time.
    let mut later = good();
    later.t += 1;
    later.node_sig = node().sign(&later.digest());
    pair.both_refuse(&presence_bytes(&later), Refusal::Signature);
    // The node has not said that it has it for longer.
    let mut longer = good();
    longer.until += 1;
    pair.both_refuse(&presence_bytes(&longer), Refusal::Signature);
    pair.both_take(&presence_bytes(&good()));
}

#[test]
fn a_presence_countersigned_by_the_wrong_node_is_refused_by_storers_and_askers() {
    let mut pair = Pair::device();
    let mut stolen = good();
    stolen.node_sig = key(3).sign(&stolen.digest());
    pair.both_refuse(&presence_bytes(&stolen), Refusal::Signature);
    // Nor may the wrong node put its own name there.
    stolen.node = key(3).address();
    stolen.node_sig = key(3).sign(&stolen.digest());
    pair.both_refuse(&presence_bytes(&stolen), Refusal::Signature);
}

#[test]
fn a_presence_that_is_replayed_is_refused_by_storers_and_askers() {
    let mut pair = Pair::device();
    let first = presence_bytes(&good());
    pair.both_take(&first);
    let again = presence(
        &device(),
        &node(),
        NOW + 60,
        NOW + VALID_MAX,
        NOW + UNTIL_MAX,
    );
    pair.both_take(&presence_bytes(&again));
    pair.both_refuse(&first, Refusal::Stale);
    // The device has moved through three other nodes: what it said of the first
    // does not come back.
    for n in 3..6 {
        let t = NOW + 60 * u64::from(n);
        let moved = presence(&device(), &key(n), t, NOW + VALID_MAX, NOW + UNTIL_MAX);
        pair.both_take(&presence_bytes(&moved));
    }
    pair.both_refuse(&first, Refusal::Stale);
    pair.both_refuse(&presence_bytes(&again), Refusal::Stale);
    // Under the key of another device it says nothing.
    let mut other = Choice::new(presence_key(&key(9).address()));
    assert_eq!(other.offer(&first, WALL, &Curve), Err(Refusal::Key));
}

#[test]
fn a_replay_is_refused_by_an_asker_that_knows_of_something_newer() {
    let mut pair = Pair::device();
    let newer = presence(&device(), &node(), NOW + 1, NOW + HOUR, NOW + HOUR);
    let known = ValidRecord::presence(&newer, &Curve).unwrap();
    assert!(pair.choice.know(known.clone()));
    assert!(!pair.choice.know(known));
    let replayed = pair
        .choice
        .offer(&presence_bytes(&good()), pair.wall, &Curve);
    assert_eq!(replayed, Err(Refusal::Stale));
}

#[test]
fn times_too_far_ahead_are_refused_by_those_who_know_the_time() {
    let until = NOW + UNTIL_MAX;
    for (t, not_after, until, fine) in [
        (NOW + AHEAD_MAX, NOW + HOUR, until, true),
        (NOW + AHEAD_MAX + 1, NOW + HOUR, until, false),
        (NOW + 600, NOW + 600 + VALID_MAX, until, true),
        (NOW, NOW + HOUR, until + AHEAD_MAX, true),
        (NOW, NOW + 2 * HOUR, until + AHEAD_MAX + 1, false),
    ] {
        let bytes = presence_bytes(&presence(&device(), &node(), t, not_after, until));
        let mut pair = Pair::device();
        if fine {
            pair.both_take(&bytes);
        } else {
            pair.both_refuse(&bytes, Refusal::Ahead);
        }
    }
    for end in [NOW + UNTIL_AHEAD_MAX, NOW + UNTIL_AHEAD_MAX + 1] {
        let record = content(1, 20, end);
        let mut pair = Pair::of(record.key());
        if end > NOW + UNTIL_AHEAD_MAX {
            pair.both_refuse(record.bytes(), Refusal::Ahead);
        } else {
            pair.both_take(record.bytes());
        }
    }
}

#[test]
fn a_clock_in_1970_refuses_only_what_has_certainly_ended() {
    // The clock shows 1970; the program was built a month ago.
    let floor = NOW - 30 * 24 * HOUR;
    let mut pair = Pair::device();
    pair.wall = Wall {
        unix: floor,
        trusted: false,
    };
    pair.both_take(&presence_bytes(&good()));
    let old = presence(&device(), &key(3), floor - HOUR, floor + HOUR, floor);
    pair.both_refuse(&presence_bytes(&old), Refusal::Over);
    // Signatures count at any time.
    let mut forged = good();
    forged.t += 10;
    pair.both_refuse(&presence_bytes(&forged), Refusal::Signature);
    // What is signed for longer than a day is wrong at any time.
    let week = presence(&device(), &key(3), NOW, NOW + 7 * VALID_MAX, NOW + HOUR);
    pair.both_refuse(&presence_bytes(&week), Refusal::Form);
}

#[test]
fn a_node_that_learns_the_time_forgets_what_is_over() {
    let mut pair = Pair::device();
    pair.wall = Wall {
        unix: NOW - 30 * 24 * HOUR,
        trusted: false,
    };
    pair.both_take(&presence_bytes(&good()));
    let later = Wall {
        unix: NOW + UNTIL_MAX,
        trusted: true,
    };
    let key = presence_key(&device().address());
    assert!(pair.storage.get(Moment(2), later, &key).is_empty());
    pair.storage.expire(Moment(2), later);
    assert!(pair.storage.is_empty());
}

#[test]
fn a_node_record_is_by_the_node_and_the_higher_number_counts() {
    let me = node();
    let sign = |seq| ValidRecord::node(&node_record(me.address(), seq, NOW + HOUR), &me).unwrap();
    let mut pair = Pair::of(node_key(&me.address()));
    pair.both_take(sign(5).bytes());
    assert_eq!(pair.offer(sign(5).bytes()), (Ok(false), Ok(false)));
    pair.both_refuse(sign(4).bytes(), Refusal::Stale);
    pair.both_take(sign(6).bytes());
    // One byte of the name is another's.
    let mut forged = sign(7).bytes().to_vec();
    let at = forged.windows(5).position(|w| w == b"attic").unwrap();
    forged[at] ^= 1;
    pair.both_refuse(&forged, Refusal::Signature);
    let stranger = ValidRecord::node(&node_record(me.address(), 8, NOW + HOUR), &key(3));
    assert_eq!(stranger, Err(Refusal::Signature));
}

#[test]
fn a_mutable_value_is_by_its_owner_and_has_one_place_a_name() {
    let me = device();
    let value = |name: &[u8], seq, text: &[u8]| MutableValue {
        owner: me.address(),
        name: name.to_vec(),
        seq,
        until: NOW + HOUR,
        value: text.to_vec(),
    };
    let first = ValidRecord::mutable(&value(b"a", 1, b"one"), &me).unwrap();
    let second = ValidRecord::mutable(&value(b"a", 2, b"two"), &me).unwrap();
    let other = ValidRecord::mutable(&value(b"b", 1, b"one"), &me).unwrap();
    assert_eq!(first.key(), mutable_key(&me.address(), b"a"));
    assert_ne!(first.key(), other.key());
    let mut pair = Pair::of(first.key());
    pair.both_take(first.bytes());
    pair.both_take(second.bytes());
    pair.both_refuse(first.bytes(), Refusal::Stale);
    let mut forged = second.bytes().to_vec();
    let at = forged.windows(3).position(|w| w == b"two").unwrap();
    forged[at] ^= 1;
    // Its version is no newer, so its signature is not even looked at.
    pair.both_refuse(&forged, Refusal::Stale);
    assert_eq!(
        Record::parse(&forged).unwrap().check(WALL, &Curve),
        Err(Refusal::Signature)
    );
    let Ok(Content::Mutable(read)) = second.content() else {
        unreachable!("another kind")
    };
    assert_eq!(read, value(b"a", 2, b"two"));
}

#[test]
fn a_content_value_is_found_under_its_hash_alone() {
    let record = content(7, 40, NOW + HOUR);
    let mut pair = Pair::of(record.key());
    pair.both_take(record.bytes());
    let mut changed = record.bytes().to_vec();
    *changed.last_mut().unwrap() ^= 1;
    let (stored, chosen) = pair.offer(&changed);
    // To the storer it is another value, to the asker not what it asked for.
    assert_eq!((stored, chosen), (Ok(true), Err(Refusal::Key)));
    assert_eq!(pair.storage.len(), 2);
}

#[test]
fn bytes_that_are_no_record_are_refused_before_anything_is_hashed() {
    let mut pair = Pair::device();
    let good = presence_bytes(&good());
    let mut kind = good.clone();
    for number in [0, 1, 3, 4, 5, 255] {
        kind[0] = number;
        pair.both_refuse(&kind, Refusal::Form);
    }
    pair.both_refuse(&[], Refusal::Form);
    pair.both_refuse(&good[..good.len() - 1], Refusal::Form);
    pair.both_refuse(&[&good[..], &[0]].concat(), Refusal::Form);
    let long = ContentValue {
        until: NOW + 1,
        value: vec![1; RECORD_MAX],
    };
    assert_eq!(ValidRecord::content_value(&long), Err(Refusal::Form));
}

#[test]
fn a_node_record_beyond_its_bounds_is_not_even_signed() {
    let me = node();
    let good = node_record(me.address(), 1, NOW + HOUR);
    let bad: [fn(&mut NodeRecord); 7] = [
        |r| r.places.clear(),
        |r| r.places = vec![r.places[0]; PLACES_MAX + 1],
        |r| r.places[0].set_port(0),
        |r| r.places[0].set_ip([255; 4].into()),
        |r| r.edge_ports = vec![1; PLACES_MAX + 1],
        |r| r.name = "x".repeat(NODE_NAME_MAX + 1),
        |r| r.name = "\u{1b}[2J".to_owned(),
    ];
    for change in bad {
        let mut record = good.clone();
        change(&mut record);
        assert_eq!(ValidRecord::node(&record, &me), Err(Refusal::Form));
    }
    let signed = ValidRecord::node(&good, &me).unwrap();
    assert_eq!(signed.content(), Ok(Content::Node(good)));
    assert_eq!(signed.publisher(), Some(me.address()));
}

#[test]
fn every_reason_has_a_byte_of_its_own() {
    let mut seen = 0;
    for code in 0..=255 {
        if let Some(refusal) = Refusal::from_code(code) {
            assert_eq!(refusal.code(), code);
            seen += 1;
        }
    }
    assert_eq!(seen, 7);
    assert_eq!(Refusal::from_code(0), None);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_crash_the_parser(kind in 0u8..6, bytes: Vec<u8>) {
        let bytes = [&[kind], &bytes[..]].concat();
        if let Ok(record) = Record::parse(&bytes) {
            prop_assert_eq!(record.bytes(), &bytes[..]);
            let _ = record.check(WALL, &Curve);
        }
    }

    #[test]
    fn a_changed_byte_is_refused_or_another_record(at: prop::sample::Index, byte: u8) {
        let good = presence_bytes(&good());
        let mut bytes = good.clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        prop_assume!(bytes != good);
        let mut pair = Pair::device();
        let (stored, chosen) = pair.offer(&bytes);
        prop_assert!(stored.is_err() && chosen.is_err());
    }
}
