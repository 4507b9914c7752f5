//! The conversation with one client, over any stream.
//!
//! Requests are taken one at a time: what a client sends ahead stays in the
//! kernel, apart from one read. Bytes are read into a buffer on the stack of the
//! poll, so a connection without a request holds no memory for one.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use smol::{channel, future};

use super::answer::Ask;
use super::asker::{Asker, Origin};
use super::dispatch::Dispatch;
use super::events;
use super::head::{Head, Rejected, Stay};
use super::jsonrpc::Outcome;
use super::limits::{Limits, BODY_BUDGET, SMALL_BODY};
use super::reply::{Framing, Refusal};
use super::seal::Seals;
use super::slots::Slot;
use super::stream::Stream;
use super::token::Guard;
use super::view::NodeView;
use super::websocket;
use super::wire::{End, Wire};
use crate::parts::EVENTS;

/// What all connections share.
pub(super) struct House {
    pub dispatch: Arc<Dispatch>,
    pub hosts: Mutex<Arc<Vec<String>>>,
    pub limits: Limits,
    pub bodies: AtomicUsize,
    pub guard: Guard,
    pub view: Arc<dyn NodeView>,
    /// Closed when the door stops.
    pub stopping: channel::Receiver<()>,
    pub seals: Seals,
}

impl House {
    /// Names under which this service may be asked.
    pub fn hosts(&self) -> Arc<Vec<String>> {
        self.hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
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
pub(super) async fn converse(house: &House, slot: &Slot, stream: Box<dyn Stream>, origin: Origin) {
    let mut wire = Wire::new(stream, origin);
    let mut fresh = true;
    let end = loop {
        slot.waiting(Instant::now());
        match one_request(house, slot, &mut wire, fresh).await {
            Ok(After::Next) => fresh = false,
            Ok(After::End) => break Ok(()),
            // On the heap: nearly all connections are without.
            Ok(After::Stay(stay, asker)) => break stays(house, &mut wire, *stay, asker).await,
            Err(end) => break Err(end),
        }
        // A client that sends ahead must not keep the executor to itself.
        future::yield_now().await;
    };
    match end {
        Ok(()) => wire.close(house).await,
        Err(End::Refused(refusal)) => {
            let framing = Framing {
                head_only: false,
                keep_alive: false,
            };
            house.dispatch.calls().answered(refusal.status);
            let bytes = wire.refusal(&refusal, framing, house);
            if wire.send(&bytes, house).await.is_ok() {
                Box::pin(wire.linger()).await;
            }
        }
        Err(End::Gone | End::Late) => {}
    }
}

/// [`remain`], where this build has it.
fn stays<'a>(
    house: &'a House,
    wire: &'a mut Wire,
    stay: Stay,
    asker: Asker,
) -> Pin<Box<dyn Future<Output = Result<(), End>> + Send + 'a>> {
    match EVENTS.built {
        true => Box::pin(remain(house, wire, stay, asker)),
        false => Box::pin(std::future::ready(Err(End::Gone))),
    }
}

/// The other kinds of conversation.
async fn remain(house: &House, wire: &mut Wire, stay: Stay, asker: Asker) -> Result<(), End> {
    match stay {
        Stay::Events(wish) => events::stream::serve(house, wire, wish, asker).await,
        Stay::WebSocket(key) => websocket::serve(house, wire, key, asker).await,
    }
}

/// What comes after a request.
enum After {
    /// The next one.
    Next,
    /// The end.
    End,
    /// Another kind of conversation.
    Stay(Box<Stay>, Asker),
}

impl After {
    fn keeping(keep_alive: bool) -> After {
        match keep_alive {
            true => After::Next,
            false => After::End,
        }
    }
}

/// Takes a request and answers it.
async fn one_request(
    house: &House,
    slot: &Slot,
    wire: &mut Wire,
    fresh: bool,
) -> Result<After, End> {
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
            return Ok(After::Next);
        }
        Err(Rejected { refusal, .. }) => return Err(End::Refused(refusal)),
    };
    house.dispatch.calls().asked(head.question);
    let asker = match house.guard.judge(wire.origin, &head, Instant::now()) {
        Ok(asker) => asker,
        Err(refusal) => {
            let keep_alive = Box::pin(wire.refuse(house, refusal, &head)).await?;
            return Ok(After::keeping(keep_alive));
        }
    };
    if let Some(stay) = head.stay {
        if !slot.stay(asker.sees_all()) {
            return Err(End::Refused(Refusal::unavailable(
                "all places for event streams and WebSockets are taken; ask again",
            )));
        }
        return Ok(After::Stay(stay, asker));
    }
    // On the heap, as most connections wait and do not ask.
    Box::pin(answer(house, slot, wire, head, asker)).await
}

/// Takes the body that belongs to a head and answers.
async fn answer(
    house: &House,
    slot: &Slot,
    wire: &mut Wire,
    head: Head,
    asker: Asker,
) -> Result<After, End> {
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
    Ok(After::keeping(head.keep_alive))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_costs_little_memory() {
        fn size<F: Future>(
            _: impl FnOnce(&'static House, &'static Slot, Box<dyn Stream>, Origin) -> F,
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
