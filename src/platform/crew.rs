//! The threads that run a program's tasks, and how they give memory back.
//!
//! **One leads, the others help.** The leading thread runs the executor and waits
//! for sockets and timers, as if it were alone. A stream through a node is two
//! sessions that wake each other for every few records: were they to run on two
//! threads, each of those calls would wake a sleeping thread, and carrying a byte
//! would cost a third more. So the others sleep until the leading one is busy all
//! the time and more than two sessions are; then they take tasks off its queue.
//!
//! **They are replaced.** glibc keeps up to seven freed pieces of each small size
//! with the thread that freed them, and `malloc_trim` does not touch those: after a
//! storm of sessions each of them holds a page, two megabytes in all. What a thread
//! keeps returns when it ends, and only then. So the executor never runs on the
//! program's first thread: that one waits here, and when memory is to be given back
//! it lets each thread end, starts another in its place and trims the heaps. A task
//! does not notice; nothing but thread-local buffers is lost, which is welcome, too.

use super::memory;
use crate::task::{self, Inbox, Work};
use nix::time::{clock_gettime, ClockId};
use smol::channel::{bounded, Receiver, Sender};
use smol::Executor;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// How often the leading thread looks whether it needs help: some hundred tasks.
const WINDOW: Duration = Duration::from_millis(4);
/// Percent of its time in which it works, from which on it calls for help.
const BUSY: u128 = 85;
/// Down to which it goes on to: help itself makes it less busy.
const STILL_BUSY: u128 = 60;
/// Sessions of one stream: helping them makes them dearer and hardly faster.
const ONE_STREAM: u32 = 2;

/// The present window, and how many sessions have carried something in it.
static ROUND: AtomicU32 = AtomicU32::new(1);
static BUSY_SESSIONS: AtomicU32 = AtomicU32::new(0);

/// A session carries something; it keeps `round` for this, 0 at first.
pub fn count_busy(round: &mut u32) {
    let now = ROUND.load(Ordering::Relaxed);
    if *round != now {
        *round = now;
        BUSY_SESSIONS.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is done before the threads are replaced.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// What the first thread is asked to do.
enum Order {
    /// Give memory back, after this.
    GiveBack(Job),
    /// The program has come to its end, or a thread has.
    End,
}

/// The first thread of a running crew, for [`give_back`].
static FOREMAN: Mutex<Option<Arc<Inbox<Order>>>> = Mutex::new(None);

fn foreman() -> MutexGuard<'static, Option<Arc<Inbox<Order>>>> {
    FOREMAN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `executor` on `threads` threads (at least one) until `program`, which
/// becomes one of its tasks, is done. For a whole program, once. `None` when it
/// was not polled to its end.
///
/// # Panics
/// When one of the threads does.
pub fn run<T: Send + 'static>(
    executor: &Arc<Executor<'static>>,
    threads: usize,
    program: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let orders = Arc::new(Inbox::default());
    let (going_on, end) = bounded::<()>(1);
    let over = Over(Some(orders.clone()));
    let told = Arc::new(Mutex::new(None));
    let tell = told.clone();
    let program = task::spawn(executor, async move {
        let _last = (going_on, over);
        let outcome = program.await;
        *tell.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    });
    *foreman() = Some(orders.clone());
    let mut crew = Crew::hire(executor, threads.max(1), &orders);
    loop {
        if !crew.works() {
            // No thread can be had (a limit of processes): this one has to do.
            lead(executor, &end, Need::new(Vec::new()));
            break;
        }
        let Order::GiveBack(job) = orders.wait() else {
            break;
        };
        memory::give_back_with(|| {
            job();
            // The old ones first: their successors take over their heaps.
            crew.leave();
            crew = Crew::hire(executor, threads.max(1), &orders);
        });
    }
    *foreman() = None;
    crew.leave();
    // It is done: nothing is waited for.
    smol::future::block_on(program);
    let outcome = told.lock().unwrap_or_else(PoisonError::into_inner).take();
    outcome
}

/// Has the first thread of a running crew do `job` and give memory back.
///
/// # Errors
/// There is no crew: `job` comes back.
pub(super) fn give_back(job: Job) -> Result<(), Job> {
    match &*foreman() {
        Some(orders) => {
            orders.put(Order::GiveBack(job));
            Ok(())
        }
        None => Err(job),
    }
}

/// Tells the first thread of the program's end, whichever way it comes about.
struct Over(Option<Arc<Inbox<Order>>>);

impl Drop for Over {
    fn drop(&mut self) {
        if let Some(orders) = &self.0 {
            orders.put(Order::End);
        }
    }
}

/// The threads at work.
struct Crew {
    /// Dropped to let the leading one end.
    stay: Option<Sender<()>>,
    /// Set to let the others end, which are woken.
    leave: Arc<AtomicBool>,
    lead: Option<JoinHandle<()>>,
    helpers: Vec<JoinHandle<()>>,
}

impl Crew {
    fn hire(executor: &Arc<Executor<'static>>, threads: usize, orders: &Arc<Inbox<Order>>) -> Crew {
        let (stay, end) = bounded(1);
        let leave = Arc::new(AtomicBool::new(false));
        let mut helpers = Vec::new();
        for _ in 1..threads {
            let (executor, leave) = (executor.clone(), leave.clone());
            helpers.extend(start(orders, Box::new(move || help(&executor, &leave))));
        }
        let called = helpers.iter().map(|h| h.thread().clone()).collect();
        let executor = executor.clone();
        let lead = start(
            orders,
            Box::new(move || lead(&executor, &end, Need::new(called))),
        );
        Crew {
            stay: Some(stay),
            leave,
            lead,
            helpers,
        }
    }

    fn works(&self) -> bool {
        self.lead.is_some()
    }

    fn leave(&mut self) {
        self.stay = None;
        self.leave.store(true, Ordering::Release);
        for helper in &self.helpers {
            helper.thread().unpark();
        }
        for thread in self.lead.take().into_iter().chain(self.helpers.drain(..)) {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
    }
}

/// A thread whose panic ends the program; none if the system has none to give.
fn start(orders: &Arc<Inbox<Order>>, work: Work) -> Option<JoinHandle<()>> {
    let over = Over(Some(orders.clone()));
    let work = Box::new(move || {
        let mut over = over;
        work();
        over.0 = None;
    });
    task::thread("chr-work", None, work)
        .inspect_err(|e| log::warn!("cannot start a thread: {e}"))
        .ok()
}

fn lead(executor: &Executor<'static>, end: &Receiver<()>, mut need: Need) {
    let mut end = pin!(end.recv());
    // Polled at every wake-up of the thread, and between many tasks.
    let looking = std::future::poll_fn(|cx: &mut Context<'_>| -> Poll<()> {
        need.look();
        end.as_mut().poll(cx).map(drop)
    });
    smol::block_on(executor.run(looking));
}

fn help(executor: &Executor<'static>, leave: &AtomicBool) {
    loop {
        thread::park();
        if leave.load(Ordering::Acquire) {
            return;
        }
        while executor.try_tick() {}
    }
}

/// Whether the leading thread needs help.
struct Need {
    helpers: Vec<Thread>,
    calling: bool,
    since: Instant,
    worked: Duration,
}

impl Need {
    fn new(helpers: Vec<Thread>) -> Need {
        // Those of the threads before it were busy in their time.
        BUSY_SESSIONS.store(0, Ordering::Relaxed);
        Need {
            helpers,
            calling: false,
            since: Instant::now(),
            worked: Duration::ZERO,
        }
    }

    /// Wakes the others if there is more to do than one thread can.
    fn look(&mut self) {
        if self.helpers.is_empty() {
            return;
        }
        let passed = self.since.elapsed();
        if passed >= WINDOW {
            let worked = thread_time();
            let share = worked.saturating_sub(self.worked).as_nanos() * 100 / passed.as_nanos();
            let sessions = BUSY_SESSIONS.swap(0, Ordering::Relaxed);
            ROUND.fetch_add(1, Ordering::Relaxed);
            self.calling = is_needed(self.calling, share, sessions);
            (self.since, self.worked) = (self.since + passed, worked);
        }
        if self.calling {
            self.helpers.iter().for_each(Thread::unpark);
        }
    }
}

fn is_needed(calling: bool, percent: u128, sessions: u32) -> bool {
    let least = if calling { STILL_BUSY } else { BUSY };
    percent >= least && sessions > ONE_STREAM
}

/// CPU time of this thread.
fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stream_is_never_torn_apart_and_idle_helpers_are_let_go() {
        assert!(!is_needed(false, 100, ONE_STREAM));
        assert!(!is_needed(false, 70, 8) && is_needed(false, 90, 8));
        assert!(is_needed(true, 70, 8) && !is_needed(true, 50, 8));
    }

    #[test]
    fn a_session_counts_once_however_busy_it_is() {
        let (mut one, mut other) = (0, 0);
        let before = BUSY_SESSIONS.load(Ordering::Relaxed);
        (0..100).for_each(|_| count_busy(&mut one));
        count_busy(&mut other);
        assert_eq!(one, other);
        assert!(BUSY_SESSIONS.load(Ordering::Relaxed) - before >= 2);
    }
}
