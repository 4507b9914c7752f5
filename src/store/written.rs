//! What the writer has done, for health and metrics.

use super::batch::Batch;
use super::StoreError;
use crate::meter::Durations;
use std::time::{Duration, Instant};

/// A commit takes some ten milliseconds, on a good SD card a hundred. One that takes
/// this long makes devices wait for the receipt of their tickets.
const SLOW: Duration = Duration::from_secs(1);

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
}

impl Written {
    /// One transaction is under way.
    pub(super) fn begin(&mut self) {
        self.begun = Some(Instant::now());
    }

    /// For how long the disk has not finished what it is at.
    #[must_use]
    pub fn waiting(&self) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    /// One transaction with these is on the disk.
    pub(super) fn committed(&mut self, batches: &[Batch]) {
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
        if self.error.take().is_some() {
            log::info!("store: rows are written again");
        }
    }

    /// One transaction failed.
    pub(super) fn failed(&mut self, error: &StoreError) {
        self.begun = None;
        self.failures = self.failures.saturating_add(1);
        // Once a reason, not once a row: a full disk lasts.
        if self.error.as_ref() != Some(error) {
            log::error!("store: rows were not written: {error}");
        }
        self.error = Some(error.clone());
    }
}
