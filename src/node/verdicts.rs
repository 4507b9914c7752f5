//! Signers of tickets in the cache: an hour each, in memory alone. What a restart
//! forgets costs one recovery a device; a row each would cost flash more.

use crate::cache::{Ask, Cache, Kind};
use crate::identity::Address;
use crate::ticket::Verdicts;

/// See the module's text.
pub struct Signers(pub Cache);

impl Verdicts for Signers {
    fn recall(&self, hash: &[u8; 32]) -> Option<Address> {
        let known = self.0.recall(&Ask::new(Kind::Ticket, hash))?;
        <[u8; 20]>::try_from(&*known).ok().map(Address)
    }

    fn remember(&self, hash: &[u8; 32], signer: Address) {
        self.0.remember(&Ask::new(Kind::Ticket, hash), &signer.0);
    }
}
