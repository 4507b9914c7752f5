#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use crate::store::StoreOptions;
use crate::task::channel::bounded;
use proptest::prelude::*;
use smol::future;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// A clock that goes as the test says. Suspended time counts, as in the node.
#[derive(Default)]
struct Hand {
    now: AtomicU64,
    unix: AtomicU64,
    wrong: AtomicBool,
}

impl Clock for Hand {
    fn now(&self) -> Moment {
        Moment(self.now.load(Ordering::Relaxed))
    }
    fn unix(&self) -> u64 {
        self.unix.load(Ordering::Relaxed)
    }
    fn trusted(&self) -> bool {
        !self.wrong.load(Ordering::Relaxed)
    }
    fn floor(&self) -> u64 {
        0
    }
}

struct World {
    cache: Cache,
    clock: Arc<Hand>,
    executor: Arc<Executor<'static>>,
    asked: Arc<AtomicUsize>,
}

const CAPACITY: u64 = 64 * 1024;

impl World {
    fn new() -> World {
        let clock = Arc::new(Hand::default());
        clock.unix.store(1_800_000_000, Ordering::Relaxed);
        clock.now.store(10_000_000_000, Ordering::Relaxed);
        let executor = Arc::new(Executor::new());
        World {
            cache: Cache::new(CAPACITY, clock.clone(), &executor),
            clock,
            executor,
            asked: Arc::default(),
        }
    }

    fn pass(&self, seconds: u64) {
        self.clock
            .now
            .fetch_add(seconds * 1_000_000_000, Ordering::Relaxed);
        self.clock.unix.fetch_add(seconds, Ordering::Relaxed);
    }

    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        smol::block_on(self.executor.run(work))
    }

    /// A source that says `result`, and counts.
    fn source(&self, result: Result<&str, Fault>) -> Fetch {
        let asked = self.asked.clone();
        let result = result.map(|text| Fetched::from(text.as_bytes().to_vec()));
        Box::new(move || {
            Box::pin(async move {
                asked.fetch_add(1, Ordering::Relaxed);
                result
            })
        })
    }

    fn get(&self, ask: &Ask, result: Result<&str, Fault>) -> Outcome {
        let fetch = self.source(result);
        self.run(self.cache.get(ask.clone(), fetch))
    }

    /// Lets everything that was begun come to its end.
    fn settle(&self) {
        while self.executor.try_tick() {}
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn store(&self, folder: &Path) -> Store {
        let store = Store::open(folder, StoreOptions::default()).unwrap();
        self.cache.set_store(Some(store.clone()));
        store
    }
}

fn down() -> Fault {
    Fault::Down("no answer".to_owned())
}

fn text(outcome: &Outcome) -> &str {
    std::str::from_utf8(&outcome.as_ref().unwrap().value).unwrap()
}

fn block(name: &str) -> Ask {
    Ask::new(Kind::Block, name.as_bytes())
}

fn contract(name: &str) -> Ask {
    Ask::new(Kind::Contract, name.as_bytes()).lasting()
}

#[test]
fn memory_is_given_back_without_forgetting_what_others_were_asked_for() {
    let world = World::new();
    let contract = Ask::new(Kind::Contract, b"code");
    world.cache.remember(&contract, b"6001");
    for device in 0..100u8 {
        let ask = Ask::new(Kind::Ticket, &[device; 32]);
        world.cache.remember(&ask, &[device; 20]);
    }
    assert_eq!(world.cache.counts().entries, 101);
    world.cache.give_back();
    let counts = world.cache.counts();
    assert_eq!(counts.entries, 1);
    assert!(counts.bytes < 1_000, "{} bytes", counts.bytes);
    assert_eq!(world.cache.recall(&contract).as_deref(), Some(&b"6001"[..]));
}

#[test]
fn an_answer_is_given_again_for_its_time_and_not_longer() {
    for (kind, ttl) in [
        (Kind::Peers, 300),
        (Kind::Block, 60),
        (Kind::Contract, 300),
        (Kind::Statistics, 30),
        (Kind::Ticket, 3600),
    ] {
        let world = World::new();
        let ask = Ask::new(kind, b"a");
        assert_eq!(text(&world.get(&ask, Ok("one"))), "one");
        world.pass(ttl - 1);
        assert_eq!(text(&world.get(&ask, Ok("two"))), "one", "{kind:?}");
        // What was fetched ahead meanwhile lives from then on.
        world.settle();
        let ahead = kind.terms().ahead;
        assert_eq!(world.asked(), if ahead { 2 } else { 1 }, "{kind:?}");
        world.pass(1);
        let wanted = if ahead { "two" } else { "three" };
        assert_eq!(text(&world.get(&ask, Ok("three"))), wanted, "{kind:?}");
        assert_eq!(world.asked(), 2, "{kind:?}");
    }
}

#[test]
fn kinds_do_not_answer_for_each_other() {
    let world = World::new();
    world.get(&block("x"), Ok("block")).unwrap();
    assert_eq!(text(&world.get(&contract("x"), Ok("contract"))), "contract");
}

#[test]
fn many_who_ask_at_once_cost_one_question() {
    let world = World::new();
    let (open, gate) = bounded::<()>(1);
    let asked = world.asked.clone();
    let slow: Fetch = Box::new(move || {
        Box::pin(async move {
            asked.fetch_add(1, Ordering::Relaxed);
            let _ = gate.recv().await;
            Ok(b"late".to_vec().into())
        })
    });
    let first = world.cache.get(block("a"), slow);
    let mut first = Box::pin(first);
    let polled = world.run(future::poll_once(&mut first));
    assert!(polled.is_none());
    let others: Vec<_> = (0..50)
        .map(|_| (world.cache.clone(), world.source(Ok("never"))))
        .map(|(cache, fetch)| async move { cache.get(block("a"), fetch).await })
        .map(|other| world.executor.spawn(other))
        .collect();
    world.settle();
    // The first one goes away; its question does not.
    drop(first);
    world.settle();
    open.try_send(()).unwrap();
    for other in others {
        assert_eq!(text(&world.run(other)), "late");
    }
    assert_eq!(world.asked(), 1);
    assert_eq!(world.cache.counts().joined, 50);
}

#[test]
fn a_source_that_panics_leaves_nobody_waiting_and_the_next_is_asked() {
    let world = World::new();
    let broken: Fetch = Box::new(|| {
        Box::pin(async {
            assert!(std::hint::black_box(false), "a defect, on purpose");
            Err(Fault::Busy(Duration::ZERO))
        })
    });
    let outcome = world.run(world.cache.get(block("a"), broken));
    assert_eq!(outcome, Err(CacheError::Broken));
    assert_eq!(text(&world.get(&block("a"), Ok("well"))), "well");
}

#[test]
fn stale_answers_are_marked_and_end_when_the_source_is_down_for_long() {
    let world = World::new();
    let ask = block("a");
    world.get(&ask, Ok("old")).unwrap();
    world.pass(61);
    let found = world.get(&ask, Err(down())).unwrap();
    assert_eq!((&*found.value, found.stale), (&b"old"[..], true));
    assert_eq!(found.age.as_secs(), 61);
    // Back again: no mark.
    world.pass(60);
    let found = world.get(&ask, Ok("new")).unwrap();
    assert_eq!((&*found.value, found.stale), (&b"new"[..], false));
    world.pass(660);
    let outcome = world.get(&ask, Err(down()));
    assert!(matches!(outcome, Err(CacheError::Down(why, _)) if why == "no answer"));
    assert_eq!(world.cache.counts().stale, 1);
}

#[test]
fn a_source_that_failed_rests_longer_and_longer_and_failures_are_not_kept() {
    let world = World::new();
    let ask = block("a");
    let mut pauses = Vec::new();
    let mut since = 0;
    for second in 0..200 {
        let before = world.asked();
        let outcome = world.get(&ask, Err(down()));
        let Err(CacheError::Down(_, wait)) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(wait <= Duration::from_secs(30));
        if world.asked() > before {
            pauses.push(second - since);
            since = second;
        }
        world.pass(1);
    }
    assert!(pauses.len() < 20, "{pauses:?}");
    assert!(
        pauses.windows(2).skip(6).all(|two| two[1] >= 15),
        "{pauses:?}"
    );
    // Another key has nothing to do with it.
    assert_eq!(text(&world.get(&block("b"), Ok("well"))), "well");
    world.pass(31);
    assert_eq!(text(&world.get(&ask, Ok("well"))), "well");
}

#[test]
fn a_refusal_is_passed_on_and_never_replaced_by_something_stale() {
    let world = World::new();
    let ask = contract("call");
    world.get(&ask, Ok("old")).unwrap();
    world.pass(301);
    let refused = Fault::Refused(b"reverted".to_vec());
    let outcome = world.get(&ask, Err(refused));
    assert_eq!(outcome, Err(CacheError::Refused(b"reverted".to_vec())));
    world.pass(2);
    assert_eq!(text(&world.get(&ask, Ok("new"))), "new");
}

#[test]
fn who_is_told_to_wait_by_a_bound_does_not_make_the_source_rest() {
    let world = World::new();
    let busy = Fault::Busy(Duration::from_secs(3));
    let outcome = world.get(&block("a"), Err(busy));
    assert_eq!(outcome, Err(CacheError::Busy(Duration::from_secs(3))));
    assert_eq!(text(&world.get(&block("a"), Ok("well"))), "well");
}

#[test]
fn what_asked_again_late_in_its_life_is_there_before_it_ends() {
    let world = World::new();
    let ask = contract("a");
    world.get(&ask, Ok("one")).unwrap();
    world.pass(224);
    world.get(&ask, Ok("two")).unwrap();
    world.settle();
    assert_eq!(world.asked(), 1, "not before three quarters");
    world.pass(1);
    assert_eq!(text(&world.get(&ask, Ok("two"))), "one");
    world.settle();
    assert_eq!((world.asked(), world.cache.counts().ahead), (2, 1));
    assert_eq!(text(&world.get(&ask, Ok("three"))), "two");
    // One that nobody asks for again is not fetched again.
    world.pass(10_000);
    world.settle();
    assert_eq!(world.asked(), 2);
}

#[test]
fn a_refresh_that_fails_takes_nothing_away() {
    let world = World::new();
    let ask = contract("a");
    world.get(&ask, Ok("one")).unwrap();
    world.pass(230);
    world.get(&ask, Err(down())).unwrap();
    world.settle();
    for _ in 0..5 {
        assert_eq!(text(&world.get(&ask, Err(down()))), "one");
        world.settle();
    }
    assert_eq!(world.asked(), 2, "it rests");
}

#[test]
fn what_has_proved_wrong_is_asked_anew_and_never_given_again() {
    let world = World::new();
    let ask = Ask::new(Kind::Peers, b"node");
    world.get(&ask, Ok("there")).unwrap();
    let anew = ask.clone().anew();
    assert!(world.get(&anew, Err(down())).is_err());
    world.pass(2);
    assert_eq!(text(&world.get(&anew, Ok("here"))), "here");
    assert_eq!(text(&world.get(&ask, Ok("nowhere"))), "here");
    world.cache.forget(&ask);
    assert_eq!(text(&world.get(&ask, Ok("nowhere"))), "nowhere");
}

#[test]
fn an_answer_that_must_not_be_kept_is_not() {
    let world = World::new();
    let once: Fetch = Box::new(|| {
        Box::pin(async {
            Ok(Fetched {
                value: b"null".to_vec(),
                keep: false,
            })
        })
    });
    assert_eq!(text(&world.run(world.cache.get(block("a"), once))), "null");
    assert_eq!(text(&world.get(&block("a"), Ok("mined"))), "mined");
}

#[test]
fn what_lasts_is_there_after_a_restart_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new();
    let store = world.store(folder.path());
    for ask in [contract("code"), block("head")] {
        world.get(&ask, Ok("value")).unwrap();
        world.get(&ask, Ok("value")).unwrap();
    }
    // Asked for once: not worth a row.
    world.get(&contract("once"), Ok("value")).unwrap();
    // Relative to the head: of no use to anybody later.
    let head = Ask::new(Kind::Contract, b"head");
    world.get(&head, Ok("value")).unwrap();
    world.get(&head, Ok("value")).unwrap();
    store.close();

    let later = World::new();
    let store = later.store(folder.path());
    later.pass(100);
    let found = later.get(&contract("code"), Ok("other")).unwrap();
    assert_eq!((&*found.value, found.age.as_secs()), (&b"value"[..], 100));
    let counts = later.cache.counts();
    assert_eq!((counts.disk.hits, counts.disk_rows), (1, 1));
    for ask in [contract("once"), block("head"), head] {
        assert_eq!(text(&later.get(&ask, Ok("other"))), "other");
    }
    // Its age goes on: it is not young again because memory has it.
    later.pass(200);
    assert_eq!(text(&later.get(&contract("code"), Ok("fresh"))), "fresh");
    store.close();
}

#[test]
fn a_row_serves_while_the_source_is_down_and_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new();
    let store = world.store(folder.path());
    world.get(&contract("a"), Ok("value")).unwrap();
    world.get(&contract("a"), Ok("value")).unwrap();
    store.close();

    let later = World::new();
    let store = later.store(folder.path());
    later.pass(3600);
    let found = later.get(&contract("a"), Err(down())).unwrap();
    assert_eq!((&*found.value, found.stale), (&b"value"[..], true));
    // After a day it is of no use, and is removed.
    later.pass(86_400);
    assert!(later.get(&contract("a"), Err(down())).is_err());
    later.cache.sweep();
    assert_eq!(later.cache.counts().disk_rows, 0);
    store.close();
    let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
    assert_eq!(store.scan_prefix::<disk::Row>(&[], 10).unwrap(), []);
    store.close();
}

#[test]
fn a_clock_that_is_not_trusted_neither_writes_nor_reads_rows() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new();
    let store = world.store(folder.path());
    world.clock.wrong.store(true, Ordering::Relaxed);
    world.get(&contract("a"), Ok("value")).unwrap();
    world.get(&contract("a"), Ok("value")).unwrap();
    assert_eq!(world.cache.counts().disk_rows, 0);
    world.clock.wrong.store(false, Ordering::Relaxed);
    world.get(&contract("b"), Ok("value")).unwrap();
    world.get(&contract("b"), Ok("value")).unwrap();
    assert_eq!(world.cache.counts().disk_rows, 1);
    store.close();

    let later = World::new();
    let store = later.store(folder.path());
    later.clock.wrong.store(true, Ordering::Relaxed);
    assert_eq!(text(&later.get(&contract("b"), Ok("asked"))), "asked");
    // A row of the future is none, either.
    let earlier = World::new();
    earlier.cache.set_store(Some(store.clone()));
    earlier.clock.unix.store(1_700_000_000, Ordering::Relaxed);
    assert_eq!(text(&earlier.get(&contract("b"), Ok("asked"))), "asked");
    store.close();
}

#[test]
fn a_damaged_row_is_a_miss() {
    /// What another program, or a bad block, has left under the key.
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Other(u8);
    impl crate::store::Record for Other {
        const TABLE: crate::store::Table = crate::store::Table::Cache;
        const VERSION: u8 = 9;
        fn key(&self) -> Vec<u8> {
            b"\x03a".to_vec()
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let world = World::new();
    let store = world.store(folder.path());
    for name in ["a", "b"] {
        world.get(&contract(name), Ok("value")).unwrap();
        world.get(&contract(name), Ok("value")).unwrap();
    }
    smol::block_on(store.put(&Other(1))).unwrap();
    store.close();
    let later = World::new();
    let store = later.store(folder.path());
    assert_eq!(text(&later.get(&contract("a"), Ok("asked"))), "asked");
    assert_eq!(text(&later.get(&contract("b"), Ok("asked"))), "value");
    store.close();
}

#[test]
fn nobody_can_wear_the_disk_out_by_asking() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new();
    let store = world.store(folder.path());
    let value = "v".repeat(1000);
    let ask_much = |round: u32| {
        for n in 0..200 {
            let ask = contract(&format!("{round}/{n}"));
            world.get(&ask, Ok(&value)).unwrap();
            world.get(&ask, Ok(&value)).unwrap();
        }
    };
    ask_much(0);
    let rows = world.cache.counts().disk_rows;
    assert_eq!(rows, WRITES_AN_HOUR as usize);
    for round in 1..8 {
        world.pass(3600);
        ask_much(round);
        let counts = world.cache.counts();
        assert!(counts.disk_rows <= DISK_ROWS && counts.disk_bytes <= DISK_BYTES);
    }
    assert_eq!(world.cache.counts().disk_rows, DISK_ROWS);
    // Long values never go there.
    world.pass(3600);
    let long = "v".repeat(DISK_VALUE + 1);
    world.get(&contract("long"), Ok(&long)).unwrap();
    world.get(&contract("long"), Ok(&long)).unwrap();
    let found = store.get::<disk::Row>(b"\x03long").unwrap();
    assert!(found.is_none() && world.cache.counts().disk_rows == DISK_ROWS);
    store.close();
}

#[test]
fn what_is_of_no_use_any_more_takes_no_memory() {
    let world = World::new();
    for n in 0..50 {
        world.get(&block(&n.to_string()), Ok("value")).unwrap();
        let _ = world.get(&block(&format!("-{n}")), Err(down()));
    }
    assert_eq!(world.cache.counts().entries, 50);
    world.pass(700);
    world.cache.sweep();
    let counts = world.cache.counts();
    assert_eq!((counts.entries, counts.bytes), (0, 0));
}

#[test]
fn the_tiers_count_what_they_answered() {
    let world = World::new();
    let _ = world.get(&block("a"), Err(down()));
    world.pass(2);
    world.get(&block("a"), Ok("x")).unwrap();
    for _ in 0..6 {
        world.get(&block("a"), Ok("x")).unwrap();
    }
    let counts = world.cache.counts();
    assert_eq!((counts.memory.hits, counts.memory.misses), (6, 2));
    assert_eq!((counts.source.hits, counts.source.misses), (1, 1));
    assert_eq!(counts.memory.ratio(), Some(0.75));
    assert_eq!(counts.disk.ratio(), None);
}

#[test]
fn a_value_that_the_caller_makes_is_kept_for_its_time() {
    let world = World::new();
    let ask = Ask::new(Kind::Ticket, b"digest");
    assert_eq!(world.cache.recall(&ask), None);
    world.cache.remember(&ask, b"signer");
    assert_eq!(world.cache.recall(&ask).as_deref(), Some(&b"signer"[..]));
    world.pass(3600);
    assert_eq!(world.cache.recall(&ask), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_bound_in_bytes_holds_whatever_comes(
        steps in proptest::collection::vec((0u16..400, 0usize..20_000, 0u8..4), 1..300)
    ) {
        let mut memory = Memory::new(CAPACITY);
        let mut now = Moment(1);
        for (name, len, what) in steps {
            let ask = Ask::new(Kind::Contract, &name.to_be_bytes());
            match what {
                0 => { let _ = memory.look(&ask.key, now); }
                1 => memory.remove(&ask.key),
                _ => memory.put(&ask.key, vec![7; len].into(), now, false),
            }
            now = now + Duration::from_secs(1);
            prop_assert!(memory.bytes() <= CAPACITY);
            // What it says is what it holds.
            let held = memory.held();
            prop_assert_eq!(held, memory.bytes());
        }
    }
}
