//! TLS towards a web server: the other side is a name, its certificate is signed
//! by authorities, and ours is not asked for.
//!
//! Only for what is not chr-node: the chain's RPC. Certificates of the web are
//! signed by RSA, P-384 and P-256; Ed25519 is in none of them. The key exchange is
//! x25519; a server of TLS 1.2 alone has to have an RSA key, because OpenSSL refuses
//! clients there that do not offer the certificate's curve for it, too.

use super::provider::{provider, CipherOrder, GROUPS_13};
use super::{Channel, TlsError};
use crate::identity::sha256;
use crate::time::Clock;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::ring::cipher_suite as suite;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    alg_id, AlgorithmIdentifier, CertificateDer, InvalidSignature, ServerName,
    SignatureVerificationAlgorithm, UnixTime,
};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SignatureScheme, SupportedCipherSuite};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use webpki::ring as by;

/// How signatures of certificates and handshakes may be made. P-256 is p256's, as
/// on our own port: ring's would be 180 KB more. Nobody signs by it with SHA-384.
const SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        P256,
        by::ECDSA_P384_SHA384,
        by::ECDSA_P384_SHA256,
        by::RSA_PKCS1_2048_8192_SHA256,
        by::RSA_PKCS1_2048_8192_SHA384,
        by::RSA_PKCS1_2048_8192_SHA512,
        by::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        by::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        by::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
    ],
    mapping: &[
        (
            SignatureScheme::ECDSA_NISTP384_SHA384,
            &[by::ECDSA_P384_SHA384],
        ),
        (
            SignatureScheme::ECDSA_NISTP256_SHA256,
            &[P256, by::ECDSA_P384_SHA256],
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

const P256: &dyn SignatureVerificationAlgorithm = &EcdsaP256;

/// ECDSA on P-256 with SHA-256.
#[derive(Debug)]
struct EcdsaP256;

impl SignatureVerificationAlgorithm for EcdsaP256 {
    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        let checked = key.verify_prehash(&sha256(&[message]), &signature);
        checked.map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

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
    let mut provider = provider(CipherOrder::ByCpu.prefers_aes(), versions, GROUPS_13);
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
