//! How much this node asks its chain for others: no more at once than
//! [`CALLS_MAX`], no more a second than [`CALLS_A_SECOND`]. Who comes to a
//! public RPC port must not use up the operator's share with the chain's provider
//! (free ones allow 10 to 50 a second). What the cache answers does not count, and
//! the follower does not pass here: nobody can keep it from the head.

use crate::session::Bucket;
use crate::time::Moment;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Questions at once. Each may hold an answer of a megabyte.
pub const CALLS_MAX: usize = 4;
/// Questions a second, and as many in one burst.
pub const CALLS_A_SECOND: u32 = 20;

/// How long one who finds all places taken is told to wait: most answers take less.
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// See the module's text.
#[derive(Clone)]
pub(super) struct Gate(Arc<Mutex<Inner>>);

struct Inner {
    bucket: Bucket,
    inside: usize,
    refused: u64,
}

/// A question that was let in; its place is free again when it is dropped.
pub(super) struct Pass(Gate);

impl Gate {
    pub fn new(now: Moment) -> Gate {
        Gate(Arc::new(Mutex::new(Inner {
            bucket: Bucket::full(CALLS_A_SECOND, now),
            inside: 0,
            refused: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a question in, or says when to come again.
    pub fn enter(&self, now: Moment) -> Result<Pass, Duration> {
        let mut inner = self.lock();
        if inner.inside >= CALLS_MAX {
            inner.refused = inner.refused.saturating_add(1);
            return Err(PLACE_WAIT);
        }
        if !inner.bucket.take(CALLS_A_SECOND, now) {
            inner.refused = inner.refused.saturating_add(1);
            return Err(Duration::from_secs(1) / CALLS_A_SECOND);
        }
        inner.inside += 1;
        Ok(Pass(self.clone()))
    }

    /// How many were turned away.
    pub fn refused(&self) -> u64 {
        self.lock().refused
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.inside = inner.inside.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn strangers_get_so_many_questions_at_once_and_a_second_and_no_more() {
        let mut now = Moment(1_000_000_000);
        let gate = Gate::new(now);
        let inside: Vec<Pass> = (0..CALLS_MAX)
            .map(|_| gate.enter(now).ok().unwrap())
            .collect();
        assert_eq!(gate.enter(now).err(), Some(PLACE_WAIT));
        drop(inside);
        let mut through = 0;
        for _ in 0..100 {
            through += u32::from(gate.enter(now).is_ok());
            now = now + Duration::from_millis(50);
        }
        // Five seconds, and what was left of the burst; with pauses in between all.
        assert_eq!(through, 100);
        let now = now + Duration::from_secs(9);
        let through = (0..100).filter(|_| gate.enter(now).is_ok()).count();
        assert_eq!((through, gate.refused()), (20, 81));
    }
}
