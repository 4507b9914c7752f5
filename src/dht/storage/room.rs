//! Who has to go when a pool is full.

use super::disk::OnDisk;
use super::{cost, Place, Source, Stored, RECORD_OVERHEAD};
use crate::dht::record::{Kind, Record, SLOTS};
use crate::identity::Address;
use crate::sorted::Map;
use crate::wire::dht::{Entry, RECORD_MAX};
use std::collections::BTreeMap;

/// One subnet has at most an eighth of a full pool.
const SHARE: usize = 8;
/// All that was passed on by others has at most half of it.
const SHARE_PASSED_ON: usize = 2;
/// Copies of lookups have at most a quarter, and only of what is free.
const SHARE_CACHED: usize = 4;

/// Records with a bound in bytes, by their distance from the own id.
pub(super) struct Pool {
    limit: usize,
    bytes: usize,
    cached: usize,
    /// Bytes a source, copies left out.
    sources: Map<Option<Source>, usize>,
    /// How many sources have more than their share: mostly none, and then nobody
    /// needs to be looked for among thousands.
    heavy: usize,
    stored: BTreeMap<Place, Stored>,
    /// What the disk has and this pool has no more.
    gone: Vec<(Kind, Place)>,
}

impl Pool {
    pub(super) fn new(limit: usize) -> Pool {
        Pool {
            limit,
            bytes: 0,
            cached: 0,
            sources: Map::new(),
            heavy: 0,
            stored: BTreeMap::new(),
            gone: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.stored.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stored> {
        self.stored.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Place, &mut Stored)> {
        self.stored.iter_mut()
    }

    /// What lies on the disk and is kept no more: at most so many, each once.
    pub(super) fn take_gone(&mut self, most: usize) -> Vec<(Kind, Place)> {
        let first = self.gone.len().saturating_sub(most);
        self.gone.split_off(first)
    }

    /// What is kept under the key at `distance`.
    pub(super) fn at(&self, distance: Address) -> impl Iterator<Item = &Stored> {
        let range = (distance, 0)..=(distance, u64::MAX);
        self.stored.range(range).map(|(_, stored)| stored)
    }

    pub(super) fn get(&self, place: &Place) -> Option<&Stored> {
        self.stored.get(place)
    }

    pub(super) fn get_mut(&mut self, place: &Place) -> Option<&mut Stored> {
        self.stored.get_mut(place)
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Stored) -> bool) {
        let gone: Vec<Place> = self
            .stored
            .iter()
            .filter(|(_, stored)| !keep(stored))
            .map(|(place, _)| *place)
            .collect();
        for place in gone {
            self.remove(&place);
        }
    }

    /// Whether [`Pool::insert`] would keep such a record.
    pub(super) fn has_room(&self, place: Place, record: &Record, source: Option<Source>) -> bool {
        self.plan(place, cost(record), source, false).is_some()
    }

    /// Whether a record that another node lists is newer than what is here, and
    /// not farther than what fills the pool.
    pub(super) fn lacks(&self, place: Place, their: &Entry) -> bool {
        let newer = |mine: &Entry| (their.order, their.until) > (mine.order, mine.until);
        let mut slots = 0;
        let mut oldest = None;
        for stored in self.at(place.0).filter(|stored| !stored.cached) {
            let mine = stored.record.entry();
            if mine.slot == place.1 {
                return newer(mine);
            }
            slots += 1;
            let version = (mine.order, mine.until);
            oldest = Some(oldest.map_or(version, |old: (u64, u64)| old.min(version)));
        }
        if slots >= SLOTS {
            return oldest.is_some_and(|old| (their.order, their.until) > old);
        }
        let full = self.bytes + RECORD_MAX + RECORD_OVERHEAD > self.limit;
        let farthest = self.stored.last_key_value().map(|(place, _)| *place);
        !full || farthest.is_some_and(|farthest| place < farthest)
    }

    /// Keeps `stored` in place of what was there, and drops what is worse until
    /// there is room. False: it is the worst itself, and nothing has changed.
    pub(super) fn insert(&mut self, place: Place, mut stored: Stored) -> bool {
        let Some(gone) = self.plan(place, stored.cost(), stored.source, stored.cached) else {
            return false;
        };
        for other in gone {
            if other == place {
                // Its row will be written over; until then it says something older.
                if let Some(old) = self.stored.get_mut(&place) {
                    if std::mem::take(&mut old.disk) != OnDisk::Nothing {
                        stored.disk = OnDisk::Older;
                    }
                }
            }
            self.remove(&other);
        }
        self.bytes += stored.cost();
        if stored.cached {
            self.cached += stored.cost();
        } else {
            let bytes = self.of(stored.source) + stored.cost();
            self.charge(stored.source, bytes);
        }
        self.stored.insert(place, stored);
        true
    }

    /// What a source may have of a full pool.
    fn share(&self, source: Option<Source>) -> usize {
        let share = if source.is_none() {
            SHARE_PASSED_ON
        } else {
            SHARE
        };
        self.limit / share
    }

    /// What a source has.
    fn of(&self, source: Option<Source>) -> usize {
        self.sources.get(&source).copied().unwrap_or(0)
    }

    /// Notes what a source has now.
    fn charge(&mut self, source: Option<Source>, bytes: usize) {
        let share = self.share(source);
        self.heavy -= usize::from(self.of(source) > share);
        self.heavy += usize::from(bytes > share);
        if bytes == 0 {
            self.sources.remove(&source);
        } else {
            self.sources.insert(source, bytes);
        }
    }

    fn remove(&mut self, place: &Place) {
        let Some(stored) = self.stored.remove(place) else {
            return;
        };
        if stored.disk != OnDisk::Nothing {
            self.gone.push((stored.record.kind(), *place));
        }
        self.bytes -= stored.cost();
        if stored.cached {
            self.cached -= stored.cost();
        } else {
            let bytes = self.of(stored.source) - stored.cost();
            self.charge(stored.source, bytes);
        }
    }

    /// What has to go for a record of `size` bytes at `place`; none when that
    /// would be the record itself. What it replaces always goes.
    fn plan(
        &self,
        place: Place,
        size: usize,
        source: Option<Source>,
        cached: bool,
    ) -> Option<Vec<Place>> {
        let mut gone = self.replaced(place);
        let freed = |gone: &[Place]| -> usize {
            let costs = gone.iter().filter_map(|at| self.stored.get(at));
            costs.map(Stored::cost).sum()
        };
        let over = |gone: &[Place]| self.bytes + size > self.limit + freed(gone);
        if cached {
            let fits = !over(&gone) && self.cached + size <= self.limit / SHARE_CACHED;
            return fits.then_some(gone);
        }
        if size > self.limit {
            return None;
        }
        if over(&gone) && self.cached > 0 {
            for (at, stored) in self.stored.iter().rev() {
                if stored.cached && !gone.contains(at) {
                    gone.push(*at);
                    if !over(&gone) {
                        break;
                    }
                }
            }
        }
        while over(&gone) {
            let worst = self.worst(place, size, source, &gone)?;
            gone.push(worst);
        }
        Some(gone)
    }

    /// What a record at `place` takes the place of: the same slot, or the oldest
    /// of the slots when all are taken.
    fn replaced(&self, place: Place) -> Vec<Place> {
        if self.stored.contains_key(&place) {
            return vec![place];
        }
        let slots: Vec<&Stored> = self.at(place.0).collect();
        if slots.len() < SLOTS {
            return Vec::new();
        }
        let version = |stored: &&&Stored| {
            let entry = stored.record.entry();
            (entry.order, entry.until)
        };
        let oldest = slots.iter().min_by_key(version);
        let slot = oldest.map(|stored| stored.record.entry().slot);
        slot.map(|slot| (place.0, slot)).into_iter().collect()
    }

    /// The next one to go: the farthest of the source that is farthest beyond its
    /// share, else the farthest of all. None: that is the new record.
    fn worst(
        &self,
        place: Place,
        size: usize,
        source: Option<Source>,
        gone: &[Place],
    ) -> Option<Place> {
        let excess = |of: Option<Source>, bytes: usize| {
            let gone = gone.iter().filter_map(|at| self.stored.get(at));
            let gone = gone.filter(|stored| !stored.cached && stored.source == of);
            let mut bytes = bytes.saturating_sub(gone.map(Stored::cost).sum());
            if of == source {
                bytes += size;
            }
            bytes.saturating_sub(self.share(of))
        };
        let own = (source, self.of(source));
        let others = self.sources.iter().map(|(of, bytes)| (*of, *bytes));
        let heaviest = others
            .take(if self.heavy == 0 { 0 } else { usize::MAX })
            .chain([own])
            .filter(|(of, bytes)| of == &source || *bytes > self.share(*of))
            .map(|(of, bytes)| (excess(of, bytes), of))
            .filter(|(excess, _)| *excess > 0)
            .max();
        let candidate = self
            .stored
            .iter()
            .rev()
            .filter(|(at, stored)| !stored.cached && !gone.contains(at))
            .find(|(_, stored)| heaviest.is_none_or(|(_, of)| stored.source == of))
            .map(|(at, _)| *at)?;
        let rival = heaviest.is_none_or(|(_, of)| of == source);
        if rival && place > candidate {
            None
        } else {
            Some(candidate)
        }
    }
}
