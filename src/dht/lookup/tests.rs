//! Lookups against nodes that are made up, one answer at a time.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::dht::id::closer;
use crate::dht::testing::address;
use std::collections::BTreeMap;
use std::net::SocketAddr;

const TERMS: Terms = Terms {
    own: Address::ZERO,
    k: 20,
    alpha: 3,
    paths: 3,
    exempt: false,
    network: None,
};

fn no_cost(_: &Contact) -> (bool, u64) {
    (true, 0)
}

/// A node in a network of its own.
fn contact(n: u64) -> Contact {
    let [.., a, b, c] = n.to_be_bytes();
    Contact {
        id: address(n),
        at: SocketAddr::from(([20 + a, b, c, 1], 5)),
    }
}

/// Everybody knows everybody.
struct Town {
    all: Vec<Contact>,
    target: Address,
}

impl Town {
    fn new(nodes: u64, target: Address) -> Town {
        let mut all: Vec<Contact> = (1..=nodes).map(contact).collect();
        all.sort_by(|a, b| closer(&target, &a.id, &b.id));
        Town { all, target }
    }

    /// The closest `most`, from the place `from` on.
    fn near(&self, from: usize, most: usize) -> Vec<Contact> {
        self.all.iter().skip(from).take(most).copied().collect()
    }
}

/// Answers as `answer` says (none: silence) until the lookup is over; how many were
/// asked.
fn run(lookup: &mut Lookup, answer: &mut dyn FnMut(&Contact) -> Option<Vec<Contact>>) -> usize {
    let mut asked: BTreeMap<Address, Contact> = BTreeMap::new();
    let mut count = 0;
    loop {
        while let Some(contact) = lookup.next(&no_cost) {
            count += 1;
            asked.insert(contact.id, contact);
            assert!(asked.len() <= 9, "too many at once");
        }
        let Some((id, contact)) = asked.pop_first() else {
            assert!(lookup.is_over(), "it waits for nobody and is not over");
            if lookup.waits_for_nobody() && !lookup.is_over() {
                continue;
            }
            return count;
        };
        match answer(&contact) {
            Some(named) => lookup.answered(&id, &named),
            None => lookup.silent(&id),
        }
        if lookup.is_over() && lookup.waits_for_nobody() {
            return count;
        }
    }
}

#[test]
fn the_closest_of_all_are_found_and_few_others_are_asked() {
    let town = Town::new(5000, address(0));
    let mut lookup = Lookup::new(town.target, Goal::Nodes, TERMS, &town.near(400, 20));
    // The farther a node is off, the less of the neighbourhood it knows.
    let mut answer = |contact: &Contact| {
        let rank = town.all.iter().position(|c| c == contact).unwrap();
        Some(town.near(rank / 8, 20))
    };
    let asked = run(&mut lookup, &mut answer);
    assert_eq!(lookup.closest(), town.near(0, 20));
    assert!(asked <= 32, "{asked} were asked");
}

#[test]
fn nobody_is_asked_on_two_paths_nor_twice() {
    let town = Town::new(2000, address(0));
    let mut lookup = Lookup::new(town.target, Goal::Nodes, TERMS, &town.near(300, 20));
    let mut seen = Vec::new();
    run(&mut lookup, &mut |contact| {
        assert!(!seen.contains(&contact.id));
        seen.push(contact.id);
        Some(town.near(0, 20))
    });
}

#[test]
fn a_late_answer_does_not_hold_a_lookup_up_and_still_counts() {
    let town = Town::new(100, address(0));
    let mut lookup = Lookup::new(town.target, Goal::Nodes, TERMS, &town.near(0, 20));
    let first: Vec<Contact> = (0..3).filter_map(|_| lookup.next(&no_cost)).collect();
    assert_eq!(first.len(), 3);
    assert_eq!(lookup.next(&no_cost), None, "alpha are under way");
    lookup.late(&first[0].id);
    let other = lookup.next(&no_cost);
    assert!(other.is_some_and(|other| !first.contains(&other)));
    assert_eq!(lookup.next(&no_cost), None);
    // Late ones are not unlimited either.
    for contact in &first[1..] {
        lookup.late(&contact.id);
    }
    let mut more = Vec::new();
    while let Some(contact) = lookup.next(&no_cost) {
        lookup.late(&contact.id);
        more.push(contact);
    }
    assert!(first.len() + 1 + more.len() <= 9);
    lookup.answered(&first[0].id, &[]);
    assert!(lookup.closest().contains(&first[0]));
}

#[test]
fn a_lost_packet_does_not_cost_a_replica() {
    let town = Town::new(60, address(0));
    let mut lookup = Lookup::new(town.target, Goal::Nodes, TERMS, &town.near(5, 20));
    let mut lost = vec![town.all[0], town.all[7], town.all[19]];
    run(&mut lookup, &mut |contact| {
        let before = lost.len();
        lost.retain(|c| c != contact);
        (lost.len() == before).then(|| town.near(0, 20))
    });
    assert_eq!(lookup.closest(), town.near(0, 20));
}

#[test]
fn contacts_that_are_made_up_do_not_hide_real_ones() {
    let town = Town::new(3000, address(0));
    let mut lookup = Lookup::new(town.target, Goal::Nodes, TERMS, &town.near(100, 20));
    // A fifth of the nodes name twenty that do not exist, closer than anybody.
    let liar = |contact: &Contact| contact.id.0[19].is_multiple_of(5);
    let mut made_up = 0u64;
    let asked = run(&mut lookup, &mut |contact| {
        if contact.at.port() != 5 {
            return None;
        }
        if !liar(contact) {
            let rank = town.all.iter().position(|c| c == contact).unwrap();
            return Some(town.near(rank / 8, 20));
        }
        let invent = |n: u64| {
            let mut id = town.target;
            id.0[12..].copy_from_slice(&n.to_be_bytes());
            let at = SocketAddr::from(([100, n as u8, 1, 1], 6));
            Contact { id, at }
        };
        made_up += 20;
        Some((made_up..made_up + 20).map(invent).collect())
    });
    let found = lookup.closest();
    assert_eq!(found, town.near(0, 20), "asked {asked}");
}

#[test]
fn liars_who_know_only_each_other_are_noticed_by_how_far_off_they_are() {
    let town = Town::new(4000, address(0));
    // A fifth lie; whoever is asked first, and whomever he names.
    let liar = |contact: &Contact| contact.id.0[19].is_multiple_of(5);
    let liars: Vec<Contact> = town.all.iter().copied().filter(liar).collect();
    let terms = Terms {
        network: Some(4000.0),
        ..TERMS
    };
    let far: Vec<Contact> = town.near(500, 120);
    let mut start: Vec<Contact> = far.iter().copied().filter(liar).take(3).collect();
    start.extend(far.iter().copied().filter(|c| !liar(c)).take(17));
    let mut lookup = Lookup::new(town.target, Goal::Nodes, terms, &start);
    let mut answer = |contact: &Contact| match liar(contact) {
        true => Some(liars.iter().take(20).copied().collect()),
        false => {
            let rank = town.all.iter().position(|c| c == contact).unwrap();
            Some(town.near(rank / 8, 20))
        }
    };
    run(&mut lookup, &mut answer);
    let misled = lookup.closest();
    if misled.iter().all(liar) {
        assert!(lookup.second_wind(Some(4000.0)));
        run(&mut lookup, &mut answer);
    }
    let honest = lookup.closest().iter().filter(|c| !liar(c)).count();
    assert!(honest >= 12, "{honest} of 20 are honest");
    assert!(!lookup.second_wind(Some(4000.0)), "once is enough");
}

#[test]
fn an_honest_end_has_no_second_wind() {
    let town = Town::new(4000, address(0));
    let mut lookup = Lookup::new(town.target, Goal::Nodes, TERMS, &town.near(200, 20));
    run(&mut lookup, &mut |_| Some(town.near(0, 20)));
    assert!(!lookup.second_wind(Some(4000.0)));
    assert!(!lookup.second_wind(None));
}

#[test]
fn a_network_of_rented_addresses_fills_no_shortlist() {
    let town = Town::new(500, address(0));
    // 200 ids as close as can be, from four networks.
    let sybil = |n: u8| {
        let mut id = town.target;
        id.0[19] ^= n + 1;
        Contact {
            id,
            at: SocketAddr::from(([200, 1, n % 4, n], 5)),
        }
    };
    let sybils: Vec<Contact> = (0..200).map(sybil).collect();
    let mut lookup = Lookup::new(town.target, Goal::Nodes, TERMS, &town.near(30, 20));
    let asked = run(&mut lookup, &mut |contact| {
        let mut named = match sybils.contains(contact) {
            true => sybils.clone(),
            false => [&sybils[..4], &town.near(0, 16)[..]].concat(),
        };
        named.truncate(20);
        Some(named)
    });
    let found = lookup.closest();
    let rented = found.iter().filter(|c| sybils.contains(c)).count();
    assert!(rented <= 8 && found.len() == 20, "{rented} of {found:?}");
    assert!(asked < 60, "{asked}");
}

#[test]
fn a_crowd_of_names_does_not_grow_a_lookup_nor_push_its_beginning_out() {
    let start: Vec<Contact> = (1..=20).map(contact).collect();
    let mut lookup = Lookup::new(address(0), Goal::Nodes, TERMS, &start);
    let mut next = 1000;
    let asked = run(&mut lookup, &mut |_| {
        next += 20;
        Some((next..next + 20).map(contact).collect())
    });
    assert!(asked <= usize::from(REQUESTS_MAX), "{asked}");
    assert!(lookup.candidates.len() <= CANDIDATES_MAX);
    for contact in start {
        assert!(lookup.candidates.iter().any(|c| c.contact == contact));
    }
}

#[test]
fn of_nodes_near_the_key_the_cheapest_is_asked_for_a_value() {
    let town = Town::new(1000, address(0));
    let terms = Terms {
        // All ten are well inside the replica set, then.
        network: Some(200.0),
        ..TERMS
    };
    let start = town.near(0, 10);
    let mut lookup = Lookup::new(town.target, Goal::Value, terms, &start);
    // The last ones of the ten are the cheapest.
    let rank = |c: &Contact| start.iter().position(|s| s == c).unwrap_or(99);
    let first = lookup.next(&|c| (true, 100 - rank(c) as u64)).unwrap();
    assert!(rank(&first) >= 7, "{}", rank(&first));
    // A lookup for nodes goes by distance.
    let mut lookup = Lookup::new(town.target, Goal::Nodes, terms, &start);
    let first = lookup.next(&|c| (true, 100 - rank(c) as u64)).unwrap();
    assert!(rank(&first) < 3, "{}", rank(&first));
}

#[test]
fn an_empty_table_ends_a_lookup_at_once() {
    let mut lookup = Lookup::new(address(0), Goal::Nodes, TERMS, &[]);
    assert_eq!(lookup.next(&no_cost), None);
    assert!(lookup.is_over() && lookup.closest().is_empty());
}
