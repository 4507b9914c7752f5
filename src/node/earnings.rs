//! The reward periods of this node: [`crate::reward`] with its counters, and its
//! rows in the store.

use super::house::House;
use crate::config::Settings;
use crate::platform::clock::awake;
use crate::reward::{
    latency_score, Counters, Held, Rates, Report, RewardRow, Sample, Steps, Terms, Tracker,
    HISTORY, RUNNING,
};
use crate::sorted;
use crate::store::{Batch, Receipt, Store, StoreError};
use crate::ticket::{epoch_of, Worth};
use crate::time::{Clock, Moment};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a period stays in the store, in seconds: a year.
const KEEP: u64 = 366 * 24 * 3600;
/// Periods that one commit removes: the next ones remove the rest.
const REMOVE_MAX: usize = 100;
/// Rows of one commit: those of a year of being down are many.
const COMMIT_MAX: usize = 500;
/// Periods that wait for a broken disk: as many as an absence makes at once. Of
/// more, the oldest are lost.
const UNSAVED_MAX: usize = 9_000;
/// A disk that refused rows is asked again after this.
const AGAIN: Duration = Duration::from_secs(60);

/// See the module's text.
pub struct Earnings(Mutex<Inner>);

struct Inner {
    tracker: Tracker,
    /// Periods that are over and wait for a commit, the oldest first.
    unsaved: Vec<RewardRow>,
    /// Those that are being written.
    writing: Option<(Vec<RewardRow>, Receipt)>,
    /// Something is to be committed.
    due: bool,
    /// Not before.
    again: Moment,
}

/// What the settings say of rewards.
pub fn terms(settings: &Settings) -> Terms {
    let rewards = &settings.rewards;
    Terms {
        period: rewards.period.as_secs(),
        rates: Rates {
            gigabyte: rewards.rates.gigabyte,
            hour: rewards.rates.hour,
        },
    }
}

impl Earnings {
    /// Of a node that has started at `now`.
    pub fn new(now: Moment, settings: &Settings) -> Earnings {
        Earnings(Mutex::new(Inner {
            tracker: Tracker::new(now, awake(), terms(settings)),
            unsaved: Vec::new(),
            writing: None,
            due: false,
            again: Moment::default(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Other rates, another period.
    pub fn change(&self, settings: &Settings) {
        self.lock().tracker.change(terms(settings));
    }

    /// What is to be told: the running period, and the latest that are over, at
    /// most so many.
    pub fn report(&self, history: usize) -> (Report, Vec<RewardRow>) {
        let inner = self.lock();
        let rows = inner.tracker.history().take(history).cloned();
        (inner.tracker.report(), rows.collect())
    }
}

impl House {
    /// Goes on from what the store has; once, as soon as there is one.
    pub fn adopt_earnings(&self) {
        let mut inner = self.earnings.lock();
        let store = self.store.get();
        if inner.tracker.is_adopted() || store.is_none() && !self.is_ephemeral() {
            return;
        }
        let (running, history) = match store.as_ref().map(read) {
            None => (None, Vec::new()),
            Some(Ok(found)) => found,
            Some(Err(error)) => {
                log::error!("rewards: the store cannot be read: {error}");
                return;
            }
        };
        if let Some(row) = &running {
            // It is rounded up: a restart in the same second must not look like 1970.
            self.clock.raise_floor(row.seen.saturating_sub(1));
        }
        let epoch = self.clock.best().unwrap_or(self.clock.floor());
        let epoch = epoch_of(epoch);
        let around = [epoch.saturating_sub(1), epoch, epoch.saturating_add(1)];
        let stock: Vec<(u64, Worth)> = match self.book.get() {
            Some(book) => {
                let tally = book.tally();
                let stock = around.iter().map(|epoch| (*epoch, tally.stock(*epoch)));
                stock.collect()
            }
            None => Vec::new(),
        };
        inner.tracker.adopt(running, history, &stock);
    }

    /// Looks at clock and counters, and writes what is due.
    pub fn track_earnings(&self) {
        let sample = self.earnings_sample();
        let mut inner = self.earnings.lock();
        let steps = inner.tracker.tick(&sample);
        if let Some(store) = self.store.get() {
            inner.keep(&store, steps, sample.now, sample.unix);
        }
    }

    /// The node stops: all that waits, and the running period as it is now.
    pub fn finish_earnings(&self) {
        self.track_earnings();
        let mut inner = self.earnings.lock();
        let Some(store) = self.store.get() else {
            return;
        };
        let running = inner.tracker.running_row();
        let waiting = std::mem::take(&mut inner.unsaved);
        // One after the other, so that the running one is last; the store's own
        // stop waits for the commits.
        for rows in waiting.chunks(COMMIT_MAX) {
            let mut batch = Batch::new();
            for row in rows {
                let _ = batch.put(row);
            }
            drop(store.write(batch));
        }
        if let Some(row) = running {
            drop(store.put(&row));
        }
    }

    fn earnings_sample(&self) -> Sample {
        let clock = &self.clock;
        let unix = clock.trusted().then(|| clock.unix());
        let links = self.board.links();
        let theirs = self.network.links.get();
        let theirs = theirs.map_or_else(Vec::new, |links| links.list());
        let theirs = theirs.iter().filter_map(|link| link.rtt);
        let ours = links.iter().map(|link| link.rtt());
        let measured = |rtt: &Duration| *rtt > Duration::ZERO;
        let rtts: Vec<Duration> = ours.chain(theirs).filter(measured).collect();
        let waiting = links.iter().map(|link| link.queued() as u64);
        let mut counters = Counters {
            sent: self.board.bytes_out.load(Ordering::Relaxed),
            ..Counters::default()
        };
        let answers = &self.budget.answers;
        counters.good = answers.opened.read().count;
        counters.bad = answers.overdue.get();
        if let Some(server) = self.server.get() {
            let tally = &server.admission.tally;
            counters.good += tally.established.get();
            // The node was full. Limits of one address are no fault of the node.
            let [full, ..] = &tally.denied;
            counters.bad += full.get();
        }
        let held = self.book.get().map(|book| {
            let mut tally = book.tally();
            counters.better = tally.better();
            let epoch = unix.map(epoch_of);
            if let Some(epoch) = epoch {
                tally.settle(epoch);
            }
            let both = epoch.map(|epoch| [epoch.saturating_sub(1), epoch]);
            let worth = |epoch| (epoch, tally.epoch(epoch).worth);
            Held {
                epochs: both.into_iter().flatten().map(worth).collect(),
            }
        });
        Sample {
            now: clock.now(),
            awake: awake(),
            unix,
            counters,
            latency: median(rtts).map(latency_score),
            waiting: waiting.sum(),
            held,
        }
    }
}

impl Inner {
    fn keep(&mut self, store: &Store, steps: Steps, now: Moment, unix: Option<u64>) {
        self.due |= !steps.durable.is_empty();
        self.unsaved
            .extend(steps.durable.into_iter().filter(|row| row.over));
        let outcome = self.writing.as_ref().map(|(_, receipt)| receipt.outcome());
        if let Some(Some(outcome)) = outcome {
            let rows = self.writing.take().map(|(rows, _)| rows);
            if let Err(error) = outcome {
                log::debug!("rewards: periods are not saved: {error}");
                self.unsaved.splice(..0, rows.into_iter().flatten());
                self.due = true;
                self.again = now + AGAIN;
            }
        }
        let surplus = self.unsaved.len().saturating_sub(UNSAVED_MAX);
        self.unsaved.drain(..surplus);
        if self.due && self.writing.is_none() && now >= self.again {
            let count = self.unsaved.len().min(COMMIT_MAX);
            let rows: Vec<RewardRow> = self.unsaved.drain(..count).collect();
            // The running one says from where to go on: after those before it.
            self.due = !self.unsaved.is_empty();
            let running = self.tracker.running_row().filter(|_| !self.due);
            let mut batch = Batch::new();
            for row in rows.iter().chain(&running) {
                // A row is some hundred bytes, and a batch takes more of them.
                let _ = batch.put(row);
            }
            for old in too_old(store, unix) {
                let _ = batch.delete::<RewardRow>(&RewardRow::key_of(old.start));
            }
            self.writing = Some((rows, store.write(batch)));
        } else if let Some(row) = &steps.lazy {
            // Counted by the store.
            let _ = store.put_lazy(row);
        }
    }
}

/// The running period's row and the latest that are over.
fn read(store: &Store) -> Result<(Option<RewardRow>, Vec<RewardRow>), StoreError> {
    Ok((
        store.get::<RewardRow>(RUNNING)?,
        store.scan_prefix::<RewardRow>(&RewardRow::prefix(), HISTORY)?,
    ))
}

/// Periods that have been in the store for a year.
fn too_old(store: &Store, unix: Option<u64>) -> Vec<RewardRow> {
    let Some(limit) = unix.and_then(|unix| unix.checked_sub(KEEP)) else {
        return Vec::new();
    };
    let (from, to) = (RewardRow::key_of(limit), RewardRow::behind());
    let old = store.scan_between::<RewardRow>(&from, &to, REMOVE_MAX);
    old.unwrap_or_default()
}

/// The one in the middle, in milliseconds.
fn median(mut rtts: Vec<Duration>) -> Option<u64> {
    sorted::sort(&mut rtts);
    let middle = rtts.get(rtts.len() / 2)?;
    u64::try_from(middle.as_millis()).ok()
}

#[cfg(test)]
mod tests;
