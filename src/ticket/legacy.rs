//! Diode's TicketV1, which is written for its own first chain: like version 2
//! without chain and epoch, and with the hash of a block in front. We make and
//! accept none; the Diode dialect has to recognise them.

use crate::identity::{keccak256, sha256, Address, Signature};

use super::signed::{address_word, number_word};

/// Blocks of an epoch on that chain.
const EPOCH_BLOCKS: u64 = 40_320;

/// The epoch of a block of Diode's first chain.
#[must_use]
pub fn epoch_of_block(block: u64) -> u64 {
    block / EPOCH_BLOCKS
}

/// What a TicketV1 says. The block's number travels with it, its hash is what
/// is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TicketV1<'a> {
    /// Hash of the block whose number the ticket names.
    pub block_hash: [u8; 32],
    /// The fleet contract.
    pub fleet: Address,
    /// Connections in this epoch.
    pub total_connections: u64,
    /// Bytes in this epoch.
    pub total_bytes: u64,
    /// Hints of where the device can be reached.
    pub local_address: &'a [u8],
}

impl TicketV1<'_> {
    /// The six words.
    #[must_use]
    pub fn blob(&self, node: &Address) -> [u8; 192] {
        let words = [
            self.block_hash,
            address_word(&self.fleet),
            address_word(node),
            number_word(self.total_connections),
            number_word(self.total_bytes),
            sha256(&[self.local_address]),
        ];
        let mut blob = [0; 192];
        blob.copy_from_slice(words.as_flattened());
        blob
    }

    /// What the device signs.
    #[must_use]
    pub fn digest(&self, node: &Address) -> [u8; 32] {
        keccak256(&[&self.blob(node)])
    }

    /// What the node signs.
    #[must_use]
    pub fn node_digest(&self, node: &Address, device: &Signature) -> [u8; 32] {
        keccak256(&[&self.blob(node), &device.0])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::testing::vector;
    use super::super::LocalAddress;
    use super::*;
    use crate::identity::SecretKey;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn two_tickets_that_say_something_else_sign_something_else(
            block_hash: [u8; 32], fleets: [[u8; 20]; 2], numbers: [u64; 2], hints: [Vec<u8>; 2],
        ) {
            let ticket = |fleet: [u8; 20], bytes, local_address| TicketV1 {
                block_hash,
                fleet: Address(fleet),
                total_connections: 1,
                total_bytes: bytes,
                local_address,
            };
            let [one, two] = [0, 1].map(|i| {
                ticket(*fleets.get(i).unwrap(), *numbers.get(i).unwrap(), hints.get(i).unwrap())
            });
            let node = Address::ZERO;
            prop_assert_eq!(one == two, one.blob(&node) == two.blob(&node));
        }
    }

    #[test]
    fn the_old_form_is_recognised() {
        let v = vector("ticket.v1.full");
        let device = SecretKey::from_bytes(&v.array("input", "device_private_key")).unwrap();
        let server = SecretKey::from_bytes(&v.array("input", "server_private_key")).unwrap();
        let node = Address(v.array("input", "server_id"));
        let local_address = v.bytes("input", "local_address");
        let ticket = TicketV1 {
            block_hash: v.array("input", "block_hash"),
            fleet: Address(v.array("input", "fleet_contract")),
            total_connections: v.number("input", "total_connections"),
            total_bytes: v.number("input", "total_bytes"),
            local_address: &local_address,
        };
        assert_eq!(ticket.blob(&node), v.array("expected", "device_blob"));
        assert_eq!(ticket.digest(&node), v.array("expected", "device_digest"));
        let signature = device.sign(&ticket.digest(&node));
        assert_eq!(signature.0, v.array("expected", "device_signature"));
        assert_eq!(
            signature.recover(&ticket.digest(&node)).unwrap().0,
            v.array("expected", "device_address")
        );
        let digest = ticket.node_digest(&node, &signature);
        assert_eq!(digest, v.array("expected", "server_digest"));
        assert_eq!(
            server.sign(&digest).0,
            v.array("expected", "server_signature")
        );
        assert_eq!(
            epoch_of_block(v.number("input", "block_number")),
            v.number("expected", "epoch")
        );
        assert_eq!(
            ticket.total_connections * 1024 + ticket.total_bytes,
            v.number("expected", "score")
        );
        assert_eq!(
            LocalAddress::parse(&local_address).unwrap(),
            LocalAddress::Preferred(node)
        );
    }
}
