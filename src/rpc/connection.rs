//! The conversation with one client, over any stream.
//!
//! Requests are taken one at a time: what a client sends ahead stays in the
//! kernel, apart from one read. Bytes are read into a buffer on the stack of the
//! poll, so a connection without a request holds no memory for one.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_io::Timer;
use smol::future;
use smol::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::answer::Ask;
use super::asker::Origin;
use super::dispatch::Dispatch;
use super::head::{self, Head, Rejected};
use super::jsonrpc::Outcome;
use super::limits::{
    Limits, BODY_BUDGET, BODY_STEP, CHUNK, LINGER_BYTES, LINGER_LIMIT, SMALL_BODY,
};
use super::reply::{Framing, Refusal};
use super::scan::{Scan, Scanner};
use super::seal::Seals;
use super::slots::Slot;
use super::token::Guard;

/// What all connections share.
pub(super) struct House {
    pub dispatch: Arc<Dispatch>,
    pub hosts: Mutex<Arc<Vec<String>>>,
    pub limits: Limits,
    pub bodies: AtomicUsize,
    pub guard: Guard,
    pub seals: Seals,
}

impl House {
    fn hosts(&self) -> Arc<Vec<String>> {
        self.hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Why a conversation ends without another word.
enum End {
    /// The client is gone, or has been quiet for too long.
    Gone,
    /// The time was up.
    Late,
    /// With a last word.
    Refused(Refusal),
}

/// A share of [`BODY_BUDGET`], given back when dropped.
struct Share<'a> {
    used: &'a AtomicUsize,
    bytes: usize,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

/// Serves a client until one of the two has enough.
pub(super) async fn converse<S>(house: &House, slot: &Slot, stream: S, origin: Origin)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut wire = Wire {
        stream,
        origin,
        post: false,
        inbox: Vec::new(),
    };
    let mut fresh = true;
    loop {
        slot.waiting(Instant::now());
        match one_request(house, slot, &mut wire, fresh).await {
            Ok(true) => fresh = false,
            Ok(false) => break,
            Err(End::Refused(refusal)) => {
                let framing = Framing {
                    head_only: false,
                    keep_alive: false,
                };
                house.dispatch.calls().answered(refusal.status);
                let bytes = wire.refusal(&refusal, framing, house);
                if wire.send(&bytes, house).await.is_ok() {
                    wire.linger().await;
                }
                return;
            }
            Err(End::Gone | End::Late) => return,
        }
        // A client that sends ahead must not keep the executor to itself.
        future::yield_now().await;
    }
    let _ = within(Instant::now() + house.limits.write, wire.stream.close()).await;
}

/// Takes a request and answers it; says whether the connection stays.
async fn one_request<S>(
    house: &House,
    slot: &Slot,
    wire: &mut Wire<S>,
    fresh: bool,
) -> Result<bool, End>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let head = match wire.read_head(house, fresh).await? {
        Ok(head) => head,
        Err(Rejected {
            refusal,
            head_only,
            keep_alive: true,
        }) => {
            let framing = Framing {
                head_only,
                keep_alive: true,
            };
            house.dispatch.calls().answered(refusal.status);
            let bytes = wire.refusal(&refusal, framing, house);
            wire.send(&bytes, house).await?;
            return Ok(true);
        }
        Err(Rejected { refusal, .. }) => return Err(End::Refused(refusal)),
    };
    house.dispatch.calls().asked(head.question);
    let asker = match house.guard.judge(wire.origin, &head, Instant::now()) {
        Ok(asker) => asker,
        Err(refusal) => return wire.refuse(house, refusal, &head).await,
    };
    let share = reserve(&house.bodies, head.body)?;
    let body = wire.read_body(&head, house).await?;
    // Whoever waits for a seat can still be ended to make room; whoever has one cannot.
    let asked = Instant::now();
    let seat = house.dispatch.seat().await;
    slot.busy();
    let ask = Ask {
        question: head.question,
        asker,
        number: 0,
        body,
    };
    let answer = match house.dispatch.ask(ask, seat).await {
        Ok(Outcome::Now(answer)) => Ok(answer),
        Ok(Outcome::Later(pending)) => {
            // Nothing of ours is kept but the place, which may be taken for who can be answered.
            slot.waiting(Instant::now());
            Ok(house.dispatch.wait(pending).await)
        }
        Err(refusal) => Err(refusal),
    };
    drop(share);
    slot.waiting(Instant::now());
    let framing = Framing {
        head_only: head.head_only,
        keep_alive: head.keep_alive,
    };
    let (answer, mut lines) = match answer {
        Ok(answer) => (answer, String::new()),
        Err(refusal) => refusal.parts(),
    };
    house.dispatch.calls().took(asked.elapsed());
    house.dispatch.calls().answered(answer.status);
    if wire.post {
        lines.push_str(&house.seals.lines(&answer.body));
    }
    wire.send(&answer.encode(framing, &lines), house).await?;
    Ok(head.keep_alive)
}

/// A share for a body of that length.
fn reserve(used: &AtomicUsize, length: usize) -> Result<Share<'_>, End> {
    let bytes = if length > SMALL_BODY { length } else { 0 };
    let share = Share { used, bytes };
    if used.fetch_add(bytes, Ordering::SeqCst) + bytes > BODY_BUDGET {
        return Err(End::Refused(Refusal::unavailable(format!(
            "too many large requests at once; ask again, or send less than {SMALL_BODY} bytes"
        ))));
    }
    Ok(share)
}

struct Wire<S> {
    stream: S,
    origin: Origin,
    /// The request is a POST, so its reply is signed.
    post: bool,
    /// Read, not yet taken.
    inbox: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// A refusal as bytes, signed if it answers a POST.
    fn refusal(&self, refusal: &Refusal, framing: Framing, house: &House) -> Vec<u8> {
        let (answer, mut lines) = refusal.parts();
        if self.post {
            lines.push_str(&house.seals.lines(&answer.body));
        }
        answer.encode(framing, &lines)
    }

    /// Says no to a request whose body was not read. The connection goes on if there is none.
    async fn refuse(&mut self, house: &House, refusal: Refusal, head: &Head) -> Result<bool, End> {
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

    async fn read_head(
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

    async fn read_body(&mut self, head: &Head, house: &House) -> Result<Vec<u8>, End> {
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

    async fn send(&mut self, bytes: &[u8], house: &House) -> Result<(), End> {
        let deadline = Instant::now() + house.limits.write;
        within(deadline, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await
    }

    /// Says that we are done and lets the client finish. Closing with unread bytes would send
    /// a reset, which can overtake the refusal.
    async fn linger(&mut self) {
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
async fn fill<S: AsyncRead + Unpin>(
    stream: &mut S,
    into: &mut Vec<u8>,
    limit: usize,
) -> io::Result<usize> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn a_connection_costs_little_memory() {
        fn size<F: Future>(
            _: impl FnOnce(&'static House, &'static Slot, async_io::Async<TcpStream>, Origin) -> F,
        ) -> usize {
            size_of::<F>()
        }
        let bytes = size(converse);
        assert!(bytes <= 1_024, "{bytes} bytes a connection");
    }

    #[test]
    fn large_bodies_share_one_budget_and_small_ones_always_pass() {
        let used = AtomicUsize::new(0);
        let shares: Vec<_> = (0..4)
            .map(|_| reserve(&used, BODY_BUDGET / 4).is_ok())
            .collect();
        assert_eq!(shares, [true; 4]);
        let held = reserve(&used, BODY_BUDGET);
        assert!(held.is_ok());
        assert!(reserve(&used, SMALL_BODY + 1).is_err());
        assert!(reserve(&used, SMALL_BODY).is_ok());
        drop(held);
        assert_eq!(used.load(Ordering::SeqCst), 0);
    }
}
