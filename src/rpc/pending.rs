//! The answers to the calls of one POST, of which some may still be to come.

use super::call::Id;
use super::fault::{Asked, RpcFault, Told};
use super::jsonrpc::{failure, success, too_long, Outcome};
use super::limits::MAX_RESULTS;
use super::methods;
use super::redact;
use super::reply::Answer;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The answer to one call.
pub(super) enum Reply {
    /// It is there.
    Done(Vec<u8>),
    /// It is to come.
    Wait(Waiting),
}

/// A call that waits for its result.
pub(super) struct Waiting {
    /// Of the call.
    pub id: Id,
    /// What it waits for.
    pub asked: Asked,
    /// What is not shortened in the result; `None` if nothing is.
    pub names: Option<Vec<String>>,
}

impl Waiting {
    /// The answer, after `before` bytes of others.
    fn answer(&self, result: Result<Told, RpcFault>, before: usize) -> Vec<u8> {
        let stale = result.as_ref().ok().and_then(|told| told.stale_seconds);
        match result.and_then(|told| methods::json(&told.value)) {
            Ok(_) if before > MAX_RESULTS => failure(&self.id, &too_long()),
            Ok(text) => {
                let text = redact::shorten(text, self.names.as_deref());
                marked(success(&self.id, &text), stale)
            }
            Err(fault) => failure(&self.id, &fault),
        }
    }
}

/// The answer, with the age of what is stale in it.
fn marked(mut answer: Vec<u8>, stale: Option<u64>) -> Vec<u8> {
    if let Some(seconds) = stale {
        answer.pop();
        answer.extend_from_slice(format!(",\"stale_seconds\":{seconds}}}").as_bytes());
    }
    answer
}

/// The answers of one POST, in the order of its calls.
pub(super) struct Pending {
    batch: bool,
    replies: Vec<Reply>,
}

impl Pending {
    /// Of a single call, or of a batch.
    pub fn new(batch: bool, replies: Vec<Reply>) -> Pending {
        Pending { batch, replies }
    }

    /// The answer, if nothing is to come.
    pub fn outcome(mut self) -> Outcome {
        if self.waiting() > 0 {
            Outcome::Later(self)
        } else {
            Outcome::Now(self.finish())
        }
    }

    /// How many calls wait.
    pub fn waiting(&self) -> usize {
        let wait = |reply: &&Reply| matches!(reply, Reply::Wait(_));
        self.replies.iter().filter(wait).count()
    }

    /// What is there, and for what is not the words `why`.
    pub fn give_up(&mut self, why: &'static str) -> Answer {
        for reply in &mut self.replies {
            if let Reply::Wait(waiting) = reply {
                *reply = Reply::Done(failure(&waiting.id, &RpcFault::unavailable(why)));
            }
        }
        self.finish()
    }

    fn finish(&mut self) -> Answer {
        let mut out = Vec::new();
        for reply in self.replies.drain(..) {
            if let Reply::Done(text) = reply {
                if self.batch {
                    out.push(if out.is_empty() { b'[' } else { b',' });
                }
                out.extend_from_slice(&text);
            }
        }
        // Only notifications: no empty list may be returned.
        if out.is_empty() {
            return Answer::json(204, out);
        }
        if self.batch {
            out.push(b']');
        }
        Answer::json(200, out)
    }
}

impl Future for Pending {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let mut waits = false;
        let mut results = 0;
        for reply in &mut self.replies {
            if let Reply::Wait(waiting) = reply {
                match waiting.asked.as_mut().poll(context) {
                    Poll::Ready(result) => *reply = Reply::Done(waiting.answer(result, results)),
                    Poll::Pending => waits = true,
                }
            }
            if let Reply::Done(text) = reply {
                results += text.len();
            }
        }
        if waits {
            Poll::Pending
        } else {
            Poll::Ready(self.finish())
        }
    }
}
