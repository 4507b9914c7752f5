//! What tests of this room share: keys, a cheap seal, and records.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::record::{ContentValue, NodeRecord, ValidRecord};
use super::seal::{Seal, Verify, Wall};
use crate::identity::{keccak256, Address, SecretKey, Signature};
use crate::wire::presence::{DevicePresence, Presence};

/// The second at which tests begin.
pub(crate) const NOW: u64 = 1_753_920_000;

/// A clock that is right.
pub(crate) const WALL: Wall = Wall {
    unix: NOW,
    trusted: true,
};

/// Key number `n`, from 1.
pub(crate) fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32]).unwrap()
}

/// A signature that anybody could make: the signer and a piece of the digest.
#[derive(Clone, Copy)]
pub(crate) struct Toy(pub(crate) Address);

impl Verify for Toy {
    fn recover65(&self, digest: &[u8; 32], signature: &Signature) -> Option<Address> {
        let of = Address(signature.0[1..21].try_into().unwrap());
        (signature.0[0] == 0 && signature.0[21..53] == digest[..]).then_some(of)
    }

    fn recover(&self, digest: &[u8; 32], signature: &[u8; 64]) -> Option<Address> {
        let of = Address(signature[..20].try_into().unwrap());
        (signature[20..52] == digest[..]).then_some(of)
    }
}

impl Seal for Toy {
    fn address(&self) -> Address {
        self.0
    }

    fn sign65(&self, digest: &[u8; 32]) -> Signature {
        let mut bytes = [0; 65];
        bytes[1..21].copy_from_slice(&self.0 .0);
        bytes[21..53].copy_from_slice(digest);
        Signature(bytes)
    }

    // The compact form has a bit of its own in the middle, which would be one of the digest's.
    fn sign(&self, digest: &[u8; 32]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..20].copy_from_slice(&self.0 .0);
        bytes[20..52].copy_from_slice(digest);
        bytes
    }
}

/// An address for a number.
pub(crate) fn address(n: u64) -> Address {
    let hash = keccak256(&[b"test", &n.to_be_bytes()]);
    Address(hash[..20].try_into().unwrap())
}

/// A presence that both have signed.
pub(crate) fn presence(
    device: &dyn Seal,
    node: &dyn Seal,
    t: u64,
    not_after: u64,
    until: u64,
) -> Presence {
    let mut said = DevicePresence {
        device: device.address(),
        node: node.address(),
        t,
        not_after,
        device_sig: Signature([0; 65]),
    };
    said.device_sig = device.sign65(&said.digest());
    said.countersign(until, |digest| node.sign65(digest))
}

/// The same as bytes of a record.
pub(crate) fn presence_bytes(presence: &Presence) -> Vec<u8> {
    [&[2], &presence.encode()[..]].concat()
}

/// A presence of device `device` at node `node`, cheaply signed.
pub(crate) fn toy_presence(device: u64, node: u64, t: u64) -> ValidRecord {
    let (device, node) = (Toy(address(device)), Toy(address(node)));
    let presence = presence(&device, &node, t, t + 7200, t + 3600);
    ValidRecord::presence(&presence, &device).unwrap()
}

/// A content value of `length` bytes.
pub(crate) fn content(n: u64, length: usize, until: u64) -> ValidRecord {
    let mut value = n.to_be_bytes().to_vec();
    value.resize(length.max(8), 0);
    ValidRecord::content_value(&ContentValue { until, value }).unwrap()
}

/// What node `node` says of itself.
pub(crate) fn node_record(node: Address, seq: u64, until: u64) -> NodeRecord {
    NodeRecord {
        node,
        seq,
        until,
        places: vec!["192.0.2.7:51055".parse().unwrap()],
        edge_ports: vec![41046, 41047],
        capabilities: 0,
        name: "attic".to_owned(),
    }
}
