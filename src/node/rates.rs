//! What the node carries and takes at present: averages over the latest look of
//! its chores, ten seconds or so.

use super::statistics::Sample;
use crate::time::Moment;
use std::time::Duration;

/// Averages.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// Payload bytes a second from devices.
    pub bytes_in: u64,
    /// Payload bytes a second to devices.
    pub bytes_out: u64,
    /// Percent of one core.
    pub cpu: f64,
}

/// Makes averages of counters.
#[derive(Debug, Default)]
pub struct Rates {
    last: Option<(Moment, u64, u64, Duration)>,
    latest: Option<Rate>,
}

impl Rates {
    /// A look at the counters.
    pub fn look(&mut self, sample: &Sample, cpu: Duration) {
        let look = (sample.now, sample.bytes_in, sample.bytes_out, cpu);
        let Some((at, bytes_in, bytes_out, before)) = self.last.replace(look) else {
            return;
        };
        let passed = sample.now.since(at).as_secs_f64();
        if passed <= 0.0 {
            return;
        }
        let rate = |now: u64, then: u64| (now.saturating_sub(then) as f64 / passed).round() as u64;
        let cpu = cpu.saturating_sub(before).as_secs_f64() / passed;
        self.latest = Some(Rate {
            bytes_in: rate(sample.bytes_in, bytes_in),
            bytes_out: rate(sample.bytes_out, bytes_out),
            cpu: (cpu * 1000.0).round() / 10.0,
        });
    }

    /// The latest averages; `None` before the second look.
    #[must_use]
    pub fn latest(&self) -> Option<Rate> {
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_a_second_s_whatever_the_time_between_two_looks() {
        let mut rates = Rates::default();
        let mut sample = Sample::default();
        rates.look(&sample, Duration::ZERO);
        assert_eq!(rates.latest(), None);
        sample.now = Moment(20_000_000_000);
        sample.bytes_in = 1_000_000;
        sample.bytes_out = 40;
        rates.look(&sample, Duration::from_millis(2_500));
        let wanted = Rate {
            bytes_in: 50_000,
            bytes_out: 2,
            cpu: 12.5,
        };
        assert_eq!(rates.latest(), Some(wanted));
        // A look at the same moment says nothing, and a counter that begins anew is no flood.
        rates.look(&sample, Duration::from_millis(2_500));
        assert_eq!(rates.latest(), Some(wanted));
        sample.now = Moment(30_000_000_000);
        sample.bytes_in = 7;
        rates.look(&sample, Duration::ZERO);
        assert_eq!(rates.latest(), Some(Rate::default()));
    }
}
