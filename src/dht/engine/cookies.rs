//! Cookies of nodes that are not in the routing table.
//!
//! A lookup meets strangers, and each of them asks for a cookie first, which costs
//! a round trip. Whom we met within the last hours we do not meet as a stranger:
//! who looks for the same device again, or stores the same records every hour,
//! asks the same nodes.

use crate::dht::rtt::ContactEstimate;
use crate::time::Moment;
use std::net::SocketAddr;
use std::time::Duration;

/// Strangers that are remembered, 64 bytes each: those of four lookups.
const MET_MAX: usize = 128;
/// Cookies are good for one to two hours.
const LIFE: Duration = Duration::from_secs(2 * 3600);

#[derive(Clone, Copy, Debug)]
struct Met {
    at: SocketAddr,
    cookie: u64,
    rtt: ContactEstimate,
    when: Moment,
}

impl Met {
    fn new(at: SocketAddr, when: Moment) -> Met {
        Met {
            at,
            cookie: 0,
            rtt: ContactEstimate::default(),
            when,
        }
    }
}

/// See the module's top.
#[derive(Default)]
pub(super) struct Strangers {
    met: Vec<Met>,
}

impl Strangers {
    /// A node at `at` has given us a cookie after `rtt`.
    pub(super) fn met(&mut self, now: Moment, at: SocketAddr, cookie: u64, rtt: Duration) {
        let known = self.met.iter().position(|met| met.at == at);
        let place = known.unwrap_or_else(|| self.place());
        let Some(met) = self.met.get_mut(place) else {
            return;
        };
        if met.at != at {
            *met = Met::new(at, now);
        }
        (met.cookie, met.when) = (cookie, now);
        met.rtt.sample(rtt);
    }

    /// A new place, or the one of whom we met the longest time ago.
    fn place(&mut self) -> usize {
        if self.met.len() >= MET_MAX {
            let oldest = self.met.iter().enumerate().min_by_key(|(_, met)| met.when);
            return oldest.map_or(0, |(place, _)| place);
        }
        if self.met.len() == self.met.capacity() {
            self.met.reserve_exact(16);
        }
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        self.met.push(Met::new(nowhere, Moment(0)));
        self.met.len() - 1
    }

    fn find(&self, now: Moment, at: SocketAddr) -> Option<&Met> {
        let met = self.met.iter().find(|met| met.at == at)?;
        (now.since(met.when) < LIFE).then_some(met)
    }

    /// The cookie for a request to `at`; 0: none.
    pub(super) fn cookie(&self, now: Moment, at: SocketAddr) -> u64 {
        self.find(now, at).map_or(0, |met| met.cookie)
    }

    /// Round trips to `at`, if it was met.
    pub(super) fn rtt(&self, now: Moment, at: SocketAddr) -> Option<ContactEstimate> {
        self.find(now, at).map(|met| met.rtt)
    }

    /// A cookie was not good any more, or its giver has moved into the table.
    pub(super) fn forget(&mut self, at: SocketAddr) {
        self.met.retain(|met| met.at != at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_acquaintance_makes_room() {
        let at = |n: u16| SocketAddr::from(([127, 0, 0, 1], n));
        let mut strangers = Strangers::default();
        for n in 1..=MET_MAX as u16 + 1 {
            let now = Moment(u64::from(n) * 1_000_000_000);
            strangers.met(now, at(n), u64::from(n), Duration::from_millis(5));
        }
        let now = Moment(MET_MAX as u64 * 1_000_000_000);
        assert_eq!(strangers.met.len(), MET_MAX);
        assert_eq!(strangers.cookie(now, at(1)), 0);
        assert_eq!(strangers.cookie(now, at(2)), 2);
        assert_eq!(strangers.cookie(now + LIFE, at(2)), 0, "its hour is over");
        strangers.forget(at(3));
        assert_eq!(strangers.cookie(now, at(3)), 0);
    }
}
