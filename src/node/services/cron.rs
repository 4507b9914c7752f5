//! What is due from time to time. It has no timer of its own: the supervisor's
//! question, every ten seconds, is its tick, and wakes the other services' loops
//! at the same moment.

use super::announce::write_run_file;
use super::store::remember_time;
use crate::node::error::NodeError;
use crate::node::house::House;
use crate::node::statistics::{keep, prune, NodeStats, Retention, Sample, Span, Statistics};
use crate::node::supervisor::{Beats, Later, Restart, Running, Service};
use crate::parts::{HISTORY, POWER};
use crate::platform::clock::{awake, cpu_time, SleepWatch};
use crate::platform::memory::Tidying;
use crate::time::{Clock, Moment};
use smol::future::FutureExt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often what was carried is sampled: every tick, but for a clock's jitter.
const SAMPLE_EVERY: Duration = Duration::from_millis(9_500);
/// How often answers of no use any more are dropped: those of blocks live a minute.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How often `run.json` is tried again where it could not be written.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(10);
/// How often the time is written down: a commit costs flash 20 KB.
const REMEMBER_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How often statistics that are old enough are removed: each time costs flash the
/// pages at the old end of the table.
const PRUNE_EVERY: Duration = Duration::from_secs(4 * 3600);

/// See the module's text.
pub struct Cron(pub Arc<House>);

impl Service for Cron {
    fn name(&self) -> &'static str {
        "cron"
    }

    fn restart(&self) -> Restart {
        Restart::Permanent
    }

    fn start<'a>(&'a self, beats: &'a mut Beats) -> Later<'a, Result<Running, NodeError>> {
        let beat = beats.one_more();
        async move {
            let house = self.0.clone();
            let mut chores = Chores::new(house.clock.now());
            // Whoever saves does so from the start.
            house.mind_power();
            Ok(async move {
                loop {
                    beat.asked().await;
                    chores.tick(&house);
                }
            }
            .boxed())
        }
        .boxed()
    }

    fn stop(&self) -> Later<'_, ()> {
        async move {
            let house = &self.0;
            // A restart goes on where it was; the end writes what is begun.
            if HISTORY.built && !house.ready.load(Ordering::Relaxed) {
                let mut statistics = lock(&house.statistics);
                let rows = statistics.finish(&sample(house));
                keep_rows(house, rows);
            }
        }
        .boxed()
    }
}

/// What the node has carried up to now.
fn sample(house: &House) -> Sample {
    let clock = &house.clock;
    let links = house.network.links.get().map(|links| links.count());
    Sample {
        now: clock.now(),
        unix: clock.trusted().then(|| clock.unix()),
        sessions: house.board.devices() as u64,
        bytes_in: house.board.bytes_in.load(Ordering::Relaxed),
        bytes_out: house.board.bytes_out.load(Ordering::Relaxed),
        peers: links.unwrap_or(0) as u64,
        latency_ms: house.latency().map_or(0, |latency| latency.p50),
        tickets: house.book.get().map_or(0, |book| book.accepted()),
        errors: house.errors().values().sum(),
    }
}

fn keep_rows(house: &House, mut rows: Vec<NodeStats>) {
    if house.settings().storage.keep_minutes.is_zero() {
        rows.retain(|row| row.span == Span::Hour);
    }
    if let Some(store) = house.store.get() {
        keep(&store, &rows);
    }
}

/// Removes statistics that are old. Whether there is more to remove.
fn prune_rows(house: &House) -> bool {
    let (Some(store), true) = (house.store.get(), house.clock.trusted()) else {
        return false;
    };
    let settings = house.settings();
    let retention = Retention {
        minutes: settings.storage.keep_minutes,
        hours: settings.storage.keep_hours,
    };
    // A store that refuses says so in its health.
    prune(&store, &retention, house.clock.unix()).unwrap_or(false)
}

fn lock(statistics: &Mutex<Statistics>) -> MutexGuard<'_, Statistics> {
    statistics.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When each chore was done last.
struct Chores {
    sampled: Moment,
    sleep: SleepWatch,
    remembered: Moment,
    announced: Moment,
    swept: Moment,
    /// None: with the next tick.
    pruned: Option<Moment>,
    tidying: Tidying,
}

impl Chores {
    fn new(now: Moment) -> Chores {
        Chores {
            sampled: now,
            sleep: SleepWatch::default(),
            remembered: now,
            announced: now,
            swept: now,
            pruned: None,
            tidying: Tidying::default(),
        }
    }

    fn tick(&mut self, house: &Arc<House>) {
        let now = house.clock.now();
        if let Some(slept) = self.sleep.look(now, awake()) {
            log::info!("the device has slept for {} s", slept.as_secs());
            if POWER.built {
                house.board.doubt_all();
            } else {
                house.board.wake_all();
            }
            if let Some(links) = house.network.links.get() {
                links.wake_all();
            }
            if let Some(dht) = house.network.dht.get() {
                dht.woken();
            }
        }
        if now.since(self.sampled) >= SAMPLE_EVERY {
            let sample = sample(house);
            let rates = house.rates.lock();
            let mut rates = rates.unwrap_or_else(PoisonError::into_inner);
            rates.look(&sample, cpu_time());
            drop(rates);
            if HISTORY.built {
                let rows = lock(&house.statistics).tick(&sample);
                keep_rows(house, rows);
            }
            self.sampled = now;
        }
        if HISTORY.built && self.pruned.is_none_or(|at| now.since(at) >= PRUNE_EVERY) {
            self.pruned = (!prune_rows(house)).then_some(now);
        }
        let server = house.server.get();
        let ended = server.map_or(0, |server| server.ended.load(Ordering::Relaxed));
        let carried = house.board.bytes_in.load(Ordering::Relaxed);
        if self.tidying.is_due(ended, carried) {
            house.give_back(now);
        }
        house.mind_memory();
        if now.since(self.swept) >= SWEEP_EVERY {
            house.cache.sweep();
            self.swept = now;
        }
        house.mind_power();
        // So that a state is not younger than it is for whoever asks first.
        drop(house.examine());
        // Repeated lines are summed up after a minute, also when nobody logs any more.
        log::logger().flush();
        if now.since(self.announced) >= ANNOUNCE_EVERY && house.ready.load(Ordering::Relaxed) {
            // The disk may take it by now; what it does not is told already.
            let _ = write_run_file(house);
            self.announced = now;
        }
        if now.since(self.remembered) >= REMEMBER_EVERY {
            if let Some(store) = house.store.get() {
                remember_time(&store, &*house.clock);
            }
            self.remembered = now;
        }
    }
}
