//! Rates, and what they come to.

use crate::tokens::Tokens;

use super::row::RewardRow;
use super::score::PERFECT;

/// Ticket value that [`Rates::gigabyte`] is for.
const GIGABYTE: u64 = 1_000_000_000;
/// Milliseconds that [`Rates::hour`] is for.
const HOUR_MS: u64 = 3_600_000;
/// What is known of less time than this says nothing of a day, in seconds.
const PROJECT_FROM: u64 = 600;
const DAY: u64 = 86_400;

/// What is earned by what; `None`: nothing by that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Tokens for a gigabyte of ticket value.
    pub gigabyte: Option<Tokens>,
    /// Tokens for an hour of being up, at a perfect performance score.
    pub hour: Option<Tokens>,
}

impl Rates {
    /// What a period earns: its ticket value by the gigabyte, and the time that the
    /// node was up by the hour, times the performance score where one was
    /// measured. Each of the two is rounded down to 10^-18 tokens. `None` without
    /// any rate.
    #[must_use]
    pub fn earned(&self, period: &RewardRow) -> Option<Tokens> {
        if self.gigabyte.is_none() && self.hour.is_none() {
            return None;
        }
        let gigabyte = self.gigabyte.unwrap_or_default();
        let hour = self.hour.unwrap_or_default();
        let score = period.measures.performance().unwrap_or(PERFECT);
        // A period of a day at a perfect score is 8.64 * 10^10.
        let worked = period.up_ms.saturating_mul(score);
        let traffic = gigabyte.times(period.tickets.value, GIGABYTE);
        let time = hour.times(worked, HOUR_MS * PERFECT);
        Some(traffic.plus(time))
    }
}

/// What the present pace comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Projection {
    /// In 24 hours.
    pub day: Option<Tokens>,
    /// In 30 days.
    pub month: Option<Tokens>,
    /// Seconds of the past by which it is known.
    pub seconds: u64,
}

impl Projection {
    /// Of the latest periods, the newest first, which reach up to `now`: those that
    /// began within the last day, by the rates of today.
    pub(super) fn of<'a>(
        periods: impl Iterator<Item = &'a RewardRow>,
        rates: &Rates,
        now: u64,
    ) -> Projection {
        let mut sum = Some(Tokens::default());
        let mut seconds = 0;
        for period in periods {
            let age = now.saturating_sub(period.start);
            if age > DAY {
                break;
            }
            seconds = age.max(seconds);
            sum = match (sum, rates.earned(period)) {
                (Some(sum), Some(more)) => Some(sum.plus(more)),
                _ => None,
            };
        }
        let sum = sum.filter(|_| seconds >= PROJECT_FROM);
        Projection {
            day: sum.map(|sum| sum.times(DAY, seconds)),
            month: sum.map(|sum| sum.times(30 * DAY, seconds)),
            seconds,
        }
    }
}
