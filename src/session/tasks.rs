//! The tasks of all connections: each its own, and none that outlives the edge.

use crate::sorted::Map;
use crate::task;
use smol::future::FutureExt;
use smol::{Executor, Task};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// As many as [`super::Admission`] lets in.
#[derive(Default)]
pub struct Tasks(Mutex<Running>);

#[derive(Default)]
struct Running {
    next: u64,
    /// In order and not a table: it shrinks with what it holds.
    running: Map<u64, Task<()>>,
}

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `session` on `executor`, then `over` with its outcome; `None` when it
    /// panicked: a defect that one session meets is that session's alone (OTP's
    /// restart kind `temporary`).
    pub fn spawn<T>(
        self: &Arc<Self>,
        executor: &Executor<'static>,
        session: impl Future<Output = T> + Send + 'static,
        over: impl FnOnce(Option<T>) + Send + 'static,
    ) where
        T: Send + 'static,
    {
        // Held until the task stands in the tree: it may end on another thread.
        let mut tasks = self.lock();
        let number = tasks.next;
        tasks.next += 1;
        let sessions = Arc::downgrade(self);
        let task = task::spawn(executor, async move {
            let outcome = AssertUnwindSafe(session).catch_unwind().await;
            over(outcome.ok());
            if let Some(sessions) = sessions.upgrade() {
                let own = sessions.lock().running.remove(&number);
                if let Some(task) = own {
                    task.detach();
                }
            }
        });
        tasks.running.insert(number, task);
    }

    /// How many run.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().running.len()
    }

    /// Ends all of them where they stand.
    pub async fn end(&self) {
        let tasks = std::mem::take(&mut self.lock().running);
        for (_, task) in tasks {
            task.cancel().await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_session_that_panics_ends_alone_and_is_told() {
        let executor = Executor::new();
        let sessions = Arc::new(Tasks::default());
        let fine = Arc::new(AtomicUsize::new(0));
        let broken = Arc::new(AtomicUsize::new(0));
        for n in 0..20 {
            let (fine, broken) = (fine.clone(), broken.clone());
            let session = async move {
                smol::future::yield_now().await;
                assert!(n % 4 != 0, "a defect");
            };
            sessions.spawn(&executor, session, move |outcome| {
                let count = if outcome.is_some() { fine } else { broken };
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
        while executor.try_tick() {}
        assert_eq!(fine.load(Ordering::Relaxed), 15);
        assert_eq!(broken.load(Ordering::Relaxed), 5);
        assert_eq!(sessions.count(), 0);
    }

    #[test]
    fn no_session_outlives_the_edge() {
        let executor = Arc::new(Executor::new());
        let sessions = Arc::new(Tasks::default());
        let alive = Arc::new(());
        for _ in 0..20 {
            let held = alive.clone();
            let session = async move {
                std::future::pending::<()>().await;
                drop(held);
            };
            sessions.spawn(&executor, session, |_| {});
        }
        while executor.try_tick() {}
        smol::block_on(executor.run(sessions.end()));
        assert_eq!(sessions.count(), 0);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
