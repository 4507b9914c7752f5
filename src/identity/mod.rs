//! # Who is who
//!
//! A node and a device are each one secp256k1 key. The [`Address`] is the last
//! 20 bytes of keccak-256 over the public key without its prefix byte: it is
//! the device id, the 160-bit node id of Kademlia and the wallet address on
//! chain at once, so nothing here needs a registry.
//!
//! | file | what it owns |
//! | --- | --- |
//! | `address.rs` | 20 bytes and their text form `0x…` |
//! | `key.rs` | secret and public keys, signing, checking |
//! | `signature.rs` | the 65-byte recoverable form and the 64-byte form of EIP-2098 |
//! | `certificate.rs` | the X.509 envelope of a key, and what we read in those of others |
//! | `der.rs` | DER items, written and read |
//! | `keyfile.rs` | the identity on disk: made once, locked, never replaced |
//! | `hash.rs` | keccak-256 (Ethereum's) and SHA-256 |
//! | `hex.rs` | hexadecimal text |
//!
//! Sources: SEC 1 and SEC 2 (curve and point forms), RFC 6979 (nonces),
//! EIP-2098 (compact signatures). Vectors: docs/vectors.json.

mod address;
pub mod certificate;
pub(crate) mod der;
mod hash;
pub mod hex;
mod key;
pub mod keyfile;
mod signature;

pub use address::{Address, AddressError};
pub use certificate::{peer_key, self_signed, CertificateError};
pub use hash::{keccak256, sha256};
pub use key::{KeyError, PublicKey, SecretKey};
pub use keyfile::{KeyFile, KeyFileError, Origin};
pub use signature::{Signature, SignatureError};

#[cfg(test)]
pub(crate) mod vectors;
