//! What the node has carried: minutes for a week and hours for a year, in the
//! store.
//!
//! [`Statistics`] does no I/O. Whoever has a clock and the counters calls
//! [`Statistics::tick`] every ten seconds and gives the rows that it yields to
//! [`keep`], which writes them lazily: an idle node commits them once an hour.
//!
//! A row's key is a slot: the minute of a week's ring, the hour of a year's. A
//! new row takes the place of the one that is a week or a year old, so nothing
//! has to be removed, the table cannot grow, and no gap or wrong clock leaves
//! rows behind. Whoever reads compares [`NodeStats::unix`].
//!
//! While the clock is not trusted a minute that is over is kept in memory by the
//! boot-time clock, and gets its time when the clock is right; of more than
//! [`NAMELESS_MAX`] such minutes the oldest are given up. No row is ever written
//! under a guessed time.
//!
//! Bytes are the payload of ports, as devices pay for it, not what TLS and
//! frames add.

use crate::store::{Record, Store, Table};
use crate::time::Moment;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Minutes without a time that are kept: a clock is set within an hour or by
/// hand, and each takes 40 bytes.
pub const NAMELESS_MAX: usize = 60;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
/// Minutes kept: a week.
const MINUTES: u64 = 7 * 24 * 60;
/// Hours kept: a year.
const HOURS: u64 = 366 * 24;

/// How long a row's period is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Span {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl Span {
    /// Seconds.
    #[must_use]
    pub fn seconds(self) -> u64 {
        match self {
            Span::Minute => MINUTE,
            Span::Hour => HOUR,
        }
    }

    /// The key of the row of the period in which `unix` lies.
    #[must_use]
    pub fn key(self, unix: u64) -> [u8; 3] {
        let number = unix / self.seconds();
        let (kind, slot) = match self {
            Span::Minute => (b'm', number % MINUTES),
            Span::Hour => (b'h', number % HOURS),
        };
        // Both rings have fewer than 65,536 slots.
        let [high, low] = u16::try_from(slot).unwrap_or(u16::MAX).to_be_bytes();
        [kind, high, low]
    }
}

/// A row of the table `node_stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStats {
    /// Minute or hour.
    pub span: Span,
    /// When the period began, in seconds since 1970: a multiple of its length.
    pub unix: u64,
    /// Seconds of it that were seen: fewer where the node was not running.
    pub seconds: u32,
    /// Sessions of devices, on average while seen.
    pub connections: u32,
    /// Payload bytes that came from devices.
    pub bytes_in: u64,
    /// Payload bytes that went to devices.
    pub bytes_out: u64,
    /// Seconds since the node had started, at the period's end.
    pub uptime_seconds: u64,
}

impl NodeStats {
    /// Both, where each has seen another part of the same period.
    fn and(self, later: NodeStats) -> NodeStats {
        let seconds = self.seconds.saturating_add(later.seconds);
        let weight = |row: &NodeStats| u64::from(row.connections) * u64::from(row.seconds);
        let both = weight(&self).saturating_add(weight(&later));
        let mean = rounded(both, u64::from(seconds));
        NodeStats {
            seconds,
            connections: u32::try_from(mean).unwrap_or(u32::MAX),
            bytes_in: self.bytes_in.saturating_add(later.bytes_in),
            bytes_out: self.bytes_out.saturating_add(later.bytes_out),
            ..later
        }
    }
}

impl Record for NodeStats {
    const TABLE: Table = Table::NodeStats;
    const VERSION: u8 = 1;
    fn key(&self) -> Vec<u8> {
        self.span.key(self.unix).to_vec()
    }
}

/// What the counters show at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// The boot-time clock.
    pub now: Moment,
    /// Seconds since 1970, if the clock is trusted.
    pub unix: Option<u64>,
    /// Sessions of devices.
    pub sessions: u64,
    /// Payload bytes that came from devices since some start.
    pub bytes_in: u64,
    /// Payload bytes that went to devices since that start.
    pub bytes_out: u64,
}

/// What was carried between two samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Interval {
    /// Its length in milliseconds.
    millis: u64,
    /// Sessions of devices at its end.
    sessions: u64,
    /// Payload bytes that came from devices.
    bytes_in: u64,
    /// Payload bytes that went to devices.
    bytes_out: u64,
}

/// A period that is being added up.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    began: Moment,
    millis: u64,
    session_millis: u64,
    bytes_in: u64,
    bytes_out: u64,
    uptime: u64,
}

impl Sum {
    fn add(&mut self, interval: &Interval) {
        self.millis = self.millis.saturating_add(interval.millis);
        let sessions = interval.sessions.saturating_mul(interval.millis);
        self.session_millis = self.session_millis.saturating_add(sessions);
        self.bytes_in = self.bytes_in.saturating_add(interval.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(interval.bytes_out);
    }

    /// Takes a later sum in.
    fn join(&mut self, later: &Sum) {
        self.millis = self.millis.saturating_add(later.millis);
        self.session_millis = self.session_millis.saturating_add(later.session_millis);
        self.bytes_in = self.bytes_in.saturating_add(later.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(later.bytes_out);
        self.uptime = later.uptime;
    }

    fn row(&self, span: Span, unix: u64) -> NodeStats {
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        NodeStats {
            span,
            unix: unix - unix % span.seconds(),
            seconds: small(rounded(self.millis, 1000)),
            connections: small(rounded(self.session_millis, self.millis)),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            uptime_seconds: self.uptime,
        }
    }
}

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
        }
    }

    /// Takes a sample; the rows of periods that are over, for [`keep`]. Call it
    /// every ten seconds: the length of its steps is how fine minutes are.
    pub fn tick(&mut self, sample: &Sample) -> Vec<NodeStats> {
        let mut rows = Vec::new();
        self.add(sample);
        let number = sample.unix.map(|unix| unix / MINUTE);
        let over = match (self.minute_number, number) {
            (Some(old), Some(new)) => old != new,
            // It has no number, or the clock is in doubt: its length counts.
            _ => self.minute.millis >= MINUTE * 1000,
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
        let last = &self.last;
        let millis = sample.now.since(last.now).as_millis();
        // Counters that start anew were zero in between.
        let grown = |new: u64, old: u64| new.checked_sub(old).unwrap_or(new);
        let interval = Interval {
            millis: u64::try_from(millis).unwrap_or(u64::MAX),
            sessions: sample.sessions,
            bytes_in: grown(sample.bytes_in, last.bytes_in),
            bytes_out: grown(sample.bytes_out, last.bytes_out),
        };
        self.minute.add(&interval);
        self.minute.uptime = sample.now.since(self.started).as_secs();
        self.last = *sample;
    }

    fn end_minute(&mut self, sample: &Sample, rows: &mut Vec<NodeStats>) {
        let next = Sum {
            began: sample.now,
            ..Sum::default()
        };
        let minute = std::mem::replace(&mut self.minute, next);
        let number = std::mem::replace(&mut self.minute_number, sample.unix.map(|u| u / MINUTE));
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
        let named = number.map(|number| number.saturating_mul(MINUTE));
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
        let began = unix - unix % HOUR;
        match &mut self.hour {
            Some((hour, sum)) if *hour == began => sum.join(minute),
            other => {
                let over = other.replace((began, *minute));
                rows.extend(over.map(|(unix, sum)| sum.row(Span::Hour, unix)));
            }
        }
    }
}

/// Writes rows lazily. One that the store has of the same period, from before a
/// restart, is added to it. A store that takes no rows has said so in its
/// health: statistics may be lost.
pub fn keep(store: &Store, rows: &[NodeStats]) {
    for row in rows {
        let before = store.get::<NodeStats>(&row.key()).ok().flatten();
        let row = match before {
            Some(before) if before.unix == row.unix => before.and(*row),
            _ => *row,
        };
        // Counted by the store.
        let _ = store.put_lazy(&row);
    }
}

/// The rows of the periods from `from` up to `to` (seconds since 1970), oldest
/// first; at most a ring of them. A period without a row is left out, and so are
/// the rows that still wait for their commit.
#[cfg(test)]
fn history(store: &Store, span: Span, from: u64, to: u64) -> Vec<NodeStats> {
    let ring = match span {
        Span::Minute => MINUTES,
        Span::Hour => HOURS,
    };
    let last = to / span.seconds();
    let first = (from / span.seconds()).max(last.saturating_sub(ring));
    (first..last)
        .map(|number| number.saturating_mul(span.seconds()))
        .filter_map(|unix| {
            let row = store.get::<NodeStats>(&span.key(unix)).ok()??;
            (row.unix == unix).then_some(row)
        })
        .collect()
}

fn rounded(sum: u64, by: u64) -> u64 {
    let by = by.max(1);
    sum.saturating_add(by / 2) / by
}

#[cfg(test)]
mod tests;
