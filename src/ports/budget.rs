//! Memory that all links of a program share, how far it lets ports grow, and what
//! became of the ports that they asked for.

use super::window::{INITIAL_CROWDED, INITIAL_SCARCE, LARGEST, SESSION_GROWTH};
use crate::meter::{Counter, Histogram};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::Arc;

/// Bytes that a whole program may hold beyond the first credit of its ports.
#[derive(Debug)]
pub struct Budget {
    cap: usize,
    used: AtomicUsize,
    /// What may wait for sessions that do not read, and what does.
    waiting_cap: usize,
    waiting: AtomicUsize,
    /// The program's memory is short, wherever it went.
    short: AtomicBool,
    largest: AtomicU32,
    session_growth: AtomicUsize,
    /// What first credits may come to, and what they do.
    first_cap: usize,
    firsts: AtomicUsize,
    /// What became of ports that were asked for.
    pub answers: Answers,
}

/// What devices, or their nodes, answered to openings.
#[derive(Debug, Default)]
pub struct Answers {
    /// Openings that came about: how long the answer took.
    pub opened: Histogram,
    /// Openings that were refused by whom they were for.
    pub refused: Counter,
    /// Openings to which nobody answered in time.
    pub overdue: Counter,
}

/// Bytes taken by [`Budget::keep`]; given back when this goes.
#[derive(Debug)]
pub(super) struct Kept {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.budget.release_first(self.bytes);
    }
}

impl Budget {
    /// A budget of `cap` bytes, with windows up to [`LARGEST`] and
    /// [`SESSION_GROWTH`] a session.
    #[must_use]
    pub fn new(cap: usize) -> Arc<Budget> {
        Budget::with_firsts(cap, usize::MAX)
    }

    /// The same, with half of `first_cap` bytes for what waits for sessions that do not
    /// read, and `first_cap` bytes for the first credits of all ports. The more
    /// of them is taken, the smaller is the first credit of the next port; who
    /// opens ports asks [`Budget::has_room`] before.
    #[must_use]
    pub fn with_firsts(cap: usize, first_cap: usize) -> Arc<Budget> {
        Arc::new(Budget {
            first_cap,
            waiting_cap: first_cap / 2,
            waiting: AtomicUsize::new(0),
            firsts: AtomicUsize::new(0),
            cap,
            used: AtomicUsize::new(0),
            short: AtomicBool::new(false),
            largest: AtomicU32::new(LARGEST),
            session_growth: AtomicUsize::new(SESSION_GROWTH),
            answers: Answers::default(),
        })
    }

    /// How much of `most` may wait for one session that does not read: the less, the
    /// more waits for all of them.
    #[must_use]
    pub fn waiting_room(&self, most: usize) -> usize {
        let taken = self.waiting.load(Ordering::Relaxed);
        match self.waiting_cap {
            cap if taken < cap / 4 => most,
            cap if taken < cap / 2 => most / 4,
            cap if taken < cap => most / 16,
            _ => most / 64,
        }
    }

    pub(super) fn count_waiting(&self, before: usize, now: usize) {
        if now > before {
            self.waiting.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.waiting.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    /// Sets the largest window of a port and what the ports of a session may
    /// grow by together, in bytes. Windows that are larger already stay until
    /// they drain slowly or their port ends.
    pub fn set_windows(&self, largest: u32, session_growth: usize) {
        self.largest.store(largest, Ordering::Relaxed);
        self.session_growth.store(session_growth, Ordering::Relaxed);
    }

    /// Whether memory is short for a reason outside of this budget: then no port is
    /// opened and no window grows.
    pub fn set_short(&self, short: bool) {
        self.short.store(short, Ordering::Relaxed);
    }

    fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Whether there is memory for one more port, which has a window on each side.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let more = 2 * INITIAL_SCARCE as usize;
        !self.is_short() && self.firsts().saturating_add(more) <= self.first_cap
    }

    /// Bytes of first credits at present.
    #[must_use]
    pub fn firsts(&self) -> usize {
        self.firsts.load(Ordering::Relaxed)
    }

    /// Takes a first credit of `wanted` bytes, or of fewer where many are taken.
    pub(super) fn take_first(&self, wanted: u32, whole: bool) -> u32 {
        let taken = self.firsts();
        let most = match taken {
            _ if whole || taken < self.first_cap / 4 => wanted,
            _ if taken < self.first_cap / 2 => INITIAL_CROWDED,
            _ => INITIAL_SCARCE,
        };
        let first = wanted.min(most);
        self.firsts.fetch_add(first as usize, Ordering::Relaxed);
        first
    }

    /// Takes `n` bytes for what a session keeps with its ports, if they are there.
    pub(super) fn keep(self: &Arc<Budget>, n: usize) -> Option<Kept> {
        let fits = |taken: usize| taken.checked_add(n).filter(|sum| *sum <= self.first_cap);
        let taken = self
            .firsts
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.ok().map(|_| Kept {
            budget: self.clone(),
            bytes: n,
        })
    }

    pub(super) fn release_first(&self, n: usize) {
        let _ = self
            .firsts
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                Some(taken.saturating_sub(n))
            });
    }

    /// Takes what a window of `size` grows by when it is too small: as much
    /// again, or up to the largest. `growth` is what the session's ports have
    /// grown by. Nothing when a bound is met.
    #[must_use]
    pub(super) fn widen(&self, size: u32, growth: usize) -> Option<u32> {
        let largest = self.largest.load(Ordering::Relaxed);
        let more = size.min(largest.saturating_sub(size));
        let bytes = more as usize;
        let fits = growth + bytes <= self.session_growth.load(Ordering::Relaxed);
        (more > 0 && fits && !self.is_short() && self.reserve(bytes)).then_some(more)
    }

    /// Takes `n` bytes if they are there.
    #[must_use]
    pub fn reserve(&self, n: usize) -> bool {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(n).filter(|sum| *sum <= self.cap)
            })
            .is_ok()
    }

    /// Gives `n` bytes back.
    pub fn release(&self, n: usize) {
        let _ = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                Some(used.saturating_sub(n))
            });
    }

    /// Bytes taken now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_more_waits_for_those_who_do_not_read_the_less_may_one_leave() {
        let budget = Budget::with_firsts(0, 80_000);
        assert_eq!(budget.waiting_room(64_000), 64_000);
        for (taken, room) in [(10_000, 16_000), (20_000, 4_000), (40_000, 1_000)] {
            budget.count_waiting(0, taken);
            assert_eq!(budget.waiting_room(64_000), room, "{taken}");
            budget.count_waiting(taken, 0);
        }
        assert_eq!(budget.waiting_room(64_000), 64_000);
        // A device's own program has no such bound.
        let own = Budget::new(0);
        own.count_waiting(0, 1 << 30);
        assert_eq!(own.waiting_room(64_000), 64_000);
    }

    #[test]
    fn what_a_session_keeps_goes_back_when_it_ends_and_nothing_is_kept_beyond() {
        let budget = Budget::with_firsts(0, 10_000);
        let first = budget.keep(6_000).unwrap();
        assert!(budget.keep(6_000).is_none());
        drop(first);
        assert_eq!(budget.firsts(), 0);
        assert!(budget.keep(10_000).is_some());
    }

    #[test]
    fn while_memory_is_short_no_port_is_opened_and_no_window_grows() {
        let budget = Budget::with_firsts(1 << 20, 1 << 20);
        assert!(budget.has_room() && budget.widen(65_536, 0).is_some());
        budget.set_short(true);
        assert!(!budget.has_room() && budget.widen(65_536, 0).is_none());
        budget.set_short(false);
        assert!(budget.has_room());
    }
}
