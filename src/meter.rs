//! Counters that many may count with and anybody may read, at the price of one
//! atomic operation: the rooms count, `/metrics` reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts up from zero, for ever.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// At zero.
    #[must_use]
    pub const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How many.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of a [`Histogram`]'s classes, in microseconds: from what a memory
/// takes to what nobody waits for.
pub const BOUNDS: [u64; 8] = [
    500, 2_000, 5_000, 20_000, 100_000, 500_000, 2_000_000, 10_000_000,
];

/// Durations, counted by classes.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each of [`BOUNDS`], and one above.
    classes: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// What a [`Histogram`] holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// For each of [`BOUNDS`], how many took no longer.
    pub within: [u64; BOUNDS.len()],
    /// How many there were.
    pub count: u64,
    /// What all of them took together.
    pub sum: Duration,
}

impl Durations {
    /// Something took this long.
    pub fn took(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        for (within, bound) in self.within.iter_mut().zip(BOUNDS) {
            *within += u64::from(micros <= bound);
        }
        self.count += 1;
        self.sum += time;
    }
}

impl Histogram {
    /// With nothing in it.
    #[must_use]
    pub const fn new() -> Histogram {
        Histogram {
            classes: [const { AtomicU64::new(0) }; BOUNDS.len() + 1],
            micros: AtomicU64::new(0),
        }
    }

    /// Something took this long.
    pub fn took(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let class = BOUNDS.iter().position(|bound| micros <= *bound);
        if let Some(class) = self.classes.get(class.unwrap_or(BOUNDS.len())) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What it holds. The sum may be of one more than the count.
    #[must_use]
    pub fn read(&self) -> Durations {
        let mut durations = Durations::default();
        for (place, class) in self.classes.iter().enumerate() {
            durations.count += class.load(Ordering::Relaxed);
            if let Some(within) = durations.within.get_mut(place) {
                *within = durations.count;
            }
        }
        durations.sum = Duration::from_micros(self.micros.load(Ordering::Relaxed));
        durations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_on_a_bound_belongs_below_it_and_the_longest_is_not_lost() {
        let histogram = Histogram::new();
        let mut plain = Durations::default();
        for micros in [0, 500, 501, 10_000_000, 10_000_001] {
            histogram.took(Duration::from_micros(micros));
            plain.took(Duration::from_micros(micros));
        }
        assert_eq!(histogram.read(), plain);
        let held = histogram.read();
        assert_eq!(held.within, [2, 3, 3, 3, 3, 3, 3, 4]);
        assert_eq!(held.count, 5);
        assert_eq!(held.sum, Duration::from_micros(20_001_002));
    }
}
