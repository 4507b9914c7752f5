//! L2: answers in the store's table `cache`.
//!
//! Rows are lazy: they join a commit that is made anyway. Only what lasts and was
//! asked for twice is written, at most [`WRITES_AN_HOUR`] rows an hour, so that
//! nobody can wear flash out by asking. Rows carry the wall clock, so none is
//! written or read while it is not trusted. A damaged row is a miss.

use super::kind::{Age, Key};
use crate::sorted::Map;
use crate::store::{Record, Store, Table};
use crate::time::Moment;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Rows on the disk; their keys are in memory as well, 200 bytes each.
pub const DISK_ROWS: usize = 256;

/// Bytes of keys and values on the disk: half of what the smallest map has.
pub const DISK_BYTES: usize = 512 * 1024;

/// Longest value that goes there, in bytes: LMDB gives longer ones pages of their
/// own, and two of these fill the buffer of lazy rows by a sixteenth.
pub const DISK_VALUE: usize = 8 * 1024;

/// Rows that may be written within an hour: half a megabyte at most.
pub const WRITES_AN_HOUR: u32 = 64;

const HOUR: Duration = Duration::from_secs(3600);

/// A row of the table `cache`. Key: the kind's number, then the name.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub key: Vec<u8>,
    /// When the source said it, in unix seconds.
    pub at: u64,
    pub value: Vec<u8>,
}

impl Record for Row {
    const TABLE: Table = Table::Cache;
    const VERSION: u8 = 1;
    fn key(&self) -> Vec<u8> {
        self.key.clone()
    }
}

#[derive(Clone, Copy)]
struct Slot {
    at: u64,
    bytes: usize,
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Disk {
    store: Option<Store>,
    /// What is there; `None` until it is asked for first.
    index: Option<Map<Key, Slot>>,
    bytes: usize,
    /// The hour that is counted, and rows written in it.
    hour: Option<(Moment, u32)>,
}

impl Disk {
    pub fn set_store(&mut self, store: Option<Store>) {
        self.store = store;
        self.index = None;
        self.bytes = 0;
    }

    pub fn rows(&self) -> usize {
        self.index.as_ref().map_or(0, Map::len)
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there can be a row for this key.
    pub fn serves(&self, key: &Key, unix: Option<u64>) -> bool {
        key.terms().disk && unix.is_some() && self.store.is_some()
    }

    /// The row's value and its age. One from the future is none.
    pub fn get(&mut self, key: &Key, unix: Option<u64>) -> Option<(Arc<[u8]>, Duration)> {
        let unix = unix.filter(|_| key.terms().disk)?;
        self.load();
        self.index.as_ref()?.get(key)?;
        let row = self.store.as_ref()?.get::<Row>(key.bytes()).ok()??;
        let age = unix.checked_sub(row.at)?;
        Some((row.value.into(), Duration::from_secs(age)))
    }

    /// Writes a row for an answer of the second `at`; older ones give way.
    pub fn put(&mut self, key: &Key, value: &[u8], at: u64, now: Moment) {
        let bytes = key.bytes().len().saturating_add(value.len());
        if value.len() > DISK_VALUE || self.store.is_none() || !self.may_write(now) {
            return;
        }
        self.load();
        self.drop_slot(key);
        while self.rows() >= DISK_ROWS || self.bytes.saturating_add(bytes) > DISK_BYTES {
            let oldest = self.index.as_ref().and_then(|index| {
                let oldest = index.iter().min_by_key(|(_, slot)| slot.at);
                oldest.map(|(key, _)| key.clone())
            });
            match oldest {
                Some(oldest) => self.remove(&oldest),
                None => return,
            }
        }
        let (Some(store), Some(index)) = (&self.store, &mut self.index) else {
            return;
        };
        let row = Row {
            key: key.bytes().to_vec(),
            at,
            value: value.to_vec(),
        };
        // A row that finds no place is one that is fetched again.
        if store.put_lazy(&row).is_ok() {
            self.bytes = self.bytes.saturating_add(bytes);
            index.insert(key.clone(), Slot { at, bytes });
        }
    }

    pub fn remove(&mut self, key: &Key) {
        if !key.terms().disk {
            return;
        }
        self.load();
        if self.drop_slot(key) {
            self.delete(key.bytes());
        }
    }

    /// Removes what is of no use any more.
    pub fn sweep(&mut self, unix: u64) {
        let Some(index) = &self.index else {
            // Nothing was asked of the disk since the start; it keeps its bounds.
            return;
        };
        let ended = |(key, slot): &&(Key, Slot)| {
            let age = Duration::from_secs(unix.saturating_sub(slot.at));
            key.terms().judge(age) == Age::Dead
        };
        let ended: Vec<Key> = index
            .iter()
            .filter(ended)
            .map(|(key, _)| key.clone())
            .collect();
        for key in ended {
            self.remove(&key);
        }
    }

    fn delete(&self, key: &[u8]) {
        if let Some(store) = &self.store {
            let _ = store.delete_lazy::<Row>(key);
        }
    }

    fn drop_slot(&mut self, key: &Key) -> bool {
        let slot = self.index.as_mut().and_then(|index| index.remove(key));
        if let Some(slot) = slot {
            self.bytes = self.bytes.saturating_sub(slot.bytes);
        }
        slot.is_some()
    }

    fn may_write(&mut self, now: Moment) -> bool {
        let (since, count) = match self.hour {
            Some((since, count)) if now.since(since) < HOUR => (since, count),
            _ => (now, 0),
        };
        if count >= WRITES_AN_HOUR {
            return false;
        }
        self.hour = Some((since, count + 1));
        true
    }

    /// Finds out what is there: a few hundred microseconds, once.
    fn load(&mut self) {
        if self.index.is_some() {
            return;
        }
        let Some(store) = &self.store else { return };
        let rows = store.scan_prefix::<Row>(&[], DISK_ROWS * 2);
        let mut index = Map::new();
        let mut bytes = 0_usize;
        let mut unknown = Vec::new();
        for row in rows.unwrap_or_default() {
            let size = row.key.len().saturating_add(row.value.len());
            let fits = index.len() < DISK_ROWS && bytes.saturating_add(size) <= DISK_BYTES;
            match Key::read(&row.key).filter(|key| key.terms().disk && fits) {
                Some(key) => {
                    bytes = bytes.saturating_add(size);
                    index.insert(
                        key,
                        Slot {
                            at: row.at,
                            bytes: size,
                        },
                    );
                }
                None => unknown.push(row.key),
            }
        }
        self.index = Some(index);
        self.bytes = bytes;
        // Of another version of this program, or beyond its bounds.
        for key in unknown {
            self.delete(&key);
        }
    }
}
