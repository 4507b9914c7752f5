//! The latest hour by ten seconds, in memory alone: no byte of it goes to flash.

use super::history::Steps;
use super::row::Sum;
use crate::time::Moment;
use std::collections::VecDeque;
use std::time::Duration;

/// Points kept: an hour of one in ten seconds, 35 KB.
pub const RECENT_MAX: usize = 360;

/// What was carried between the samples of the latest hour.
#[derive(Default)]
pub(super) struct Recent(VecDeque<Sum>);

impl Recent {
    pub(super) fn add(&mut self, interval: Sum) {
        if interval.millis == 0 {
            return;
        }
        if self.0.len() >= RECENT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(interval);
    }

    /// `count` steps of `step` seconds, the last of which ends with the latest
    /// sample. Samples are ten seconds apart but for some jitter, and longer after
    /// a sleep: a step shows the interval in which its middle lies.
    pub(super) fn steps(&self, step: u64, count: usize) -> Steps {
        let mut steps = Steps::new(0, step, count);
        let end = |sum: &Sum| sum.began + Duration::from_millis(sum.millis);
        let Some(now) = self.0.back().map(end) else {
            return steps;
        };
        let mut intervals = self.0.iter().rev().peekable();
        for back in 0..count {
            let ago = Duration::from_secs(step.saturating_mul(back as u64) + step / 2);
            // Before the device had started there was nothing.
            let Some(middle) = now.0.checked_sub(ago.as_nanos() as u64).map(Moment) else {
                break;
            };
            while intervals.peek().is_some_and(|sum| sum.began > middle) {
                intervals.next();
            }
            let Some(sum) = intervals.peek().filter(|sum| end(sum) >= middle) else {
                continue;
            };
            steps.put(count - 1 - back, sum, step * 1000);
        }
        steps
    }
}
