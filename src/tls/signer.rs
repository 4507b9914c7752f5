//! Handshake signatures that we make.

use super::{ECDSA_SHA256, SECP256K1_SHA256};
use crate::identity::certificate::self_signed;
use crate::identity::{sha256, SecretKey};
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use std::sync::Arc;

/// The identity as rustls shows it to the other side.
pub(super) fn certified(key: &SecretKey) -> Arc<SingleCertAndKey> {
    let certificate = CertificateDer::from(self_signed(key));
    let key = Arc::new(IdentityKey(Arc::new(key.clone())));
    Arc::new(CertifiedKey::new(vec![certificate], key).into())
}

#[derive(Debug)]
struct IdentityKey(Arc<SecretKey>);

impl SigningKey for IdentityKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        // Both are the same signature; which one is offered tells the version.
        let scheme = [SECP256K1_SHA256, ECDSA_SHA256]
            .into_iter()
            .find(|scheme| offered.contains(scheme))?;
        Some(Box::new(IdentitySigner {
            key: Arc::clone(&self.0),
            scheme,
        }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

#[derive(Debug)]
struct IdentitySigner {
    key: Arc<SecretKey>,
    scheme: SignatureScheme,
}

impl Signer for IdentitySigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.key.sign_der(&sha256(&[message])))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
