//! Who gets a place, and who loses it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use crate::dht::id::in_bucket;
use crate::dht::testing::address;
use proptest::prelude::*;
use std::net::SocketAddr;

const K: usize = 20;

fn seconds(n: u64) -> Moment {
    Moment(n * 1_000_000_000)
}

/// Node `n`, in a network of its own, in the bucket of `bits`.
fn contact(own: &Address, bits: usize, n: u64) -> Contact {
    let [.., a, b, c] = n.to_be_bytes();
    Contact {
        id: in_bucket(own, bits, address(n)),
        at: SocketAddr::from(([20 + a, b, c, 1], 5)),
    }
}

fn own() -> Address {
    address(0)
}

/// A table whose bucket 0 is full.
fn full() -> (Table, Vec<Contact>) {
    let mut table = Table::new(own(), K);
    table.set_exempt(false);
    let contacts: Vec<Contact> = (1..=K as u64).map(|n| contact(&own(), 0, n)).collect();
    for (n, contact) in contacts.iter().enumerate() {
        assert_eq!(table.heard(*contact, seconds(n as u64)), Heard::Added);
    }
    (table, contacts)
}

#[test]
fn a_newcomer_does_not_push_out_who_lives() {
    let (mut table, contacts) = full();
    let newcomer = contact(&own(), 0, 99);
    // Nothing was heard of the first one for long: it is asked.
    let heard = table.heard(newcomer, seconds(1000));
    assert_eq!(heard, Heard::Waits(Some(contacts[0])));
    assert!(table.get(&newcomer.id).is_none());
    // It answers, and is the latest now.
    assert_eq!(table.heard(contacts[0], seconds(1000)), Heard::Known);
    let heard = table.heard(newcomer, seconds(1001));
    assert_eq!(heard, Heard::Waits(Some(contacts[1])));
    for contact in &contacts[1..] {
        table.heard(*contact, seconds(1001));
    }
    assert_eq!(table.heard(newcomer, seconds(1002)), Heard::Waits(None));
    assert_eq!(table.len(), K);
}

#[test]
fn who_is_silent_three_times_makes_room_for_who_has_proven_itself() {
    let (mut table, contacts) = full();
    let (named, proven) = (contact(&own(), 0, 98), contact(&own(), 0, 99));
    assert_eq!(table.heard(proven, seconds(30)), Heard::Waits(None));
    assert!(!table.named(named));
    let gone = contacts[5];
    for n in 0..2 {
        let silence = table.silent(&gone, seconds(40 + n), seconds(50));
        assert!(matches!(silence, Silence::Doubted));
    }
    let near = table.closest(&gone.id, K, false);
    assert!(near.iter().all(|peer| peer.contact != gone), "told others");
    let silence = table.silent(&gone, seconds(42), seconds(50));
    let Silence::Left(peer, spare) = silence else {
        panic!("{silence:?}");
    };
    assert_eq!((peer.contact, spare), (gone, Some(proven)));
    // Hearsay comes after those who have spoken.
    let (peer, spare) = match table.remove(&contacts[6].id) {
        Silence::Left(peer, spare) => (peer, spare),
        other => panic!("{other:?}"),
    };
    assert_eq!((peer.contact, spare), (contacts[6], Some(named)));
}

#[test]
fn a_table_is_not_emptied_while_we_are_cut_off_ourselves() {
    let (mut table, contacts) = full();
    for round in 0..100 {
        for contact in &contacts {
            let now = seconds(100 + round);
            // Nobody was heard since second 60.
            let silence = table.silent(contact, now, seconds(60));
            assert!(matches!(silence, Silence::Doubted));
        }
    }
    assert_eq!(table.len(), K);
    // Back again: one answers, and the others are believed to be gone one by one.
    table.heard(contacts[0], seconds(300));
    let silence = table.silent(&contacts[1], seconds(301), seconds(300));
    assert!(matches!(silence, Silence::Left(..)));
}

#[test]
fn a_rented_network_gets_two_places_of_a_bucket_and_two_in_its_queue() {
    let mut table = Table::new(own(), K);
    table.set_exempt(false);
    let rented = |n: u64| Contact {
        at: SocketAddr::from(([203, 0, 113, n as u8], 5)),
        ..contact(&own(), 3, n)
    };
    for n in 1..200 {
        table.heard(rented(n), seconds(n));
        table.named(rented(n));
    }
    assert_eq!(table.len(), 2);
    let honest: Vec<Contact> = (300..340).map(|n| contact(&own(), 3, n)).collect();
    for contact in &honest {
        table.heard(*contact, seconds(400));
    }
    assert_eq!(table.len(), K);
    let near = table.closest(&own(), K, true);
    let cheap = near
        .iter()
        .filter(|p| p.contact.at.ip().to_string().starts_with("203."));
    assert_eq!(cheap.count(), 2);
    assert!(table.buckets[3].spares.len() <= SPARES_MAX);
}

#[test]
fn hearsay_gets_no_place() {
    let mut table = Table::new(own(), K);
    assert!(table.named(contact(&own(), 0, 1)), "there is room");
    assert_eq!(table.len(), 0);
    assert_eq!(
        table.heard(
            Contact {
                id: own(),
                ..contact(&own(), 0, 1)
            },
            seconds(1)
        ),
        Heard::Refused
    );
    assert_eq!(table.len(), 0);
}

#[test]
fn a_node_that_moved_is_not_known_at_its_old_place() {
    let (mut table, contacts) = full();
    table.answered(&contacts[3].id, Some(Duration::from_millis(5)), Some(77));
    let moved = Contact {
        at: "198.51.100.9:7".parse().unwrap(),
        ..contacts[3]
    };
    assert_eq!(table.heard(moved, seconds(100)), Heard::Known);
    let peer = table.get(&moved.id).unwrap();
    assert_eq!((peer.contact, peer.cookie), (moved, 0));
    assert!(peer.rtt.round_trip().is_none());
    // Silence at the old place is not its fault.
    let silence = table.silent(&contacts[3], seconds(101), seconds(101));
    assert!(matches!(silence, Silence::Unknown));
}

#[test]
fn the_size_of_the_network_is_told_from_the_neighbourhood() {
    for nodes in [1000u64, 20_000] {
        let mut table = Table::new(own(), K);
        table.set_exempt(false);
        assert_eq!(table.network_size(), None);
        for n in 1..=nodes {
            let contact = Contact {
                id: address(n),
                ..contact(&own(), 0, n)
            };
            table.heard(contact, seconds(n));
        }
        let told = table.network_size().unwrap() / nodes as f64;
        assert!((0.5..2.0).contains(&told), "{told} of {nodes}");
        let gaps: Vec<usize> = table
            .gaps()
            .take_while(|b| *b < table.neighbourhood())
            .collect();
        assert_eq!(
            gaps,
            Vec::<usize>::new(),
            "all but the neighbourhood are full"
        );
    }
}

proptest! {
    #[test]
    fn the_closest_are_those_that_a_sorted_list_would_give(
        ids in prop::collection::vec(any::<[u8; 20]>(), 1..300),
        own: [u8; 20],
        target: [u8; 20],
        near in 0usize..160,
        most in 1usize..30,
    ) {
        let own = Address(own);
        let mut table = Table::new(own, 300);
        // Half of them close to us, so that deep buckets are there.
        for (n, id) in ids.iter().enumerate() {
            let id = if n % 2 == 0 { Address(*id) } else { in_bucket(&own, near, Address(*id)) };
            let at = contact(&own, 0, n as u64).at;
            table.heard(Contact { id, at }, seconds(n as u64));
        }
        let target = Address(target);
        let mut all: Vec<Address> = table.iter().map(|peer| peer.contact.id).collect();
        prop_assert_eq!(all.len(), table.len());
        all.sort_by(|a, b| closer(&target, a, b));
        all.truncate(most);
        let found: Vec<Address> = table.closest(&target, most, true).iter().map(|p| p.contact.id).collect();
        prop_assert_eq!(found, all);
    }

    #[test]
    fn whatever_happens_buckets_keep_their_bounds(
        steps in prop::collection::vec((0u8..5, 0u64..60, 0usize..3), 0..400)
    ) {
        let mut table = Table::new(own(), 4);
        table.set_exempt(false);
        for (n, (what, who, bits)) in steps.into_iter().enumerate() {
            let now = seconds(n as u64);
            let mut contact = contact(&own(), bits, who);
            if who % 3 == 0 {
                contact.at = SocketAddr::from(([203, 0, 113, who as u8], 5));
            }
            match what {
                0 | 1 => { table.heard(contact, now); }
                2 => { table.named(contact); }
                3 => { table.silent(&contact, now, now); }
                _ => { table.remove(&contact.id); }
            }
            prop_assert_eq!(table.iter().count(), table.len());
            for bucket in &table.buckets {
                prop_assert!(bucket.peers.len() <= 4 && bucket.spares.len() <= SPARES_MAX);
                let rented = bucket.peers.iter().filter(|p| p.contact.at.ip().to_string().starts_with("203."));
                prop_assert!(rented.count() <= 2);
            }
        }
    }
}
