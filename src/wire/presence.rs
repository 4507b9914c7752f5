//! Presence: the word of a device and of its node that the one is found at the other.
//!
//! The device signs that it is at this node from `t` on, at most until
//! `not_after`: without its key nobody can say so. The node signs that it still
//! has the device, for an hour at most, and again while the session lasts: so
//! a device that left without a word is soon no longer found there. Of a device
//! the newer `t` wins, and an old presence cannot take the place of a newer one.
//!
//! ```text
//! device_sig over keccak256("chr-presence/1" || device:160 || node:160 || t:64 || not_after:64)
//! node_sig   over keccak256("chr-presence-node/1" || device:160 || node:160 || t:64 || not_after:64
//!                           || device_sig:520 || until:64)
//! record     RLP([device, node, t, not_after, device_sig, until, node_sig])
//! ```
//!
//! Numbers in what is signed are big-endian; times are unix seconds; signatures
//! have 65 bytes, recovery id first. The device's half travels in a session
//! (frames of the types 30 to 32), both halves in the DHT ([`Presence`]).
//!
//! In a session whose both sides know the capability [`CAPABILITY`], the node
//! asks after Welcome ([`PresenceAsk`]); the device answers along with its first
//! ticket ([`PresenceSigned`]), and again before `not_after` runs out; the node
//! says [`PresenceTaken`], or `ErrorAnswer` with the code `presence-refused`.

use super::control::{messages, Message};
use super::rlp::{Encoder, Item, RlpError};
use crate::identity::{keccak256, Address, SecretKey, Signature};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The bit of Hello and Welcome that says: frames 30 to 32 are known.
pub const CAPABILITY: u64 = 1;

messages! {
    /// Node to device, id 0: sign that you are here. Again when the node has
    /// learnt the time.
    0x30 PresenceAsk {
        /// The newest `t` of the device that the node knows of; 0: none. The next must be newer.
        last_t: u64;
        /// The node's clock, unix seconds; 0 when not trusted.
        unix_time: u64;
    }
    /// Device to node, request: [`DevicePresence`] but for the two addresses,
    /// which the session has proven.
    0x31 PresenceSigned {
        /// Since when.
        t: u64;
        /// Until when at most.
        not_after: u64;
        /// The device's.
        signature: Signature;
    }
    /// Node to device, the answer to [`PresenceSigned`]: the network is told.
    0x32 PresenceTaken {}
}

/// Seconds from `t` to `not_after` at most: a device that is gone for a day has
/// other nodes by then.
pub const VALID_MAX: u64 = 24 * 3600;
/// Seconds from the node's signature to `until` at most.
pub const UNTIL_MAX: u64 = 3600;
/// Seconds that a clock may be ahead of ours: devices' clocks are set by hand.
pub const AHEAD_MAX: u64 = 600;
/// Seconds that `not_after` may lie ahead of a storer's clock: a day and the
/// hour by which clocks differ that nobody looks after.
pub const NOT_AFTER_AHEAD_MAX: u64 = 25 * 3600;
/// Longest record in bytes: its two signatures, two addresses and three times.
pub const PRESENCE_MAX: usize = 2 + 2 * 21 + 3 * 9 + 2 * 67;

const DEVICE_DOMAIN: &[u8] = b"chr-presence/1";
const NODE_DOMAIN: &[u8] = b"chr-presence-node/1";

/// What recovers an address from a digest and its signature: [`recover`], or a
/// cheaper one where a network is only simulated.
pub type Recover<'a> = &'a dyn Fn(&[u8; 32], &Signature) -> Option<Address>;

/// The device's half. As it came: nothing is checked until [`DevicePresence::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevicePresence {
    /// Who is found.
    pub device: Address,
    /// At which node.
    pub node: Address,
    /// Since when; of a device and a node the newest counts.
    pub t: u64,
    /// Until when at most; no more than [`VALID_MAX`] after `t`.
    pub not_after: u64,
    /// The device's, over [`DevicePresence::digest`].
    pub device_sig: Signature,
}

/// Both halves, as others find them. As it came: nothing is checked until
/// [`Presence::check`] and, with a trusted clock, [`Presence::check_time`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Who is found.
    pub device: Address,
    /// At which node.
    pub node: Address,
    /// Since when.
    pub t: u64,
    /// Until when at most, by the device's word.
    pub not_after: u64,
    /// The device's, over [`DevicePresence::digest`].
    pub device_sig: Signature,
    /// Until when, by the node's word.
    pub until: u64,
    /// The node's, over [`Presence::digest`].
    pub node_sig: Signature,
}

/// Why a presence is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresenceError {
    /// `not_after` is not after `t`, or more than [`VALID_MAX`] after it.
    Span,
    /// The device's signature is not that of the device over these fields.
    DeviceSignature,
    /// The node's signature is not that of the node over these fields.
    NodeSignature,
    /// A time lies further ahead than it may.
    Ahead,
    /// It was, and is no more.
    Over,
}

impl fmt::Display for PresenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PresenceError::Span => "not_after is at most 24 h after t",
            PresenceError::DeviceSignature => {
                "the signature is not the device's over these fields and this node"
            }
            PresenceError::NodeSignature => "the node's signature is not its own",
            PresenceError::Ahead => "a time lies too far ahead: set the clock that signed it",
            PresenceError::Over => "it is over: a newer one is needed",
        })
    }
}

impl std::error::Error for PresenceError {}

/// The address that signed `digest`, by the curve.
#[must_use]
pub fn recover(digest: &[u8; 32], signature: &Signature) -> Option<Address> {
    signature.recover(digest).ok()
}

impl DevicePresence {
    /// Signs as `key`'s address: found at `node` from `t` on, until `not_after`.
    #[must_use]
    pub fn sign(key: &SecretKey, node: Address, t: u64, not_after: u64) -> DevicePresence {
        let device = key.address();
        DevicePresence {
            device,
            node,
            t,
            not_after,
            device_sig: key.sign(&device_digest(device, node, t, not_after)),
        }
    }

    /// What the device signs.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        device_digest(self.device, self.node, self.t, self.not_after)
    }

    /// Checks the span and the signature; not whether it is now.
    ///
    /// # Errors
    /// `Span` or `DeviceSignature`.
    pub fn check(&self, recover: Recover<'_>) -> Result<(), PresenceError> {
        let span = self.not_after.checked_sub(self.t);
        if !span.is_some_and(|span| (1..=VALID_MAX).contains(&span)) {
            return Err(PresenceError::Span);
        }
        if recover(&self.digest(), &self.device_sig) != Some(self.device) {
            return Err(PresenceError::DeviceSignature);
        }
        Ok(())
    }

    /// Checks the times against a clock that can be trusted, in unix seconds.
    ///
    /// # Errors
    /// `Ahead` or `Over`.
    pub fn check_time(&self, now: u64) -> Result<(), PresenceError> {
        if self.t > now.saturating_add(AHEAD_MAX)
            || self.not_after > now.saturating_add(NOT_AFTER_AHEAD_MAX)
        {
            return Err(PresenceError::Ahead);
        }
        if self.not_after <= now {
            return Err(PresenceError::Over);
        }
        Ok(())
    }

    /// What the node signs that has the device until `until`.
    #[must_use]
    pub fn node_digest(&self, until: u64) -> [u8; 32] {
        keccak256(&[
            NODE_DOMAIN,
            &self.device.0,
            &self.node.0,
            &self.t.to_be_bytes(),
            &self.not_after.to_be_bytes(),
            &self.device_sig.0,
            &until.to_be_bytes(),
        ])
    }

    /// Adds the node's half, whatever way it signs.
    #[must_use]
    pub fn countersign(&self, until: u64, sign: impl FnOnce(&[u8; 32]) -> Signature) -> Presence {
        Presence {
            device: self.device,
            node: self.node,
            t: self.t,
            not_after: self.not_after,
            device_sig: self.device_sig,
            until,
            node_sig: sign(&self.node_digest(until)),
        }
    }
}

fn device_digest(device: Address, node: Address, t: u64, not_after: u64) -> [u8; 32] {
    keccak256(&[
        DEVICE_DOMAIN,
        &device.0,
        &node.0,
        &t.to_be_bytes(),
        &not_after.to_be_bytes(),
    ])
}

impl Presence {
    /// The device's half.
    #[must_use]
    pub fn said(&self) -> DevicePresence {
        DevicePresence {
            device: self.device,
            node: self.node,
            t: self.t,
            not_after: self.not_after,
            device_sig: self.device_sig,
        }
    }

    /// What the node signs.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.said().node_digest(self.until)
    }

    /// When it ends by itself, in unix seconds.
    #[must_use]
    pub fn expires(&self) -> u64 {
        self.until.min(self.not_after)
    }

    /// Checks the span and both signatures; not whether it is now.
    ///
    /// # Errors
    /// `Span`, `DeviceSignature` or `NodeSignature`.
    pub fn check(&self, recover: Recover<'_>) -> Result<(), PresenceError> {
        self.said().check(recover)?;
        if recover(&self.digest(), &self.node_sig) != Some(self.node) {
            return Err(PresenceError::NodeSignature);
        }
        Ok(())
    }

    /// Checks the times against a clock that can be trusted, in unix seconds.
    ///
    /// # Errors
    /// `Ahead` or `Over`.
    pub fn check_time(&self, now: u64) -> Result<(), PresenceError> {
        self.said().check_time(now)?;
        if self.until > now.saturating_add(UNTIL_MAX).saturating_add(AHEAD_MAX) {
            return Err(PresenceError::Ahead);
        }
        if self.until <= now {
            return Err(PresenceError::Over);
        }
        Ok(())
    }

    /// The record's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut rlp = Encoder::new();
        rlp.list(|list| {
            list.bytes(&self.device.0)
                .bytes(&self.node.0)
                .u64(self.t)
                .u64(self.not_after)
                .bytes(&self.device_sig.0)
                .u64(self.until)
                .bytes(&self.node_sig.0);
        });
        rlp.finish()
    }

    /// Reads a record's bytes. A record has one spelling alone.
    ///
    /// # Errors
    /// They are not exactly one record.
    pub fn decode(bytes: &[u8]) -> Result<Presence, RlpError> {
        if bytes.len() > PRESENCE_MAX {
            return Err(RlpError::Expected("a presence of at most 205 bytes"));
        }
        let [device, node, t, not_after, device_sig, until, node_sig] =
            Item::parse(bytes)?.tuple()?;
        Ok(Presence {
            device: Address(device.array()?),
            node: Address(node.array()?),
            t: t.u64()?,
            not_after: not_after.u64()?,
            device_sig: Signature(device_sig.array()?),
            until: until.u64()?,
            node_sig: Signature(node_sig.array()?),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::control::{decode, encode, ControlError};
    use super::super::frame::DATA_HEADER_LEN;
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_753_920_000;

    #[test]
    fn the_frames_of_a_session_have_one_spelling_each() {
        fn check<M: Message + PartialEq + fmt::Debug>(message: &M) {
            let mut frame = Vec::new();
            encode(7, message, &mut frame);
            let body = &frame[DATA_HEADER_LEN..];
            assert_eq!(decode::<M>(body).as_ref(), Ok(message));
            for cut in 0..body.len() {
                assert!(decode::<M>(&body[..cut]).is_err());
            }
            frame.push(0);
            let long = decode::<M>(&frame[DATA_HEADER_LEN..]);
            assert_eq!(long, Err(ControlError::Trailing(M::NAME)));
        }
        check(&PresenceAsk {
            last_t: NOW,
            unix_time: u64::MAX,
        });
        check(&PresenceSigned {
            t: NOW,
            not_after: NOW + VALID_MAX,
            signature: presence().device_sig,
        });
        check(&PresenceTaken {});
    }

    fn key(n: u8) -> SecretKey {
        SecretKey::from_bytes(&[n; 32]).unwrap()
    }

    fn presence() -> Presence {
        let said = DevicePresence::sign(&key(1), key(2).address(), NOW, NOW + VALID_MAX);
        said.countersign(NOW + UNTIL_MAX, |digest| key(2).sign(digest))
    }

    #[test]
    fn what_others_changed_on_the_way_is_refused() {
        let good = presence();
        assert_eq!(good.check(&recover), Ok(()));
        assert_eq!(good.check_time(NOW), Ok(()));
        let third = key(3).address();
        let by_device: [fn(&mut Presence, Address); 4] = [
            |p, third| p.device = third,
            |p, third| p.node = third,
            |p, _| p.t += 1,
            |p, _| p.not_after -= 1,
        ];
        for change in by_device {
            let mut bad = good;
            change(&mut bad, third);
            assert_eq!(bad.check(&recover), Err(PresenceError::DeviceSignature));
        }
        let mut bad = good;
        bad.until += 1;
        assert_eq!(bad.check(&recover), Err(PresenceError::NodeSignature));
        // Another node may not keep a device that is not with it.
        let stolen = good
            .said()
            .countersign(good.until, |digest| key(3).sign(digest));
        assert_eq!(stolen.check(&recover), Err(PresenceError::NodeSignature));
    }

    #[test]
    fn a_presence_that_lasts_longer_than_a_day_is_refused() {
        let node = key(2).address();
        for (not_after, fine) in [
            (NOW - 1, false),
            (NOW, false),
            (NOW + 1, true),
            (NOW + VALID_MAX, true),
            (NOW + VALID_MAX + 1, false),
            (u64::MAX, false),
        ] {
            let said = DevicePresence::sign(&key(1), node, NOW, not_after);
            let expected = if fine {
                Ok(())
            } else {
                Err(PresenceError::Span)
            };
            assert_eq!(said.check(&recover), expected, "{not_after}");
        }
    }

    #[test]
    fn times_that_are_not_now_are_refused() {
        let good = presence();
        assert_eq!(good.check_time(NOW - AHEAD_MAX), Ok(()));
        let early = good.check_time(NOW - AHEAD_MAX - 1);
        assert_eq!(early, Err(PresenceError::Ahead));
        assert_eq!(good.expires(), NOW + UNTIL_MAX);
        assert_eq!(good.check_time(good.expires() - 1), Ok(()));
        assert_eq!(good.check_time(good.expires()), Err(PresenceError::Over));
        let mut long = good;
        long.until = NOW + UNTIL_MAX + AHEAD_MAX + 1;
        assert_eq!(long.check_time(NOW), Err(PresenceError::Ahead));
        long.until = u64::MAX;
        assert_eq!(long.check_time(NOW + VALID_MAX), Err(PresenceError::Over));
    }

    proptest! {
        #[test]
        fn every_record_comes_back_and_has_one_spelling(
            device: [u8; 20], node: [u8; 20], t: u64, not_after: u64, until: u64,
            fill: u8, extra: u8,
        ) {
            let p = Presence {
                device: Address(device), node: Address(node), t, not_after,
                device_sig: Signature([fill; 65]), until, node_sig: Signature([!fill; 65]),
            };
            let bytes = p.encode();
            prop_assert!(bytes.len() <= PRESENCE_MAX);
            prop_assert_eq!(Presence::decode(&bytes), Ok(p));
            for cut in 0..bytes.len() {
                prop_assert!(Presence::decode(&bytes[..cut]).is_err());
            }
            let mut longer = bytes;
            longer.push(extra);
            prop_assert!(Presence::decode(&longer).is_err());
        }

        #[test]
        fn strange_bytes_never_panic_and_mean_one_thing(
            at in 0usize..180, byte: u8, tail in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let _ = Presence::decode(&tail);
            let mut bytes = presence().encode();
            let at = at.min(bytes.len() - 1);
            bytes[at] = byte;
            if let Ok(read) = Presence::decode(&bytes) {
                prop_assert_eq!(read.encode(), bytes);
                let _ = read.check(&recover);
                let _ = read.check_time(NOW);
            }
        }
    }
}
