//! Tasks, all of one shape.
//!
//! The executor's machinery is generic over the future that it runs, two to four
//! KB of code for each kind. Every task here is a boxed future, so there is one
//! copy; the price is one pointer to follow at each wake-up.

pub mod blocking;
pub mod channel;

pub use blocking::Blocking;
use smol::{Executor, Task};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

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

/// What runs on a thread: in a box, for the same reason.
pub type Work = Box<dyn FnOnce() + Send>;

/// Runs `work`, which may block, on a thread of the pool and waits for what comes
/// of it. A panic of the work comes out here.
pub async fn unblock<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = Arc::new(Mutex::new(None));
    let result = done.clone();
    let work = move || {
        let outcome = work();
        *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    };
    unblock_boxed(Box::new(work)).await;
    let outcome = done.lock().unwrap_or_else(PoisonError::into_inner).take();
    match outcome {
        Some(outcome) => outcome,
        // Not reached: the work has ended, and not by a panic.
        None => std::future::pending().await,
    }
}

/// [`unblock`] for what has its box already and no result.
pub fn unblock_boxed(work: Work) -> Blocking {
    blocking::submit(work)
}

/// A thread for `work`; `stack` in bytes, if not the usual one.
///
/// # Errors
/// The system has no thread to give.
pub fn thread(name: &str, stack: Option<usize>, work: Work) -> std::io::Result<JoinHandle<()>> {
    let mut builder = std::thread::Builder::new().name(name.to_owned());
    if let Some(stack) = stack {
        builder = builder.stack_size(stack);
    }
    builder.spawn(work)
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
    fn what_was_done_elsewhere_comes_back_and_a_panic_is_not_swallowed() {
        let done = smol::block_on(unblock(|| std::thread::current().id()));
        assert_ne!(done, std::thread::current().id());
        let broken = catch_unwind(|| {
            smol::block_on(unblock(|| {
                assert!(std::hint::black_box(false), "a defect");
            }));
        });
        assert!(broken.is_err());
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
