//! # What must survive a power cut
//!
//! One LMDB environment in one folder. A row goes in by [`Store::put`], which
//! queues it for the one writer thread and returns a [`Receipt`]; the receipt
//! resolves after the commit that carried the row has been synced to the disk.
//! Rows are read on the caller's thread: it takes a microsecond.
//!
//! Rows that may be lost go in by [`Store::put_lazy`]: they wait in memory for a
//! commit that happens anyway, an hour at most.
//!
//! Every commit is synced. LMDB's flags that trade that for speed are not used:
//! with them a power cut can ruin the whole file, without them it can only lose
//! rows whose receipt was never resolved.
//!
//! | file | what it owns |
//! | --- | --- |
//! | `folder.rs` | the folder: made, locked, checked |
//! | `env.rs` | the environment: opened, grown, opened again (the only unsafe code) |
//! | `pages/` | the file read without LMDB: is it sound, and what can be saved |
//! | `tables.rs` | the tables' names and handles |
//! | `record.rs` | a row's bytes: version, postcard, checksum |
//! | `bad.rs` | which rows were found damaged |
//! | `meta.rs` | schema version, floor of the clock |
//! | `migrate.rs` | stores of older versions |
//! | `batch.rs` | changes that are committed together |
//! | `lazy.rs` | rows that wait for a commit that happens anyway |
//! | `commit.rs` | one transaction, whatever it takes |
//! | `writer.rs` | the queue and the writer thread |
//! | `meter.rs` | bytes that a thread writes, as the kernel counts them |
//! | `written.rs` | what the writer has done |
//! | `receipt.rs` | the promise of a durable row |
//! | `recover.rs` | a file that cannot be used: set aside, its rows carried over |
//! | `check.rs` | what is in a file, counted without opening it for writing |
//! | `glance.rs` | what can be told of a file at a glance, also while it is in use |
//! | `compact.rs` | a file without its free pages |
//! | `transfer.rs` | rows out of a file and into one, for backups |
//! | `error.rs` | what can go wrong, and the remedy |
//!
//! LMDB trusts its pages and has no checksums. A bit that flips inside of a row
//! is found by the row's checksum and costs that row. One that flips inside of
//! LMDB's own tree could crash it, so the whole file is walked before it is
//! mapped. What this cannot do: find one that flips there while the store is
//! open.

mod bad;
mod batch;
pub mod check;
mod commit;
pub mod compact;
mod env;
mod error;
mod folder;
pub mod glance;
mod lazy;
mod meta;
mod meter;
mod migrate;
pub mod pages;
mod receipt;
mod record;
mod recover;
mod tables;
pub mod transfer;
mod writer;
mod written;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use bad::BadRows;
use batch::Change;
use env::Environment;
use folder::Folder;
use meter::Meter;
use record::RowFault;
use writer::Writer;

pub use batch::{Batch, MAX_ROWS};
pub use env::StoreOptions;
pub use error::StoreError;
pub use lazy::{LAZY_BYTES, LAZY_ROWS};
pub use meta::{ClockFloor, SCHEMA_VERSION};
pub use receipt::Receipt;
pub use record::{Record, MAX_KEY, MAX_VALUE};
pub use recover::{Recovery, ASIDE_MAX};
pub use tables::Table;
pub use writer::{QUEUE_BYTES, QUEUE_ROWS};
pub use written::Written;

/// A handle of the open store; clones share it. The last one that is dropped
/// commits what waits and closes it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    env: Arc<Environment>,
    writer: Writer,
    bad_rows: BadRows,
}

/// How the store is doing, for health and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreHealth {
    /// What was written, and why the latest commit failed if it did.
    pub written: Written,
    /// Rows that were found damaged when they were read, and skipped; one that
    /// was written anew since counts no more once it is read again.
    pub bad_rows: u32,
    /// Bytes of address space mapped.
    pub map_size: usize,
    /// Lazy rows that wait for a commit.
    pub waiting: usize,
}

impl Store {
    /// Opens the store in the folder `dir`, making both if they are missing. An
    /// existing one is opened without writing to it.
    ///
    /// # Errors
    /// Every [`StoreError`] but `TooBig`, `Busy` and `Closed`; each names the
    /// folder and the remedy. A store of a newer version is not touched.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Store, StoreError> {
        let folder = Arc::new(Folder::claim(dir)?);
        let meter = Meter::of_this_thread();
        let before = meter.read();
        let env = Environment::open(&folder, options)?;
        Store::start(env, options, meter.since(before))
    }

    /// `opening` is what opening it has cost.
    fn start(
        env: Environment,
        options: StoreOptions,
        opening: Option<u64>,
    ) -> Result<Store, StoreError> {
        let env = Arc::new(env);
        let mut written = Written::default();
        written.opened(opening, env.census());
        let writer = Writer::start(env.clone(), options.flush_interval, written)
            .map_err(|error| StoreError::from_io(env.path(), &error))?;
        Ok(Store(Arc::new(Inner {
            env,
            writer,
            bad_rows: BadRows::default(),
        })))
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.env.path()
    }

    /// Queues `row`, replacing the one of the same key. Never blocks.
    pub fn put<R: Record>(&self, row: &R) -> Receipt {
        let mut batch = Batch::new();
        match batch.put(row) {
            Ok(()) => self.write(batch),
            Err(error) => Receipt::resolved(Err(error)),
        }
    }

    /// Queues the removal of the row of `key`. Never blocks.
    pub fn delete<R: Record>(&self, key: &[u8]) -> Receipt {
        let mut batch = Batch::new();
        match batch.delete::<R>(key) {
            Ok(()) => self.write(batch),
            Err(error) => Receipt::resolved(Err(error)),
        }
    }

    /// Keeps `row` in memory until the next commit takes it along, at most
    /// [`StoreOptions::flush_interval`]; a newer one of the same key takes its
    /// place. For rows that may be lost. Never blocks.
    ///
    /// # Errors
    /// [`StoreError::TooBig`], `Busy` (the disk takes no rows and no more may
    /// wait; the row is given up), `Closed` and `Stopped`.
    pub fn put_lazy<R: Record>(&self, row: &R) -> Result<(), StoreError> {
        self.0.writer.submit_lazy(Change::put(row)?)
    }

    /// Removes the row of `key` with the next commit, as [`Store::put_lazy`]
    /// writes one.
    ///
    /// # Errors
    /// As [`Store::put_lazy`].
    pub fn delete_lazy<R: Record>(&self, key: &[u8]) -> Result<(), StoreError> {
        self.0.writer.submit_lazy(Change::delete::<R>(key)?)
    }

    /// Commits the lazy rows now. Never blocks; without any of them the receipt
    /// is resolved already and nothing is committed.
    pub fn flush(&self) -> Receipt {
        self.0.writer.flush()
    }

    /// Queues changes that are committed together. Never blocks.
    pub fn write(&self, batch: Batch) -> Receipt {
        self.0.writer.submit(batch)
    }

    /// The committed row of `key`; None if there is none, or only a damaged one
    /// (which is reported and counted). Takes about a microsecond; rows that
    /// wait for their commit are not seen.
    ///
    /// # Errors
    /// LMDB's, named.
    pub fn get<R: Record>(&self, key: &[u8]) -> Result<Option<R>, StoreError> {
        let found = self.0.env.read(R::TABLE, |table, txn| {
            Ok(table
                .get(txn, key)?
                .map(|value| record::decode::<R>(key, value)))
        })?;
        let found = found.flatten();
        Ok(found.and_then(|row| self.sound(R::TABLE, key, row)))
    }

    /// At most `limit` committed rows whose keys begin with `prefix`, in the
    /// order of their keys. Damaged rows are reported, counted and skipped.
    ///
    /// # Errors
    /// LMDB's, named.
    pub fn scan_prefix<R: Record>(
        &self,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<R>, StoreError> {
        let mut rows = Vec::new();
        self.walk(R::TABLE, prefix, &mut |key, value| {
            let more = rows.len() < limit && key.starts_with(prefix);
            if more {
                rows.extend(self.sound(R::TABLE, key, record::decode::<R>(key, value)));
            }
            more
        })?;
        Ok(rows)
    }

    /// At most `limit` committed rows from the key `from` up to, and without, the
    /// key `to`, in the order of their keys. Damaged rows as in
    /// [`Store::scan_prefix`]. 10,000 rows take some milliseconds: not on the
    /// executor.
    ///
    /// # Errors
    /// LMDB's, named.
    pub fn scan_between<R: Record>(
        &self,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<R>, StoreError> {
        let mut rows = Vec::new();
        self.walk(R::TABLE, from, &mut |key, value| {
            let more = rows.len() < limit && key < to;
            if more {
                rows.extend(self.sound(R::TABLE, key, record::decode::<R>(key, value)));
            }
            more
        })?;
        Ok(rows)
    }

    /// Gives the committed rows from the key `from` on to `visit` until it returns
    /// false.
    fn walk(
        &self,
        table: Table,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        // LMDB does not search for an empty key.
        let from = if from.is_empty() {
            Bound::Unbounded
        } else {
            Bound::Included(from)
        };
        let walked = self.0.env.read(table, |table, txn| {
            let mut entries = table.range(txn, &(from, Bound::Unbounded))?;
            while let Some((key, value)) = entries.next().transpose()? {
                if !visit(key, value) {
                    break;
                }
            }
            Ok(())
        });
        walked.map(drop)
    }

    /// The rows that wait lazily for a commit; with them the receipt of those
    /// that have left for the disk and are not there yet, if there are any.
    #[must_use]
    pub fn waiting<R: Record>(&self) -> (Vec<R>, Option<Receipt>) {
        let (rows, leaving) = self.0.writer.waiting(R::TABLE);
        let decoded = rows
            .iter()
            .filter_map(|(key, value)| record::decode::<R>(key, value).ok());
        (decoded.collect(), leaving)
    }

    /// Counters, and the latest error of writing.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        StoreHealth {
            written: self.0.writer.written(),
            bad_rows: self.0.bad_rows.count(),
            map_size: self.0.env.map_size(),
            waiting: self.0.writer.count_waiting(),
        }
    }

    /// Looks whether the file is where it was opened, and keeps for
    /// [`Store::health`] what it saw. A system call. True: another one has come to
    /// its place, and the store should be opened anew.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        matches!(self.0.writer.look(), Some(StoreError::Replaced { .. }))
    }

    /// Gives memory back that LMDB and the writer's thread keep, if it may be much:
    /// replaces the thread, closes the environment and opens it again, which
    /// writes nothing. Blocks for as long as a commit that is running takes;
    /// readers wait for a fraction of a millisecond.
    pub fn give_back(&self) {
        if !self.0.env.is_worth_emptying() {
            return;
        }
        self.0.writer.relieve();
        if let Err(error) = self.0.env.give_back() {
            log::error!("store: it cannot be opened again: {error}");
        }
    }

    /// Commits what waits (lazy rows, too), ends the writer thread, closes the
    /// environment and unlocks the folder; blocks as long as the last commits
    /// take. Other handles get [`StoreError::Closed`] from then on, and the
    /// folder can be opened again, by this process, too.
    pub fn close(&self) {
        self.0.close();
    }

    /// Resolves when the writer thread has ended by a fault, and never if the
    /// store is closed. Whoever looks after it then calls [`Store::close`] and
    /// opens it again.
    pub fn ended(&self) -> impl Future<Output = StoreError> + Send + 'static {
        let gone = self.0.writer.gone();
        async move { gone.await.err().unwrap_or(StoreError::Stopped) }
    }

    /// Makes the writer thread panic: for tests of what restarts it.
    #[cfg(debug_assertions)]
    pub fn break_writer(&self) {
        self.0.writer.break_thread();
    }

    /// The row, or its fault in the log.
    fn sound<R>(&self, table: Table, key: &[u8], row: Result<R, RowFault>) -> Option<R> {
        let bad = &self.0.bad_rows;
        match row {
            Ok(row) => {
                bad.healed(table, key);
                Some(row)
            }
            Err(fault) => {
                if bad.seen(table, key) {
                    let table = table.name();
                    log::warn!("store: a row of {table} is skipped, {fault} (key {key:02x?})");
                }
                None
            }
        }
    }
}

impl Inner {
    fn close(&self) {
        self.writer.close();
        self.env.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
