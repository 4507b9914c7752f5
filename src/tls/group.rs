//! Key exchange on secp256k1 (named group 0x0016), for TLS 1.2.
//!
//! RFC 8422: the shared secret is the x coordinate, 32 bytes with leading
//! zeros. Public keys travel uncompressed.

use crate::identity::PublicKey;
use k256::ecdh::EphemeralSecret;
use k256::elliptic_curve::Generate;
use rustls::crypto::{ActiveKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};

/// The group's code point; the other sides are OpenSSL, Erlang and Go.
pub(super) const SECP256K1_ID: NamedGroup = NamedGroup::Unknown(0x0016);

/// The group as rustls wants it.
#[derive(Debug)]
pub(super) struct Secp256k1;

impl SupportedKxGroup for Secp256k1 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = EphemeralSecret::try_generate().map_err(|_| Error::FailedToGetRandomBytes)?;
        let public = PublicKey::from(secret.public_key()).to_uncompressed();
        Ok(Box::new(Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        SECP256K1_ID
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        // RFC 8446 removed the group from TLS 1.3.
        version == ProtocolVersion::TLSv1_2
    }
}

struct Exchange {
    secret: EphemeralSecret,
    public: [u8; 65],
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = match peer {
            [0x04, ..] => k256::PublicKey::from_sec1_bytes(peer).ok(),
            _ => None,
        };
        let peer = peer.ok_or(PeerMisbehaved::InvalidKeyShare)?;
        let shared = self.secret.diffie_hellman(&peer);
        Ok(SharedSecret::from(shared.raw_secret_bytes().as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        SECP256K1_ID
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn two_sides_reach_the_same_secret() {
        let (a, b) = (Secp256k1.start().unwrap(), Secp256k1.start().unwrap());
        let (pub_a, pub_b) = (a.pub_key().to_vec(), b.pub_key().to_vec());
        assert_eq!((pub_a.len(), pub_a[0]), (65, 4));
        let secret = a.complete(&pub_b).unwrap();
        assert_eq!(
            secret.secret_bytes(),
            b.complete(&pub_a).unwrap().secret_bytes()
        );
        assert_eq!(secret.secret_bytes().len(), 32);
    }

    #[test]
    fn a_share_that_is_no_point_is_refused() {
        let mut off_curve = Secp256k1.start().unwrap().pub_key().to_vec();
        off_curve[64] ^= 1;
        let compressed = [&[2][..], &off_curve[1..33]].concat();
        for bad in [&off_curve[..], &compressed, &[], &[0], &[4; 65]] {
            assert!(Secp256k1.start().unwrap().complete(bad).is_err());
        }
    }
}
