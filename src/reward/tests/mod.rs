//! Tests of reward periods.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod periods;
mod thirty_days;

use super::*;
use crate::sorted::Map;
use crate::store::Record;
use crate::ticket::Worth;
use crate::time::Moment;
use crate::tokens::Tokens;

/// Midnight, and in the middle of an epoch: 2027-01-16.
const DAY_ONE: u64 = 1_800_057_600;

/// A device with a clock, a disk and tickets, in virtual time.
struct Device {
    tracker: Option<Tracker>,
    terms: Terms,
    /// Seconds since 1970 as they really are.
    unix: u64,
    /// Seconds since boot, and of these without sleep.
    boot: u64,
    awake: u64,
    /// Whether the device knows the time.
    trusted: bool,
    counters: Counters,
    latency: Option<u64>,
    waiting: u64,
    /// What the disk has of rewards and of tickets (by device and epoch).
    disk: Map<Vec<u8>, RewardRow>,
    tickets: Map<(char, u64), Worth>,
}

impl Device {
    fn new(unix: u64, terms: Terms) -> Device {
        Device {
            tracker: None,
            terms,
            unix,
            boot: 100,
            awake: 100,
            trusted: true,
            counters: Counters::default(),
            latency: None,
            waiting: 0,
            disk: Map::new(),
            tickets: Map::new(),
        }
    }

    fn worth(&self, epoch: u64) -> Worth {
        let of = self.tickets.iter().filter(|((_, e), _)| *e == epoch);
        of.fold(Worth::default(), |sum, (_, worth)| Worth {
            bytes: sum.bytes + worth.bytes,
            connections: sum.connections + worth.connections,
        })
    }

    fn held(&self) -> Vec<(u64, Worth)> {
        let now = crate::ticket::epoch_of(self.unix);
        [now - 1, now]
            .map(|epoch| (epoch, self.worth(epoch)))
            .into()
    }

    fn clocks(&self) -> (Moment, Moment) {
        let moment = |seconds: u64| Moment(seconds * 1_000_000_000);
        (moment(self.boot), moment(self.awake))
    }

    /// The program starts.
    fn on(&mut self) {
        let (now, awake) = self.clocks();
        let mut tracker = Tracker::new(now, awake, self.terms);
        self.counters = Counters::default();
        let over = self.disk.values().filter(|row| row.over);
        let running = self.disk.get(&RUNNING.to_vec()).cloned();
        tracker.adopt(running, over.cloned().collect(), &self.held());
        self.tracker = Some(tracker);
        self.tick();
    }

    /// The program is told to stop.
    fn off(&mut self) {
        self.tick();
        let row = self.tracker.take().unwrap().running_row();
        if let Some(row) = row {
            self.disk.insert(row.key(), row);
        }
    }

    /// Time passes; the program, if it runs, takes no look.
    fn pass(&mut self, seconds: u64, asleep: bool) {
        self.unix += seconds;
        self.boot += seconds;
        self.awake += if asleep { 0 } else { seconds };
    }

    fn tick(&mut self) -> Steps {
        let Some(mut tracker) = self.tracker.take() else {
            return Steps::default();
        };
        let (now, awake) = self.clocks();
        let steps = tracker.tick(&Sample {
            now,
            awake,
            unix: self.trusted.then_some(self.unix),
            counters: self.counters,
            latency: self.latency.take(),
            waiting: std::mem::take(&mut self.waiting),
            held: Some(Held {
                epochs: self.held(),
            }),
        });
        for row in &steps.durable {
            self.disk.insert(row.key(), row.clone());
        }
        self.tracker = Some(tracker);
        steps
    }

    /// Looks every ten seconds for so long.
    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds / 10 {
            self.pass(10, false);
            self.tick();
        }
    }

    fn ticket(&mut self, device: char, epoch: u64, bytes: u64, connections: u64) {
        let worth = Worth { bytes, connections };
        if self.tickets.insert((device, epoch), worth) != Some(worth) {
            self.counters.better += 1;
        }
    }

    /// The periods that are over, the oldest first.
    fn over(&self) -> Vec<RewardRow> {
        let rows = self.disk.values().filter(|row| row.over);
        let mut rows: Vec<RewardRow> = rows.cloned().collect();
        rows.reverse();
        rows
    }

    fn report(&self) -> Report {
        self.tracker.as_ref().unwrap().report()
    }
}

fn rates(gigabyte: &str, hour: &str) -> Rates {
    Rates {
        gigabyte: Some(Tokens::parse(gigabyte).unwrap()),
        hour: Some(Tokens::parse(hour).unwrap()),
    }
}
