//! Comparing records with other replicas.
//!
//! Two nodes are replicas of the same records when the ids that begin like both of
//! theirs belong to at most k nodes. With such a node records are compared when it
//! has just come (the few that are closest to it do so, one after the other), and
//! with any of them now and then. One question and one answer are enough when
//! nothing differs. That takes the place of the paper's hourly republishing by
//! every replica (section 2.5): whoever comes is given what it should have, and
//! whoever publishes does so every hour by itself.

use super::requests::Why;
use super::Engine;
use crate::dht::id::{closer, shared_bits};
use crate::dht::storage::{Source, SyncStep};
use crate::dht::subnet::narrow;
use crate::identity::Address;
use crate::time::Moment;
use crate::wire::dht::{Body, Contact, Prefix, PREFIX_BITS_MAX};
use std::cmp::Ordering;
use std::time::Duration;

/// Of the nodes near a newcomer so many compare their records with it: all have the
/// same, and one may be gone or lie.
const HELPERS: usize = 3;
/// From one of them to the next: the first one's records are there by then.
const HELPER_WAIT: Duration = Duration::from_secs(6);
/// Newcomers that wait for it.
const PLANS_MAX: usize = 32;
/// Packets a second that comparing may cost: somebody who answers nonsense would
/// otherwise make us ask for ever.
const SYNC_RATE: u32 = 10;
/// Likewise at once: what a newcomer to a busy neighbourhood is given.
pub(super) const SYNC_BURST: u32 = 200;

impl Engine {
    /// A node has entered the table.
    pub(super) fn newcomer(&mut self, now: Moment, contact: Contact) {
        if !self.is_replica(&contact.id) || self.plans.len() >= PLANS_MAX {
            return;
        }
        let own = self.id;
        let near = self.table.closest(&contact.id, HELPERS + 1, false);
        let closer = |id: &Address| closer(&contact.id, id, &own) == Ordering::Less;
        let others = near.iter().filter(|peer| peer.contact.id != contact.id);
        let rank = others.filter(|peer| closer(&peer.contact.id)).count();
        if rank < HELPERS {
            let wait = HELPER_WAIT.saturating_mul(rank as u32);
            let wait = Duration::from_secs(1) + self.numbers.about(wait);
            self.plans.push((now + wait, contact));
        }
    }

    /// Whether a node and this one should have the same records: see the module's top.
    fn is_replica(&self, id: &Address) -> bool {
        let shared = shared_bits(&self.id, id);
        if shared > usize::from(PREFIX_BITS_MAX) {
            return false;
        }
        let nodes = self.table.network_size().unwrap_or(0.0);
        let among = nodes / 2f64.powi(i32::try_from(shared).unwrap_or(i32::MAX));
        self.serving() && among <= self.config.k as f64
    }

    pub(super) fn sync_due(&self) -> Option<Moment> {
        let plan = self.plans.iter().map(|(at, _)| *at).min();
        let next = (self.is_joined() && self.serving()).then_some(self.next_sync);
        plan.into_iter().chain(next).min()
    }

    /// Begins the comparisons that are due.
    pub(super) fn compare_records(&mut self, now: Moment) {
        let mut due = Vec::new();
        self.plans.retain(|(at, contact)| {
            if *at <= now {
                due.push(*contact);
            }
            *at > now
        });
        if now >= self.next_sync && self.is_joined() && self.serving() {
            self.next_sync = now + self.numbers.about(self.config.sync);
            let near = self.table.closest(&self.id, self.config.k, false);
            let near: Vec<Contact> = near.into_iter().map(|peer| peer.contact).collect();
            let place = self.numbers.below(near.len());
            let partner = near.get(place).copied();
            due.extend(partner.filter(|contact| self.is_replica(&contact.id)));
        }
        for contact in due {
            let bits = shared_bits(&self.id, &contact.id);
            let bits = u8::try_from(bits).unwrap_or(PREFIX_BITS_MAX);
            let prefix = Prefix::of(&self.id, bits);
            let hashes = self.storage.hashes(now, self.wall, &prefix);
            self.ask_sync(now, contact, SyncStep { prefix, hashes });
        }
    }

    fn ask_sync(&mut self, now: Moment, contact: Contact, step: SyncStep) {
        let body = Body::Sync {
            serving: self.serving(),
            prefix: step.prefix,
            hashes: step.hashes,
        };
        self.ask_if_cheap(now, contact, body, Why::Sync(Box::new(step)));
    }

    fn ask_if_cheap(&mut self, now: Moment, contact: Contact, body: Body, why: Why) {
        if self.comparing.take(SYNC_RATE, SYNC_BURST, now) {
            self.ask(now, contact, body, why);
        }
    }

    /// A SYNCED has come.
    pub(super) fn synced(&mut self, now: Moment, from: Contact, step: &SyncStep, body: &Body) {
        let Body::Synced {
            hashes,
            listed,
            entries,
        } = body
        else {
            return;
        };
        let storage = &self.storage;
        let found = storage.compare(now, self.wall, step, hashes, *listed, entries);
        let mut push = found.push.as_slice();
        while !push.is_empty() {
            let fit = Body::room(push.iter().map(|record| record.bytes().len()));
            let Some((some, rest)) = push.split_at_checked(fit.max(1)) else {
                break;
            };
            push = rest;
            let body = Body::Store {
                serving: self.serving(),
                records: some.iter().map(|record| record.bytes().to_vec()).collect(),
            };
            self.ask_if_cheap(now, from, body, Why::Give);
        }
        for key in found.pull {
            let serving = self.serving();
            let body = Body::FindValue { serving, key };
            self.ask_if_cheap(now, from, body, Why::Pull(key));
        }
        for step in found.next {
            self.ask_sync(now, from, step);
        }
    }

    /// A replica has sent records that it has and we have not.
    pub(super) fn pulled(&mut self, now: Moment, from: Contact, key: &Address, body: &Body) {
        let Body::Value { records, .. } = body else {
            return;
        };
        let source = Source(narrow(from.at.ip()));
        for bytes in records {
            let right = crate::dht::Record::parse(bytes).is_ok_and(|r| r.key() == *key);
            if right {
                let (wall, verify) = (self.wall, self.seal.as_ref());
                let kept = self
                    .storage
                    .take(now, wall, &from.id, source, bytes, verify);
                // Not new, not right, or no room: then it stays where it is.
                let _ = kept;
            }
        }
    }
}
