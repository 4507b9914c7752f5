//! Tasks, all of one shape.
//!
//! The executor's machinery is generic over the future that it runs, two to four
//! KB of code for each kind. Every task here is a boxed future, so there is one
//! copy; the price is one pointer to follow at each wake-up.

use smol::{Executor, Task};
use std::future::Future;
use std::pin::Pin;

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
    let (tell, told) = smol::channel::bounded(1);
    let task = spawn(executor, async move {
        let _ = tell.try_send(future.await);
    });
    drive(executor, task);
    told.try_recv().ok()
}

fn drive(executor: &Executor<'static>, task: Task<()>) {
    smol::block_on(executor.run(task));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::unwrap_used)]
    use super::*;
    use std::panic::{catch_unwind, AssertUnwindSafe};
    use std::sync::Arc;

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
