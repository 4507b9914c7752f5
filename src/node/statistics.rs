//! What the node has carried: ten seconds for an hour in memory, minutes for a
//! week and hours for a year in the store, or for as long as the settings say.
//!
//! [`Statistics`] does no I/O. Whoever has a clock and the counters calls
//! [`Statistics::tick`] every ten seconds and gives the rows that it yields to
//! [`keep`], which writes them lazily: an idle node commits them once an hour.
//! [`prune`] removes them when they are old.
//!
//! While the clock is not trusted a minute that is over is kept in memory by the
//! boot-time clock, and gets its time when the clock is right; of more than
//! [`NAMELESS_MAX`] such minutes the oldest are given up. No row is ever written
//! under a guessed time.
//!
//! Bytes are the payload of ports, as devices pay for it, not what TLS and
//! frames add.
//!
//! | file | what it owns |
//! | --- | --- |
//! | `row.rs` | the row, and how periods are added up |
//! | `recent.rs` | the latest hour, in memory |
//! | `keep.rs` | rows to the store, from it, and out of it |
//! | `history.rs` | rows as the series of a chart |
//! | `charts.rs` | reading them |

mod charts;
mod history;
mod keep;
mod recent;
mod row;

use crate::rpc::{History, HistorySpan};
use crate::time::Moment;
use std::collections::VecDeque;

pub use charts::read_history;
pub use keep::{keep, prune, Retention};
pub use recent::RECENT_MAX;
pub use row::{NodeStats, Sample, Span};

use recent::Recent;
use row::Sum;

/// Minutes without a time that are kept: a clock is set within an hour or by
/// hand, and each takes 100 bytes.
pub const NAMELESS_MAX: usize = 60;

/// The sampler. See the module's text.
pub struct Statistics {
    started: Moment,
    last: Sample,
    minute: Sum,
    /// Which minute that is, while the clock is trusted.
    minute_number: Option<u64>,
    /// Minutes that are over and wait for the clock.
    nameless: VecDeque<Sum>,
    /// The hour with the latest minute, and when it began.
    hour: Option<(u64, Sum)>,
    recent: Recent,
}

impl Statistics {
    /// Nothing was carried yet: the counters start at zero, too.
    #[must_use]
    pub fn new(now: Moment) -> Statistics {
        Statistics {
            started: now,
            last: Sample {
                now,
                ..Sample::default()
            },
            minute: Sum {
                began: now,
                ..Sum::default()
            },
            minute_number: None,
            nameless: VecDeque::new(),
            hour: None,
            recent: Recent::default(),
        }
    }

    /// Takes a sample; the rows of periods that are over, for [`keep`]. Call it
    /// every ten seconds: the length of its steps is how fine minutes are.
    pub fn tick(&mut self, sample: &Sample) -> Vec<NodeStats> {
        let mut rows = Vec::new();
        self.add(sample);
        let number = sample.unix.map(|unix| unix / Span::Minute.seconds());
        let over = match (self.minute_number, number) {
            (Some(old), Some(new)) => old != new,
            // It has no number, or the clock is in doubt: its length counts.
            _ => self.minute.millis >= Span::Minute.seconds() * 1000,
        };
        if over {
            self.end_minute(sample, &mut rows);
        }
        if self.minute_number.is_none() {
            self.minute_number = number;
        }
        rows
    }

    /// The rows of the periods that are not over, when the node stops. What comes
    /// afterwards is added to them by [`keep`].
    pub fn finish(&mut self, sample: &Sample) -> Vec<NodeStats> {
        let mut rows = Vec::new();
        self.add(sample);
        self.end_minute(sample, &mut rows);
        let hour = self.hour.take();
        rows.extend(hour.map(|(unix, sum)| sum.row(Span::Hour, unix)));
        rows
    }

    fn add(&mut self, sample: &Sample) {
        let interval = Sum::between(&self.last, sample);
        self.minute.join(&interval);
        self.minute.uptime = sample.now.since(self.started).as_secs();
        self.recent.add(interval);
        self.last = *sample;
    }

    /// The latest ten minutes or hour, by ten seconds.
    #[must_use]
    pub fn latest(&self, span: HistorySpan) -> History {
        let (step, count) = span.steps();
        let long = step.saturating_mul(count as u64);
        let from = self.last.unix.map(|unix| unix.saturating_sub(long));
        self.recent.steps(step, count).finish(from)
    }

    /// The rows of the minute and the hour that are not over, as far as they are
    /// known.
    fn begun(&self) -> Vec<NodeStats> {
        let minute = self.minute_number.filter(|_| self.minute.millis > 0);
        let minute = minute.map(|number| number.saturating_mul(Span::Minute.seconds()));
        let minute = minute.map(|unix| self.minute.row(Span::Minute, unix));
        let hour = self.hour.as_ref();
        let hour = hour.map(|(unix, sum)| sum.row(Span::Hour, *unix));
        minute.into_iter().chain(hour).collect()
    }

    fn end_minute(&mut self, sample: &Sample, rows: &mut Vec<NodeStats>) {
        let next = Sum {
            began: sample.now,
            ..Sum::default()
        };
        let minute = std::mem::replace(&mut self.minute, next);
        let number = std::mem::replace(
            &mut self.minute_number,
            sample.unix.map(|u| u / Span::Minute.seconds()),
        );
        if minute.millis == 0 {
            return;
        }
        if let Some(unix) = sample.unix {
            for minute in std::mem::take(&mut self.nameless) {
                let ago = sample.now.since(minute.began).as_secs();
                self.name(&minute, unix.saturating_sub(ago), rows);
            }
        }
        let ago = sample.now.since(minute.began).as_secs();
        let named = number.map(|number| number.saturating_mul(Span::Minute.seconds()));
        match named.or(sample.unix.map(|unix| unix.saturating_sub(ago))) {
            Some(unix) => self.name(&minute, unix, rows),
            None => {
                if self.nameless.len() >= NAMELESS_MAX {
                    self.nameless.pop_front();
                }
                self.nameless.push_back(minute);
            }
        }
    }

    /// The row of a minute, and of the hour before if a new one begins with it.
    fn name(&mut self, minute: &Sum, unix: u64, rows: &mut Vec<NodeStats>) {
        rows.push(minute.row(Span::Minute, unix));
        let began = unix - unix % Span::Hour.seconds();
        match &mut self.hour {
            Some((hour, sum)) if *hour == began => sum.join(minute),
            other => {
                let over = other.replace((began, *minute));
                rows.extend(over.map(|(unix, sum)| sum.row(Span::Hour, unix)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
