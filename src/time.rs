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

/// The wall clock as it stands, right or wrong, since 1970; zero if it stands before.
///
/// On machines of 32 bits the kernel is asked by its call with seconds of 64: where
/// the C library has but 32 of them (musl, for programs in Rust), the standard
/// library panics when they run out, in 2038 or with a clock that was set wrong.
#[must_use]
pub fn wall() -> Duration {
    #[cfg(all(unix, target_pointer_width = "32"))]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
    }
    #[cfg(not(all(unix, target_pointer_width = "32")))]
    {
        let now = std::time::SystemTime::now();
        now.duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default()
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
