//! The account against a device, a disk and a clock that are made up.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use super::super::testing::{terms, EPOCH, FLEET, NODE};
use super::super::{Rules, Ticket, GRACE_BYTES, MAX_FLEETS};
use super::*;
use crate::identity::SecretKey;
use std::time::Duration;

mod epochs;
mod random;
mod saving;

const MIB: u64 = 1 << 20;

/// An account with what is around it. Checkpoints succeed at once unless a test
/// takes `disk` away.
struct World {
    key: SecretKey,
    rules: Rules,
    account: Account,
    now: Moment,
    clock: EpochClock,
    disk: bool,
    stored: Vec<TicketRow>,
    commits: usize,
}

impl World {
    fn new() -> World {
        let key = SecretKey::from_bytes(&[1; 32]).unwrap();
        let mut account = Account::new(key.address(), Policy::default());
        account.begin(FLEET);
        World {
            account,
            rules: Rules {
                node: NODE,
                chain_id: 1284,
                fleets: vec![],
            },
            key,
            now: Moment(1_000_000_000_000),
            clock: EpochClock::Trusted(EPOCH),
            disk: true,
            stored: vec![],
            commits: 0,
        }
    }

    /// One that has a ticket for `total` bytes.
    fn with_ticket(total: u64) -> World {
        let mut world = World::new();
        assert!(world.advance().ask.is_some());
        world.pay(total).unwrap();
        world
    }

    fn advance(&mut self) -> Steps {
        let steps = self.account.advance(self.now, self.clock);
        if !steps.checkpoint.is_empty() {
            self.commits += 1;
            if self.disk {
                self.store(&steps.checkpoint);
            }
            self.account.saved(self.disk, self.now);
        }
        steps
    }

    fn store(&mut self, rows: &[TicketRow]) {
        use crate::store::Record;
        for row in rows {
            self.stored.retain(|old| old.key() != row.key());
            self.stored.push(row.clone());
        }
    }

    fn wait(&mut self, milliseconds: u64) -> Steps {
        self.now = self.now + Duration::from_millis(milliseconds);
        self.advance()
    }

    fn use_up_to(&mut self, usage: u64) -> Steps {
        let used = self.account.usage();
        self.account.charge(usage.checked_sub(used).unwrap(), 0);
        self.advance()
    }

    fn submit(&mut self, ticket: Ticket) -> Result<Steps, Refusal> {
        self.account.allow_ticket(self.now)?;
        let (account, stored) = (&mut self.account, &self.stored);
        let device = self.key.address();
        let valid = self
            .rules
            .validate(ticket, device, self.clock, |epoch, fleet| {
                if !account.has_loaded(epoch) {
                    let of_epoch = stored.iter().filter(|row| row.ticket.epoch == epoch);
                    account.load(epoch, of_epoch.cloned().collect());
                }
                account.standing(epoch, fleet)
            })?;
        self.account.accept(valid);
        Ok(self.advance())
    }

    fn pay(&mut self, total: u64) -> Result<Steps, Refusal> {
        self.pay_for(EPOCH, FLEET, total)
    }

    fn pay_for(&mut self, epoch: u64, fleet: Address, total: u64) -> Result<Steps, Refusal> {
        let mut terms = terms();
        terms.epoch = epoch;
        terms.fleet = fleet;
        terms.total_bytes = total;
        let ticket = Ticket::sign(&self.key, &NODE, terms);
        self.submit(ticket)
    }

    /// kill -9 of the node, and a new one over the same store.
    fn restart(&mut self) {
        self.account = Account::new(self.key.address(), Policy::default());
        self.account.begin(FLEET);
    }
}

#[test]
fn nothing_is_relayed_before_a_ticket_and_not_for_ever() {
    let mut world = World::new();
    let steps = world.advance();
    assert_eq!(
        steps,
        Steps {
            ask: Some(Ask {
                epoch: EPOCH,
                epoch_known: true,
                usage: 0
            }),
            checkpoint: vec![],
            paused: true,
            cut_off: false
        }
    );
    let deadline = world.account.deadline().unwrap();
    assert_eq!(deadline, world.now + ASK_DEADLINE);
    let steps = world.wait(19_999);
    assert!(steps.paused && !steps.cut_off && steps.ask.is_none());
    assert!(world.wait(1).cut_off);
}

#[test]
fn the_next_ticket_is_asked_for_at_three_quarters_and_once() {
    let mut world = World::with_ticket(4 * MIB);
    assert_eq!(world.account.next_mark(), 3 * MIB);
    assert_eq!(world.use_up_to(3 * MIB - 1).ask, None);
    let ask = world.use_up_to(3 * MIB).ask.unwrap();
    assert_eq!(ask.usage, 3 * MIB);
    assert_eq!(world.use_up_to(4 * MIB).ask, None);
    // Step: 12 - 4 = 8 MiB.
    let steps = world.pay(12 * MIB).unwrap();
    assert_eq!((steps.ask, steps.paused), (None, false));
    assert_eq!(world.account.next_mark(), 10 * MIB);
    assert_eq!(world.account.deadline(), Some(world.account.may_save_at()));
}

#[test]
fn a_device_that_does_not_answer_is_paused_and_then_cut_off() {
    let mut world = World::with_ticket(4 * MIB);
    assert!(world.use_up_to(3 * MIB).ask.is_some());
    let limit = 4 * MIB + GRACE_BYTES;
    assert!(!world.use_up_to(limit - 1).paused);
    assert_eq!(world.account.next_mark(), limit);
    let steps = world.use_up_to(limit);
    assert!(steps.paused && !steps.cut_off);
    assert!(!world.wait(19_999).cut_off);
    assert!(world.wait(1).cut_off);
}

#[test]
fn a_device_that_answers_late_goes_on() {
    let mut world = World::with_ticket(4 * MIB);
    world.use_up_to(3 * MIB);
    let usage = 4 * MIB + GRACE_BYTES + 5;
    assert!(world.use_up_to(usage).paused);
    world.wait(19_000);
    let refusal = world.pay(usage - 1).unwrap_err();
    assert_eq!(
        refusal,
        Refusal::TooLow {
            total_bytes: usage - 1,
            usage,
            last_total: 4 * MIB
        }
    );
    let steps = world.pay(usage + 4 * MIB).unwrap();
    assert!(!steps.paused && !steps.cut_off);
    assert!(!world.wait(30_000).cut_off);
}

#[test]
fn a_slow_device_is_not_cut_off_while_it_has_grace() {
    let mut world = World::with_ticket(4 * MIB);
    world.use_up_to(3 * MIB);
    let steps = world.wait(60_000);
    assert!(!steps.paused && !steps.cut_off);
    assert_eq!(world.account.deadline(), None);
    // It had its 20 s; there is no other 20 s of pause.
    assert!(world.use_up_to(4 * MIB + GRACE_BYTES).cut_off);
}

#[test]
fn the_same_ticket_again_opens_a_session_and_answers_no_ask() {
    let mut world = World::with_ticket(8 * MIB);
    world.use_up_to(2 * MIB);
    let commits = world.commits;
    // A new session, for the same device.
    world.account.begin(FLEET);
    let steps = world.wait(2000);
    assert!(steps.paused);
    assert_eq!(steps.ask.unwrap().usage, 2 * MIB);
    assert!(matches!(
        world.pay(7 * MIB),
        Err(Refusal::TooLow { last_total, .. }) if last_total == 8 * MIB
    ));
    assert!(!world.pay(8 * MIB).unwrap().paused);
    // Step: 8 - 2 = 6 MiB.
    assert_eq!(world.account.next_mark(), 2 * MIB + 6 * MIB * 3 / 4);
    assert!(world.use_up_to(7 * MIB).ask.is_some());
    world.pay(8 * MIB).unwrap();
    assert!(world.use_up_to(8 * MIB + GRACE_BYTES).paused);
    world.pay(8 * MIB).unwrap_err();
    assert!(world.wait(20_000).cut_off);
    // And it costs no flash.
    assert!(world.commits <= commits + 2, "{}", world.commits);
}

#[test]
fn of_two_tickets_for_the_same_bytes_the_better_one_is_kept() {
    let mut world = World::with_ticket(8 * MIB);
    let mut terms = terms();
    terms.total_bytes = 8 * MIB;
    for (connections, kept) in [(5, 5), (2, 5), (7, 7)] {
        terms.total_connections = connections;
        world
            .submit(Ticket::sign(&world.key, &NODE, terms.clone()))
            .unwrap();
        world.wait(1000);
        assert_eq!(world.stored[0].ticket.total_connections, kept);
    }
}

#[test]
fn changing_the_fleet_does_not_shed_what_is_owed() {
    let [a, b, c] = [[1; 20], [2; 20], [3; 20]].map(Address);
    let mut world = World::new();
    world.advance();
    world.pay_for(EPOCH, a, 10).unwrap();
    world.use_up_to(1010);
    assert!(matches!(
        world.pay_for(EPOCH, b, 999),
        Err(Refusal::TooLow { usage: 1000, .. })
    ));
    world.pay_for(EPOCH, b, 1000).unwrap();
    assert_eq!(world.account.usage(), 1000);
    world.use_up_to(1500);
    // Only what is still owed moves on, and nothing is owed twice.
    world.pay_for(EPOCH, c, 500).unwrap();
    assert_eq!(world.account.usage(), 500);
    world.pay_for(EPOCH, a, 10).unwrap();
    assert_eq!(world.account.usage(), 10);
    world.pay_for(EPOCH, b, 1000).unwrap();
    assert_eq!(world.account.usage(), 1000);
    world.wait(1000);
    let sum: u64 = world.stored.iter().map(|row| row.usage).sum();
    assert_eq!(sum, 1510);
    // Nor by a restart of the node in between.
    world.use_up_to(1300);
    world.wait(1000);
    let unsaved = world.account.flush(world.now);
    world.store(&unsaved);
    world.restart();
    world.advance();
    assert!(matches!(
        world.pay_for(EPOCH, c, 500),
        Err(Refusal::TooLow { usage: 800, .. })
    ));
}

#[test]
fn a_device_cannot_fill_the_disk_with_fleets() {
    let mut world = World::new();
    world.advance();
    for fleet in 0..MAX_FLEETS as u8 {
        world.pay_for(EPOCH, Address([fleet; 20]), 10).unwrap();
    }
    let refusal = world.pay_for(EPOCH, Address([99; 20]), 10).unwrap_err();
    assert_eq!(refusal.code(), 110);
    world.pay_for(EPOCH, Address([0; 20]), 20).unwrap();
    // The epoch before has its own.
    world.pay_for(EPOCH - 1, Address([99; 20]), 10).unwrap();
}

#[test]
fn a_flood_of_tickets_is_not_looked_at_and_an_answer_always_is() {
    let mut world = World::with_ticket(4 * MIB);
    let mut looked_at = 0;
    while world.account.allow_ticket(world.now).is_ok() {
        looked_at += 1;
    }
    assert_eq!(looked_at, TICKET_BURST - 1);
    let refusal = world.account.allow_ticket(world.now).unwrap_err();
    assert_eq!(
        refusal,
        Refusal::TooOften {
            wait: TICKET_INTERVAL
        }
    );
    assert!(world.use_up_to(3 * MIB).ask.is_some());
    world.pay(100 * MIB).unwrap();
    assert!(world.pay(101 * MIB).is_err());
    world.wait(50);
    world.pay(101 * MIB).unwrap();
}

#[test]
fn a_device_that_signs_byte_by_byte_is_asked_slowly() {
    let mut world = World::with_ticket(1);
    let mut asks = 0;
    for _ in 0..1000 {
        world.account.charge(1, 0);
        if let Some(ask) = world.wait(1).ask {
            asks += 1;
            assert_eq!(world.pay(ask.usage + 1).unwrap().ask, None);
        }
    }
    assert!((15..=21).contains(&asks), "{asks}");
}

#[test]
fn where_tickets_are_not_required_nobody_is_paused_and_nothing_is_owed() {
    let mut world = World::new();
    let policy = Policy {
        required: false,
        ..Policy::default()
    };
    world.account = Account::new(world.key.address(), policy);
    world.account.begin(FLEET);
    assert_eq!(world.advance(), Steps::default());
    world.account.charge(1 << 40, 3);
    assert_eq!(world.wait(100_000), Steps::default());
    assert!(world.account.is_saved());
    // One that pays all the same starts at zero.
    assert!(!world.pay(5).unwrap().paused);
    assert_eq!(world.account.usage(), 0);
    world.account.charge(1 << 40, 3);
    let steps = world.wait(100_000);
    assert!(!steps.paused && !steps.cut_off && steps.ask.is_none());
    assert_eq!(world.stored[0].usage, 1 << 40);
}

#[test]
fn bytes_of_a_session_that_is_being_replaced_are_paid_by_the_next_ticket() {
    let mut world = World::with_ticket(MIB);
    world.use_up_to(1000);
    world.account.begin(FLEET);
    world.account.charge(500, 1);
    assert_eq!(world.advance().ask.unwrap().usage, 1500);
    assert!(!world.account.is_saved());
    world.pay(MIB).unwrap();
    assert_eq!(world.account.usage(), 1500);
}
