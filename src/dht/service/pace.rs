//! How much of the thread the DHT may take.
//!
//! Checking a signature takes 0.1 ms of a PC's core and more than 1 ms of a
//! router's; the same thread relays. So the time that datagrams take is counted
//! against an account that fills up with a share of the time that passes: a
//! burst is served at once, and a flood gets that share and no more.

use crate::time::Moment;
use std::time::Duration;

/// One part in so many of the time goes to the DHT while there is more to do
/// than that: relaying keeps at least half, also beside the handshakes of
/// devices that come back.
const SHARE: u32 = 3;
/// What may be used up at once: some dozen signatures of a slow device, and not
/// long enough for a person to notice.
const MOST: Duration = Duration::from_millis(20);

/// The account.
#[derive(Debug)]
pub(super) struct Pace {
    left: Duration,
    filled: Moment,
}

impl Pace {
    /// A full one.
    pub fn new(now: Moment) -> Pace {
        Pace {
            left: MOST,
            filled: now,
        }
    }

    /// Work was done from `began` to `now`. How long to rest, if the account is
    /// empty.
    pub fn worked(&mut self, began: Moment, now: Moment) -> Option<Duration> {
        let earned = now.since(self.filled) / SHARE;
        self.filled = now;
        let left = self.left.saturating_add(earned).min(MOST);
        let spent = now.since(began);
        self.left = left.saturating_sub(spent);
        let missing = spent.saturating_sub(left);
        if self.left > Duration::ZERO {
            return None;
        }
        // What is missing is earned by the rest, which fills nothing then.
        let rest = missing.saturating_mul(SHARE).min(MOST * SHARE);
        self.filled = now + rest;
        Some(rest.max(Duration::from_micros(100)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The share of a second that work in pieces takes, `idle` after each piece.
    fn share(piece: Duration, idle: Duration) -> f64 {
        let start = Moment(1_000_000_000);
        let mut now = start;
        let mut pace = Pace::new(now);
        let mut worked = Duration::ZERO;
        while now.since(start) < Duration::from_secs(10) {
            let began = now;
            now = now + piece;
            worked += piece;
            if let Some(rest) = pace.worked(began, now) {
                now = now + rest;
            }
            now = now + idle;
        }
        worked.as_secs_f64() / now.since(start).as_secs_f64()
    }

    #[test]
    fn a_burst_is_served_without_a_rest() {
        let mut now = Moment(1);
        let mut pace = Pace::new(now);
        for _ in 0..19 {
            let began = now;
            now = now + Duration::from_millis(1);
            assert_eq!(pace.worked(began, now), None);
        }
    }

    #[test]
    fn what_comes_seldom_never_rests() {
        let mut now = Moment(1);
        let mut pace = Pace::new(now);
        for _ in 0..1000 {
            let began = now;
            now = now + Duration::from_millis(1);
            assert_eq!(pace.worked(began, now), None);
            now = now + Duration::from_millis(10);
        }
    }

    proptest! {
        #[test]
        fn a_flood_takes_its_share_and_no_more(micros in 10u64..5_000, idle in 0u64..100) {
            let share = share(Duration::from_micros(micros), Duration::from_micros(idle));
            prop_assert!(share < 0.36, "{share}");
        }
    }
}
