//! The log: standard error, one line a message, never more than a disk and a
//! journal can take.
//!
//! What strangers do is logged, so strangers could fill a small flash with it:
//! lines above [`BURST`] and [`RATE`] are counted instead of written, and so is
//! what one line of code says more than [`REPEATS`] times a minute. `debug` and
//! `trace` are not counted, because only a person who watches asks for them.
//!
//! Level, format and file can change while the program runs.

mod file;
mod limits;
mod line;

pub use limits::{BURST, RATE, REPEATS, WINDOW};

use super::args::Verbosity;
use crate::config::{self, value::Levels};
use crate::parts;
use crate::platform::clock::BootClock;
use crate::time::{Clock, Moment};
use env_logger::Logger;
use file::LogFile;
use limits::{Bucket, Repeats, Sum};
use line::{message, Style};
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::io::Write;
use std::panic::PanicHookInfo;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};

/// Levels in steps of `-v`.
const STEPS: [LevelFilter; 5] = [
    LevelFilter::Error,
    LevelFilter::Warn,
    LevelFilter::Info,
    LevelFilter::Debug,
    LevelFilter::Trace,
];

/// The one log of the program.
static OUTPUT: OnceLock<Output> = OnceLock::new();

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

/// Begins to log, panics included. A second call changes nothing.
pub fn start(log: &config::Log, verbosity: Verbosity) {
    let mut first = false;
    let output = OUTPUT.get_or_init(|| {
        first = true;
        Output::new(log, verbosity)
    });
    if first && log::set_logger(output).is_ok() {
        log::set_max_level(output.most());
        output.write_to(log);
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            tell_panic(info);
            if log::log_enabled!(Level::Debug) {
                // Whoever looks that closely wants the way that led there.
                default(info);
            }
        }));
    }
}

/// Logs with another level or format from now on. Nothing happens before [`start`].
pub fn change(log: &config::Log, verbosity: Verbosity) {
    if let Some(output) = OUTPUT.get() {
        let mut how = How::new(log, verbosity);
        how.file.clone_from(&output.how().file);
        *output.change_how() = how;
        log::set_max_level(output.most());
        output.write_to(log);
    }
}

/// When it is dropped, what was counted and not said yet is said, and what waits for
/// the log file is written: the program ends, in order or by a panic.
pub struct LastWords;

impl Drop for LastWords {
    fn drop(&mut self) {
        finish();
    }
}

fn finish() {
    if let Some(output) = OUTPUT.get() {
        let mut sums = Vec::new();
        output.limits().repeats.close_all(&mut sums);
        output.say_sums(&sums);
        let file = output.how().file.clone();
        if let Some(file) = file {
            file.finish();
        }
    }
}

/// One line instead of the several that a panic prints by itself.
fn tell_panic(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let what = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a thread without a name");
    match info.location() {
        Some(at) => log::error!("panic in {name} at {}:{}: {what}", at.file(), at.line()),
        None => log::error!("panic in {name}: {what}"),
    }
}

/// What is written, and how.
struct How {
    logger: Logger,
    style: Style,
    file: Option<LogFile>,
}

impl How {
    fn new(log: &config::Log, verbosity: Verbosity) -> How {
        let base = level(log.level.base, verbosity);
        let mut builder = env_logger::Builder::new();
        builder
            // Other crates are heard when something is wrong, or when everything is wanted.
            .filter_level(match base {
                LevelFilter::Trace => LevelFilter::Trace,
                other => other.min(LevelFilter::Warn),
            })
            .filter_module("chr_node", base)
            // Records arrive here as whole lines.
            .format(|out, record| writeln!(out, "{}", record.args()));
        for (room, wanted) in &log.level.rooms {
            builder.filter_module(&format!("chr_node::{room}"), level(*wanted, verbosity));
        }
        How {
            logger: builder.build(),
            style: Style::of(log.format),
            file: None,
        }
    }
}

/// A logger behind limits. No lock is held while a message is put together: what
/// that calls may log, too.
struct Output {
    how: RwLock<How>,
    limits: Mutex<Limits>,
    clock: BootClock,
}

struct Limits {
    bucket: Bucket,
    repeats: Repeats,
}

impl Output {
    fn new(log: &config::Log, verbosity: Verbosity) -> Output {
        Output {
            how: RwLock::new(How::new(log, verbosity)),
            limits: Mutex::new(Limits {
                bucket: Bucket::full(),
                repeats: Repeats::default(),
            }),
            clock: BootClock::new(),
        }
    }

    /// The least important level that anything is written of.
    fn most(&self) -> LevelFilter {
        self.how().logger.filter()
    }

    fn how(&self) -> std::sync::RwLockReadGuard<'_, How> {
        self.how.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_how(&self) -> std::sync::RwLockWriteGuard<'_, How> {
        self.how.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Also writes to the file that is wanted; one that is open already is opened again.
    fn write_to(&self, log: &config::Log) {
        if !parts::LOG_FILE.built {
            return;
        }
        let before = self.how().file.clone();
        let most = log.file_size;
        let after = match (&before, &log.file) {
            (Some(file), Some(path)) if file.is(path, most) => return file.reopen(),
            (_, Some(path)) => LogFile::start(path, most)
                .inspect_err(|error| log::warn!("no log.file: {error}"))
                .ok(),
            (_, None) => None,
        };
        self.change_how().file = after;
        // No lock is held: its thread may have to say something.
        if let Some(file) = before {
            file.finish();
        }
    }

    fn limits(&self) -> std::sync::MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, level: Level, target: &str, message: &str) {
        let how = self.how();
        let unix = self.clock.unix();
        let line = how.style.line(level, target, message, unix);
        if let Some(file) = how.file.as_ref().filter(|_| parts::LOG_FILE.built) {
            match how.style {
                // Nobody adds the time to a file.
                Style::Journal => file.add(level, &Style::Plain.line(level, target, message, unix)),
                _ => file.add(level, &line),
            }
        }
        how.logger.log(
            &Record::builder()
                .level(level)
                .target(target)
                .args(format_args!("{line}"))
                .build(),
        );
    }

    /// Says it if all lines together are not too many.
    fn say_within_rate(&self, level: Level, target: &str, message: &str, now: Moment) {
        let verdict = self.limits().bucket.take(now);
        match verdict {
            None => return,
            Some(0) => {}
            Some(missed) => {
                let text = format!("{missed} messages were left out");
                self.say(Level::Warn, "chr_node", &text);
            }
        }
        self.say(level, target, message);
    }

    fn say_sums(&self, sums: &[Sum]) {
        let now = self.clock.now();
        for sum in sums {
            self.say_within_rate(sum.level, &sum.target, &sum.text, now);
        }
    }
}

impl Log for Output {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.how().logger.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.how().logger.matches(record) {
            return;
        }
        let (level, target) = (record.level(), record.target());
        let message = message(record);
        if level > Level::Info {
            return self.say(level, target, &message);
        }
        let now = self.clock.now();
        let mut sums = Vec::new();
        let may = match (record.file_static(), record.line()) {
            (Some(file), Some(line)) => {
                let what = (level, target, message.as_str());
                let repeats = &mut self.limits().repeats;
                repeats.take((file, line), what, now, &mut sums)
            }
            _ => true,
        };
        self.say_sums(&sums);
        if may {
            self.say_within_rate(level, target, &message, now);
        }
    }

    /// Also says sums whose minute is over; nothing else would when all is quiet.
    fn flush(&self) {
        let mut sums = Vec::new();
        self.limits().repeats.close(self.clock.now(), &mut sums);
        self.say_sums(&sums);
        self.how().logger.flush();
    }
}

#[cfg(test)]
mod tests {
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
    fn a_room_has_its_own_level_and_the_others_theirs() {
        let log = config::Log {
            level: Levels {
                base: LevelFilter::Warn,
                rooms: vec![("edge", LevelFilter::Debug), ("store", LevelFilter::Off)],
            },
            ..config::Log::default()
        };
        let heard = |verbosity: i8, target: &str, level: Level| {
            let record = Record::builder().level(level).target(target).build();
            How::new(&log, Verbosity(verbosity)).logger.matches(&record)
        };
        assert!(heard(0, "chr_node::edge::server", Level::Debug));
        assert!(!heard(0, "chr_node::edge::server", Level::Trace));
        assert!(heard(1, "chr_node::edge::server", Level::Trace));
        assert!(!heard(0, "chr_node::node", Level::Info));
        assert!(heard(1, "chr_node::node", Level::Info));
        assert!(!heard(0, "chr_node::store", Level::Error));
        assert!(heard(0, "rustls", Level::Warn) && !heard(0, "rustls", Level::Info));
    }
}
