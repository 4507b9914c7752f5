//! Tasks, all of one shape.
//!
//! The executor's machinery is generic over the future that it runs, two to four
//! KB of code for each kind. Every task here is a boxed future, so there is one
//! copy; the price is one pointer to follow at each wake-up.

pub mod channel;

use smol::{Executor, Task};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// What becomes a task.
pub type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs `future` on `executor`. Dropping the task ends it.
pub fn spawn(
    executor: &Executor<'static>,
    future: impl Future<Output = ()> + Send + 'static,
) -> Task<()> {
    spawn_boxed(executor, Box::pin(future))
}

/// [`spawn`] for what has its box already.
pub fn spawn_boxed(executor: &Executor<'static>, future: Boxed) -> Task<()> {
    executor.spawn(future)
}

/// Runs `executor` on this thread until `future`, a task of its own on it, has
/// its result. `None`: it was never polled to its end.
///
/// A task of its own, because what an executor is run for is polled at every
/// wake-up of the thread.
pub fn run<T: Send + 'static>(
    executor: &Executor<'static>,
    future: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let told = Arc::new(Mutex::new(None));
    let tell = told.clone();
    let task = spawn(executor, async move {
        let outcome = future.await;
        *tell.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    });
    drive(executor, task);
    let outcome = told.lock().unwrap_or_else(PoisonError::into_inner).take();
    outcome
}

fn drive(executor: &Executor<'static>, task: Task<()>) {
    smol::block_on(executor.run(task));
}

/// What a thread waits for in others, one after the other. (The standard
/// library's channels are 7 KB of code for each type that goes through them.)
#[derive(Debug)]
pub struct Inbox<T> {
    waiting: Mutex<VecDeque<T>>,
    come: Condvar,
}

impl<T> Default for Inbox<T> {
    fn default() -> Inbox<T> {
        Inbox {
            waiting: Mutex::new(VecDeque::new()),
            come: Condvar::new(),
        }
    }
}

impl<T> Inbox<T> {
    /// Hands `item` to the thread that waits. Nothing bounds how many lie here:
    /// that is up to those who put in.
    pub fn put(&self, item: T) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back(item);
        self.come.notify_one();
    }

    /// Takes the next; blocks the thread until there is one.
    pub fn wait(&self) -> T {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(item) = waiting.pop_front() {
                return item;
            }
            waiting = self
                .come
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::unwrap_used)]
    use super::*;
    use std::panic::{catch_unwind, AssertUnwindSafe};

    #[test]
    fn the_result_of_the_future_comes_back_and_other_tasks_run_meanwhile() {
        let executor = Arc::new(Executor::new());
        let inner = executor.clone();
        let sum = run(&executor, async move {
            let (tell, told) = smol::channel::bounded(1);
            let other = async move { tell.try_send(40).unwrap() };
            spawn(&inner, other).detach();
            told.recv().await.unwrap() + 2
        });
        assert_eq!(sum, Some(42));
    }

    #[test]
    fn a_thread_that_waits_gets_everything_in_its_order() {
        let inbox = Arc::new(Inbox::default());
        let other = inbox.clone();
        let thread = std::thread::spawn(move || [other.wait(), other.wait(), other.wait()]);
        (1..=3).for_each(|n| inbox.put(n));
        assert_eq!(thread.join().unwrap(), [1, 2, 3]);
    }

    #[test]
    fn a_panic_of_the_future_is_not_swallowed() {
        let executor = Executor::new();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            run(&executor, async {
                assert!(std::hint::black_box(false), "a defect");
            })
        }));
        assert!(outcome.is_err());
    }
}
