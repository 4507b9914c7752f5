//! How long to wait for an answer.
//!
//! Smoothed round trip and its mean deviation, by RFC 6298 (sections 2.2 and 2.3).
//! Where we differ: the least time-out is 500 ms, not 1 s, since a request that is
//! given up too early costs a packet here and no congestion window; and each retry
//! of a contact is a new request with its own number, so every answer is a clean
//! sample (Karn's rule has nothing to forbid).

use std::time::Duration;

/// The least time-out: a device that is busy with a handshake answers later than
/// its round trip says.
pub const TIMEOUT_MIN: Duration = Duration::from_millis(500);
/// The longest: beyond it a node is of no use to a lookup.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(3);
/// As long as nothing is measured (RFC 6298, section 2.1).
pub const TIMEOUT_FIRST: Duration = Duration::from_secs(1);
/// The least time after which an answer counts as late.
const LATE_MIN: Duration = Duration::from_millis(10);

/// An estimate of round trips. `GAIN` is the divisor of the smoothing: 8 for one
/// contact (RFC 6298), 32 for all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate<const GAIN: u32> {
    /// In microseconds; 0: nothing measured.
    smoothed: u32,
    /// Mean deviation in microseconds.
    deviation: u32,
}

/// Of one contact.
pub type ContactEstimate = Estimate<8>;
/// Of everybody: what is expected of a stranger.
pub type NetworkEstimate = Estimate<32>;

impl<const GAIN: u32> Estimate<GAIN> {
    /// A first guess, as if it had been measured once.
    #[must_use]
    pub fn of(rtt: Duration) -> Self {
        let mut estimate = Self::default();
        if !rtt.is_zero() {
            estimate.sample(rtt);
        }
        estimate
    }

    /// An answer has come after `rtt`.
    pub fn sample(&mut self, rtt: Duration) {
        let most = TIMEOUT_MAX.as_micros() as u32;
        let rtt = u32::try_from(rtt.as_micros())
            .unwrap_or(u32::MAX)
            .clamp(1, most);
        if self.smoothed == 0 {
            (self.smoothed, self.deviation) = (rtt, rtt / 2);
            return;
        }
        let error = rtt.abs_diff(self.smoothed);
        // The deviation moves twice as fast as the mean, as in the RFC.
        let gain = GAIN / 2;
        self.deviation = (self.deviation * (gain - 1)).saturating_add(error) / gain;
        self.smoothed = ((self.smoothed * (GAIN - 1)).saturating_add(rtt) / GAIN).max(1);
    }

    /// Smoothed round trip; none: nothing measured.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        (self.smoothed != 0).then(|| Duration::from_micros(u64::from(self.smoothed)))
    }

    /// After this an answer is given up.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        if self.smoothed == 0 {
            return TIMEOUT_FIRST;
        }
        let micros = u64::from(self.smoothed) + 6 * u64::from(self.deviation);
        Duration::from_micros(micros).clamp(TIMEOUT_MIN, TIMEOUT_MAX)
    }

    /// After this an answer is late: whoever waits asks another one, too. Nine of
    /// ten answers of a normal distribution have come by then.
    #[must_use]
    pub fn late(&self) -> Duration {
        if self.smoothed == 0 {
            return TIMEOUT_FIRST / 4;
        }
        let micros = u64::from(self.smoothed) + 3 * u64::from(self.deviation) / 2;
        Duration::from_micros(micros).clamp(LATE_MIN, TIMEOUT_MAX / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_steady_contact_is_not_waited_for_longer_than_it_ever_takes() {
        let mut estimate = ContactEstimate::default();
        assert_eq!(estimate.timeout(), TIMEOUT_FIRST);
        for _ in 0..100 {
            estimate.sample(ms(700));
        }
        let rtt = estimate.round_trip().unwrap_or_default();
        assert!(rtt > ms(690) && rtt <= ms(700), "{rtt:?}");
        assert!(estimate.timeout() < ms(720), "{:?}", estimate.timeout());
        assert!(estimate.late() <= estimate.timeout());
    }

    #[test]
    fn a_contact_that_became_slow_is_waited_for_again() {
        let mut estimate = ContactEstimate::default();
        (0..50).for_each(|_| estimate.sample(ms(300)));
        (0..3).for_each(|_| estimate.sample(ms(900)));
        assert!(estimate.timeout() > ms(900), "{:?}", estimate.timeout());
    }

    #[test]
    fn answers_within_microseconds_do_not_make_time_outs_of_them() {
        let mut estimate = ContactEstimate::default();
        (0..50).for_each(|_| estimate.sample(Duration::from_micros(30)));
        assert_eq!(estimate.timeout(), TIMEOUT_MIN);
        assert_eq!(estimate.late(), LATE_MIN);
    }

    proptest! {
        #[test]
        fn no_answer_moves_an_estimate_out_of_its_bounds(
            micros in prop::collection::vec(0..u64::MAX, 0..40)
        ) {
            let mut one = ContactEstimate::default();
            let mut all = NetworkEstimate::default();
            for micros in micros {
                one.sample(Duration::from_micros(micros));
                all.sample(Duration::from_micros(micros));
                for (late, timeout) in [(one.late(), one.timeout()), (all.late(), all.timeout())] {
                    prop_assert!((TIMEOUT_MIN..=TIMEOUT_MAX).contains(&timeout));
                    prop_assert!(late >= LATE_MIN && late <= timeout);
                }
            }
        }
    }
}
