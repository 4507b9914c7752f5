//! Recoverable signatures: 65 bytes, or 64 in the compact form of EIP-2098.
//!
//! Layout of the long form: recovery id (0 or 1), r (32 bytes, big-endian),
//! s (32 bytes, big-endian). The recovery id comes *first*, as Diode has it;
//! Ethereum's tools put it last.

use super::{hex, Address, PublicKey};
use k256::ecdsa::{RecoveryId, VerifyingKey};
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A recoverable signature as it came: nothing in it is checked until
/// [`Signature::recover`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 65]);

/// Why a signature is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureError {
    /// The recovery id is neither 0 nor 1. 2 and 3 exist in theory (r reduced
    /// by the group order, chance 2^-128) and are refused by chains.
    RecoveryId(u8),
    /// s lies in the upper half: the same signature in its malleable form.
    HighS,
    /// r or s is zero or not below the group order, or the DER is not canonical.
    Malformed,
    /// No public key fits: the signature was not made over this digest.
    Mismatch,
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RecoveryId(id) => write!(f, "signature has recovery id {id}; only 0 and 1 exist"),
            Self::HighS => f.write_str("signature has a high s; its signer must send the low form"),
            Self::Malformed => f.write_str("signature is malformed"),
            Self::Mismatch => f.write_str("signature does not belong to this content"),
        }
    }
}

impl std::error::Error for SignatureError {}

/// The top bit of s, free because s is low: EIP-2098 keeps the recovery id there.
const PARITY_BIT: u8 = 0x80;

impl Signature {
    /// Joins the recovery id and `r || s`.
    pub(super) fn join(recovery_id: u8, rs: &[u8; 64]) -> Signature {
        let mut bytes = [0; 65];
        let (first, rest) = bytes.split_at_mut(1);
        first.fill(recovery_id);
        rest.copy_from_slice(rs);
        Signature(bytes)
    }

    fn split(&self) -> (u8, [u8; 64]) {
        let [recovery_id, rs @ ..] = self.0;
        (recovery_id, rs)
    }

    /// The address that signed `digest`.
    ///
    /// Any well-formed signature recovers to *some* address: compare it with
    /// the one that you expect.
    ///
    /// # Errors
    /// A recovery id other than 0 or 1, a high s, numbers out of range, or an
    /// r that is no point of the curve.
    pub fn recover(&self, digest: &[u8; 32]) -> Result<Address, SignatureError> {
        let (id, rs) = self.split();
        if id > 1 {
            return Err(SignatureError::RecoveryId(id));
        }
        let signature =
            k256::ecdsa::Signature::from_slice(&rs).map_err(|_| SignatureError::Malformed)?;
        if signature != signature.normalize_s() {
            return Err(SignatureError::HighS);
        }
        let id = RecoveryId::new(id == 1, false);
        VerifyingKey::recover_from_prehash(digest, &signature, id)
            .map(|key| PublicKey::from(key).address())
            .map_err(|_| SignatureError::Mismatch)
    }

    /// EIP-2098: r, then s with the recovery id in its top bit. Meaningful for
    /// signatures that [`Signature::recover`] accepts.
    #[must_use]
    pub fn to_compact(&self) -> [u8; 64] {
        let (id, mut compact) = self.split();
        if let Some(top) = compact.get_mut(32) {
            *top |= (id & 1) << 7;
        }
        compact
    }

    /// The long form of 64 bytes of EIP-2098.
    #[must_use]
    pub fn from_compact(compact: &[u8; 64]) -> Signature {
        let mut rs = *compact;
        let mut id = 0;
        if let Some(top) = rs.get_mut(32) {
            id = *top >> 7;
            *top &= !PARITY_BIT;
        }
        Signature::join(id, &rs)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        hex::write(f, &self.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        // serde's arrays end at 32 elements; a tuple has no length on the wire.
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for byte in &self.0 {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            return text
                .strip_prefix("0x")
                .and_then(hex::decode_array)
                .map(Signature)
                .ok_or_else(|| {
                    serde::de::Error::custom("a signature is 0x and 130 hexadecimal digits")
                });
        }
        deserializer.deserialize_tuple(65, RawBytes)
    }
}

struct RawBytes;

impl<'de> Visitor<'de> for RawBytes {
    type Value = Signature;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("65 bytes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Signature, A::Error> {
        let mut bytes = [0; 65];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = list
                .next_element()?
                .ok_or_else(|| serde::de::Error::invalid_length(index, &self))?;
        }
        Ok(Signature(bytes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::identity::vectors::{expected, input, vectors_of};
    use crate::identity::SecretKey;
    use proptest::prelude::*;

    fn key() -> SecretKey {
        SecretKey::from_bytes(&[7; 32]).unwrap()
    }

    #[test]
    fn other_implementations_sign_and_recover_alike() {
        let vectors = vectors_of("signature");
        assert_eq!(vectors.len(), 2);
        for vector in vectors {
            let secret: [u8; 32] = input(&vector, "private_key").try_into().unwrap();
            let digest: [u8; 32] = input(&vector, "digest").try_into().unwrap();
            let signer: [u8; 20] = expected(&vector, "signer").try_into().unwrap();
            let signature = SecretKey::from_bytes(&secret).unwrap().sign(&digest);
            assert_eq!(signature.0.to_vec(), expected(&vector, "signature"));
            assert_eq!(signature.recover(&digest), Ok(Address(signer)));
        }
    }

    #[test]
    fn the_example_of_eip_2098_reads_alike() {
        // The first test case of the EIP: key 0x1234…, message "Hello World".
        let secret: [u8; 32] =
            hex::decode_array("1234567890123456789012345678901234567890123456789012345678901234")
                .unwrap();
        let text = crate::identity::keccak256(&[b"\x19Ethereum Signed Message:\n11Hello World"]);
        let signature = SecretKey::from_bytes(&secret).unwrap().sign(&text);
        assert_eq!(
            hex::encode(&signature.to_compact()),
            "68a020a209d3d56c46f38cc50a33f704f4a9a10a59377f8dd762ac66910e9b90\
             7e865ad05c4035ab5792787d4a0297a43617ae897930a6fe4d822b8faea52064"
        );
    }

    #[test]
    fn the_malleable_twin_of_a_signature_is_refused() {
        let digest = [9; 32];
        let signature = key().sign(&digest);
        let (id, rs) = signature.split();
        let parsed = k256::ecdsa::Signature::from_slice(&rs).unwrap();
        let (r, s) = parsed.split_scalars();
        let high = k256::ecdsa::Signature::from_scalars(*r, -*s).unwrap();
        let twin = Signature::join(id ^ 1, &high.to_bytes().into());
        assert_eq!(twin.recover(&digest), Err(SignatureError::HighS));
    }

    #[test]
    fn recovery_ids_beyond_one_are_refused() {
        let mut signature = key().sign(&[9; 32]);
        for id in 2..=255 {
            signature.0[0] = id;
            assert_eq!(
                signature.recover(&[9; 32]),
                Err(SignatureError::RecoveryId(id))
            );
        }
    }

    #[test]
    fn zero_and_overflowing_numbers_are_refused() {
        for rs in [[0; 64], [0xff; 64]] {
            let signature = Signature::join(0, &rs);
            assert_eq!(signature.recover(&[1; 32]), Err(SignatureError::Malformed));
        }
    }

    proptest! {
        #[test]
        fn every_form_comes_back(secret in 1_u8..=255, digest: [u8; 32]) {
            let key = SecretKey::from_bytes(&[secret; 32]);
            // 0xff… lies beyond the group order.
            prop_assume!(key.is_ok());
            let key = key.unwrap();
            let signature = key.sign(&digest);
            prop_assert_eq!(signature.recover(&digest).unwrap(), key.address());
            prop_assert_eq!(Signature::from_compact(&signature.to_compact()), signature);
            let binary = postcard::to_allocvec(&signature).unwrap();
            prop_assert_eq!(&binary[..], &signature.0[..]);
            prop_assert_eq!(postcard::from_bytes::<Signature>(&binary).unwrap(), signature);
            prop_assert!(postcard::from_bytes::<Signature>(&binary[..64]).is_err());
            let json = serde_json::to_string(&signature).unwrap();
            prop_assert_eq!(serde_json::from_str::<Signature>(&json).unwrap(), signature);
        }

        #[test]
        fn strange_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 65), digest: [u8; 32]) {
            let signature = Signature(bytes.try_into().unwrap());
            let _ = signature.recover(&digest);
            let compact = signature.to_compact();
            let _ = Signature::from_compact(&compact).recover(&digest);
        }
    }
}
