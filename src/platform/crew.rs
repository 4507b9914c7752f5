//! The threads that run a program's tasks, and how they give memory back.
//!
//! glibc keeps up to seven freed pieces of each small size with the thread that
//! freed them, and `malloc_trim` does not touch those: after a storm of sessions
//! each of them holds a page, two megabytes in all. What a thread keeps returns
//! when it ends, and only then. So the executor never runs on the program's first
//! thread: that one waits here, and when memory is to be given back it lets each
//! thread end, starts another in its place and trims the heaps. A task does not
//! notice; nothing but thread-local buffers is lost, which is welcome, too.

use super::memory;
use crate::task;
use smol::channel::{bounded, Receiver, Sender};
use smol::Executor;
use std::future::Future;
use std::panic::resume_unwind;
use std::sync::{mpsc, Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

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
static FOREMAN: Mutex<Option<mpsc::Sender<Order>>> = Mutex::new(None);

fn foreman() -> MutexGuard<'static, Option<mpsc::Sender<Order>>> {
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
    let (orders, inbox) = mpsc::channel();
    let (going_on, end) = bounded::<()>(1);
    let over = Over(Some(orders.clone()));
    let (tell, told) = mpsc::channel();
    let program = task::spawn(executor, async move {
        let _last = (going_on, over);
        let _ = tell.send(program.await);
    });
    *foreman() = Some(orders.clone());
    let mut crew: Vec<Hand> = (0..threads.max(1))
        .map(|_| Hand::hire(executor, &orders))
        .collect();
    loop {
        if !crew.iter().any(Hand::works) {
            // No thread can be had (a limit of processes): this one has to do.
            let _ = smol::block_on(executor.run(end.recv()));
            break;
        }
        let Ok(Order::GiveBack(job)) = inbox.recv() else {
            break;
        };
        memory::give_back_with(|| {
            job();
            for hand in &mut crew {
                // The old one first: its successor takes over its heap.
                hand.leave();
                *hand = Hand::hire(executor, &orders);
            }
        });
    }
    *foreman() = None;
    for hand in &mut crew {
        hand.leave();
    }
    // It is done: nothing is waited for.
    smol::block_on(program);
    told.try_recv().ok()
}

/// Has the first thread of a running crew do `job` and give memory back.
///
/// # Errors
/// There is no crew: `job` comes back.
pub(super) fn give_back(job: Job) -> Result<(), Job> {
    match &*foreman() {
        Some(orders) => orders
            .send(Order::GiveBack(job))
            .map_err(|unsent| match unsent.0 {
                Order::GiveBack(job) => job,
                Order::End => Box::new(|| ()),
            }),
        None => Err(job),
    }
}

/// Tells the first thread of the program's end, whichever way it comes about.
struct Over(Option<mpsc::Sender<Order>>);

impl Drop for Over {
    fn drop(&mut self) {
        if let Some(orders) = &self.0 {
            let _ = orders.send(Order::End);
        }
    }
}

/// One thread.
struct Hand {
    /// Dropped to let it end.
    stay: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Hand {
    fn hire(executor: &Arc<Executor<'static>>, orders: &mpsc::Sender<Order>) -> Hand {
        let (stay, leave) = bounded(1);
        let (executor, orders) = (executor.clone(), orders.clone());
        let thread = thread::Builder::new()
            .name("chr-work".into())
            .spawn(move || work(&executor, &leave, orders))
            .inspect_err(|e| log::warn!("cannot start a thread: {e}"))
            .ok();
        Hand {
            stay: Some(stay),
            thread,
        }
    }

    fn works(&self) -> bool {
        self.thread.is_some()
    }

    fn leave(&mut self) {
        self.stay = None;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            resume_unwind(panic);
        }
    }
}

fn work(executor: &Executor<'static>, leave: &Receiver<()>, orders: mpsc::Sender<Order>) {
    // Dropped by a panic, it ends the program.
    let mut over = Over(Some(orders));
    let _ = smol::block_on(executor.run(leave.recv()));
    over.0 = None;
}
