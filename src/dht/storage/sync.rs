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
use crate::sorted;
use crate::time::Moment;
use crate::wire::dht::{Body, Entry, Hashes, Prefix, ENTRIES_MAX, FANOUT};

/// Most records that one SYNCED makes an asker send; more come with the next.
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
    /// Records to send it (STORE): it lacks them or has older ones.
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
        let mut listed = 0;
        let mut entries: Vec<Entry> = Vec::new();
        let both = hashes
            .iter()
            .zip(theirs)
            .zip(self.by_branch(now, wall, prefix));
        for (branch, ((mine, theirs), of)) in both.enumerate() {
            if mine != theirs && entries.len() + of.len() <= ENTRIES_MAX {
                listed |= 1 << branch;
                entries.extend(of.iter().map(|stored| stored.record.entry()));
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
    /// it says. A liar can always have further questions: count them and give up.
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
        let mut comparison = Comparison::default();
        let mut mine = self.by_branch(now, wall, prefix);
        // The branches that differ and are not done.
        let mut left = Vec::new();
        let mut hashes = *theirs;
        let both = sent.hashes.iter().zip(&mut hashes).zip(&mut mine);
        for (branch, ((mine, theirs), stored)) in both.enumerate() {
            if mine == theirs {
                continue;
            }
            let of: Vec<&Entry> = entries
                .iter()
                .filter(|e| prefix.holds(&e.key) && prefix.branch(&e.key) == branch)
                .collect();
            stored.retain(|stored| {
                let mine = stored.record.entry();
                let same = |their: &&&Entry| (their.key, their.slot) == (mine.key, mine.slot);
                match of.iter().find(same) {
                    Some(their) => stored.record.supersedes(their),
                    None => true,
                }
            });
            let fits = comparison.push.len() + stored.len() <= PUSH_MAX;
            if listed >> branch & 1 == 0 || !fits {
                left.push(branch);
                *theirs = *mine;
                continue;
            }
            let push = stored.iter().map(|stored| stored.record.clone());
            comparison.push.extend(push);
            for their in of {
                if !comparison.pull.contains(&their.key) && self.lacks(wall, their) {
                    comparison.pull.push(their.key);
                }
            }
        }
        let differing = sent.hashes.iter().zip(theirs);
        let differing = differing.filter(|(mine, theirs)| mine != theirs).count();
        if left.len() == differing {
            // Each of them is too long for one packet.
            for prefix in left.iter().filter_map(|branch| prefix.below(*branch)) {
                let hashes = self.hashes(now, wall, &prefix);
                comparison.next.push(SyncStep { prefix, hashes });
            }
        } else if !left.is_empty() {
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

    /// What is kept in each subtree below `prefix`.
    fn by_branch(&self, now: Moment, wall: Wall, prefix: &Prefix) -> [Vec<&Stored>; FANOUT] {
        let mut branches = [const { Vec::new() }; FANOUT];
        for stored in self.below(now, wall, prefix) {
            if let Some(branch) = branches.get_mut(prefix.branch(&stored.record.key())) {
                branch.push(stored);
            }
        }
        branches
    }

    /// What is kept below `prefix`, by key and slot.
    fn below(&self, now: Moment, wall: Wall, prefix: &Prefix) -> Vec<&Stored> {
        let mut found: Vec<&Stored> = [&self.found, &self.values]
            .iter()
            .flat_map(|pool: &&Pool| pool.iter())
            .filter(|stored| !stored.cached && prefix.holds(&stored.record.key()))
            .filter(|stored| !stored.over(now, wall))
            .collect();
        sorted::sort_by(&mut found, |a, b| {
            let (a, b) = (&a.record, &b.record);
            let by_key = a.key().cmp(&b.key());
            by_key.then_with(|| a.entry().slot.cmp(&b.entry().slot))
        });
        found
    }
}
