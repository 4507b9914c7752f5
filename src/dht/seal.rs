//! Who signs, who checks signatures, and what the wall clock says.
//!
//! Packets and records are signed through these traits, so that ten thousand
//! simulated nodes need not compute on an elliptic curve. The real ones are
//! [`SecretKey`] and, where nothing is signed, [`Curve`].

use crate::identity::{Address, SecretKey, Signature};
use crate::time::Clock;

/// Finds out who made a signature.
pub trait Verify {
    /// Who made a signature in the long form, as records have it. None: nobody,
    /// or it is not in its one canonical form (recovery id 0 or 1, low s).
    fn recover65(&self, digest: &[u8; 32], signature: &Signature) -> Option<Address>;

    /// Who made a compact signature (EIP-2098), as packets have it.
    fn recover(&self, digest: &[u8; 32], signature: &[u8; 64]) -> Option<Address> {
        self.recover65(digest, &Signature::from_compact(signature))
    }
}

/// A node's own key. `&dyn Seal` is a `&dyn Verify`, too.
pub trait Seal: Verify + Send {
    /// The address that it signs for: this node's id. Not free: keep it.
    fn address(&self) -> Address;

    /// Signs a record.
    fn sign65(&self, digest: &[u8; 32]) -> Signature;

    /// Signs a packet (EIP-2098).
    fn sign(&self, digest: &[u8; 32]) -> [u8; 64] {
        self.sign65(digest).to_compact()
    }
}

/// secp256k1, for those who only check.
#[derive(Clone, Copy, Debug, Default)]
pub struct Curve;

impl Verify for Curve {
    fn recover65(&self, digest: &[u8; 32], signature: &Signature) -> Option<Address> {
        signature.recover(digest).ok()
    }
}

impl Verify for SecretKey {
    fn recover65(&self, digest: &[u8; 32], signature: &Signature) -> Option<Address> {
        Curve.recover65(digest, signature)
    }
}

impl Seal for SecretKey {
    fn address(&self) -> Address {
        SecretKey::address(self)
    }

    fn sign65(&self, digest: &[u8; 32]) -> Signature {
        SecretKey::sign(self, digest)
    }
}

/// What is known of the time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    /// Unix seconds: what the clock says when it is trusted; else the latest
    /// time that is known to have passed, whatever the clock says.
    pub unix: u64,
    /// Whether it is now, or at least that late.
    pub trusted: bool,
}

impl Wall {
    /// What `clock` knows.
    #[must_use]
    pub fn of(clock: &dyn Clock) -> Wall {
        let trusted = clock.trusted();
        Wall {
            unix: if trusted { clock.unix() } else { clock.floor() },
            trusted,
        }
    }
}
