//! # What must survive a power cut
//!
//! One LMDB environment in one folder. A row goes in by [`Store::put`], which
//! queues it for the one writer thread and returns a [`Receipt`]; the receipt
//! resolves after the commit that carried the row has been synced to the disk.
//! Rows are read on the caller's thread: it takes a microsecond.
//!
//! Every commit is synced. LMDB's flags that trade that for speed are not used:
//! with them a power cut can ruin the whole file, without them it can only lose
//! rows whose receipt was never resolved.
//!
//! | file | what it owns |
//! | --- | --- |
//! | `folder.rs` | the folder: made, locked, checked |
//! | `env.rs` | the environment: opened, grown, opened again (the only unsafe code) |
//! | `tables.rs` | the tables' names |
//! | `record.rs` | a row's bytes: version, postcard, checksum |
//! | `meta.rs` | schema version, floor of the clock |
//! | `writer.rs` | the queue and the writer thread |
//! | `receipt.rs` | the promise of a durable row |
//! | `error.rs` | what can go wrong, and the remedy |
//!
//! What this cannot do: LMDB trusts its pages. A bit that flips inside of a row
//! is found by the row's checksum and costs that row; one that flips inside of
//! LMDB's own tree may not be found.

mod env;
mod error;
mod folder;
mod meta;
mod receipt;
mod record;
mod tables;
mod writer;

#[cfg(test)]
mod tests;

use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use env::Environment;
use folder::Folder;
use record::RowFault;
use writer::Writer;

pub use env::StoreOptions;
pub use error::StoreError;
pub use meta::{ClockFloor, SCHEMA_VERSION};
pub use receipt::Receipt;
pub use record::{Record, MAX_KEY, MAX_VALUE};
pub use tables::Table;
pub use writer::{Batch, Written, MAX_ROWS, QUEUE_BYTES, QUEUE_ROWS};

/// A handle of the open store; clones share it. The last one that is dropped
/// commits what waits and closes it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    env: Arc<Environment>,
    writer: Writer,
    bad_rows: AtomicU32,
}

/// How the store is doing, for health and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreHealth {
    /// What was written, and why the latest commit failed if it did.
    pub written: Written,
    /// Rows that were found damaged when they were read, and skipped.
    pub bad_rows: u32,
    /// Bytes of address space mapped.
    pub map_size: usize,
}

impl Store {
    /// Opens the store in the folder `dir`, making both if they are missing. An
    /// existing one is opened without writing to it.
    ///
    /// # Errors
    /// Every [`StoreError`] but `TooBig`, `Busy` and `Closed`; each names the
    /// folder and the remedy. A store of a newer version is not touched.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Store, StoreError> {
        let folder = Folder::claim(dir)?;
        let env = Arc::new(Environment::open(folder, options)?);
        let writer =
            Writer::start(env.clone()).map_err(|error| StoreError::from_io(dir, &error))?;
        Ok(Store(Arc::new(Inner {
            env,
            writer,
            bad_rows: AtomicU32::new(0),
        })))
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
        self.0.env.read(R::TABLE, |table, txn| {
            let mut rows = Vec::new();
            // LMDB does not search for an empty key.
            let from = if prefix.is_empty() {
                Bound::Unbounded
            } else {
                Bound::Included(prefix)
            };
            let mut entries = table.range(txn, &(from, Bound::Unbounded))?;
            while rows.len() < limit {
                let Some((key, value)) = entries.next().transpose()? else {
                    break;
                };
                if !key.starts_with(prefix) {
                    break;
                }
                rows.extend(self.sound(R::TABLE, key, record::decode::<R>(key, value)));
            }
            Ok(rows)
        })
    }

    /// Counters, and the latest error of writing.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        StoreHealth {
            written: self.0.writer.written(),
            bad_rows: self.0.bad_rows.load(Ordering::Relaxed),
            map_size: self.0.env.map_size(),
        }
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

    /// Commits what waits, ends the writer thread and closes the environment;
    /// blocks as long as the last commits take. Other handles get
    /// [`StoreError::Closed`] from then on. The folder stays locked until the
    /// last handle is dropped.
    pub fn close(&self) {
        self.0.close();
    }

    /// The row, or its fault in the log.
    fn sound<R>(&self, table: Table, key: &[u8], row: Result<R, RowFault>) -> Option<R> {
        row.map_err(|fault| {
            self.0.bad_rows.fetch_add(1, Ordering::Relaxed);
            let table = table.name();
            log::warn!("store: a row of {table} is skipped, {fault} (key {key:02x?})");
        })
        .ok()
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
