//! TLS without I/O: one connection as a pair of byte transformers.
//!
//! ```text
//! from the socket --> receive(input, out, sink) --> plaintext to sink
//!                                   |
//! to the socket   <-- out <---------+------------ send(plain, out)
//! ```
//!
//! The owner reads from its socket into a buffer that it shares among all its
//! connections, calls [`Channel::receive`], and writes what has gathered in
//! `out`. A connection that waits holds no buffer of its own: whole records
//! are decrypted where they lie in the caller's buffer, and only the front of
//! an unfinished record (or the pieces of an unfinished handshake message,
//! which rustls wants side by side) is kept until the rest comes.
//!
//! Below is rustls' unbuffered interface. Two of its habits shape this code: a
//! piece that rustls has seen but not discarded must be shown again, at the
//! same place, in *every* later call, also when sending; and after an error it
//! must not be shown the offending bytes again.

mod drive;
mod records;
mod start;

use super::{ServerConfigs, TlsError, WebConfig};
use crate::identity::certificate::peer_key;
use crate::identity::{Address, PublicKey};
use drive::{drive, write, Seal};
use records::MAX_RECORD;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, CommonState, ProtocolVersion};
use start::Choosing;
use std::fmt;
use std::sync::Arc;

/// Most plaintext in one record, in bytes.
pub const MAX_PLAIN: usize = 16_384;

/// Most bytes that one record adds to its plaintext: header 5, TLS 1.2's
/// explicit nonce 8, tag 16. TLS 1.3 adds 22.
pub const MAX_SEALED: usize = 29;

/// Most bytes that are kept between calls, in bytes: one record, and as much
/// again for handshake messages in pieces. The longest honest message, a
/// certificate, has about 500 bytes (1,500 with a chain).
pub(super) const MAX_HELD: usize = 2 * MAX_RECORD;

/// Version of a finished handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// What [`Channel::receive`] brought about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Progress {
    /// The handshake ended in this very call: [`Channel::peer`] is known. A
    /// client of TLS 1.3 may still be refused by the server afterwards.
    pub handshake_done_now: bool,
    /// The other side has said that it will send nothing more. Without this a
    /// stream that ends was cut off.
    pub closed: bool,
}

/// One TLS connection, either side, without its socket.
pub struct Channel {
    side: Side,
    held: Held,
    peer_closed: bool,
    we_closed: bool,
}

enum Side {
    /// Server: the ClientHello is not complete.
    Choosing(Box<Choosing>),
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
    Failed(TlsError),
}

/// Bytes that must be shown to rustls again.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    /// How many of them, from the front, are records that rustls has seen
    /// whole (pieces of a handshake message). The rest is the front of one
    /// record.
    seen: usize,
}

impl Held {
    /// Drops what rustls is done with.
    fn discard(&mut self, used: usize) {
        if used >= self.bytes.len() {
            // An idle connection owns no buffer.
            *self = Held::default();
        } else {
            self.bytes.drain(..used);
            self.seen = self.seen.saturating_sub(used);
        }
    }

    /// Keeps `rest`, of which `seen` bytes are whole records.
    fn keep(&mut self, rest: &[u8], seen: usize) {
        self.bytes = rest.to_vec();
        self.seen = seen;
    }

    /// Takes from `input` what the unfinished record still needs.
    fn top_up<'i>(&mut self, input: &'i mut [u8]) -> &'i mut [u8] {
        let partial = self.bytes.get(self.seen..).unwrap_or_default();
        let missing = records::missing(partial);
        let (more, rest) = input.split_at_mut(missing.min(input.len()));
        self.bytes.reserve_exact(missing);
        self.bytes.extend_from_slice(more);
        let partial = self.bytes.get(self.seen..).unwrap_or_default();
        self.seen += records::whole(partial);
        rest
    }
}

impl Channel {
    /// The side that connects. Call [`Channel::start`] next.
    ///
    /// # Errors
    /// [`TlsError::Protocol`] if rustls refuses the configuration.
    pub fn client(config: &Arc<ClientConfig>) -> Result<Channel, TlsError> {
        // rustls wants a name. It is neither sent (no SNI) nor compared: the
        // identity is the key.
        let name = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
        Channel::client_of(config, name)
    }

    /// The side that connects to a server that has a name.
    pub(in crate::tls) fn client_of(
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Channel, TlsError> {
        let connection = UnbufferedClientConnection::new(Arc::clone(config), name)?;
        Ok(Channel::new(Side::Client(Box::new(connection))))
    }

    /// The side that was connected to; which configuration it uses is decided
    /// by the ClientHello.
    #[must_use]
    pub fn server(configs: &Arc<ServerConfigs>) -> Channel {
        Channel::new(Side::Choosing(Box::new(Choosing::new(configs))))
    }

    /// The side that a browser was connected to.
    ///
    /// # Errors
    /// [`TlsError::Protocol`] if rustls refuses the configuration.
    pub fn web(config: &WebConfig) -> Result<Channel, TlsError> {
        let connection = UnbufferedServerConnection::new(Arc::clone(&config.0))?;
        Ok(Channel::new(Side::Server(Box::new(connection))))
    }

    fn new(side: Side) -> Channel {
        Channel {
            side,
            held: Held::default(),
            peer_closed: false,
            we_closed: false,
        }
    }

    /// Appends the ClientHello to `out`; nothing on the server's side.
    ///
    /// # Errors
    /// No randomness, for instance.
    pub fn start(&mut self, out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.drive_held(out, &mut |_| ()).map(|_| ())
    }

    /// Takes bytes from the other side.
    ///
    /// All of `input` is consumed; its contents are undefined afterwards
    /// (records are decrypted in place). Plaintext goes to `sink` in order, a
    /// record at a time, at most [`MAX_PLAIN`] bytes; answers (handshake,
    /// alerts) are appended to `out`. After the other side's close everything
    /// else from it is ignored, as RFC 8446 section 6.1 wants it.
    ///
    /// # Errors
    /// The connection is over. Plaintext before the error has been delivered,
    /// and if there is an alert to send, it is in `out`. Further calls return
    /// the same error.
    pub fn receive(
        &mut self,
        mut input: &mut [u8],
        out: &mut Vec<u8>,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<Progress, TlsError> {
        if let Side::Failed(error) = &self.side {
            return Err(error.clone());
        }
        let before = self.is_handshaking();
        if let Side::Choosing(choosing) = &mut self.side {
            match choosing.feed(input, out) {
                Ok(None) => return Ok(Progress::default()),
                Ok(Some(chosen)) => {
                    self.side = Side::Server(Box::new(chosen.connection));
                    self.held.seen = records::whole(&chosen.replay);
                    self.held.bytes = chosen.replay;
                    input = input.get_mut(chosen.consumed..).unwrap_or_default();
                    self.drive_held(out, sink)?;
                }
                Err(error) => {
                    self.side = Side::Failed(error.clone());
                    return Err(error);
                }
            }
        }
        while !self.held.bytes.is_empty() && !input.is_empty() {
            input = self.held.top_up(input);
            self.drive_held(out, sink)?;
        }
        if !input.is_empty() {
            let seen = records::whole(input);
            let used = self.drive(input, out, sink)?;
            let rest = input.get(used..).unwrap_or_default();
            if !rest.is_empty() && !self.peer_closed {
                self.held.keep(rest, seen.saturating_sub(used));
            }
        }
        if self.held.bytes.len() > MAX_HELD {
            return Err(self.fail(TlsError::TooLong));
        }
        Ok(Progress {
            handshake_done_now: before && !self.is_handshaking(),
            closed: self.peer_closed,
        })
    }

    /// Seals `plain` and appends the records to `out`: at most
    /// [`MAX_PLAIN`] bytes of it a record, and at most [`MAX_SEALED`] more for
    /// each. An empty `plain` adds nothing.
    ///
    /// # Errors
    /// [`TlsError::NotReady`] before the handshake is done and
    /// [`TlsError::Closed`] after [`Channel::close`]: neither ends the
    /// connection. [`TlsError::Exhausted`] does: `out` then ends with our
    /// close, and what did not fit must be sent over another connection.
    pub fn send(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        if let Side::Failed(error) = &self.side {
            return Err(error.clone());
        }
        if self.we_closed {
            return Err(TlsError::Closed);
        }
        if self.is_handshaking() {
            return Err(TlsError::NotReady);
        }
        for record in plain.chunks(MAX_PLAIN) {
            let sealed = self.write(out, record.len() + MAX_SEALED, &mut |traffic, space| {
                traffic.encrypt(record, space)
            });
            if let Err(error) = sealed {
                // rustls has queued our close.
                let _ = self.drive_held(out, &mut |_| ());
                return Err(self.fail(error));
            }
        }
        Ok(())
    }

    /// Says that we shall send nothing more, once; receiving goes on. Nothing
    /// happens before the handshake is done.
    ///
    /// rustls 0.23 asserts, in builds with debug assertions alone, that no
    /// second alert follows this one: there, bytes that fail to open after our
    /// close end in a panic instead of [`TlsError::Tampered`].
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if self.we_closed || matches!(self.side, Side::Failed(_)) {
            return;
        }
        self.we_closed = true;
        // What fails here is a connection that cannot be told anything.
        let _ = self.write(out, MAX_SEALED + 2, &mut |traffic, space| {
            traffic.queue_close_notify(space)
        });
    }

    /// Whether the handshake is still going on. False also after a failure.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        match &self.side {
            Side::Choosing(_) => true,
            Side::Failed(_) => false,
            _ => self.common().is_some_and(CommonState::is_handshaking),
        }
    }

    /// The key of the other side, proven by its handshake signature; `None`
    /// before the handshake is done. Parses the certificate again at each
    /// call: keep the answer.
    #[must_use]
    pub fn peer(&self) -> Option<PublicKey> {
        let common = self.common()?;
        if common.is_handshaking() {
            return None;
        }
        peer_key(common.peer_certificates()?.first()?).ok()
    }

    /// The address of [`Channel::peer`].
    #[must_use]
    pub fn peer_address(&self) -> Option<Address> {
        self.peer().map(|key| key.address())
    }

    /// The protocol agreed on by ALPN, if any.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.common()?.alpn_protocol()
    }

    /// The version agreed on.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        match self.common()?.protocol_version()? {
            ProtocolVersion::TLSv1_2 => Some(Version::Tls12),
            ProtocolVersion::TLSv1_3 => Some(Version::Tls13),
            _ => None,
        }
    }

    /// The suite agreed on, by its registered name.
    #[must_use]
    pub fn suite(&self) -> Option<&'static str> {
        self.common()?.negotiated_cipher_suite()?.suite().as_str()
    }

    fn common(&self) -> Option<&CommonState> {
        match &self.side {
            Side::Client(connection) => Some(connection),
            Side::Server(connection) => Some(connection),
            Side::Choosing(_) | Side::Failed(_) => None,
        }
    }

    fn fail(&mut self, error: TlsError) -> TlsError {
        self.side = Side::Failed(error.clone());
        self.held = Held::default();
        error
    }

    /// Shows rustls what is held, and drops what it is done with.
    fn drive_held(
        &mut self,
        out: &mut Vec<u8>,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), TlsError> {
        let mut held = std::mem::take(&mut self.held);
        let used = self.drive(&mut held.bytes, out, sink)?;
        if !self.peer_closed {
            held.discard(used);
            self.held = held;
        }
        Ok(())
    }

    /// Shows `bytes` to rustls until it wants more; returns how many of them,
    /// from the front, it is done with.
    fn drive(
        &mut self,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, TlsError> {
        let closed = &mut self.peer_closed;
        let result = match &mut self.side {
            Side::Client(connection) => drive(&mut **connection, bytes, out, sink, closed),
            Side::Server(connection) => drive(&mut **connection, bytes, out, sink, closed),
            Side::Choosing(_) => Ok(0),
            Side::Failed(error) => Err(error.clone()),
        };
        result.map_err(|error| self.fail(error))
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        space: usize,
        seal: &mut Seal<'_>,
    ) -> Result<(), TlsError> {
        let held = &mut self.held.bytes;
        match &mut self.side {
            Side::Client(connection) => write(&mut **connection, held, out, space, seal),
            Side::Server(connection) => write(&mut **connection, held, out, space, seal),
            Side::Choosing(_) => Err(TlsError::NotReady),
            Side::Failed(error) => Err(error.clone()),
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("peer", &self.peer_address())
            .field("version", &self.version())
            .field("handshaking", &self.is_handshaking())
            .field("held", &self.held.bytes.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
