//! One client's connection: what comes in and goes out, each within its time.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use async_io::Timer;
use smol::future;
use smol::io::{AsyncRead, AsyncWriteExt};

use super::asker::Origin;
use super::connection::House;
use super::head::{self, Head, Rejected};
use super::limits::{BODY_STEP, CHUNK, LINGER_BYTES, LINGER_LIMIT};
use super::reply::{Framing, Refusal};
use super::scan::{Scan, Scanner};
use super::stream::Stream;

/// Why a conversation ends without another word.
pub(super) enum End {
    /// The client is gone, or has been quiet for too long.
    Gone,
    /// The time was up.
    Late,
    /// With a last word.
    Refused(Refusal),
}

/// A connection with what was read of it.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    /// Where it comes from.
    pub origin: Origin,
    /// The request is a POST, so its reply is signed.
    pub post: bool,
    /// Read, not yet taken.
    inbox: Vec<u8>,
}

impl Wire {
    /// Nothing has been read yet.
    pub fn new(stream: Box<dyn Stream>, origin: Origin) -> Wire {
        Wire {
            stream,
            origin,
            post: false,
            inbox: Vec::new(),
        }
    }

    /// A refusal as bytes, signed if it answers a POST.
    pub fn refusal(&self, refusal: &Refusal, framing: Framing, house: &House) -> Vec<u8> {
        let (answer, mut lines) = refusal.parts();
        if self.post {
            lines.push_str(&house.seals.lines(&answer.body));
        }
        answer.encode(framing, &lines)
    }

    /// Says no to a request whose body was not read. The connection goes on if there is none.
    pub async fn refuse(
        &mut self,
        house: &House,
        refusal: Refusal,
        head: &Head,
    ) -> Result<bool, End> {
        if head.body > 0 {
            return Err(End::Refused(refusal));
        }
        let framing = Framing {
            head_only: head.head_only,
            keep_alive: head.keep_alive,
        };
        house.dispatch.calls().answered(refusal.status);
        let bytes = self.refusal(&refusal, framing, house);
        self.send(&bytes, house).await?;
        Ok(head.keep_alive)
    }

    /// The next request's head, good or not.
    pub async fn read_head(
        &mut self,
        house: &House,
        fresh: bool,
    ) -> Result<Result<Head, Rejected>, End> {
        let limits = &house.limits;
        self.post = false;
        let mut idle = !fresh && self.inbox.is_empty();
        let patience = if idle { limits.idle } else { limits.head };
        let mut deadline = Instant::now() + patience;
        let mut scanner = Scanner::default();
        loop {
            match scanner.scan(&self.inbox) {
                Scan::Complete { start, end } => {
                    let bytes = self.inbox.get(start..end).unwrap_or_default();
                    self.post = bytes.starts_with(b"POST ");
                    let head = head::parse(bytes, &house.hosts());
                    self.inbox.drain(..end);
                    if self.inbox.is_empty() {
                        self.inbox = Vec::new();
                    }
                    return Ok(head);
                }
                Scan::Refused(refusal) => return Err(End::Refused(refusal)),
                Scan::More => {}
            }
            match within(deadline, fill(&mut self.stream, &mut self.inbox, CHUNK)).await {
                Ok(0) => return Err(End::Gone),
                Ok(_) if idle => {
                    idle = false;
                    deadline = Instant::now() + limits.head;
                }
                Ok(_) => {}
                // Nothing was asked, so nothing is said.
                Err(End::Late) if self.inbox.is_empty() => return Err(End::Gone),
                Err(End::Late) => {
                    return Err(End::Refused(Refusal::new(
                        408,
                        format!("the head took longer than {} s", limits.head.as_secs_f32()),
                    )))
                }
                Err(end) => return Err(end),
            }
        }
    }

    /// The body that follows a head.
    pub async fn read_body(&mut self, head: &Head, house: &House) -> Result<Vec<u8>, End> {
        let deadline = Instant::now() + house.limits.body;
        let here = head.body.min(self.inbox.len());
        let mut body: Vec<u8> = self.inbox.drain(..here).collect();
        if self.inbox.is_empty() {
            self.inbox = Vec::new();
        }
        if head.expects_continue && body.len() < head.body {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n", house).await?;
        }
        while body.len() < head.body {
            let missing = head.body - body.len();
            if body.capacity() == body.len() {
                body.reserve_exact(missing.min(BODY_STEP));
            }
            match within(deadline, fill(&mut self.stream, &mut body, missing)).await {
                Ok(0) => return Err(End::Gone),
                Ok(_) => {}
                Err(End::Late) => {
                    return Err(End::Refused(Refusal::new(
                        408,
                        format!(
                            "{missing} bytes of the body did not come within {} s",
                            house.limits.body.as_secs_f32()
                        ),
                    )))
                }
                Err(end) => return Err(end),
            }
        }
        Ok(body)
    }

    /// Sends all of it, in time.
    pub async fn send(&mut self, bytes: &[u8], house: &House) -> Result<(), End> {
        self.send_within(bytes, house.limits.write).await
    }

    /// The same within a time of its own.
    pub async fn send_within(&mut self, bytes: &[u8], time: Duration) -> Result<(), End> {
        let deadline = Instant::now() + time;
        within(deadline, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await
    }

    /// Ends it in good order.
    pub async fn close(&mut self, house: &House) {
        let _ = within(Instant::now() + house.limits.write, self.stream.close()).await;
    }

    /// What comes next, however long it takes; nothing at the end of the stream. What is
    /// not taken from here before the call is given first.
    pub async fn read_some(&mut self) -> Result<Vec<u8>, End> {
        if self.inbox.is_empty() {
            let read = fill(&mut self.stream, &mut self.inbox, CHUNK).await;
            read.map_err(|_| End::Gone)?;
        }
        Ok(std::mem::take(&mut self.inbox))
    }

    /// Says that we are done and lets the client finish. Closing with unread bytes would send
    /// a reset, which can overtake the refusal.
    pub async fn linger(&mut self) {
        let deadline = Instant::now() + LINGER_LIMIT;
        if within(deadline, self.stream.close()).await.is_err() {
            return;
        }
        let mut seen = 0;
        while seen < LINGER_BYTES {
            self.inbox.clear();
            match within(deadline, fill(&mut self.stream, &mut self.inbox, CHUNK)).await {
                Ok(0) | Err(_) => return,
                Ok(count) => seen += count,
            }
        }
    }
}

/// Appends what one read returns, at most `limit` bytes; 0 at the end of the stream.
async fn fill(stream: &mut Box<dyn Stream>, into: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
    future::poll_fn(|context| {
        let mut chunk = [0; CHUNK];
        let room = chunk.get_mut(..limit.min(CHUNK)).unwrap_or_default();
        let read = Pin::new(&mut *stream).poll_read(context, room);
        read.map_ok(|count| {
            into.extend_from_slice(room.get(..count).unwrap_or_default());
            count
        })
    })
    .await
}

async fn within<T>(deadline: Instant, work: impl Future<Output = io::Result<T>>) -> Result<T, End> {
    future::or(async { work.await.map_err(|_| End::Gone) }, async {
        Timer::at(deadline).await;
        Err(End::Late)
    })
    .await
}
