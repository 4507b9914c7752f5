//! Requests that wait for an answer.
//!
//! An answer has to come from the place that was asked, carry the number of the
//! request (64 bits, unpredictable) and be signed by the node that was meant. A
//! CHALLENGE is not signed: what it can do to us is one more packet, twice.

use super::{Action, Engine};
use crate::dht::record::ValidRecord;
use crate::dht::rtt::ContactEstimate;
use crate::dht::storage::SyncStep;
use crate::identity::Address;
use crate::time::Moment;
use crate::wire::dht::{encode, Body, Contact, Header, Packet};
use std::net::SocketAddr;

/// Requests under way at a time: 50 lookups with their late answers.
pub(super) const REQUESTS_MAX: usize = 512;
/// A request is repeated with the cookie of a challenge this many times: once for
/// the challenge, once more because the hour may have changed in between.
const CHALLENGES_MAX: u8 = 2;

/// Which request of which search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The search's number.
    pub(super) search: u64,
    /// Requests one after the other up to this one.
    pub(super) round: u32,
    /// Those of them that were not challenged.
    pub(super) hop: u32,
}

impl Step {
    /// The same step so many rounds later.
    fn after(mut self, rounds: u32) -> Step {
        self.round += rounds;
        self
    }
}

/// What a request was sent for.
#[derive(Clone, Debug)]
pub(super) enum Why {
    /// A step of a search.
    Lookup(Step),
    /// The record of a search; the second time.
    Store(Step, bool),
    /// Whether a node of the table, or one that waits for a place, is there.
    Check,
    /// Whether a seed or a remembered node is there.
    Seek,
    /// Whom a neighbour has in the bucket of so many shared bits.
    Fill(u8),
    /// Whether somebody that had gone is back.
    Lost,
    /// To have our own outside address looked at.
    Outside,
    /// To have the address of another node looked at by a third one.
    Pass,
    /// A look at the address of another node.
    Knock,
    /// Comparing records.
    Sync(Box<SyncStep>),
    /// A record that another replica has, and we do not.
    Pull(Address),
    /// A record that the other side should have; nobody waits for it.
    Give,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) txid: u64,
    /// Zero: whoever answers there.
    pub(super) to: Address,
    pub(super) at: SocketAddr,
    pub(super) body: Body,
    pub(super) why: Why,
    pub(super) sent: Moment,
    late: Option<Moment>,
    deadline: Moment,
    challenges: u8,
}

impl Pending {
    pub(super) fn contact(&self) -> Contact {
        Contact {
            id: self.to,
            at: self.at,
        }
    }
}

impl Engine {
    /// When a request becomes late or is given up.
    pub(super) fn requests_due(&self) -> Option<Moment> {
        let due = |p: &Pending| p.late.unwrap_or(p.deadline);
        self.pending.iter().map(due).min()
    }

    /// Whether there is room for `more` requests.
    pub(super) fn has_room(&self, more: usize) -> bool {
        self.pending.len() + more <= REQUESTS_MAX
    }

    /// What is known of round trips to a node.
    pub(super) fn rtt_of(
        &self,
        now: Moment,
        id: &Address,
        at: SocketAddr,
    ) -> Option<ContactEstimate> {
        let peer = self.table.get(id).filter(|peer| peer.contact.at == at);
        let rtt = peer.map(|peer| peer.rtt);
        let rtt = rtt.filter(|rtt| rtt.round_trip().is_some());
        rtt.or_else(|| self.strangers.rtt(now, at))
    }

    /// Our cookie for a node; 0: none.
    pub(super) fn cookie_of(&self, now: Moment, id: &Address, at: SocketAddr) -> u64 {
        let peer = self.table.get(id).filter(|peer| peer.contact.at == at);
        match peer.map_or(0, |peer| peer.cookie) {
            0 => self.strangers.cookie(now, at),
            cookie => cookie,
        }
    }

    /// Sends a request to `contact` (id zero: to whoever is there). False: there is
    /// no room for it, or it fits in no packet.
    pub(super) fn ask(&mut self, now: Moment, contact: Contact, body: Body, why: Why) -> bool {
        let cookie = self.cookie_of(now, &contact.id, contact.at);
        self.request(now, contact, body, why, cookie, 0)
    }

    /// [`Engine::ask`] with this cookie, after so many challenges.
    pub(super) fn request(
        &mut self,
        now: Moment,
        contact: Contact,
        body: Body,
        why: Why,
        cookie: u64,
        challenges: u8,
    ) -> bool {
        if !self.has_room(1) {
            return false;
        }
        let packet = Packet {
            txid: self.numbers.next(),
            cookie,
            from: self.id,
            to: contact.id,
            body,
        };
        if !self.emit(contact.at, &packet) {
            return false;
        }
        self.stats.requests += 1;
        self.reach.sent(now, contact.at.ip());
        let known = self.rtt_of(now, &contact.id, contact.at);
        let (late, timeout) = match known {
            Some(rtt) => (rtt.late(), rtt.timeout()),
            None => (self.network.late(), self.network.timeout()),
        };
        self.pending.push(Pending {
            txid: packet.txid,
            to: contact.id,
            at: contact.at,
            body: packet.body,
            why,
            sent: now,
            late: Some(now + late),
            deadline: now + timeout,
            challenges,
        });
        true
    }

    /// Signs and sends.
    pub(super) fn emit(&mut self, to: SocketAddr, packet: &Packet) -> bool {
        let seal = &self.seal;
        let Ok(bytes) = encode(packet, &|digest| seal.sign(digest)) else {
            return false;
        };
        self.stats.signed += 1;
        self.send(to, bytes);
        true
    }

    pub(super) fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.stats.packets_out += 1;
        self.stats.bytes_out += bytes.len() as u64;
        self.actions.push_back(Action::Send { to, bytes });
    }

    /// The request that a packet from `from` with this number answers; taken out.
    pub(super) fn take_pending(&mut self, txid: u64, from: SocketAddr) -> Option<Pending> {
        let place = self.find_pending(txid, from)?;
        Some(self.pending.swap_remove(place))
    }

    pub(super) fn find_pending(&self, txid: u64, from: SocketAddr) -> Option<usize> {
        let asked = |p: &Pending| p.txid == txid && p.at == from;
        self.pending.iter().position(asked)
    }

    /// A CHALLENGE has come.
    pub(super) fn challenged(&mut self, now: Moment, from: SocketAddr, header: &Header) {
        let meant = |p: &&Pending| p.to == header.from || p.to == Address::ZERO;
        let place = self.find_pending(header.txid, from);
        if place
            .and_then(|p| self.pending.get(p))
            .filter(meant)
            .is_none()
        {
            self.stats.dropped += 1;
            return;
        }
        let Some(pending) = self.take_pending(header.txid, from) else {
            return;
        };
        self.stats.challenged += 1;
        let rtt = now.since(pending.sent);
        self.network.sample(rtt);
        self.strangers.met(now, from, header.cookie, rtt);
        if let Some(peer) = self.table.get_mut(&pending.to) {
            if peer.contact.at == from {
                peer.cookie = header.cookie;
            }
        }
        if let Why::Knock = pending.why {
            // It is there: that is all we were asked to find out.
            return;
        }
        let contact = pending.contact();
        let again = pending.challenges + 1;
        let Pending { body, mut why, .. } = pending;
        let mut search = None;
        if let Why::Lookup(step) | Why::Store(step, _) = &mut why {
            step.round += 1;
            search = Some(step.search);
        }
        let lost = (contact, why.clone());
        let sent =
            again <= CHALLENGES_MAX && self.request(now, contact, body, why, header.cookie, again);
        if !sent {
            self.unanswered(now, lost.0, lost.1);
        } else if let Some(search) = search {
            self.count(search, true);
        }
    }

    /// Gives up what is overdue, and tells searches what is late.
    pub(super) fn look_at_requests(&mut self, now: Moment) {
        let mut over = Vec::new();
        let mut late = Vec::new();
        self.pending.retain_mut(|pending| {
            if pending.late.is_some_and(|at| at <= now) {
                pending.late = None;
                if let Why::Lookup(step) = pending.why {
                    late.push((step, pending.to));
                }
            }
            let alive = pending.deadline > now;
            if !alive {
                over.push((pending.contact(), pending.why.clone(), pending.body.clone()));
            }
            alive
        });
        for (contact, why, body) in over {
            self.stats.timeouts += 1;
            self.unheard = self.unheard.saturating_add(1);
            match why {
                // One packet more for a replica more: at a loss of 5 % each way two of
                // twenty would miss the record, and answer with an old one later.
                Why::Store(step, false) => {
                    let again = step.after(1);
                    if self.ask(now, contact, body, Why::Store(again, true)) {
                        self.count(step.search, false);
                    } else {
                        self.unanswered(now, contact, why);
                    }
                }
                _ => self.unanswered(now, contact, why),
            }
        }
        for (step, id) in late {
            self.late(now, step, &id);
        }
    }

    /// A STORE of one record.
    pub(super) fn store_body(&self, record: &ValidRecord) -> Body {
        Body::Store {
            serving: self.serving(),
            records: vec![record.bytes().to_vec()],
        }
    }
}
