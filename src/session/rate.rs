//! How often something may happen: a token bucket, without a clock of its own.

use crate::time::Moment;

/// A token bucket that holds one second's worth.
#[derive(Debug, Default, Clone, Copy)]
pub struct Bucket {
    /// In thousandths.
    tokens: u64,
    filled: Moment,
}

impl Bucket {
    /// With nothing taken.
    pub fn full(rate: u32, now: Moment) -> Bucket {
        Bucket {
            tokens: u64::from(rate) * 1000,
            filled: now,
        }
    }

    /// Whether it is as if nothing had ever been taken.
    pub fn is_full(&self, rate: u32, now: Moment) -> bool {
        let passed = u64::try_from(now.since(self.filled).as_millis()).unwrap_or(u64::MAX);
        let fresh = passed.saturating_mul(u64::from(rate));
        self.tokens.saturating_add(fresh) >= u64::from(rate) * 1000
    }

    /// Takes one; false when there is none.
    pub fn take(&mut self, rate: u32, now: Moment) -> bool {
        let rate = u64::from(rate);
        let passed = u64::try_from(now.since(self.filled).as_millis()).unwrap_or(u64::MAX);
        if passed > 0 {
            self.filled = now;
        }
        let fresh = passed.saturating_mul(rate);
        self.tokens = self.tokens.saturating_add(fresh).min(rate * 1000);
        let there = self.tokens >= 1000;
        if there {
            self.tokens -= 1000;
        }
        there
    }
}
