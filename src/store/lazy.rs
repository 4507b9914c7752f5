//! Rows that can wait: statistics, caches.
//!
//! They cost no commit of their own. They wait in memory, one a key, until the
//! next commit takes them along, until the oldest has waited for
//! [`super::StoreOptions::flush_interval`], or until the buffer is full. A power
//! cut loses what waits here; nothing that is paid for may.

use crate::sorted::Map;
use std::time::{Duration, Instant};

use super::batch::Change;
use super::Table;

/// Rows that may wait: eight hours of one a minute, and half of what one
/// transaction takes, so that they nearly always fit beside others.
pub const LAZY_ROWS: usize = 500;

/// Bytes (keys and values) that may wait: small beside a node's idle memory.
pub const LAZY_BYTES: usize = 256 * 1024;

/// The buffer.
#[derive(Default)]
pub(super) struct Lazy {
    rows: Map<(Table, Vec<u8>), Option<Vec<u8>>>,
    bytes: usize,
    /// When the first of them came; None while there are none.
    since: Option<Instant>,
}

impl Lazy {
    /// Adds a row, or puts it in the place of an older one of its key. Given
    /// back: it finds no room.
    pub(super) fn add(&mut self, change: Change, now: Instant) -> Result<(), Change> {
        let bytes = self.bytes.saturating_add(change.bytes());
        let place = (change.table, change.key);
        let old = self.rows.get(&place);
        let freed = old.map_or(0, |value| weight(&place.1, value.as_ref()));
        let full = old.is_none() && self.rows.len() >= LAZY_ROWS;
        let bytes = bytes.saturating_sub(freed);
        if full || bytes > LAZY_BYTES {
            return Err(Change {
                table: place.0,
                key: place.1,
                value: change.value,
            });
        }
        self.bytes = bytes;
        self.rows.insert(place, change.value);
        self.since.get_or_insert(now);
        Ok(())
    }

    /// A durable row of the same key is newer.
    pub(super) fn forget(&mut self, change: &Change) {
        if self.rows.is_empty() {
            return;
        }
        let place = (change.table, change.key.clone());
        if let Some(old) = self.rows.remove(&place) {
            let freed = weight(&place.1, old.as_ref());
            self.bytes = self.bytes.saturating_sub(freed);
            if self.rows.is_empty() {
                self.since = None;
            }
        }
    }

    pub(super) fn holds(&self, change: &Change) -> bool {
        self.rows.contains_key(&(change.table, change.key.clone()))
    }

    /// Takes at most `most` of them.
    pub(super) fn take(&mut self, most: usize) -> Vec<Change> {
        let rows = self.rows.take_first(most);
        let mut taken = Vec::with_capacity(rows.len());
        for ((table, key), value) in rows {
            let change = Change { table, key, value };
            self.bytes = self.bytes.saturating_sub(change.bytes());
            taken.push(change);
        }
        if self.rows.is_empty() {
            self.since = None;
        }
        taken
    }

    /// Keys and values of the rows of a table that are to be written.
    pub(super) fn of(&self, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
        let rows = self.rows.iter();
        rows.filter(|((of, _), _)| *of == table)
            .filter_map(|((_, key), value)| Some((key.clone(), value.clone()?)))
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// When the first of them has waited for `interval`; None while there are
    /// none, or if that is beyond what the clock can show.
    pub(super) fn due(&self, interval: Duration) -> Option<Instant> {
        self.since?.checked_add(interval)
    }

    /// Counts the interval from here on: a disk that refused them is not asked
    /// again at once.
    pub(super) fn postpone(&mut self, now: Instant) {
        self.since = (!self.rows.is_empty()).then_some(now);
    }
}

fn weight(key: &[u8], value: Option<&Vec<u8>>) -> usize {
    key.len().saturating_add(value.map_or(0, Vec::len))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn change(key: usize, value: usize) -> Change {
        Change {
            table: Table::Meta,
            key: (key as u64).to_be_bytes().to_vec(),
            value: Some(vec![7; value]),
        }
    }

    #[test]
    fn the_buffer_is_bounded_in_rows_and_in_bytes() {
        let now = Instant::now();
        let mut lazy = Lazy::default();
        for key in 0..LAZY_ROWS {
            lazy.add(change(key, 10), now).unwrap();
        }
        lazy.add(change(LAZY_ROWS, 10), now).unwrap_err();
        // One that replaces another needs no room.
        lazy.add(change(3, 12), now).unwrap();
        assert_eq!(lazy.bytes, LAZY_ROWS * 18 + 2);
        lazy.add(change(4, LAZY_BYTES), now).unwrap_err();
        lazy.forget(&change(4, 0));
        assert_eq!(lazy.take(usize::MAX).len(), LAZY_ROWS - 1);
        assert_eq!((lazy.bytes, lazy.len()), (0, 0));
        assert_eq!(lazy.due(Duration::ZERO), None);
    }

    #[test]
    fn the_first_row_that_waits_sets_the_time_and_a_later_one_does_not() {
        let start = Instant::now();
        let hour = Duration::from_secs(3600);
        let mut lazy = Lazy::default();
        lazy.add(change(1, 1), start).unwrap();
        lazy.add(change(2, 1), start + hour / 2).unwrap();
        assert_eq!(lazy.due(hour), Some(start + hour));
        lazy.take(1);
        assert_eq!(lazy.due(hour), Some(start + hour));
        lazy.forget(&change(2, 0));
        assert_eq!(lazy.due(hour), None);
    }
}
