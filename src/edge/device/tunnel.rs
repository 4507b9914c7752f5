//! A port as a byte stream, with or without TLS inside.
//!
//! End to end, the two devices speak TLS inside the port and each checks the
//! other's address, so the nodes between them see ciphertext only. The end of a
//! direction is TLS' close_notify followed by the port's Finish; a Finish
//! without it means that somebody on the way cut the stream, and is an error.

use crate::identity::Address;
use crate::ports::local::{End, WRITE_AHEAD};
use crate::ports::LocalPort;
use crate::time::Clock;
use crate::tls::{Channel, Version};
use crate::wire::code::Code;
use crate::wire::frame::RECORD_BYTES;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{ready, Context, Poll};

/// Bytes that TLS 1.3 adds to a record: header, content type, tag.
const SEAL_13: usize = 5 + 1 + 16;
/// Bytes that TLS 1.2 adds at most: header, explicit nonce, tag.
const SEAL_12: usize = 5 + 8 + 16;

/// TLS inside a port.
struct Inner {
    channel: Channel,
    /// Ciphertext that the port has not taken yet.
    out: Vec<u8>,
    /// Plaintext a record, so that the sealed record fills one data frame, which
    /// fills one record of the session: no hop has to cut or join anything.
    record: usize,
    ended: bool,
}

/// One port of a device, as a stream.
pub struct Tunnel {
    port: LocalPort,
    inner: Option<Inner>,
    /// Plaintext that came with the last flight of the handshake.
    early: Vec<u8>,
    clock: Arc<dyn Clock>,
    finished: bool,
}

impl Tunnel {
    /// A plain stream: the nodes on the way can read it.
    #[must_use]
    pub fn plain(port: LocalPort, clock: Arc<dyn Clock>) -> Tunnel {
        Tunnel {
            port,
            inner: None,
            early: Vec::new(),
            clock,
            finished: false,
        }
    }

    /// TLS inside the port. `channel` is a client's that was started (its first
    /// flight is `greeting`) or a server's. Resolves when the handshake is done
    /// and the other side's address is checked by `allowed`.
    ///
    /// # Errors
    /// The handshake failed, or the other device is not who it should be.
    pub async fn secured(
        port: LocalPort,
        channel: Channel,
        greeting: Vec<u8>,
        clock: Arc<dyn Clock>,
        allowed: impl Fn(Address) -> Result<(), End>,
    ) -> Result<Tunnel, End> {
        let mut tunnel = Tunnel {
            port,
            inner: Some(Inner {
                channel,
                out: greeting,
                record: RECORD_BYTES - SEAL_12,
                ended: false,
            }),
            early: Vec::new(),
            clock,
            finished: false,
        };
        let outcome = poll_fn(|cx| tunnel.poll_handshake(cx)).await;
        let outcome = outcome.and_then(|()| {
            let peer = tunnel
                .proven()
                .ok_or_else(|| End::new(Code::END_TO_END, "the other device has no identity"))?;
            allowed(peer)
        });
        match outcome {
            Ok(()) => Ok(tunnel),
            Err(end) => {
                tunnel.give_up(end.code, &end.text);
                Err(end)
            }
        }
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        loop {
            ready!(self.poll_flush(cx))?;
            let Some(inner) = &mut self.inner else {
                return Poll::Ready(Ok(()));
            };
            if !inner.channel.is_handshaking() {
                if inner.channel.version() == Some(Version::Tls13) {
                    inner.record = RECORD_BYTES - SEAL_13;
                }
                return Poll::Ready(Ok(()));
            }
            let now = self.clock.now();
            let Some(mut chunk) = ready!(self.port.poll_read(cx, now))? else {
                let text = "the other device ended the port during the end-to-end handshake";
                return Poll::Ready(Err(End::new(Code::END_TO_END, text)));
            };
            let early = &mut self.early;
            let received = inner
                .channel
                .receive(chunk.bytes_mut(), &mut inner.out, &mut |plain| {
                    early.extend_from_slice(plain);
                });
            match received {
                // A short connection's whole stream, its end included, can come
                // with the last flight of the handshake.
                Ok(progress) => inner.ended = progress.closed,
                Err(e) => {
                    // An alert may wait in `out`; the other side learns the reason from it.
                    let _ = self.poll_flush(cx);
                    let text = format!("end-to-end handshake: {e}");
                    return Poll::Ready(Err(End::new(Code::END_TO_END, text)));
                }
            }
        }
    }

    /// The port below.
    #[must_use]
    pub fn port(&self) -> &LocalPort {
        &self.port
    }

    /// Who the other device is, as its TLS has proven; `None`: the tunnel is plain.
    #[must_use]
    pub fn proven(&self) -> Option<Address> {
        self.inner.as_ref().and_then(|i| i.channel.peer_address())
    }

    /// The port of a plain tunnel, for datagrams.
    #[must_use]
    pub fn into_port(self) -> LocalPort {
        self.port
    }

    /// Appends what arrived to `into`; 0 bytes: the other side has finished.
    ///
    /// # Errors
    /// The port was given up, or the stream was cut or altered on the way.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
    ) -> Poll<Result<usize, End>> {
        let before = into.len();
        if !self.early.is_empty() {
            into.append(&mut self.early);
            return Poll::Ready(Ok(into.len() - before));
        }
        loop {
            let now = self.clock.now();
            let ended = self.inner.as_ref().is_some_and(|i| i.ended);
            if ended {
                // The port's own Finish is waited for: a port that is let go before
                // it has come is given up, and what we wrote last with it.
                match ready!(self.port.poll_read(cx, now)) {
                    Ok(Some(_)) => continue,
                    Ok(None) | Err(_) => return Poll::Ready(Ok(0)),
                }
            }
            let Some(mut chunk) = ready!(self.port.poll_read(cx, now))? else {
                if self.inner.is_some() {
                    let text =
                        "the stream was cut on the way (no end of TLS before the end of the port)";
                    return Poll::Ready(Err(End::new(Code::END_TO_END, text)));
                }
                return Poll::Ready(Ok(0));
            };
            match &mut self.inner {
                None => into.extend_from_slice(chunk.bytes()),
                Some(inner) => {
                    let progress = inner
                        .channel
                        .receive(chunk.bytes_mut(), &mut inner.out, &mut |plain| {
                            into.extend_from_slice(plain);
                        })
                        .map_err(|e| End::new(Code::END_TO_END, format!("end-to-end: {e}")))?;
                    inner.ended = progress.closed;
                    if !inner.out.is_empty() {
                        // Answers of TLS itself (key updates).
                        let _ = self.poll_flush(cx)?;
                    }
                }
            }
            let n = into.len() - before;
            if n > 0 {
                return Poll::Ready(Ok(n));
            }
        }
    }

    /// How many bytes [`Tunnel::put`] may take now; pending while there is no room.
    ///
    /// # Errors
    /// The port was given up.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, End>> {
        ready!(self.poll_flush(cx))?;
        let room = WRITE_AHEAD.saturating_sub(self.port.unsent());
        // The overhead of TLS must fit as well.
        let room = room - room / 128;
        if room < RECORD_BYTES {
            // Asks the port to wake us when half of its room is free.
            return match self.port.poll_full(cx) {
                Poll::Ready(Ok(())) => Poll::Ready(Ok(RECORD_BYTES)),
                Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
                Poll::Pending => Poll::Pending,
            };
        }
        Poll::Ready(Ok(room))
    }

    /// Sends bytes, at most as many as [`Tunnel::poll_room`] said.
    ///
    /// # Errors
    /// The port was given up, or TLS has ended.
    pub fn put(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Result<(), End> {
        match &mut self.inner {
            None => self.port.write_all_now(bytes),
            Some(inner) => {
                for part in bytes.chunks(inner.record) {
                    inner
                        .channel
                        .send(part, &mut inner.out)
                        .map_err(|e| End::new(Code::END_TO_END, format!("end-to-end: {e}")))?;
                }
                let _ = self.poll_flush(cx)?;
                Ok(())
            }
        }
    }

    /// Ends this side's direction.
    ///
    /// # Errors
    /// The port was given up.
    pub fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if !self.finished {
            if let Some(inner) = &mut self.inner {
                inner.channel.close(&mut inner.out);
            }
            self.finished = true;
        }
        ready!(self.poll_flush(cx))?;
        self.port.finish();
        Poll::Ready(Ok(()))
    }

    /// Gives the port up in both directions.
    pub fn give_up(self, code: Code, text: &str) {
        self.port.abort(code, text);
    }

    /// Hands TLS' output to the port.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(Ok(()));
        };
        let mut sent = 0;
        while sent < inner.out.len() {
            let rest = inner.out.get(sent..).unwrap_or_default();
            match self.port.poll_write(cx, rest) {
                Poll::Ready(Ok(n)) => sent += n,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => {
                    inner.out.drain(..sent);
                    return Poll::Pending;
                }
            }
        }
        // A busy tunnel keeps its buffer for the next batch, an idle one does not.
        if inner.out.capacity() > 4 * RECORD_BYTES || sent < RECORD_BYTES {
            inner.out = Vec::new();
        } else {
            inner.out.clear();
        }
        Poll::Ready(Ok(()))
    }
}
