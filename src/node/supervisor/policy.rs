//! Who is restarted when a service ends, and when that is enough: the semantics
//! of OTP's `rest_for_one`, without tasks and without a clock of its own.
//!
//! Services are numbered in the order in which they were started; each may use
//! those before it. So when one ends, the ones after it hold what is gone: they
//! are stopped, the last first, and all are started again in order. Those before
//! it do not notice.

use crate::time::Moment;
use std::collections::VecDeque;
use std::time::Duration;

/// Failures within [`WINDOW`] that are met by a restart. One more ends the
/// process: what fails that often does not mend by itself, and init can do more
/// (a clean process, a pause, a reboot).
pub const MOST_RESTARTS: usize = 3;
/// The time that [`MOST_RESTARTS`] counts.
pub const WINDOW: Duration = Duration::from_secs(10);
/// The pause before the first restart; it doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause. Shorter than devices wait before they try again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Without a failure for so long, the pause starts small again.
const CALM: Duration = Duration::from_secs(60);

/// When a service is started again (OTP's restart kinds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// However it ended.
    Permanent,
    /// When it failed; to end by itself is its right.
    Transient,
    /// Never, not even when one before it fails.
    Temporary,
}

/// How a service ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It had nothing more to do.
    Done,
    /// It asks to be started anew because something has become better; no failure.
    Renew(String),
    /// It failed, panicked, or no longer turns; in words.
    Failed(String),
}

/// What the supervisor does about an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Leave,
    /// After the pause it starts this service and those after it.
    Restart {
        /// Before the first of them is started.
        pause: Duration,
    },
    /// Too many failures: it ends the process.
    GiveUp,
}

/// Counts failures.
#[derive(Debug, Default)]
pub struct Policy {
    failures: VecDeque<Moment>,
    streak: u32,
    last: Option<Moment>,
}

impl Policy {
    /// What to do about a service of this kind that ended like this.
    pub fn judge(&mut self, kind: Restart, end: &End, now: Moment) -> Verdict {
        let failed = match (kind, end) {
            (Restart::Temporary, _) | (Restart::Transient, End::Done) => return Verdict::Leave,
            (_, End::Renew(_)) => false,
            _ => true,
        };
        if !failed {
            return Verdict::Restart {
                pause: Duration::ZERO,
            };
        }
        while self
            .failures
            .front()
            .is_some_and(|first| now.since(*first) >= WINDOW)
        {
            self.failures.pop_front();
        }
        if self.failures.len() >= MOST_RESTARTS {
            return Verdict::GiveUp;
        }
        self.failures.push_back(now);
        if self.last.is_none_or(|last| now.since(last) >= CALM) {
            self.streak = 0;
        }
        self.last = Some(now);
        let factor = 1u32.checked_shl(self.streak).unwrap_or(u32::MAX);
        self.streak = self.streak.saturating_add(1);
        Verdict::Restart {
            pause: FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn failed() -> End {
        End::Failed("a defect".into())
    }

    fn at(milliseconds: u64) -> Moment {
        Moment(milliseconds * 1_000_000)
    }

    fn pause(verdict: &Verdict) -> Option<u128> {
        match verdict {
            Verdict::Restart { pause } => Some(pause.as_millis()),
            _ => None,
        }
    }

    #[test]
    fn the_fourth_failure_within_ten_seconds_ends_the_process() {
        let mut policy = Policy::default();
        for (n, wanted) in [100, 200, 400].into_iter().enumerate() {
            let verdict = policy.judge(Restart::Permanent, &failed(), at(n as u64 * 3_000));
            assert_eq!(pause(&verdict), Some(wanted));
        }
        let fourth = policy.judge(Restart::Transient, &failed(), at(9_999));
        assert_eq!(fourth, Verdict::GiveUp);
    }

    #[test]
    fn failures_that_are_far_apart_never_end_it_and_wait_at_most_five_seconds() {
        let mut policy = Policy::default();
        let mut longest = 0;
        for n in 0..100 {
            let verdict = policy.judge(Restart::Permanent, &failed(), at(n * 4_000));
            longest = longest.max(pause(&verdict).unwrap_or(u128::MAX));
        }
        assert_eq!(longest, 5_000);
    }

    #[test]
    fn after_a_calm_minute_a_restart_is_fast_again() {
        let mut policy = Policy::default();
        for n in 0..5 {
            let _ = policy.judge(Restart::Permanent, &failed(), at(n * 5_000));
        }
        let later = policy.judge(Restart::Permanent, &failed(), at(20_000 + 60_000));
        assert_eq!(pause(&later), Some(100));
    }

    #[test]
    fn each_kind_is_restarted_as_otp_does() {
        for (kind, end, restarted) in [
            (Restart::Permanent, End::Done, true),
            (Restart::Permanent, failed(), true),
            (Restart::Transient, End::Done, false),
            (Restart::Transient, failed(), true),
            (Restart::Temporary, End::Done, false),
            (Restart::Temporary, failed(), false),
        ] {
            let verdict = Policy::default().judge(kind, &end, at(0));
            assert_eq!(verdict != Verdict::Leave, restarted, "{kind:?} {end:?}");
        }
    }

    #[test]
    fn good_news_restart_at_once_and_are_not_counted() {
        let mut policy = Policy::default();
        for _ in 0..100 {
            let end = End::Renew("the disk is back".into());
            let verdict = policy.judge(Restart::Permanent, &end, at(0));
            assert_eq!(pause(&verdict), Some(0));
        }
    }

    proptest! {
        #[test]
        fn no_ten_seconds_see_more_restarts_than_three(steps in prop::collection::vec(0u64..6_000, 1..60)) {
            let mut policy = Policy::default();
            let mut now = 0;
            let mut restarts = Vec::new();
            for step in steps {
                now += step;
                match policy.judge(Restart::Permanent, &failed(), at(now)) {
                    Verdict::Restart { pause } => {
                        prop_assert!(pause >= FIRST_PAUSE && pause <= LONGEST_PAUSE);
                        restarts.push(now);
                    }
                    _ => break,
                }
            }
            for (first, fourth) in restarts.iter().zip(restarts.iter().skip(3)) {
                prop_assert!(fourth - first >= 10_000);
            }
        }
    }
}
