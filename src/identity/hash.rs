//! The two hash functions of the protocol.

use sha2::Sha256;
use sha3::digest::Digest;
use sha3::Keccak256;

/// Keccak-256 with Ethereum's padding (not the later SHA3-256) over the
/// concatenation of `parts`.
#[must_use]
pub fn keccak256(parts: &[&[u8]]) -> [u8; 32] {
    digest::<Keccak256>(parts)
}

/// SHA-256 (FIPS 180-4) over the concatenation of `parts`.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    digest::<Sha256>(parts)
}

fn digest<D>(parts: &[&[u8]]) -> [u8; 32]
where
    D: Digest,
    [u8; 32]: From<sha3::digest::Output<D>>,
{
    let mut hasher = D::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::identity::vectors::{expected, input, vectors_of};

    #[test]
    fn the_hash_functions_are_those_that_others_use() {
        let mut seen = 0;
        for vector in vectors_of("hash") {
            let data = vector["input"]["data_ascii"]
                .as_str()
                .map_or_else(|| input(&vector, "data"), |text| text.as_bytes().to_vec());
            let id = vector["id"].as_str().unwrap();
            let hash = if id.contains("sha256") {
                sha256(&[&data])
            } else {
                keccak256(&[&data])
            };
            assert_eq!(hash.to_vec(), expected(&vector, "hash"), "{id}");
            seen += 1;
        }
        assert_eq!(seen, 3);
    }

    #[test]
    fn parts_hash_like_their_concatenation() {
        assert_eq!(keccak256(&[b"ab", b"", b"c"]), keccak256(&[b"abc"]));
        assert_eq!(sha256(&[b"a", b"bc"]), sha256(&[b"abc"]));
    }
}
