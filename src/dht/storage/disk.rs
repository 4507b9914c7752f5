//! Records that are kept for others, on their way to the disk and back.
//!
//! A node that was restarted must not have lost what it keeps: else an update of
//! all nodes of a small network, one after the other, would lose everything that
//! nobody publishes again. But most of what passes through is worth no flash:
//!
//! * Node records and values hold for a day. They are written lazily, once an hour,
//!   so many pages at most ([`HOURLY_PAGES`]) that a busy network does not wear the
//!   disk out. LMDB writes whole pages, so records that lie side by side are taken
//!   together, and the next time goes on where the last one has ended.
//! * Presences are signed anew within the hour. They are written when the node is
//!   stopped, and their rows are removed when the next start has read them. After a
//!   power cut the replicas bring them back.
//! * Copies that lookups leave behind are not written at all.
//!
//! What comes back from the disk is parsed and checked like what comes from a
//! stranger. A row lies under the record's distance from this node, in the order of
//! [`super::Place`].

use super::{distance, left, life, Place, Source, Storage, Stored};
use crate::dht::record::{Kind, Record as DhtRecord, Refusal, ValidRecord};
use crate::dht::seal::{Verify, Wall};
use crate::identity::Address;
use crate::store::{Record, Table};
use crate::time::Moment;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Pages of rows that an hour's records may fill. LMDB writes more: it splits
/// pages and copies the way to them. With statistics and peers a node without devices
/// stays below 2 MB a day (tests/store_budget.rs).
pub const HOURLY_PAGES: usize = 2;

/// The letter of presences in keys.
const PRESENCE: u8 = b'p';

/// Rows that fit into one page of 4 KiB are about so many bytes: pages of a table
/// that grows here and there are two thirds full.
const PAGE_BYTES: usize = 2_700;

/// What a row takes beside the record: key, header of the node, checksum, numbers.
const ROW_OVERHEAD: usize = 64;

/// Rows that are removed in an hour: more than are written.
const HOURLY_GONE: usize = 150;

/// A row is written anew when the record is kept so much longer than it says.
const STALE: Duration = Duration::from_secs(12 * 3600);

/// A row of the table `dht_values`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRow {
    /// [`Place`], with a letter for the pool: what this node has of the key space
    /// lies side by side.
    place: Vec<u8>,
    /// When it is forgotten, in unix seconds; 0: the clock was not to be believed.
    ends: u64,
    /// Who brought it; `None`: passed on.
    source: Option<u64>,
    /// Kind and RLP.
    record: Vec<u8>,
}

impl Record for KeptRow {
    const TABLE: Table = Table::DhtValues;
    const VERSION: u8 = 1;
    fn key(&self) -> Vec<u8> {
        self.place.clone()
    }
}

/// A row that has passed every check.
pub struct Kept {
    record: ValidRecord,
    source: Option<Source>,
    ends: u64,
}

impl KeptRow {
    /// Keys from the first up to the second are those of presences.
    pub const PASSING: ([u8; 1], [u8; 1]) = ([PRESENCE], [PRESENCE + 1]);

    /// Whether its row is to be removed once it was read.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.place.first() == Some(&PRESENCE)
    }

    /// Checks it as if a stranger had sent it; `own` is this node.
    ///
    /// # Errors
    /// Why it is not to be kept any more; `Form` also for a row of another node.
    pub fn check(self, own: &Address, wall: Wall, verify: &dyn Verify) -> Result<Kept, Refusal> {
        let record = DhtRecord::parse(&self.record)?;
        let place = (distance(own, &record.key()), record.entry().slot);
        if key_of(record.kind(), &place) != self.place {
            return Err(Refusal::Form);
        }
        if wall.trusted && self.ends != 0 && self.ends <= wall.unix {
            return Err(Refusal::Over);
        }
        Ok(Kept {
            record: record.check(wall, verify)?,
            source: self.source.map(Source),
            ends: self.ends,
        })
    }
}

/// What is to be done on the disk.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ToSave {
    /// Rows to be written.
    pub rows: Vec<KeptRow>,
    /// Keys of rows to be removed.
    pub gone: Vec<Vec<u8>>,
}

fn key_of(kind: Kind, (distance, slot): &Place) -> Vec<u8> {
    let letter = match kind {
        Kind::Presence => PRESENCE,
        Kind::Node => b'n',
        Kind::Content | Kind::Mutable => b'v',
    };
    [&[letter][..], &distance.0, &slot.to_be_bytes()].concat()
}

/// What the disk has of a record: nothing, an older one under the same key, or
/// the record, with the time at which it is forgotten by that row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OnDisk {
    #[default]
    Nothing,
    Older,
    Until(Moment),
}

impl Stored {
    fn is_unsaved(&self) -> bool {
        match self.disk {
            _ if self.cached => false,
            OnDisk::Nothing | OnDisk::Older => true,
            OnDisk::Until(ends) => self.expires.since(ends) >= STALE,
        }
    }

    fn row(&self, place: &Place, now: Moment, wall: Wall) -> KeptRow {
        let left = self.expires.since(now).as_secs();
        KeptRow {
            place: key_of(self.record.kind(), place),
            ends: if wall.trusted {
                wall.unix.saturating_add(left)
            } else {
                0
            },
            source: self.source.map(|source| source.0),
            record: self.record.bytes().to_vec(),
        }
    }
}

impl Storage {
    /// What is to be written now; it counts as written from here on. In the hour
    /// little, at the end (`ending`) everything. Remove what is gone first: a key
    /// may be in both lists.
    pub fn to_save(&mut self, now: Moment, wall: Wall, ending: bool) -> ToSave {
        let mut pages = Pages {
            left: if ending { usize::MAX } else { HOURLY_PAGES },
            ..Pages::default()
        };
        let mut save = ToSave {
            rows: Vec::new(),
            gone: self.gone(if ending { usize::MAX } else { HOURLY_GONE }),
        };
        let begin = self.saved_up_to.take();
        // From where the last one has ended to the end, then from the beginning.
        for again in [false, true] {
            for (number, pool) in [&mut self.found, &mut self.values].into_iter().enumerate() {
                for (place, stored) in pool.iter_mut() {
                    let at = (number, *place);
                    if begin.is_none_or(|begin| at >= begin) == again {
                        continue;
                    }
                    let passing = stored.record.kind() == Kind::Presence && !ending;
                    if passing || stored.cached || stored.over(now, wall) {
                        continue;
                    }
                    let wanted = stored.is_unsaved();
                    if !pages.pass(stored.record.bytes().len(), wanted) {
                        self.saved_up_to = Some(at);
                        return save;
                    }
                    if wanted {
                        save.rows.push(stored.row(place, now, wall));
                        stored.disk = OnDisk::Until(stored.expires);
                    }
                }
            }
        }
        save
    }

    /// Takes back what an earlier run has kept. False: there is something newer, no
    /// room, or it is over; its row is of no use.
    pub fn restore(&mut self, now: Moment, wall: Wall, kept: Kept) -> bool {
        let record = kept.record;
        let (kind, place) = (record.kind(), self.place(&record));
        let mut most = life(kind);
        if wall.trusted && kept.ends != 0 {
            most = most.min(Duration::from_secs(kept.ends.saturating_sub(wall.unix)));
        }
        let ends = now + left(wall, &record, most);
        let restored = self
            .newest(&record)
            .and_then(|()| self.insert(now, wall, record, most, kept.source, false));
        if restored.is_err() {
            return false;
        }
        // The rows of presences are gone once they were read.
        if let Some(stored) = self.pool_mut(kind).get_mut(&place) {
            if kind != Kind::Presence {
                stored.disk = OnDisk::Until(ends);
            }
        }
        true
    }

    /// Rows of records that are kept no more, at most so many.
    fn gone(&mut self, most: usize) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        for pool in [&mut self.found, &mut self.values] {
            let gone = pool.take_gone(most.saturating_sub(keys.len()));
            keys.extend(gone.iter().map(|(kind, place)| key_of(*kind, place)));
        }
        keys
    }
}

/// How many pages of the table are touched so far.
#[derive(Default)]
struct Pages {
    left: usize,
    bytes: usize,
    /// The page that was touched last.
    at: Option<usize>,
}

impl Pages {
    /// One record further; `wanted`: it is written. False: no page is left for it.
    fn pass(&mut self, bytes: usize, wanted: bool) -> bool {
        self.bytes = self.bytes.saturating_add(bytes + ROW_OVERHEAD);
        if !wanted {
            return true;
        }
        let page = self.bytes / PAGE_BYTES;
        if self.at != Some(page) {
            let Some(left) = self.left.checked_sub(1) else {
                return false;
            };
            self.left = left;
            self.at = Some(page);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::STORAGE_BYTES;
    use super::*;
    use crate::dht::testing::{address, content, toy_presence, Toy, NOW};
    use std::collections::BTreeMap;

    const HOUR: u64 = 3600;

    fn at(seconds: u64) -> (Moment, Wall) {
        let wall = Wall {
            unix: NOW + seconds,
            trusted: true,
        };
        (Moment(0) + Duration::from_secs(seconds), wall)
    }

    /// What lies on the disk.
    type Disk = BTreeMap<Vec<u8>, KeptRow>;

    fn write(disk: &mut Disk, changes: ToSave) -> usize {
        for key in &changes.gone {
            disk.remove(key);
        }
        let count = changes.rows.len();
        for row in changes.rows {
            disk.insert(row.key(), row);
        }
        count
    }

    fn empty() -> Storage {
        Storage::new(address(0), STORAGE_BYTES)
    }

    fn read(disk: &Disk, seconds: u64) -> Storage {
        let (now, wall) = at(seconds);
        let mut storage = empty();
        for row in disk.values() {
            if let Ok(kept) = row.clone().check(&address(0), wall, &Toy(address(0))) {
                storage.restore(now, wall, kept);
            }
        }
        storage
    }

    fn all(storage: &Storage) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = storage.records().map(|r| r.bytes().to_vec()).collect();
        all.sort();
        all
    }

    #[test]
    fn everything_that_is_kept_at_the_end_is_there_after_a_restart() {
        let (mut storage, mut disk) = (empty(), Disk::new());
        let (now, wall) = at(0);
        for n in 0..200 {
            let value = content(n, 100, NOW + 20 * HOUR);
            storage.put(now, wall, value, Some(Source(n))).unwrap();
            let presence = toy_presence(n, 1, NOW);
            storage.put(now, wall, presence, None).unwrap();
        }
        // A copy on the way of a lookup is not ours to keep.
        assert!(storage.cache(now, wall, content(999, 100, NOW + HOUR), 0));
        assert_eq!(write(&mut disk, storage.to_save(now, wall, true)), 400);
        let back = read(&disk, 60);
        assert_eq!(back.len(), 400);
        let kept: Vec<_> = all(&storage);
        assert!(all(&back).iter().all(|bytes| kept.contains(bytes)));
        // Sources count on, and each ends when it would have ended.
        let sources = |storage: &Storage| {
            let mut all: Vec<_> = storage.all().filter(|s| !s.cached).collect();
            all.sort_by_key(|s| s.record.bytes().to_vec());
            all.iter()
                .map(|s| (s.source, s.expires.0 / 1_000_000_000))
                .collect::<Vec<_>>()
        };
        assert_eq!(sources(&back), sources(&storage));
        // What is over is not taken back: presences after an hour, the rest after a day.
        assert_eq!(read(&disk, 2 * HOUR).len(), 200);
        assert_eq!(read(&disk, 20 * HOUR).len(), 0);
    }

    #[test]
    fn a_row_that_was_tampered_with_or_is_another_node_s_is_not_taken_back() {
        let (mut storage, mut disk) = (empty(), Disk::new());
        let (now, wall) = at(0);
        storage
            .put(now, wall, toy_presence(1, 1, NOW), None)
            .unwrap();
        write(&mut disk, storage.to_save(now, wall, true));
        let row = disk.into_values().next().unwrap();
        let check = |row: KeptRow, own: u64| row.check(&address(own), wall, &Toy(address(0)));
        assert!(check(row.clone(), 0).is_ok());
        assert!(check(row.clone(), 1).is_err());
        // (The made-up signatures behind have bytes that mean nothing.)
        for byte in 0..100 {
            let mut forged = row.clone();
            forged.record[byte] ^= 1;
            assert!(check(forged, 0).is_err(), "byte {byte}");
        }
    }

    #[test]
    fn a_busy_network_does_not_wear_the_disk_out() {
        let (mut storage, mut disk) = (empty(), Disk::new());
        let mut next = 0;
        let mut bytes = 0;
        for hour in 0..24 {
            let (now, wall) = at(hour * HOUR);
            // More values come in an hour than fit into what may be written of them.
            for _ in 0..300 {
                let until = wall.unix + 20 * HOUR;
                let _ = storage.put(now, wall, content(next, 100, until), Some(Source(next)));
                let presence = toy_presence(next, 1, wall.unix);
                let _ = storage.put(now, wall, presence, None);
                next += 1;
            }
            let changes = storage.to_save(now, wall, false);
            assert!(changes.rows.iter().all(|row| !row.is_passing()));
            // Rows of a page lie side by side.
            let weight = |row: &KeptRow| row.record.len() + ROW_OVERHEAD;
            bytes += changes.rows.iter().map(weight).sum::<usize>();
            write(&mut disk, changes);
        }
        assert!(bytes <= 24 * (HOURLY_PAGES + 1) * PAGE_BYTES, "{bytes}");
        assert!(bytes >= 24 * (HOURLY_PAGES - 1) * PAGE_BYTES, "{bytes}");
        // In the end everything that was left behind is written, and only that.
        let (now, wall) = at(24 * HOUR);
        storage.expire(now, wall);
        write(&mut disk, storage.to_save(now, wall, true));
        assert_eq!(disk.len(), storage.len());
        assert_eq!(write(&mut disk, storage.to_save(now, wall, true)), 0);
    }

    #[test]
    fn what_is_over_or_pushed_out_leaves_the_disk_too() {
        let (mut storage, mut disk) = (empty(), Disk::new());
        let (now, wall) = at(0);
        for n in 0..40 {
            let value = content(n, 30, NOW + 2 * HOUR);
            storage.put(now, wall, value, Some(Source(n))).unwrap();
        }
        write(&mut disk, storage.to_save(now, wall, true));
        assert_eq!(disk.len(), 40);
        // What came back is known to lie there.
        let mut storage = read(&disk, 60);
        let (now, wall) = at(3 * HOUR);
        storage.expire(now, wall);
        write(&mut disk, storage.to_save(now, wall, false));
        assert_eq!((storage.len(), disk.len()), (0, 0));
    }
}
