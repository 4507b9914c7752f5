//! Threads for work that may block: names that are looked up, files.
//!
//! The executor's own pool (`blocking` 1.7) never lets a thread go: each wakes up
//! twice a second for ever, which keeps a small device from sleeping. Here a
//! thread ends when it has had nothing to do for a moment.

use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Work;

/// Most threads at a time, until [`limit_threads`] says another number. What blocks
/// longest are names that nobody answers, half a minute each; more than a few at
/// once are a node without a network.
static THREADS_MAX: AtomicUsize = AtomicUsize::new(16);

/// How long a thread waits for more, in seconds, until [`keep_threads`] says another
/// number.
static IDLE: AtomicU64 = AtomicU64::new(1);

/// What all threads share.
static POOL: Pool = Pool {
    state: Mutex::new(State {
        queue: VecDeque::new(),
        idle: 0,
        threads: 0,
    }),
    come: Condvar::new(),
};

struct Pool {
    state: Mutex<State>,
    come: Condvar,
}

struct State {
    queue: VecDeque<(Work, Arc<Promise>)>,
    /// Threads that wait.
    idle: usize,
    threads: usize,
}

/// From now on there are at most so many threads at a time, and one at least.
pub fn limit_threads(most: usize) {
    THREADS_MAX.store(most.max(1), Ordering::Relaxed);
}

/// Work under way. Resolves when it is done, by a panic if it had one; dropped,
/// the work goes on.
#[must_use = "await it, or call detach"]
pub struct Blocking(Arc<Promise>);

#[derive(Default)]
struct Promise(Mutex<Fate>);

#[derive(Default)]
struct Fate {
    done: Option<Result<(), Box<dyn Any + Send>>>,
    waker: Option<Waker>,
}

impl Blocking {
    /// Nobody waits for it.
    pub fn detach(self) {}
}

impl Future for Blocking {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut fate = lock(&self.0 .0);
        match fate.done.take() {
            Some(Ok(())) => Poll::Ready(()),
            Some(Err(panic)) => {
                drop(fate);
                resume_unwind(panic)
            }
            None => {
                fate.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Queues `work`. When the system has no thread to give, it waits for one that is
/// there, or for the next attempt.
pub(super) fn submit(work: Work) -> Blocking {
    let promise = Arc::new(Promise::default());
    let mut state = lock(&POOL.state);
    state.queue.push_back((work, promise.clone()));
    if state.queue.len() > state.idle && state.threads < THREADS_MAX.load(Ordering::Relaxed) {
        state.threads += 1;
        drop(state);
        if super::thread("chr-block", None, Box::new(serve)).is_err() {
            lock(&POOL.state).threads -= 1;
        }
    } else {
        POOL.come.notify_one();
    }
    Blocking(promise)
}

/// Threads wait for more work for so long, in seconds. The end of each wakes the
/// device up once more: where that is dear, one had better stay for the next round.
pub fn keep_threads(seconds: u64) {
    IDLE.store(seconds, Ordering::Relaxed);
}

/// A thread's life.
fn serve() {
    let mut state = lock(&POOL.state);
    loop {
        while let Some((work, promise)) = state.queue.pop_front() {
            drop(state);
            let done = catch_unwind(AssertUnwindSafe(work));
            let mut fate = lock(&promise.0);
            fate.done = Some(done);
            let waker = fate.waker.take();
            drop(fate);
            if let Some(waker) = waker {
                waker.wake();
            }
            state = lock(&POOL.state);
        }
        state.idle += 1;
        let (woken, waited) = POOL
            .come
            .wait_timeout(state, Duration::from_secs(IDLE.load(Ordering::Relaxed)))
            .unwrap_or_else(PoisonError::into_inner);
        state = woken;
        state.idle -= 1;
        if waited.timed_out() && state.queue.is_empty() {
            state.threads -= 1;
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::time::Instant;

    #[test]
    fn work_that_waits_for_other_work_does_not_wait_for_ever() {
        let meet = Arc::new(Barrier::new(5));
        let all: Vec<_> = (0..5)
            .map(|_| {
                let meet = meet.clone();
                submit(Box::new(move || {
                    meet.wait();
                }))
            })
            .collect();
        for one in all {
            smol::block_on(one);
        }
    }

    #[test]
    fn threads_go_when_there_is_nothing_to_do() {
        submit(Box::new(|| ())).detach();
        let end = Instant::now() + Duration::from_secs(30);
        while lock(&POOL.state).threads > 0 {
            assert!(Instant::now() < end, "a thread stays");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
