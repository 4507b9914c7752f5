//! Quotas, ends, and what replicas tell each other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use crate::dht::record::{node_key, presence_key, Content};
use crate::dht::testing::{address, content, node_record, toy_presence, Toy, NOW};
use crate::identity::keccak256;
use crate::wire::dht::{Body, Entry, Hashes, Prefix, ENTRIES_MAX, FANOUT};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::OnceLock;

const HOUR: Duration = Duration::from_secs(3600);

fn own() -> Address {
    address(0)
}

fn at(seconds: u64) -> (Moment, Wall) {
    let wall = Wall {
        unix: NOW + seconds,
        trusted: true,
    };
    (Moment(0) + Duration::from_secs(seconds), wall)
}

/// Everything from a subnet of its own, as it should be.
fn put(storage: &mut Storage, record: &ValidRecord) -> Result<(), Refusal> {
    let hash = keccak256(&[record.bytes()]);
    let source = u64::from_be_bytes(*hash.first_chunk().unwrap());
    let (now, wall) = at(0);
    storage.put(now, wall, record.clone(), Some(Source(source)))
}

/// Presences of devices `devices`, ordered by closeness to `own()`.
fn by_closeness(devices: std::ops::Range<u64>) -> Vec<ValidRecord> {
    let mut records: Vec<ValidRecord> = devices.map(|n| toy_presence(n, 1, NOW)).collect();
    records.sort_by_key(|record| distance(&own(), &record.key()));
    records
}

/// Values by closeness to `own()`: quicker to make by the thousand.
fn values_by_closeness(count: u64) -> Vec<ValidRecord> {
    let mut records: Vec<ValidRecord> = (0..count).map(|n| content(n, 8, NOW + 3600)).collect();
    records.sort_by_key(|record| distance(&own(), &record.key()));
    records
}

fn has(storage: &Storage, record: &ValidRecord) -> bool {
    let (now, wall) = at(0);
    storage.get(now, wall, &record.key()).contains(&record)
}

fn check_sums(storage: &Storage) {
    let bytes: usize = storage.all().map(Stored::cost).sum();
    assert_eq!(bytes, storage.bytes());
    assert!(storage.bytes() <= storage.limit());
}

impl Storage {
    fn limit(&self) -> usize {
        STORAGE_BYTES
    }
}

#[test]
fn twenty_thousand_far_records_do_not_displace_near_ones() {
    let mut storage = Storage::new(own(), STORAGE_BYTES);
    let records = values_by_closeness(21_000);
    let (near, far) = records.split_at(1000);
    for record in near {
        assert_eq!(put(&mut storage, record), Ok(()));
    }
    let mut refused = 0;
    for record in far.iter().rev() {
        refused += usize::from(put(&mut storage, record) == Err(Refusal::Full));
    }
    // All come from far to near, so that each is better than all before it.
    assert_eq!(refused, 0);
    check_sums(&storage);
    for record in near {
        assert!(has(&storage, record));
    }
    // And what is kept are the nearest of all.
    let kept = storage.len();
    for (n, record) in records.iter().enumerate() {
        assert_eq!(has(&storage, record), n < kept, "{n} of {kept}");
    }
    for record in far.iter().skip(kept) {
        assert_eq!(put(&mut storage, record), Err(Refusal::Full));
    }
    check_sums(&storage);
}

#[test]
fn one_source_cannot_push_out_others() {
    let mut storage = Storage::new(own(), STORAGE_BYTES);
    let records = values_by_closeness(6000);
    // The attacker has ground out the nearest keys.
    let (attack, honest) = records.split_at(2500);
    for record in honest {
        let _ = put(&mut storage, record);
    }
    let before: Vec<&ValidRecord> = honest.iter().filter(|r| has(&storage, r)).collect();
    assert!(before.len() > 2000);
    let (now, wall) = at(0);
    for record in attack {
        let _ = storage.put(now, wall, record.clone(), Some(Source(7)));
    }
    check_sums(&storage);
    let left = before.iter().filter(|r| has(&storage, r)).count();
    assert!(
        left * 8 >= before.len() * 7 - 8,
        "{left} of {} are left",
        before.len()
    );
    // What it has left is the nearest of its own.
    let kept: Vec<bool> = attack.iter().map(|r| has(&storage, r)).collect();
    let first_gone = kept.iter().position(|kept| !kept).unwrap();
    assert!(kept.iter().skip(first_gone).all(|kept| !kept));
    // Passed on by other nodes it takes no more than half.
    for record in attack {
        let _ = storage.put(now, wall, record.clone(), None);
    }
    check_sums(&storage);
    let left = before.iter().filter(|r| has(&storage, r)).count();
    assert!(left * 8 >= before.len() * 3 - 8, "{left}");
}

#[test]
fn one_source_may_use_what_nobody_else_needs() {
    let mut storage = Storage::new(own(), STORAGE_BYTES);
    let (now, wall) = at(0);
    let records = by_closeness(1..2000);
    // A thousand devices and more come back at one node.
    for record in &records {
        let stored = storage.put(now, wall, record.clone(), Some(Source(7)));
        assert_eq!(stored, Ok(()));
    }
    assert!(records.iter().all(|record| has(&storage, record)));
}

#[test]
fn values_cannot_take_the_room_of_presences() {
    let mut storage = Storage::new(own(), STORAGE_BYTES);
    let presences = by_closeness(1..1000);
    for record in &presences {
        assert_eq!(put(&mut storage, record), Ok(()));
    }
    for n in 0..3000 {
        let _ = put(&mut storage, &content(n, 900, NOW + 3600));
    }
    assert!(presences.iter().all(|record| has(&storage, record)));
    check_sums(&storage);
    assert!(storage.values.bytes() <= STORAGE_BYTES / 4);
    assert!(storage.values.bytes() > STORAGE_BYTES / 5);
}

#[test]
fn a_store_that_is_too_small_for_anything_refuses_everything() {
    let mut storage = Storage::new(own(), 300);
    assert_eq!(
        put(&mut storage, &toy_presence(1, 1, NOW)),
        Err(Refusal::Full)
    );
    assert!(storage.is_empty());
    assert_eq!(storage.bytes(), 0);
}

#[test]
fn a_record_passed_on_is_not_charged_to_the_one_who_passed_it_on() {
    let (now, wall) = at(0);
    let mut storage = Storage::new(own(), STORAGE_BYTES);
    let seal = Toy(own());
    let record = toy_presence(5, 6, NOW);
    let taken = storage.take(now, wall, &address(9), Source(1), record.bytes(), &seal);
    assert_eq!(taken, Ok(true));
    assert_eq!(storage.all().next().unwrap().source, None);
    let record = toy_presence(5, 6, NOW + 1);
    let taken = storage.take(now, wall, &address(6), Source(1), record.bytes(), &seal);
    assert_eq!(taken, Ok(true));
    assert_eq!(storage.len(), 1);
    assert_eq!(storage.all().next().unwrap().source, Some(Source(1)));
    let node = node_record(address(8), 1, NOW + 60);
    let node = ValidRecord::node(&node, &Toy(address(8))).unwrap();
    let taken = storage.take(now, wall, &address(8), Source(2), node.bytes(), &seal);
    assert_eq!(taken, Ok(true));
    let mut sources = storage.all().map(|stored| stored.source);
    assert!(sources.any(|source| source == Some(Source(2))));
}

#[test]
fn a_signature_is_not_checked_where_there_is_no_room_or_something_newer() {
    struct Never;
    impl Verify for Never {
        fn recover65(&self, _: &[u8; 32], _: &crate::identity::Signature) -> Option<Address> {
            panic!("checked")
        }
    }
    let (now, wall) = at(0);
    let mut storage = Storage::new(own(), STORAGE_BYTES);
    let records = by_closeness(1..8000);
    for record in &records {
        let _ = put(&mut storage, record);
    }
    let mut take = |record: &ValidRecord| {
        storage.take(now, wall, &address(1), Source(1), record.bytes(), &Never)
    };
    assert_eq!(take(records.last().unwrap()), Err(Refusal::Full));
    assert_eq!(take(&records[0]), Ok(false));
    let old = toy_presence(1, 1, NOW - 1);
    let near = records.iter().find(|r| r.key() == old.key());
    if near.is_some_and(|near| has(&storage, near)) {
        let taken = storage.take(now, wall, &address(1), Source(1), old.bytes(), &Never);
        assert_eq!(taken, Err(Refusal::Stale));
    }
}

#[test]
fn a_device_is_at_three_nodes_at_most_and_the_oldest_goes() {
    let mut storage = Storage::new(own(), STORAGE_BYTES);
    for node in 1..=5 {
        assert_eq!(
            put(&mut storage, &toy_presence(9, node, NOW + node)),
            Ok(())
        );
        check_sums(&storage);
    }
    assert_eq!(
        put(&mut storage, &toy_presence(9, 6, NOW + 2)),
        Err(Refusal::Stale)
    );
    let (now, wall) = at(0);
    let found = storage.get(now, wall, &presence_key(&address(9)));
    let nodes: Vec<Address> = found
        .iter()
        .map(|record| match record.content() {
            Ok(Content::Presence(presence)) => presence.node,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(nodes, [address(5), address(4), address(3)]);
}

#[test]
fn what_has_ended_is_neither_told_nor_kept() {
    let mut storage = Storage::new(own(), STORAGE_BYTES);
    let record = toy_presence(1, 1, NOW);
    put(&mut storage, &record).unwrap();
    put(&mut storage, &content(1, 10, NOW + 10 * 3600)).unwrap();
    let (now, wall) = at(3599);
    assert_eq!(storage.get(now, wall, &record.key()).len(), 1);
    assert!(storage.due().unwrap() > now);
    let (now, wall) = at(3600);
    assert!(storage.get(now, wall, &record.key()).is_empty());
    assert!(storage.due().unwrap() <= now);
    storage.expire(now, wall);
    assert_eq!(storage.len(), 1);
    check_sums(&storage);
    let (now, wall) = at(10 * 3600);
    assert_eq!(storage.due(), Some(now));
    storage.expire(now, wall);
    assert!(storage.is_empty() && storage.due().is_none());
    assert_eq!(storage.bytes(), 0);
}

#[test]
fn what_ends_does_so_even_if_the_wall_clock_stands() {
    let mut storage = Storage::new(own(), STORAGE_BYTES);
    let wall = Wall {
        unix: NOW - 1_000_000,
        trusted: false,
    };
    let record = toy_presence(1, 1, NOW);
    let stored = storage.put(Moment(0), wall, record.clone(), None);
    assert_eq!(stored, Ok(()));
    let end = Moment(0) + PRESENCE_LIFE;
    assert_eq!(storage.due(), Some(end));
    assert!(storage.get(end, wall, &record.key()).is_empty());
    storage.expire(end, wall);
    assert!(storage.is_empty());
}

#[test]
fn a_value_lives_a_day_unless_it_is_stored_anew() {
    let mut storage = Storage::new(own(), STORAGE_BYTES);
    let record = content(1, 100, NOW + 25 * 3600);
    let seal = Toy(own());
    let day = 24 * 3600;
    let mut store = |seconds: u64, record: &ValidRecord| {
        let (now, wall) = at(seconds);
        storage.take(now, wall, &address(1), Source(1), record.bytes(), &seal)
    };
    assert_eq!(store(0, &record), Ok(true));
    assert_eq!(store(1800, &record), Ok(false));
    let later = content(1, 100, NOW + 48 * 3600);
    assert_eq!(store(23 * 3600, &later), Ok(true));
    let (now, wall) = at(23 * 3600 + day - 1);
    assert_eq!(storage.get(now, wall, &record.key()).len(), 1);
    let (now, wall) = at(23 * 3600 + day);
    assert!(storage.get(now, wall, &record.key()).is_empty());
}

#[test]
fn a_cached_copy_lives_the_shorter_the_farther_it_is_from_the_key() {
    let (now, wall) = at(0);
    let mut lives = Vec::new();
    for between in 0..8 {
        let mut storage = Storage::new(own(), STORAGE_BYTES);
        if storage.cache(now, wall, toy_presence(1, 1, NOW), between) {
            lives.push(storage.due().unwrap().since(now).as_millis());
        }
    }
    assert_eq!(lives, [300_000, 150_000, 75_000, 37_500, 18_750]);
    let mut storage = Storage::new(own(), STORAGE_BYTES);
    assert!(!storage.cache(now, wall, toy_presence(1, 1, NOW), u32::MAX));
}

#[test]
fn copies_take_free_room_only_and_go_first() {
    let (now, wall) = at(0);
    let mut storage = Storage::new(own(), STORAGE_BYTES);
    let records = by_closeness(1..9000);
    for record in &records {
        storage.cache(now, wall, record.clone(), 0);
    }
    let copies = storage.len();
    assert!(copies > 500);
    assert!(storage.bytes() <= STORAGE_BYTES * 3 / 16);
    for record in records.iter().rev() {
        let _ = put(&mut storage, record);
        check_sums(&storage);
    }
    assert!(storage.all().all(|stored| !stored.cached));
    let full = storage.len();
    assert!(!storage.cache(now, wall, toy_presence(10_000, 1, NOW), 0));
    assert_eq!(storage.len(), full);
}

#[test]
fn a_newer_copy_of_what_is_kept_is_kept_as_long() {
    let (now, wall) = at(0);
    let mut storage = Storage::new(own(), STORAGE_BYTES);
    put(&mut storage, &toy_presence(1, 1, NOW)).unwrap();
    assert!(storage.cache(now, wall, toy_presence(1, 1, NOW + 60), 3));
    assert!(!storage.cache(now, wall, toy_presence(1, 1, NOW), 0));
    assert_eq!(storage.len(), 1);
    let stored = storage.all().next().unwrap();
    assert!(!stored.cached && stored.expires == now + HOUR + Duration::from_secs(60));
    // And a copy that is stored by its publisher is a copy no more.
    let mut storage = Storage::new(own(), STORAGE_BYTES);
    let record = toy_presence(1, 1, NOW);
    assert!(storage.cache(now, wall, record.clone(), 0));
    let taken = storage.take(
        now,
        wall,
        &address(1),
        Source(1),
        record.bytes(),
        &Toy(own()),
    );
    assert_eq!(taken, Ok(true));
    assert!(!storage.all().next().unwrap().cached);
    check_sums(&storage);
}

/// Compares until nothing is left to ask; gives what `asker` was told to pull
/// and push, and how many questions it took.
fn compare(
    asker: &Storage,
    answerer: &Storage,
    prefix: Prefix,
) -> (BTreeSet<Address>, Vec<ValidRecord>, usize) {
    let (now, wall) = at(0);
    let hashes = asker.hashes(now, wall, &prefix);
    let mut steps = vec![SyncStep { prefix, hashes }];
    let (mut pull, mut push, mut questions) = (BTreeSet::new(), Vec::new(), 0);
    while let Some(step) = steps.pop() {
        questions += 1;
        assert!(questions < 5000, "it does not end");
        let answer = answerer.answer_sync(now, wall, &step.prefix, &step.hashes);
        let Body::Synced {
            hashes,
            listed,
            entries,
        } = answer
        else {
            panic!("another type")
        };
        assert!(entries.len() <= ENTRIES_MAX);
        let result = asker.compare(now, wall, &step, &hashes, listed, &entries);
        pull.extend(result.pull);
        push.extend(result.push);
        steps.extend(result.next);
    }
    (pull, push, questions)
}

fn filled<'a>(own: u64, records: impl IntoIterator<Item = &'a ValidRecord>) -> Storage {
    let mut storage = Storage::new(address(own), STORAGE_BYTES);
    for record in records {
        let _ = put(&mut storage, record);
    }
    storage
}

#[test]
fn a_replica_that_has_lost_everything_gets_it_piece_by_piece() {
    let records = by_closeness(1..2000);
    let (one, two) = (filled(1, &records), filled(2, []));
    let (pull, push, questions) = compare(&one, &two, Prefix::ALL);
    assert!(pull.is_empty());
    let pushed: BTreeSet<Address> = push.iter().map(|r| r.key()).collect();
    assert_eq!((push.len(), pushed.len()), (records.len(), records.len()));
    assert!(questions < 60, "{questions}");
    let (pull, push, questions) = compare(&two, &one, Prefix::ALL);
    assert!(push.is_empty() && pull == pushed);
    assert!(questions < 1999 / 5, "{questions}");
}

#[test]
fn equal_replicas_are_done_after_one_question() {
    let records = by_closeness(1..2000);
    let (one, two) = (filled(1, &records), filled(2, &records));
    let (pull, push, questions) = compare(&one, &two, Prefix::ALL);
    assert!(pull.is_empty() && push.is_empty());
    assert_eq!(questions, 1);
}

#[test]
fn a_difference_of_one_record_among_thousands_is_found_in_a_few_packets() {
    let records = by_closeness(1..2000);
    let (one, two) = (filled(1, &records), filled(2, records.iter().skip(1)));
    let (pull, push, questions) = compare(&one, &two, Prefix::ALL);
    assert!(pull.is_empty() && push == records[..1]);
    assert!(questions <= 3, "{questions}");
    let (pull, push, _) = compare(&two, &one, Prefix::ALL);
    assert!(push.is_empty() && pull == BTreeSet::from([records[0].key()]));
}

#[test]
fn the_older_version_is_replaced_on_both_sides() {
    let (old, new) = (toy_presence(1, 1, NOW), toy_presence(1, 1, NOW + 60));
    let (one, two) = (filled(1, [&old]), filled(2, [&new]));
    let (pull, push, _) = compare(&one, &two, Prefix::ALL);
    assert!(push.is_empty() && pull == BTreeSet::from([new.key()]));
    let (pull, push, _) = compare(&two, &one, Prefix::ALL);
    assert!(pull.is_empty() && push == [new]);
}

#[test]
fn records_beyond_the_prefix_and_copies_are_not_compared() {
    let (now, wall) = at(0);
    let records = by_closeness(1..200);
    let prefix = Prefix::of(&records[0].key(), 3);
    let (mut one, two) = (filled(1, &records), filled(2, []));
    let (_, push, _) = compare(&one, &two, prefix);
    assert!(!push.is_empty() && push.len() < records.len());
    assert!(push.iter().all(|record| prefix.holds(&record.key())));
    one = filled(1, []);
    assert!(one.cache(now, wall, records[0].clone(), 0));
    assert_eq!(one.hashes(now, wall, &Prefix::ALL), [0; FANOUT]);
}

#[test]
fn a_liar_cannot_make_a_node_send_everything_it_has() {
    let (now, wall) = at(0);
    let storage = filled(1, &by_closeness(1..3000));
    let prefix = Prefix::ALL;
    let hashes = storage.hashes(now, wall, &prefix);
    let step = SyncStep { prefix, hashes };
    let result = storage.compare(now, wall, &step, &[0; FANOUT], u16::MAX, &[]);
    assert!(result.push.len() <= PUSH_MAX);
    assert!(result.next.len() <= FANOUT);
    // Entries that are nobody's business are not asked for.
    let storage = filled(1, &by_closeness(1..100));
    let hashes = storage.hashes(now, wall, &prefix);
    let step = SyncStep { prefix, hashes };
    let entry = Entry {
        key: address(5),
        kind: 9,
        slot: 0,
        order: 1,
        until: NOW + 60,
    };
    let over = Entry {
        kind: 1,
        until: NOW,
        ..entry
    };
    let result = storage.compare(now, wall, &step, &[1; FANOUT], u16::MAX, &[entry, over]);
    assert!(result.pull.is_empty());
    let fine = Entry { kind: 1, ..entry };
    let result = storage.compare(now, wall, &step, &[1; FANOUT], u16::MAX, &[fine, fine]);
    assert_eq!(result.pull, [entry.key]);
    let far = Prefix::of(&address(6), 100);
    let hashes: Hashes = storage.hashes(now, wall, &far);
    let step = SyncStep {
        prefix: far,
        hashes,
    };
    let result = storage.compare(now, wall, &step, &[1; FANOUT], u16::MAX, &[fine]);
    assert_eq!(result.pull, Vec::<Address>::new());
}

#[test]
fn replicas_that_were_apart_find_everything_in_few_packets() {
    // Each half has stored a thousand records of its own.
    let records = by_closeness(1..2000);
    let (mine, theirs): (Vec<_>, Vec<_>) =
        records.iter().partition(|record| record.key().0[19] < 128);
    let (one, two) = (
        filled(1, mine.iter().copied()),
        filled(2, theirs.iter().copied()),
    );
    let (pull, push, questions) = compare(&one, &two, Prefix::ALL);
    assert_eq!(pull, theirs.iter().map(|r| r.key()).collect());
    assert_eq!(push.len(), mine.len());
    assert!(questions < 1999 / 5, "{questions}");
}

/// Made once: a proptest would sign most of the time.
static RECORDS: OnceLock<Vec<ValidRecord>> = OnceLock::new();

proptest! {
    #[test]
    fn whatever_two_replicas_hold_each_learns_what_it_lacks(
        mine in proptest::collection::btree_set(0u64..300, 0..200),
        theirs in proptest::collection::btree_set(0u64..300, 0..200),
        bits in 0u8..4,
    ) {
        let all = RECORDS.get_or_init(|| (0..300).map(|n| toy_presence(n, 1, NOW)).collect());
        let record = |n: &u64| all[usize::try_from(*n).unwrap()].clone();
        let one: Vec<ValidRecord> = mine.iter().map(record).collect();
        let two: Vec<ValidRecord> = theirs.iter().map(record).collect();
        let prefix = Prefix::of(&record(&0).key(), bits);
        let (pull, push, _) = compare(&filled(1, &one), &filled(2, &two), prefix);
        let lacking: BTreeSet<Address> = theirs.difference(&mine).map(|n| record(n).key())
            .filter(|key| prefix.holds(key)).collect();
        let giving: BTreeSet<Address> = mine.difference(&theirs).map(|n| record(n).key())
            .filter(|key| prefix.holds(key)).collect();
        prop_assert_eq!(pull, lacking);
        prop_assert_eq!(push.len(), giving.len());
        prop_assert!(push.iter().all(|record| giving.contains(&record.key())));
    }

    #[test]
    fn no_order_of_events_breaks_the_sums(
        steps in proptest::collection::vec((0u8..6, 0u64..40, 0u64..4, 0u64..3), 0..150),
    ) {
        let mut storage = Storage::new(own(), 12_000);
        let mut seconds = 0;
        for (what, device, node, more) in steps {
            let (now, wall) = at(seconds);
            let record = toy_presence(device, node, NOW + seconds + more);
            match what {
                0 | 1 => { let _ = storage.put(now, wall, record, Some(Source(node))); }
                2 => { let _ = storage.put(now, wall, record, None); }
                3 => { storage.cache(now, wall, record, u32::try_from(more).unwrap()); }
                4 => { let _ = storage.put(now, wall, content(device, 300, NOW + seconds + 50), Some(Source(node))); }
                _ => { seconds += 300 * more; storage.expire(now, wall); }
            }
            let bytes: usize = storage.all().map(Stored::cost).sum();
            prop_assert_eq!(bytes, storage.bytes());
            prop_assert!(bytes <= 12_000);
            for record in storage.records() {
                let slots = storage.get(now, wall, &record.key()).len();
                prop_assert!(slots <= SLOTS);
            }
        }
    }
}

#[test]
fn a_node_record_is_found_under_the_key_of_its_node() {
    let (now, wall) = at(0);
    let node = node_record(address(8), 1, NOW + 60);
    let record = ValidRecord::node(&node, &Toy(address(8))).unwrap();
    let storage = filled(0, [&record]);
    assert_eq!(storage.get(now, wall, &node_key(&address(8))), [&record]);
    assert!(storage.get(now, wall, &address(8)).is_empty());
}
