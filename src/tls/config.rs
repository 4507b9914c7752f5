//! The configurations of both sides, and the server's choice between two.

use super::group::SECP256K1_ID;
use super::provider::{has_aes, provider, CipherOrder, NoClock, GROUPS_12, GROUPS_13, GROUPS_BOTH};
use super::signer::certified;
use super::verifier::IdentityVerifier;
use super::{TlsError, ECDSA_SHA256, SECP256K1_SHA256};
use crate::identity::SecretKey;
use rustls::client::Resumption;
use rustls::crypto::SupportedKxGroup;
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ServerConfig, SignatureScheme, SupportedProtocolVersion};
use std::sync::Arc;

/// Which versions of TLS are spoken (`security.tls_versions`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// 1.3 among our own programs, 1.2 with everyone else.
    #[default]
    Both,
    /// 1.2 alone.
    Only12,
    /// 1.3 alone: no clients in other languages.
    Only13,
}

impl Versions {
    fn with_12(self) -> bool {
        self != Self::Only13
    }

    fn with_13(self) -> bool {
        self != Self::Only12
    }
}

/// What a listener holds: one configuration a version.
#[derive(Debug)]
pub struct ServerConfigs {
    tls13: Option<Arc<ServerConfig>>,
    tls12: Option<Arc<ServerConfig>>,
}

impl ServerConfigs {
    /// Configurations that show the identity `key`. A client that offers none
    /// of the protocols `alpn` by name is refused; one without ALPN is not.
    ///
    /// # Errors
    /// [`TlsError::Protocol`] if rustls refuses the configuration.
    pub fn new(
        key: &SecretKey,
        alpn: &[&[u8]],
        versions: Versions,
    ) -> Result<Arc<ServerConfigs>, TlsError> {
        ServerConfigs::with_aes(key, alpn, versions, has_aes())
    }

    /// As [`ServerConfigs::new`] on a CPU with or without AES.
    pub(super) fn with_aes(
        key: &SecretKey,
        alpn: &[&[u8]],
        versions: Versions,
        aes: bool,
    ) -> Result<Arc<ServerConfigs>, TlsError> {
        let identity = certified(key);
        let build = |version, groups, schemes| {
            server(&identity, alpn, aes, version, groups, schemes).map(Arc::new)
        };
        let tls13 = versions
            .with_13()
            .then(|| build(&TLS13, GROUPS_13, &[SECP256K1_SHA256]))
            .transpose()?;
        let tls12 = versions
            .with_12()
            .then(|| build(&TLS12, GROUPS_12, &[ECDSA_SHA256]))
            .transpose()?;
        Ok(Arc::new(ServerConfigs { tls13, tls12 }))
    }

    /// The same with every configuration altered.
    #[cfg(test)]
    pub(super) fn altered(&self, alter: impl Fn(&mut ServerConfig)) -> Arc<ServerConfigs> {
        let change = |config: &Option<Arc<ServerConfig>>| {
            config.as_ref().map(|config| {
                let mut config = ServerConfig::clone(config);
                alter(&mut config);
                Arc::new(config)
            })
        };
        Arc::new(ServerConfigs {
            tls13: change(&self.tls13),
            tls12: change(&self.tls12),
        })
    }

    /// The configuration for this client; `None` where there is no way to meet.
    pub(super) fn choose(&self, hello: &ClientHello<'_>) -> Option<&Arc<ServerConfig>> {
        let private_scheme = hello.signature_schemes().contains(&SECP256K1_SHA256);
        // rustls does not show the versions; the suites of 1.3 are its own.
        let suites_13 = hello
            .cipher_suites()
            .iter()
            .any(|suite| u16::from(*suite) >> 8 == 0x13);
        if private_scheme && suites_13 {
            if let Some(config) = &self.tls13 {
                return Some(config);
            }
        }
        hello
            .named_groups()
            .is_some_and(|groups| groups.contains(&SECP256K1_ID))
            .then_some(self.tls12.as_ref())
            .flatten()
    }
}

fn server(
    identity: &Arc<SingleCertAndKey>,
    alpn: &[&[u8]],
    aes: bool,
    version: &'static SupportedProtocolVersion,
    groups: &[&'static dyn SupportedKxGroup],
    schemes: &'static [SignatureScheme],
) -> Result<ServerConfig, TlsError> {
    let mut config =
        ServerConfig::builder_with_details(provider(aes, &[version], groups), Arc::new(NoClock))
            .with_protocol_versions(&[version])?
            .with_client_cert_verifier(Arc::new(IdentityVerifier { schemes }))
            .with_cert_resolver(Arc::clone(identity) as _);
    config.alpn_protocols = owned(alpn);
    // The side without AES hardware decides: with it we follow the client.
    config.ignore_client_order = !aes;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    // Erlang does not know the extended master secret.
    config.require_ems = false;
    Ok(config)
}

/// A configuration for connections to nodes and devices, showing the identity
/// `key` and offering the protocols `alpn`.
///
/// # Errors
/// [`TlsError::Protocol`] if rustls refuses the configuration.
pub fn client_config(
    key: &SecretKey,
    alpn: &[&[u8]],
    versions: Versions,
) -> Result<Arc<ClientConfig>, TlsError> {
    client_config_with(key, alpn, versions, CipherOrder::ByCpu)
}

/// As [`client_config`], with an order of ciphers that need not be this CPU's.
/// A server with AES hardware follows it, one without decides for itself.
///
/// # Errors
/// As [`client_config`].
pub fn client_config_with(
    key: &SecretKey,
    alpn: &[&[u8]],
    versions: Versions,
    ciphers: CipherOrder,
) -> Result<Arc<ClientConfig>, TlsError> {
    let aes = ciphers.prefers_aes();
    // A server that speaks both chooses by these lists: what is not spoken
    // must not be offered.
    let (tls, groups, schemes): (&[_], _, &[_]) = match versions {
        Versions::Both => (
            &[&TLS13, &TLS12],
            GROUPS_BOTH,
            &[SECP256K1_SHA256, ECDSA_SHA256],
        ),
        Versions::Only12 => (&[&TLS12], GROUPS_12, &[ECDSA_SHA256]),
        Versions::Only13 => (&[&TLS13], GROUPS_13, &[SECP256K1_SHA256]),
    };
    let mut config =
        ClientConfig::builder_with_details(provider(aes, tls, groups), Arc::new(NoClock))
            .with_protocol_versions(tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(IdentityVerifier { schemes }))
            .with_client_cert_resolver(certified(key));
    config.alpn_protocols = owned(alpn);
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.require_ems = false;
    Ok(Arc::new(config))
}

pub(super) fn owned(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.to_vec()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::tls::Channel;
    use rustls::server::{Accepted, Acceptor};
    use rustls::NamedGroup;

    fn hello(versions: Versions) -> Accepted {
        let config = client_config(&SecretKey::generate(), &[b"x"], versions).unwrap();
        let mut bytes = Vec::new();
        let mut channel = Channel::client(&config).unwrap();
        channel.start(&mut bytes).unwrap();
        assert!(bytes.len() < 400, "{}", bytes.len());
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut &bytes[..]).unwrap();
        acceptor
            .accept()
            .map_err(|(error, _)| error)
            .unwrap()
            .unwrap()
    }

    #[test]
    fn a_client_never_offers_what_it_cannot_do() {
        for (versions, groups, schemes) in [
            (
                Versions::Both,
                &[NamedGroup::X25519, SECP256K1_ID][..],
                &[SECP256K1_SHA256, ECDSA_SHA256][..],
            ),
            (Versions::Only12, &[SECP256K1_ID], &[ECDSA_SHA256]),
            (Versions::Only13, &[NamedGroup::X25519], &[SECP256K1_SHA256]),
        ] {
            let accepted = hello(versions);
            let hello = accepted.client_hello();
            assert_eq!(hello.named_groups(), Some(groups), "{versions:?}");
            assert_eq!(hello.signature_schemes(), schemes, "{versions:?}");
            assert_eq!(hello.server_name(), None);
            let suites = hello.cipher_suites();
            let of_13 = |suite: &&rustls::CipherSuite| u16::from(**suite) >> 8 == 0x13;
            let new = suites.iter().filter(of_13).count();
            // RFC 5746's signal is listed among the suites of 1.2.
            let old = suites.len() - new;
            assert_eq!(new, if versions.with_13() { 3 } else { 0 });
            assert_eq!(old, if versions.with_12() { 4 } else { 0 });
        }
    }

    #[test]
    fn a_server_never_chooses_a_version_it_does_not_speak() {
        let key = SecretKey::generate();
        let both = ServerConfigs::new(&key, &[], Versions::Both).unwrap();
        let old = ServerConfigs::new(&key, &[], Versions::Only12).unwrap();
        let new = ServerConfigs::new(&key, &[], Versions::Only13).unwrap();
        let chosen = |configs: &ServerConfigs, versions| {
            let accepted = hello(versions);
            let config = configs.choose(&accepted.client_hello())?.clone();
            let new = configs.tls13.as_ref();
            Some(new.is_some_and(|new| Arc::ptr_eq(new, &config)))
        };
        for versions in [Versions::Both, Versions::Only13] {
            assert_eq!(chosen(&both, versions), Some(true));
            assert_eq!(chosen(&new, versions), Some(true));
        }
        assert_eq!(chosen(&both, Versions::Only12), Some(false));
        assert_eq!(chosen(&old, Versions::Only12), Some(false));
        assert_eq!(chosen(&old, Versions::Both), Some(false));
        assert_eq!(chosen(&old, Versions::Only13), None);
        assert_eq!(chosen(&new, Versions::Only12), None);
    }
}
