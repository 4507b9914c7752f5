//! Records that this node has put into the network and keeps there.
//!
//! They are stored anew every [`super::Config::republish`] (Kademlia, section 2.5:
//! every hour, because by then half of the replicas may have left), sooner when
//! nobody took them, and as soon as the node takes part. A node that saves power or
//! bytes does it half as often: they are kept for a day.

use super::search::Purpose;
use super::{Engine, Op, Serve};
use crate::dht::record::ValidRecord;
use crate::dht::seal::Wall;
use crate::dht::storage::Source;
use crate::dht::subnet::narrow;
use crate::identity::Address;
use crate::time::Moment;
use crate::wire::dht::{Contact, Entry};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Records that are stored anew at the same time: each is a lookup.
const AT_ONCE: usize = 4;
/// After a store that nobody took: a lookup's time-outs have passed by then.
const RETRY: Duration = Duration::from_secs(15);
/// How many times less often a node does it that must not serve: a phone, or one that
/// saves. By then a quarter of the replicas is left, five of twenty.
const THRIFTY_FACTOR: u32 = 2;

/// A record of ours.
pub(super) struct Own {
    pub(super) record: ValidRecord,
    next: Moment,
    /// It is being stored.
    busy: bool,
    /// Somebody has it.
    stored: bool,
}

impl Engine {
    fn again(&self) -> Duration {
        let thrifty = self.config.serve == Serve::No;
        self.config.republish * if thrifty { THRIFTY_FACTOR } else { 1 }
    }

    /// [`Engine::store`], and again every [`super::Config::republish`] until it is
    /// withdrawn, has run out, or is replaced by a newer record of the same subject
    /// and author. What nobody takes is offered again.
    pub fn publish(&mut self, now: Moment, wall: Wall, record: ValidRecord) -> Op {
        let entry = *record.entry();
        self.own.retain(|own| !same(own.record.entry(), &entry));
        let again = self.again();
        let next = now + self.numbers.about(again);
        self.own.push(Own {
            record: record.clone(),
            next,
            busy: true,
            stored: false,
        });
        self.store(now, wall, record)
    }

    /// Stores a record at the k nodes closest to its key, once.
    pub fn store(&mut self, now: Moment, wall: Wall, record: ValidRecord) -> Op {
        self.wall = wall;
        let op = self.begin();
        let key = record.key();
        self.search(now, Some(op), key, Purpose::Store(Box::new(record)));
        op
    }

    /// Republishes nothing of `key` any more that this node has published; how many
    /// records that were. What others have of it runs out.
    pub fn withdraw(&mut self, key: Address) -> usize {
        let before = self.own.len();
        self.own.retain(|own| own.record.key() != key);
        before - self.own.len()
    }

    /// Records that this node republishes.
    pub fn own_records(&self) -> impl Iterator<Item = &ValidRecord> {
        self.own.iter().map(|own| &own.record)
    }

    pub(super) fn own_due(&self) -> Option<Moment> {
        let waiting = self.own.iter().filter(|own| !own.busy);
        let next = waiting.map(|own| own.next).min();
        next.filter(|_| self.is_joined() && self.busy_own() < AT_ONCE)
    }

    fn busy_own(&self) -> usize {
        self.own.iter().filter(|own| own.busy).count()
    }

    /// Stores anew what is due.
    pub(super) fn republish(&mut self, now: Moment) {
        if self.own_due().is_none_or(|due| due > now) {
            return;
        }
        let wall = self.wall;
        // A clock that is not trusted tells at least the latest time that has passed.
        self.own
            .retain(|own| own.busy || own.record.until() > wall.unix);
        let mut room = AT_ONCE.saturating_sub(self.busy_own());
        let mut due = Vec::new();
        for own in &mut self.own {
            if room > 0 && !own.busy && own.next <= now {
                own.busy = true;
                room -= 1;
                due.push(own.record.clone());
            }
        }
        for record in due {
            let key = record.key();
            self.search(now, None, key, Purpose::Store(Box::new(record)));
        }
    }

    /// A record has been offered to the network.
    pub(super) fn own_stored(&mut self, now: Moment, entry: &Entry, good: bool) {
        let wait = if good { self.again() } else { RETRY };
        let next = now + self.numbers.about(wait);
        for own in &mut self.own {
            if own.record.entry() == entry {
                (own.busy, own.next) = (false, next);
                own.stored |= good;
            }
        }
    }

    /// This node takes part now: what nobody has yet is stored at once.
    pub(super) fn publish_soon(&mut self, now: Moment) {
        for own in &mut self.own {
            if !own.stored {
                own.next = now;
            }
        }
    }

    /// A record that is about to be stored at `closest` is kept here, too, when this
    /// node is one of those closest to it.
    pub(super) fn keep_own(&mut self, now: Moment, record: &ValidRecord, closest: &[Contact]) {
        let near = self.rank(&record.key()) < self.config.k && !closest.is_empty();
        if near && self.serving() {
            let ip = self.reach.outside().map(|at| at.ip());
            let source = Source(narrow(ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))));
            let kept = self
                .storage
                .put(now, self.wall, record.clone(), Some(source));
            // Older than what is here, or no room: others have it.
            let _ = kept;
        }
    }

    /// What is known of `key` here without asking anybody: what this node publishes
    /// itself, and what it keeps for others.
    pub(super) fn here(&self, now: Moment, key: &Address) -> (Vec<ValidRecord>, Vec<ValidRecord>) {
        let own = self.own.iter().map(|own| &own.record);
        let own = own.filter(|record| record.key() == *key && record.until() > self.wall.unix);
        let stored = self.storage.get(now, self.wall, key).into_iter();
        (own.cloned().collect(), stored.cloned().collect())
    }
}

/// Whether a record takes another one's place.
fn same(one: &Entry, other: &Entry) -> bool {
    (one.key, one.kind, one.slot) == (other.key, other.kind, other.slot)
}
