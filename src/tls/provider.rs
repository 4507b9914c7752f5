//! Which algorithms are used, and in which order.
//!
//! ring does the bulk work and x25519; k256 does what ring cannot: secp256k1.

use super::group::Secp256k1;
use rustls::crypto::ring::{cipher_suite as suite, kx_group::X25519};
use rustls::crypto::{
    CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, SupportedKxGroup,
    WebPkiSupportedAlgorithms,
};
use rustls::pki_types::{PrivateKeyDer, UnixTime};
use rustls::sign::SigningKey;
use rustls::time_provider::TimeProvider;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};
use std::sync::Arc;
use std::time::Duration;

/// AES in hardware: AES-128 is then twice as fast as ChaCha20. Without it,
/// ChaCha20 is several times faster, and constant in time.
const WITH_AES: &[SupportedCipherSuite] = &[
    suite::TLS13_AES_128_GCM_SHA256,
    suite::TLS13_CHACHA20_POLY1305_SHA256,
    suite::TLS13_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];

const WITHOUT_AES: &[SupportedCipherSuite] = &[
    suite::TLS13_CHACHA20_POLY1305_SHA256,
    suite::TLS13_AES_128_GCM_SHA256,
    suite::TLS13_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
];

/// Key exchange of TLS 1.3 alone.
pub(super) const GROUPS_13: &[&dyn SupportedKxGroup] = &[X25519];
/// Key exchange of TLS 1.2 alone.
pub(super) const GROUPS_12: &[&dyn SupportedKxGroup] = &[&Secp256k1];
/// Both, for a client that offers both. x25519 first: rustls sends a key share
/// of the first group, and another one would cost a round trip.
pub(super) const GROUPS_BOTH: &[&dyn SupportedKxGroup] = &[X25519, &Secp256k1];

/// Which cipher a client likes best. Every one of them is offered in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CipherOrder {
    /// AES-128 where this CPU has it in hardware, else ChaCha20.
    #[default]
    ByCpu,
    /// AES-128: twice as fast between CPUs that have it in hardware.
    Aes,
    /// ChaCha20: for a far side that is known to have no AES in hardware (it
    /// may follow this order), and for measuring what such a side costs.
    ChaCha20,
}

impl CipherOrder {
    pub(super) fn prefers_aes(self) -> bool {
        match self {
            Self::ByCpu => has_aes(),
            Self::Aes => true,
            Self::ChaCha20 => false,
        }
    }
}

/// Whether this CPU computes AES-GCM in hardware.
#[must_use]
pub fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    // 32-bit ARM and MIPS: Rust cannot ask there, and hardly any has it.
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// The algorithms for rustls; `aes` as [`has_aes`] says. Suites of versions
/// that are not spoken are left out: rustls would offer them.
pub(super) fn provider(
    aes: bool,
    versions: &[&SupportedProtocolVersion],
    groups: &[&'static dyn SupportedKxGroup],
) -> Arc<CryptoProvider> {
    let suites = if aes { WITH_AES } else { WITHOUT_AES };
    let spoken = |suite: &&SupportedCipherSuite| versions.contains(&suite.version());
    Arc::new(CryptoProvider {
        cipher_suites: suites.iter().filter(spoken).copied().collect(),
        kx_groups: groups.to_vec(),
        // Chains of certificates are never checked: there are none.
        signature_verification_algorithms: WebPkiSupportedAlgorithms {
            all: &[],
            mapping: &[],
        },
        secure_random: &SystemRandom,
        key_provider: &NoKeyFiles,
    })
}

/// The system's randomness. rustls' own default would do, but it drags RSA and
/// the NIST curves with their tables into the program: 0.3 MB.
#[derive(Debug)]
struct SystemRandom;

impl SecureRandom for SystemRandom {
    fn fill(&self, buf: &mut [u8]) -> Result<(), GetRandomFailed> {
        getrandom::fill(buf).map_err(|_| GetRandomFailed)
    }
}

/// Keys never come from files of rustls' formats here.
#[derive(Debug)]
struct NoKeyFiles;

impl KeyProvider for NoKeyFiles {
    fn load_private_key(
        &self,
        _key: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General(
            "keys in PEM or DER files are not used".into(),
        ))
    }
}

/// The wall clock, which nothing in here may depend on: certificates do not
/// expire, sessions are not resumed, and the device may have booted in 1970.
#[derive(Debug)]
pub(super) struct NoClock;

impl TimeProvider for NoClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::ZERO))
    }
}
