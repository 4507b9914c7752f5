//! What becomes of a datagram.
//!
//! Cheap questions first: form, addressee, whether anybody asked for it, the
//! cookie, how often its source asks. Only then a signature is checked.

use super::requests::{Pending, Why};
use super::{Engine, Event};
use crate::dht::seal::{Verify, Wall};
use crate::dht::table::{Heard, Silence};
use crate::identity::Address;
use crate::time::Moment;
use crate::wire::dht::{challenge, decode, error_code, peek, Body, Contact, Packet, Type};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

impl Engine {
    /// A datagram has arrived.
    pub fn receive(&mut self, now: Moment, wall: Wall, from: SocketAddr, datagram: &[u8]) {
        self.wall = wall;
        // One spelling an address, whatever family the socket is of.
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        self.stats.packets_in += 1;
        self.stats.bytes_in += datagram.len() as u64;
        let Ok(header) = peek(datagram) else {
            self.stats.dropped += 1;
            return;
        };
        let meant = header.to == self.id || header.to == Address::ZERO;
        if !meant || header.from == self.id {
            self.stats.dropped += 1;
            return;
        }
        if header.kind == Type::Challenge {
            self.challenged(now, from, &header);
            return;
        }
        if !header.kind.is_request() {
            self.answer_came(now, from, datagram, header.txid);
            return;
        }
        let proven = self.cookies.accepts(now, from, header.cookie);
        self.reach.asked(now, from.ip(), proven);
        if !proven {
            if self.gate.challenge(now) {
                let cookie = self.cookies.make(now, from);
                self.stats.challenges += 1;
                self.send(from, challenge(&header, self.id, cookie).to_vec());
            }
            return;
        }
        let peer = self.table.get(&header.from);
        let known = peer.is_some_and(|peer| peer.contact.at == from);
        if !self.gate.admit(now, from, known) {
            self.stats.dropped += 1;
            return;
        }
        if let Some(packet) = self.open(datagram) {
            self.stats.served += 1;
            (self.heard, self.unheard) = (now, 0);
            self.introduce(now, from, &packet);
            self.serve(now, from, packet);
        }
    }

    /// Checks the signature.
    fn open(&mut self, datagram: &[u8]) -> Option<Packet> {
        let verify: &dyn Verify = &*self.seal;
        let checked = Cell::new(false);
        let packet = decode(datagram, &|digest, signature| {
            checked.set(true);
            verify.recover(digest, signature)
        });
        self.stats.checked += u64::from(checked.get());
        if packet.is_err() {
            let count = match checked.get() {
                true => &mut self.stats.forged,
                false => &mut self.stats.dropped,
            };
            *count += 1;
        }
        packet.ok()
    }

    /// Whoever asks and serves may have a place in the table; who does not serve
    /// (any more) has none.
    fn introduce(&mut self, now: Moment, from: SocketAddr, packet: &Packet) {
        let contact = Contact {
            id: packet.from,
            at: from,
        };
        match packet.body.serving() {
            Some(true) => self.meet(now, contact, None, None),
            Some(false) => self.part(&contact.id),
            None => {}
        }
    }

    /// A node that serves has proven its id over its address.
    pub(super) fn meet(
        &mut self,
        now: Moment,
        contact: Contact,
        rtt: Option<Duration>,
        cookie: Option<u64>,
    ) {
        let heard = self.table.heard(contact, now);
        self.table.answered(&contact.id, rtt, cookie);
        match heard {
            Heard::Added => {
                self.strangers.forget(contact.at);
                self.lost.retain(|lost| lost.contact.id != contact.id);
                self.newcomer(now, contact);
                let rtt = rtt.unwrap_or_default();
                let (id, at) = (contact.id, contact.at);
                self.event(Event::Alive { id, at, rtt });
                if cookie.is_none() || self.hours.median(now).is_none() {
                    // It has asked us, which does not prove that it answers; we need
                    // a cookie of it; and only a PONG tells the time and where we are seen.
                    self.check(now, contact);
                }
            }
            Heard::Waits(Some(oldest)) => self.check(now, oldest),
            Heard::Waits(None) | Heard::Known | Heard::Refused => {}
        }
    }

    /// A node says that it does not serve.
    fn part(&mut self, id: &Address) {
        if let Silence::Left(peer, _) = self.table.remove(id) {
            let (id, at) = (peer.contact.id, peer.contact.at);
            self.event(Event::Silent { id, at });
        }
    }

    fn answer_came(&mut self, now: Moment, from: SocketAddr, datagram: &[u8], txid: u64) {
        let Some(place) = self.find_pending(txid, from) else {
            self.stats.dropped += 1;
            return;
        };
        let Some(packet) = self.open(datagram) else {
            return;
        };
        let fits = self.pending.get(place).is_some_and(|pending| {
            let kind = packet.body.kind();
            let right = pending.body.kind().answer() == Some(kind) || kind == Type::Error;
            right && (pending.to == packet.from || pending.to == Address::ZERO)
        });
        if !fits {
            self.stats.dropped += 1;
            return;
        }
        let Some(pending) = self.take_pending(txid, from) else {
            return;
        };
        let rtt = now.since(pending.sent);
        (self.heard, self.unheard) = (now, 0);
        self.network.sample(rtt);
        self.round_trips.push(rtt);
        let contact = Contact {
            id: packet.from,
            at: from,
        };
        let serves = match &packet.body {
            Body::Pong { serving, .. } => *serving,
            Body::Error { code, .. } => *code != error_code::NOT_SERVING,
            _ => true,
        };
        if serves {
            self.meet(now, contact, Some(rtt), Some(packet.cookie));
        } else {
            self.part(&contact.id);
        }
        if self.table.get(&contact.id).is_none() {
            self.strangers.met(now, from, packet.cookie, rtt);
        }
        self.alive(now, contact);
        self.answered(now, pending, contact, packet.body);
    }

    /// Hands an answer to whoever waits for it.
    fn answered(&mut self, now: Moment, pending: Pending, from: Contact, body: Body) {
        if let Body::Pong { unix, seen, .. } = body {
            let (ip, exempt) = (from.at.ip(), self.exempt());
            self.hours.heard(now, ip, unix, exempt);
            self.reach.seen(now, ip, seen, exempt);
        }
        let unanswered = |body: &Body| matches!(body, Body::Error { .. });
        match pending.why {
            Why::Lookup(step) => match body {
                Body::Nodes { contacts } => {
                    let contacts = self.plausible(contacts, from.at);
                    self.answered_lookup(now, step, &from.id, &[], &contacts);
                }
                Body::Value { records, contacts } => {
                    let contacts = self.plausible(contacts, from.at);
                    self.answered_lookup(now, step, &from.id, &records, &contacts);
                }
                _ => self.refused_lookup(now, step, &from.id),
            },
            Why::Store(step, _) => {
                let good = matches!(&body, Body::Stored { codes } if codes.first() == Some(&0));
                self.answered_store(now, step, good);
            }
            Why::Fill(bits) => {
                let contacts = match body {
                    Body::Nodes { contacts } => self.plausible(contacts, from.at),
                    _ => Vec::new(),
                };
                self.named_for(now, bits, contacts);
            }
            Why::Outside => self.reach.promised(now, from.at.ip(), !unanswered(&body)),
            Why::Lost => self.returned(now, from),
            Why::Seek => self.lost.retain(|lost| lost.contact.id != from.id),
            Why::Check => self.learn_patience(true),
            Why::Sync(step) => self.synced(now, from, &step, &body),
            Why::Pull(key) => self.pulled(now, from, &key, &body),
            Why::Pass | Why::Knock | Why::Give => {}
        }
    }

    /// What others may have told: remembered as spares of the table, too.
    fn plausible(&mut self, contacts: Vec<Contact>, source: SocketAddr) -> Vec<Contact> {
        let mut contacts = contacts;
        contacts.retain(|contact| self.is_plausible(contact, source));
        for contact in &contacts {
            self.table.named(*contact);
        }
        contacts
    }

    /// A request was not answered in time, or met with challenges alone.
    pub(super) fn unanswered(&mut self, now: Moment, contact: Contact, why: Why) {
        self.strangers.forget(contact.at);
        if contact.id != Address::ZERO {
            self.missed(now, contact);
        }
        match why {
            Why::Lookup(step) => self.silent_lookup(now, step, &contact.id),
            Why::Store(step, _) => self.answered_store(now, step, false),
            Why::Fill(bits) => self.named_for(now, bits, Vec::new()),
            Why::Outside => self.reach.promised(now, contact.at.ip(), false),
            _ => {}
        }
    }

    /// A node has missed a request.
    fn missed(&mut self, now: Moment, contact: Contact) {
        match self.table.silent(&contact, now, self.heard) {
            Silence::Unknown => {}
            Silence::Doubted => self.doubt(now, contact),
            Silence::Left(peer, spare) => {
                let (id, at) = (peer.contact.id, peer.contact.at);
                self.event(Event::Silent { id, at });
                self.learn_patience(false);
                self.gone(now, *peer);
                if let Some(spare) = spare {
                    self.check(now, spare);
                }
            }
        }
    }
}
