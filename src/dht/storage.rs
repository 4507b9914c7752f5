//! What a node keeps for others: a bounded store in memory.
//!
//! Node records and presences have three quarters of the bytes, values one. In
//! each of these two pools, when it is full, the first to go are copies cached
//! on the way of a lookup, then the farthest record of the source that has more
//! than its share, then the farthest of all; distance is that between key and
//! own id. Whatever is worse than everything kept is refused, so a flood of far
//! records, or of near ones from one source, costs its sender only.
//!
//! A *source* is who brought the record: the subnet of a node that stores what
//! it has signed itself, or a value; all records passed on by other nodes
//! together are one source with half of the pool, because whoever passes them
//! on cannot be blamed for them.
//!
//! How it is used: [`Storage::take`] with each record of a STORE gives the byte
//! of STORED. [`Storage::get`] for FIND_VALUE. [`Storage::expire`] when
//! [`Storage::due`]. [`Storage::cache`] for what a lookup left at the node
//! closest to the key that did not have it. `sync.rs` has what SYNC and SYNCED
//! need, by which replicas keep their sets alike. [`Storage::to_save`] and
//! [`Storage::restore`] are for the disk (`disk.rs`). No I/O, no randomness; order
//! depends on the calls alone.

mod disk;
mod room;
mod sync;

pub use disk::{Kept, KeptRow, ToSave, HOURLY_PAGES};
pub use sync::{Comparison, SyncStep, PUSH_MAX};

use super::merkle;
use super::record::{Kind, Record, Refusal, ValidRecord, SLOTS};
use super::seal::{Verify, Wall};
use crate::identity::Address;
use crate::sorted;
use crate::time::Moment;
use crate::wire::presence::{AHEAD_MAX, UNTIL_MAX};
use disk::OnDisk;
use room::Pool;
use std::time::Duration;

/// Bytes that a node keeps for others by default: 6,000 presences, or what
/// 300 devices a node make of a network of any size. A quarter of what the whole
/// node may take with a hundred peers.
pub const STORAGE_BYTES: usize = 2 << 20;
/// What a record takes beside its own bytes: its place in the map (a leaf of a
/// B-tree is two thirds full in the mean) and an allocation.
pub const RECORD_OVERHEAD: usize = 224;
/// Node records and values are forgotten this long after they were last stored,
/// whatever their `until`.
pub const VALUE_LIFE: Duration = Duration::from_secs(24 * 3600);
/// A presence likewise: the hour that a node may sign for, and the minutes by
/// which clocks may differ.
const PRESENCE_LIFE: Duration = Duration::from_secs(UNTIL_MAX + AHEAD_MAX);
/// Longest life of a cached presence: the device may move meanwhile, and who is
/// sent to its old node loses a round trip.
const CACHE_PRESENCE: Duration = Duration::from_secs(300);
/// Longest life of other cached records.
const CACHE_OTHERS: Duration = Duration::from_secs(3600);
/// A shorter life in the cache is not worth the packet.
const CACHE_SHORTEST: Duration = Duration::from_secs(10);

/// Who brought a record: any number that is the same for all addresses of one
/// subnet (the engine's, by which buckets are bounded).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(pub u64);

/// A place in a pool: the distance from the own id, and the slot below the key.
type Place = (Address, u64);

/// A record and what is known of it.
struct Stored {
    record: ValidRecord,
    /// When it ends by our own clock, however the wall clock is set later.
    expires: Moment,
    /// [`merkle::leaf`].
    leaf: u64,
    /// None: passed on by a node that has not signed it.
    source: Option<Source>,
    /// A copy from a lookup: not ours to keep.
    cached: bool,
    /// What the disk has of it.
    disk: OnDisk,
}

impl Stored {
    fn cost(&self) -> usize {
        cost(&self.record)
    }

    fn over(&self, now: Moment, wall: Wall) -> bool {
        now >= self.expires || self.record.until() <= wall.unix
    }
}

fn cost(record: &Record) -> usize {
    record.bytes().len().saturating_add(RECORD_OVERHEAD)
}

/// Records kept for others.
pub struct Storage {
    own: Address,
    /// Node records and presences.
    found: Pool,
    /// Values.
    values: Pool,
    /// Nothing ends before that.
    due: Option<Moment>,
    /// Where writing to the disk goes on: pool and place.
    saved_up_to: Option<(usize, Place)>,
}

impl Storage {
    /// An empty store of the node `own` that takes at most `bytes`.
    #[must_use]
    pub fn new(own: Address, bytes: usize) -> Storage {
        let values = bytes / 4;
        Storage {
            own,
            found: Pool::new(bytes.saturating_sub(values)),
            values: Pool::new(values),
            due: None,
            saved_up_to: None,
        }
    }

    /// Takes a record of a STORE that `from` has signed, out of the subnet
    /// `source`. Form, order and room are looked at before signatures. True: it is
    /// new here; false: it was here already, and is kept for longer if it may be.
    ///
    /// # Errors
    /// Why it is not kept: [`Refusal::code`] goes into STORED.
    pub fn take(
        &mut self,
        now: Moment,
        wall: Wall,
        from: &Address,
        source: Source,
        bytes: &[u8],
        verify: &dyn Verify,
    ) -> Result<bool, Refusal> {
        let record = Record::parse(bytes)?;
        let source = match record.publisher() {
            Some(publisher) if publisher != *from => None,
            _ => Some(source),
        };
        if self.have(now, wall, &record) {
            return Ok(false);
        }
        self.make_way(now, wall);
        self.newest(&record)?;
        if !self
            .pool(record.kind())
            .has_room(self.place(&record), &record, source)
        {
            return Err(Refusal::Full);
        }
        let record = record.check(wall, verify)?;
        self.put(now, wall, record, source).map(|()| true)
    }

    /// Keeps a record that was checked; see [`Storage::take`].
    ///
    /// # Errors
    /// `Stale`, `Over` or `Full`.
    pub fn put(
        &mut self,
        now: Moment,
        wall: Wall,
        record: ValidRecord,
        source: Option<Source>,
    ) -> Result<(), Refusal> {
        self.make_way(now, wall);
        self.newest(&record)?;
        let most = life(record.kind());
        self.insert(now, wall, record, most, source, false)
    }

    /// Keeps a copy of a record found elsewhere, `between` nodes away from the
    /// closest one to the key: its life halves with each of them (Kademlia,
    /// section 4.1: else what is asked for often is cached everywhere). Takes
    /// free room only. True: it is kept.
    pub fn cache(&mut self, now: Moment, wall: Wall, record: ValidRecord, between: u32) -> bool {
        self.make_way(now, wall);
        if self.newest(&record).is_err() {
            return false;
        }
        let kept = self.pool(record.kind()).get(&self.place(&record));
        if let Some(kept) = kept.filter(|stored| !stored.cached) {
            // Newer than what is kept for others: it is kept for them.
            let source = kept.source;
            return self.put(now, wall, record, source).is_ok();
        }
        let most = match record.kind() {
            Kind::Presence => CACHE_PRESENCE,
            _ => CACHE_OTHERS,
        };
        let life = most
            .checked_div(1u32.checked_shl(between).unwrap_or(0))
            .unwrap_or_default();
        life >= CACHE_SHORTEST && self.insert(now, wall, record, life, None, true).is_ok()
    }

    /// What is here under `key`, newest first.
    #[must_use]
    pub fn get(&self, now: Moment, wall: Wall, key: &Address) -> Vec<&ValidRecord> {
        let mut found: Vec<&ValidRecord> = [&self.found, &self.values]
            .iter()
            .flat_map(|pool| pool.at(distance(&self.own, key)))
            .filter(|stored| !stored.over(now, wall))
            .map(|stored| &stored.record)
            .collect();
        sorted::sort_by(&mut found, |a, b| a.newest_first(b));
        found
    }

    /// When [`Storage::expire`] has something to do, at the earliest.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        self.due
    }

    /// Drops what has ended. Looks at every record: call it when it is due, and
    /// when the wall clock has become trusted.
    pub fn expire(&mut self, now: Moment, wall: Wall) {
        for pool in [&mut self.found, &mut self.values] {
            pool.retain(|stored| !stored.over(now, wall));
        }
        self.due = self.all().map(|stored| stored.expires).min();
    }

    /// Everything that is kept, copies included, closest to this node first
    /// within each pool.
    pub fn records(&self) -> impl Iterator<Item = &ValidRecord> {
        self.all().map(|stored| &stored.record)
    }

    /// Number of records, copies included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len() + self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that are taken, [`RECORD_OVERHEAD`] a record included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.found.bytes() + self.values.bytes()
    }

    fn all(&self) -> impl Iterator<Item = &Stored> {
        self.found.iter().chain(self.values.iter())
    }

    fn place(&self, record: &Record) -> Place {
        (distance(&self.own, &record.key()), record.entry().slot)
    }

    fn pool(&self, kind: Kind) -> &Pool {
        match kind {
            Kind::Node | Kind::Presence => &self.found,
            Kind::Content | Kind::Mutable => &self.values,
        }
    }

    fn pool_mut(&mut self, kind: Kind) -> &mut Pool {
        match kind {
            Kind::Node | Kind::Presence => &mut self.found,
            Kind::Content | Kind::Mutable => &mut self.values,
        }
    }

    /// Whether exactly this record is kept; its life then begins anew.
    fn have(&mut self, now: Moment, wall: Wall, record: &Record) -> bool {
        let place = self.place(record);
        match self.pool_mut(record.kind()).get_mut(&place) {
            Some(stored)
                if !stored.cached
                    && !stored.over(now, wall)
                    && stored.record.bytes() == record.bytes() =>
            {
                stored.expires = now + left(wall, record, life(record.kind()));
                true
            }
            _ => false,
        }
    }

    /// Whether nothing newer is here. What is equal may be kept instead of a copy.
    fn newest(&self, record: &Record) -> Result<(), Refusal> {
        let (distance, slot) = self.place(record);
        let pool = self.pool(record.kind());
        let mut slots = 0;
        let mut oldest: Option<&Stored> = None;
        for stored in pool.at(distance) {
            if stored.record.entry().slot == slot {
                // What has ended by the wall clock alone is still newer than a replay.
                let newer = record.supersedes(stored.record.entry());
                let same = stored.cached && stored.record.bytes() == record.bytes();
                return if newer || same {
                    Ok(())
                } else {
                    Err(Refusal::Stale)
                };
            }
            slots += 1;
            if oldest.is_none_or(|old| old.record.supersedes(stored.record.entry())) {
                oldest = Some(stored);
            }
        }
        match oldest {
            Some(old) if slots >= SLOTS && !record.supersedes(old.record.entry()) => {
                Err(Refusal::Stale)
            }
            _ => Ok(()),
        }
    }

    /// Drops what has ended, if anything has.
    fn make_way(&mut self, now: Moment, wall: Wall) {
        if self.due.is_some_and(|due| due <= now) {
            self.expire(now, wall);
        }
    }

    fn insert(
        &mut self,
        now: Moment,
        wall: Wall,
        record: ValidRecord,
        most: Duration,
        source: Option<Source>,
        cached: bool,
    ) -> Result<(), Refusal> {
        let left = left(wall, &record, most);
        if left.is_zero() {
            return Err(Refusal::Over);
        }
        let expires = now + left;
        let place = self.place(&record);
        let stored = Stored {
            leaf: merkle::leaf(record.entry()),
            record,
            expires,
            source,
            cached,
            disk: OnDisk::default(),
        };
        let pool = self.pool_mut(stored.record.kind());
        if !pool.insert(place, stored) {
            return Err(Refusal::Full);
        }
        self.due = Some(self.due.map_or(expires, |due| due.min(expires)));
        Ok(())
    }
}

/// How long a record is kept at most that was stored now.
fn life(kind: Kind) -> Duration {
    match kind {
        Kind::Presence => PRESENCE_LIFE,
        _ => VALUE_LIFE,
    }
}

/// How long it is kept: until it ends, at most `most`.
fn left(wall: Wall, record: &Record, most: Duration) -> Duration {
    most.min(Duration::from_secs(
        record.until().saturating_sub(wall.unix),
    ))
}

/// The XOR of two ids, which orders keys by their closeness to one of them.
fn distance(one: &Address, other: &Address) -> Address {
    let mut bytes = one.0;
    for (byte, with) in bytes.iter_mut().zip(other.0) {
        *byte ^= with;
    }
    Address(bytes)
}

#[cfg(test)]
mod tests;
