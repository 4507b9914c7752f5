//! Which rows were found damaged: each counts once, however often it is read.

use crate::sorted::Map;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Table;

/// Rows remembered: 64 KB of memory on a disk that is past help anyway.
const BAD_MAX: usize = 4_096;

/// The set, of the rows' hashes.
#[derive(Default)]
pub(super) struct BadRows {
    hasher: RandomState,
    rows: Mutex<Map<u64, ()>>,
    /// How many there are: nearly always none, and then nothing is hashed.
    count: AtomicU32,
}

impl BadRows {
    /// A row is damaged. True: it was not known.
    pub(super) fn seen(&self, table: Table, key: &[u8]) -> bool {
        let hash = self.hasher.hash_one((table, key));
        let mut rows = self.rows();
        let new = rows.len() < BAD_MAX && rows.insert(hash, ()).is_none();
        self.tell(&rows);
        new
    }

    /// A row is sound, and may have been damaged before.
    pub(super) fn healed(&self, table: Table, key: &[u8]) {
        if self.count() == 0 {
            return;
        }
        let hash = self.hasher.hash_one((table, key));
        let mut rows = self.rows();
        rows.remove(&hash);
        self.tell(&rows);
    }

    /// How many are known.
    pub(super) fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    fn tell(&self, rows: &Map<u64, ()>) {
        let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        self.count.store(count, Ordering::Relaxed);
    }

    fn rows(&self) -> MutexGuard<'_, Map<u64, ()>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
