//! When the gateway is asked for what; without clock and sockets.
//!
//! While nothing is mapped: a search, then pauses that double from a minute to an
//! hour. While something is: all of it is renewed at half of the lease (RFC 6887,
//! section 11.2.1; RFC 6886, section 3.3), once more at half of what is left when
//! that fails, and a look every two minutes shows whether the gateway has forgotten
//! or has another address. What it tells by itself, or a network that has changed,
//! hurries that up; whoever tells lies about it hurries us three times and then once
//! a minute, so that never more than a few packets a minute leave.

use super::LEASE_MIN;
use crate::time::Moment;
use std::time::Duration;

/// The first pause after a search in vain.
const PAUSE_MIN: Duration = Duration::from_secs(60);
/// The longest: somebody may have switched it on at the router.
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// Between looks: a router's restart is noticed within this time even when it tells
/// nobody.
const LOOK_EVERY: Duration = Duration::from_secs(120);
/// The same while the device saves power.
const LOOK_RARELY: Duration = Duration::from_secs(900);
/// Looks without an answer until everything is asked for anew.
const LOOKS_MAX: u8 = 3;
/// Hurries that are followed at once; one more a minute.
const HURRIES_MAX: u8 = 3;
const HURRY_AGAIN: Duration = Duration::from_secs(60);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing until then.
    Wait(Moment),
    /// Find a way and ask for everything.
    Search,
    /// Ask for everything again, the same way.
    Renew,
    /// See whether it is all there.
    Look,
}

/// What a look has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// All is as it was.
    Fine,
    /// The gateway has forgotten, or has another address.
    Changed,
    /// No answer.
    Silent,
}

/// See the module's text.
#[derive(Debug)]
pub struct Plan {
    held: Option<Times>,
    /// When to search next, while nothing is held.
    search: Moment,
    pause: Duration,
    hurries: u8,
    hurried: Moment,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    renew: Moment,
    until: Moment,
    look: Moment,
    silent: u8,
}

impl Plan {
    /// Searches at once.
    #[must_use]
    pub fn new(now: Moment) -> Plan {
        Plan {
            held: None,
            search: now,
            pause: PAUSE_MIN,
            hurries: 0,
            hurried: now,
        }
    }

    /// What is due now.
    #[must_use]
    pub fn next(&self, now: Moment) -> Step {
        let Some(times) = &self.held else {
            return match self.search <= now {
                true => Step::Search,
                false => Step::Wait(self.search),
            };
        };
        if times.until <= now {
            Step::Search
        } else if times.renew <= now {
            Step::Renew
        } else if times.look <= now {
            Step::Look
        } else {
            Step::Wait(times.renew.min(times.look))
        }
    }

    /// Everything is mapped for `lease`.
    pub fn granted(&mut self, now: Moment, lease: Duration, saving: bool) {
        let lease = lease.max(LEASE_MIN);
        self.pause = PAUSE_MIN;
        self.held = Some(Times {
            renew: now + lease / 2,
            until: now + lease,
            look: now + Plan::rest(saving),
            silent: 0,
        });
    }

    fn rest(saving: bool) -> Duration {
        match saving {
            true => LOOK_RARELY,
            false => LOOK_EVERY,
        }
    }

    /// A search or a renewal was in vain. True when nothing is held any more.
    pub fn failed(&mut self, now: Moment) -> bool {
        if let Some(times) = &mut self.held {
            let left = times.until.since(now);
            if left > LEASE_MIN {
                times.renew = now + left / 2;
                times.look = now + LOOK_EVERY;
                return false;
            }
        }
        self.lost(now);
        true
    }

    /// The gateway has no address any more: what it gave leads nowhere. It may have
    /// another one in a minute.
    pub fn lost(&mut self, now: Moment) {
        self.held = None;
        self.search = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// What a look has shown.
    pub fn looked(&mut self, now: Moment, seen: Seen, saving: bool) {
        let Some(times) = &mut self.held else {
            return;
        };
        times.look = now + Plan::rest(saving);
        times.silent = match seen {
            Seen::Silent => times.silent.saturating_add(1),
            _ => 0,
        };
        if seen == Seen::Changed {
            times.renew = now;
        } else if times.silent >= LOOKS_MAX {
            // It may be another gateway by now, with other ways.
            times.until = now;
        }
    }

    /// The gateway, or whoever speaks in its name, says that something has changed.
    pub fn hurry(&mut self, now: Moment) {
        let passed = now.since(self.hurried).as_secs() / HURRY_AGAIN.as_secs();
        let passed = u8::try_from(passed).unwrap_or(u8::MAX);
        if passed > 0 {
            self.hurries = self.hurries.saturating_sub(passed);
            self.hurried = now;
        }
        let follows = self.hurries < HURRIES_MAX;
        let due = match follows {
            true => now,
            false => self.hurried + HURRY_AGAIN,
        };
        match &mut self.held {
            // Already so.
            Some(times) if times.renew <= due => return,
            Some(times) => times.renew = due,
            None if self.search <= due => return,
            None => self.search = due,
        }
        if follows {
            self.hurries += 1;
        } else {
            // It takes the one that the next minute would have brought.
            self.hurried = due;
        }
    }

    /// It is another network, or another gateway: nothing of before counts.
    pub fn start_over(&mut self, now: Moment) {
        self.held = None;
        self.pause = PAUSE_MIN;
        // Leases of DHCP come and go in pairs.
        self.search = now.max(self.search.min(now + PAUSE_MIN / 30));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Moment {
        Moment(seconds * 1_000_000_000)
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_gateway_that_never_answers_is_asked_less_and_less() {
        let mut plan = Plan::new(at(1));
        let mut searches = 0;
        for second in 1..86_400 {
            if plan.next(at(second)) == Step::Search {
                searches += 1;
                assert!(plan.failed(at(second)));
            }
        }
        assert!((24..=32).contains(&searches), "{searches} in a day");
    }

    #[test]
    fn mappings_are_renewed_at_half_of_their_lease_and_searched_for_when_lost() {
        let mut plan = Plan::new(at(0));
        plan.granted(at(0), HOUR, true);
        assert_eq!(plan.next(at(10)), Step::Wait(at(900)));
        assert_eq!(plan.next(at(900)), Step::Look);
        plan.looked(at(900), Seen::Fine, true);
        assert_eq!(plan.next(at(1800)), Step::Renew);
        assert!(!plan.failed(at(1800)));
        assert_eq!(plan.next(at(1801)), Step::Wait(at(1920)), "a look");
        plan.looked(at(1920), Seen::Fine, true);
        assert_eq!(plan.next(at(2700)), Step::Renew);
        assert!(!plan.failed(at(2700)));
        assert!(!plan.failed(at(3150)));
        assert!(!plan.failed(at(3375)));
        assert!(plan.failed(at(3500)), "a lease that is over is no lease");
        assert_eq!(plan.next(at(3500)), Step::Wait(at(3560)));
    }

    #[test]
    fn a_gateway_that_forgot_is_asked_at_once_and_a_silent_one_is_searched() {
        let mut plan = Plan::new(at(0));
        plan.granted(at(0), HOUR, false);
        assert_eq!(plan.next(at(120)), Step::Look);
        plan.looked(at(120), Seen::Changed, false);
        assert_eq!(plan.next(at(120)), Step::Renew);
        plan.granted(at(121), HOUR, false);
        for n in 1..=3 {
            assert_eq!(plan.next(at(121 + n * 120)), Step::Look);
            plan.looked(at(121 + n * 120), Seen::Silent, false);
        }
        assert_eq!(plan.next(at(481)), Step::Search);
    }

    #[test]
    fn whoever_cries_wolf_gets_few_packets_out_of_us() {
        let mut plan = Plan::new(at(0));
        plan.granted(at(0), HOUR, false);
        let mut renewals = 0;
        for second in 1..600 {
            for _ in 0..100 {
                plan.hurry(at(second));
            }
            if plan.next(at(second)) == Step::Renew {
                renewals += 1;
                plan.granted(at(second), HOUR, false);
            }
        }
        assert!(renewals <= 14, "{renewals} in ten minutes");
        assert!(renewals >= 8, "{renewals}: who tells the truth is believed");
    }

    proptest! {
        #[test]
        fn there_is_always_something_to_wait_for(words in proptest::collection::vec((0u8..6, 0u64..5000), 1..60)) {
            let mut plan = Plan::new(at(0));
            let mut now = 0;
            for (word, passed) in words {
                now += passed;
                match word {
                    0 => plan.granted(at(now), Duration::from_secs(passed), false),
                    1 => drop(plan.failed(at(now))),
                    2 => plan.looked(at(now), Seen::Silent, true),
                    3 => plan.looked(at(now), Seen::Changed, false),
                    4 => plan.hurry(at(now)),
                    _ => plan.start_over(at(now)),
                }
                if let Step::Wait(until) = plan.next(at(now)) {
                    prop_assert!(until > at(now));
                    prop_assert!(until <= at(now + 3600));
                }
            }
        }
    }
}
