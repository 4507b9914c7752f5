//! A local TCP connection and a tunnel, joined: what one task of a device does.

use super::tunnel::Tunnel;
use crate::ports::local::End;
use crate::wire::code::Code;
use async_io::Async;
use std::cell::RefCell;
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes read at once from the local connection.
const READ_SIZE: usize = 64 * 1024;
/// Bytes gathered before they are written to the local connection.
const WRITE_SIZE: usize = 64 * 1024;
/// Turns before other connections get theirs.
const TURNS: usize = 4;

thread_local! {
    /// Read buffer of all splices of a thread; nothing in it outlives a turn.
    static SCRATCH: RefCell<(Vec<u8>, Vec<u8>)> = RefCell::default();
}

/// How a joined connection ended, with the bytes carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// From the local connection into the tunnel.
    pub up: u64,
    /// From the tunnel to the local connection.
    pub down: u64,
}

/// Copies both ways until both directions have ended; half-close is carried through.
pub struct Splice {
    socket: Async<TcpStream>,
    tunnel: Option<Tunnel>,
    /// Plaintext that the local connection has not taken.
    waiting: Vec<u8>,
    /// The local connection may have more bytes.
    readable: bool,
    up: Side,
    down: Side,
    carried: Carried,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Open,
    /// Ended at its source; the end must still be passed on.
    Ending,
    Done,
}

impl Splice {
    /// Joins the two. The tunnel stands, the socket is connected.
    #[must_use]
    pub fn new(socket: Async<TcpStream>, tunnel: Tunnel) -> Splice {
        Splice {
            socket,
            tunnel: Some(tunnel),
            waiting: Vec::new(),
            readable: false,
            up: Side::Open,
            down: Side::Open,
            carried: Carried { up: 0, down: 0 },
        }
    }

    /// Local connection to tunnel. True when there may be more right now.
    fn pump_up(&mut self, cx: &mut Context<'_>, scratch: &mut Vec<u8>) -> Result<bool, Failure> {
        let Some(tunnel) = &mut self.tunnel else {
            return Ok(false);
        };
        if self.up == Side::Ending && tunnel.poll_finish(cx).map_err(Failure::Tunnel)?.is_ready() {
            self.up = Side::Done;
        }
        if self.up != Side::Open {
            return Ok(false);
        }
        let room = match tunnel.poll_room(cx) {
            Poll::Ready(r) => r.map_err(Failure::Tunnel)?,
            Poll::Pending => return Ok(false),
        };
        if !self.readable {
            match self.socket.poll_readable(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(())) => self.readable = true,
                Poll::Ready(Err(e)) => return Err(Failure::Local(e)),
            }
        }
        scratch.resize(READ_SIZE, 0);
        let buffer = scratch.get_mut(..room.min(READ_SIZE)).unwrap_or_default();
        match self.socket.get_ref().read(buffer) {
            Ok(0) => {
                self.up = Side::Ending;
                if tunnel.poll_finish(cx).map_err(Failure::Tunnel)?.is_ready() {
                    self.up = Side::Done;
                }
                Ok(false)
            }
            Ok(n) => {
                // Less than asked for: the kernel has no more.
                self.readable = n == buffer.len();
                self.carried.up += n as u64;
                let bytes = buffer.get(..n).unwrap_or_default();
                tunnel.put(cx, bytes).map_err(Failure::Tunnel)?;
                Ok(true)
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(true)
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(true),
            Err(e) => Err(Failure::Local(e)),
        }
    }

    /// Tunnel to local connection. True when there may be more right now.
    fn pump_down(&mut self, cx: &mut Context<'_>, scratch: &mut Vec<u8>) -> Result<bool, Failure> {
        if self.down == Side::Done || !self.write_waiting(cx)? {
            return Ok(false);
        }
        let Some(tunnel) = &mut self.tunnel else {
            return Ok(false);
        };
        scratch.clear();
        let mut more = true;
        while scratch.len() < WRITE_SIZE && self.down == Side::Open {
            match tunnel.poll_fill(cx, scratch) {
                Poll::Pending => {
                    more = false;
                    break;
                }
                Poll::Ready(Ok(0)) => self.down = Side::Ending,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(e)) if scratch.is_empty() => return Err(Failure::Tunnel(e)),
                // What came before the error is delivered; it comes again in the next turn.
                Poll::Ready(Err(_)) => break,
            }
        }
        self.carried.down += scratch.len() as u64;
        let mut sent = 0;
        while let Some(rest) = scratch.get(sent..).filter(|r| !r.is_empty()) {
            match self.socket.get_ref().write(rest) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.waiting.extend_from_slice(rest);
                    break;
                }
                Err(e) => return Err(Failure::Local(e)),
            }
        }
        if self.down == Side::Ending && self.write_waiting(cx)? {
            // Fails when the local side has gone, which its own direction reports.
            let _ = self.socket.get_ref().shutdown(Shutdown::Write);
            self.down = Side::Done;
            return Ok(false);
        }
        Ok(more)
    }

    /// Writes what waits; true when nothing does.
    fn write_waiting(&mut self, cx: &mut Context<'_>) -> Result<bool, Failure> {
        let mut sent = 0;
        while let Some(rest) = self.waiting.get(sent..).filter(|r| !r.is_empty()) {
            match self.socket.get_ref().write(rest) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    match self.socket.poll_writable(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(e)) => return Err(Failure::Local(e)),
                        Poll::Pending => {
                            self.waiting.drain(..sent);
                            return Ok(false);
                        }
                    }
                }
                Err(e) => return Err(Failure::Local(e)),
            }
        }
        self.waiting = Vec::new();
        Ok(true)
    }

    fn turn(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut (Vec<u8>, Vec<u8>),
    ) -> Result<bool, Failure> {
        for _ in 0..TURNS {
            let up = self.pump_up(cx, &mut scratch.0)?;
            let down = self.pump_down(cx, &mut scratch.1)?;
            if !up && !down {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

enum Failure {
    Local(std::io::Error),
    Tunnel(End),
}

impl Future for Splice {
    type Output = Result<Carried, End>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut scratch = SCRATCH.with(RefCell::take);
        let outcome = this.turn(cx, &mut scratch);
        SCRATCH.with(|s| *s.borrow_mut() = scratch);
        match outcome {
            Ok(_) if this.up == Side::Done && this.down == Side::Done => {
                Poll::Ready(Ok(this.carried.clone()))
            }
            Ok(again) => {
                if again {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            Err(Failure::Local(e)) => {
                let text = format!("the local connection broke: {e}");
                if let Some(tunnel) = this.tunnel.take() {
                    tunnel.give_up(Code::ABORTED, &text);
                }
                Poll::Ready(Err(End::new(Code::ABORTED, text)))
            }
            Err(Failure::Tunnel(end)) => {
                reset(&this.socket);
                Poll::Ready(Err(end))
            }
        }
    }
}

/// Makes the local program see a reset instead of a clean end: a stream that was
/// cut, or never came about, must not look complete.
pub(super) fn reset(socket: &Async<TcpStream>) {
    let linger = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let _ = nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::Linger, &linger);
}
