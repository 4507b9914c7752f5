//! The shell around a session: one TCP socket, TLS, and a state machine.
//!
//! One future serves both sides, device and node. It owns the socket, so that a
//! session is one task; it keeps no buffer of its own while nothing is pending:
//! reading, framing and encrypting happen in buffers that all sessions of a
//! thread share ([`Scratch`]). Only ciphertext that the kernel did not take, and
//! a TLS record that has not arrived whole, are kept with the session.

use super::stop::broken;
pub use super::stop::Stop;
use crate::identity::Address;
use crate::platform::clock::{on_the_second, sleeps};
use crate::platform::crew::count_busy;
use crate::platform::saver;
use crate::ports::Link;
use crate::time::{Clock, Moment};
use crate::tls::Channel;
use crate::wire::control::encode;
use async_io::{Async, Timer};
use std::cell::RefCell;
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Bytes read from a socket at once: four full TLS records. Smaller reads cost
/// more system calls, larger ones no longer fit in a small CPU's second cache.
const READ_SIZE: usize = 68 * 1024;
/// Ciphertext gathered before it is written.
const WRITE_SIZE: usize = 64 * 1024;
/// Frames up to this size are gathered in one TLS record.
const SMALL_FRAME: usize = 2 * 1024;
/// Gathered small frames are sealed when they reach this size.
const STAGING_SIZE: usize = 14 * 1024;
/// Reads and writes of one session before the others get their turn.
const TURNS: usize = 4;
/// Ciphertext that may wait in one session: a write's rest and the answers of
/// TLS itself. More means that the other side makes TLS answer without reading.
const PENDING_MAX: usize = 4 * WRITE_SIZE;
/// How long the reason for an end may take to leave.
const CLOSING_TIME: Duration = Duration::from_secs(1);
/// Deadlines further away than this are met at the next whole second, so that
/// the timers of many sessions fire together.
const COARSE: Duration = Duration::from_secs(10);

/// A session's state machine, as the pump drives it.
pub trait Protocol: Send + Unpin {
    /// TLS stands; `peer` has proven its key.
    ///
    /// # Errors
    /// The session ends.
    fn secured(&mut self, peer: Address, alpn: Option<&[u8]>, now: Moment) -> Result<(), Stop>;

    /// Plaintext arrived.
    ///
    /// # Errors
    /// The session ends.
    fn receive(&mut self, plain: &[u8], now: Moment) -> Result<(), Stop>;

    /// Port payload is about to leave.
    fn sent(&mut self, bytes: usize);

    /// The turn's output has left. True: another turn is wanted at once.
    fn left(&mut self, _now: Moment) -> bool {
        false
    }

    /// Called in every turn: deadlines, answers of other rooms. Returns when it
    /// wants to be called again even if nothing happens.
    ///
    /// # Errors
    /// The session ends.
    fn tick(&mut self, cx: &mut Context<'_>, now: Moment) -> Result<Option<Moment>, Stop>;

    /// The out-queue, once there is one.
    fn link(&self) -> Option<&Arc<Link>>;
}

/// Buffers that the sessions of one thread share; nothing in them outlives a turn.
#[derive(Default)]
struct Scratch {
    read: Vec<u8>,
    staging: Vec<u8>,
    cipher: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

enum Phase {
    Running,
    /// The reason is on its way; what arrives is thrown away.
    Closing(Stop),
}

/// A session in progress; resolves when it has ended.
pub struct Pump {
    socket: Async<TcpStream>,
    channel: Channel,
    secured: bool,
    /// The kernel may have more bytes for us.
    readable: bool,
    pending: Vec<u8>,
    pending_at: usize,
    timer: Timer,
    armed: Option<Moment>,
    /// What [`sleeps`] said when that was.
    sleeps: u32,
    /// For [`count_busy`].
    round: u32,
    clock: Arc<dyn Clock>,
    phase: Phase,
    /// In a box, so that there is one copy of this code for all of them: it is
    /// called for a record or a turn, not for a byte.
    protocol: Box<dyn Protocol>,
}

impl Pump {
    /// A session over a connected socket. A client's channel must have been
    /// started, its first flight is `greeting` (empty for a server).
    pub fn new(
        socket: Async<TcpStream>,
        channel: Channel,
        greeting: Vec<u8>,
        clock: Arc<dyn Clock>,
        protocol: impl Protocol + 'static,
    ) -> Pump {
        Pump {
            socket,
            channel,
            secured: false,
            readable: false,
            pending: greeting,
            pending_at: 0,
            timer: Timer::never(),
            armed: None,
            sleeps: 0,
            round: 0,
            clock,
            phase: Phase::Running,
            protocol: Box::new(protocol),
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Result<bool, Stop> {
        let now = self.clock.now();
        let mut again = self.read(cx, scratch, now)?;
        self.keep_time(cx, now)?;
        again |= self.write(cx, scratch, now)?;
        again |= self.protocol.left(now);
        Ok(again)
    }

    /// Reads until the socket is empty or the turn is over (true).
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        now: Moment,
    ) -> Result<bool, Stop> {
        if scratch.read.len() < READ_SIZE {
            scratch.read.resize(READ_SIZE, 0);
        }
        for _ in 0..TURNS {
            // Asking costs nothing while the answer is no; a read in vain is a system call.
            if !self.readable {
                match self.socket.poll_readable(cx) {
                    Poll::Pending => return Ok(false),
                    Poll::Ready(Err(e)) => return Err(broken(&e)),
                    Poll::Ready(Ok(())) => self.readable = true,
                }
            }
            match self.socket.get_ref().read(&mut scratch.read) {
                Ok(0) => return Err(self.hung_up("the other side closed the connection")),
                Ok(n) => {
                    count_busy(&mut self.round);
                    // Less than asked for: the kernel has no more.
                    self.readable = n == scratch.read.len();
                    if let Some(input) = scratch.read.get_mut(..n) {
                        self.take_in(input, now)?;
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::ConnectionReset => {
                    return Err(self.hung_up("the connection was reset by the other side"))
                }
                Err(e) => return Err(broken(&e)),
            }
        }
        Ok(true)
    }

    fn hung_up(&self, how: &str) -> Stop {
        Stop::Lost(if self.secured {
            how.to_owned()
        } else {
            format!("{how} before TLS stood: it is no device port of a node, or the node takes no more connections")
        })
    }

    /// Ciphertext to frames.
    fn take_in(&mut self, input: &mut [u8], now: Moment) -> Result<(), Stop> {
        let mut outcome = Ok(());
        let mut early = Vec::new();
        let secured = self.secured;
        let protocol = &mut self.protocol;
        let progress = self
            .channel
            .receive(input, &mut self.pending, &mut |plain| {
                if !secured {
                    // The last flight of the handshake can carry the first frames.
                    early.extend_from_slice(plain);
                } else if outcome.is_ok() {
                    outcome = protocol.receive(plain, now);
                }
            });
        let progress = match progress {
            Ok(p) => p,
            Err(e) => return Err(Stop::Lost(e.to_string())),
        };
        outcome?;
        if !self.secured && !self.channel.is_handshaking() {
            self.secured = true;
            let Some(peer) = self.channel.peer_address() else {
                return Err(Stop::Lost("the other side showed no certificate".into()));
            };
            self.protocol.secured(peer, self.channel.alpn(), now)?;
            if !early.is_empty() {
                self.protocol.receive(&early, now)?;
            }
        }
        if self.pending.len() - self.pending_at > PENDING_MAX {
            return Err(Stop::Lost("TLS answers are not read".into()));
        }
        if progress.closed {
            return Err(Stop::Lost("the other side ended TLS".into()));
        }
        Ok(())
    }

    fn keep_time(&mut self, cx: &mut Context<'_>, now: Moment) -> Result<(), Stop> {
        let mut next = self.protocol.tick(cx, now)?;
        if let Some(close) = self.protocol.link().and_then(|l| l.ending()) {
            return Err(Stop::Say(close));
        }
        loop {
            let Some(due) = next else {
                return Ok(());
            };
            let sleeps = sleeps();
            // A timer that is early costs a wake-up, and one that is set anew a little
            // work now: so it is left alone where power is not short.
            let vain = |armed: Moment| saver::is_on() && due.since(armed) >= COARSE;
            let other = self.armed.is_none_or(|armed| due < armed || vain(armed));
            if other || self.sleeps != sleeps {
                self.sleeps = sleeps;
                let wait = due.since(now);
                self.armed = Some(due);
                if wait < COARSE {
                    self.timer.set_after(wait);
                } else {
                    self.timer.set_at(on_the_second(wait));
                }
            }
            if Pin::new(&mut self.timer).poll(cx).is_pending() {
                return Ok(());
            }
            self.armed = None;
            next = self.protocol.tick(cx, self.clock.now())?;
        }
    }

    /// Sends what is pending and what the link has. True when the turn is over
    /// and there is more.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        now: Moment,
    ) -> Result<bool, Stop> {
        let before = self.unsent();
        let more = self.write_turns(cx, scratch, now);
        let unsent = self.unsent();
        if unsent != before {
            if let Some(link) = self.protocol.link() {
                link.set_unsent(unsent);
            }
        }
        more
    }

    fn unsent(&self) -> usize {
        self.pending.len() - self.pending_at
    }

    fn write_turns(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        now: Moment,
    ) -> Result<bool, Stop> {
        for _ in 0..TURNS {
            if self.flush(cx)?.is_pending() {
                if let Some(link) = self.protocol.link() {
                    let _ = link.attend(cx.waker(), false);
                }
                return Ok(false);
            }
            scratch.cipher.clear();
            self.seal_output(scratch, now)?;
            if scratch.cipher.is_empty() {
                let Some(link) = self.protocol.link() else {
                    return Ok(false);
                };
                return Ok(link.attend(cx.waker(), true));
            }
            let mut sent = 0;
            loop {
                let rest = scratch.cipher.get(sent..).unwrap_or_default();
                if rest.is_empty() {
                    break;
                }
                match self.socket.get_ref().write(rest) {
                    Ok(0) => return Err(Stop::Lost("the connection takes no more bytes".into())),
                    Ok(n) => sent += n,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        self.pending.extend_from_slice(rest);
                        break;
                    }
                    Err(e) => return Err(broken(&e)),
                }
            }
        }
        Ok(true)
    }

    /// Encrypts the link's output up to one write's worth.
    fn seal_output(&mut self, scratch: &mut Scratch, now: Moment) -> Result<(), Stop> {
        if !self.secured {
            return Ok(());
        }
        let Some(link) = self.protocol.link().cloned() else {
            return Ok(());
        };
        let Scratch {
            staging, cipher, ..
        } = scratch;
        staging.clear();
        let most = link.waiting_room(WRITE_SIZE);
        while cipher.len() < most {
            let output = link.poll_output(staging, now);
            let done = output.is_none();
            let mut large = None;
            if let Some(mut output) = output {
                self.protocol.sent(output.chunk.len());
                if output.chunk.len() <= SMALL_FRAME {
                    staging.extend_from_slice(output.chunk.frame(output.port));
                } else {
                    large = Some(output);
                }
            }
            if !staging.is_empty() && (done || large.is_some() || staging.len() >= STAGING_SIZE) {
                self.seal(staging, cipher)?;
                staging.clear();
            }
            if let Some(mut output) = large {
                self.seal(output.chunk.frame(output.port), cipher)?;
            }
            if done {
                return Ok(());
            }
        }
        if !staging.is_empty() {
            self.seal(staging, cipher)?;
        }
        Ok(())
    }

    fn seal(&mut self, plain: &[u8], cipher: &mut Vec<u8>) -> Result<(), Stop> {
        self.channel
            .send(plain, cipher)
            .map_err(|e| Stop::Lost(e.to_string()))
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Stop> {
        loop {
            let rest = self.pending.get(self.pending_at..).unwrap_or_default();
            if rest.is_empty() {
                if self.pending.capacity() > 0 {
                    self.pending = Vec::new();
                }
                self.pending_at = 0;
                return Ok(Poll::Ready(()));
            }
            match self.socket.get_ref().write(rest) {
                Ok(0) => return Err(Stop::Lost("the connection takes no more bytes".into())),
                Ok(n) => self.pending_at += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    match self.socket.poll_writable(cx) {
                        Poll::Pending => return Ok(Poll::Pending),
                        Poll::Ready(Err(e)) => return Err(broken(&e)),
                        Poll::Ready(Ok(())) => {}
                    }
                }
                Err(e) => return Err(broken(&e)),
            }
        }
    }

    /// Sends the last words and waits until the other side has hung up: closing
    /// with unread bytes would make the kernel reset the connection, and the
    /// reason would be lost with it.
    fn finish_closing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Before TLS stands there is nothing that the other side could read.
        let lost =
            !self.secured || matches!(self.phase, Phase::Closing(Stop::Lost(_) | Stop::Told(_)));
        match self.flush(cx) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(())) if !lost => {}
            _ => return Poll::Ready(()),
        }
        let _ = self.socket.get_ref().shutdown(Shutdown::Write);
        let mut sink = [0; 4096];
        for _ in 0..TURNS {
            match self.socket.get_ref().read(&mut sink) {
                Ok(0) => return Poll::Ready(()),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    match self.socket.poll_readable(cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(_)) => return Poll::Ready(()),
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Prepares the last words.
    fn begin_closing(&mut self, stop: Stop) {
        let now = self.clock.now();
        let mut last = Vec::new();
        match &stop {
            Stop::Say(close) => {
                if let Some(link) = self.protocol.link() {
                    // Answers that were queued come first: they tell why.
                    link.set_paused(true);
                    link.poll_output(&mut last, now);
                }
                encode(0, close, &mut last);
            }
            Stop::Foreign(bytes, _) => last.extend_from_slice(bytes),
            Stop::Told(_) | Stop::Lost(_) => {}
        }
        if self.secured {
            let mut sealed = Vec::new();
            if self.channel.send(&last, &mut sealed).is_ok() {
                self.pending.append(&mut sealed);
            }
            self.channel.close(&mut self.pending);
        }
        self.timer.set_after(CLOSING_TIME);
        self.phase = Phase::Closing(stop);
    }
}

impl Future for Pump {
    type Output = Stop;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Stop> {
        let this = &mut *self;
        if matches!(this.phase, Phase::Running) {
            // Taken out, not borrowed: a panic in a turn must not poison the thread's buffers.
            let mut scratch = SCRATCH.with(RefCell::take);
            let outcome = this.turn(cx, &mut scratch);
            SCRATCH.with(|s| *s.borrow_mut() = scratch);
            match outcome {
                Ok(again) => {
                    if again {
                        cx.waker().wake_by_ref();
                    }
                    return Poll::Pending;
                }
                Err(stop) => this.begin_closing(stop),
            }
        }
        let late = Pin::new(&mut this.timer).poll(cx).is_ready();
        let left = !late && this.finish_closing(cx).is_pending();
        let Phase::Closing(stop) = &this.phase else {
            return Poll::Pending;
        };
        if left {
            Poll::Pending
        } else {
            Poll::Ready(stop.clone())
        }
    }
}
