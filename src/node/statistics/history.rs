//! Rows of statistics as the series of a chart: steps of equal length.

use super::row::{rounded, Sum};
use super::NodeStats;
use crate::rpc::{History, Series};

/// Steps that are being added up.
pub(super) struct Steps {
    from: u64,
    step: u64,
    sums: Vec<Sum>,
}

impl Steps {
    /// `count` empty ones of `step` seconds, the first of which begins at `from`
    /// (seconds since 1970).
    pub(super) fn new(from: u64, step: u64, count: usize) -> Steps {
        Steps {
            from,
            step: step.max(1),
            sums: vec![Sum::default(); count],
        }
    }

    /// Puts a share of an interval into a step: as much as `millis` are of it.
    pub(super) fn put(&mut self, at: usize, interval: &Sum, millis: u64) {
        if let Some(place) = self.sums.get_mut(at) {
            *place = interval.share(millis);
        }
    }

    /// Adds a row: to its step where steps are longer, to each of the steps that
    /// are empty where they are shorter.
    pub(super) fn add(&mut self, row: &NodeStats) {
        let place = |unix: u64| {
            let after = unix.checked_sub(self.from)?;
            usize::try_from(after / self.step).ok()
        };
        let sum = Sum::of(row);
        let length = row.span.seconds();
        if length <= self.step {
            let place = place(row.unix).and_then(|at| self.sums.get_mut(at));
            if let Some(place) = place {
                place.join(&sum);
            }
            return;
        }
        let parts = length / self.step;
        let share = sum.share(sum.millis / parts);
        for part in 0..parts {
            let begins = row.unix.saturating_add(part.saturating_mul(self.step));
            let place = place(begins).and_then(|at| self.sums.get_mut(at));
            if let Some(place) = place.filter(|place| place.millis == 0) {
                *place = share;
            }
        }
    }

    /// The series; `from` is told if it is known.
    pub(super) fn finish(&self, from: Option<u64>) -> History {
        let series = |of: &dyn Fn(&Sum) -> Option<u64>| -> Series {
            let seen = self.sums.iter();
            seen.map(|sum| (sum.millis > 0).then(|| of(sum)).flatten())
                .collect()
        };
        let rate = |bytes: u64, sum: &Sum| {
            let millis = u128::from(sum.millis.max(1));
            u64::try_from(u128::from(bytes) * 1000 / millis).unwrap_or(u64::MAX)
        };
        History {
            step_seconds: self.step,
            from,
            bandwidth_in: series(&|sum| Some(rate(sum.bytes_in, sum))),
            bandwidth_out: series(&|sum| Some(rate(sum.bytes_out, sum))),
            connections: series(&|sum| Some(sum.connections())),
            peers: series(&|sum| Some(sum.peers())),
            latency_ms: series(&Sum::latency_ms),
            tickets: series(&|sum| Some(sum.tickets)),
            errors: series(&|sum| Some(sum.errors)),
            uptime: series(&|sum| Some(rounded(sum.millis, 1000).min(self.step))),
        }
    }
}
