//! What the writer has done, for health and metrics.

use super::batch::Batch;
use super::env::Census;
use super::{StoreError, Table};
use crate::meter::Durations;
use std::time::{Duration, Instant};

/// A commit takes some ten milliseconds, on a good SD card a hundred. One that takes
/// this long makes devices wait for the receipt of their tickets.
const SLOW: Duration = Duration::from_secs(1);
/// Bytes of a page, where pages have to be counted because nobody counts bytes.
const PAGE: u64 = 4096;

/// Pages that every commit writes beside those of its tables: the root of the
/// tables, the list of free pages and what it points to, and a meta page.
const COMMON_PAGES: u64 = 4;

/// What the writer has done since the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Transactions committed.
    pub commits: u64,
    /// Transactions that failed.
    pub failures: u64,
    /// Rows written or removed by the commits.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Bytes that were given to write calls, opening included: LMDB writes whole
    /// pages, 12 KB and more for one row.
    pub disk_bytes: u64,
    /// The kernel does not tell some of them: those are counted in pages.
    pub estimated: bool,
    /// When the store was opened.
    pub since: Option<Instant>,
    /// Lazy rows given up: the disk took none for so long that no more may wait.
    pub dropped: u64,
    /// Why the latest transaction failed; None if it did not.
    pub error: Option<StoreError>,
    /// When the transaction began that is under way; None if none is. A disk that
    /// hangs shows here alone.
    pub begun: Option<Instant>,
    /// How long transactions took that were committed.
    pub took: Durations,
    /// Transactions in a row, up to the latest, that took longer than a second each.
    pub slow: u32,
    /// What the file had after the latest commit.
    census: Census,
}

impl Written {
    /// The store was opened; `bytes` were written for that.
    pub(super) fn opened(&mut self, bytes: Option<u64>, census: Census) {
        self.since = Some(Instant::now());
        self.disk_bytes = bytes.unwrap_or(0);
        self.estimated = bytes.is_none();
        self.census = census;
    }

    /// One transaction is under way.
    pub(super) fn begin(&mut self) {
        self.begun = Some(Instant::now());
    }

    /// For how long the disk has not finished what it is at.
    #[must_use]
    pub fn waiting(&self) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    /// Bytes of the file, as of the latest commit.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.census.file_bytes
    }

    /// How many rows each table has, as of the latest commit.
    pub fn tables(&self) -> impl Iterator<Item = (Table, u64)> + '_ {
        let counts = self.census.tables.iter().map(|count| count.rows);
        Table::ALL.into_iter().zip(counts)
    }

    /// One transaction with these is on the disk; it has cost so many bytes, if
    /// that is known.
    pub(super) fn committed(&mut self, batches: &[Batch], bytes: Option<u64>, census: Census) {
        let took = self.waiting();
        self.took.took(took);
        self.slow = if took >= SLOW {
            self.slow.saturating_add(1)
        } else {
            0
        };
        self.begun = None;
        self.commits = self.commits.saturating_add(1);
        for batch in batches {
            self.rows = self.rows.saturating_add(batch.changes.len() as u64);
            self.bytes = self.bytes.saturating_add(batch.bytes() as u64);
        }
        self.census = census;
        self.count(bytes.unwrap_or_else(|| self.estimate(batches)));
        self.estimated |= bytes.is_none();
        if self.error.take().is_some() {
            log::info!("store: rows are written again");
        }
    }

    /// The file was looked for, and was not there for this reason.
    pub(super) fn looked(&mut self, seen: Option<&StoreError>) {
        let known = self.error.as_ref();
        match seen {
            Some(error) if known != Some(error) => {
                log::error!("store: {error}");
                self.error = Some(error.clone());
            }
            None if known.is_some_and(StoreError::is_gone) => {
                log::info!("store: its file is back");
                self.error = None;
            }
            _ => {}
        }
    }

    /// One transaction failed; so many bytes of it were written nevertheless.
    pub(super) fn failed(&mut self, error: &StoreError, bytes: Option<u64>) {
        self.begun = None;
        self.failures = self.failures.saturating_add(1);
        self.count(bytes.unwrap_or(0));
        // Once a reason, not once a row: a full disk lasts.
        if self.error.as_ref() != Some(error) {
            log::error!("store: rows were not written: {error}");
        }
        self.error = Some(error.clone());
    }

    fn count(&mut self, bytes: u64) {
        self.disk_bytes = self.disk_bytes.saturating_add(bytes);
    }

    /// Bytes that such a commit writes: a page a row, though no more than the table
    /// has, and the way to them.
    fn estimate(&self, batches: &[Batch]) -> u64 {
        let changes = || batches.iter().flat_map(|batch| &batch.changes);
        let tables = Table::ALL.into_iter().zip(&self.census.tables);
        let pages = tables.map(|(table, count)| {
            let rows = changes().filter(|change| change.table == table).count() as u64;
            let way = if rows > 0 { count.depth } else { 0 };
            way.saturating_add(rows.min(count.leaves).saturating_sub(1))
        });
        let pages = pages.fold(COMMON_PAGES, u64::saturating_add);
        pages.saturating_mul(PAGE)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::meter::Meter;
    use crate::store::{ClockFloor, Store, StoreOptions};
    use smol::future::block_on;

    /// What a file has that was just opened, and what a commit of one row costs.
    fn commits(count: u64) -> Written {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        for unix in 0..count {
            block_on(store.put(&ClockFloor { unix })).unwrap();
        }
        let written = store.health().written;
        assert_eq!(written.commits, count);
        written
    }

    #[test]
    fn pages_are_counted_well_enough_where_the_kernel_does_not_tell() {
        if Meter::of_this_thread().read().is_none() {
            return println!("skipped: this kernel does not count what a thread writes");
        }
        let written = commits(50);
        assert!(!written.estimated);
        let each = written.disk_bytes / 50;
        let batch = [Batch::raw(Table::Meta, b"clock-floor", b"x")];
        let guess = written.estimate(&batch);
        assert!(
            guess >= each / 2 && guess <= each * 2,
            "{guess} and {each} bytes"
        );
        let rows: u64 = written.tables().map(|(_, rows)| rows).sum();
        assert_eq!(rows, 2);
        assert!(written.file_bytes() >= 3 * PAGE);
    }

    #[test]
    fn what_the_kernel_does_not_count_is_marked_and_not_left_out() {
        let mut written = commits(1);
        let before = written.disk_bytes;
        let census = written.census.clone();
        let batch = [Batch::raw(Table::Meta, b"clock-floor", b"x")];
        written.committed(&batch, None, census);
        assert!(written.estimated);
        assert!(written.disk_bytes > before + PAGE);
    }
}
