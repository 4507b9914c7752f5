//! Keeps the node's own memory below its limit (`node.memory_limit`), whoever fills
//! it: each room has a bound of its own, and this one is for what they come to
//! together.
//!
//! What lies in files (the program, the store's map) does not count: the kernel
//! gives it back by itself. At [`TIGHT`] of the limit what is kept for comfort goes
//! (answers, free pieces of the heap). What still is there a second later is in use:
//! nobody else is let in and no port is opened. At [`FULL`] sessions end whose other
//! side does not read: those for which most waits.

use super::house::House;
use crate::platform::memory;
use crate::task;
use crate::time::{Clock, Moment};
use crate::wire::code::Code;
use crate::wire::control::Close;
use async_io::Timer;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Percent of the limit from which nothing more is taken on.
const TIGHT: u64 = 80;
/// Percent from which something has to go.
const FULL: u64 = 95;
/// Percent to which it has to come down, so that it is not soon there again.
const LESS: u64 = 85;
/// Percent below which all is as before.
const EASY: u64 = 70;
/// Between two looks while it is short: what sessions may add within a second is
/// bounded by what lies between two of the steps above.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// When a device whose session was ended shall come back.
const RETRY_MS: u32 = 30_000;
/// What must wait for a session for its end to help, in bytes.
const WORTH: usize = 8 << 10;

/// How the memory stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pressure {
    /// There is enough.
    #[default]
    Easy,
    /// What can be given back is given back.
    Saving,
    /// Nothing more is taken on.
    Tight,
    /// Something has to go.
    Full,
}

impl Pressure {
    /// After a look at what is taken, in bytes, of how much.
    #[must_use]
    pub fn look(self, own: u64, limit: u64) -> Pressure {
        let percent = own.saturating_mul(100) / limit.max(1);
        match (self, percent) {
            (_, 0..EASY) => Pressure::Easy,
            (Pressure::Easy | Pressure::Saving, ..TIGHT) => Pressure::Easy,
            (Pressure::Easy, _) => Pressure::Saving,
            (Pressure::Full, LESS..) | (_, FULL..) => Pressure::Full,
            _ => Pressure::Tight,
        }
    }

    /// Whether more is taken on.
    #[must_use]
    pub fn takes_more(self) -> bool {
        matches!(self, Pressure::Easy | Pressure::Saving)
    }
}

/// What holds.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Pressure>);

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Pressure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        *self.lock()
    }
}

impl House {
    /// A look at the node's own memory; does what follows. While it is short it is
    /// looked at each second.
    pub fn mind_memory(self: &Arc<House>) {
        if self.pressure.pressure() != Pressure::Easy || self.look_at_memory() == Pressure::Easy {
            return;
        }
        let house = self.clone();
        let watch = async move {
            loop {
                Timer::after(LOOK_EVERY).await;
                if house.look_at_memory() == Pressure::Easy {
                    return;
                }
            }
        };
        task::spawn(&self.executor, watch).detach();
    }

    /// Gives back what is kept for comfort: answers, what storms of connections needed,
    /// free pieces of the heap.
    pub fn give_back(&self, now: Moment) {
        if let Some(server) = self.server.get() {
            server.admission.tidy(now);
        }
        self.cache.give_back();
        let store = self.store.get();
        memory::give_back(move || {
            if let Some(store) = store {
                store.give_back();
            }
        });
    }

    fn look_at_memory(&self) -> Pressure {
        let Some(own) = memory::own() else {
            return Pressure::Easy;
        };
        let (before, now) = {
            let mut pressure = self.pressure.lock();
            let before = *pressure;
            *pressure = before.look(own, self.memory());
            (before, *pressure)
        };
        self.budget.set_short(!now.takes_more());
        if let Some(server) = self.server.get() {
            server.admission.set_short(!now.takes_more());
        }
        let mb = own >> 20;
        let limit = self.memory() >> 20;
        if before.takes_more() && !now.takes_more() {
            log::warn!("{mb} of {limit} MB of memory are taken (node.memory_limit): no more connections and ports until some have ended");
        } else if now.takes_more() && !before.takes_more() {
            log::info!(
                "{mb} of {limit} MB of memory are taken: connections and ports are welcome again"
            );
        }
        match now {
            Pressure::Easy => {}
            Pressure::Full => self.end_largest(own),
            Pressure::Saving | Pressure::Tight => {
                if before != now {
                    self.give_back(self.clock.now());
                }
            }
        }
        now
    }

    /// Ends those for whom most waits, until enough will be free.
    fn end_largest(&self, own: u64) {
        let links = self.board.links();
        let mut most: Vec<_> = links.iter().map(|link| (link.queued(), link)).collect();
        most.retain(|(waiting, _)| *waiting >= WORTH);
        crate::sorted::sort_by(&mut most, |(a, _), (b, _)| b.cmp(a));
        let mut over = own.saturating_sub(self.memory() / 100 * LESS);
        let mut ended = 0;
        for (waiting, link) in most {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(waiting as u64);
            ended += 1;
            link.end(Close {
                code: Code::NO_MEMORY,
                text: "the node has no memory for what waits for this device".into(),
                retry_after_ms: Some(RETRY_MS),
            });
        }
        match ended {
            0 => self.give_back(self.clock.now()),
            _ => log::warn!(
                "memory is full: {ended} sessions end that do not read what is there for them"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_fills_first_gives_back_then_refuses_and_then_ends() {
        use Pressure::{Easy, Full, Saving, Tight};
        let mut pressure = Pressure::default();
        for (percent, wanted) in [
            (50, Easy),
            (79, Easy),
            (80, Saving),
            // What was given back was enough.
            (79, Easy),
            (81, Saving),
            (81, Tight),
            (75, Tight),
            (94, Tight),
            (95, Full),
            (90, Full),
            (85, Full),
            (84, Tight),
            (70, Tight),
            (69, Easy),
            // All at once: it does not wait for what may be given back.
            (99, Saving),
            (99, Full),
            (10, Easy),
        ] {
            pressure = pressure.look(percent * 1000, 100_000);
            assert_eq!(pressure, wanted, "at {percent} %");
        }
    }

    #[test]
    fn a_limit_that_cannot_be_is_no_crash() {
        assert_eq!(Pressure::Tight.look(u64::MAX, 0), Pressure::Full);
        assert_eq!(Pressure::Tight.look(0, u64::MAX), Pressure::Easy);
    }
}
