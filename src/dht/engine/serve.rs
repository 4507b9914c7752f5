//! Requests of others.

use super::requests::Why;
use super::{Engine, Serve};
use crate::dht::id::closer;
use crate::dht::record::Record;
use crate::dht::seal::{Seal, Verify};
use crate::dht::storage::Source;
use crate::dht::subnet::{concerns, is_private, narrow, witness};
use crate::identity::{Address, Signature};
use crate::time::Moment;
use crate::wire::dht::{error_code, Body, Contact, Packet, CONTACTS_MAX};
use std::cell::Cell;
use std::cmp::Ordering;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Contacts beside records in a VALUE: who asks the whole replica set finds it with
/// these, who wanted the record does not need them.
const CONTACTS_BESIDE: usize = 6;

impl Engine {
    /// Answers an authenticated request.
    pub(super) fn serve(&mut self, now: Moment, from: SocketAddr, packet: Packet) {
        let refusal = |code, text: &str| Body::Error {
            code,
            text: text.to_owned(),
        };
        let answer = match packet.body {
            Body::Ping { check: None, .. } => self.pong(from),
            Body::Ping {
                check: Some(place), ..
            } => match self.look_at(now, from, &packet.from, place) {
                true => self.pong(from),
                false => refusal(error_code::BUSY, "no node is there to look at you"),
            },
            _ if !self.answers() => refusal(error_code::NOT_SERVING, "this node is a client only"),
            Body::FindNode { target, .. } => Body::Nodes {
                contacts: self.near(&target, &packet.from, from, CONTACTS_MAX),
            },
            Body::FindValue { key, .. } => self.value(now, from, &packet.from, &key),
            Body::Store { records, .. } => {
                let checks = Cell::new(0);
                let store = |record: &Vec<u8>| {
                    let bytes = record.as_slice();
                    self.keep(now, from, &packet.from, bytes, &checks)
                };
                let codes = records.iter().map(store).collect();
                // What we have answered a comparison with is wanted here.
                let wanted = self
                    .compared
                    .is_some_and(|(with, at)| with == from && now.since(at) < COMPARED_FOR);
                if !wanted {
                    self.gate.charge(from, checks.get());
                }
                Body::Stored { codes }
            }
            Body::Sync { prefix, hashes, .. } => {
                self.compared = Some((from, now));
                self.storage.answer_sync(now, self.wall, &prefix, &hashes)
            }
            // Answers never come here.
            _ => return,
        };
        let packet = Packet {
            txid: packet.txid,
            cookie: self.cookies.make(now, from),
            from: self.id,
            to: packet.from,
            body: answer,
        };
        self.emit(from, &packet);
    }

    fn pong(&self, seen: SocketAddr) -> Body {
        Body::Pong {
            serving: self.serving(),
            // A clock that is not trusted is none: askers build a median of these.
            unix: if self.wall.trusted { self.wall.unix } else { 0 },
            seen,
        }
    }

    /// Whether requests of others are answered: also while it is not known yet
    /// whether strangers reach this node, since the asker has.
    fn answers(&self) -> bool {
        self.serving() || (self.config.serve == Serve::Auto && self.reachable() != Some(false))
    }

    /// Nodes close to `target` that answered lately, for `asker` at `from`.
    fn near(
        &self,
        target: &Address,
        asker: &Address,
        from: SocketAddr,
        most: usize,
    ) -> Vec<Contact> {
        // Two more, in case the asker is among them.
        let near = self.table.closest(target, most + 2, false);
        let contacts = near.into_iter().map(|peer| peer.contact);
        let told =
            contacts.filter(|contact| concerns(contact.at.ip(), from.ip()) && contact.id != *asker);
        told.take(most).collect()
    }

    fn value(&self, now: Moment, from: SocketAddr, asker: &Address, key: &Address) -> Body {
        let found = self.storage.get(now, self.wall, key);
        let fit = Body::room(found.iter().map(|record| record.bytes().len()));
        let own = found.into_iter().take(fit);
        let records: Vec<Vec<u8>> = own.map(|record| record.bytes().to_vec()).collect();
        let most = match records.is_empty() {
            true => CONTACTS_MAX,
            false => CONTACTS_BESIDE,
        };
        let contacts = self.near(key, asker, from, most);
        Body::Value { records, contacts }
    }

    /// Keeps a record of another node, or says why not.
    fn keep(
        &mut self,
        now: Moment,
        from: SocketAddr,
        sender: &Address,
        bytes: &[u8],
        checks: &Cell<u32>,
    ) -> u8 {
        let Ok(record) = Record::parse(bytes) else {
            return crate::dht::Refusal::Form.code();
        };
        let beyond = self.rank(&record.key()).checked_sub(self.config.k);
        let verify = &Counted {
            seal: &*self.seal,
            checks,
        };
        let kept = match beyond {
            None => {
                let source = Source(narrow(from.ip()));
                let storage = &mut self.storage;
                storage.take(now, self.wall, sender, source, bytes, verify)
            }
            // Others are closer: a copy of a lookup, which lives the shorter the
            // farther off it is.
            Some(beyond) => {
                let here = self.storage.get(now, self.wall, &record.key());
                if here.iter().any(|other| other.bytes() == bytes) {
                    return 0;
                }
                record.check(self.wall, verify).map(|record| {
                    let between = u32::try_from(beyond).unwrap_or(u32::MAX);
                    self.storage.cache(now, self.wall, record, between)
                })
            }
        };
        match kept {
            Ok(_) => 0,
            Err(refusal) => refusal.code(),
        }
    }

    /// How many nodes of the table are closer to `key` than this one, up to a few
    /// more than k.
    pub(super) fn rank(&self, key: &Address) -> usize {
        let near = self.table.closest(key, self.config.k + RANKS_BEYOND, true);
        let closer = |id: &Address| closer(key, id, &self.id) == Ordering::Less;
        near.iter().filter(|peer| closer(&peer.contact.id)).count()
    }

    /// A node wants an address to be looked at (design: reachability). Its own: a
    /// third node is asked to do it. Another's: we look. False: that cannot be done
    /// now.
    fn look_at(
        &mut self,
        now: Moment,
        from: SocketAddr,
        asker: &Address,
        place: SocketAddr,
    ) -> bool {
        let same_side = is_private(place.ip()) == is_private(from.ip());
        if !same_side || !self.looks.take(LOOK_RATE, LOOK_BURST, now) {
            return false;
        }
        let serving = self.serving();
        let (contact, check, why) = if place.ip() == from.ip() {
            let Some(third) = self.third(from, asker) else {
                return false;
            };
            (third, Some(place), Why::Pass)
        } else {
            let nobody = Contact {
                id: Address::ZERO,
                at: place,
            };
            (nobody, None, Why::Knock)
        };
        let body = Body::Ping { serving, check };
        if check.is_none() {
            // Without a cookie, which is how an acquaintance's knock is told from its
            // other requests.
            return self.request(now, contact, body, why, 0, 0);
        }
        self.ask(now, contact, body, why)
    }

    /// A node of another subnet than `from` and we are in.
    fn third(&mut self, from: SocketAddr, asker: &Address) -> Option<Contact> {
        let exempt = self.exempt();
        let own = self.reach.outside().map(|at| at.ip());
        let other = |ip: IpAddr, than: IpAddr| witness(ip, exempt) != witness(than, exempt);
        let fits: Vec<Contact> = self
            .table
            .iter()
            .map(|peer| (peer.missed, peer.contact))
            .filter(|(missed, contact)| *missed == 0 && contact.id != *asker)
            .map(|(_, contact)| contact)
            .filter(|contact| {
                let ip = contact.at.ip();
                other(ip, from.ip()) && own.is_none_or(|own| other(ip, own))
            })
            .collect();
        let place = self.numbers.below(fits.len());
        fits.get(place).copied()
    }
}

/// Counts the signatures of records that are checked.
struct Counted<'a> {
    seal: &'a dyn Seal,
    checks: &'a Cell<u32>,
}

impl Verify for Counted<'_> {
    fn recover65(&self, digest: &[u8; 32], signature: &Signature) -> Option<Address> {
        self.checks.set(self.checks.get().saturating_add(1));
        self.seal.recover65(digest, signature)
    }
}

/// After a SYNC its asker sends what we lack, which may be much at once.
const COMPARED_FOR: Duration = Duration::from_secs(30);
/// Looks at addresses a second that others want: each is a packet to a place that
/// somebody names.
const LOOK_RATE: u32 = 2;
/// Likewise at once: a part of the network that starts together.
pub(super) const LOOK_BURST: u32 = 20;
/// Places beyond the replica set that are told apart.
const RANKS_BEYOND: usize = 8;
