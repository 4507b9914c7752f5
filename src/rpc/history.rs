//! What `stats_history` and `network_stats.history` return: what was carried, in
//! equal steps of time, oldest first. `null` is a step of which nothing is known:
//! the node was not running, or the clock was not set.

use serde::{Deserialize, Serialize};
use std::future::Future;
use std::pin::Pin;

/// How far back a history goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistorySpan {
    /// Ten minutes, in steps of ten seconds.
    TenMinutes,
    /// An hour, in steps of ten seconds.
    Hour,
    /// A day, in steps of five minutes.
    Day,
    /// A week, in steps of an hour.
    Week,
    /// Thirty days, in steps of two hours.
    Month,
    /// A year, in steps of a day.
    Year,
}

impl HistorySpan {
    /// Those that can be asked for by name.
    pub const NAMED: [(&'static str, HistorySpan); 5] = [
        ("hour", HistorySpan::Hour),
        ("day", HistorySpan::Day),
        ("week", HistorySpan::Week),
        ("month", HistorySpan::Month),
        ("year", HistorySpan::Year),
    ];

    /// The span of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<HistorySpan> {
        let mut all = HistorySpan::NAMED.iter();
        all.find(|(known, _)| *known == name).map(|(_, span)| *span)
    }

    /// Seconds of a step, and how many steps there are: 366 at most.
    #[must_use]
    pub fn steps(self) -> (u64, usize) {
        match self {
            HistorySpan::TenMinutes => (10, 60),
            HistorySpan::Hour => (10, 360),
            HistorySpan::Day => (300, 288),
            HistorySpan::Week => (3_600, 168),
            HistorySpan::Month => (7_200, 360),
            HistorySpan::Year => (86_400, 366),
        }
    }
}

/// A number a step.
pub type Series = Vec<Option<u64>>;

/// The result of `stats_history`. All series are of one length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Seconds of a step.
    pub step_seconds: u64,
    /// When the first step begins, in seconds since 1970; `None` while the clock is
    /// not to be believed: the last step ends now.
    pub from: Option<u64>,
    /// Payload bytes a second from devices, on average while the node ran.
    pub bandwidth_in: Series,
    /// The same towards devices.
    pub bandwidth_out: Series,
    /// Sessions of devices, on average.
    pub connections: Series,
    /// Links to other nodes, on average.
    pub peers: Series,
    /// Half of the round trips took no longer, in milliseconds.
    pub latency_ms: Series,
    /// Tickets accepted.
    pub tickets: Series,
    /// What went wrong, of all categories.
    pub errors: Series,
    /// Seconds of the step in which the node ran.
    pub uptime: Series,
}

/// A history that may have to be read from the disk; the error says why there is
/// none.
pub type HistoryReply = Pin<Box<dyn Future<Output = Result<History, String>> + Send>>;
