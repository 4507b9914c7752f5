//! The accounts of devices. Sessions use them directly; the service saves what
//! devices that left have used.

use crate::node::error::NodeError;
use crate::node::house::House;
use crate::node::supervisor::{Beats, Later, Restart, Running, Service};
use crate::node::verdicts::Signers;
use crate::task;
use crate::ticket::{epoch_of, Book};
use crate::time::Clock;
use async_io::Timer;
use smol::future::{self, FutureExt};
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

/// How long a stop waits for the disk: a bad SD card takes a second or two. The
/// store's own stop waits for the rest.
const DISK_TIME: Duration = Duration::from_secs(2);

/// See the module's text.
pub struct Tickets(pub Arc<House>);

impl Service for Tickets {
    fn name(&self) -> &'static str {
        "tickets"
    }

    fn restart(&self) -> Restart {
        Restart::Permanent
    }

    fn start<'a>(&'a self, beats: &'a mut Beats) -> Later<'a, Result<Running, NodeError>> {
        let beat = beats.one_more();
        async move {
            let house = self.0.clone();
            let fleet = house.terms()?.fleet;
            let book = Book::new(house.store.get(), house.rules()?, house.policy(), fleet)
                .remembering(Arc::new(Signers(house.cache.clone())));
            let about = house.clock.best().unwrap_or(house.clock.floor());
            let about = epoch_of(about);
            if house.ready.load(Ordering::Relaxed) {
                let book = book.clone();
                task::unblock(move || book.take_stock(about)).await;
            } else {
                // Nobody is served yet, and a thread would cost memory for good.
                book.take_stock(about);
            }
            house.book.put(book.clone());
            Ok(async move {
                loop {
                    beat.asked().await;
                    book.sweep(house.clock.now());
                }
            }
            .boxed())
        }
        .boxed()
    }

    fn stop(&self) -> Later<'_, ()> {
        async move {
            if let Some(book) = self.0.book.clear() {
                // The next book adds up what is in the store by then.
                let receipts = book.flush(self.0.clock.now());
                let saved = async {
                    for receipt in receipts {
                        let _ = receipt.await;
                    }
                };
                let late = async {
                    Timer::after(DISK_TIME).await;
                };
                future::or(saved, late).await;
            }
        }
        .boxed()
    }
}
