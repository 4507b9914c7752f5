//! Filling buckets.
//!
//! The paper looks up a random id of each bucket (section 2.3). What such a lookup
//! meets lies around that one id, and a bucket full of it helps with one corner of
//! its part of the network: first steps gain a bit or two instead of five. Here a
//! few neighbours of ours are asked who they know there, which costs three
//! requests: they have the same bucket, with other nodes in it. Of all that they
//! name, those are asked whether they want a place that spread best over the next
//! bits ([`crate::dht::table::stratum`]).

use super::requests::Why;
use super::Engine;
use crate::dht::id::{in_bucket, shared_bits};
use crate::dht::table::{stratum, STRATA};
use crate::identity::Address;
use crate::time::Moment;
use crate::wire::dht::{Body, Contact, CONTACTS_MAX};

/// Neighbours that are asked about a bucket. One alone could fill it with his
/// friends.
const HELPERS: usize = 3;
/// Buckets that are filled at the same time.
const FILLS: usize = 2;

/// A bucket that is being filled.
pub(super) struct Fill {
    bits: u8,
    waiting: usize,
    /// What each of the neighbours has named.
    named: Vec<Vec<Contact>>,
}

impl Engine {
    /// Puts buckets with room on the list, except those of our own neighbourhood,
    /// which is searched.
    pub(super) fn fill_buckets(&mut self) {
        let near = self.table.neighbourhood();
        let gaps = self.table.gaps().take_while(|bits| *bits < near);
        // The farthest is the last one: it is half of the network, and comes first.
        self.fills = gaps.filter_map(|bits| u8::try_from(bits).ok()).collect();
        self.fills.reverse();
    }

    pub(super) fn fill_due(&self) -> Option<Moment> {
        let due = !self.fills.is_empty() && self.filling.len() < FILLS && self.is_joined();
        due.then_some(self.heard)
    }

    /// Goes on filling.
    pub(super) fn fill(&mut self, now: Moment) {
        while self.filling.len() < FILLS && self.has_room(HELPERS) {
            let Some(bits) = self.fills.pop() else { break };
            let near = self.table.closest(&self.id, self.config.k, false);
            let mut near: Vec<Contact> = near.iter().map(|peer| peer.contact).collect();
            near.retain(|contact| shared_bits(&self.id, &contact.id) > usize::from(bits));
            let mut waiting = 0;
            while waiting < HELPERS && !near.is_empty() {
                let helper = near.swap_remove(self.numbers.below(near.len()));
                let body = Body::FindNode {
                    serving: self.serving(),
                    target: in_bucket(&self.id, usize::from(bits), self.numbers.id()),
                };
                waiting += usize::from(self.ask(now, helper, body, Why::Fill(bits)));
            }
            if waiting > 0 {
                let named = Vec::new();
                self.filling.push(Fill {
                    bits,
                    waiting,
                    named,
                });
            }
        }
    }

    /// A neighbour has answered, or has not.
    pub(super) fn named_for(&mut self, now: Moment, bits: u8, contacts: Vec<Contact>) {
        let Some(place) = self.filling.iter().position(|fill| fill.bits == bits) else {
            return;
        };
        let Some(fill) = self.filling.get_mut(place) else {
            return;
        };
        fill.named.push(contacts);
        fill.waiting = fill.waiting.saturating_sub(1);
        if fill.waiting > 0 {
            return;
        }
        let fill = self.filling.swap_remove(place);
        let wanted = self.choose(fill);
        for contact in wanted {
            self.check(now, contact);
        }
    }

    /// Those of the named who spread best, as many as there is room for.
    fn choose(&self, fill: Fill) -> Vec<Contact> {
        let bits = usize::from(fill.bits);
        let mut counts = [0usize; STRATA];
        for peer in self.table.bucket_of(bits) {
            if let Some(count) = counts.get_mut(stratum(&peer.contact.id, bits)) {
                *count += 1;
            }
        }
        let room = self.table.room(bits);
        let mut left: Vec<Vec<Contact>> = fill.named;
        for named in &mut left {
            let here = |id: &Address| shared_bits(&self.id, id) == bits;
            named.retain(|contact| here(&contact.id) && self.table.get(&contact.id).is_none());
            named.truncate(CONTACTS_MAX);
        }
        let mut wanted: Vec<Contact> = Vec::new();
        // One of each neighbour in turn.
        while wanted.len() < room && left.iter().any(|named| !named.is_empty()) {
            for named in &mut left {
                let rarest = named.iter().enumerate().min_by_key(|(_, contact)| {
                    let count = counts.get(stratum(&contact.id, bits));
                    count.copied().unwrap_or(0)
                });
                let Some(place) = rarest.map(|(place, _)| place) else {
                    continue;
                };
                let contact = named.swap_remove(place);
                if wanted.len() < room && !wanted.iter().any(|other| other.id == contact.id) {
                    if let Some(count) = counts.get_mut(stratum(&contact.id, bits)) {
                        *count += 1;
                    }
                    wanted.push(contact);
                }
            }
        }
        wanted
    }
}
