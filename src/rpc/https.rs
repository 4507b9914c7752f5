//! HTTPS: TLS between the socket and the conversation.
//!
//! A [`TlsStream`] is a stream of plaintext like any other, so what is behind it
//! is bounded as on the HTTP port: the handshake happens while the first head is
//! awaited, within the same time, at the same place in the table. What a
//! handshake costs beyond that is the processor's time, and that is bounded by
//! [`Purse`].

use super::reply::{Framing, Refusal};
use super::stream::Stream;
use crate::tls::{Channel, TlsError, WebConfig, MAX_PLAIN};
use smol::io::{AsyncRead, AsyncWrite};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{ready, Context, Poll};
use std::time::{Duration, Instant};

/// Read size, in bytes; on the stack while reading.
const CHUNK: usize = 4 * 1024;
/// Ciphertext that may wait for the socket before more plaintext is taken: two records.
const SEALED_MAX: usize = 2 * MAX_PLAIN;
/// The first byte of TLS: a handshake record.
const HANDSHAKE: u8 = 22;

/// Share of one processor's time that handshakes may take: one part in so many.
/// The rest relays, also while somebody opens connections as fast as he can.
const SHARE: u32 = 4;
/// What may be taken at once: a browser's six connections on the slowest device.
const AT_ONCE: Duration = Duration::from_millis(150);
/// Between two looks of a listener at an empty purse.
pub(super) const PURSE_PAUSE: Duration = Duration::from_millis(20);

/// The processor's time for handshakes: fills with time, is emptied by work.
pub(super) struct Purse(Mutex<Account>);

struct Account {
    /// May be below nothing: a handshake is not stopped half way.
    nanos: i64,
    since: Instant,
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

impl Purse {
    /// A full one.
    pub fn new(now: Instant) -> Purse {
        Purse(Mutex::new(Account {
            nanos: nanos(AT_ONCE),
            since: now,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is time for a handshake.
    pub fn has_time(&self, now: Instant) -> bool {
        let mut account = self.lock();
        let earned = nanos(now.saturating_duration_since(account.since) / SHARE);
        account.nanos = account.nanos.saturating_add(earned).min(nanos(AT_ONCE));
        account.since = now;
        account.nanos > 0
    }

    /// Takes what a handshake needed.
    pub fn take(&self, spent: Duration) {
        let mut account = self.lock();
        account.nanos = account.nanos.saturating_sub(nanos(spent));
    }
}

/// The server's side of TLS over a socket, as a stream of plaintext.
pub(super) struct TlsStream {
    socket: Box<dyn Stream>,
    channel: Channel,
    purse: Arc<Purse>,
    /// Opened and not yet read.
    plain: Vec<u8>,
    /// Sealed and not yet sent.
    sealed: Vec<u8>,
    begun: bool,
    /// Nothing more comes in.
    over: bool,
    /// Our end is said.
    closed: bool,
}

impl TlsStream {
    /// Nothing has been read from `socket` yet.
    ///
    /// # Errors
    /// The configuration is refused.
    pub fn new(
        socket: Box<dyn Stream>,
        config: &WebConfig,
        purse: &Arc<Purse>,
    ) -> Result<TlsStream, TlsError> {
        Ok(TlsStream {
            socket,
            channel: Channel::web(config)?,
            purse: purse.clone(),
            plain: Vec::new(),
            sealed: Vec::new(),
            begun: false,
            over: false,
            closed: false,
        })
    }

    /// Sends what is sealed.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent = 0;
        let result = loop {
            let rest = self.sealed.get(sent..).unwrap_or_default();
            if rest.is_empty() {
                break Poll::Ready(Ok(()));
            }
            match Pin::new(&mut self.socket).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.sealed.drain(..sent.min(self.sealed.len()));
        if self.sealed.is_empty() {
            // A connection that waits owns no buffer.
            self.sealed = Vec::new();
        }
        result
    }

    /// Takes what came from the socket.
    fn open(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        if !self.begun {
            self.begun = true;
            if bytes.first().is_some_and(|first| *first != HANDSHAKE) {
                return Err(self.refuse_plain(bytes));
            }
        }
        let TlsStream {
            channel,
            plain,
            sealed,
            ..
        } = self;
        let work = channel.is_handshaking().then(Instant::now);
        let result = channel.receive(bytes, sealed, &mut |part| plain.extend_from_slice(part));
        if let Some(begin) = work {
            self.purse.take(begin.elapsed());
        }
        match result {
            Ok(progress) => {
                self.over |= progress.closed;
                Ok(())
            }
            Err(error) => {
                self.over = true;
                self.closed = true;
                Err(io::Error::new(ErrorKind::InvalidData, error.to_string()))
            }
        }
    }

    /// Tells somebody who speaks HTTP here, in the clear, where he is.
    fn refuse_plain(&mut self, bytes: &[u8]) -> io::Error {
        self.over = true;
        self.closed = true;
        if bytes.first().is_some_and(u8::is_ascii_uppercase) {
            let refusal = Refusal::new(400, "this port speaks HTTPS; ask with https://");
            let framing = Framing {
                head_only: false,
                keep_alive: false,
            };
            self.sealed = refusal.encode(framing, "");
        }
        io::Error::new(ErrorKind::InvalidData, "not TLS")
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            if !this.plain.is_empty() {
                let count = this.plain.len().min(buf.len());
                let (to, from) = (buf.get_mut(..count), this.plain.get(..count));
                if let (Some(to), Some(from)) = (to, from) {
                    to.copy_from_slice(from);
                }
                this.plain.drain(..count);
                if this.plain.is_empty() {
                    this.plain = Vec::new();
                }
                return Poll::Ready(Ok(count));
            }
            // Answers of the handshake; who does not take them gets no more.
            if !this.sealed.is_empty() {
                let sent = this.poll_drain(cx);
                if sent.is_pending() && this.sealed.len() >= SEALED_MAX {
                    return Poll::Pending;
                }
                if let Poll::Ready(Err(error)) = sent {
                    return Poll::Ready(Err(error));
                }
            }
            if this.over {
                return Poll::Ready(Ok(0));
            }
            let mut chunk = [0; CHUNK];
            let count = ready!(Pin::new(&mut this.socket).poll_read(cx, &mut chunk))?;
            let bytes = chunk.get_mut(..count).unwrap_or_default();
            if bytes.is_empty() {
                this.over = true;
                return Poll::Ready(Ok(0));
            }
            if let Err(error) = this.open(bytes) {
                // The alert, as far as that is possible without waiting.
                let _ = this.poll_drain(cx);
                let _ = Pin::new(&mut this.socket).poll_close(cx);
                return Poll::Ready(Err(error));
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.closed || self.channel.is_handshaking() {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        }
        if !self.sealed.is_empty() {
            let sent = self.poll_drain(cx)?;
            if sent.is_pending() && self.sealed.len() >= SEALED_MAX {
                return Poll::Pending;
            }
        }
        let count = buf.len().min(MAX_PLAIN);
        let this = &mut *self;
        let part = buf.get(..count).unwrap_or_default();
        this.channel
            .send(part, &mut this.sealed)
            .map_err(|e| io::Error::new(ErrorKind::BrokenPipe, e.to_string()))?;
        // What does not fit waits for the next write, or the flush.
        if let Poll::Ready(Err(error)) = this.poll_drain(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.closed {
            this.closed = true;
            this.channel.close(&mut this.sealed);
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.socket).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_take_no_more_than_their_share_of_the_time() {
        let start = Instant::now();
        let purse = Purse::new(start);
        let one = Duration::from_millis(5);
        let mut now = start;
        let mut done = 0_u32;
        while now < start + Duration::from_secs(20) {
            if purse.has_time(now) {
                purse.take(one);
                done += 1;
                now += one;
            } else {
                now += PURSE_PAUSE;
            }
        }
        let spent = one * done;
        assert!(spent <= Duration::from_millis(5_500), "{spent:?}");
        assert!(spent >= Duration::from_millis(4_000), "{spent:?}");
    }

    #[test]
    fn a_pause_does_not_save_up_for_a_flood() {
        let start = Instant::now();
        let purse = Purse::new(start);
        let later = start + Duration::from_secs(3_600);
        assert!(purse.has_time(later));
        purse.take(AT_ONCE);
        assert!(!purse.has_time(later));
        assert!(purse.has_time(later + PURSE_PAUSE));
    }
}
