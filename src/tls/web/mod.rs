//! Ordinary TLS for HTTPS: a certificate on P-256 and no client certificate.
//!
//! Browsers know neither secp256k1 nor our scheme, so the HTTPS port has a
//! certificate of its own kind: the operator's, or one that is made here and
//! signs itself. Only keys on P-256 are taken: every browser knows them, certbot
//! makes them by default, and RSA would make the program 0.2 MB larger.
//!
//! The key exchange is x25519 in both versions. Nothing is resumed: a monitor
//! keeps its connection, and tickets would have to be sealed with a key that
//! outlives all others.

mod pem;

pub use pem::base64;

use super::config::{owned, Versions};
use super::provider::{has_aes, provider, NoClock, GROUPS_13};
use super::{TlsError, ECDSA_SHA256};
use crate::identity::certificate::{
    envelope, extension, key_info, Contents, BASIC_CONSTRAINTS, EC_PUBLIC_KEY,
};
use crate::identity::der::{
    tlv, Reader, BIT_STRING, CONTEXT_1, INTEGER, OBJECT_ID, OCTET_STRING, SEQUENCE,
};
use crate::identity::{sha256, CertificateError};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, Signer, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{Error, ServerConfig, SignatureAlgorithm, SignatureScheme};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The named curve P-256, 1.2.840.10045.3.1.7.
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// subjectAltName, 2.5.29.17.
const ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// keyUsage, 2.5.29.15.
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
/// extKeyUsage, 2.5.29.37.
const EXTENDED_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// serverAuth, 1.3.6.1.5.5.7.3.1.
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
/// A GeneralName: dNSName.
const DNS_NAME: u8 = 0x82;
/// A GeneralName: iPAddress.
const IP_ADDRESS: u8 = 0x87;
/// Most certificates of a chain: those of authorities have two or three.
const MAX_CHAIN: usize = 8;

/// Why a certificate and its key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairError {
    /// The file of the certificate has none, or one that cannot be read.
    Certificate(String),
    /// The file of the key has none, or one that cannot be read.
    Key(&'static str),
    /// The key is not the certificate's.
    Strangers,
}

impl fmt::Display for PairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PairError::Certificate(what) => f.write_str(what),
            PairError::Key(what) => f.write_str(what),
            PairError::Strangers => f.write_str(
                "the key is not that of the certificate; name files that belong together",
            ),
        }
    }
}

impl std::error::Error for PairError {}

const OTHER_KEY: &str =
    "only keys on P-256 are used here (openssl ecparam -name prime256v1, certbot --key-type ecdsa)";

impl From<CertificateError> for PairError {
    fn from(error: CertificateError) -> PairError {
        PairError::Certificate(error.to_string())
    }
}

/// A certificate with its chain, and its key.
pub struct WebPair {
    chain: Vec<Vec<u8>>,
    key: SigningKey,
}

impl WebPair {
    /// Reads PEM: a certificate with those that vouch for it behind, and a
    /// private key as `PRIVATE KEY` (PKCS#8) or `EC PRIVATE KEY` (SEC 1).
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<WebPair, PairError> {
        let chain = pem::sections(certificates, "CERTIFICATE");
        let Some(leaf) = chain.first() else {
            let what = "there is no certificate in it (-----BEGIN CERTIFICATE-----)";
            return Err(PairError::Certificate(what.to_owned()));
        };
        if chain.len() > MAX_CHAIN {
            let what = format!("there are more than {MAX_CHAIN} certificates in it");
            return Err(PairError::Certificate(what));
        }
        let (mut kind, bits) = key_info(leaf)?;
        let elliptic = kind.item(OBJECT_ID, "key algorithm")? == EC_PUBLIC_KEY;
        if !elliptic || kind.item(OBJECT_ID, "curve")? != P256 {
            return Err(PairError::Certificate(OTHER_KEY.to_owned()));
        }
        let key = read_key(key)?;
        if bits.get(1..) != Some(point(&key).as_slice()) {
            return Err(PairError::Strangers);
        }
        Ok(WebPair { chain, key })
    }

    /// A new key with a certificate that it signs itself, for these names and
    /// addresses. It does not expire: the device may have no clock.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn self_signed(name: &str, names: &[String], ips: &[IpAddr]) -> Result<WebPair, TlsError> {
        let key = generate()?;
        let mut alternatives: Vec<u8> = Vec::new();
        for name in names {
            alternatives.extend_from_slice(&tlv(DNS_NAME, &[name.as_bytes()]));
        }
        for ip in ips {
            let ip = match ip {
                IpAddr::V4(ip) => tlv(IP_ADDRESS, &[&ip.octets()]),
                IpAddr::V6(ip) => tlv(IP_ADDRESS, &[&ip.octets()]),
            };
            alternatives.extend_from_slice(&ip);
        }
        let usage = tlv(SEQUENCE, &[&tlv(OBJECT_ID, &[SERVER_AUTH])]);
        let certificate = envelope(
            &Contents {
                name,
                curve: P256,
                point: &point(&key),
                extensions: &[
                    &extension(BASIC_CONSTRAINTS, true, &tlv(SEQUENCE, &[])),
                    // digitalSignature; seven bits of the byte are unused.
                    &extension(KEY_USAGE, true, &tlv(BIT_STRING, &[&[7, 0x80]])),
                    &extension(EXTENDED_USAGE, false, &usage),
                    &extension(ALT_NAME, false, &tlv(SEQUENCE, &[&alternatives])),
                ],
            },
            &|signed| sign(&key, signed),
        );
        let chain = vec![certificate];
        Ok(WebPair { chain, key })
    }

    /// The certificates, as PEM.
    #[must_use]
    pub fn certificates_pem(&self) -> String {
        self.chain
            .iter()
            .map(|der| pem::section("CERTIFICATE", der))
            .collect()
    }

    /// The key as PEM (PKCS#8).
    #[must_use]
    pub fn key_pem(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(self.key.to_bytes());
        let point = point(&self.key);
        let inner = Zeroizing::new(tlv(
            SEQUENCE,
            &[
                &tlv(INTEGER, &[&[1]]),
                &Zeroizing::new(tlv(OCTET_STRING, &[&secret])),
                &tlv(CONTEXT_1, &[&tlv(BIT_STRING, &[&[0], &point])]),
            ],
        ));
        let kind = tlv(
            SEQUENCE,
            &[&tlv(OBJECT_ID, &[EC_PUBLIC_KEY]), &tlv(OBJECT_ID, &[P256])],
        );
        let outer = Zeroizing::new(tlv(
            SEQUENCE,
            &[
                &tlv(INTEGER, &[&[0]]),
                &kind,
                &Zeroizing::new(tlv(OCTET_STRING, &[&inner])),
            ],
        ));
        Zeroizing::new(pem::section("PRIVATE KEY", &outer))
    }

    /// SHA-256 over the certificate: what browsers and `openssl x509
    /// -fingerprint -sha256` show, in pairs of upper-case digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let leaf = self.chain.first().map_or(&[][..], Vec::as_slice);
        let pairs: Vec<String> = sha256(&[leaf]).iter().map(|b| format!("{b:02X}")).collect();
        pairs.join(":")
    }

    /// The server's side of TLS with this certificate.
    ///
    /// # Errors
    /// [`TlsError::Protocol`] if rustls refuses the configuration.
    pub fn config(&self, versions: Versions) -> Result<WebConfig, TlsError> {
        let spoken: &[_] = match versions {
            Versions::Both => &[&TLS13, &TLS12],
            Versions::Only12 => &[&TLS12],
            Versions::Only13 => &[&TLS13],
        };
        let chain = self.chain.iter().cloned().map(CertificateDer::from);
        let key = Arc::new(WebKey(self.key.clone()));
        let certified = CertifiedKey::new(chain.collect(), key);
        let resolver: Arc<SingleCertAndKey> = Arc::new(certified.into());
        let aes = has_aes();
        let provider = provider(aes, spoken, GROUPS_13);
        let mut config = ServerConfig::builder_with_details(provider, Arc::new(NoClock))
            .with_protocol_versions(spoken)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = owned(&[b"http/1.1"]);
        config.ignore_client_order = !aes;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(WebConfig(Arc::new(config)))
    }
}

/// What an HTTPS listener holds.
#[derive(Clone, Debug)]
pub struct WebConfig(pub(super) Arc<ServerConfig>);

fn generate() -> Result<SigningKey, TlsError> {
    let mut bytes = Zeroizing::new([0; 32]);
    loop {
        getrandom::fill(&mut *bytes)
            .map_err(|e| TlsError::Protocol(format!("no randomness: {e}")))?;
        // All but one in 2^32 are numbers below the curve's order.
        if let Ok(key) = SigningKey::from_slice(&*bytes) {
            return Ok(key);
        }
    }
}

fn point(key: &SigningKey) -> Vec<u8> {
    key.verifying_key().to_sec1_point(false).as_bytes().to_vec()
}

fn sign(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    let signature: Signature = key.sign(message);
    signature.to_der().as_bytes().to_vec()
}

fn read_key(text: &[u8]) -> Result<SigningKey, PairError> {
    let wrapped = pem::sections(text, "PRIVATE KEY");
    let bare = pem::sections(text, "EC PRIVATE KEY");
    let key = match (wrapped.first(), bare.first()) {
        (Some(der), _) => pkcs8(der),
        (None, Some(der)) => sec1(der),
        (None, None) => {
            let encrypted = text.windows(9).any(|word| word == b"ENCRYPTED");
            return Err(PairError::Key(if encrypted {
                "the key is encrypted; name a file with the bare key (openssl pkey -in FILE)"
            } else {
                "there is no private key in it (-----BEGIN PRIVATE KEY-----)"
            }));
        }
    };
    // A secret in many hands by now, all of them wiped where they are ours.
    for mut der in wrapped.into_iter().chain(bare) {
        zeroize::Zeroize::zeroize(&mut der);
    }
    key
}

/// RFC 5208: version, algorithm, key.
fn pkcs8(der: &[u8]) -> Result<SigningKey, PairError> {
    let malformed = |_| PairError::Key("the private key is damaged");
    let mut outer = Reader(der);
    let mut info = Reader(outer.item(SEQUENCE, "key").map_err(malformed)?);
    info.item(INTEGER, "version").map_err(malformed)?;
    let mut kind = Reader(info.item(SEQUENCE, "algorithm").map_err(malformed)?);
    let elliptic = kind.item(OBJECT_ID, "algorithm").map_err(malformed)? == EC_PUBLIC_KEY;
    if !elliptic || kind.item(OBJECT_ID, "curve").map_err(malformed)? != P256 {
        return Err(PairError::Key(OTHER_KEY));
    }
    sec1(info.item(OCTET_STRING, "key").map_err(malformed)?)
}

/// RFC 5915: version, key; then what follows from the key.
fn sec1(der: &[u8]) -> Result<SigningKey, PairError> {
    let malformed = |_| PairError::Key("the private key is damaged");
    let mut outer = Reader(der);
    let mut info = Reader(outer.item(SEQUENCE, "key").map_err(malformed)?);
    info.item(INTEGER, "version").map_err(malformed)?;
    let bytes = info.item(OCTET_STRING, "key").map_err(malformed)?;
    // A key of another curve is mostly longer; else it does not fit the certificate.
    SigningKey::from_slice(bytes).map_err(|_| PairError::Key(OTHER_KEY))
}

/// The key as rustls uses it.
struct WebKey(SigningKey);

impl fmt::Debug for WebKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebKey")
    }
}

impl rustls::sign::SigningKey for WebKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&ECDSA_SHA256)
            .then(|| Box::new(WebSigner(self.0.clone())) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

struct WebSigner(SigningKey);

impl fmt::Debug for WebSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebSigner")
    }
}

impl Signer for WebSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(sign(&self.0, message))
    }

    fn scheme(&self) -> SignatureScheme {
        ECDSA_SHA256
    }
}

#[cfg(test)]
mod tests;
