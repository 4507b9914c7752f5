//! Signatures that cost nothing.
//!
//! A real signature takes 50 us and its check 100: ten thousand nodes would spend hours
//! on them. Here one is the signer's address and a keyed hash of digest and address, under a key that
//! the whole simulation shares. Nobody in a simulation makes one for another's
//! address, so a packet or record that was altered, cut or taken from somebody
//! else is refused just as with real ones. What is *not* simulated is the time that the
//! curve takes. Ids are drawn at random, or chosen, as an attacker chooses who makes
//! many keys.

use chr_node::dht::{Seal, Verify};
use chr_node::identity::{Address, Signature};

const KEY: u64 = 0x9e37_79b9_7f4a_7c15;

/// Signs for one address.
#[derive(Clone, Copy)]
pub struct CheapSeal(pub Address);

/// The presence of devices is checked with this.
pub fn recover(digest: &[u8; 32], signature: &Signature) -> Option<Address> {
    let (first, rest) = signature.0.split_first()?;
    let compact = rest.try_into().ok()?;
    (*first == 0).then(|| read(digest, compact)).flatten()
}

impl Verify for CheapSeal {
    fn recover65(&self, digest: &[u8; 32], signature: &Signature) -> Option<Address> {
        recover(digest, signature)
    }

    fn recover(&self, digest: &[u8; 32], signature: &[u8; 64]) -> Option<Address> {
        read(digest, signature)
    }
}

impl Seal for CheapSeal {
    fn address(&self) -> Address {
        self.0
    }

    fn sign65(&self, digest: &[u8; 32]) -> Signature {
        let mut bytes = [0; 65];
        bytes[1..].copy_from_slice(&self.sign(digest));
        Signature(bytes)
    }

    fn sign(&self, digest: &[u8; 32]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature[..20].copy_from_slice(&self.0 .0);
        signature[24..32].copy_from_slice(&mac(digest, &self.0).to_be_bytes());
        signature
    }
}

fn read(digest: &[u8; 32], signature: &[u8; 64]) -> Option<Address> {
    let signer = Address(signature[..20].try_into().ok()?);
    (CheapSeal(signer).sign(digest) == *signature).then_some(signer)
}

/// A hash good enough to find accidents.
fn mac(digest: &[u8; 32], signer: &Address) -> u64 {
    let mut state = KEY;
    for chunk in digest.chunks(8).chain(signer.0.chunks(8)) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = (state ^ u64::from_be_bytes(word)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        state ^= state >> 29;
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_for_another_digest_or_by_another_is_refused() {
        let seal = CheapSeal(Address([7; 20]));
        let mut signature = seal.sign65(&[1; 32]);
        assert_eq!(recover(&[1; 32], &signature), Some(Address([7; 20])));
        assert_eq!(recover(&[2; 32], &signature), None);
        signature.0[3] ^= 1;
        assert_eq!(recover(&[1; 32], &signature), None);
    }
}
