//! Memory that all links of a program share, how far it lets ports grow, and what
//! became of the ports that they asked for.

use super::window::{INITIAL_CROWDED, INITIAL_SCARCE, LARGEST, SESSION_GROWTH};
use crate::meter::{Counter, Histogram};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::Arc;

/// Bytes that a whole program may hold beyond the first credit of its ports.
#[derive(Debug)]
pub struct Budget {
    cap: usize,
    used: AtomicUsize,
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

impl Budget {
    /// A budget of `cap` bytes, with windows up to [`LARGEST`] and
    /// [`SESSION_GROWTH`] a session.
    #[must_use]
    pub fn new(cap: usize) -> Arc<Budget> {
        Budget::with_firsts(cap, usize::MAX)
    }

    /// The same, and `first_cap` bytes for the first credits of all ports. The more
    /// of them is taken, the smaller is the first credit of the next port; who
    /// opens ports asks [`Budget::has_room`] before.
    #[must_use]
    pub fn with_firsts(cap: usize, first_cap: usize) -> Arc<Budget> {
        Arc::new(Budget {
            first_cap,
            firsts: AtomicUsize::new(0),
            cap,
            used: AtomicUsize::new(0),
            largest: AtomicU32::new(LARGEST),
            session_growth: AtomicUsize::new(SESSION_GROWTH),
            answers: Answers::default(),
        })
    }

    /// Sets the largest window of a port and what the ports of a session may
    /// grow by together, in bytes. Windows that are larger already stay until
    /// they drain slowly or their port ends.
    pub fn set_windows(&self, largest: u32, session_growth: usize) {
        self.largest.store(largest, Ordering::Relaxed);
        self.session_growth.store(session_growth, Ordering::Relaxed);
    }

    /// Whether there is memory for one more port, which has a window on each side.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let more = 2 * INITIAL_SCARCE as usize;
        self.firsts().saturating_add(more) <= self.first_cap
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
        (more > 0 && fits && self.reserve(bytes)).then_some(more)
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
