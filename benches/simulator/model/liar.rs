//! Attackers.
//!
//! A liar takes part like an honest node: it joins, answers PING, knows the network. But it
//! answers every FIND_NODE and FIND_VALUE with the liars closest to the target
//! (all liars know each other; their ids and addresses are real, or the asker would not get an
//! answer there), never has a record, and takes every STORE with thanks and drops
//! it. It answers at once and never asks for a cookie, so that an
//! asker hears it before honest nodes. It cannot do what signatures rule out: make records, or
//! answer for an id that is not its own.

use super::closest::Ring;
use super::seal::CheapSeal;
use chr_node::dht::{Seal, Verify};
use chr_node::identity::Address;
use chr_node::wire::dht::{self, Body, Contact, Packet};
use std::net::SocketAddr;

/// How many contacts an answer has.
const ANSWER: usize = 20;
/// STORED's code for a record that was taken.
const TAKEN: u8 = 0;

/// All attackers of a simulation: they act together.
#[derive(Default)]
pub struct Liars {
    ring: Ring,
    contacts: Vec<Contact>,
    /// Lies told.
    pub told: u64,
}

impl Liars {
    pub fn new(contacts: Vec<Contact>) -> Liars {
        let ids = contacts.iter().enumerate().map(|(i, c)| (c.id, i));
        Liars {
            ring: Ring::new(ids.collect()),
            contacts,
            told: 0,
        }
    }

    /// What a liar says to a request; none: it does what an honest node does.
    pub fn answer(&mut self, seal: &CheapSeal, from: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        // FIND_NODE, FIND_VALUE, STORE.
        if !matches!(bytes.get(1), Some(3 | 5 | 7)) {
            return None;
        }
        let recover = |digest: &[u8; 32], signature: &[u8; 64]| seal.recover(digest, signature);
        let request = dht::decode(bytes, &recover).ok()?;
        let body = match request.body {
            Body::FindNode { target, .. } => Body::Nodes {
                contacts: self.closest(&target, from),
            },
            Body::FindValue { key, .. } => Body::Value {
                records: Vec::new(),
                contacts: self.closest(&key, from),
            },
            Body::Store { records, .. } => Body::Stored {
                codes: vec![TAKEN; records.len()],
            },
            _ => return None,
        };
        self.told += 1;
        let answer = Packet {
            txid: request.txid,
            cookie: 1,
            from: seal.address(),
            to: request.from,
            body,
        };
        dht::encode(&answer, &|digest| seal.sign(digest)).ok()
    }

    fn closest(&self, target: &Address, asker: SocketAddr) -> Vec<Contact> {
        let found = self.ring.closest(target, ANSWER);
        let contacts = found.into_iter().map(|i| self.contacts[i]);
        contacts.filter(|c| c.at != asker).collect()
    }
}
