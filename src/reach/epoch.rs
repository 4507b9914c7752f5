//! The gateway's clock: it starts anew when the gateway has forgotten its mappings.
//!
//! RFC 6887, section 8.5: a clock that went back, or that differs from ours by more
//! than a sixteenth, is another one's. NAT-PMP (RFC 6886, section 3.6) has the same
//! clock and is content with an eighth; one rule does for both.

use crate::time::Moment;

/// What the gateway's clock said, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    said: u32,
    at: Moment,
}

impl Epoch {
    /// The clock said this now.
    #[must_use]
    pub fn new(said: u32, now: Moment) -> Epoch {
        Epoch { said, at: now }
    }

    /// Whether what the clock says now is said by the one that this came from:
    /// false when the gateway was restarted in between.
    #[must_use]
    pub fn goes_on(&self, said: u32, now: Moment) -> bool {
        let here = now.since(self.at).as_secs();
        let (before, after) = (u64::from(self.said), u64::from(said));
        if after + 1 < before {
            return false;
        }
        let there = after.saturating_sub(before);
        here + 2 >= there - there / 16 && there + 2 >= here - here / 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(seconds * 1_000_000_000)
    }

    #[test]
    fn a_restarted_gateway_is_noticed_and_a_slow_clock_is_not_one() {
        let epoch = Epoch::new(1000, at(50));
        assert!(epoch.goes_on(1000, at(50)));
        assert!(epoch.goes_on(999, at(50)), "answers overtake each other");
        assert!(epoch.goes_on(1600, at(650)));
        assert!(epoch.goes_on(1570, at(650)), "within a sixteenth");
        assert!(!epoch.goes_on(1500, at(650)));
        assert!(!epoch.goes_on(3, at(650)));
        // It was restarted so long ago that its clock is further than before.
        assert!(!epoch.goes_on(1005, at(5000)));
        assert!(!epoch.goes_on(9000, at(60)));
    }
}
