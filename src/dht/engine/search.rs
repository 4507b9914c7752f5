//! Searches: lookups, what they are for, and storing at their end.

use super::requests::{Step, Why};
use super::{Action, Cost, Engine, Op, Outcome};
use crate::dht::choice::{cost, Seen};
use crate::dht::id::{distance, share};
use crate::dht::lookup::{Goal, Lookup, Terms};
use crate::dht::record::{Choice, Kind, Refusal, ValidRecord};
use crate::dht::seal::{Verify, Wall};
use crate::dht::subnet::concerns;
use crate::identity::Address;
use crate::time::Moment;
use crate::wire::dht::{Body, Contact};
use crate::wire::presence::UNTIL_MAX;
use std::net::SocketAddr;

/// Searches at a time that are asked for. Each takes up to 15 KB and a few requests; who
/// wants more at once is told that they failed. Those of the node itself are few.
pub(super) const SEARCHES_MAX: usize = 256;
/// Answers with a mutable value that a search waits for: one alone could be an old
/// one that a liar kept, and whoever looks a name up has nothing to notice it by.
const MUTABLE_VOTES: usize = 3;
/// Answers with a presence that a search waits for when the first one is old.
const PRESENCE_VOTES: usize = 2;
/// A presence that has at least so many seconds left was signed lately: nodes sign those
/// of their devices again when half of the time is over. One with less may be of a
/// node that has gone, known to a replica that missed the news; who is sent there
/// waits for a connection in vain, so another replica is heard first.
const PRESENCE_FRESH: u64 = UNTIL_MAX / 3;

/// A copy of a value found is left with a node that is not farther from the key than
/// this many places beyond the replica set: the life of copies halves with each.
const CACHE_RANKS: usize = 4;
/// What a search is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// Records; the first answer that is enough.
    Value,
    /// Records; the newest that half of the replica set has: more than an attacker
    /// from four networks can be of it (8 of 20).
    Newest,
    /// The closest nodes.
    Nodes,
    /// To store a record at the closest nodes.
    Store(Box<ValidRecord>),
    /// To find our own neighbourhood.
    Join,
}

/// A search under way.
pub(super) struct Search {
    id: u64,
    op: Option<Op>,
    pub(super) purpose: Purpose,
    lookup: Lookup,
    choice: Choice,
    /// Who has answered with records.
    holders: Vec<Address>,
    /// Where a store stands: requests that wait, stored, refused.
    storing: Option<(usize, usize, usize)>,
    began: Moment,
    round: u32,
    hop: u32,
    requests: u32,
    challenged: u32,
}

impl Engine {
    /// Begins a search; its outcome may be there at once.
    pub(super) fn search(
        &mut self,
        now: Moment,
        op: Option<Op>,
        target: Address,
        purpose: Purpose,
    ) {
        if op.is_some() && self.searches.len() >= SEARCHES_MAX {
            self.done(op, Outcome::Failed);
            return;
        }
        let goal = match purpose {
            Purpose::Value => Goal::Value,
            _ => Goal::Nodes,
        };
        let terms = Terms {
            own: self.id,
            k: self.config.k,
            // Somebody has waited in vain already.
            alpha: match purpose {
                Purpose::Newest => self.config.alpha * 2,
                _ => self.config.alpha,
            },
            paths: self.config.paths,
            exempt: self.exempt(),
            network: self.table.network_size(),
        };
        let mut start = self.table.closest(&target, self.config.k, false);
        if start.len() < self.config.k {
            start = self.table.closest(&target, self.config.k, true);
        }
        let start: Vec<Contact> = start.into_iter().map(|peer| peer.contact).collect();
        self.next_search += 1;
        let mut search = Search {
            id: self.next_search,
            op,
            purpose,
            lookup: Lookup::new(target, goal, terms, &start),
            choice: Choice::new(target),
            holders: Vec::new(),
            storing: None,
            began: now,
            round: 0,
            hop: 0,
            requests: 0,
            challenged: 0,
        };
        let (own, stored) = self.here(now, &target);
        let certain = !own.is_empty();
        if !stored.is_empty() {
            search.holders.push(self.id);
        }
        for record in own.into_iter().chain(stored) {
            search.choice.know(record);
        }
        if matches!(search.purpose, Purpose::Value) && certain {
            self.found(now, search);
            return;
        }
        self.drive(now, search);
    }

    fn place_of(&self, id: u64) -> Option<usize> {
        self.searches.iter().position(|search| search.id == id)
    }

    /// The search of which a request has come to an end; to be driven on.
    fn take(&mut self, step: Step) -> Option<Search> {
        let place = self.place_of(step.search)?;
        let mut search = self.searches.swap_remove(place);
        (search.round, search.hop) = (step.round, step.hop);
        Some(search)
    }

    /// A request of the search with this number is sent again, because it was
    /// challenged or because nobody answered.
    pub(super) fn count(&mut self, id: u64, challenged: bool) {
        if let Some(search) = self.place_of(id).and_then(|p| self.searches.get_mut(p)) {
            search.requests += 1;
            search.challenged += u32::from(challenged);
        }
    }

    /// Sends what the search has to ask now, and ends it when there is nothing left.
    fn drive(&mut self, now: Moment, mut search: Search) {
        if search.storing.is_some() {
            self.searches.push(search);
            return;
        }
        loop {
            let asked = search.requests;
            while self.has_room(1) {
                let noise = self.noise;
                let dear = |contact: &Contact| self.dear(now, contact, noise);
                let Some(contact) = search.lookup.next(&dear) else {
                    break;
                };
                self.noise = self
                    .noise
                    .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                    .wrapping_add(1);
                let serving = self.serving();
                let target = search.lookup.target();
                let body = match search.purpose {
                    Purpose::Value | Purpose::Newest => Body::FindValue {
                        serving,
                        key: target,
                    },
                    _ => Body::FindNode { serving, target },
                };
                search.requests += 1;
                if !self.ask(now, contact, body, Why::Lookup(search.step())) {
                    search.lookup.refused(&contact.id);
                }
            }
            if !search.lookup.is_over() {
                // Second chances were dealt out: they are taken at once.
                if search.lookup.waits_for_nobody() && asked < search.requests {
                    continue;
                }
                // In a full house it waits for the next tick.
                self.searches.push(search);
                return;
            }
            if !search.lookup.second_wind(self.table.network_size()) {
                break;
            }
        }
        self.conclude(now, search);
    }

    /// Searches that found no room for a request go on.
    pub(super) fn drive_blocked(&mut self, now: Moment) {
        let blocked =
            |search: &&Search| search.storing.is_none() && search.lookup.waits_for_nobody();
        let ids: Vec<u64> = self.searches.iter().filter(blocked).map(|s| s.id).collect();
        for id in ids {
            if let Some(place) = self.place_of(id) {
                let search = self.searches.swap_remove(place);
                self.drive(now, search);
            }
        }
    }

    fn dear(&self, now: Moment, contact: &Contact, noise: u64) -> (bool, u64) {
        let (id, at) = (&contact.id, contact.at);
        let peer = self.table.get(id).filter(|peer| peer.contact.at == at);
        let cookie = self.cookie_of(now, id, at) != 0;
        let seen = Seen {
            peer,
            met: self.strangers.rtt(now, at),
        };
        // One number for all, mixed with the id: the same for each call of a choice.
        let own = u64::from_be_bytes(id.0.first_chunk().copied().unwrap_or_default());
        let noise = (own ^ noise).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 32;
        let cost = cost(self.config.prefer, seen, &self.network, noise);
        (!cookie, cost)
    }

    /// A node has answered a step of a search.
    pub(super) fn answered_lookup(
        &mut self,
        now: Moment,
        step: Step,
        from: &Address,
        records: &[Vec<u8>],
        contacts: &[Contact],
    ) {
        let Some(mut search) = self.take(step) else {
            return;
        };
        if search.storing.is_some() {
            // An answer that was late.
            self.searches.push(search);
            return;
        }
        let (mut good, mut lies) = (false, false);
        for record in records {
            let verify: &dyn Verify = &*self.seal;
            match search.choice.offer(record, self.wall, verify) {
                // Nothing is wrong with whoever has not heard the latest.
                Ok(_) | Err(Refusal::Stale) => good = true,
                Err(Refusal::Form | Refusal::Signature | Refusal::Key) => lies = true,
                // Clocks differ.
                Err(_) => {}
            }
        }
        if good {
            search.holders.push(*from);
        }
        match lies {
            // What it names is worth as much as what it has.
            true => search.lookup.refused(from),
            false => search.lookup.answered(from, contacts),
        }
        let enough = match search.purpose {
            Purpose::Value => search.has_enough(&self.id, self.wall),
            Purpose::Newest => search.holders.len() >= self.config.k.div_ceil(2),
            _ => false,
        };
        if enough {
            self.found(now, search);
        } else {
            self.drive(now, search);
        }
    }

    /// A node did not answer a step of a search in time.
    pub(super) fn silent_lookup(&mut self, now: Moment, step: Step, node: &Address) {
        if let Some(mut search) = self.take(step) {
            search.lookup.silent(node);
            self.drive(now, search);
        }
    }

    /// A node refused to answer a step of a search.
    pub(super) fn refused_lookup(&mut self, now: Moment, step: Step, node: &Address) {
        if let Some(mut search) = self.take(step) {
            search.lookup.refused(node);
            self.drive(now, search);
        }
    }

    /// An answer is late: the search goes on without it. What is asked now needed no
    /// answer, so it is no further round.
    pub(super) fn late(&mut self, now: Moment, step: Step, node: &Address) {
        if let Some(place) = self.place_of(step.search) {
            let mut search = self.searches.swap_remove(place);
            search.lookup.late(node);
            self.drive(now, search);
        }
    }

    /// A value search has what it wanted.
    fn found(&mut self, now: Moment, search: Search) {
        let cost = search.cost(now);
        let key = search.lookup.target();
        if let Some(contact) = search.lookup.closest_without(&search.holders) {
            // Kademlia, section 2.3: the closest node that did not have it keeps a
            // copy. Only near the replica set, else nodes keep it for no time.
            let far = share(&distance(&key, &contact.id));
            let rank = self.table.network_size().map_or(f64::MAX, |n| n * far);
            if rank < (self.config.k + CACHE_RANKS) as f64 && !search.holders.is_empty() {
                for record in search.choice.records() {
                    let body = self.store_body(record);
                    self.ask(now, contact, body, Why::Give);
                }
            }
        }
        let records = search.choice.into_records();
        self.done(search.op, Outcome::Found { records, cost });
    }

    /// The lookup is at its end.
    fn conclude(&mut self, now: Moment, mut search: Search) {
        let closest = search.lookup.closest();
        let cost = search.cost(now);
        match &search.purpose {
            Purpose::Value | Purpose::Newest => {
                if !search.choice.is_empty() {
                    self.found(now, search);
                } else if closest.is_empty() {
                    self.done(search.op, Outcome::Failed);
                } else {
                    self.done(search.op, Outcome::Missing { cost });
                }
            }
            Purpose::Nodes if closest.is_empty() => self.done(search.op, Outcome::Failed),
            Purpose::Nodes => {
                let contacts = closest;
                self.done(search.op, Outcome::Nodes { contacts, cost });
            }
            Purpose::Store(record) => {
                let record = record.clone();
                self.keep_own(now, &record, &closest);
                let mut waiting = 0;
                for contact in closest {
                    let body = self.store_body(&record);
                    if self.ask(now, contact, body, Why::Store(search.step(), false)) {
                        search.requests += 1;
                        waiting += 1;
                    }
                }
                search.storing = Some((waiting, 0, 0));
                self.settle(now, search);
            }
            Purpose::Join => {
                self.invite(now, search.lookup.unasked().collect());
                self.joined(now, closest.len());
            }
        }
    }

    /// A node has answered a STORE, or has not.
    pub(super) fn answered_store(&mut self, now: Moment, step: Step, good: bool) {
        let Some(mut search) = self.take(step) else {
            return;
        };
        if let Some((waiting, at, refused)) = &mut search.storing {
            *waiting = waiting.saturating_sub(1);
            *if good { at } else { refused } += 1;
        }
        self.settle(now, search);
    }

    fn settle(&mut self, now: Moment, search: Search) {
        match search.storing {
            Some((0, at, refused)) => {
                if let Purpose::Store(record) = &search.purpose {
                    self.own_stored(now, record.entry(), at > 0);
                }
                let cost = search.cost(now);
                let outcome = match at + refused {
                    0 => Outcome::Failed,
                    _ => Outcome::Stored { at, refused, cost },
                };
                self.done(search.op, outcome);
            }
            _ => self.searches.push(search),
        }
    }

    /// Tells how an operation ended.
    fn done(&mut self, op: Option<Op>, outcome: Outcome) {
        let Some(op) = op else { return };
        self.stats.lookups += 1;
        let good = match outcome {
            Outcome::Found { .. } | Outcome::Nodes { .. } => true,
            Outcome::Stored { at, .. } => at > 0,
            Outcome::Missing { .. } | Outcome::Failed => false,
        };
        self.stats.successes += u64::from(good);
        self.actions.push_back(Action::Done { op, outcome });
    }

    /// Forgets the search of an operation.
    pub(super) fn drop_search(&mut self, op: Op) {
        self.searches.retain(|search| search.op != Some(op));
    }

    /// Whether a contact that `source` has named may be used.
    pub(super) fn is_plausible(&self, contact: &Contact, source: SocketAddr) -> bool {
        concerns(contact.at.ip(), source.ip())
            && contact.id != self.id
            && contact.id != Address::ZERO
    }
}

impl Search {
    /// The next request, which follows from the event that is being handled.
    fn step(&self) -> Step {
        Step {
            search: self.id,
            round: self.round + 1,
            hop: self.hop + 1,
        }
    }

    /// Whether so many nodes have answered with records that a quick answer can be
    /// given. What is kept here is one voice, but not alone: nobody may have told
    /// this node for long.
    fn has_enough(&self, own: &Address, wall: Wall) -> bool {
        let others = self.holders.iter().any(|holder| holder != own);
        let Some(record) = self.choice.records().first().filter(|_| others) else {
            return false;
        };
        let votes = match record.kind() {
            Kind::Mutable => MUTABLE_VOTES,
            Kind::Presence if record.until() < wall.unix.saturating_add(PRESENCE_FRESH) => {
                PRESENCE_VOTES
            }
            _ => 1,
        };
        self.holders.len() >= votes
    }

    fn cost(&self, now: Moment) -> Cost {
        Cost {
            rounds: self.round,
            hops: self.hop,
            requests: self.requests,
            challenged: self.challenged,
            took: now.since(self.began),
        }
    }
}
