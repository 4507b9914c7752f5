//! The ticket: a device's signed statement of what it has used and pays for.
//!
//! What is signed are seven 32-byte big-endian words, integers and addresses
//! padded with zeros on the left:
//!
//! ```text
//! 0 chain_id
//! 1 epoch
//! 2 fleet
//! 3 node                   implied: whose session the ticket came by
//! 4 total_connections
//! 5 total_bytes
//! 6 SHA-256(local_address)
//! device signature = sign(device key, keccak-256(words))
//! node signature   = sign(node key,   keccak-256(words || device signature))
//! ```
//!
//! It is Diode's TicketV2, bit for bit: the same words are what the contract
//! checks when a node redeems it. The struct as it travels in our own dialect
//! is postcard; nothing that is signed is.

use serde::{Deserialize, Serialize};

use crate::identity::{keccak256, sha256, Address, SecretKey, Signature, SignatureError};
use crate::wire::control::{Message, TICKET};

/// Seconds of an epoch: 30 days.
pub const EPOCH_SECONDS: u64 = 2_592_000;

/// A connection weighs as many bytes in a ticket's score (the contract's
/// default).
pub(super) const CONNECTION_SCORE: u64 = 1024;

/// Bytes of the seven words.
pub const BLOB: usize = 7 * 32;

/// The epoch that the second `unix` (since 1970) lies in.
#[must_use]
pub fn epoch_of(unix: u64) -> u64 {
    unix / EPOCH_SECONDS
}

/// A ticket as it arrived: nothing in it is to be believed before
/// [`super::Rules::validate`] has made a [`super::ValidTicket`] of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The chain on which it can be redeemed.
    pub chain_id: u64,
    /// Unix time divided by [`EPOCH_SECONDS`].
    pub epoch: u64,
    /// The fleet contract that pays.
    pub fleet: Address,
    /// Ports that the device has opened by this node in this epoch.
    pub total_connections: u64,
    /// Payload bytes in this epoch by this node that the device pays for, used
    /// and in advance.
    pub total_bytes: u64,
    /// Hints of where the device can be reached: [`super::LocalAddress`].
    pub local_address: Vec<u8>,
    /// The device's, over the seven words.
    pub signature: Signature,
}

/// What a device chooses when it signs; the fields are those of [`Ticket`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketTerms {
    /// See [`Ticket::chain_id`].
    pub chain_id: u64,
    /// See [`Ticket::epoch`].
    pub epoch: u64,
    /// See [`Ticket::fleet`].
    pub fleet: Address,
    /// See [`Ticket::total_connections`].
    pub total_connections: u64,
    /// See [`Ticket::total_bytes`].
    pub total_bytes: u64,
    /// See [`Ticket::local_address`].
    pub local_address: Vec<u8>,
}

/// In our dialect a ticket travels as it is.
impl Message for Ticket {
    const KIND: u8 = TICKET;
    const NAME: &'static str = "Ticket";
    fn check(&self) -> Result<(), &'static str> {
        if self.local_address.len() > super::MAX_LOCAL_ADDRESS {
            return Err("local_address");
        }
        Ok(())
    }
}

impl Ticket {
    /// Signs `terms` for `node` with the device's key.
    #[must_use]
    pub fn sign(key: &SecretKey, node: &Address, terms: TicketTerms) -> Ticket {
        let mut ticket = Ticket {
            chain_id: terms.chain_id,
            epoch: terms.epoch,
            fleet: terms.fleet,
            total_connections: terms.total_connections,
            total_bytes: terms.total_bytes,
            local_address: terms.local_address,
            signature: Signature([0; 65]),
        };
        ticket.signature = key.sign(&ticket.digest(node));
        ticket
    }

    /// The seven words.
    #[must_use]
    pub fn blob(&self, node: &Address) -> [u8; BLOB] {
        let words = [
            number_word(self.chain_id),
            number_word(self.epoch),
            address_word(&self.fleet),
            address_word(node),
            number_word(self.total_connections),
            number_word(self.total_bytes),
            sha256(&[&self.local_address]),
        ];
        let mut blob = [0; BLOB];
        blob.copy_from_slice(words.as_flattened());
        blob
    }

    /// What the device signs.
    #[must_use]
    pub fn digest(&self, node: &Address) -> [u8; 32] {
        keccak256(&[&self.blob(node)])
    }

    /// What the node signs when it passes the ticket on.
    #[must_use]
    pub fn node_digest(&self, node: &Address) -> [u8; 32] {
        keccak256(&[&self.blob(node), &self.signature.0])
    }

    /// The node's signature.
    #[must_use]
    pub fn countersign(&self, key: &SecretKey) -> Signature {
        key.sign(&self.node_digest(&key.address()))
    }

    /// Who has signed it for `node`. With any field changed, or for another
    /// node, that is some other address.
    ///
    /// # Errors
    /// The signature belongs to no key at all, or is not in its one canonical
    /// form (recovery id 0 or 1, low s).
    pub fn signer(&self, node: &Address) -> Result<Address, SignatureError> {
        self.signature.recover(&self.digest(node))
    }

    /// What it is worth to a node, in bytes: what rewards are shared by.
    #[must_use]
    pub fn score(&self) -> u64 {
        self.total_connections
            .saturating_mul(CONNECTION_SCORE)
            .saturating_add(self.total_bytes)
    }
}

/// A number as a word.
pub(super) fn number_word(number: u64) -> [u8; 32] {
    let mut word = [0; 32];
    if let Some(low) = word.last_chunk_mut() {
        *low = number.to_be_bytes();
    }
    word
}

/// An address as a word.
pub(super) fn address_word(address: &Address) -> [u8; 32] {
    let mut word = [0; 32];
    if let Some(low) = word.last_chunk_mut() {
        *low = address.0;
    }
    word
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::testing::{any_ticket, vector};
    use super::super::LocalAddress;
    use super::*;
    use crate::identity::hex;
    use crate::wire::rlp::Encoder;
    use proptest::prelude::*;

    #[test]
    fn the_signed_bytes_are_those_of_every_other_implementation() {
        let v = vector("ticket.v2.full");
        let device = SecretKey::from_bytes(&v.array("input", "device_private_key")).unwrap();
        let server = SecretKey::from_bytes(&v.array("input", "server_private_key")).unwrap();
        let node = server.address();
        assert_eq!(node.0, v.array("input", "server_id"));
        let ticket = Ticket::sign(
            &device,
            &node,
            TicketTerms {
                chain_id: v.number("input", "chain_id"),
                epoch: v.number("input", "epoch"),
                fleet: Address(v.array("input", "fleet_contract")),
                total_connections: v.number("input", "total_connections"),
                total_bytes: v.number("input", "total_bytes"),
                local_address: v.bytes("input", "local_address"),
            },
        );
        assert_eq!(&ticket.blob(&node)[..], v.bytes("expected", "device_blob"));
        assert_eq!(ticket.digest(&node), v.array("expected", "device_digest"));
        assert_eq!(ticket.signature.0, v.array("expected", "device_signature"));
        assert_eq!(
            ticket.signer(&node).unwrap().0,
            v.array("expected", "device_address")
        );
        let server_blob = [&ticket.blob(&node)[..], &ticket.signature.0].concat();
        assert_eq!(server_blob, v.bytes("expected", "server_blob"));
        assert_eq!(
            ticket.node_digest(&node),
            v.array("expected", "server_digest")
        );
        let server_signature = ticket.countersign(&server);
        assert_eq!(server_signature.0, v.array("expected", "server_signature"));
        assert_eq!(
            server_signature
                .recover(&ticket.node_digest(&node))
                .unwrap()
                .0,
            v.array("expected", "server_address")
        );
        assert_eq!(ticket.score(), v.number("expected", "score"));

        // How Diode's nodes and clients rank tickets as objects.
        let epochs = u128::from(ticket.epoch) * u128::from(u64::MAX);
        let LocalAddress::Hints(hints) = LocalAddress::parse(&ticket.local_address).unwrap() else {
            unreachable!("the vector has hints")
        };
        let by_bytes = epochs + u128::from(ticket.total_bytes);
        let by_time = epochs + 2 * ((1 << 60) - 1) + u128::from(hints.time.unwrap());
        assert_eq!(
            by_bytes.to_string(),
            v.text("expected", "node_block_number")
        );
        assert_eq!(
            by_time.to_string(),
            v.text("expected", "client_block_number")
        );
    }

    #[test]
    fn a_ticket_of_the_reference_client_is_made_byte_by_byte() {
        let v = vector("ticket.v2.reference_script");
        let device = SecretKey::from_bytes(&v.array("input", "device_private_key")).unwrap();
        assert_eq!(device.address().0, v.array("expected", "device_address"));
        let node = Address(v.array("expected", "server_address"));
        let ticket = Ticket::sign(
            &device,
            &node,
            TicketTerms {
                chain_id: v.number("input", "chain_id"),
                epoch: v.number("input", "epoch"),
                fleet: Address(v.array("input", "fleet_contract")),
                total_connections: v.number("input", "total_connections"),
                total_bytes: v.number("input", "total_bytes"),
                local_address: v.text("input", "local_address_ascii").into_bytes(),
            },
        );
        assert_eq!(&ticket.blob(&node)[..], v.bytes("expected", "device_blob"));
        assert_eq!(ticket.digest(&node), v.array("expected", "device_digest"));
        assert_eq!(ticket.signature.0, v.array("expected", "device_signature"));

        // The frame that Diode's dialect carries it in.
        let mut rlp = Encoder::new();
        rlp.list(|frame| {
            frame.bytes(&v.bytes("input", "request_id"));
            frame.list(|body| {
                body.bytes(b"ticketv2");
                body.u64(ticket.chain_id);
                body.u64(ticket.epoch);
                body.bytes(&ticket.fleet.0);
                body.u64(ticket.total_connections);
                body.u64(ticket.total_bytes);
                body.bytes(&ticket.local_address);
                body.bytes(&ticket.signature.0);
            });
        });
        let payload = rlp.finish();
        let mut frame = u16::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
        frame.extend(payload);
        assert_eq!(hex::encode(&frame), v.text("expected", "frame"));
    }

    #[test]
    fn epochs_begin_when_the_chain_says() {
        let v = vector("epoch.calc");
        let epochs: Vec<u64> = v.numbers("input", "timestamps");
        let epochs: Vec<u64> = epochs.into_iter().map(epoch_of).collect();
        assert_eq!(epochs, v.numbers("expected", "epochs"));
        assert_eq!(epoch_of(1_726_272_000 - 1), 665);
        assert_eq!(
            super::super::legacy::epoch_of_block(v.number("input", "l1_block")),
            v.number("expected", "l1_epoch")
        );
    }

    proptest! {
        #[test]
        fn every_ticket_comes_back_and_no_piece_of_one(ticket in any_ticket()) {
            let bytes = postcard::to_allocvec(&ticket).unwrap();
            let (back, rest) = postcard::take_from_bytes::<Ticket>(&bytes).unwrap();
            prop_assert_eq!(&back, &ticket);
            prop_assert!(rest.is_empty());
            for cut in 0..bytes.len() {
                prop_assert!(postcard::from_bytes::<Ticket>(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_never_crash_the_decoder(bytes: Vec<u8>) {
            if let Ok(ticket) = postcard::from_bytes::<Ticket>(&bytes) {
                let _ = ticket.signer(&Address::ZERO);
                let _ = LocalAddress::parse(&ticket.local_address);
            }
        }
    }
}
