//! How many tickets were accepted, for how much, and why others were not.

use super::Refusal;
use crate::meter::Counter;

/// Names of the refusals in the order of their codes, from 100 on.
pub const REASONS: [&str; 12] = [
    "epoch_too_low",
    "epoch_too_high",
    "chain",
    "too_many_bytes",
    "too_many_connections",
    "local_address",
    "signature",
    "fleet",
    "not_in_fleet",
    "too_low",
    "too_many_fleets",
    "too_often",
];

/// Counts tickets since the book was opened.
#[derive(Debug, Default)]
pub struct Judged {
    /// Those that passed the rules.
    pub accepted: Counter,
    /// Bytes that these pay for beyond those before them.
    pub bytes: Counter,
    /// Those that did not, by [`REASONS`].
    pub refused: [Counter; REASONS.len()],
}

impl Judged {
    pub(super) fn accept(&self, bytes: u64) {
        self.accepted.one();
        self.bytes.add(bytes);
    }

    pub(super) fn refuse(&self, refusal: &Refusal) {
        let place = usize::from(refusal.code()).wrapping_sub(100);
        if let Some(counter) = self.refused.get(place) {
            counter.one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_last_refusal_has_a_name() {
        let judged = Judged::default();
        let wait = Duration::ZERO;
        judged.refuse(&Refusal::TooOften { wait });
        let counts = judged.refused.each_ref().map(Counter::get);
        assert_eq!(counts, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(REASONS.last(), Some(&"too_often"));
    }
}
