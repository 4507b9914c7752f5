//! Periods, one after the other.

use std::collections::VecDeque;

use crate::ticket::{epoch_of, Worth};
use crate::time::Moment;
use crate::tokens::Tokens;

use super::earning::{Projection, Rates};
use super::place::{Places, Stretch};
use super::row::{Mark, RewardRow, Tickets};
use super::score::Measures;

/// Periods that are over and stay in memory: a day of the shortest ones.
pub const HISTORY: usize = 144;
/// Periods of being down that are made when a node comes back: a year of hours.
/// Of a longer absence the oldest are left out.
pub const GAP_MAX: u64 = 366 * 24;
/// How often the running period's row is written lazily, in milliseconds: it
/// makes each commit that takes it along some 8 KB larger.
const KEEP_EVERY_MS: u64 = 600_000;

/// What may change while the node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Length of the periods that begin from now on, in seconds; never 0.
    pub period: u64,
    /// What is earned by what.
    pub rates: Rates,
}

/// Counters since some start, as they are now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sessions and ports that came about.
    pub good: u64,
    /// Sessions and ports that failed by this node or on the way.
    pub bad: u64,
    /// Bytes that were sent on.
    pub sent: u64,
    /// Tickets that were better than those before.
    pub better: u64,
}

/// The tickets that the node holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// What those of an epoch are worth together.
    pub epochs: Vec<(u64, Worth)>,
}

/// What is seen at a moment.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// The boot-time clock.
    pub now: Moment,
    /// A clock that stands still while the device sleeps.
    pub awake: Moment,
    /// Seconds since 1970, if the clock is trusted.
    pub unix: Option<u64>,
    /// The counters.
    pub counters: Counters,
    /// Score of the present round trips, if any is known; see
    /// [`super::latency_score`].
    pub latency: Option<u64>,
    /// Bytes that wait to be sent.
    pub waiting: u64,
    /// Tickets of the current epoch and the one before; `None`: not known now.
    pub held: Option<Held>,
}

/// What is to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Periods that are over, and last the one that runs now; to be committed.
    pub durable: Vec<RewardRow>,
    /// The running period as it is by now; may be lost.
    pub lazy: Option<RewardRow>,
}

/// What is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The running period; `None` while the time is not known.
    pub period: Option<RewardRow>,
    /// What was earned in it by now.
    pub earned: Option<Tokens>,
    /// What was earned in all, the running one included.
    pub total: Option<Tokens>,
    /// Milliseconds of the running period that are over.
    pub passed_ms: u64,
    /// What is to be expected.
    pub projection: Projection,
    /// The rates.
    pub rates: Rates,
}

/// See the room's text.
#[derive(Debug)]
pub struct Tracker {
    terms: Terms,
    places: Places,
    counters: Counters,
    /// What was measured and belongs to no period yet.
    measures: Measures,
    /// Tickets that belong to no period yet.
    better: u64,
    /// What was found in the store, until the first period begins.
    base: Option<Base>,
    /// The period that runs, its `marks` and `total` included.
    running: Option<RewardRow>,
    /// Milliseconds since 1970 up to which all is settled.
    settled: u64,
    /// When the running row was last given away, in boot-time milliseconds.
    kept: Option<u64>,
    /// The latest periods that are over, the newest first.
    history: VecDeque<RewardRow>,
}

#[derive(Debug, Default)]
struct Base {
    running: Option<RewardRow>,
    stock: Vec<Mark>,
}

impl Tracker {
    /// The node has started at `now`; `awake` is the clock that stands still in
    /// sleep. Nothing is settled before [`Tracker::adopt`].
    #[must_use]
    pub fn new(now: Moment, awake: Moment, terms: Terms) -> Tracker {
        Tracker {
            terms,
            places: Places::new(now, awake),
            counters: Counters::default(),
            measures: Measures::default(),
            better: 0,
            base: None,
            running: None,
            settled: 0,
            kept: None,
            history: VecDeque::new(),
        }
    }

    /// Whether [`Tracker::adopt`] was called.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.base.is_some() || self.running.is_some()
    }

    /// Goes on from what the store has: the running period's row of the time
    /// before, and the latest ones that are over, the newest first. Without such a
    /// row, tickets count from `stock` on, what the store had at the start: what
    /// came before rewards were tracked earns nothing.
    pub fn adopt(
        &mut self,
        running: Option<RewardRow>,
        history: Vec<RewardRow>,
        stock: &[(u64, Worth)],
    ) {
        self.history = history.into();
        self.history.truncate(HISTORY);
        self.base = Some(Base {
            running,
            stock: stock.iter().map(|(e, w)| mark(*e, *w)).collect(),
        });
    }

    /// Other terms: the rates hold at once, the length from the next period on.
    pub fn change(&mut self, terms: Terms) {
        self.terms = terms;
    }

    /// Takes a sample.
    pub fn tick(&mut self, sample: &Sample) -> Steps {
        self.measure(sample);
        self.places.look(sample.now, sample.awake);
        let mut steps = Steps::default();
        let (Some(unix), true) = (sample.unix, self.is_adopted()) else {
            return steps;
        };
        let (stretches, now) = self.places.place(unix);
        let mut anew = false;
        if self.running.is_none() {
            anew = self.begin(&stretches, now);
        }
        for (from, until) in stretches {
            self.settle(from, &mut steps.durable);
            self.fill(until, &mut steps.durable);
        }
        self.settle(now, &mut steps.durable);
        self.count(sample.held.as_ref(), unix);
        let boot = sample.now.0 / 1_000_000;
        let due = self
            .kept
            .is_none_or(|at| boot >= at.saturating_add(KEEP_EVERY_MS));
        if anew || !steps.durable.is_empty() {
            steps.durable.extend(self.running_row());
            self.kept = Some(boot);
        } else if due {
            steps.lazy = self.running_row();
            self.kept = Some(boot);
        }
        steps
    }

    /// The running period's row as it is to be found by the next start.
    #[must_use]
    pub fn running_row(&self) -> Option<RewardRow> {
        let mut row = self.running.clone()?;
        row.seen = self.settled.div_ceil(1000);
        Some(row)
    }

    /// The latest periods that are over, the newest first.
    pub fn history(&self) -> impl Iterator<Item = &RewardRow> {
        self.history.iter()
    }

    /// What is to be told.
    #[must_use]
    pub fn report(&self) -> Report {
        let period = self.running_row();
        let rates = self.terms.rates;
        let earned = period.as_ref().and_then(|period| rates.earned(period));
        let before = period.as_ref().and_then(|period| period.total).map(Tokens);
        let seen = self.settled / 1000;
        let began = period
            .as_ref()
            .map_or(0, |row| row.start.saturating_mul(1000));
        let known = period.iter().chain(&self.history);
        let projection = Projection::of(known, &rates, seen);
        Report {
            earned,
            total: before.map_or(earned, |before| {
                Some(before.plus(earned.unwrap_or_default()))
            }),
            passed_ms: self.settled.saturating_sub(began),
            projection,
            rates,
            period,
        }
    }

    /// Adds what was measured since the last look.
    fn measure(&mut self, sample: &Sample) {
        let (new, old) = (sample.counters, self.counters);
        // Counters that start anew were zero in between.
        let grown = |new: u64, old: u64| new.checked_sub(old).unwrap_or(new);
        self.measures.add(&Measures {
            latency: sample.latency.unwrap_or(0),
            looks: u64::from(sample.latency.is_some()),
            good: grown(new.good, old.good),
            bad: grown(new.bad, old.bad),
            sent: grown(new.sent, old.sent),
            waiting: sample.waiting,
        });
        self.better = self.better.saturating_add(grown(new.better, old.better));
        self.counters = new;
    }

    /// The first period: the one in which the node was seen last, else one that
    /// begins when the node was started. Whether it is that: its row says from
    /// where tickets count, and must not be lost.
    fn begin(&mut self, stretches: &[Stretch], now: u64) -> bool {
        let base = self.base.take().unwrap_or_default();
        let anew = base.running.is_none();
        let row = base.running.unwrap_or_else(|| {
            let first = stretches.first().map_or(now, |(from, _)| *from);
            let start = first.div_ceil(1000);
            RewardRow {
                start,
                end: self.boundary(start),
                seen: start,
                marks: base.stock,
                ..RewardRow::default()
            }
        });
        self.settled = row.seen.saturating_mul(1000);
        self.running = Some(row);
        anew
    }

    /// Counts tickets that are new.
    fn count(&mut self, held: Option<&Held>, unix: u64) {
        let Some(row) = &mut self.running else {
            return;
        };
        row.measures.add(&std::mem::take(&mut self.measures));
        let Some(held) = held else {
            return;
        };
        row.tickets.count = row
            .tickets
            .count
            .saturating_add(std::mem::take(&mut self.better));
        let current = epoch_of(unix);
        let counts = |epoch: u64| epoch == current || epoch.saturating_add(1) == current;
        row.marks.retain(|mark| counts(mark.epoch));
        for (epoch, worth) in held.epochs.iter().filter(|(epoch, _)| counts(*epoch)) {
            let sum = mark(*epoch, *worth);
            let at = match row.marks.iter().position(|mark| mark.epoch == *epoch) {
                Some(at) => at,
                None => {
                    row.marks.push(mark(*epoch, Worth::default()));
                    row.marks.len().saturating_sub(1)
                }
            };
            let Some(counted) = row.marks.get_mut(at) else {
                continue;
            };
            let more = |new: u64, old: &mut u64| {
                let more = new.saturating_sub(*old);
                *old = new.max(*old);
                more
            };
            let tickets = Tickets {
                count: 0,
                bytes: more(sum.bytes, &mut counted.bytes),
                value: more(sum.score, &mut counted.score),
            };
            row.tickets.bytes = row.tickets.bytes.saturating_add(tickets.bytes);
            row.tickets.value = row.tickets.value.saturating_add(tickets.value);
        }
    }

    /// Up to `until` (milliseconds since 1970) the node was not seen; periods that
    /// are over by then go to `over`.
    fn settle(&mut self, until: u64, over: &mut Vec<RewardRow>) {
        let gap = self.terms.period.saturating_mul(GAP_MAX);
        let earliest = (until / 1000).saturating_sub(gap);
        while let Some(end) = self.end_ms().filter(|end| until >= *end) {
            self.settled = self.settled.max(end);
            self.roll(over);
            if let Some(row) = self.running.as_mut().filter(|row| row.end < earliest) {
                row.start = earliest - earliest % self.terms.period;
                row.end = row.start.saturating_add(self.terms.period);
            }
        }
        self.settled = self.settled.max(until);
    }

    /// From where all is settled up to `until`, the node was up.
    fn fill(&mut self, until: u64, over: &mut Vec<RewardRow>) {
        while self.settled < until {
            let Some(end) = self.end_ms() else {
                return;
            };
            let part = end.min(until).saturating_sub(self.settled);
            if let Some(row) = &mut self.running {
                row.up_ms = row.up_ms.saturating_add(part).min(row.length_ms());
            }
            self.settled = self.settled.saturating_add(part);
            if self.settled >= end {
                self.roll(over);
            }
        }
    }

    fn end_ms(&self) -> Option<u64> {
        let row = self.running.as_ref()?;
        Some(row.end.saturating_mul(1000))
    }

    /// The running period is over, the next one begins.
    fn roll(&mut self, over: &mut Vec<RewardRow>) {
        let Some(mut row) = self.running.take() else {
            return;
        };
        row.earned = self.terms.rates.earned(&row).map(|tokens| tokens.0);
        let total = match (row.total, row.earned) {
            (Some(before), Some(earned)) => Some(before.saturating_add(earned)),
            (before, earned) => before.or(earned),
        };
        self.running = Some(RewardRow {
            start: row.end,
            end: self.boundary(row.end),
            total,
            marks: std::mem::take(&mut row.marks),
            ..RewardRow::default()
        });
        row.over = true;
        row.total = None;
        row.seen = row.end;
        self.history.truncate(HISTORY - 1);
        self.history.push_front(row.clone());
        over.push(row);
    }

    /// The end of the period that begins at `start`: periods are counted from 1970.
    fn boundary(&self, start: u64) -> u64 {
        let period = self.terms.period.max(1);
        (start - start % period).saturating_add(period)
    }
}

fn mark(epoch: u64, worth: Worth) -> Mark {
    Mark {
        epoch,
        bytes: worth.bytes,
        score: worth.score(),
    }
}
