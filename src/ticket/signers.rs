//! Who has signed a ticket: found out by recovery, or remembered.
//!
//! Recovering a signer costs a small device a millisecond, and the same ticket
//! comes again: after a lost connection, and with the second session of a device
//! that moves. The signer follows from the signed words and the signature alone,
//! so remembering it under the hash of both is safe for ever; everything else
//! (epoch, fleet, usage) is judged each time. Signatures that are not right are not
//! remembered.

use crate::identity::{Address, SignatureError};

use super::Ticket;

/// Keeps signers for a while. Never blocks for long.
pub trait Verdicts: Send + Sync {
    /// Who has signed what has this hash, if that is remembered.
    fn recall(&self, hash: &[u8; 32]) -> Option<Address>;
    /// Remembers it.
    fn remember(&self, hash: &[u8; 32], signer: Address);
}

/// Remembers nothing.
pub struct Forgetful;

impl Verdicts for Forgetful {
    fn recall(&self, _: &[u8; 32]) -> Option<Address> {
        None
    }
    fn remember(&self, _: &[u8; 32], _: Address) {}
}

/// Who has signed `ticket` for `node`.
///
/// # Errors
/// As [`Ticket::signer`].
pub(super) fn signer(
    ticket: &Ticket,
    node: &Address,
    verdicts: &dyn Verdicts,
) -> Result<Address, SignatureError> {
    let hash = ticket.node_digest(node);
    if let Some(signer) = verdicts.recall(&hash) {
        return Ok(signer);
    }
    let signer = ticket.signer(node)?;
    verdicts.remember(&hash, signer);
    Ok(signer)
}
