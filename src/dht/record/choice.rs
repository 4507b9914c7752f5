//! How an asker chooses among what it is told.

use super::{Record, Refusal, ValidRecord, SLOTS};
use crate::dht::seal::{Verify, Wall};
use crate::identity::Address;
use crate::sorted;

/// The best records of one key that a lookup has seen.
///
/// Start it with what is known already (own storage, an earlier lookup): then a
/// replay of something older is refused, whoever sends it.
#[derive(Clone, Debug)]
pub struct Choice {
    key: Address,
    /// Newest first; one a slot, at most [`SLOTS`].
    records: Vec<ValidRecord>,
}

impl Choice {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(key: Address) -> Choice {
        Choice {
            key,
            records: Vec::new(),
        }
    }

    /// Takes what an answer holds, if it is right and not older than what is
    /// here. True: something has changed. A record that is here already costs no
    /// signature check.
    ///
    /// # Errors
    /// Why it was not taken. Whoever sends `Form`, `Key` or `Signature` does not
    /// do as the protocol says; the others happen among honest nodes.
    pub fn offer(
        &mut self,
        bytes: &[u8],
        wall: Wall,
        verify: &dyn Verify,
    ) -> Result<bool, Refusal> {
        if self.records.iter().any(|record| record.bytes() == bytes) {
            return Ok(false);
        }
        let record = Record::parse(bytes)?;
        if record.key() != self.key {
            return Err(Refusal::Key);
        }
        self.place(&record)?;
        Ok(self.take(record.check(wall, verify)?))
    }

    /// Takes a record that was checked before. True: something has changed.
    pub fn know(&mut self, record: ValidRecord) -> bool {
        record.key() == self.key && self.place(&record).is_ok() && self.take(record)
    }

    /// Whether there is a place for it.
    fn place(&self, record: &Record) -> Result<(), Refusal> {
        let slot = record.entry().slot;
        let same = self.records.iter().find(|r| r.entry().slot == slot);
        let rival = match same {
            Some(same) => Some(same),
            None if self.records.len() < SLOTS => None,
            None => self.records.last(),
        };
        match rival {
            Some(rival) if !record.supersedes(rival.entry()) => Err(Refusal::Stale),
            _ => Ok(()),
        }
    }

    fn take(&mut self, record: ValidRecord) -> bool {
        let slot = record.entry().slot;
        self.records.retain(|r| r.entry().slot != slot);
        self.records.push(record);
        sorted::sort_by(&mut self.records, |a, b| a.newest_first(b));
        self.records.truncate(SLOTS);
        true
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What was found, newest first.
    #[must_use]
    pub fn records(&self) -> &[ValidRecord] {
        &self.records
    }

    /// What was found, newest first.
    #[must_use]
    pub fn into_records(self) -> Vec<ValidRecord> {
        self.records
    }
}
