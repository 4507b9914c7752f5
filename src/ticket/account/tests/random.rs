//! Any sequence of events, and what must hold after each.

use std::collections::HashSet;

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Event {
    /// Relays bytes, if the account lets us.
    Relay(u64),
    /// Answers the last ask with a step.
    Answer(u64),
    /// Signs for another fleet.
    Fleet(u8, u64),
    /// Time passes, in milliseconds.
    Wait(u64),
    /// The epoch moves on.
    Epoch,
    /// The clock is lost or found.
    Clock(bool),
    /// The disk breaks or heals.
    Disk(bool),
    /// The device connects anew.
    Reconnect,
    /// kill -9.
    Crash,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => (0..12 * MIB).prop_map(Event::Relay),
        6 => (0..30 * MIB).prop_map(Event::Answer),
        1 => (0u8..3, 0..30 * MIB).prop_map(|(fleet, step)| Event::Fleet(fleet, step)),
        3 => (0u64..3000).prop_map(Event::Wait),
        1 => (0u64..40_000).prop_map(Event::Wait),
        1 => Just(Event::Epoch),
        1 => any::<bool>().prop_map(Event::Clock),
        1 => any::<bool>().prop_map(Event::Disk),
        1 => Just(Event::Reconnect),
        1 => Just(Event::Crash),
    ];
    proptest::collection::vec(event, 1..120)
}

/// What the account must never get wrong.
struct Truth {
    relayed: u64,
    asked: Option<Ask>,
    fleet: Address,
    paused: bool,
    last_commit: Option<Moment>,
}

impl Truth {
    fn after(&mut self, world: &World, steps: &Steps) {
        self.asked = steps.ask.or(self.asked);
        self.paused = steps.paused;
        let account = &world.account;
        assert!(!steps.cut_off || steps.paused);
        if !steps.paused {
            assert!(account.usage() < account.total() + GRACE_BYTES);
            assert!(account.usage() < account.next_mark());
        }
        if !steps.checkpoint.is_empty() {
            if let Some(last) = self.last_commit {
                assert!(world.now.since(last) >= CHECKPOINT_INTERVAL);
            }
            self.last_commit = Some(world.now);
        }
        // In all rows together never more than was relayed.
        let usage: u64 = world.stored.iter().map(|row| row.usage).sum();
        assert!(usage <= self.relayed, "{usage} of {}", self.relayed);
        let keys = world.stored.iter();
        let keys: HashSet<_> = keys
            .map(|row| (row.ticket.epoch, row.ticket.fleet))
            .collect();
        assert_eq!(keys.len(), world.stored.len());
        if let Some(deadline) = account.deadline() {
            assert!(deadline > world.now);
        }
    }
}

fn run(events: Vec<Event>) {
    let mut world = World::new();
    let mut epoch = EPOCH;
    let mut truth = Truth {
        relayed: 0,
        asked: None,
        fleet: FLEET,
        paused: true,
        last_commit: None,
    };
    let steps = world.advance();
    truth.after(&world, &steps);
    for event in events {
        let steps = match event {
            Event::Relay(_) if truth.paused => continue,
            Event::Relay(bytes) => {
                // A session grants no more than this before it looks again.
                let room = world.account.total() + GRACE_BYTES - world.account.usage();
                let bytes = bytes.min(room);
                truth.relayed += bytes;
                world.account.charge(bytes, 1);
                if world.account.usage() < world.account.next_mark() {
                    // The data path does not call: nothing may be due.
                    let mut looking = world.account.clone();
                    let steps = looking.advance(world.now, world.clock);
                    assert!(steps.ask.is_none() && !steps.paused, "{steps:?}");
                    assert!(steps.checkpoint.is_empty());
                    continue;
                }
                world.advance()
            }
            Event::Answer(step) => {
                let Some(ask) = truth.asked else { continue };
                match world.pay_for(ask.epoch, truth.fleet, ask.usage + step) {
                    Ok(steps) => {
                        truth.asked = None;
                        steps
                    }
                    Err(_) => continue,
                }
            }
            Event::Fleet(fleet, step) => {
                let fleet = Address([fleet; 20]);
                let total = world.account.usage() + step;
                match world.pay_for(epoch, fleet, total) {
                    Ok(steps) => {
                        truth.fleet = fleet;
                        steps
                    }
                    Err(_) => continue,
                }
            }
            Event::Wait(milliseconds) => world.wait(milliseconds),
            Event::Epoch => {
                epoch += 1;
                if world.clock.current().is_some() {
                    world.clock = EpochClock::Trusted(epoch);
                }
                world.wait(1)
            }
            Event::Clock(trusted) => {
                world.clock = if trusted {
                    EpochClock::Trusted(epoch)
                } else {
                    EpochClock::Untrusted { floor: EPOCH - 1 }
                };
                world.wait(1)
            }
            Event::Disk(disk) => {
                world.disk = disk;
                world.wait(1)
            }
            Event::Reconnect => {
                world.account.begin(truth.fleet);
                truth.asked = None;
                world.advance()
            }
            Event::Crash => {
                world.restart();
                world.now = world.now + CHECKPOINT_INTERVAL;
                truth.asked = None;
                world.advance()
            }
        };
        truth.after(&world, &steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_events_breaks_the_account(events in events()) {
        run(events);
    }

    #[test]
    fn a_device_that_answers_in_time_never_waits(
        frames in proptest::collection::vec(1u64..65_536, 1..400),
        late in 0u64..4,
    ) {
        // Each answer comes `late` frames after its ask, with the smallest step.
        let mut world = World::with_ticket(FAIR_STEP);
        let mut owed = None;
        for frame in frames {
            world.now = world.now + Duration::from_millis(5);
            world.account.charge(frame, 0);
            if world.account.usage() >= world.account.next_mark() {
                let steps = world.advance();
                prop_assert!(!steps.paused);
                owed = steps.ask.map(|ask| (ask, late)).or(owed);
            }
            match owed {
                Some((ask, 0)) => {
                    prop_assert!(!world.pay(ask.usage + FAIR_STEP).unwrap().paused);
                    owed = None;
                }
                Some((ask, frames)) => owed = Some((ask, frames - 1)),
                None => {}
            }
        }
    }

    #[test]
    fn a_crash_loses_8_mib_or_a_second_at_most(rate in 1u64..200, seconds in 1u64..8) {
        // `rate` MiB a second in frames of 64 KiB, then kill -9.
        let mut world = World::with_ticket(1 << 45);
        let frames = rate * 16 * seconds;
        let gap = Duration::from_nanos(1_000_000_000 / (rate * 16));
        for _ in 0..frames {
            world.now = world.now + gap;
            world.account.charge(65_536, 0);
            let is_marked = world.account.usage() >= world.account.next_mark();
            let is_late = world.account.deadline().is_some_and(|at| world.now >= at);
            if is_marked || is_late {
                world.advance();
            }
        }
        let relayed = world.account.usage();
        let kept = world.stored[0].usage;
        prop_assert!(kept <= relayed);
        prop_assert!(relayed - kept <= CHECKPOINT_BYTES.max(rate * MIB + 65_536));
        prop_assert!(world.commits as u64 <= seconds + 2);
    }
}
