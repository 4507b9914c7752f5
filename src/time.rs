//! The clock as an argument.
//!
//! State machines never read a clock: they are given a [`Moment`] with each
//! event. A moment counts from boot and includes suspended time, so a device
//! that slept for an hour knows that an hour has passed.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A point on the boot-time clock, in nanoseconds since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// Time passed since `earlier`, or zero if `earlier` lies ahead.
    #[must_use]
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, d: Duration) -> Moment {
        Moment(
            self.0
                .saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Moment> for Moment {
    type Output = Duration;
    fn sub(self, earlier: Moment) -> Duration {
        self.since(earlier)
    }
}

/// Where shells read the time. `platform` has the real one; tests have their own.
pub trait Clock: Send + Sync {
    /// The boot-time clock (suspend counts).
    fn now(&self) -> Moment;
    /// Seconds since 1970 by the wall clock, right or wrong.
    fn unix(&self) -> u64;
    /// Whether [`Clock::unix`] can be believed: later than the build date and
    /// the floor that the store remembers, and not contradicted by other nodes.
    fn trusted(&self) -> bool;
    /// The latest time that is known to have passed, in seconds since 1970.
    fn floor(&self) -> u64;
    /// When `past` was, in seconds since 1970; `None` if the wall clock cannot be
    /// believed. A clock that knows fractions of seconds gives the same answer
    /// each time, whenever it is asked.
    fn date(&self, past: Moment) -> Option<u64> {
        let passed = self.now().since(past).as_secs();
        self.trusted().then(|| self.unix().saturating_sub(passed))
    }
}
