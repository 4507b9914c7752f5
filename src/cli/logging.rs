//! The log: standard error, one line a message, never more than a disk and a
//! journal can take.
//!
//! What strangers do is logged, so strangers could fill a small flash with it:
//! lines above [`BURST`] and [`RATE`] are counted instead of written. `debug`
//! and `trace` are not counted, because only a person who watches asks for them.

use super::args::Verbosity;
use crate::config::{self, value::Levels};
use crate::platform::clock::BootClock;
use crate::time::{Clock, Moment};
use env_logger::Logger;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Lines that may come at once: a start, a stop, a bad minute.
pub const BURST: u32 = 200;
/// Lines a second after that; 4 MB an hour at the very worst.
pub const RATE: u32 = 10;

/// Levels in steps of `-v`.
const STEPS: [LevelFilter; 5] = [
    LevelFilter::Error,
    LevelFilter::Warn,
    LevelFilter::Info,
    LevelFilter::Debug,
    LevelFilter::Trace,
];

/// `base` with `-v` and `-q` applied. `-q` leaves errors in.
#[must_use]
pub fn level(base: LevelFilter, verbosity: Verbosity) -> LevelFilter {
    let Some(at) = STEPS.iter().position(|level| *level == base) else {
        // `off` stays off unless more is asked for.
        return if verbosity.0 > 0 {
            level(LevelFilter::Error, Verbosity(verbosity.0 - 1))
        } else {
            base
        };
    };
    let at = at.saturating_add_signed(verbosity.0.into());
    STEPS.get(at).copied().unwrap_or(LevelFilter::Trace)
}

/// What a device's program logs: what is wrong.
#[must_use]
pub fn for_device() -> config::Log {
    config::Log {
        level: Levels::all(LevelFilter::Warn),
        ..config::Log::default()
    }
}

/// Begins to log. A second call changes nothing.
pub fn start(log: &config::Log, verbosity: Verbosity) {
    let level = level(log.level.base, verbosity);
    let style = Style::detect();
    let inner = env_logger::Builder::new()
        // Other crates are heard when something is wrong, or when everything is wanted.
        .filter_level(match level {
            LevelFilter::Trace => LevelFilter::Trace,
            other => other.min(LevelFilter::Warn),
        })
        .filter_module("chr_node", level)
        .format(move |out, record| writeln!(out, "{}", style.line(record, unix_now())))
        .build();
    let most = inner.filter();
    let limited = Limited {
        inner,
        clock: BootClock::new(),
        bucket: Mutex::new(Bucket::full()),
    };
    if log::set_boxed_logger(Box::new(limited)).is_ok() {
        log::set_max_level(most);
    }
}

fn unix_now() -> u64 {
    BootClock::new().unix()
}

/// A logger behind a limit.
struct Limited {
    inner: Logger,
    clock: BootClock,
    bucket: Mutex<Bucket>,
}

impl Log for Limited {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.inner.matches(record) {
            return;
        }
        if record.level() <= Level::Info {
            let verdict = self
                .bucket
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(self.clock.now());
            match verdict {
                None => return,
                Some(0) => {}
                Some(missed) => self.inner.log(
                    &Record::builder()
                        .level(Level::Warn)
                        .target("chr_node")
                        .args(format_args!("{missed} messages were left out"))
                        .build(),
                ),
            }
        }
        self.inner.log(record);
    }

    fn flush(&self) {
        self.inner.flush();
    }
}

/// A token bucket that counts what it refused.
#[derive(Debug)]
struct Bucket {
    lines: u32,
    filled: Option<Moment>,
    missed: u64,
}

impl Bucket {
    fn full() -> Self {
        Self {
            lines: BURST,
            filled: None,
            missed: 0,
        }
    }

    /// Whether a line may be written now, and then how many were not since the last.
    fn take(&mut self, now: Moment) -> Option<u64> {
        let filled = *self.filled.get_or_insert(now);
        let interval = Duration::from_secs(1) / RATE;
        let earned = now.since(filled).as_nanos() / interval.as_nanos();
        if let Ok(earned @ 1..) = u32::try_from(earned.min(u128::from(BURST))) {
            self.lines = self.lines.saturating_add(earned).min(BURST);
            // What is left of an interval is not lost, unless the bucket is full.
            self.filled = Some(if self.lines == BURST {
                now
            } else {
                filled + interval * earned
            });
        }
        match self.lines.checked_sub(1) {
            Some(rest) => {
                self.lines = rest;
                Some(std::mem::take(&mut self.missed))
            }
            None => {
                self.missed += 1;
                None
            }
        }
    }
}

/// How a line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// The journal keeps the time and wants the priority as `<N>` (sd-daemon(3)).
    Journal,
    /// Everyone else wants both in words.
    Plain,
}

impl Style {
    fn detect() -> Self {
        let ours = nix::sys::stat::fstat(io::stderr()).ok();
        let named = std::env::var("JOURNAL_STREAM").ok();
        match (ours, named) {
            // A variable that was inherited past a redirection names another stream.
            (Some(stat), Some(name))
                if !io::stderr().is_terminal()
                    && name == format!("{}:{}", stat.st_dev, stat.st_ino) =>
            {
                Style::Journal
            }
            _ => Style::Plain,
        }
    }

    fn line(self, record: &Record<'_>, unix: u64) -> String {
        let level = record.level();
        let message = match level {
            // Where it was said matters to whoever looks that closely.
            Level::Debug | Level::Trace => format!("{}: {}", record.target(), record.args()),
            _ => record.args().to_string(),
        };
        let message: String = message
            .chars()
            .flat_map(|c| match c.is_control() {
                true => Shown::Escaped(c.escape_default()),
                false => Shown::Plain(std::iter::once(c)),
            })
            .collect();
        match self {
            Style::Journal => format!("<{}>{message}", priority(level)),
            Style::Plain => format!("{} {level:<5} {message}", timestamp(unix)),
        }
    }
}

/// A character, or what stands for one that could forge a line.
enum Shown {
    Plain(std::iter::Once<char>),
    Escaped(std::char::EscapeDefault),
}

impl Iterator for Shown {
    type Item = char;
    fn next(&mut self) -> Option<char> {
        match self {
            Shown::Plain(one) => one.next(),
            Shown::Escaped(several) => several.next(),
        }
    }
}

/// Syslog's numbers.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// `2026-11-22T12:09:59Z` (RFC 3339). Days to a date: Howard Hinnant's
/// "chrono-compatible low-level date algorithms", civil_from_days.
fn timestamp(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn more_and_less_move_in_steps_and_stop_at_the_ends() {
        for (base, steps, wanted) in [
            (LevelFilter::Info, 0, LevelFilter::Info),
            (LevelFilter::Info, 1, LevelFilter::Debug),
            (LevelFilter::Info, 9, LevelFilter::Trace),
            (LevelFilter::Info, -1, LevelFilter::Warn),
            (LevelFilter::Info, -9, LevelFilter::Error),
            (LevelFilter::Off, 0, LevelFilter::Off),
            (LevelFilter::Off, -1, LevelFilter::Off),
            (LevelFilter::Off, 1, LevelFilter::Error),
            (LevelFilter::Off, 3, LevelFilter::Info),
        ] {
            assert_eq!(level(base, Verbosity(steps)), wanted, "{base} {steps}");
        }
    }

    #[test]
    fn strangers_cannot_fill_the_flash_with_log_lines() {
        let mut bucket = Bucket::full();
        let mut written = 0;
        // A thousand messages a second, for a minute.
        for n in 0..60_000u64 {
            if bucket.take(Moment(n * 1_000_000)).is_some() {
                written += 1;
            }
        }
        assert!(
            (BURST + 59 * RATE..=BURST + 60 * RATE).contains(&written),
            "{written}"
        );
    }

    #[test]
    fn what_was_left_out_is_counted_and_said_once() {
        let mut bucket = Bucket::full();
        for _ in 0..BURST {
            assert_eq!(bucket.take(Moment(0)), Some(0));
        }
        for _ in 0..5 {
            assert_eq!(bucket.take(Moment(0)), None);
        }
        let later = Moment(0) + Duration::from_secs(1);
        assert_eq!(bucket.take(later), Some(5));
        assert_eq!(bucket.take(later), Some(0));
    }

    #[test]
    fn a_message_cannot_forge_a_second_line() {
        let text = "peer said: a\n<0>fire";
        let line = |style: Style| {
            style.line(
                &Record::builder()
                    .level(Level::Warn)
                    .args(format_args!("{text}"))
                    .build(),
                0,
            )
        };
        assert_eq!(line(Style::Journal), "<4>peer said: a\\n<0>fire");
        assert_eq!(
            line(Style::Plain),
            "1970-01-01T00:00:00Z WARN  peer said: a\\n<0>fire"
        );
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        for (unix, wanted) in [
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(unix), wanted);
        }
    }
}
