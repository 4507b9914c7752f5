//! L1: answers in memory, bounded in bytes.
//!
//! Which answer gives way is decided by the crate `quick_cache` (S3-FIFO with
//! ghosts: one that is asked for once does not drive out one that is asked for
//! all day); what an answer weighs and how old it may be is decided here.

use super::kind::{Age, Key, Short};
use super::Found;
use crate::time::Moment;
use quick_cache::unsync::Cache;
use quick_cache::Weighter;
use std::sync::Arc;
use std::time::Duration;

/// What an answer takes beside key and value, in bytes: places in the cache's
/// two tables, the value's reference counts, the allocator's own.
pub const OVERHEAD: u64 = 160;

/// One answer may take this share of the whole: a large one must not drive out
/// all others.
const SHARE: u64 = 4;

/// What an answer is taken to weigh, in bytes, where room for the memory of past
/// answers (8 bytes each) is worked out.
const USUAL: u64 = 512;

struct Entry {
    value: Short,
    at: Moment,
    /// How old it was then: it may come from the disk.
    older: Duration,
    lasting: bool,
    written: bool,
}

impl Entry {
    fn since(&self, now: Moment) -> Duration {
        now.since(self.at).saturating_add(self.older)
    }
}

struct Weigh;

impl Weighter<Key, Entry> for Weigh {
    fn weight(&self, key: &Key, entry: &Entry) -> u64 {
        weight(key, entry.value.bytes())
    }
}

fn weight(key: &Key, value: &[u8]) -> u64 {
    let bytes = key.bytes().len().saturating_add(value.len());
    OVERHEAD.saturating_add(bytes as u64)
}

/// An answer that memory has.
pub(super) struct Seen {
    pub value: Arc<[u8]>,
    pub since: Duration,
    pub age: Age,
    /// It is asked for again, lasts, and has no row on the disk. Said once.
    pub worth_writing: bool,
}

impl Seen {
    pub fn found(self) -> Found {
        Found {
            value: self.value,
            stale: !self.age.is_fresh(),
            age: self.since,
        }
    }
}

fn empty(capacity: u64) -> Cache<Key, Entry, Weigh> {
    let items = usize::try_from(capacity / USUAL).unwrap_or(usize::MAX);
    Cache::with_weighter(items, capacity, Weigh)
}

/// See the module's text.
pub(super) struct Memory {
    cache: Cache<Key, Entry, Weigh>,
    capacity: u64,
}

impl Memory {
    pub fn new(capacity: u64) -> Memory {
        Memory {
            cache: empty(capacity),
            capacity,
        }
    }

    /// Forgets what is cheap to find out again, and lets go of the tables that
    /// it has made large.
    pub fn give_back(&mut self) {
        let mut old = std::mem::replace(&mut self.cache, empty(self.capacity));
        for (key, entry) in old.drain() {
            if key.kind().is_fetched() {
                self.cache.insert(key, entry);
            }
        }
    }

    pub fn bytes(&self) -> u64 {
        self.cache.weight()
    }

    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    pub fn len(&self) -> usize {
        self.cache.len()
    }

    pub fn look(&mut self, key: &Key, now: Moment) -> Option<Seen> {
        let mut entry = self.cache.get_mut(key)?;
        let since = entry.since(now);
        let age = key.terms().judge(since);
        let worth_writing = entry.lasting && !entry.written && age.is_fresh();
        if worth_writing {
            entry.written = true;
        }
        Some(Seen {
            value: entry.value.shared(),
            since,
            age,
            worth_writing,
        })
    }

    /// Keeps an answer that is new.
    pub fn put(&mut self, key: &Key, value: Arc<[u8]>, now: Moment, lasting: bool) {
        let lasting = lasting && key.terms().disk;
        self.insert(
            key,
            Entry {
                value: value.into(),
                at: now,
                older: Duration::ZERO,
                lasting,
                written: false,
            },
        );
    }

    /// Keeps one that the disk had.
    pub fn put_older(&mut self, key: &Key, value: Arc<[u8]>, now: Moment, older: Duration) {
        self.insert(
            key,
            Entry {
                value: value.into(),
                at: now,
                older,
                lasting: true,
                written: true,
            },
        );
    }

    fn insert(&mut self, key: &Key, entry: Entry) {
        if weight(key, entry.value.bytes()) > self.capacity / SHARE {
            self.cache.remove(key);
        } else {
            self.cache.insert(key.clone(), entry);
        }
    }

    pub fn remove(&mut self, key: &Key) {
        self.cache.remove(key);
    }

    /// Drops what is of no use any more.
    pub fn sweep(&mut self, now: Moment) {
        self.cache
            .retain(|key, entry| key.terms().judge(entry.since(now)) != Age::Dead);
    }
}

#[cfg(test)]
impl Memory {
    /// Counted anew.
    pub fn held(&self) -> u64 {
        let entries = self.cache.iter();
        entries
            .map(|(key, entry)| weight(key, entry.value.bytes()))
            .sum()
    }
}
