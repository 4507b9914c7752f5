//! The book over a real store.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::time::Duration;

use smol::future::block_on;

use super::super::testing::{terms, EPOCH, FLEET, NODE};
use super::super::{Durability, EpochClock, Refusal, Ticket, ASK_DEADLINE, CHECKPOINT_BYTES};
use super::*;
use crate::identity::SecretKey;
use crate::store::{StoreError, StoreOptions};

const MIB: u64 = 1 << 20;
const CLOCK: EpochClock = EpochClock::Trusted(EPOCH);
const START: Moment = Moment(1_000_000_000_000);

fn after(milliseconds: u64) -> Moment {
    START + Duration::from_millis(milliseconds)
}

fn rules() -> Rules {
    Rules {
        node: NODE,
        chain_id: 1284,
        fleets: vec![],
    }
}

fn book(store: Option<&Store>) -> Book {
    Book::new(store.cloned(), rules(), Policy::default(), FLEET)
}

fn store(dir: &Path) -> Store {
    Store::open(dir, StoreOptions::default()).unwrap()
}

fn key(seed: u64) -> SecretKey {
    let mut bytes = [1; 32];
    bytes[24..].copy_from_slice(&(seed + 1).to_be_bytes());
    SecretKey::from_bytes(&bytes).unwrap()
}

fn ticket(key: &SecretKey, total_bytes: u64) -> Ticket {
    let mut terms = terms();
    terms.total_bytes = total_bytes;
    Ticket::sign(key, &NODE, terms)
}

/// Waits until the ticket is on the disk.
fn wait(durability: Durability) {
    match durability {
        Durability::Stored => {}
        Durability::Waiting(receipt) => block_on(receipt).unwrap(),
        Durability::Never => panic!("never"),
    }
}

#[test]
fn an_accepted_ticket_and_the_usage_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let key = key(0);
    {
        let store = store(dir.path());
        let book = book(Some(&store));
        let tab = book.open(key.address(), None);
        let todo = tab.advance(START, CLOCK);
        assert!(todo.paused);
        let ask = todo.ask.unwrap();
        assert_eq!((ask.epoch, ask.usage), (EPOCH, 0));
        assert_eq!(todo.deadline, Some(START + ASK_DEADLINE));
        let accepted = tab.submit(ticket(&key, 40 * MIB), START, CLOCK).unwrap();
        assert_eq!((accepted.usage, accepted.total), (0, 40 * MIB));
        assert!(!accepted.todo.paused);
        assert_eq!(accepted.todo.next_mark, CHECKPOINT_BYTES);
        wait(accepted.durability);
        assert!(!tab.charge(CHECKPOINT_BYTES - 1, 1));
        assert!(tab.charge(1, 0));
        let todo = tab.advance(after(2000), CLOCK);
        assert_eq!(todo.next_mark, 2 * CHECKPOINT_BYTES);
        assert!(!tab.charge(5, 0));
        // Ended in order: the rest is saved, too.
        tab.close(after(4000));
        for receipt in book.flush(after(4001)) {
            block_on(receipt).unwrap();
        }
        store.close();
    }
    let store = store(dir.path());
    let rows: Vec<TicketRow> = store.scan_prefix(&[], 10).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].device, key.address());
    assert_eq!((rows[0].usage, rows[0].ports), (CHECKPOINT_BYTES + 5, 1));
    assert_eq!(rows[0].ticket, ticket(&key, 40 * MIB));

    let book = book(Some(&store));
    let tab = book.open(key.address(), None);
    let ask = tab.advance(START, CLOCK).ask.unwrap();
    assert_eq!(ask.usage, CHECKPOINT_BYTES + 5);
    let refusal = tab
        .submit(ticket(&key, 39 * MIB), START, CLOCK)
        .unwrap_err();
    assert_eq!(
        refusal,
        Refusal::TooLow {
            total_bytes: 39 * MIB,
            usage: CHECKPOINT_BYTES + 5,
            last_total: 40 * MIB
        }
    );
    let again = tab.submit(ticket(&key, 40 * MIB), START, CLOCK).unwrap();
    assert!(matches!(again.durability, Durability::Stored));
    assert_eq!(tab.usage_and_total(), (CHECKPOINT_BYTES + 5, 40 * MIB));
}

#[test]
fn usage_between_two_checkpoints_survives_a_reconnect() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let book = book(Some(&store));
    let key = key(0);
    let tab = book.open(key.address(), None);
    let accepted = tab.submit(ticket(&key, 40 * MIB), START, CLOCK).unwrap();
    wait(accepted.durability);
    tab.charge(1000, 0);
    drop(tab);
    // Within the second: it must wait for its checkpoint, in memory.
    assert_eq!(book.counts(), BookCounts { open: 0, parked: 1 });
    let tab = book.open(key.address(), None);
    let ask = tab.advance(after(10), CLOCK).ask.unwrap();
    assert_eq!(ask.usage, 1000);
    drop(tab);
    book.sweep(after(2000));
    let health = store.health().written;
    assert_eq!((health.commits, health.rows), (1, 1));
    // Forgotten when it is on the disk, and not before.
    while book.counts().parked > 0 {
        book.sweep(after(2000));
        std::thread::yield_now();
    }
    let tab = book.open(key.address(), None);
    assert_eq!(tab.advance(after(3000), CLOCK).ask.unwrap().usage, 1000);
}

#[test]
fn two_sessions_of_a_device_share_what_it_uses() {
    let book = book(None);
    let key = key(0);
    let old = book.open(key.address(), None);
    let accepted = old.submit(ticket(&key, 40 * MIB), START, CLOCK).unwrap();
    assert!(matches!(accepted.durability, Durability::Never));
    old.charge(100, 0);
    let new = book.open(key.address(), None);
    old.charge(10, 0);
    assert!(old.advance(START, CLOCK).paused);
    new.submit(ticket(&key, 40 * MIB), START, CLOCK).unwrap();
    assert_eq!(new.usage_and_total(), (110, 40 * MIB));
    drop(old);
    assert_eq!(book.counts(), BookCounts { open: 1, parked: 0 });
    new.charge(1, 0);
    assert_eq!(new.usage_and_total(), (111, 40 * MIB));
}

#[test]
fn tickets_within_a_second_become_durable_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let book = book(Some(&store));
    let key = key(0);
    let tab = book.open(key.address(), None);
    let submit = |total, at| tab.submit(ticket(&key, total), after(at), CLOCK).unwrap();
    wait(submit(MIB, 0).durability);
    let waiting: Vec<_> = (2..6).map(|n| submit(n * MIB, n).durability).collect();
    for durability in &waiting {
        let Durability::Waiting(receipt) = durability else {
            panic!("{durability:?}")
        };
        assert_eq!(receipt.outcome(), None);
    }
    let todo = tab.advance(after(900), CLOCK);
    assert_eq!(todo.deadline, Some(after(1000)));
    let _ = tab.advance(after(1000), CLOCK);
    waiting.into_iter().for_each(wait);
    assert_eq!(store.health().written.commits, 2);
}

#[test]
fn a_broken_store_stops_neither_relaying_nor_counting() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let book = book(Some(&store));
    store.close();
    let key = key(0);
    let tab = book.open(key.address(), None);
    let accepted = tab.submit(ticket(&key, 40 * MIB), START, CLOCK).unwrap();
    assert!(!accepted.todo.paused);
    let Durability::Waiting(receipt) = accepted.durability else {
        panic!()
    };
    assert_eq!(block_on(receipt), Err(StoreError::Closed));
    tab.charge(9 * MIB, 0);
    assert!(!tab.advance(after(2000), CLOCK).paused);
    drop(tab);
    book.sweep(after(60_000));
    assert_eq!(book.counts(), BookCounts { open: 0, parked: 1 });
    let tab = book.open(key.address(), None);
    let ask = tab.advance(after(61_000), CLOCK).ask.unwrap();
    assert_eq!(ask.usage, 9 * MIB);
}

#[test]
fn a_node_that_ends_saves_all_accounts() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let book = book(Some(&store));
    let tabs: Vec<_> = (0..20)
        .map(|seed| {
            let key = key(seed);
            let tab = book.open(key.address(), None);
            tab.submit(ticket(&key, 40 * MIB), START, CLOCK).unwrap();
            tab.charge(seed + 1, 0);
            tab
        })
        .collect();
    for receipt in book.flush(after(1)) {
        block_on(receipt).unwrap();
    }
    let rows: Vec<TicketRow> = store.scan_prefix(&[], 100).unwrap();
    let mut usages: Vec<_> = rows.iter().map(|row| row.usage).collect();
    usages.sort_unstable();
    assert_eq!(usages, (1..=20).collect::<Vec<_>>());
    drop(tabs);
}

#[test]
fn devices_that_come_and_go_do_not_fill_the_memory() {
    // Nothing is ever saved here, so nothing can be forgotten but the oldest.
    let book = book(None);
    let policy = Policy::default();
    let device = |n: u64| {
        let mut address = [0; 20];
        address[..8].copy_from_slice(&n.to_be_bytes());
        Address(address)
    };
    for n in 0..MAX_PARKED as u64 + 500 {
        let tab = book.open(device(n), None);
        tab.charge(7, 0);
    }
    assert_eq!(book.counts().parked, MAX_PARKED);
    let kept = book.open(device(600), None);
    assert_eq!(kept.advance(START, CLOCK).ask.unwrap().usage, 7);
    let forgotten = book.open(device(3), None);
    assert_eq!(forgotten.advance(START, CLOCK).ask.unwrap().usage, 0);
    // One that comes and goes takes one place.
    for _ in 0..100 {
        drop(book.open(device(700), None));
    }
    assert_eq!(book.counts().parked, MAX_PARKED - 1);
    assert_eq!(policy.grace, 41_943_040);
}

#[test]
fn devices_that_do_nothing_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let book = book(Some(&store));
    for seed in 0..50 {
        let tab = book.open(key(seed).address(), None);
        assert!(tab.advance(START, CLOCK).ask.is_some());
        assert!(tab.submit(ticket(&key(99), MIB), START, CLOCK).is_err());
    }
    assert_eq!(book.counts(), BookCounts { open: 0, parked: 0 });
    assert_eq!(store.health().written.commits, 0);
}

#[test]
fn an_account_stays_small() {
    // A session may cost 11 KB in all.
    let row = std::mem::size_of::<Ticket>() + 64;
    let account = std::mem::size_of::<std::sync::Mutex<Entry>>() + row;
    assert!(account < 1024, "{account}");
}

mod remembered;
