//! Changes on their way to the disk.

use super::record::{self, Record};
use super::{Receipt, StoreError, Table};

/// Rows in one transaction. More leave heap behind: LMDB keeps the pages that a
/// transaction made dirty for the next one.
pub const MAX_ROWS: usize = 1_000;

/// Changes that are committed in one transaction: all of them or none.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) changes: Vec<Change>,
    pub(super) receipt: Receipt,
    /// Its rows came lazily and wait again if their commit fails.
    pub(super) lazy: bool,
}

/// One row written or removed.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) table: Table,
    pub(super) key: Vec<u8>,
    /// None removes the row.
    pub(super) value: Option<Vec<u8>>,
}

impl Change {
    /// The row written.
    pub(super) fn put<R: Record>(row: &R) -> Result<Change, StoreError> {
        let (key, value) = record::encode(row)?;
        Ok(Change {
            table: R::TABLE,
            key,
            value: Some(value),
        })
    }

    /// The row of `key` removed.
    pub(super) fn delete<R: Record>(key: &[u8]) -> Result<Change, StoreError> {
        if key.is_empty() || key.len() > record::MAX_KEY {
            return Err(StoreError::TooBig {
                what: "key",
                size: key.len(),
                limit: record::MAX_KEY,
            });
        }
        Ok(Change {
            table: R::TABLE,
            key: key.to_vec(),
            value: None,
        })
    }

    pub(super) fn bytes(&self) -> usize {
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
            receipt,
            ..Batch::default()
        }
    }

    /// Adds a row, replacing the one of the same key.
    ///
    /// # Errors
    /// [`StoreError::TooBig`] for a row, or for more than [`MAX_ROWS`] of them.
    pub fn put<R: Record>(&mut self, row: &R) -> Result<(), StoreError> {
        self.add(Change::put(row)?)
    }

    /// Removes the row of `key`; one that is missing is no error.
    ///
    /// # Errors
    /// [`StoreError::TooBig`] for the key, or for more than [`MAX_ROWS`] changes.
    pub fn delete<R: Record>(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.add(Change::delete::<R>(key)?)
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
            ..Batch::default()
        }
    }

    /// The receipt that its commit resolves.
    pub fn receipt(&self) -> Receipt {
        self.receipt.clone()
    }

    pub(super) fn bytes(&self) -> usize {
        self.changes
            .iter()
            .fold(0, |sum, change| sum.saturating_add(change.bytes()))
    }
}
