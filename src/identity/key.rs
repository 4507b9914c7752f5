//! Secret and public keys on secp256k1.

use super::{keccak256, Address, Signature, SignatureError};
use k256::ecdsa::signature::hazmat::PrehashVerifier;
use k256::ecdsa::{SigningKey, VerifyingKey};
use k256::elliptic_curve::Generate;
use k256::PublicKey as CurvePoint;
use std::fmt;
use zeroize::Zeroizing;

/// A secret key. Wiped from memory when dropped; [`fmt::Debug`] shows nothing.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

/// A public key: a point of the curve other than infinity.
#[derive(Clone, Copy, PartialEq)]
pub struct PublicKey(VerifyingKey);

/// Bytes that are no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// A secret key must be above zero and below the group order.
    OutOfRange,
    /// Not the uncompressed form (0x04, x, y; 65 bytes) of a point of the curve.
    NotAPoint,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange => {
                f.write_str("secret key is zero or too large for the curve secp256k1")
            }
            Self::NotAPoint => f.write_str("public key is not a point of the curve secp256k1"),
        }
    }
}

impl std::error::Error for KeyError {}

impl SecretKey {
    /// A new key from the system's randomness.
    ///
    /// # Panics
    /// Where the system has no randomness at all; nothing safe can run there.
    #[must_use]
    pub fn generate() -> SecretKey {
        SecretKey(SigningKey::generate())
    }

    /// Reads the 32 bytes, big-endian.
    ///
    /// # Errors
    /// [`KeyError::OutOfRange`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<SecretKey, KeyError> {
        SigningKey::from_slice(bytes)
            .map(SecretKey)
            .map_err(|_| KeyError::OutOfRange)
    }

    /// The 32 bytes, big-endian, wiped when the caller drops them.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(*self.0.verifying_key())
    }

    /// The address of the public key. Costs one hash.
    #[must_use]
    pub fn address(&self) -> Address {
        self.public_key().address()
    }

    /// Signs a 32-byte digest: deterministic nonce (RFC 6979), low s.
    #[must_use]
    pub fn sign(&self, digest: &[u8; 32]) -> Signature {
        let (signature, id) = self.0.sign_prehash_recoverable(digest);
        Signature::join(id.to_byte(), &signature.to_bytes().into())
    }

    /// Signs a 32-byte digest for X.509 and TLS: low s, DER, at most 71 bytes.
    #[must_use]
    pub fn sign_der(&self, digest: &[u8; 32]) -> Vec<u8> {
        let (signature, _) = self.0.sign_prehash_recoverable(digest);
        signature.to_der().as_bytes().to_vec()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl PublicKey {
    /// Reads the uncompressed form: 0x04, x, y.
    ///
    /// # Errors
    /// [`KeyError::NotAPoint`] for any other form or length, and for numbers
    /// that are not on the curve.
    pub fn from_uncompressed(bytes: &[u8]) -> Result<PublicKey, KeyError> {
        // The length alone tells the forms apart but for 0x05 to 0x07, which
        // the parser below refuses.
        if bytes.len() != 65 {
            return Err(KeyError::NotAPoint);
        }
        VerifyingKey::from_sec1_bytes(bytes)
            .map(PublicKey)
            .map_err(|_| KeyError::NotAPoint)
    }

    /// The uncompressed form: 0x04, x, y.
    #[must_use]
    pub fn to_uncompressed(&self) -> [u8; 65] {
        let point = self.0.to_sec1_point(false);
        let mut bytes = [0; 65];
        // The lengths agree by the encoding; zip cannot panic if they ever did not.
        for (to, from) in bytes.iter_mut().zip(point.as_bytes()) {
            *to = *from;
        }
        bytes
    }

    /// The address: last 20 bytes of keccak-256 over x and y.
    #[must_use]
    pub fn address(&self) -> Address {
        let [_prefix, xy @ ..] = self.to_uncompressed();
        let hash = keccak256(&[&xy]);
        let mut address = Address::ZERO;
        for (to, from) in address.0.iter_mut().zip(hash.iter().skip(12)) {
            *to = *from;
        }
        address
    }

    /// Checks a DER signature over `digest`, as TLS and X.509 carry it.
    ///
    /// A high s is accepted: OpenSSL and Erlang make one half of the time, and
    /// nothing is identified by the bytes of a handshake signature.
    ///
    /// # Errors
    /// Malformed DER, or a signature by another key or over something else.
    pub fn verify_der(&self, digest: &[u8; 32], der: &[u8]) -> Result<(), SignatureError> {
        let signature =
            k256::ecdsa::Signature::from_der(der).map_err(|_| SignatureError::Malformed)?;
        // k256 refuses a high s where other libraries do not care.
        self.0
            .verify_prehash(digest, &signature.normalize_s())
            .map_err(|_| SignatureError::Mismatch)
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.address())
    }
}

impl From<VerifyingKey> for PublicKey {
    fn from(key: VerifyingKey) -> PublicKey {
        PublicKey(key)
    }
}

impl From<CurvePoint> for PublicKey {
    fn from(point: CurvePoint) -> PublicKey {
        PublicKey(point.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::identity::vectors::{expected, input, vectors_of};
    use proptest::prelude::*;

    #[test]
    fn a_key_yields_the_address_that_others_compute() {
        let vectors = vectors_of("identity");
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            let secret: [u8; 32] = input(&vector, "private_key").try_into().unwrap();
            let key = SecretKey::from_bytes(&secret).unwrap();
            let public = key.public_key().to_uncompressed();
            assert_eq!(
                public.to_vec(),
                expected(&vector, "public_key_uncompressed")
            );
            assert_eq!(key.address().0.to_vec(), expected(&vector, "address"));
            assert_eq!(
                PublicKey::from_uncompressed(&public).unwrap(),
                key.public_key()
            );
            let compressed = expected(&vector, "public_key_compressed");
            assert_eq!(
                PublicKey::from_uncompressed(&compressed),
                Err(KeyError::NotAPoint)
            );
        }
    }

    #[test]
    fn zero_and_the_group_order_are_no_keys() {
        let order: [u8; 32] = crate::identity::hex::decode_array(
            "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
        )
        .unwrap();
        assert!(SecretKey::from_bytes(&[0; 32]).is_err());
        assert!(SecretKey::from_bytes(&order).is_err());
    }

    #[test]
    fn debug_output_never_shows_the_secret() {
        assert_eq!(format!("{:?}", SecretKey::generate()), "SecretKey(…)");
    }

    #[test]
    fn two_new_keys_are_never_the_same() {
        assert_ne!(
            SecretKey::generate().address(),
            SecretKey::generate().address()
        );
    }

    #[test]
    fn a_high_s_in_der_is_accepted() {
        let key = SecretKey::from_bytes(&[7; 32]).unwrap();
        let digest = [3; 32];
        let low = k256::ecdsa::Signature::from_der(&key.sign_der(&digest)).unwrap();
        let (r, s) = low.split_scalars();
        let high = k256::ecdsa::Signature::from_scalars(*r, -*s).unwrap();
        assert_ne!(high, low);
        let public = key.public_key();
        assert_eq!(public.verify_der(&digest, high.to_der().as_bytes()), Ok(()));
        assert_eq!(public.verify_der(&digest, low.to_der().as_bytes()), Ok(()));
    }

    #[test]
    fn a_signature_by_another_key_is_refused() {
        let mine = SecretKey::from_bytes(&[7; 32]).unwrap();
        let other = SecretKey::from_bytes(&[8; 32]).unwrap();
        let der = other.sign_der(&[3; 32]);
        let public = mine.public_key();
        assert_eq!(
            public.verify_der(&[3; 32], &der),
            Err(SignatureError::Mismatch)
        );
        assert_eq!(
            other.public_key().verify_der(&[4; 32], &der),
            Err(SignatureError::Mismatch)
        );
        assert_eq!(
            public.verify_der(&[3; 32], &der[1..]),
            Err(SignatureError::Malformed)
        );
    }

    proptest! {
        #[test]
        fn strange_points_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            let _ = PublicKey::from_uncompressed(&bytes);
            let _ = SecretKey::generate().public_key().verify_der(&[1; 32], &bytes);
        }
    }
}
