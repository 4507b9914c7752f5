//! Who signs, and what the wall clock says.

use crate::identity::Address;

/// The engine's hold on signatures.
pub trait Seal: Send {
    /// The address that [`Seal::sign`] signs for: this node's id.
    fn address(&self) -> Address;
    /// A compact signature (EIP-2098) of this node.
    fn sign(&self, digest: &[u8; 32]) -> [u8; 64];
    /// Who made a compact signature.
    fn recover(&self, digest: &[u8; 32], signature: &[u8; 64]) -> Option<Address>;
    /// Who made a signature in the long form, as records have it.
    fn recover65(&self, digest: &[u8; 32], signature: &[u8; 65]) -> Option<Address>;
}

/// What the wall clock says and whether it can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    /// Seconds since 1970.
    pub unix: u64,
    /// `Clock::trusted` of the house, peers' clocks included.
    pub trusted: bool,
}
