//! Tests of `peers.rs`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use crate::peer::PeerFacts;
use crate::store::StoreOptions;
use crate::time::Moment;

const NOW: u64 = 1_790_000_000;

fn id(n: u16) -> Address {
    let mut bytes = [0; 20];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    Address(bytes)
}

fn at(n: u16) -> SocketAddr {
    let [high, low] = n.to_be_bytes();
    ([10, 0, high, low], 51055).into()
}

fn known(n: u16, successes: u32, failures: u32) -> Known {
    Known {
        contact: Contact {
            id: id(n),
            at: at(n),
        },
        first_seen: NOW,
        last_seen: NOW,
        successes,
        failures,
        rtt: Duration::from_micros(1500),
        in_table: true,
    }
}

fn link(n: u16) -> PeerStatus {
    PeerStatus {
        id: id(n),
        place: at(n),
        dialled: false,
        kept: false,
        facts: PeerFacts::default(),
        since: Moment(1),
        heard: Moment(1),
        ports: 0,
        rtt: None,
        bytes_in: 5,
        bytes_out: 6,
    }
}

fn store(dir: &tempfile::TempDir) -> Store {
    Store::open(&dir.path().join("store"), StoreOptions::default()).unwrap()
}

#[test]
fn what_a_node_knew_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let book = PeerBook::default();
    let first = store(&dir);
    book.merge(&[known(1, 9, 1), known(2, 5, 0)]);
    book.connected(id(2), Some(at(7)), true, Some(NOW + 5));
    // Nobody knows where it can be dialled, so it is not worth a row.
    book.connected(id(3), None, false, Some(NOW));
    book.flush(&first, true);
    first.close();
    let again = PeerBook::default();
    assert_eq!(again.load(&store(&dir)), 2);
    let mut second = known(2, 5, 0);
    second.contact.at = at(7);
    second.last_seen = NOW + 5;
    assert_eq!(again.known(), [second, known(1, 9, 1)], "the best first");
    assert_eq!(again.list(&[])[0].connection_count, 1);
}

#[test]
fn an_hour_without_news_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let book = PeerBook::default();
    let store = store(&dir);
    let rows = |store: &Store| {
        let written = store.flush();
        smol::block_on(written).unwrap();
        store.health().written.commits
    };
    book.merge(&[known(1, 9, 1)]);
    book.flush(&store, false);
    let before = rows(&store);
    let mut later = known(1, 20, 2);
    later.last_seen += 3600;
    book.merge(&[later.clone()]);
    book.flush(&store, false);
    assert_eq!(rows(&store), before);
    later.last_seen += STALE;
    book.merge(&[later]);
    book.flush(&store, false);
    assert_eq!(rows(&store), before + 1);
}

#[test]
fn strangers_do_not_push_out_those_who_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let book = PeerBook::default();
    let good: Vec<Known> = (0..200).map(|n| known(n, 9, 0)).collect();
    book.merge(&good);
    for n in 1000..3000 {
        book.connected(id(n), Some(at(n)), false, Some(NOW + u64::from(n)));
    }
    let rows = book.known();
    assert_eq!(rows.len(), PEERS_MAX);
    assert_eq!(rows.iter().filter(|known| known.in_table).count(), 200);
    // Of the others the latest are there, and the store forgets with the book.
    assert!(book.place(&id(2999)).is_some() && book.place(&id(1000)).is_none());
    book.flush(&store, false);
    smol::block_on(store.flush()).unwrap();
    for n in 3000..3100 {
        book.connected(id(n), Some(at(n)), false, Some(NOW + u64::from(n)));
    }
    book.flush(&store, false);
    smol::block_on(store.flush()).unwrap();
    let rows = store.scan_prefix::<PeerHistory>(&[], 10_000).unwrap();
    assert_eq!(rows.len(), PEERS_MAX);
}

#[test]
fn a_node_that_answers_is_listed_above_one_that_does_not() {
    let book = PeerBook::default();
    book.merge(&[known(1, 1, 9), known(2, 9, 1), known(3, 0, 0)]);
    let links = [link(3)];
    let list = book.list(&links);
    let ids: Vec<&str> = list.iter().map(|info| info.node_id.as_str()).collect();
    assert_eq!(
        ids,
        [3, 2, 1]
            .map(|n| id(n).to_string())
            .each_ref()
            .map(|s| s.as_str())
    );
    assert_eq!((list[0].connected, list[0].direction), (true, Some("in")));
    assert_eq!((list[0].bytes_in, list[0].bytes_out), (5, 6));
    assert_eq!(list[1].rtt_ms, Some(2), "rounded up");
    assert_eq!(list[1].reliability_score, Some(0.833));
    // A dial in vain counts, a link that was dialled from there is no success.
    let before = book.list(&[])[1].reliability_score;
    book.failed(id(3));
    book.connected(id(3), None, false, None);
    let after = book.list(&[]);
    assert_eq!(before, Some(0.5));
    assert_eq!(after[1].reliability_score, Some(0.333));
}

#[test]
fn a_node_that_was_good_for_a_year_is_not_good_for_ever() {
    let book = PeerBook::default();
    for _ in 0..10_000 {
        book.connected(id(1), Some(at(1)), true, Some(NOW));
    }
    for _ in 0..100 {
        book.failed(id(1));
    }
    let info = &book.list(&[])[0];
    assert_eq!(info.connection_count, 10_000);
    assert!(info.reliability_score.unwrap() < 0.3, "{info:?}");
}
