//! A row of the table `node_stats`, and what is counted.

use crate::store::{Record, Table};
use crate::time::Moment;
use serde::{Deserialize, Serialize};

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

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

    /// The key of the row of the period in which `unix` lies: its kind and its
    /// number since 1970, so that rows of a kind lie in the order of time.
    #[must_use]
    pub fn key(self, unix: u64) -> [u8; 5] {
        let kind = match self {
            Span::Minute => b'm',
            Span::Hour => b'h',
        };
        // Enough for the minutes of eight thousand years.
        let number = u32::try_from(unix / self.seconds()).unwrap_or(u32::MAX);
        let [a, b, c, d] = number.to_be_bytes();
        [kind, a, b, c, d]
    }
}

/// A row of the table `node_stats`: 45 bytes on the disk, key included.
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
    /// Links to other nodes, on average while seen.
    pub peers: u32,
    /// Half of the round trips took no longer, in milliseconds, rounded up; on
    /// average while seen. 0: none was measured.
    pub latency_ms: u32,
    /// Tickets accepted.
    pub tickets: u32,
    /// What went wrong, of all categories.
    pub errors: u32,
}

impl NodeStats {
    /// Both, where each has seen another part of the same period.
    #[must_use]
    pub fn and(self, later: NodeStats) -> NodeStats {
        let mut both = Sum::of(&self);
        both.join(&Sum::of(&later));
        NodeStats {
            // Rounded sums of parts may exceed what a period has.
            seconds: self.seconds.saturating_add(later.seconds),
            uptime_seconds: later.uptime_seconds,
            ..both.row(later.span, later.unix)
        }
    }
}

impl Record for NodeStats {
    const TABLE: Table = Table::NodeStats;
    // 1 had no peers, latency, tickets and errors, and lay in rings
    // (store/migrate.rs knows it).
    const VERSION: u8 = 2;
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
    /// Links to other nodes.
    pub peers: u64,
    /// Half of the round trips take no longer, in milliseconds; 0: none was
    /// measured.
    pub latency_ms: u64,
    /// Payload bytes that came from devices since some start.
    pub bytes_in: u64,
    /// Payload bytes that went to devices since that start.
    pub bytes_out: u64,
    /// Tickets accepted since that start.
    pub tickets: u64,
    /// Errors since that start.
    pub errors: u64,
}

/// A period that is being added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub began: Moment,
    pub millis: u64,
    /// Sessions, each counted as often as the milliseconds for which it stood.
    pub sessions: u64,
    pub peers: u64,
    pub latency: u64,
    /// Milliseconds in which a round trip was known.
    pub measured: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub tickets: u64,
    pub errors: u64,
    pub uptime: u64,
}

impl Sum {
    /// What was carried between two samples.
    pub(super) fn between(last: &Sample, sample: &Sample) -> Sum {
        let millis = sample.now.since(last.now).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        // Counters that start anew were zero in between.
        let grown = |new: u64, old: u64| new.checked_sub(old).unwrap_or(new);
        Sum {
            began: last.now,
            millis,
            sessions: sample.sessions.saturating_mul(millis),
            peers: sample.peers.saturating_mul(millis),
            latency: sample.latency_ms.saturating_mul(millis),
            measured: if sample.latency_ms > 0 { millis } else { 0 },
            bytes_in: grown(sample.bytes_in, last.bytes_in),
            bytes_out: grown(sample.bytes_out, last.bytes_out),
            tickets: grown(sample.tickets, last.tickets),
            errors: grown(sample.errors, last.errors),
            uptime: 0,
        }
    }

    /// What a row says.
    pub(super) fn of(row: &NodeStats) -> Sum {
        let millis = u64::from(row.seconds).saturating_mul(1000);
        let weighted = |n: u32| u64::from(n).saturating_mul(millis);
        Sum {
            began: Moment::default(),
            millis,
            sessions: weighted(row.connections),
            peers: weighted(row.peers),
            latency: weighted(row.latency_ms),
            measured: if row.latency_ms > 0 { millis } else { 0 },
            bytes_in: row.bytes_in,
            bytes_out: row.bytes_out,
            tickets: row.tickets.into(),
            errors: row.errors.into(),
            uptime: row.uptime_seconds,
        }
    }

    /// Takes a later sum in; its uptime is the newer one.
    pub(super) fn join(&mut self, later: &Sum) {
        for (mine, theirs) in [
            (&mut self.millis, later.millis),
            (&mut self.sessions, later.sessions),
            (&mut self.peers, later.peers),
            (&mut self.latency, later.latency),
            (&mut self.measured, later.measured),
            (&mut self.bytes_in, later.bytes_in),
            (&mut self.bytes_out, later.bytes_out),
            (&mut self.tickets, later.tickets),
            (&mut self.errors, later.errors),
        ] {
            *mine = mine.saturating_add(theirs);
        }
        self.uptime = later.uptime;
    }

    /// As much as `millis` are of it.
    pub(super) fn share(&self, millis: u64) -> Sum {
        let mut share = *self;
        let all = u128::from(self.millis.max(1));
        for number in [
            &mut share.millis,
            &mut share.sessions,
            &mut share.peers,
            &mut share.latency,
            &mut share.measured,
            &mut share.bytes_in,
            &mut share.bytes_out,
            &mut share.tickets,
            &mut share.errors,
        ] {
            let part = (u128::from(*number) * u128::from(millis) + all / 2) / all;
            *number = u64::try_from(part).unwrap_or(u64::MAX);
        }
        share
    }

    /// Sessions on average.
    pub(super) fn connections(&self) -> u64 {
        rounded(self.sessions, self.millis)
    }

    /// Links on average.
    pub(super) fn peers(&self) -> u64 {
        rounded(self.peers, self.millis)
    }

    /// The round trip on average; `None` if none was measured.
    pub(super) fn latency_ms(&self) -> Option<u64> {
        (self.measured > 0).then(|| rounded(self.latency, self.measured))
    }

    pub(super) fn row(&self, span: Span, unix: u64) -> NodeStats {
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        NodeStats {
            span,
            unix: unix - unix % span.seconds(),
            seconds: small(rounded(self.millis, 1000)),
            connections: small(self.connections()),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            uptime_seconds: self.uptime,
            peers: small(self.peers()),
            latency_ms: small(self.latency_ms().unwrap_or(0)),
            tickets: small(self.tickets),
            errors: small(self.errors),
        }
    }
}

pub(super) fn rounded(sum: u64, by: u64) -> u64 {
    let by = by.max(1);
    sum.saturating_add(by / 2) / by
}
