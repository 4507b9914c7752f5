//! What several test modules of this room share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use serde_json::Value;

use super::{Ticket, TicketTerms};
use crate::identity::{hex, Address, Signature};

const VECTORS: &str = include_str!("../../docs/vectors.json");

/// The epoch that tests live in.
pub(super) const EPOCH: u64 = 676;
/// The node that tests write tickets for.
pub(super) const NODE: Address = Address([7; 20]);
/// The fleet that tests pay for.
pub(super) const FLEET: Address = Address([9; 20]);

/// A ticket that is fine.
pub(super) fn terms() -> TicketTerms {
    TicketTerms {
        chain_id: 1284,
        epoch: EPOCH,
        fleet: FLEET,
        total_connections: 3,
        total_bytes: 1000,
        local_address: vec![],
    }
}

/// One vector.
pub(super) struct Vector(Value);

/// The vector named `id`.
pub(super) fn vector(id: &str) -> Vector {
    let all: Value = serde_json::from_str(VECTORS).unwrap();
    let mut vectors = all["vectors"].as_array().unwrap().iter();
    Vector(vectors.find(|vector| vector["id"] == id).unwrap().clone())
}

impl Vector {
    fn at(&self, side: &str, field: &str) -> &Value {
        let value = &self.0[side][field];
        assert!(!value.is_null(), "no {side}.{field}");
        value
    }

    pub(super) fn text(&self, side: &str, field: &str) -> String {
        self.at(side, field).as_str().unwrap().to_owned()
    }

    pub(super) fn texts(&self, side: &str, field: &str) -> Vec<String> {
        let list = self.at(side, field).as_array().unwrap();
        list.iter()
            .map(|v| v.as_str().unwrap().to_owned())
            .collect()
    }

    pub(super) fn number(&self, side: &str, field: &str) -> u64 {
        self.at(side, field).as_u64().unwrap()
    }

    pub(super) fn numbers(&self, side: &str, field: &str) -> Vec<u64> {
        let list = self.at(side, field).as_array().unwrap();
        list.iter().map(|v| v.as_u64().unwrap()).collect()
    }

    pub(super) fn bytes(&self, side: &str, field: &str) -> Vec<u8> {
        hex::decode(&self.text(side, field)).unwrap()
    }

    pub(super) fn array<const N: usize>(&self, side: &str, field: &str) -> [u8; N] {
        self.bytes(side, field).try_into().unwrap()
    }
}

/// Tickets of any content, signed by nobody.
pub(super) fn any_ticket() -> impl Strategy<Value = Ticket> {
    (
        any::<[u64; 4]>(),
        any::<[u8; 20]>(),
        proptest::collection::vec(any::<u8>(), 0..600),
        proptest::collection::vec(any::<u8>(), 65),
    )
        .prop_map(|(numbers, fleet, local_address, signature)| Ticket {
            chain_id: numbers[0],
            epoch: numbers[1],
            fleet: Address(fleet),
            total_connections: numbers[2],
            total_bytes: numbers[3],
            local_address,
            signature: Signature(signature.try_into().unwrap()),
        })
}
