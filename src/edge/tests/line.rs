//! One session: a half at each end and the bytes between them.

use crate::edge::device::session::DeviceSession;
use crate::edge::server::ServerSession;
use crate::ports::Link;
use crate::session::{Protocol, Stop};
use crate::time::Moment;
use crate::wire::control::encode;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

/// Bytes that a direction takes whose reader does not read: two socket buffers.
const PIPE: usize = 256 * 1024;
/// Bytes that may wait to leave on a slow path: as `platform::socket` sets it.
const UNSENT: u64 = 128 * 1024;

/// What a task is to its waker.
#[derive(Default)]
pub struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Alarm {
    pub fn rang(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// One direction's bytes on their way, with the time of arrival.
#[derive(Default)]
pub struct Pipe {
    chunks: VecDeque<(Moment, Vec<u8>)>,
    len: usize,
    /// Nothing follows what is here.
    pub closed: bool,
    /// The reader does not read.
    pub frozen: bool,
    pub delay: Duration,
    /// Bytes a second; 0: as fast as they come.
    pub rate: u64,
    /// When the last byte has left.
    free: Moment,
    /// All bytes that ever went in.
    pub carried: u64,
}

impl Pipe {
    pub fn put(&mut self, bytes: Vec<u8>, now: Moment) {
        if !bytes.is_empty() && !self.closed {
            self.len += bytes.len();
            self.carried += bytes.len() as u64;
            if self.rate == 0 {
                return self.chunks.push_back((now + self.delay, bytes));
            }
            for part in bytes.chunks(1_400) {
                let nanos = part.len() as u64 * 1_000_000_000 / self.rate;
                self.free = self.free.max(now) + Duration::from_nanos(nanos);
                self.chunks
                    .push_back((self.free + self.delay, part.to_vec()));
            }
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// When its sender may go on.
    fn room_at(&self) -> Option<Moment> {
        if self.frozen {
            (self.len < PIPE).then_some(Moment(0))
        } else {
            let nanos = (UNSENT * 1_000_000_000).checked_div(self.rate);
            let wait = nanos.map_or(0, |nanos| self.free.0.saturating_sub(nanos));
            Some(Moment(wait))
        }
    }

    fn has_room(&self, now: Moment) -> bool {
        self.room_at().is_some_and(|at| at <= now)
    }

    /// When there is something to read: bytes, or the end.
    pub fn due(&self) -> Option<Moment> {
        match self.chunks.front() {
            _ if self.frozen => None,
            Some((at, _)) => Some(*at),
            None => self.closed.then_some(Moment(0)),
        }
    }

    /// What has arrived, or a first part of it as `random` wants it.
    pub fn take(&mut self, now: Moment, random: &mut fastrand::Rng) -> Vec<u8> {
        if self.frozen {
            return Vec::new();
        }
        let Some((at, mut bytes)) = self.chunks.pop_front() else {
            return Vec::new();
        };
        if at > now {
            self.chunks.push_front((at, bytes));
            return Vec::new();
        }
        if random.u8(..4) == 0 {
            let rest = bytes.split_off(random.usize(1..=bytes.len()));
            if !rest.is_empty() {
                self.chunks.push_front((at, rest));
            }
        }
        self.len -= bytes.len();
        bytes
    }
}

/// One end of a session: what the pump is without socket and TLS.
pub struct Half<P> {
    pub session: Option<P>,
    /// How it ended.
    pub stop: Option<Stop>,
    alarm: Arc<Alarm>,
    /// When it wants to be called.
    due: Option<Moment>,
    /// It has more to send than its pipe took.
    blocked: bool,
}

impl<P: Protocol> Half<P> {
    pub fn new(session: P) -> Half<P> {
        let alarm = Alarm::default();
        alarm.0.store(true, Ordering::Relaxed);
        Half {
            session: Some(session),
            stop: None,
            alarm: Arc::new(alarm),
            due: None,
            blocked: false,
        }
    }

    pub fn link(&self) -> Option<Arc<Link>> {
        self.session.as_ref()?.link().cloned()
    }

    /// When something happens here without anybody's doing.
    pub fn next(&self, input: &Pipe, output: &Pipe) -> Option<Moment> {
        self.session.as_ref()?;
        let room = self.blocked.then(|| output.room_at()).flatten();
        [self.due, input.due(), room].into_iter().flatten().min()
    }

    /// Timers stand still while a device sleeps: they fire later by that.
    pub fn oversleep(&mut self, time: Duration) {
        self.due = self.due.map(|due| due + time);
    }

    /// A turn, if anything calls for one. Whether there was one.
    pub fn run(
        &mut self,
        input: &mut Pipe,
        output: &mut Pipe,
        now: Moment,
        random: &mut fastrand::Rng,
    ) -> bool {
        let called = self.alarm.rang()
            || input.due().is_some_and(|at| at <= now)
            || self.due.is_some_and(|at| at <= now)
            || (self.blocked && output.has_room(now));
        if !called || self.session.is_none() {
            return false;
        }
        self.turn(input, output, now, random);
        true
    }

    /// A turn, called for or not.
    pub fn turn(
        &mut self,
        input: &mut Pipe,
        output: &mut Pipe,
        now: Moment,
        random: &mut fastrand::Rng,
    ) {
        let Some(session) = &mut self.session else {
            return;
        };
        let waker = Waker::from(self.alarm.clone());
        let outcome = turn(session, input, output, now, random, &waker);
        match outcome {
            Ok((due, blocked)) => {
                assert!(due.is_none_or(|at| at > now), "a timer in the past spins");
                self.due = due;
                self.blocked = blocked;
            }
            Err(stop) => {
                output.put(last_words(session, &stop, now), now);
                self.end(stop, input, output);
            }
        }
    }

    /// The connection is gone.
    pub fn end(&mut self, stop: Stop, input: &mut Pipe, output: &mut Pipe) {
        output.closed = true;
        *input = Pipe {
            closed: true,
            ..Pipe::default()
        };
        self.stop = Some(stop);
        self.session = None;
    }
}

type Turn = Result<(Option<Moment>, bool), Stop>;

fn turn<P: Protocol>(
    session: &mut P,
    input: &mut Pipe,
    output: &mut Pipe,
    now: Moment,
    random: &mut fastrand::Rng,
    waker: &Waker,
) -> Turn {
    loop {
        let bytes = input.take(now, random);
        if bytes.is_empty() {
            break;
        }
        session.receive(&bytes, now)?;
    }
    if input.closed && input.len() == 0 {
        return Err(Stop::Lost("the other side closed the connection".into()));
    }
    let due = session.tick(&mut Context::from_waker(waker), now)?;
    loop {
        if let Some(close) = session.link().and_then(|l| l.ending()) {
            return Err(Stop::Say(close));
        }
        let Some(link) = session.link().cloned() else {
            return Ok((due, false));
        };
        let mut bytes = Vec::new();
        while output.has_room(now) && bytes.len() < PIPE {
            let before = bytes.len();
            let Some(mut chunk) = link.poll_output(&mut bytes, now) else {
                assert!(bytes.len() - before <= 2 * crate::ports::link::CONTROL_QUEUE_MAX);
                break;
            };
            session.sent(chunk.chunk.len());
            bytes.extend_from_slice(chunk.chunk.frame(chunk.port));
        }
        let none = bytes.is_empty();
        output.put(bytes, now);
        if !output.has_room(now) {
            let _ = link.attend(waker, false);
            return Ok((due, true));
        }
        if none && !link.attend(waker, true) {
            return Ok((due, false));
        }
    }
}

/// As the pump has them.
fn last_words<P: Protocol>(session: &P, stop: &Stop, now: Moment) -> Vec<u8> {
    let mut last = Vec::new();
    match stop {
        Stop::Say(close) => {
            if let Some(link) = session.link() {
                link.set_paused(true);
                link.poll_output(&mut last, now);
            }
            encode(0, close, &mut last);
        }
        Stop::Foreign(bytes, _) => last.extend_from_slice(bytes),
        Stop::Told(_) | Stop::Lost(_) => {}
    }
    last
}

/// A session: a half that is `None` is in the hands of the test.
pub struct Line {
    pub device: Option<Half<DeviceSession>>,
    pub node: Option<Half<ServerSession>>,
    pub up: Pipe,
    pub down: Pipe,
}

impl Line {
    /// Turns of both ends, as far as they are called for.
    pub fn run(&mut self, now: Moment, random: &mut fastrand::Rng) -> bool {
        let (up, down) = (&mut self.up, &mut self.down);
        let mut ran = false;
        let device_first = random.bool();
        for first in [true, false] {
            if first == device_first {
                if let Some(half) = &mut self.device {
                    ran |= half.run(down, up, now, random);
                }
            } else if let Some(half) = &mut self.node {
                ran |= half.run(up, down, now, random);
            }
        }
        ran
    }

    /// A turn of both ends that nobody called for must change nothing.
    pub fn assert_nothing_was_forgotten(&mut self, now: Moment, random: &mut fastrand::Rng) {
        let (up, down) = (&mut self.up, &mut self.down);
        let before = (up.carried, down.carried);
        if let Some(half) = &mut self.device {
            half.turn(down, up, now, random);
        }
        if let Some(half) = &mut self.node {
            half.turn(up, down, now, random);
        }
        assert_eq!(
            before,
            (up.carried, down.carried),
            "a session had something to send and was not woken"
        );
    }

    /// When something happens next without anybody's doing.
    pub fn due(&self) -> Option<Moment> {
        let device = self.device.as_ref();
        let device = device.and_then(|half| half.next(&self.down, &self.up));
        let node = self.node.as_ref();
        let node = node.and_then(|half| half.next(&self.up, &self.down));
        [device, node].into_iter().flatten().min()
    }

    /// The connection breaks without a word, for both.
    pub fn break_off(&mut self) {
        let lost = || Stop::Lost("broken by the test".into());
        if let Some(half) = &mut self.device {
            half.end(lost(), &mut self.down, &mut self.up);
        }
        if let Some(half) = &mut self.node {
            half.end(lost(), &mut self.up, &mut self.down);
        }
    }
}
