//! Handshake signatures that others made.
//!
//! Who the other side is, and whether it may be here, is decided after the
//! handshake by its address. Here only this is checked: its certificate holds
//! a secp256k1 key, and it signed this handshake with that key.

use super::{ECDSA_SHA256, SECP256K1_SHA256};
use crate::identity::certificate::peer_key;
use crate::identity::{sha256, PublicKey};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerMisbehaved,
    SignatureScheme,
};
use std::sync::Arc;

/// Checks for both roles; `schemes` are the ones that are offered to the other
/// side, so a connection of one version never sees the scheme of the other.
#[derive(Debug)]
pub(super) struct IdentityVerifier {
    pub(super) schemes: &'static [SignatureScheme],
}

impl IdentityVerifier {
    fn check(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if signed.scheme != scheme || !self.schemes.contains(&scheme) {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        read(certificate)?
            .verify_der(&sha256(&[message]), signed.signature())
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadSignature))?;
        Ok(HandshakeSignatureValid::assertion())
    }
}

fn read(certificate: &CertificateDer<'_>) -> Result<PublicKey, Error> {
    peer_key(certificate).map_err(|error| {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
    })
}

impl ServerCertVerifier for IdentityVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        read(certificate).map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(ECDSA_SHA256, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(SECP256K1_SHA256, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.to_vec()
    }
}

impl ClientCertVerifier for IdentityVerifier {
    /// Empty: clients that are asked for certificates of certain authorities
    /// only would not find theirs among them.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        read(certificate).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(ECDSA_SHA256, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(SECP256K1_SHA256, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.to_vec()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::identity::certificate::self_signed;
    use crate::identity::SecretKey;
    use crate::tls::testing::{altered, client_key, server_key, shake};
    use crate::tls::{TlsError, Versions};
    use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
    use rustls::SignatureAlgorithm;

    /// Signs handshakes as no honest side does.
    #[derive(Clone, Copy, Debug)]
    enum Odd {
        HighS,
        OtherKey,
        OtherMessage,
        CutShort,
        /// The scheme of the other version.
        OtherScheme,
    }

    #[derive(Clone, Debug)]
    struct OddKey {
        key: SecretKey,
        how: Odd,
        scheme: SignatureScheme,
    }

    impl OddKey {
        fn resolver(key: SecretKey, how: Odd) -> Arc<SingleCertAndKey> {
            let certificate = self_signed(&key).into();
            let key = OddKey {
                key,
                how,
                scheme: SECP256K1_SHA256,
            };
            Arc::new(CertifiedKey::new(vec![certificate], Arc::new(key)).into())
        }
    }

    impl SigningKey for OddKey {
        fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
            let honest = *offered
                .iter()
                .find(|scheme| [SECP256K1_SHA256, ECDSA_SHA256].contains(scheme))?;
            let mut signer = self.clone();
            signer.scheme = match (self.how, honest) {
                (Odd::OtherScheme, ECDSA_SHA256) => SECP256K1_SHA256,
                (Odd::OtherScheme, _) => ECDSA_SHA256,
                _ => honest,
            };
            Some(Box::new(signer))
        }

        fn algorithm(&self) -> SignatureAlgorithm {
            SignatureAlgorithm::ECDSA
        }
    }

    impl Signer for OddKey {
        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
            let digest = sha256(&[message]);
            let mut der = self.key.sign_der(&digest);
            match self.how {
                Odd::HighS => {
                    let low = k256::ecdsa::Signature::from_der(&der).unwrap();
                    let (r, s) = low.split_scalars();
                    let high = k256::ecdsa::Signature::from_scalars(*r, -*s).unwrap();
                    assert_eq!(high.normalize_s(), low);
                    der = high.to_der().as_bytes().to_vec();
                }
                Odd::OtherKey => der = SecretKey::generate().sign_der(&digest),
                Odd::OtherMessage => der = self.key.sign_der(&[1; 32]),
                Odd::CutShort => der.truncate(der.len() - 1),
                Odd::OtherScheme => {}
            }
            Ok(der)
        }

        fn scheme(&self) -> SignatureScheme {
            self.scheme
        }
    }

    const VERSIONS: [Versions; 2] = [Versions::Only12, Versions::Only13];

    #[test]
    fn a_high_s_is_accepted() {
        for versions in VERSIONS {
            let (mut client, mut server) = altered(
                versions,
                |config| {
                    config.client_auth_cert_resolver = OddKey::resolver(client_key(), Odd::HighS);
                },
                |config| config.cert_resolver = OddKey::resolver(server_key(), Odd::HighS),
            );
            shake(&mut client, &mut server).unwrap();
            assert_eq!(server.peer_address(), Some(client_key().address()));
            assert_eq!(client.peer_address(), Some(server_key().address()));
        }
    }

    #[test]
    fn a_borrowed_certificate_is_no_identity() {
        for versions in VERSIONS {
            for how in [Odd::OtherKey, Odd::OtherMessage, Odd::CutShort] {
                let (mut client, mut server) = altered(
                    versions,
                    |config| {
                        config.client_auth_cert_resolver = OddKey::resolver(client_key(), how);
                    },
                    |_| (),
                );
                let error = shake(&mut client, &mut server);
                assert_eq!(error, Err(TlsError::BadSignature), "client, {how:?}");
                assert_eq!(server.peer(), None);

                let (mut client, mut server) = altered(
                    versions,
                    |_| (),
                    |config| config.cert_resolver = OddKey::resolver(server_key(), how),
                );
                let error = shake(&mut client, &mut server);
                assert_eq!(error, Err(TlsError::BadSignature), "server, {how:?}");
                assert_eq!(client.peer(), None);
            }
        }
    }

    #[test]
    fn the_scheme_of_one_version_never_passes_in_the_other() {
        for versions in VERSIONS {
            let (mut client, mut server) = altered(
                versions,
                |config| {
                    config.client_auth_cert_resolver =
                        OddKey::resolver(client_key(), Odd::OtherScheme);
                },
                |_| (),
            );
            assert!(shake(&mut client, &mut server).is_err());
            assert_eq!(server.peer(), None);
        }
    }
}
