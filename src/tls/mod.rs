//! # TLS with the identity as its only certificate
//!
//! Every connection is mutual TLS between two secp256k1 keys; there is no
//! authority and no name. Whoever completes the handshake *is* the address of
//! its certificate's key.
//!
//! secp256k1 has no place in TLS 1.3 and one in TLS 1.2 (RFC 8422, group
//! 0x0016), so there are two ways to meet, and the server chooses by the
//! ClientHello:
//!
//! ```text
//! offers scheme 0xFE03 and 1.3 suites   -> TLS 1.3, x25519, signatures by 0xFE03
//! else offers group 0x0016              -> TLS 1.2, secp256k1, signatures by 0x0403
//! else                                  -> alert handshake_failure
//! ```
//!
//! 0xFE03 lies in the range for private use and means here: ECDSA on secp256k1
//! with SHA-256, DER; low s is sent, high s accepted. Our own programs offer
//! both ways. A client in another language needs OpenSSL and TLS 1.2: there
//! 0x0403 means ECDSA with SHA-256 on the curve of the certificate.
//!
//! | file | what it owns |
//! | --- | --- |
//! | `provider.rs` | suites and their order by CPU |
//! | `group.rs` | key exchange on secp256k1 |
//! | `signer.rs`, `verifier.rs` | handshake signatures of both kinds |
//! | `config.rs` | the configurations, and the choice above |
//! | `channel.rs` | TLS without I/O: bytes in, bytes out |
//! | `web/` | ordinary TLS for HTTPS: certificates on P-256 |
//! | `authorities.rs` | towards web servers, whose certificates authorities have signed (feature `chain-https`) |
//! | `error.rs` | what went wrong, in words for a person |
//!
//! Nothing is ever resumed: a resumed session shows no certificate, a full
//! handshake costs a fifth of a millisecond.

#[cfg(feature = "chain-https")]
mod authorities;
mod channel;
mod config;
mod error;
mod group;
mod provider;
mod signer;
mod verifier;
mod web;

#[cfg(feature = "chain-https")]
pub use authorities::{web_client, WebClient};
pub use channel::{Channel, Progress, Version, MAX_PLAIN, MAX_SEALED};
pub use config::{client_config, client_config_with, ServerConfigs, Versions};
pub use error::TlsError;
pub use provider::{has_aes, CipherOrder};
pub use web::{base64, PairError, WebConfig, WebPair};

use rustls::SignatureScheme;

/// ECDSA on secp256k1 with SHA-256 in TLS 1.3: a code point for private use.
const SECP256K1_SHA256: SignatureScheme = SignatureScheme::Unknown(0xfe03);

/// In TLS 1.2 this code point says ECDSA with SHA-256 and leaves the curve to
/// the certificate (RFC 5246, section 7.4.1.4.1), whatever its name in 1.3.
const ECDSA_SHA256: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;

#[cfg(test)]
pub(crate) mod testing;
