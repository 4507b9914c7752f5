//! The first bytes of a server's connection, until the ClientHello is whole
//! and says which configuration to use.

use super::TlsError;
use crate::tls::ServerConfigs;
use rustls::server::{Acceptor, UnbufferedServerConnection};
use std::sync::Arc;

/// Most bytes of a ClientHello that are waited for. Ours has 250, one of
/// OpenSSL 500, a browser's with post-quantum shares 2,000.
const MAX_HELLO: usize = 16 * 1024;

/// Alert record, fatal: handshake_failure.
const HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];
/// Alert record, fatal: decode_error.
const DECODE_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];

/// A connection whose configuration is not chosen.
pub(super) struct Choosing {
    configs: Arc<ServerConfigs>,
    acceptor: Acceptor,
    /// Everything so far, for the connection that is chosen: the acceptor is
    /// of rustls' buffered kind and cannot become an unbuffered one.
    so_far: Vec<u8>,
}

/// The choice.
pub(super) struct Chosen {
    pub(super) connection: UnbufferedServerConnection,
    /// Bytes that the connection has to see first.
    pub(super) replay: Vec<u8>,
    /// How many bytes of the last input are among them.
    pub(super) consumed: usize,
}

impl Choosing {
    pub(super) fn new(configs: &Arc<ServerConfigs>) -> Choosing {
        Choosing {
            configs: Arc::clone(configs),
            acceptor: Acceptor::default(),
            so_far: Vec::new(),
        }
    }

    /// Takes more bytes; `None` while the hello is not whole. On an error
    /// there is an alert in `out`.
    pub(super) fn feed(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Chosen>, TlsError> {
        let room = MAX_HELLO.saturating_sub(self.so_far.len());
        let (mut unread, beyond) = input.split_at(room.min(input.len()));
        let taken = unread;
        while !unread.is_empty() {
            if self.acceptor.read_tls(&mut unread).is_err() {
                out.extend_from_slice(&DECODE_ERROR);
                return Err(TlsError::TooLong);
            }
            match self.acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let Some(config) = self.configs.choose(&accepted.client_hello()) else {
                        out.extend_from_slice(&HANDSHAKE_FAILURE);
                        return Err(TlsError::NothingInCommon(
                            "neither our scheme for TLS 1.3 nor TLS 1.2 on secp256k1".to_owned(),
                        ));
                    };
                    let connection = UnbufferedServerConnection::new(Arc::clone(config))?;
                    return Ok(Some(self.chosen(connection, taken)));
                }
                Err((error, mut alert)) => {
                    // Writing to a vector cannot fail.
                    let _ = alert.write_all(out);
                    return Err(error.into());
                }
            }
        }
        if beyond.is_empty() {
            self.so_far.extend_from_slice(taken);
            return Ok(None);
        }
        out.extend_from_slice(&DECODE_ERROR);
        Err(TlsError::TooLong)
    }

    fn chosen(&mut self, connection: UnbufferedServerConnection, taken: &[u8]) -> Chosen {
        let mut replay = std::mem::take(&mut self.so_far);
        if replay.is_empty() {
            // The usual case: all in one piece, which the connection can have
            // where it lies.
            return Chosen {
                connection,
                replay,
                consumed: 0,
            };
        }
        replay.extend_from_slice(taken);
        Chosen {
            connection,
            replay,
            consumed: taken.len(),
        }
    }
}
