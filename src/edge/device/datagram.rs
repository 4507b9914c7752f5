//! UDP flows over ports.
//!
//! On a plain `udp:` port one data frame is one datagram. On a `utls:` port the
//! stream is TLS end to end, and a two-byte big-endian length stands before each
//! datagram (0 is allowed). A flow ends when it was silent for [`SILENCE`].

use super::tunnel::Tunnel;
use crate::ports::local::End;
use crate::ports::LocalPort;
use crate::task::channel::Receiver;
use crate::time::{Clock, Moment};
use crate::wire::code::Code;
use async_io::{Async, Timer};
use std::collections::VecDeque;
use std::future::{poll_fn, Future};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A flow without a datagram for this long is over (RFC 4787, section 4.3, asks for two minutes).
pub const SILENCE: Duration = Duration::from_secs(120);
/// Bytes of datagrams that may wait for a sealed port; beyond that the oldest go.
pub const WAITING_MAX: usize = 64 * 1024;
/// Longest UDP payload.
pub const DATAGRAM_MAX: usize = 65_507;
/// Datagrams carried before other tasks get their turn.
const TURN: usize = 32;

/// A port that carries datagrams.
pub enum DatagramPort {
    /// `udp:`: the frames have edges.
    Plain(LocalPort),
    /// `utls:`: lengths inside TLS.
    Sealed(Box<Sealed>),
}

/// Datagrams over a tunnel.
pub struct Sealed {
    tunnel: Tunnel,
    arrived: Vec<u8>,
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
}

impl DatagramPort {
    /// Datagrams over a tunnel that is TLS end to end.
    #[must_use]
    pub fn sealed(tunnel: Tunnel) -> DatagramPort {
        DatagramPort::Sealed(Box::new(Sealed {
            tunnel,
            arrived: Vec::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }))
    }

    /// The next datagram, into `into`; false: the other side has finished.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        into: &mut Vec<u8>,
    ) -> Poll<Result<bool, End>> {
        into.clear();
        match self {
            DatagramPort::Plain(port) => port.poll_read(cx, now).map(|r| {
                r.map(|chunk| {
                    chunk.is_some_and(|c| {
                        into.extend_from_slice(c.bytes());
                        true
                    })
                })
            }),
            DatagramPort::Sealed(sealed) => sealed.poll_receive(cx, into),
        }
    }

    fn send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Result<(), End> {
        match self {
            DatagramPort::Plain(port) => port.send_datagram(datagram),
            DatagramPort::Sealed(sealed) => sealed.send(cx, datagram),
        }
    }

    fn give_up(self, code: Code, text: &str) {
        match self {
            DatagramPort::Plain(port) => port.abort(code, text),
            DatagramPort::Sealed(sealed) => sealed.tunnel.give_up(code, text),
        }
    }
}

impl Sealed {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
    ) -> Poll<Result<bool, End>> {
        loop {
            if let [high, low, rest @ ..] = self.arrived.as_slice() {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if let Some(datagram) = rest.get(..length) {
                    into.extend_from_slice(datagram);
                    self.arrived.drain(..2 + length);
                    return Poll::Ready(Ok(true));
                }
            }
            match self.tunnel.poll_fill(cx, &mut self.arrived) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(false)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Result<(), End> {
        let Ok(length) = u16::try_from(datagram.len()) else {
            return Ok(());
        };
        let mut framed = Vec::with_capacity(2 + datagram.len());
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(datagram);
        self.waiting_bytes += framed.len();
        self.waiting.push_back(framed);
        while self.waiting_bytes > WAITING_MAX && self.waiting.len() > 1 {
            if let Some(old) = self.waiting.pop_front() {
                self.waiting_bytes -= old.len();
            }
        }
        self.flush(cx)
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while let Some(first) = self.waiting.front() {
            match self.tunnel.poll_room(cx) {
                Poll::Ready(room) if room.clone()? >= first.len() => {}
                Poll::Ready(Err(e)) => return Err(e),
                Poll::Ready(Ok(_)) => {
                    // Room, but not enough for this one: woken when half is free.
                    if self.tunnel.port().poll_full(cx)?.is_pending() {
                        return Ok(());
                    }
                }
                Poll::Pending => return Ok(()),
            }
            if let Some(first) = self.waiting.pop_front() {
                self.waiting_bytes -= first.len();
                self.tunnel.put(cx, &first)?;
            }
        }
        Ok(())
    }
}

/// The local end of a flow.
pub enum LocalFlow {
    /// A socket of its own, connected to the target of a published port.
    Connected(Async<UdpSocket>),
    /// One sender among many behind a forwarded port's socket.
    Sender {
        /// Its datagrams, sorted out by the socket's reader.
        inbox: Receiver<Vec<u8>>,
        /// The socket through which answers go.
        socket: Arc<Async<UdpSocket>>,
        /// Where answers go.
        to: SocketAddr,
    },
}

impl LocalFlow {
    fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<Option<()>> {
        match self {
            LocalFlow::Connected(socket) => loop {
                buffer.resize(DATAGRAM_MAX, 0);
                match socket.get_ref().recv(buffer) {
                    Ok(n) => {
                        buffer.truncate(n);
                        return Poll::Ready(Some(()));
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => match socket.poll_readable(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(_)) => return Poll::Ready(None),
                        Poll::Pending => return Poll::Pending,
                    },
                    // An ICMP refusal of an earlier datagram: UDP goes on.
                    Err(e) if e.kind() == ErrorKind::ConnectionRefused => {}
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(_) => return Poll::Ready(None),
                }
            },
            LocalFlow::Sender { inbox, .. } => match inbox.poll_next(cx) {
                Poll::Ready(Some(datagram)) => {
                    *buffer = datagram;
                    Poll::Ready(Some(()))
                }
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn send(&self, datagram: &[u8]) {
        // What the kernel does not take at once is lost, as UDP may be.
        let _ = match self {
            LocalFlow::Connected(socket) => socket.get_ref().send(datagram),
            LocalFlow::Sender { socket, to, .. } => socket.get_ref().send_to(datagram, to),
        };
    }
}

/// Carries datagrams both ways until the flow is over.
///
/// # Errors
/// How the port ended, unless it was by silence or a finish.
pub async fn carry(
    mut local: LocalFlow,
    mut port: DatagramPort,
    clock: Arc<dyn Clock>,
) -> Result<(), End> {
    let mut timer = Timer::after(SILENCE);
    let mut heard = clock.now();
    let mut buffer = Vec::new();
    let outcome = poll_fn(|cx| {
        for _ in 0..TURN {
            let now = clock.now();
            let mut progress = false;
            match port.poll_receive(cx, now, &mut buffer) {
                Poll::Ready(Ok(true)) => {
                    local.send(&buffer);
                    progress = true;
                }
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(false)),
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => {}
            }
            match local.poll_receive(cx, &mut buffer) {
                Poll::Ready(Some(())) => {
                    if let Err(e) = port.send(cx, &buffer) {
                        return Poll::Ready(Err(e));
                    }
                    progress = true;
                }
                Poll::Ready(None) => return Poll::Ready(Ok(false)),
                Poll::Pending => {}
            }
            if progress {
                heard = now;
                continue;
            }
            if let DatagramPort::Sealed(sealed) = &mut port {
                if let Err(e) = sealed.flush(cx) {
                    return Poll::Ready(Err(e));
                }
            }
            buffer = Vec::new();
            // The timer is set anew only when it fires: one wake-up in two minutes.
            while Pin::new(&mut timer).poll(cx).is_ready() {
                let silent = clock.now().since(heard);
                if silent >= SILENCE {
                    return Poll::Ready(Ok(true));
                }
                timer.set_after(SILENCE - silent);
            }
            return Poll::Pending;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    match outcome {
        Ok(true) => {
            port.give_up(Code::SILENT, "the UDP flow was silent for two minutes");
            Ok(())
        }
        Ok(false) => Ok(()),
        Err(e) if e.code == Code::SILENT => Ok(()),
        Err(e) => Err(e),
    }
}
