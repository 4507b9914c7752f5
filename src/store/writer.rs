//! The one thread that writes.
//!
//! A synced commit takes milliseconds, so it must never run on the executor; and
//! LMDB has one writer anyway. Rows wait in a bounded queue. The thread takes
//! what is there, at most [`MAX_ROWS`] at a time, commits it as one transaction
//! and then resolves the receipts: the busier the node, the more rows share one
//! sync. With nothing to do it sleeps on a condition variable, without a timer.
//!
//! After a failed commit every receipt of that transaction gets the error, the
//! health shows it, and the next rows are tried like any others.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::env::{CommitError, Environment};
use super::record::{self, Record};
use super::tables::Table;
use super::{Receipt, StoreError};

/// Rows in one transaction. More leave heap behind: LMDB keeps the pages that a
/// transaction made dirty for the next one.
pub const MAX_ROWS: usize = 1_000;

/// Rows that may wait: every device of the largest profile sends its first
/// ticket while one commit is running.
pub const QUEUE_ROWS: usize = 8_192;

/// Bytes (keys and values) that may wait. A ticket row takes 350 to 700.
pub const QUEUE_BYTES: usize = 4 << 20;

/// Changes that are committed in one transaction: all of them or none.
#[derive(Debug, Default)]
pub struct Batch {
    changes: Vec<Change>,
    receipt: Receipt,
}

/// One row written or removed.
#[derive(Debug)]
struct Change {
    table: Table,
    key: Vec<u8>,
    /// None removes the row.
    value: Option<Vec<u8>>,
}

impl Change {
    fn bytes(&self) -> usize {
        let value = self.value.as_ref().map_or(0, Vec::len);
        self.key.len().saturating_add(value)
    }
}

impl Batch {
    /// No changes yet.
    #[must_use]
    pub fn new() -> Batch {
        Batch::default()
    }

    /// No changes yet; its commit resolves `receipt`, which others may wait for
    /// already.
    #[must_use]
    pub fn resolving(receipt: Receipt) -> Batch {
        Batch {
            changes: Vec::new(),
            receipt,
        }
    }

    /// Adds a row, replacing the one of the same key.
    ///
    /// # Errors
    /// [`StoreError::TooBig`] for a row, or for more than [`MAX_ROWS`] of them.
    pub fn put<R: Record>(&mut self, row: &R) -> Result<(), StoreError> {
        let (key, value) = record::encode(row)?;
        self.add(Change {
            table: R::TABLE,
            key,
            value: Some(value),
        })
    }

    /// Removes the row of `key`; one that is missing is no error.
    ///
    /// # Errors
    /// [`StoreError::TooBig`] for the key, or for more than [`MAX_ROWS`] changes.
    pub fn delete<R: Record>(&mut self, key: &[u8]) -> Result<(), StoreError> {
        if key.is_empty() || key.len() > record::MAX_KEY {
            return Err(StoreError::TooBig {
                what: "key",
                size: key.len(),
                limit: record::MAX_KEY,
            });
        }
        self.add(Change {
            table: R::TABLE,
            key: key.to_vec(),
            value: None,
        })
    }

    fn add(&mut self, change: Change) -> Result<(), StoreError> {
        if self.changes.len() >= MAX_ROWS {
            return Err(StoreError::TooBig {
                what: "batch",
                size: self.changes.len().saturating_add(1),
                limit: MAX_ROWS,
            });
        }
        self.changes.push(change);
        Ok(())
    }

    /// A change as it is, past every check: what broken flash would return.
    #[cfg(test)]
    pub(super) fn raw(table: Table, key: &[u8], value: &[u8]) -> Batch {
        Batch {
            changes: vec![Change {
                table,
                key: key.to_vec(),
                value: Some(value.to_vec()),
            }],
            receipt: Receipt::new(),
        }
    }

    /// The receipt that its commit resolves.
    pub fn receipt(&self) -> Receipt {
        self.receipt.clone()
    }

    fn bytes(&self) -> usize {
        self.changes
            .iter()
            .fold(0, |sum, change| sum.saturating_add(change.bytes()))
    }
}

/// What the writer has done since the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Transactions committed.
    pub commits: u64,
    /// Transactions that failed.
    pub failures: u64,
    /// Rows written or removed by the commits.
    pub rows: u64,
    /// Bytes of their keys and values. What reaches the flash is more: about
    /// 20 KB for one row.
    pub bytes: u64,
    /// Why the latest transaction failed; None if it did not.
    pub error: Option<StoreError>,
}

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
}

#[derive(Default)]
struct Queue {
    batches: VecDeque<Batch>,
    rows: usize,
    bytes: usize,
    closed: bool,
    /// The thread is to end; another takes its place.
    relieved: bool,
}

impl Writer {
    pub(super) fn start(env: Arc<Environment>) -> std::io::Result<Writer> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            written: Mutex::default(),
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
            if queue.closed {
                Some(StoreError::Closed)
            } else if rows > QUEUE_ROWS || bytes > QUEUE_BYTES {
                Some(StoreError::Busy { rows: queue.rows })
            } else {
                queue.rows = rows;
                queue.bytes = bytes;
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

    /// Has another thread take over from the one that writes. What the allocator
    /// keeps for a thread (small pieces that rows were, each of which holds a page
    /// of the heap) goes back only when it ends. Blocks while a commit is running.
    pub(super) fn relieve(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        // None: closed.
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
            }
        }
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

    /// Waits for batches and takes what fits into one transaction. None: closed,
    /// and nothing is left.
    fn take(&self) -> Option<Vec<Batch>> {
        let mut queue = self.queue();
        if queue.relieved {
            return None;
        }
        while queue.batches.is_empty() {
            if queue.closed {
                return None;
            }
            queue = self
                .wake
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            if queue.relieved {
                return None;
            }
        }
        let mut taken = Vec::new();
        let mut rows = 0usize;
        while let Some(next) = queue.batches.front().map(|batch| batch.changes.len()) {
            rows = rows.saturating_add(next);
            if rows > MAX_ROWS && !taken.is_empty() {
                break;
            }
            if let Some(batch) = queue.batches.pop_front() {
                queue.rows = queue.rows.saturating_sub(next);
                queue.bytes = queue.bytes.saturating_sub(batch.bytes());
                taken.push(batch);
            }
        }
        if queue.batches.is_empty() {
            // What a burst needed is given back.
            queue.batches.shrink_to(64);
        }
        Some(taken)
    }
}

/// Closes the queue and fails what waits when the thread ends, however it ends:
/// a receipt must not wait for a thread that is gone.
struct Fence<'a>(&'a Shared);

impl Drop for Fence<'_> {
    fn drop(&mut self) {
        let left = {
            let mut queue = self.0.queue();
            queue.closed = true;
            std::mem::take(&mut queue.batches)
        };
        for batch in left {
            batch.receipt.resolve(Err(StoreError::Closed));
        }
    }
}

fn spawn(env: &Arc<Environment>, shared: &Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
    let (env, shared) = (env.clone(), shared.clone());
    std::thread::Builder::new()
        .name("store-writer".into())
        .spawn(move || run(&env, &shared))
}

fn run(env: &Environment, shared: &Shared) {
    let fence = Fence(shared);
    while let Some(batches) = shared.take() {
        // Should LMDB or we panic in between, these are failed like the rest.
        let taken = Taken(batches);
        let result = commit(env, &taken.0);
        {
            let mut written = shared.written();
            match &result {
                Ok(()) => {
                    written.commits = written.commits.saturating_add(1);
                    for batch in &taken.0 {
                        written.rows = written.rows.saturating_add(batch.changes.len() as u64);
                        written.bytes = written.bytes.saturating_add(batch.bytes() as u64);
                    }
                    if written.error.take().is_some() {
                        log::info!("store: rows are written again");
                    }
                }
                Err(error) => {
                    written.failures = written.failures.saturating_add(1);
                    // Once a reason, not once a row: a full disk lasts.
                    if written.error.as_ref() != Some(error) {
                        log::error!("store: rows were not written: {error}");
                    }
                    written.error = Some(error.clone());
                }
            }
        }
        for batch in &taken.0 {
            batch.receipt.resolve(result.clone());
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
            batch.receipt.resolve(Err(StoreError::Closed));
        }
    }
}

fn commit(env: &Environment, batches: &[Batch]) -> Result<(), StoreError> {
    let mut reopened = false;
    loop {
        let attempt = env.write(|tables, txn| {
            for change in batches.iter().flat_map(|batch| &batch.changes) {
                let table = tables.of(change.table);
                match &change.value {
                    Some(value) => table.put(txn, &change.key, value)?,
                    None => {
                        table.delete(txn, &change.key)?;
                    }
                }
            }
            Ok(())
        });
        match attempt {
            Ok(()) => return Ok(()),
            // Ends: each turn doubles the map, up to its limit.
            Err(CommitError::MapFull) => env.grow()?,
            Err(CommitError::Unusable(error)) => {
                if std::mem::replace(&mut reopened, true) {
                    return Err(error);
                }
                env.reopen()?;
            }
            Err(CommitError::Failed(error)) => {
                if let Err(error) = env.recover() {
                    log::error!("store: it cannot be opened again: {error}");
                }
                return Err(error);
            }
        }
    }
}
