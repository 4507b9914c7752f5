//! The one thread that writes.
//!
//! A synced commit takes milliseconds, so it must never run on the executor; and
//! LMDB has one writer anyway. Rows wait in a bounded queue. The thread takes
//! what is there, at most [`MAX_ROWS`] at a time, commits it as one transaction
//! and then resolves the receipts: the busier the node, the more rows share one
//! sync. With nothing to do it sleeps on a condition variable; with a timer only
//! while lazy rows wait (`lazy.rs`), which every commit takes along.
//!
//! After a failed commit every receipt of that transaction gets the error, the
//! health shows it, and the next rows are tried like any others; lazy rows wait
//! again. Rows of one key reach the disk in the order in which they came, lazy or
//! not.

use crate::task;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::batch::{Batch, Change, MAX_ROWS};
use super::commit::commit;
use super::env::Environment;
use super::lazy::Lazy;
use super::meter::Meter;
use super::written::Written;
use super::{Receipt, StoreError, Table};

/// Rows that may wait: every device of the largest profile sends its first
/// ticket while one commit is running.
pub const QUEUE_ROWS: usize = 8_192;

/// Bytes (keys and values) that may wait. A ticket row takes 350 to 700.
pub const QUEUE_BYTES: usize = 4 << 20;

/// Key and value of a row that waits.
pub(super) type Waiting = (Vec<u8>, Vec<u8>);

/// The queue and the thread that empties it.
pub(super) struct Writer {
    env: Arc<Environment>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    written: Mutex<Written>,
    /// How long lazy rows wait for a commit that takes them along.
    flush_interval: Duration,
    /// Resolved when the thread ends without having been told to.
    gone: Receipt,
}

#[derive(Default)]
struct Queue {
    batches: VecDeque<Batch>,
    rows: usize,
    bytes: usize,
    lazy: Lazy,
    /// Of the lazy rows that have left the buffer last.
    left_last: Option<Receipt>,
    closed: bool,
    /// The thread has ended by a fault.
    gone: bool,
    /// The thread is to end; another takes its place.
    relieved: bool,
    #[cfg(debug_assertions)]
    broken: bool,
}

impl Queue {
    /// Why no more rows are taken, if so.
    fn refusal(&self) -> Option<StoreError> {
        if self.gone {
            Some(StoreError::Stopped)
        } else if self.closed {
            Some(StoreError::Closed)
        } else {
            None
        }
    }

    /// Queues the lazy rows as if they were durable. False: there is no room.
    fn flush(&mut self, receipt: Receipt) -> bool {
        if self.rows.saturating_add(self.lazy.len()) > QUEUE_ROWS {
            return false;
        }
        let batch = Batch {
            changes: self.lazy.take(MAX_ROWS),
            receipt,
            lazy: true,
        };
        self.left_last = Some(batch.receipt());
        self.rows = self.rows.saturating_add(batch.changes.len());
        self.bytes = self.bytes.saturating_add(batch.bytes());
        self.batches.push_back(batch);
        true
    }
}

impl Writer {
    pub(super) fn start(
        env: Arc<Environment>,
        flush_interval: Duration,
        written: Written,
    ) -> std::io::Result<Writer> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            written: Mutex::new(written),
            flush_interval,
            gone: Receipt::new(),
        });
        let thread = spawn(&env, &shared)?;
        Ok(Writer {
            env,
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues `batch`. Never blocks; a batch that finds no room is refused
    /// through its receipt.
    pub(super) fn submit(&self, batch: Batch) -> Receipt {
        let receipt = batch.receipt();
        let (rows, bytes) = (batch.changes.len(), batch.bytes());
        let refusal = {
            let mut queue = self.shared.queue();
            let rows = queue.rows.saturating_add(rows);
            let bytes = queue.bytes.saturating_add(bytes);
            if let Some(refusal) = queue.refusal() {
                Some(refusal)
            } else if rows > QUEUE_ROWS || bytes > QUEUE_BYTES {
                Some(StoreError::Busy { rows: queue.rows })
            } else {
                queue.rows = rows;
                queue.bytes = bytes;
                for change in &batch.changes {
                    queue.lazy.forget(change);
                }
                queue.batches.push_back(batch);
                None
            }
        };
        match refusal {
            Some(error) => receipt.resolve(Err(error)),
            None => self.shared.wake.notify_one(),
        }
        receipt
    }

    /// Keeps `change` until the next commit. Never blocks.
    pub(super) fn submit_lazy(&self, change: Change) -> Result<(), StoreError> {
        let now = Instant::now();
        let mut wake = true;
        let refusal = {
            let mut queue = self.shared.queue();
            if let Some(refusal) = queue.refusal() {
                return Err(refusal);
            }
            let first = queue.lazy.len() == 0;
            match queue.lazy.add(change, now) {
                Ok(()) => {
                    // It sleeps without a timer until the first row comes.
                    wake = first;
                    None
                }
                Err(change) => {
                    let rows = queue.rows;
                    // What failed once came back and fills the buffer: only one
                    // attempt of it waits at a time.
                    let waits = queue.batches.iter().any(|batch| batch.lazy);
                    if waits || !queue.flush(Receipt::new()) {
                        Some(StoreError::Busy { rows })
                    } else {
                        // It is empty, and a row is never larger than it.
                        let added = queue.lazy.add(change, now);
                        added.err().map(|_| StoreError::Busy { rows })
                    }
                }
            }
        };
        if wake {
            self.shared.wake.notify_one();
        }
        match refusal {
            None => Ok(()),
            Some(error) => {
                let mut written = self.shared.written();
                written.dropped = written.dropped.saturating_add(1);
                Err(error)
            }
        }
    }

    /// Commits the lazy rows now.
    pub(super) fn flush(&self) -> Receipt {
        let receipt = Receipt::new();
        let outcome = {
            let mut queue = self.shared.queue();
            if let Some(refusal) = queue.refusal() {
                Some(Err(refusal))
            } else if queue.lazy.len() == 0 {
                match &queue.left_last {
                    // On their way already.
                    Some(last) if last.outcome().is_none() => return last.clone(),
                    _ => Some(Ok(())),
                }
            } else if queue.flush(receipt.clone()) {
                None
            } else {
                Some(Err(StoreError::Busy { rows: queue.rows }))
            }
        };
        match outcome {
            Some(outcome) => receipt.resolve(outcome),
            None => self.shared.wake.notify_one(),
        }
        receipt
    }

    /// Rows of a table that wait lazily, and the receipt of those that are on
    /// their way.
    pub(super) fn waiting(&self, table: Table) -> (Vec<Waiting>, Option<Receipt>) {
        let queue = self.shared.queue();
        let left = queue.left_last.clone();
        let leaving = left.filter(|receipt| receipt.outcome().is_none());
        (queue.lazy.of(table), leaving)
    }

    /// Resolves to an error when the thread has ended by a fault; never if it
    /// ends because it was told to.
    pub(super) fn gone(&self) -> Receipt {
        self.shared.gone.clone()
    }

    #[cfg(debug_assertions)]
    pub(super) fn break_thread(&self) {
        self.shared.queue().broken = true;
        self.shared.wake.notify_one();
    }

    /// Has another thread take over from the one that writes. What the allocator
    /// keeps for a thread (small pieces that rows were, each of which holds a page
    /// of the heap) goes back only when it ends. Blocks while a commit is running.
    pub(super) fn relieve(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.queue().refusal().is_some() {
            return;
        }
        let Some(old) = thread.take() else { return };
        self.shared.queue().relieved = true;
        self.shared.wake.notify_one();
        let _ = old.join();
        self.shared.queue().relieved = false;
        match spawn(&self.env, &self.shared) {
            Ok(new) => *thread = Some(new),
            Err(error) => {
                log::error!("store: its thread cannot be started again: {error}");
                drop(Fence(&self.shared));
                self.shared.queue().gone = true;
                self.shared.gone.resolve(Err(StoreError::Stopped));
            }
        }
    }

    /// Looks whether the file is where it was opened, and keeps what it saw for
    /// health: without a row to write nobody else would notice.
    pub(super) fn look(&self) -> Option<StoreError> {
        let seen = self.env.at_hand().err();
        self.shared.written().looked(seen.as_ref());
        seen
    }

    pub(super) fn count_waiting(&self) -> usize {
        self.shared.queue().lazy.len()
    }

    pub(super) fn written(&self) -> Written {
        self.shared.written().clone()
    }

    /// Takes no more rows, commits those that wait, and ends the thread.
    pub(super) fn close(&self) {
        self.shared.queue().closed = true;
        self.shared.wake.notify_one();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // It cannot have panicked without `Fence` having resolved everything.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for rows and takes what fits into one transaction. None: closed,
    /// and nothing is left.
    fn take(&self) -> Option<Vec<Batch>> {
        let mut queue = self.queue();
        loop {
            #[cfg(debug_assertions)]
            // For tests of what happens then.
            #[allow(clippy::panic)]
            if queue.broken {
                drop(queue);
                panic!("the writer was told to break");
            }
            if queue.relieved {
                return None;
            }
            if !queue.batches.is_empty() {
                break;
            }
            if queue.closed {
                if queue.lazy.len() == 0 {
                    return None;
                }
                break;
            }
            let due = queue.lazy.due(self.flush_interval);
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            queue = match left {
                Some(Duration::ZERO) => break,
                Some(left) => {
                    let waited = self.wake.wait_timeout(queue, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.wake.wait(queue);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
        let mut taken = Vec::new();
        let mut rows = 0usize;
        while let Some(next) = queue.batches.front().map(|batch| batch.changes.len()) {
            if rows.saturating_add(next) > MAX_ROWS && !taken.is_empty() {
                break;
            }
            rows = rows.saturating_add(next);
            if let Some(batch) = queue.batches.pop_front() {
                queue.rows = queue.rows.saturating_sub(next);
                queue.bytes = queue.bytes.saturating_sub(batch.bytes());
                taken.push(batch);
            }
        }
        if queue.batches.is_empty() {
            // What a burst needed is given back.
            queue.batches.shrink_to(64);
            // Lazy rows are younger than all that was queued, so they must not
            // overtake what is still there.
            let changes = queue.lazy.take(MAX_ROWS.saturating_sub(rows));
            if !changes.is_empty() {
                let batch = Batch {
                    changes,
                    receipt: Receipt::new(),
                    lazy: true,
                };
                queue.left_last = Some(batch.receipt());
                taken.push(batch);
            }
        }
        Some(taken)
    }

    /// Lazy rows whose commit failed wait for the next, unless something newer
    /// is on its way. Their receipts are resolved later: who looks for a row when it
    /// has heard of the failure must find it here.
    fn take_back(&self, taken: &mut [Batch]) {
        let mut queue = self.queue();
        if queue.closed {
            return;
        }
        let now = Instant::now();
        let mut dropped = 0u64;
        for change in taken
            .iter_mut()
            .filter(|batch| batch.lazy)
            .flat_map(|batch| std::mem::take(&mut batch.changes))
        {
            let newer = queue.lazy.holds(&change)
                || queue
                    .batches
                    .iter()
                    .flat_map(|batch| &batch.changes)
                    .any(|other| other.table == change.table && other.key == change.key);
            if !newer && queue.lazy.add(change, now).is_err() {
                dropped = dropped.saturating_add(1);
            }
        }
        queue.lazy.postpone(now);
        drop(queue);
        let mut written = self.written();
        written.dropped = written.dropped.saturating_add(dropped);
    }
}

/// Closes the queue and fails what waits when the thread ends, however it ends:
/// a receipt must not wait for a thread that is gone.
struct Fence<'a>(&'a Shared);

impl Drop for Fence<'_> {
    fn drop(&mut self) {
        let (left, error) = {
            let mut queue = self.0.queue();
            // Told to end, it leaves nothing behind and does not panic.
            queue.gone = std::thread::panicking();
            queue.closed = true;
            let error = queue.refusal().unwrap_or(StoreError::Closed);
            (std::mem::take(&mut queue.batches), error)
        };
        if error == StoreError::Stopped {
            self.0.written().error = Some(error.clone());
            log::error!("store: {error}");
            self.0.gone.resolve(Err(error.clone()));
        }
        for batch in left {
            batch.receipt.resolve(Err(error.clone()));
        }
    }
}

fn spawn(env: &Arc<Environment>, shared: &Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
    let (env, shared) = (env.clone(), shared.clone());
    task::thread("store-writer", None, Box::new(move || run(&env, &shared)))
}

fn run(env: &Environment, shared: &Shared) {
    let fence = Fence(shared);
    let meter = Meter::of_this_thread();
    while let Some(batches) = shared.take() {
        // Should LMDB or we panic in between, these are failed like the rest.
        let mut taken = Taken(batches);
        let before = meter.read();
        shared.written().begin();
        let mut result = match env.at_hand() {
            // What is left at the end is safe if the folder was only moved.
            Err(error) if !shared.queue().closed => Err(error),
            _ => commit(env, &taken.0),
        };
        let failed = result.clone().err();
        if let Some(error) = &failed {
            let durable = taken.0.iter().any(|batch| !batch.lazy);
            let lazy = taken.0.iter().any(|batch| batch.lazy);
            shared.take_back(&mut taken.0);
            if durable && lazy && !error.is_gone() {
                // Rows that may be lost must not keep others from the disk, nor
                // those that make room from making it.
                result = commit(env, &taken.0);
            }
        }
        match &result {
            Ok(()) => {
                let census = env.census();
                let bytes = meter.since(before);
                shared.written().committed(&taken.0, bytes, census);
            }
            Err(error) => shared.written().failed(error, meter.since(before)),
        }
        for batch in &taken.0 {
            batch.receipt.resolve(match &failed {
                Some(error) if batch.lazy => Err(error.clone()),
                _ => result.clone(),
            });
        }
    }
    if shared.queue().relieved {
        std::mem::forget(fence);
    }
}

/// Batches on their way into a transaction.
struct Taken(Vec<Batch>);

impl Drop for Taken {
    fn drop(&mut self) {
        for batch in &self.0 {
            // Does nothing to those that are resolved.
            batch.receipt.resolve(Err(StoreError::Stopped));
        }
    }
}
