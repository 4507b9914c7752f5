//! How often strangers may make this node check a signature.
//!
//! A request comes this far with a valid cookie, so its source is the place where
//! it was sent from: a source that floods is slowed down alone. Sources are kept in
//! a table of fixed size; when it is full of busy ones, all newcomers share what
//! is left for strangers.

use crate::dht::subnet::is_private;
use crate::time::Moment;
use std::net::{IpAddr, SocketAddr};

/// Requests a second of one source. A node that publishes ten devices a second in a
/// network of three nodes asks each of them twenty times a second; the largest
/// bench asks fifty. A source costs at most 3 % of one core.
const SOURCE_RATE: u32 = 100;
/// Requests of one source at once: a node that has just started fills its table.
const SOURCE_BURST: u32 = 200;
/// Signature checks a second for all who are not in the routing table: 6 % of a
/// core here, a third of a Raspberry Pi's.
const STRANGERS_RATE: u32 = 400;
/// Likewise at once.
const STRANGERS_BURST: u32 = 800;
/// Challenges a second. They cost a hash and a packet no longer than the one that
/// caused it; beyond this a flood gets nothing, and neither does a newcomer, who
/// asks again.
const CHALLENGE_RATE: u32 = 2000;
/// Sources that are remembered: 24 bytes each.
const SOURCES_MAX: usize = 256;

/// A token bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// In thousandths.
    tokens: u32,
    filled: Moment,
}

impl Bucket {
    pub(super) fn full(burst: u32, now: Moment) -> Bucket {
        Bucket {
            tokens: burst.saturating_mul(1000),
            filled: now,
        }
    }

    fn fill(&mut self, rate: u32, burst: u32, now: Moment) {
        let passed = u64::try_from(now.since(self.filled).as_micros()).unwrap_or(u64::MAX);
        // A token a second is a thousandth a millisecond.
        let fresh = passed.saturating_mul(u64::from(rate)) / 1000;
        if fresh > 0 {
            self.filled = now;
            let tokens = u64::from(self.tokens).saturating_add(fresh);
            self.tokens = tokens.min(u64::from(burst) * 1000) as u32;
        }
    }

    /// Takes one; false when there is none.
    pub(super) fn take(&mut self, rate: u32, burst: u32, now: Moment) -> bool {
        self.fill(rate, burst, now);
        let there = self.tokens >= 1000;
        if there {
            self.tokens -= 1000;
        }
        there
    }
}

/// See the module's top.
pub(super) struct Gate {
    sources: Vec<(u64, Bucket)>,
    strangers: Bucket,
    challenges: Bucket,
}

impl Gate {
    pub(super) fn new(now: Moment) -> Gate {
        Gate {
            sources: Vec::new(),
            strangers: Bucket::full(STRANGERS_BURST, now),
            challenges: Bucket::full(CHALLENGE_RATE, now),
        }
    }

    /// Whether a CHALLENGE may be sent.
    pub(super) fn challenge(&mut self, now: Moment) -> bool {
        self.challenges.take(CHALLENGE_RATE, CHALLENGE_RATE, now)
    }

    /// Whether a request with a valid cookie may cost a signature check. `known`:
    /// its sender says that it is somebody of the routing table, from whose address
    /// it comes.
    pub(super) fn admit(&mut self, now: Moment, from: SocketAddr, known: bool) -> bool {
        let key = source(from);
        let place = self.sources.iter().position(|(other, _)| *other == key);
        let place = place.or_else(|| self.place(now));
        if let Some((holder, bucket)) = place.and_then(|place| self.sources.get_mut(place)) {
            if *holder != key {
                (*holder, *bucket) = (key, Bucket::full(SOURCE_BURST, now));
            }
            if !bucket.take(SOURCE_RATE, SOURCE_BURST, now) {
                return false;
            }
            if known {
                return true;
            }
        }
        self.strangers.take(STRANGERS_RATE, STRANGERS_BURST, now)
    }

    /// A request of this source has cost so many signature checks more.
    pub(super) fn charge(&mut self, from: SocketAddr, checks: u32) {
        let key = source(from);
        if let Some((_, bucket)) = self.sources.iter_mut().find(|(other, _)| *other == key) {
            bucket.tokens = bucket.tokens.saturating_sub(checks.saturating_mul(1000));
        }
    }

    /// A place for a new source: a new one, or that of a source which has been quiet
    /// for so long that it might as well be new.
    fn place(&mut self, now: Moment) -> Option<usize> {
        if self.sources.len() < SOURCES_MAX {
            if self.sources.len() == self.sources.capacity() {
                self.sources.reserve_exact(16);
            }
            // Nobody's key: `admit` puts its own there.
            self.sources.push((u64::MAX, Bucket::full(0, now)));
            return self.sources.len().checked_sub(1);
        }
        let full = SOURCE_BURST * 1000;
        for (_, bucket) in &mut self.sources {
            bucket.fill(SOURCE_RATE, SOURCE_BURST, now);
        }
        let quiet = |(_, bucket): &(u64, Bucket)| bucket.tokens == full;
        self.sources.iter().position(quiet)
    }
}

/// What counts as one source: an IPv4 address, a /64 of IPv6; on a private address,
/// behind which whole networks of nodes run side by side in tests and homes, with
/// its port.
fn source(from: SocketAddr) -> u64 {
    let ip = from.ip().to_canonical();
    let port = if is_private(ip) { from.port() } else { 0 };
    match ip {
        IpAddr::V4(ip) => u64::from(ip.to_bits()) << 16 | u64::from(port),
        // No address of IPv4 has the top bit.
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64 ^ u64::from(port) | 1 << 63,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    fn at(n: u32) -> SocketAddr {
        SocketAddr::new(IpAddr::V4((0x0800_0000 + n).into()), 5)
    }

    fn admitted(gate: &mut Gate, now: Moment, from: SocketAddr, tries: u32) -> u32 {
        (0..tries).filter(|_| gate.admit(now, from, true)).count() as u32
    }

    #[test]
    fn a_source_that_floods_is_slowed_down_and_others_are_not() {
        let now = Moment(1_000_000_000);
        let mut gate = Gate::new(now);
        assert_eq!(admitted(&mut gate, now, at(1), 1000), SOURCE_BURST);
        assert!(gate.admit(now, at(2), true));
        let later = now + Duration::from_millis(100);
        assert_eq!(admitted(&mut gate, later, at(1), 1000), SOURCE_RATE / 10);
    }

    #[test]
    fn a_request_with_many_signatures_in_it_costs_its_source_as_many_requests() {
        let now = Moment(1_000_000_000);
        let mut gate = Gate::new(now);
        let mut taken = 0;
        while gate.admit(now, at(1), true) {
            gate.charge(at(1), 9);
            taken += 1;
        }
        assert_eq!(taken, SOURCE_BURST / 10);
        gate.charge(at(2), 9);
        assert!(
            gate.admit(now, at(2), true),
            "not in the table, and not in debt"
        );
    }

    #[test]
    fn many_small_steps_of_time_refill_as_much_as_one_large_one() {
        let mut now = Moment(1_000_000_000);
        let mut gate = Gate::new(now);
        admitted(&mut gate, now, at(1), 1000);
        let mut count = 0;
        for _ in 0..100_000 {
            now = now + Duration::from_micros(10);
            count += u32::from(gate.admit(now, at(1), true));
        }
        assert_eq!(count, SOURCE_RATE);
    }

    #[test]
    fn more_sources_than_places_do_not_grow_the_table_nor_the_number_of_checks() {
        let now = Moment(1_000_000_000);
        let mut gate = Gate::new(now);
        let tries = 0..10_000u32;
        let taken = tries.filter(|n| gate.admit(now, at(*n), false)).count();
        assert_eq!(taken, STRANGERS_BURST as usize);
        assert!(gate.sources.len() <= SOURCES_MAX);
        // Who is known and was there before is served on.
        assert!(gate.admit(now, at(3), true));
        // When they have become quiet, their places are free again.
        let later = now + Duration::from_secs(60);
        assert!(gate.admit(later, at(20_000), false));
        assert!(gate
            .sources
            .iter()
            .any(|(key, _)| *key == source(at(20_000))));
    }

    #[test]
    fn two_hosts_of_one_site_are_one_source_and_two_programs_at_home_are_not() {
        let of = |text: &str| source(text.parse().unwrap());
        assert_eq!(of("[2001:db8::1]:5"), of("[2001:db8::ffff]:6"));
        assert_ne!(of("[2001:db8::1]:5"), of("[2001:db8:0:1::1]:5"));
        assert_eq!(of("8.8.8.8:5"), of("[::ffff:8.8.8.8]:6"));
        assert_ne!(of("127.0.0.1:5"), of("127.0.0.1:6"));
    }
}
