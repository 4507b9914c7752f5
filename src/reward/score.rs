//! Scores, in thousandths: whole numbers, so that what is earned is the same on
//! every machine.

use serde::{Deserialize, Serialize};

/// A perfect score.
pub const PERFECT: u64 = 1000;
/// Round trips up to this many milliseconds are as good as none: a home line.
const BEST_MS: u64 = 50;

/// What latency, success and throughput count of ten.
const LATENCY: u64 = 3;
/// See [`LATENCY`].
const SUCCESS: u64 = 4;
/// See [`LATENCY`].
const THROUGHPUT: u64 = 3;

/// The score of a round trip: perfect up to 50 ms, then a thousandth less for
/// each millisecond, nothing from 1,050 ms on.
#[must_use]
pub fn latency_score(millis: u64) -> u64 {
    PERFECT.saturating_sub(millis.saturating_sub(BEST_MS))
}

/// What a performance score is made of, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measures {
    /// Scores of round trips, one for each look at which any was known.
    pub latency: u64,
    /// How many these are.
    pub looks: u64,
    /// Sessions and ports that came about.
    pub good: u64,
    /// Sessions and ports that failed by this node or on the way.
    pub bad: u64,
    /// Bytes that were sent on.
    pub sent: u64,
    /// Bytes that waited to be sent, at each look.
    pub waiting: u64,
}

impl Measures {
    pub(super) fn add(&mut self, other: &Measures) {
        for (sum, more) in [
            (&mut self.latency, other.latency),
            (&mut self.looks, other.looks),
            (&mut self.good, other.good),
            (&mut self.bad, other.bad),
            (&mut self.sent, other.sent),
            (&mut self.waiting, other.waiting),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    /// The performance score in thousandths: the mean of those of latency, success
    /// and throughput that were measured, by their weights of 3, 4 and 3. `None`
    /// without any.
    #[must_use]
    pub fn performance(&self) -> Option<u64> {
        let parts = [
            (LATENCY, self.latency, self.looks),
            (
                SUCCESS,
                self.good.saturating_mul(PERFECT),
                self.good.saturating_add(self.bad),
            ),
            (
                THROUGHPUT,
                self.sent.saturating_mul(PERFECT),
                self.sent.saturating_add(self.waiting),
            ),
        ];
        let (mut sum, mut weights) = (0u64, 0u64);
        for (weight, score, of) in parts {
            if let Some(score) = score.checked_div(of) {
                sum = sum.saturating_add(weight.saturating_mul(score));
                weights = weights.saturating_add(weight);
            }
        }
        sum.checked_div(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_does_not_count() {
        let mut measures = Measures::default();
        assert_eq!(measures.performance(), None);
        measures.good = 3;
        measures.bad = 1;
        assert_eq!(measures.performance(), Some(750));
        // Two looks: 50 ms and 550 ms.
        measures.latency = latency_score(50) + latency_score(550);
        measures.looks = 2;
        assert_eq!(measures.performance(), Some((3 * 750 + 4 * 750) / 7));
        measures.sent = 900;
        measures.waiting = 100;
        assert_eq!(measures.performance(), Some((2250 + 3000 + 2700) / 10));
    }

    #[test]
    fn a_round_trip_of_a_second_is_worth_nothing() {
        for (millis, score) in [(0, 1000), (50, 1000), (51, 999), (1049, 1), (5000, 0)] {
            assert_eq!(latency_score(millis), score, "{millis} ms");
        }
    }

    #[test]
    fn sums_of_a_year_do_not_wrap() {
        let most = Measures {
            latency: u64::MAX,
            looks: 1,
            good: u64::MAX,
            bad: u64::MAX,
            sent: u64::MAX,
            waiting: 7,
        };
        let mut sum = most;
        sum.add(&most);
        assert!(sum.performance().is_some());
    }
}
