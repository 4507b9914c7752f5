//! The dialogue with rustls' unbuffered interface.

use crate::tls::TlsError;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedConnectionCommon,
    UnbufferedStatus, WriteTraffic,
};
use std::ops::Deref;

/// What the unbuffered connections of both sides have in common.
pub(super) trait Connection: Deref<Target = UnbufferedConnectionCommon<Self::Data>> {
    type Data;
    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Connection for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }
}

impl Connection for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }
}

/// Shows `bytes` to rustls until it wants more: plaintext to `sink`, answers to
/// `out`. Returns how many bytes, from the front, it is done with.
pub(super) fn drive<C: Connection>(
    connection: &mut C,
    bytes: &mut [u8],
    out: &mut Vec<u8>,
    sink: &mut dyn FnMut(&[u8]),
    closed: &mut bool,
) -> Result<usize, TlsError> {
    let mut used = 0_usize;
    loop {
        let rest = bytes.get_mut(used..).unwrap_or_default();
        let status = connection.process(rest);
        used += status.discard;
        match status.state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    used += record.discard;
                    sink(record.payload);
                }
            }
            Ok(ConnectionState::EncodeTlsData(message)) => encode(message, out)?,
            Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
            Ok(ConnectionState::PeerClosed) => *closed = true,
            Ok(
                ConnectionState::BlockedHandshake
                | ConnectionState::WriteTraffic(_)
                | ConnectionState::Closed,
            ) => return Ok(used),
            // Early data is off in our configurations; rustls may grow states.
            Ok(state) => return Err(TlsError::Protocol(format!("unforeseen state {state:?}"))),
            Err(error) => {
                // What is queued is said before anything is read again, and
                // nothing must be: reading the bad bytes once more would queue
                // a second alert.
                while connection.wants_write() {
                    let rest = bytes.get_mut(used..).unwrap_or_default();
                    match connection.process(rest).state {
                        Ok(ConnectionState::EncodeTlsData(message)) => encode(message, out)?,
                        _ => break,
                    }
                }
                return Err(error.into());
            }
        }
    }
}

/// Appends a handshake message or an alert.
fn encode<D>(mut message: EncodeTlsData<'_, D>, out: &mut Vec<u8>) -> Result<(), TlsError> {
    // With no space it only says how much it needs.
    let needed = match message.encode(&mut []) {
        Err(EncodeError::InsufficientSize(size)) => size.required_size,
        _ => return Ok(()),
    };
    let start = out.len();
    out.resize(start + needed, 0);
    let space = out.get_mut(start..).unwrap_or_default();
    let written = message
        .encode(space)
        .map_err(|error| TlsError::Protocol(error.to_string()))?;
    out.truncate(start + written);
    Ok(())
}

/// Writes into the space given and says how much.
pub(super) type Seal<'s> =
    dyn FnMut(&mut dyn Traffic, &mut [u8]) -> Result<usize, EncryptError> + 's;

/// [`WriteTraffic`] of either side.
pub(super) trait Traffic {
    fn encrypt(&mut self, plain: &[u8], space: &mut [u8]) -> Result<usize, EncryptError>;
    fn queue_close_notify(&mut self, space: &mut [u8]) -> Result<usize, EncryptError>;
}

impl<D> Traffic for WriteTraffic<'_, D> {
    fn encrypt(&mut self, plain: &[u8], space: &mut [u8]) -> Result<usize, EncryptError> {
        WriteTraffic::encrypt(self, plain, space)
    }
    fn queue_close_notify(&mut self, space: &mut [u8]) -> Result<usize, EncryptError> {
        WriteTraffic::queue_close_notify(self, space)
    }
}

/// Lets `seal` append to `out`, with `space` bytes or as many as it asks for
/// (an answer to a key update may be due before the record).
pub(super) fn write<C: Connection>(
    connection: &mut C,
    held: &mut [u8],
    out: &mut Vec<u8>,
    mut space: usize,
    seal: &mut Seal<'_>,
) -> Result<(), TlsError> {
    loop {
        // What is held must be shown, or rustls would look for it in vain.
        // Nothing of it is complete, so nothing is discarded.
        match connection.process(held).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let start = out.len();
                out.resize(start + space, 0);
                let target = out.get_mut(start..).unwrap_or_default();
                match seal(&mut traffic, target) {
                    Ok(written) => {
                        out.truncate(start + written);
                        return Ok(());
                    }
                    Err(EncryptError::InsufficientSize(size)) if size.required_size > space => {
                        out.truncate(start);
                        space = size.required_size;
                    }
                    Err(_) => {
                        out.truncate(start);
                        return Err(TlsError::Exhausted);
                    }
                }
            }
            Ok(ConnectionState::EncodeTlsData(message)) => encode(message, out)?,
            Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
            Ok(_) => return Err(TlsError::NotReady),
            Err(error) => return Err(error.into()),
        }
    }
}
