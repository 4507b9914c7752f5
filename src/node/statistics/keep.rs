//! Rows of statistics on their way to the store and out of it.
//!
//! A minute's and an hour's row lie under the number of their period, so they are
//! read in the order of time and removed from the old end. How long they are kept
//! is a setting; a shorter one removes rows, a longer one keeps them from then
//! on, and neither moves any.

use super::{NodeStats, Span};
use crate::store::{Batch, Receipt, Store, StoreError};
use std::time::Duration;

/// How long rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Those of minutes (`storage.keep_minutes`).
    pub minutes: Duration,
    /// Those of hours (`storage.keep_hours`).
    pub hours: Duration,
}

/// Rows of one kind that go in one turn: with those of the other kind they fit
/// into one transaction. A setting that was made shorter by a year is worked off in
/// four minutes.
const PRUNED: usize = 400;

/// How far a trusted clock may be behind the newest row, in seconds: the floor
/// below which it is not trusted is written once a day. A row beyond was written
/// under a clock that was wrong.
const AHEAD: u64 = 2 * 86_400;

/// Writes rows lazily. One that the store has of the same period, from before a
/// restart, is added to it. A store that takes no rows has said so in its
/// health: statistics may be lost.
pub fn keep(store: &Store, rows: &[NodeStats]) {
    for row in rows {
        let before = store.get::<NodeStats>(&row.key_bytes()).ok().flatten();
        let row = match before {
            Some(before) if before.unix == row.unix => before.and(*row),
            _ => *row,
        };
        // Counted by the store.
        let _ = store.put_lazy(&row);
    }
}

/// Removes rows that are older than they are kept, and those of a time that has
/// not come yet. Call it now and then; `unix` is a time that can be believed.
/// Whether there may be more to remove.
///
/// # Errors
/// The store's.
pub fn prune(store: &Store, retention: &Retention, unix: u64) -> Result<bool, StoreError> {
    let mut more = false;
    for (span, kept) in [
        (Span::Minute, retention.minutes),
        (Span::Hour, retention.hours),
    ] {
        let oldest = unix.saturating_sub(kept.as_secs());
        let (first, last) = (span.key(0), span.key(u64::MAX));
        let old = store.scan_between::<NodeStats>(&first, &span.key(oldest), PRUNED)?;
        let ahead = span.key(unix.saturating_add(AHEAD));
        let wrong = store.scan_between::<NodeStats>(&ahead, &last, PRUNED)?;
        more |= old.len() == PRUNED || wrong.len() == PRUNED;
        let gone = old.iter().chain(&wrong);
        if old.len() + wrong.len() < PRUNED {
            for row in gone {
                store.delete_lazy::<NodeStats>(&row.key_bytes())?;
            }
            continue;
        }
        let mut batch = Batch::new();
        for row in gone {
            batch.delete::<NodeStats>(&row.key_bytes())?;
        }
        // Whoever asks again before it is done removes them twice.
        drop(store.write(batch));
    }
    Ok(more)
}

/// The rows of the periods from `from` up to `to` (seconds since 1970), oldest
/// first; those that wait for their commit are among them. The receipt, if there
/// is one: rows are on their way between memory and disk, ask again after it.
///
/// # Errors
/// The store's.
pub fn read(
    store: &Store,
    span: Span,
    from: u64,
    to: u64,
) -> Result<Result<Vec<NodeStats>, Receipt>, StoreError> {
    let (waiting, leaving) = store.waiting::<NodeStats>();
    if let Some(leaving) = leaving {
        return Ok(Err(leaving));
    }
    let (first, last) = (span.key(from), span.key(to));
    let mut rows = store.scan_between::<NodeStats>(&first, &last, usize::MAX)?;
    for row in waiting {
        if row.span != span || row.unix < from || row.unix >= to {
            continue;
        }
        match rows.binary_search_by_key(&row.unix, |row| row.unix) {
            Ok(at) => {
                if let Some(place) = rows.get_mut(at) {
                    *place = row;
                }
            }
            Err(at) => rows.insert(at, row),
        }
    }
    Ok(Ok(rows))
}

impl NodeStats {
    fn key_bytes(&self) -> [u8; 5] {
        self.span.key(self.unix)
    }
}
