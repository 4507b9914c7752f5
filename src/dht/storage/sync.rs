//! Comparing records with another replica: both sides of SYNC and SYNCED.
//!
//! The asker sends [`Storage::hashes`] of a prefix that both nodes are responsible for (all
//! nodes that share it are at most k); the answerer sends what
//! [`Storage::answer_sync`] makes of it; the asker gives that to
//! [`Storage::compare`], pushes and pulls what it is told, and sends the further
//! questions that are left. Copies of lookups take no part.

use super::{Pool, Storage, Stored, Wall};
use crate::dht::merkle::{self, Leaf};
use crate::dht::record::{Kind, ValidRecord};
use crate::identity::Address;
use crate::time::Moment;
use crate::wire::dht::{Body, Entry, Hashes, Prefix, ENTRIES_MAX, FANOUT};

/// Most records that one SYNCED makes an asker send: what a liar that claims to
/// have nothing can have sent to it at a time.
pub const PUSH_MAX: usize = 128;

/// A SYNC to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncStep {
    /// What to compare.
    pub prefix: Prefix,
    /// The hashes to send; those of branches that are done are the answerer's.
    pub hashes: Hashes,
}

/// What an asker does with a SYNCED.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Keys to ask the answerer for (FIND_VALUE): it has something newer.
    pub pull: Vec<Address>,
    /// Records to send it (STORE): it lacks them or has older ones. When there are
    /// [`PUSH_MAX`], there may be more: compare again once they are sent.
    pub push: Vec<ValidRecord>,
    /// What is still to be compared.
    pub next: Vec<SyncStep>,
}

impl Storage {
    /// The hashes of the subtrees below `prefix`.
    #[must_use]
    pub fn hashes(&self, now: Moment, wall: Wall, prefix: &Prefix) -> Hashes {
        let leaves: Vec<Leaf> = self
            .below(now, wall, prefix)
            .into_iter()
            .map(|stored| (stored.record.key(), stored.leaf))
            .collect();
        merkle::hashes(prefix, &leaves)
    }

    /// The answer to a SYNC: own hashes, and all records of as many differing
    /// subtrees as fit.
    #[must_use]
    pub fn answer_sync(&self, now: Moment, wall: Wall, prefix: &Prefix, theirs: &Hashes) -> Body {
        let hashes = self.hashes(now, wall, prefix);
        let mut branches = [const { Vec::new() }; FANOUT];
        for stored in self.below(now, wall, prefix) {
            let entry = stored.record.entry();
            if let Some(branch) = branches.get_mut(prefix.branch(&entry.key)) {
                branch.push(*entry);
            }
        }
        let mut listed = 0;
        let mut entries: Vec<Entry> = Vec::new();
        let both = hashes.iter().zip(theirs).zip(branches);
        for (branch, ((mine, theirs), of)) in both.enumerate() {
            if mine != theirs && entries.len() + of.len() <= ENTRIES_MAX {
                listed |= 1 << branch;
                entries.extend(of);
            }
        }
        Body::Synced {
            hashes,
            listed,
            entries,
        }
    }

    /// What follows from a SYNCED that answers the SYNC of `sent`. At most 18
    /// keys to pull, [`PUSH_MAX`] records to push and 16 further questions, whatever
    /// it says.
    #[must_use]
    pub fn compare(
        &self,
        now: Moment,
        wall: Wall,
        sent: &SyncStep,
        theirs: &Hashes,
        listed: u16,
        entries: &[Entry],
    ) -> Comparison {
        let prefix = &sent.prefix;
        let is_listed = |key: &Address| listed >> prefix.branch(key) & 1 == 1;
        let differs = |branch: usize| sent.hashes.get(branch) != theirs.get(branch);
        let mut comparison = Comparison::default();
        for stored in self.below(now, wall, prefix) {
            let mine = stored.record.entry();
            if !is_listed(&mine.key) || !differs(prefix.branch(&mine.key)) {
                continue;
            }
            let same = |their: &&Entry| (their.key, their.slot) == (mine.key, mine.slot);
            let newer = match entries.iter().find(same) {
                Some(their) => stored.record.supersedes(their),
                None => true,
            };
            if newer && comparison.push.len() < PUSH_MAX {
                comparison.push.push(stored.record.clone());
            }
        }
        for their in entries {
            let new = prefix.holds(&their.key)
                && is_listed(&their.key)
                && !comparison.pull.contains(&their.key)
                && self.lacks(wall, their);
            if new {
                comparison.pull.push(their.key);
            }
        }
        let left = |branch: &usize| differs(*branch) && listed >> branch & 1 == 0;
        if listed == 0 {
            // Each of them is too long for one packet.
            let below = (0..FANOUT).filter(left);
            for prefix in below.filter_map(|branch| prefix.below(branch)) {
                let hashes = self.hashes(now, wall, &prefix);
                comparison.next.push(SyncStep { prefix, hashes });
            }
        } else if (0..FANOUT).any(|branch| left(&branch)) {
            let mut hashes = *theirs;
            for (branch, (hash, mine)) in hashes.iter_mut().zip(sent.hashes).enumerate() {
                if left(&branch) {
                    *hash = mine;
                }
            }
            comparison.next.push(SyncStep {
                prefix: *prefix,
                hashes,
            });
        }
        comparison
    }

    /// Whether a record that another replica has would be kept here.
    fn lacks(&self, wall: Wall, their: &Entry) -> bool {
        let Some(kind) = Kind::from_number(their.kind) else {
            return false;
        };
        let place = (super::distance(&self.own, &their.key), their.slot);
        their.until > wall.unix && self.pool(kind).lacks(place, their)
    }

    /// What is kept below `prefix`, by key and slot.
    fn below(&self, now: Moment, wall: Wall, prefix: &Prefix) -> Vec<&Stored> {
        let mut found: Vec<&Stored> = [&self.found, &self.values]
            .iter()
            .flat_map(|pool: &&Pool| pool.iter())
            .filter(|stored| !stored.cached && prefix.holds(&stored.record.key()))
            .filter(|stored| !stored.over(now, wall))
            .collect();
        found.sort_by_key(|stored| (stored.record.key(), stored.record.entry().slot));
        found
    }
}
