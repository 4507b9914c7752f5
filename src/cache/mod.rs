//! # Answers that may be given again
//!
//! Three tiers. L1 is memory, bounded in bytes. L2 is the table `cache` of the
//! store, for the few answers that are worth a row on flash. L3 is the source: a
//! future of the caller, which asks a chain, other nodes or the store.
//!
//! ```text
//! get(key) -> L1 fresh?  yes: answered; late in its life: fetched anew meanwhile
//!             L2 fresh?  yes: answered, and into L1
//!             failed just now?   stale answer, or the failure once more
//!             under way?         wait for the same result
//!             else               ask the source, on a task of its own
//! ```
//!
//! One request in flight a key: others wait for its result, also when whoever
//! asked first goes away. Failures are not kept, but a key that failed rests for
//! a while ([`Terms::rest`]). While the source fails, an answer that has outlived
//! its time is given, marked as stale, for as long as [`Terms::stale`] allows.
//!
//! | kind | time to live | ahead | stale for | L2 | why |
//! | --- | --- | --- | --- | --- | --- |
//! | [`Kind::Peers`] | 5 min | | 1 h | no | a restarted node finds others by its own table `peer_history` |
//! | [`Kind::Block`] | 1 min | | 10 min | no | outlived before a commit would write it: nothing but wear |
//! | [`Kind::Contract`] | 5 min | yes | 1 d | where the key is lasting | at a block that the caller named it never changes, and a restart must not depend on the chain |
//! | [`Kind::Statistics`] | 30 s | | never | no | its source is the store |
//! | [`Kind::Ticket`] | 1 h | yes | never | no | the ticket's own row is on the disk already |
//!
//! | file | what it owns |
//! | --- | --- |
//! | `kind.rs` | kinds, their times, what an age means: without clock and I/O |
//! | `memory.rs` | L1 |
//! | `disk.rs` | L2: rows, bounds, how often one is written |
//! | `flights.rs` | what is under way, what failed |
//! | `counts.rs` | hits and misses of each tier |

mod counts;
mod disk;
mod flights;
mod kind;
mod memory;

#[cfg(test)]
mod tests;

pub use counts::{CacheCounts, TierCounts};
pub use disk::{DISK_BYTES, DISK_ROWS, DISK_VALUE, WRITES_AN_HOUR};
pub use flights::{CacheError, Fault, Fetched, FLIGHTS_MAX};
pub use kind::{Ask, Kind, Terms, MAX_KEY};
pub use memory::OVERHEAD;

use crate::store::Store;
use crate::task;
use crate::task::channel::Receiver;
use crate::time::{Clock, Moment};
use disk::Disk;
use flights::{Flights, Outcome};
use kind::Age;
use memory::Memory;
use smol::future::FutureExt;
use smol::Executor;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The source of one answer. It bounds its own time.
pub type Source = Pin<Box<dyn Future<Output = Result<Fetched, Fault>> + Send>>;

/// Makes a [`Source`], if it comes to that.
pub type Fetch = Box<dyn FnOnce() -> Source + Send>;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What the source said.
    pub value: Arc<[u8]>,
    /// It has outlived its time, and the source does not answer.
    pub stale: bool,
    /// How long ago the source said it.
    pub age: Duration,
}

/// The cache of a node. Clones share it.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    executor: Arc<Executor<'static>>,
    state: Mutex<State>,
}

struct State {
    memory: Memory,
    disk: Disk,
    flights: Flights,
    counts: CacheCounts,
}

/// What has to be done for an answer.
enum Step {
    Done(Outcome),
    Wait(Receiver<Outcome>),
}

impl Cache {
    /// An empty cache that keeps at most `capacity` bytes in memory and runs
    /// sources on `executor`.
    #[must_use]
    pub fn new(capacity: u64, clock: Arc<dyn Clock>, executor: &Arc<Executor<'static>>) -> Cache {
        Cache(Arc::new(Inner {
            clock,
            executor: executor.clone(),
            state: Mutex::new(State {
                memory: Memory::new(capacity),
                disk: Disk::default(),
                flights: Flights::default(),
                counts: CacheCounts::default(),
            }),
        }))
    }

    /// The store is there, or gone: without one there is no L2.
    pub fn set_store(&self, store: Option<Store>) {
        self.0.lock().disk.set_store(store);
    }

    /// The answer to `ask`; `fetch` makes its source if no tier has it.
    ///
    /// # Errors
    /// The source failed, now or a moment ago, and nothing stale will do.
    pub async fn get(&self, ask: Ask, fetch: Fetch) -> Outcome {
        match self.0.begin(ask, fetch) {
            Step::Done(outcome) => outcome,
            Step::Wait(told) => told.recv().await.unwrap_or(Err(CacheError::Broken)),
        }
    }

    /// What memory has for `ask`, while it is fresh; for callers that cannot wait
    /// and make the value themselves.
    #[must_use]
    pub fn recall(&self, ask: &Ask) -> Option<Arc<[u8]>> {
        let now = self.0.clock.now();
        let mut state = self.0.lock();
        let seen = state.memory.look(&ask.key, now);
        let fresh = seen.filter(|seen| seen.age.is_fresh());
        state.counts.memory.count(fresh.is_some());
        fresh.map(|seen| seen.value)
    }

    /// Keeps a value that the caller has made.
    pub fn remember(&self, ask: &Ask, value: &[u8]) {
        let now = self.0.clock.now();
        let mut state = self.0.lock();
        state.counts.source.count(true);
        state.memory.put(&ask.key, value.into(), now, ask.lasting);
    }

    /// What was kept for `ask` has proved wrong.
    pub fn forget(&self, ask: &Ask) {
        let mut state = self.0.lock();
        state.memory.remove(&ask.key);
        state.disk.remove(&ask.key);
    }

    /// Gives memory back after a crowd has left: forgets what costs no more than a
    /// moment of the processor to find out again, such as who has signed a ticket.
    pub fn give_back(&self) {
        self.0.lock().memory.give_back();
    }

    /// Drops what is of no use any more, from memory and disk. Call it every
    /// minute or so.
    pub fn sweep(&self) {
        let now = self.0.clock.now();
        let unix = self.0.unix();
        let mut state = self.0.lock();
        state.memory.sweep(now);
        state.flights.sweep(now);
        if let Some(unix) = unix {
            state.disk.sweep(unix);
        }
    }

    /// Hits and misses so far, and what is kept.
    #[must_use]
    pub fn counts(&self) -> CacheCounts {
        let state = self.0.lock();
        CacheCounts {
            bytes: state.memory.bytes(),
            capacity: state.memory.capacity(),
            entries: state.memory.len(),
            disk_rows: state.disk.rows(),
            disk_bytes: state.disk.bytes(),
            ..state.counts
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wall clock, if it can be believed: rows on the disk carry its times.
    fn unix(&self) -> Option<u64> {
        self.clock.trusted().then(|| self.clock.unix())
    }

    fn begin(self: &Arc<Self>, ask: Ask, fetch: Fetch) -> Step {
        let now = self.clock.now();
        let unix = self.unix();
        let mut guard = self.lock();
        let state = &mut *guard;
        if !ask.anew {
            if let Some(found) = state.fresh(&ask, now, unix) {
                if found.1 && !state.flights.is_busy(&ask, now) {
                    // Whoever asked has its answer; this is for the next.
                    state.counts.ahead += 1;
                    let told = state.flights.join(&ask);
                    drop((told, guard));
                    self.launch(ask, fetch);
                }
                return Step::Done(Ok(found.0));
            }
        }
        if let Some(error) = state.flights.resting(&ask.key, now) {
            return Step::Done(state.stale(&ask, now, unix, error));
        }
        if state.flights.has(&ask) {
            state.counts.joined += 1;
            return Step::Wait(state.flights.join(&ask));
        }
        if state.flights.is_full() {
            let busy = CacheError::Busy(Duration::from_secs(1));
            return Step::Done(state.stale(&ask, now, unix, busy));
        }
        let told = state.flights.join(&ask);
        drop(guard);
        self.launch(ask, fetch);
        Step::Wait(told)
    }

    /// Asks the source on a task of its own: whoever asked may leave.
    fn launch(self: &Arc<Self>, ask: Ask, fetch: Fetch) {
        let landing = Landing {
            inner: self.clone(),
            ask,
            over: false,
        };
        let flight = async move {
            // A defect in a source is its own; dropping `landing` tells who waits.
            let source = AssertUnwindSafe(async move { fetch().await });
            match source.catch_unwind().await {
                Ok(result) => landing.land(result),
                Err(_) => log::error!("cache: a source has panicked"),
            }
        };
        task::spawn(&self.executor, flight).detach();
    }
}

/// A flight: also one that ends by a defect is taken off the list.
struct Landing {
    inner: Arc<Inner>,
    ask: Ask,
    over: bool,
}

impl Landing {
    fn land(mut self, result: Result<Fetched, Fault>) {
        self.over = true;
        let now = self.inner.clock.now();
        let unix = self.inner.unix();
        let mut state = self.inner.lock();
        let outcome = state.landed(&self.ask, result, now, unix);
        let waiting = state.flights.take(&self.ask);
        drop(state);
        for told in waiting {
            let _ = told.try_send(outcome.clone());
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.over {
            // Who waits is told by the end of its channel.
            let left = self.inner.lock().flights.take(&self.ask);
            drop(left);
        }
    }
}

impl State {
    /// A fresh answer, and whether it is time to fetch the next.
    fn fresh(&mut self, ask: &Ask, now: Moment, unix: Option<u64>) -> Option<(Found, bool)> {
        let key = &ask.key;
        let seen = self.memory.look(key, now);
        let seen = seen.filter(|seen| seen.age.is_fresh());
        self.counts.memory.count(seen.is_some());
        if let Some(seen) = seen {
            if seen.worth_writing {
                if let Some(unix) = unix {
                    let at = unix.saturating_sub(seen.since.as_secs());
                    self.disk.put(key, &seen.value, at, now);
                }
            }
            let due = seen.age == Age::Due;
            return Some((seen.found(), due));
        }
        if !self.disk.serves(key, unix) {
            return None;
        }
        let row = self.disk.get(key, unix);
        let fresh = row.filter(|(_, since)| key.terms().judge(*since).is_fresh());
        self.counts.disk.count(fresh.is_some());
        let (value, since) = fresh?;
        self.memory.put_older(key, value.clone(), now, since);
        let age = since;
        let stale = false;
        Some((Found { value, stale, age }, false))
    }

    /// What has outlived its time and will do while the source fails, else the
    /// failure.
    fn stale(&mut self, ask: &Ask, now: Moment, unix: Option<u64>, error: CacheError) -> Outcome {
        if ask.anew || matches!(error, CacheError::Refused(_)) {
            return Err(error);
        }
        let key = &ask.key;
        let seen = self.memory.look(key, now);
        let found = seen.filter(|seen| seen.age != Age::Dead);
        let found = found.map(memory::Seen::found).or_else(|| {
            let (value, age) = self.disk.get(key, unix)?;
            let usable = key.terms().judge(age) != Age::Dead;
            let stale = true;
            usable.then_some(Found { value, stale, age })
        });
        let Some(found) = found else {
            return Err(error);
        };
        self.counts.stale += u64::from(found.stale);
        Ok(found)
    }

    fn landed(
        &mut self,
        ask: &Ask,
        result: Result<Fetched, Fault>,
        now: Moment,
        unix: Option<u64>,
    ) -> Outcome {
        self.counts.source.count(result.is_ok());
        match result {
            Ok(fetched) => {
                self.flights.succeeded(&ask.key);
                let value: Arc<[u8]> = fetched.value.into();
                if fetched.keep {
                    self.memory.put(&ask.key, value.clone(), now, ask.lasting);
                }
                Ok(Found {
                    value,
                    stale: false,
                    age: Duration::ZERO,
                })
            }
            Err(fault) => {
                let chance = fastrand::u64(..);
                let error = self.flights.failed(&ask.key, fault, now, chance);
                self.stale(ask, now, unix, error)
            }
        }
    }
}
