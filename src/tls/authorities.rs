//! TLS towards a web server: the other side is a name, its certificate is signed
//! by authorities, and ours is not asked for.
//!
//! Only for what is not chr-node: the chain's RPC. Curves are the ones of the web's
//! certificates; Ed25519 is in none of them.

use super::provider::{provider, CipherOrder, WEB_GROUPS};
use super::{Channel, TlsError};
use crate::time::Clock;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::ring::cipher_suite as suite;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SignatureScheme, SupportedCipherSuite};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use webpki::ring as by;

/// How signatures of certificates and handshakes may be made.
const SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        by::ECDSA_P256_SHA256,
        by::ECDSA_P256_SHA384,
        by::ECDSA_P384_SHA256,
        by::ECDSA_P384_SHA384,
        by::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        by::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        by::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        by::RSA_PKCS1_2048_8192_SHA256,
        by::RSA_PKCS1_2048_8192_SHA384,
        by::RSA_PKCS1_2048_8192_SHA512,
    ],
    mapping: &[
        (
            SignatureScheme::ECDSA_NISTP384_SHA384,
            &[by::ECDSA_P384_SHA384, by::ECDSA_P256_SHA384],
        ),
        (
            SignatureScheme::ECDSA_NISTP256_SHA256,
            &[by::ECDSA_P256_SHA256, by::ECDSA_P384_SHA256],
        ),
        (
            SignatureScheme::RSA_PSS_SHA512,
            &[by::RSA_PSS_2048_8192_SHA512_LEGACY_KEY],
        ),
        (
            SignatureScheme::RSA_PSS_SHA384,
            &[by::RSA_PSS_2048_8192_SHA384_LEGACY_KEY],
        ),
        (
            SignatureScheme::RSA_PSS_SHA256,
            &[by::RSA_PSS_2048_8192_SHA256_LEGACY_KEY],
        ),
        (
            SignatureScheme::RSA_PKCS1_SHA512,
            &[by::RSA_PKCS1_2048_8192_SHA512],
        ),
        (
            SignatureScheme::RSA_PKCS1_SHA384,
            &[by::RSA_PKCS1_2048_8192_SHA384],
        ),
        (
            SignatureScheme::RSA_PKCS1_SHA256,
            &[by::RSA_PKCS1_2048_8192_SHA256],
        ),
    ],
};

/// Suites of TLS 1.2 for servers with RSA keys: after all others.
const RSA: [SupportedCipherSuite; 3] = [
    suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// Certificates end, so the time must be known: a device that booted in 1970
/// checks none.
struct WallClock(Arc<dyn Clock>);

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        let unix = self.0.trusted().then(|| self.0.unix())?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(unix)))
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}

/// Makes connections to web servers.
#[derive(Clone, Debug)]
pub struct WebClient(Arc<ClientConfig>);

/// A client that believes the authorities whose certificates are in `pem`.
///
/// # Errors
/// [`TlsError::NoCertificate`] if there is none in it.
pub fn web_client(pem: &[u8], clock: Arc<dyn Clock>) -> Result<WebClient, TlsError> {
    let mut roots = RootCertStore::empty();
    // One that cannot be read is one that is not believed.
    for certificate in CertificateDer::pem_slice_iter(pem).flatten() {
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let versions = &[&TLS13, &TLS12];
    let mut provider = provider(CipherOrder::ByCpu.prefers_aes(), versions, WEB_GROUPS);
    if let Some(provider) = Arc::get_mut(&mut provider) {
        provider.cipher_suites.extend(RSA);
        provider.signature_verification_algorithms = SIGNATURES;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let verifier = verifier
        .build()
        .map_err(|error| TlsError::Protocol(error.to_string()))?;
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(WallClock(clock)))
        .with_protocol_versions(versions)?
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(WebClient(Arc::new(config)))
}

impl WebClient {
    /// A connection to `host`, whose certificate must name it.
    ///
    /// # Errors
    /// It is neither a name nor an address.
    pub fn channel(&self, host: &str) -> Result<Channel, TlsError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| TlsError::Protocol(error.to_string()))?;
        Channel::client_of(&self.0, name)
    }
}
