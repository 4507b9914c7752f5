//! Nodes that have gone, and how a network that was torn heals.
//!
//! When a part of the network is cut off, its nodes fall out of the tables of the
//! others one by one; both parts live on and know nothing of each other. So a node
//! remembers some of those that left and asks one of them now and then. When
//! several are back within a minute, it was not they who had gone: then all of
//! them are asked, the own neighbourhood is searched anew (twice more a little
//! later, when the others have done so, too), and records are compared with
//! whoever turns out to be near.

use super::requests::Why;
use super::Engine;
use crate::dht::peer::Peer;
use crate::time::Moment;
use crate::wire::dht::{Body, Contact};
use std::time::Duration;

/// Nodes that are remembered, 96 bytes each. When half of a table is cut off, so
/// many of 64 are of the other part that the first one asked is back.
const LOST_MAX: usize = 64;
/// Who did not come back within a day is forgotten.
const LOST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Time between two of these questions of a node that serves: 160 bytes that nobody
/// answers, 13 bytes a second.
const LOST_INTERVAL: Duration = Duration::from_secs(12);
/// Of a client, which keeps nothing for others and costs its battery.
const LOST_INTERVAL_CLIENT: Duration = Duration::from_secs(180);
/// So many back within [`RETURN_WINDOW`] are a part of the network.
const RETURNS: usize = 3;
/// See [`RETURNS`].
const RETURN_WINDOW: Duration = Duration::from_secs(60);
/// Asked at once when the first is back, to know soon whether others are.
const RETURN_PROBES: usize = 6;
/// When the neighbourhood is searched again after it was found to heal.
const REJOIN: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(40),
    Duration::from_secs(120),
];

/// A node that has gone.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    pub(super) contact: Contact,
    since: Moment,
    pub(super) first_seen: u64,
    /// When it was heard last, in this run or (unix seconds) in an earlier one.
    pub(super) last: Option<Moment>,
    pub(super) last_seen: u64,
    pub(super) answers: u32,
    pub(super) failures: u32,
    pub(super) rtt: Duration,
}

impl Engine {
    /// A node has lost its place in the table because it is silent.
    pub(super) fn gone(&mut self, now: Moment, peer: Peer) {
        let lost = Lost {
            contact: peer.contact,
            since: now,
            first_seen: peer.first_seen,
            last: Some(peer.heard),
            last_seen: 0,
            answers: peer.answers,
            failures: peer.failures,
            rtt: peer.rtt.round_trip().unwrap_or_default(),
        };
        self.remember(lost);
    }

    /// A node from an earlier run.
    pub(super) fn remember_known(&mut self, now: Moment, known: &super::Known) {
        self.remember(Lost {
            contact: known.contact,
            since: now,
            first_seen: known.first_seen,
            last: None,
            last_seen: known.last_seen,
            answers: known.successes,
            failures: known.failures,
            rtt: known.rtt,
        });
    }

    fn remember(&mut self, lost: Lost) {
        self.lost
            .retain(|other| other.contact.id != lost.contact.id);
        if self.lost.len() >= LOST_MAX {
            // Any of them: who goes first must not decide which part is forgotten.
            let place = self.numbers.below(LOST_MAX);
            self.lost.swap_remove(place);
        }
        self.lost.push(lost);
    }

    pub(super) fn lost_due(&self) -> Option<Moment> {
        let rejoin = self.rejoin.first().copied();
        let next = (!self.lost.is_empty() && self.is_joined()).then_some(self.next_lost);
        next.into_iter().chain(rejoin).min()
    }

    /// Asks the next of those that have gone, and searches again what is to be
    /// searched again.
    pub(super) fn look_for_lost(&mut self, now: Moment) {
        while self.rejoin.first().is_some_and(|at| *at <= now) {
            self.rejoin.remove(0);
            self.find_neighbourhood(now);
            self.fill_buckets();
        }
        if now < self.next_lost || !self.is_joined() {
            return;
        }
        let interval = match self.serving() {
            true => LOST_INTERVAL,
            false => LOST_INTERVAL_CLIENT,
        };
        self.next_lost = now + self.numbers.about(interval);
        self.lost.retain(|lost| now.since(lost.since) < LOST_LIFE);
        self.probe_lost(now, 1);
    }

    fn probe_lost(&mut self, now: Moment, most: usize) {
        for _ in 0..most.min(self.lost.len()) {
            // In turn: whoever is asked goes to the end.
            let lost = self.lost.remove(0);
            let contact = lost.contact;
            self.lost.push(lost);
            self.ping(now, contact, Why::Lost);
        }
    }

    /// Somebody that had gone has answered.
    pub(super) fn returned(&mut self, now: Moment, from: Contact) {
        self.lost.retain(|lost| lost.contact.id != from.id);
        self.returns.retain(|at| now.since(*at) < RETURN_WINDOW);
        if self.returns.len() < RETURNS {
            self.returns.push(now);
        }
        if self.returns.len() == 1 {
            self.probe_lost(now, RETURN_PROBES);
        }
        if self.returns.len() >= RETURNS && self.rejoin.is_empty() {
            self.returns.clear();
            self.probe_lost(now, LOST_MAX);
            self.rejoin = REJOIN.map(|wait| now + self.numbers.about(wait)).to_vec();
            self.hurry(now);
        }
    }

    /// A PING without anything else.
    pub(super) fn ping(&mut self, now: Moment, contact: Contact, why: Why) {
        let serving = self.serving();
        let body = Body::Ping {
            serving,
            check: None,
        };
        self.ask(now, contact, body, why);
    }
}
