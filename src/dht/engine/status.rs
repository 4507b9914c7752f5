//! What others may want to know of a node, and what they may change.

use super::reach::{Change, SeenAt};
use super::requests::Why;
use super::{Engine, Event, Known, Serve, Stats};
use crate::dht::seal::Wall;
use crate::sorted;
use crate::time::Moment;
use crate::wire::dht::Body;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Round trips of which percentiles are told; 4 bytes each.
const ROUND_TRIPS: usize = 128;

/// The latest round trips, in microseconds.
#[derive(Default)]
pub(super) struct RoundTrips {
    latest: Vec<u32>,
    next: usize,
}

impl RoundTrips {
    pub(super) fn push(&mut self, rtt: Duration) {
        let micros = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
        if self.latest.len() < ROUND_TRIPS {
            self.latest.push(micros);
        } else if let Some(place) = self.latest.get_mut(self.next) {
            *place = micros;
        }
        self.next = (self.next + 1) % ROUND_TRIPS;
    }

    fn percentiles(&self) -> [Duration; 3] {
        let mut sorted = self.latest.clone();
        sorted::sort(&mut sorted);
        [50, 90, 99].map(|percent| {
            let place = sorted.len().saturating_sub(1) * percent / 100;
            let micros = sorted.get(place).copied().unwrap_or(0);
            Duration::from_micros(u64::from(micros))
        })
    }
}

impl Engine {
    /// Whether others may put this node into their tables at the moment.
    #[must_use]
    pub fn serving(&self) -> bool {
        match self.config.serve {
            Serve::Yes => true,
            Serve::No => false,
            Serve::Auto => self.reach.reachable() == Some(true),
        }
    }

    /// Whether strangers can reach this node; none: not known yet.
    #[must_use]
    pub fn reachable(&self) -> Option<bool> {
        self.reach.reachable()
    }

    /// Where others see this node.
    #[must_use]
    pub fn outside(&self) -> Option<SocketAddr> {
        self.reach.outside()
    }

    /// A setting has changed.
    pub fn set_serve(&mut self, now: Moment, serve: Serve) {
        self.config.serve = serve;
        self.hurry(now);
    }

    /// The machine's interfaces have changed.
    pub fn set_interfaces(&mut self, now: Moment, interfaces: Vec<IpAddr>) {
        self.reach.set_interfaces(&interfaces, now);
        self.wake(now);
    }

    /// The routers say where the peer port leads from outside, by IPv4 and by IPv6;
    /// none: it does not any more.
    pub fn set_mapped(&mut self, now: Moment, mapped: [Option<SocketAddr>; 2]) {
        self.reach.set_mapped(mapped, now);
        self.tell_changes();
    }

    /// Where others see this node, by IPv4 and by IPv6.
    #[must_use]
    pub fn places(&self) -> [Option<SeenAt>; 2] {
        self.reach.places()
    }

    /// The device slept or its network has changed: everybody is asked again.
    pub fn wake(&mut self, now: Moment) {
        self.reach.forget(now);
        self.hurry(now);
        self.join_again(now);
    }

    /// Median of the unix times of at least five authenticated nodes of different
    /// subnets, brought forward to `now`.
    #[must_use]
    pub fn network_time(&self, now: Moment) -> Option<u64> {
        self.hours.median(now)
    }

    /// Figures since the beginning.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            nodes: self.table.len(),
            values: self.storage.len(),
            value_bytes: self.storage.bytes(),
            rtt: self.round_trips.percentiles(),
            ..self.stats.clone()
        }
    }

    /// Nodes worth remembering, the most reliable first; at most `most`.
    #[must_use]
    pub fn contacts(&self, now: Moment, wall: Wall, most: usize) -> Vec<Known> {
        let unix = |at: Moment| match wall.trusted {
            true => wall.unix.saturating_sub(now.since(at).as_secs()),
            false => 0,
        };
        let peers = self.table.iter().map(|peer| Known {
            contact: peer.contact,
            first_seen: match peer.first_seen {
                0 => unix(peer.since),
                known => known,
            },
            last_seen: unix(peer.heard),
            successes: peer.answers,
            failures: peer.failures,
            rtt: peer.rtt.round_trip().unwrap_or_default(),
            in_table: true,
        });
        let lost = self.lost.iter().map(|lost| Known {
            contact: lost.contact,
            first_seen: lost.first_seen,
            last_seen: lost.last.map_or(lost.last_seen, unix),
            successes: lost.answers,
            failures: lost.failures,
            rtt: lost.rtt,
            in_table: false,
        });
        let mut all: Vec<Known> = peers.chain(lost).collect();
        let rank = |known: &Known| (known.in_table, known.reliability());
        sorted::sort_by(&mut all, |a, b| {
            let (a_in, a_good) = rank(a);
            let (b_in, b_good) = rank(b);
            b_in.cmp(&a_in).then(b_good.total_cmp(&a_good))
        });
        all.truncate(most);
        all
    }

    pub(super) fn look_due(&self) -> Option<Moment> {
        let looks = self.is_joined() && self.config.serve == Serve::Auto;
        looks.then(|| self.reach.due())?
    }

    /// Has our outside address looked at, if it is time, and tells what is new.
    pub(super) fn look_outside(&mut self, now: Moment) {
        if self.look_due().is_some_and(|due| due <= now) {
            if let Some(place) = self.reach.check(now, &mut self.numbers) {
                // The address that it looks at is the one that it sees.
                let v4 = place.ip().to_canonical().is_ipv4();
                let fits = |ip: IpAddr| ip.to_canonical().is_ipv4() == v4;
                let peers = self.table.iter().filter(|p| p.missed == 0);
                let peers: Vec<_> = peers.filter(|p| fits(p.contact.at.ip())).collect();
                let contact = peers.get(self.numbers.below(peers.len()));
                if let Some(contact) = contact.map(|peer| peer.contact) {
                    let serving = self.serving();
                    let check = Some(place);
                    self.ask(now, contact, Body::Ping { serving, check }, Why::Outside);
                }
            }
        }
        self.tell_changes();
    }

    /// Events of what has been found out about our address.
    pub(super) fn tell_changes(&mut self) {
        while let Some(change) = self.reach.take_change() {
            let event = match change {
                Change::Outside(at) => {
                    self.table.set_exempt(self.exempt());
                    Event::OutsideAddress(at)
                }
                Change::Reachable(reachable) => Event::Reachable(reachable),
            };
            self.event(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_latest_round_trips() {
        let mut trips = RoundTrips::default();
        assert_eq!(trips.percentiles(), [Duration::ZERO; 3]);
        (0..50).for_each(|_| trips.push(Duration::from_secs(9)));
        for ms in 1..=ROUND_TRIPS as u64 {
            trips.push(Duration::from_millis(ms));
        }
        let expected = [64, 115, 126].map(Duration::from_millis);
        assert_eq!(trips.percentiles(), expected);
        assert_eq!(trips.latest.len(), ROUND_TRIPS);
    }
}
