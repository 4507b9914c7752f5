//! Signers that are remembered, and tickets that are judged anew.

use super::super::super::policy::JUDGE_EVERY;
use super::super::super::{FleetRule, Verdicts};
use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Remembers everything, for ever, and counts.
#[derive(Default)]
struct Elephant {
    known: Mutex<HashMap<[u8; 32], Address>>,
    recalled: AtomicUsize,
}

impl Elephant {
    /// Signers known, and how often one was recalled.
    fn counts(&self) -> (usize, usize) {
        let known = lock(&self.known).len();
        (known, self.recalled.load(Ordering::Relaxed))
    }
}

impl Verdicts for Elephant {
    fn recall(&self, hash: &[u8; 32]) -> Option<Address> {
        let known = lock(&self.known).get(hash).copied();
        self.recalled
            .fetch_add(usize::from(known.is_some()), Ordering::Relaxed);
        known
    }
    fn remember(&self, hash: &[u8; 32], signer: Address) {
        lock(&self.known).insert(*hash, signer);
    }
}

fn remembering() -> (Book, Arc<Elephant>) {
    let elephant = Arc::new(Elephant::default());
    (book(None).remembering(elephant.clone()), elephant)
}

#[test]
fn the_signer_of_a_ticket_that_comes_again_is_recovered_once() {
    let (book, elephant) = remembering();
    let key = key(1);
    let ticket = ticket(&key, 40 * MIB);
    for session in 0..3 {
        let tab = book.open(key.address(), None);
        tab.submit(ticket.clone(), after(session * 1000), CLOCK)
            .unwrap();
        drop(tab);
    }
    assert_eq!(elephant.counts(), (1, 2));
}

#[test]
fn what_is_remembered_makes_no_other_ticket_valid() {
    let (book, elephant) = remembering();
    let (key, other) = (key(1), super::key(2));
    let good = ticket(&key, 40 * MIB);
    let tab = book.open(key.address(), None);
    tab.submit(good.clone(), START, CLOCK).unwrap();
    // Any other field, the same signature.
    let forged: [fn(&mut Ticket); 5] = [
        |t| t.total_bytes += 1,
        |t| t.total_connections += 1,
        |t| t.fleet = Address([1; 20]),
        |t| t.local_address = vec![1],
        |t| t.signature.0[40] ^= 1,
    ];
    for (n, forge) in forged.iter().enumerate() {
        let mut ticket = good.clone();
        forge(&mut ticket);
        let refusal = tab.submit(ticket, after(n as u64 * 100), CLOCK);
        assert!(matches!(refusal, Err(Refusal::Signature { .. })), "{n}");
    }
    // The same ticket, from whom it is not.
    let theirs = book.open(other.address(), None);
    let refusal = theirs.submit(good.clone(), after(600), CLOCK);
    assert!(matches!(refusal, Err(Refusal::Signature { .. })));
    // Epoch and usage are judged each time.
    let later = EpochClock::Trusted(EPOCH + 2);
    let refusal = tab.submit(good.clone(), after(700), later);
    assert!(matches!(refusal, Err(Refusal::EpochTooLow { .. })));
    let _ = tab.charge(41 * MIB, 0);
    let refusal = tab.submit(good, after(800), CLOCK);
    assert!(matches!(refusal, Err(Refusal::TooLow { .. })));
    assert!(elephant.counts().1 >= 2, "it was remembered all the while");
}

#[test]
fn a_ticket_that_pays_is_judged_by_the_rules_of_now_before_an_hour_is_over() {
    let (book, elephant) = remembering();
    let key = key(1);
    let ticket = ticket(&key, 40 * MIB);
    let tab = book.open(key.address(), None);
    let _ = tab.advance(START, CLOCK);
    tab.submit(ticket.clone(), START, CLOCK).unwrap();
    // While they are the same, nothing happens, and nothing is recovered again.
    let mut now = START;
    for _ in 0..180 {
        now = now + Duration::from_secs(60);
        let todo = tab.advance(now, CLOCK);
        assert!(!todo.paused && todo.ask.is_none());
    }
    assert_eq!(elephant.counts(), (1, 4));
    // Its fleet is served no more.
    let mut rules = rules();
    rules.fleets = vec![FleetRule {
        fleet: Address([1; 20]),
        device: None,
    }];
    book.change(rules, Policy::default(), FLEET);
    let changed = now;
    let todo = loop {
        now = now + Duration::from_secs(60);
        let todo = tab.advance(now, CLOCK);
        if todo.paused {
            break todo;
        }
        assert!(now.since(changed) <= JUDGE_EVERY, "never judged again");
    };
    assert!(todo.ask.is_some(), "it is told what is wanted");
    let refusal = tab.submit(ticket.clone(), now, CLOCK);
    assert!(matches!(refusal, Err(Refusal::FleetNotServed { .. })));
    let late = now + ASK_DEADLINE;
    assert!(tab.advance(late, CLOCK).cut_off);
    // And served again when the operator says so.
    book.change(super::rules(), Policy::default(), FLEET);
    let accepted = tab.submit(ticket, late, CLOCK).unwrap();
    assert!(!accepted.todo.paused && !accepted.todo.cut_off);
}
