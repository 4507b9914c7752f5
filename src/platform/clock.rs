//! The machine's clocks.
//!
//! Intervals come from the boot-time clock, which goes on while the device is
//! suspended: a phone in Doze must notice that its peers are long gone.
//! (`CLOCK_MONOTONIC`, which `std::time::Instant` reads, stops there.)

use crate::time::{wall, Clock, Moment};
use nix::time::{clock_gettime, ClockId};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// No build of this program is older than this: 2026-04-15 00:00 UTC, in unix
/// seconds. A wall clock before it is wrong. Raised with each release.
pub const RELEASED: u64 = 1_776_211_200;

/// Clocks that count suspended time, best first.
#[cfg(any(target_os = "linux", target_os = "android"))]
const BOOT_CLOCKS: [ClockId; 2] = [ClockId::CLOCK_BOOTTIME, ClockId::CLOCK_MONOTONIC];
/// Darwin's monotonic clock counts suspended time, the BSDs' does not, and
/// they have no other.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BOOT_CLOCKS: [ClockId; 1] = [ClockId::CLOCK_MONOTONIC];

/// The build date in unix seconds: `SOURCE_DATE_EPOCH` of the build when that
/// is later than [`RELEASED`] (reproducible builds often set 1980).
#[must_use]
pub fn build_date() -> u64 {
    option_env!("SOURCE_DATE_EPOCH")
        .and_then(|text| text.parse().ok())
        .map_or(RELEASED, |embedded: u64| embedded.max(RELEASED))
}

/// The most that a wall clock may be off from those of other nodes and still be
/// believed, in seconds: what is signed now is refused by others beyond that.
pub const NETWORK_MARGIN: u64 = 600;

/// The real clock behind [`Clock`].
#[derive(Debug)]
pub struct BootClock {
    id: ClockId,
    floor: AtomicU64,
    /// Unix seconds at which the boot-time clock was zero by other nodes'
    /// clocks; 0 while too few of them are known.
    network: AtomicU64,
    /// The same by the newest block of a chain; 0 while none is known.
    chain: AtomicU64,
}

impl BootClock {
    /// A clock whose floor is the build date.
    #[must_use]
    pub fn new() -> Self {
        let id = BOOT_CLOCKS
            .into_iter()
            .find(|id| clock_gettime(*id).is_ok())
            .unwrap_or(ClockId::CLOCK_MONOTONIC);
        Self {
            id,
            floor: AtomicU64::new(build_date()),
            network: AtomicU64::new(0),
            chain: AtomicU64::new(0),
        }
    }

    /// What other nodes' clocks say, in unix seconds: the median of several that
    /// have proved who they are. `None` while too few of them are known; then the
    /// floor alone decides.
    pub fn set_network(&self, unix: Option<u64>) {
        let since_boot = self.now().0 / 1_000_000_000;
        let zero = unix.map_or(0, |unix| unix.saturating_sub(since_boot));
        self.network.store(zero, Ordering::Relaxed);
    }

    /// The time by other nodes' clocks, in unix seconds, as far as it is known.
    #[must_use]
    pub fn network(&self) -> Option<u64> {
        let zero = self.network.load(Ordering::Relaxed);
        (zero > 0).then(|| zero.saturating_add(self.now().0 / 1_000_000_000))
    }

    /// The chain that the operator has named made its newest block at `unix`: that
    /// time has passed. Other nodes, where enough of them are known, overrule it.
    pub fn heard_of_block(&self, unix: u64) {
        let since_boot = self.now().0 / 1_000_000_000;
        let ahead = |others: u64| unix > others.saturating_add(NETWORK_MARGIN);
        if self.network().is_some_and(ahead) {
            return;
        }
        let zero = unix.saturating_sub(since_boot);
        // A block that is late says less than one before it said.
        self.chain.fetch_max(zero, Ordering::Relaxed);
        self.raise_floor(unix);
    }

    /// The best guess at the time, in unix seconds: the wall clock if it can be
    /// believed, else other nodes' clocks, else what the chain says.
    #[must_use]
    pub fn best(&self) -> Option<u64> {
        if self.trusted() {
            return Some(self.unix());
        }
        let chain = || {
            let zero = self.chain.load(Ordering::Relaxed);
            (zero > 0).then(|| zero.saturating_add(self.now().0 / 1_000_000_000))
        };
        self.network().or_else(chain)
    }

    /// Remembers that `unix` (seconds) has passed, for example because a row in
    /// the store was written then. The floor only rises.
    pub fn raise_floor(&self, unix: u64) {
        self.floor.fetch_max(unix, Ordering::Relaxed);
    }
}

impl Default for BootClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for BootClock {
    fn now(&self) -> Moment {
        // The clock was read once already, so it cannot fail; a zero would only
        // make durations come out as zero.
        read(self.id)
    }

    fn unix(&self) -> u64 {
        wall().as_secs()
    }

    fn date(&self, past: Moment) -> Option<u64> {
        // The two clocks begin their seconds at different times: taking whole
        // ones from each would date a moment by one more or less at each look.
        let then = wall().saturating_sub(self.now().since(past));
        self.trusted().then_some(then.as_secs())
    }

    fn trusted(&self) -> bool {
        let unix = self.unix();
        let near = |network: u64| unix.abs_diff(network) <= NETWORK_MARGIN;
        unix >= self.floor() && self.network().is_none_or(near)
    }

    fn floor(&self) -> u64 {
        self.floor.load(Ordering::Relaxed)
    }
}

/// A clock that stands still while the device is suspended, as timers do.
#[must_use]
pub fn awake() -> Moment {
    read(ClockId::CLOCK_MONOTONIC)
}

/// CPU time that this process has taken so far.
#[must_use]
pub fn cpu_time() -> Duration {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID).since(Moment(0))
}

fn read(id: ClockId) -> Moment {
    clock_gettime(id).map_or(Moment(0), |t| {
        let seconds = u64::try_from(t.tv_sec()).unwrap_or(0);
        let nanos = u64::try_from(t.tv_nsec()).unwrap_or(0);
        Moment(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    })
}

/// How often this process has noticed that the device slept.
static SLEEPS: AtomicU32 = AtomicU32::new(0);

/// A number that changes when the process notices that the device slept: timers
/// that were set under another one fire too late by that sleep.
#[must_use]
pub fn sleeps() -> u32 {
    SLEEPS.load(Ordering::Relaxed)
}

/// Notices that the device was suspended, from two clocks that somebody reads now
/// and then. Timers stand still meanwhile, deadlines do not.
#[derive(Clone, Copy, Debug, Default)]
pub struct SleepWatch {
    /// What the clocks said at the latest look.
    latest: Option<(Moment, Moment)>,
}

impl SleepWatch {
    /// Sleep shorter than this is none: the clocks are read one after the other,
    /// and a busy machine may do something else in between.
    const LEAST: Duration = Duration::from_secs(1);

    /// A look at the boot-time clock and at the one of [`awake`]. How long the
    /// device has slept since the one before; then [`sleeps`] has changed, and
    /// whoever waits for a timer has to be woken.
    pub fn look(&mut self, boot: Moment, awake: Moment) -> Option<Duration> {
        let (last_boot, last_awake) = self.latest.replace((boot, awake))?;
        let passed = boot.since(last_boot);
        let slept = passed.saturating_sub(awake.since(last_awake));
        if slept < Self::LEAST {
            return None;
        }
        SLEEPS.fetch_add(1, Ordering::Relaxed);
        Some(slept)
    }
}

/// While power is saved, timers that have time meet this many seconds apart.
const SAVER_GRID: u64 = 30;

/// The first instant at or after `wait` from now that is a whole number of
/// seconds since the program began. Timers that are not in a hurry meet there:
/// a sleeping CPU wakes up once for all of them. While power is saved, waits of
/// half a minute and more end at whole half minutes.
#[must_use]
pub fn on_the_second(wait: Duration) -> Instant {
    let coarse = super::saver::is_on() && wait.as_secs() >= SAVER_GRID;
    on_the_grid(wait, if coarse { SAVER_GRID } else { 1 })
}

fn on_the_grid(wait: Duration, grid: u64) -> Instant {
    static BEGINNING: OnceLock<Instant> = OnceLock::new();
    let now = Instant::now();
    let beginning = *BEGINNING.get_or_init(|| now);
    let due = now
        .saturating_duration_since(beginning)
        .saturating_add(wait);
    let whole = due
        .as_secs()
        .saturating_add(u64::from(due.subsec_nanos() > 0));
    let whole = whole.div_ceil(grid).saturating_mul(grid);
    // Centuries away is as good as the far end of the clock.
    let at = beginning.checked_add(Duration::from_secs(whole));
    at.unwrap_or(now)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_boot_clock_never_runs_backwards() {
        let clock = BootClock::new();
        let mut last = clock.now();
        assert!(last > Moment(0));
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_boot_clock_is_the_one_that_counts_suspended_time() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let ours = BootClock::new().now().0 as f64 / 1e9;
        assert!((ours - seconds).abs() < 1.0, "{ours} against {seconds}");
    }

    #[test]
    fn a_wall_clock_behind_the_stored_floor_is_not_believed() {
        let clock = BootClock::new();
        assert_eq!(clock.trusted(), clock.unix() >= build_date());
        clock.raise_floor(clock.unix() + 1000);
        assert!(!clock.trusted());
    }

    #[test]
    fn a_moment_has_the_same_date_however_often_it_is_asked_for() {
        let clock = BootClock::new();
        // Both clocks, read within a millisecond.
        let (now, wall) = loop {
            let before = clock.now();
            let wall = wall();
            if clock.now().since(before) < Duration::from_millis(1) {
                break (before, wall);
            }
        };
        let fraction = Duration::from_nanos(wall.subsec_nanos().into());
        let ago = |passed: Duration| Moment(now.0 - u64::try_from(passed.as_nanos()).unwrap());
        let margin = Duration::from_millis(5);
        let before = clock.date(ago(fraction + margin));
        assert_eq!(before, Some(wall.as_secs() - 1));
        let second = Duration::from_secs(1);
        assert_eq!(clock.date(ago(fraction + second - margin)), before);
    }

    #[test]
    fn a_wall_clock_that_others_contradict_is_not_believed() {
        let clock = BootClock::new();
        assert_eq!((clock.trusted(), clock.network()), (true, None));
        let unix = clock.unix();
        // A second may begin between two looks.
        for (others, trusted) in [
            (unix + NETWORK_MARGIN - 2, true),
            (unix + NETWORK_MARGIN + 2, false),
            (unix - NETWORK_MARGIN + 2, true),
            (unix - NETWORK_MARGIN - 2, false),
            (unix - 10 * 365 * 86_400, false),
        ] {
            clock.set_network(Some(others));
            assert_eq!(clock.trusted(), trusted, "{others} at {unix}");
            let best = clock.best().unwrap();
            let wanted = if trusted { unix } else { others };
            assert!(best.abs_diff(wanted) <= 1, "{best} for {wanted}");
        }
        // Too few others are known again.
        clock.set_network(None);
        assert!(clock.trusted());
        clock.raise_floor(u64::MAX - 1);
        assert_eq!(clock.best(), None);
    }

    #[test]
    fn a_clock_that_is_behind_the_chain_is_not_believed_and_the_chain_is() {
        let clock = BootClock::new();
        let ahead = clock.unix() + 1000;
        clock.heard_of_block(ahead);
        assert!(!clock.trusted());
        let best = clock.best().unwrap();
        assert!(best.abs_diff(ahead) <= 1, "{best} for {ahead}");
        // A machine of the provider that is behind the first changes nothing.
        clock.heard_of_block(ahead - 500);
        assert!(clock.best().unwrap().abs_diff(ahead) <= 1);
    }

    #[test]
    fn a_chain_from_the_future_does_not_overrule_the_other_nodes() {
        let clock = BootClock::new();
        let unix = clock.unix();
        clock.set_network(Some(unix));
        clock.heard_of_block(unix + 10 * 365 * 86_400);
        assert!(clock.trusted());
        assert!(clock.best().unwrap().abs_diff(unix) <= 1);
    }

    fn at(seconds: f64) -> Moment {
        Moment((seconds * 1e9) as u64)
    }

    #[test]
    fn an_hour_of_sleep_is_noticed_once_and_in_full() {
        let mut watch = SleepWatch::default();
        let before = sleeps();
        assert_eq!(watch.look(at(5000.0), at(1000.0)), None, "the first look");
        assert_eq!(watch.look(at(5010.0), at(1010.0)), None, "it was awake");
        let slept = watch.look(at(8620.0), at(1020.0));
        assert_eq!(slept, Some(Duration::from_secs(3600)));
        assert_ne!(sleeps(), before);
        assert_eq!(watch.look(at(8630.0), at(1030.0)), None, "told twice");
    }

    #[test]
    fn a_busy_machine_is_not_taken_for_one_that_sleeps() {
        let mut watch = SleepWatch::default();
        assert_eq!(watch.look(at(10.0), at(10.9)), None);
        // The second clock was read late the last time.
        assert_eq!(watch.look(at(20.0), at(20.0)), None);
        // And a clock that stands still, or ran backwards, is no sleep either.
        assert_eq!(watch.look(at(20.0), at(20.0)), None);
        assert_eq!(watch.look(at(19.0), at(30.0)), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_clock_of_timers_is_not_ahead_of_the_one_that_counts_sleep() {
        let (awake, boot) = (awake(), BootClock::new().now());
        assert!(awake > Moment(0) && awake <= boot, "{awake:?} {boot:?}");
    }

    #[test]
    fn timers_that_are_set_one_after_the_other_fire_together_and_never_early() {
        let wait = Duration::from_secs(30);
        let (before, first) = (Instant::now(), on_the_second(wait));
        let mut instants = vec![first];
        for _ in 0..200 {
            std::thread::sleep(Duration::from_millis(1));
            let (now, at) = (Instant::now(), on_the_second(wait));
            assert!(at >= now + wait && at < now + wait + Duration::from_millis(1100));
            instants.push(at);
        }
        assert!(first >= before + wait);
        instants.dedup();
        // A fifth of a second or a busy second of a busy machine.
        let seconds = before.elapsed().as_secs() as usize + 2;
        assert!(instants.len() <= seconds, "{} instants", instants.len());
    }

    #[test]
    fn timers_of_half_an_hour_meet_at_half_minutes_while_power_is_saved() {
        let mut instants: Vec<Instant> = (0..600)
            .map(|n| on_the_grid(Duration::from_millis(300_000 + 3_000 * n), SAVER_GRID))
            .collect();
        for (n, at) in instants.iter().enumerate() {
            let wait = Duration::from_millis(300_000 + 3_000 * n as u64);
            let late = at.saturating_duration_since(Instant::now() + wait);
            assert!(late <= Duration::from_secs(SAVER_GRID), "{late:?}");
        }
        instants.dedup();
        // Half an hour has sixty half minutes, and one may begin before it.
        assert!(instants.len() <= 62, "{}", instants.len());
    }

    #[test]
    fn the_floor_never_sinks() {
        let clock = BootClock::new();
        clock.raise_floor(u64::MAX - 1);
        clock.raise_floor(5);
        assert_eq!(clock.floor(), u64::MAX - 1);
    }

    #[test]
    fn a_build_dated_1980_does_not_make_1980_believable() {
        assert!(build_date() >= RELEASED);
    }
}
