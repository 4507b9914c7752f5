//! The store: opened at the start, watched while it runs, opened again when a
//! disk that refused it has come round.
//!
//! A disk that is full, read-only or gone does not keep the node from relaying.
//! It then serves without a store: nothing survives its end, which devices are
//! told (`durable: false`) and health shows.

use crate::node::error::NodeError;
use crate::node::house::{House, StoreFault};
#[cfg(debug_assertions)]
use crate::node::supervisor::faults;
use crate::node::supervisor::{Beats, End, Later, Restart, Running, Service};
use crate::store::{ClockFloor, Recovery, Store, StoreError, StoreOptions};
use crate::task;
use crate::time::Clock;
use smol::future::{self, FutureExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// How often a disk that refused the store is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// The store, and what became of a file that could not be used.
type Opened = (Store, Option<Recovery>);

/// See the module's text.
pub struct StoreService {
    house: Arc<House>,
    /// The first start waits for the disk; later ones must not hold up others.
    started: AtomicBool,
}

impl StoreService {
    /// The store of this house.
    pub fn new(house: &Arc<House>) -> StoreService {
        StoreService {
            house: house.clone(),
            started: AtomicBool::new(false),
        }
    }

    fn options(&self) -> (PathBuf, StoreOptions) {
        let settings = self.house.settings();
        let mut options = StoreOptions {
            flush_interval: settings.storage.flush_interval,
            ..StoreOptions::default()
        };
        if let Some(bytes) = settings.storage.map_size {
            options.map_size = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        (settings.storage.store(), options)
    }

    fn adopt(&self, store: Store) {
        match store.get::<ClockFloor>(ClockFloor::KEY) {
            Ok(Some(floor)) => self.house.clock.raise_floor(floor.unix),
            Ok(None) => {}
            Err(e) => log::warn!("the remembered time cannot be read: {e}"),
        }
        self.house.cache.set_store(Some(store.clone()));
        self.house.store.put(store);
    }
}

impl Service for StoreService {
    fn name(&self) -> &'static str {
        "store"
    }

    fn restart(&self) -> Restart {
        Restart::Permanent
    }

    fn start<'a>(&'a self, beats: &'a mut Beats) -> Later<'a, Result<Running, NodeError>> {
        let beat = beats.one_more();
        async move {
            let house = self.house.clone();
            house.store_fault.clear();
            if house.is_ephemeral() {
                return Ok(super::turn(beat).boxed());
            }
            let (dir, options) = self.options();
            let again = self.started.swap(true, Ordering::Relaxed);
            let opened = open(dir, options, again).await;
            let outcome = match opened {
                Ok((store, recovery)) => {
                    if let Some(recovery) = recovery {
                        log::error!("{recovery}");
                        house.store_fault.put(StoreFault::Renewed(recovery));
                    }
                    self.adopt(store);
                    None
                }
                Err(error) if error.is_passing() => {
                    log::error!("there is no store, and nothing will be kept: {error}");
                    house.store_fault.put(StoreFault::Absent(error.clone()));
                    Some(error)
                }
                Err(error) => return Err(error.into()),
            };
            let mut tried = house.clock.now();
            let (dir, options) = self.options();
            Ok(async move {
                if outcome.is_none() {
                    let Some(store) = house.store.get() else {
                        return End::Failed("the store is gone".into());
                    };
                    let ended = async { End::Failed(store.ended().await.to_string()) };
                    #[cfg(debug_assertions)]
                    let ended = future::or(ended, async {
                        faults::due("store", "writer").await;
                        store.break_writer();
                        End::Failed(store.ended().await.to_string())
                    });
                    let replaced = async {
                        loop {
                            beat.asked().await;
                            if store.is_replaced() {
                                return End::Renew("another file is in its place".into());
                            }
                        }
                    };
                    return future::or(ended, replaced).await;
                }
                loop {
                    beat.asked().await;
                    if house.clock.now().since(tried) < TRY_AGAIN {
                        continue;
                    }
                    tried = house.clock.now();
                    // Closed again at once: those who use it are started after it.
                    if open(dir.clone(), options, true).await.is_ok() {
                        return End::Renew("it can be opened again".into());
                    }
                }
            }
            .boxed())
        }
        .boxed()
    }

    fn stop(&self) -> Later<'_, ()> {
        async move {
            self.house.cache.set_store(None);
            if let Some(store) = self.house.store.clear() {
                remember_time(&store, &*self.house.clock);
                // Waits for the last commits.
                task::unblock(move || store.close()).await;
            }
        }
        .boxed()
    }
}

async fn open(dir: PathBuf, options: StoreOptions, elsewhere: bool) -> Result<Opened, StoreError> {
    if elsewhere {
        task::unblock(move || Store::open_or_recover(&dir, options)).await
    } else {
        // Nobody is served yet, and a thread would cost memory for good.
        Store::open_or_recover(&dir, options)
    }
}

/// A device without a battery-backed clock starts from here after a reboot.
pub(super) fn remember_time(store: &Store, clock: &dyn Clock) {
    if clock.trusted() {
        drop(store.put(&ClockFloor { unix: clock.unix() }));
    }
}
