//! A port that ends in this program: what a device reads and writes.

use super::link::{Ending, Far, Link, Port, Stage, Violation};
use super::queue::{Chunk, Queue};
use crate::identity::Address;
use crate::time::Moment;
use crate::wire::code::Code;
use crate::wire::control::{is_datagram_port, Open};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Bytes that a program may write ahead of the session: a few batches of
/// records, so that the session's task never runs dry while the program is scheduled.
pub const WRITE_AHEAD: usize = 256 * 1024;

/// How a port ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// As a number.
    pub code: Code,
    /// In words.
    pub text: String,
}

impl End {
    /// An end with its reason.
    #[must_use]
    pub fn new(code: Code, text: impl Into<String>) -> End {
        End {
            code,
            text: text.into(),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for End {}

/// The program's side of a port, kept in the link.
#[derive(Debug, Default)]
pub(super) struct LocalEnd {
    inbox: Queue,
    finished: bool,
    end: Option<End>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl LocalEnd {
    /// Takes arrived bytes; returns those of datagrams that had to go.
    pub fn push(&mut self, bytes: &[u8], datagrams: bool, waker: &mut Option<Waker>) -> usize {
        if self.end.is_some() {
            return bytes.len();
        }
        *waker = self.reader.take();
        if datagrams {
            self.inbox.push_datagram(bytes)
        } else {
            self.inbox.push_stream(bytes);
            0
        }
    }

    /// The other side finished.
    pub fn finish(&mut self) {
        self.finished = true;
        self.wake_all();
    }

    /// The port is over; what was received can still be read.
    pub fn end(&mut self, end: End) {
        self.end.get_or_insert(end);
        self.wake_all();
    }

    pub fn wake_all(&mut self) {
        // Wakers only push to the executor's queue; calling them under the link's lock is safe.
        for w in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            w.wake();
        }
    }

    /// The writer to wake, once half of its room is free again.
    pub fn take_writer(&mut self, waiting: usize) -> Option<Waker> {
        if waiting <= WRITE_AHEAD / 2 {
            self.writer.take()
        } else {
            None
        }
    }
}

impl Port {
    /// The program's side, if it may still write.
    fn writable(&mut self) -> Result<&mut LocalEnd, End> {
        let Far::Local(local) = &mut self.far else {
            return Err(gone());
        };
        if let Some(end) = &local.end {
            return Err(end.clone());
        }
        if self.ending != Ending::No {
            // The other side would take it for a broken rule and end the session.
            return Err(End::new(Code::ABORTED, "written after finish"));
        }
        Ok(local)
    }
}

/// A port in the hands of this program. Dropping it gives the port up unless
/// both directions have ended.
#[derive(Debug)]
pub struct LocalPort {
    link: Arc<Link>,
    number: u32,
    peer: Address,
    name: String,
}

impl LocalPort {
    /// Asks the other side to open port `name` of device `peer`.
    ///
    /// # Errors
    /// This side's own limits are met or the session is ending.
    pub fn open(
        link: &Arc<Link>,
        peer: Address,
        name: &str,
        now: Moment,
    ) -> Result<LocalPort, End> {
        let far = Far::Local(Box::default());
        let number = link
            .ask_remote(name, far, now)
            .map_err(|(code, text)| End { code, text })?;
        link.send_open(number, peer, name);
        Ok(LocalPort {
            link: link.clone(),
            number,
            peer,
            name: name.to_owned(),
        })
    }

    /// A port that the other side asks for with request `id`: answer it by
    /// [`LocalPort::accept`] or [`LocalPort::refuse`].
    ///
    /// # Errors
    /// `Err`: the number was not the other side's to choose, the session ends.
    /// `Ok(Err)`: a limit of this side, the code to refuse with.
    pub fn offered(
        link: &Arc<Link>,
        id: u32,
        open: &Open,
        now: Moment,
    ) -> Result<Result<LocalPort, Code>, Violation> {
        if let Some(code) = link.claim_remote_number(open.port)? {
            return Ok(Err(code));
        }
        link.asked_by_remote(id, open, Far::Local(Box::default()), now);
        Ok(Ok(LocalPort {
            link: link.clone(),
            number: open.port,
            peer: open.peer,
            name: open.name.clone(),
        }))
    }

    /// The device at the other end, as the node says.
    #[must_use]
    pub fn peer(&self) -> Address {
        self.peer
    }

    /// The port's name, `tls:N` and so on.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether every write is one datagram.
    #[must_use]
    pub fn is_datagram(&self) -> bool {
        is_datagram_port(&self.name)
    }

    /// Takes an offered port: data may flow.
    pub fn accept(&self) {
        self.link.accept(self.number);
    }

    /// Refuses an offered port.
    pub fn refuse(self, code: Code, text: &str) {
        self.link.refuse(self.number, code, text);
    }

    /// Waits for the answer to [`LocalPort::open`].
    pub fn poll_opened(&self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let mut st = self.link.lock();
        let Some(port) = st.ports.get_mut(&self.number) else {
            return Poll::Ready(Err(gone()));
        };
        let stage = port.stage;
        let Far::Local(local) = &mut port.far else {
            return Poll::Ready(Err(gone()));
        };
        if let Some(end) = &local.end {
            return Poll::Ready(Err(end.clone()));
        }
        if stage == Stage::Open {
            return Poll::Ready(Ok(()));
        }
        local.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The next bytes (or datagram) that arrived; `None` when the other side
    /// has finished.
    pub fn poll_read(&self, cx: &mut Context<'_>, now: Moment) -> Poll<Result<Option<Chunk>, End>> {
        let budget = self.link.budget().clone();
        let mut st = self.link.lock();
        let Some(port) = st.ports.get_mut(&self.number) else {
            return Poll::Ready(Err(gone()));
        };
        let Far::Local(local) = &mut port.far else {
            return Poll::Ready(Err(gone()));
        };
        let Some(chunk) = local.inbox.pop_whole(usize::MAX) else {
            if local.finished {
                return Poll::Ready(Ok(None));
            }
            if let Some(end) = &local.end {
                return Poll::Ready(Err(end.clone()));
            }
            local.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        st.drain(self.number, chunk.len(), now, &budget);
        let waker = st.list(self.number);
        drop(st);
        if let Some(w) = waker {
            w.wake();
        }
        Poll::Ready(Ok(Some(chunk)))
    }

    /// Queues stream bytes, as many as there is room for.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, End>> {
        let mut st = self.link.lock();
        let Some(port) = st.ports.get_mut(&self.number) else {
            return Poll::Ready(Err(gone()));
        };
        let room = WRITE_AHEAD.saturating_sub(port.out.bytes());
        let local = port.writable()?;
        if room == 0 {
            local.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let part = bytes.get(..room).unwrap_or(bytes);
        port.out.push_stream(part);
        let waker = st.list(self.number);
        drop(st);
        if let Some(w) = waker {
            w.wake();
        }
        Poll::Ready(Ok(part.len()))
    }

    /// Ready when there is room to write; otherwise wakes `cx` when half of the room is free.
    pub fn poll_full(&self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let mut st = self.link.lock();
        let Some(port) = st.ports.get_mut(&self.number) else {
            return Poll::Ready(Err(gone()));
        };
        let full = port.out.bytes() > WRITE_AHEAD / 2;
        let local = port.writable()?;
        if !full {
            return Poll::Ready(Ok(()));
        }
        local.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Queues all of `bytes`, for callers that asked for room first.
    ///
    /// # Errors
    /// The port has ended, or was finished.
    pub fn write_all_now(&self, bytes: &[u8]) -> Result<(), End> {
        let mut st = self.link.lock();
        let Some(port) = st.ports.get_mut(&self.number) else {
            return Err(gone());
        };
        port.writable()?;
        port.out.push_stream(bytes);
        let waker = st.list(self.number);
        drop(st);
        if let Some(w) = waker {
            w.wake();
        }
        Ok(())
    }

    /// Queues one datagram; the oldest that waits is dropped when there is no room.
    ///
    /// # Errors
    /// The port has ended, or was finished.
    pub fn send_datagram(&self, bytes: &[u8]) -> Result<(), End> {
        let mut st = self.link.lock();
        let Some(port) = st.ports.get_mut(&self.number) else {
            return Err(gone());
        };
        port.writable()?;
        if port.out.bytes() + bytes.len() > WRITE_AHEAD {
            return Ok(()); // No credit comes: UDP loses what does not fit.
        }
        port.out.push_datagram(bytes);
        let waker = st.list(self.number);
        drop(st);
        if let Some(w) = waker {
            w.wake();
        }
        Ok(())
    }

    /// Ends this side's direction after what was written.
    pub fn finish(&self) {
        self.link.finish_out(self.number);
    }

    /// Gives the port up in both directions, with the reason.
    pub fn abort(self, code: Code, text: &str) {
        self.link.cut(self.number, code, text);
    }

    /// Bytes that were written and have not left.
    #[must_use]
    pub fn unsent(&self) -> usize {
        let st = self.link.lock();
        st.ports.get(&self.number).map_or(0, |p| p.out.bytes())
    }
}

impl Drop for LocalPort {
    fn drop(&mut self) {
        {
            let budget = self.link.budget().clone();
            let mut st = self.link.lock();
            let Some(port) = st.ports.get_mut(&self.number) else {
                return;
            };
            let ended = matches!(&port.far, Far::Local(l) if l.end.is_some());
            if ended || (port.received_finish && port.ending == Ending::Sent) {
                st.remove(self.number, &budget);
                return;
            }
            if port.received_finish && port.ending == Ending::Due {
                // Everything is written and finished: the session sends the rest.
                port.let_go = true;
                return;
            }
        }
        self.link.cut(
            self.number,
            Code::ABORTED,
            "the program at the other end closed the connection",
        );
    }
}

fn gone() -> End {
    End::new(Code::PEER_LOST, "the session with the node ended")
}
