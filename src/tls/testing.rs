//! Two channels joined in memory, for tests of this room and of those above.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{client_config_with, Channel, CipherOrder, ServerConfigs, TlsError, Versions};
use crate::identity::SecretKey;
use rustls::{ClientConfig, ServerConfig};

/// The client's key in [`pair`].
pub(crate) fn client_key() -> SecretKey {
    SecretKey::from_bytes(&[0x11; 32]).unwrap()
}

/// The server's key in [`pair`].
pub(crate) fn server_key() -> SecretKey {
    SecretKey::from_bytes(&[0x22; 32]).unwrap()
}

/// A client and a server before their first byte.
pub(crate) fn fresh(versions: Versions) -> (Channel, Channel) {
    altered(versions, |_| (), |_| ())
}

/// As [`fresh`], with configurations as a test wants them.
pub(crate) fn altered(
    versions: Versions,
    client: impl Fn(&mut ClientConfig),
    server: impl Fn(&mut ServerConfig),
) -> (Channel, Channel) {
    let config = client_config_with(&client_key(), &[], versions, CipherOrder::Aes).unwrap();
    let mut config = ClientConfig::clone(&config);
    client(&mut config);
    let configs = ServerConfigs::with_aes(&server_key(), &[], versions, true).unwrap();
    (
        Channel::client(&config.into()).unwrap(),
        Channel::server(&configs.altered(server)),
    )
}

/// A client and a server after their handshake.
pub(crate) fn pair(versions: Versions) -> (Channel, Channel) {
    let (mut client, mut server) = fresh(versions);
    shake(&mut client, &mut server).unwrap();
    (client, server)
}

/// Carries the handshake out, one exchange of all bytes after the other.
pub(crate) fn shake(client: &mut Channel, server: &mut Channel) -> Result<(), TlsError> {
    let mut to_server = Vec::new();
    client.start(&mut to_server)?;
    settle(client, server, to_server)
}

/// Carries bytes back and forth until both sides are silent. If both fail, the
/// error is that of the one that failed first; the other has been told by then.
pub(crate) fn settle(
    client: &mut Channel,
    server: &mut Channel,
    mut to_server: Vec<u8>,
) -> Result<(), TlsError> {
    let mut to_client = Vec::new();
    let mut result = Ok(());
    let mut none = |_: &[u8]| panic!("plaintext in a handshake");
    while !to_server.is_empty() || !to_client.is_empty() {
        let mut input = std::mem::take(&mut to_server);
        let progress = server.receive(&mut input, &mut to_client, &mut none);
        result = result.and(progress.map(|_| ()));
        let mut input = std::mem::take(&mut to_client);
        let progress = client.receive(&mut input, &mut to_server, &mut none);
        result = result.and(progress.map(|_| ()));
        if result.is_err() {
            break;
        }
    }
    result
}
