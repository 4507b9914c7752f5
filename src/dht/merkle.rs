//! The hash tree over stored records (Merkle 1987), by which two replicas find
//! where they differ with a few packets.
//!
//! Leaves are records in the order of their keys; of each counts what SYNCED
//! lists of it: kind, key, slot, order, until. The tree follows the bits of the keys, four a
//! level, and ends where a subtree has at most [`LEAVES_MAX`] records:
//!
//! ```text
//! leaf(record)    = first 8 bytes of SHA-256(kind:8 || key:160 || slot:64 || order:64 || until:64)
//! hash(subtree)   = 0                                              without records
//!                 = first 8 bytes of SHA-256(00 || leaf || leaf …) with at most 16 of them
//!                 = first 8 bytes of SHA-256(01 || 16 hashes)      otherwise
//! ```
//!
//! Where the first 8 bytes are all zero the hash is 1. Nothing of the tree is
//! kept but the leaves' hashes: the records that two nodes share are few.

use crate::identity::{sha256, Address};
use crate::wire::dht::{Entry, Hashes, Prefix, FANOUT, PREFIX_BITS_MAX};

/// Most records in the last level of the tree.
pub const LEAVES_MAX: usize = 16;

/// A record in the tree: its key and [`leaf`] hash.
pub type Leaf = (Address, u64);

/// The hash of a record.
#[must_use]
pub fn leaf(entry: &Entry) -> u64 {
    first(&sha256(&[
        &[entry.kind],
        &entry.key.0,
        &entry.slot.to_be_bytes(),
        &entry.order.to_be_bytes(),
        &entry.until.to_be_bytes(),
    ]))
}

/// The hashes of the subtrees below `prefix`. `leaves` are the records that it
/// holds, in ascending order of key and slot.
#[must_use]
pub fn hashes(prefix: &Prefix, leaves: &[Leaf]) -> Hashes {
    let mut hashes = [0; FANOUT];
    let mut rest = leaves;
    for (branch, hash) in hashes.iter_mut().enumerate() {
        let inside = |leaf: &Leaf| prefix.branch(&leaf.0) <= branch;
        let (below, after) = rest
            .split_at_checked(rest.partition_point(inside))
            .unwrap_or((rest, &[]));
        *hash = subtree(prefix.below(branch), below);
        rest = after;
    }
    hashes
}

/// Recursion ends where the keys do.
fn subtree(prefix: Option<Prefix>, leaves: &[Leaf]) -> u64 {
    if leaves.is_empty() {
        return 0;
    }
    let (mark, hashes): (u8, Vec<u64>) = match prefix {
        Some(prefix) if leaves.len() > LEAVES_MAX && prefix.bits() <= PREFIX_BITS_MAX => {
            (1, hashes(&prefix, leaves).to_vec())
        }
        _ => (0, leaves.iter().map(|leaf| leaf.1).collect()),
    };
    let mut bytes = Vec::with_capacity(1 + hashes.len() * 8);
    bytes.push(mark);
    for hash in hashes {
        bytes.extend_from_slice(&hash.to_be_bytes());
    }
    first(&sha256(&[&bytes]))
}

fn first(hash: &[u8; 32]) -> u64 {
    u64::from_be_bytes(hash.first_chunk().copied().unwrap_or_default()).max(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn sorted(mut leaves: Vec<Leaf>) -> Vec<Leaf> {
        leaves.sort_unstable();
        leaves.dedup();
        leaves
    }

    #[test]
    fn a_hash_changes_with_everything_that_is_listed() {
        let entry = Entry {
            key: Address([1; 20]),
            kind: 2,
            slot: 3,
            order: 4,
            until: 5,
        };
        let changed = [
            Entry { kind: 3, ..entry },
            Entry {
                key: Address([2; 20]),
                ..entry
            },
            Entry { slot: 4, ..entry },
            Entry { order: 5, ..entry },
            Entry { until: 6, ..entry },
        ];
        for other in changed {
            assert_ne!(leaf(&entry), leaf(&other));
        }
    }

    #[test]
    fn many_records_under_one_key_do_not_recurse_for_ever() {
        let leaves: Vec<Leaf> = (0..100).map(|n| (Address([7; 20]), n)).collect();
        let hashes = hashes(&Prefix::ALL, &leaves);
        assert_eq!(hashes.iter().filter(|hash| **hash != 0).count(), 1);
    }

    proptest! {
        #[test]
        fn the_branch_that_differs_is_the_only_one_that_does(
            keys in proptest::collection::vec((any::<[u8; 20]>(), any::<u64>()), 1..200),
            which: prop::sample::Index,
            bits in 0u8..8,
        ) {
            // Keys that share their first byte, so that deeper prefixes are full, too.
            let near: Vec<Leaf> = keys.iter().map(|(key, hash)| {
                let mut key = *key;
                key[0] = 0x5a;
                (Address(key), *hash)
            }).collect();
            let all = sorted(near);
            let prefix = Prefix::of(&all[0].0, bits);
            let gone = which.index(all.len());
            let mut fewer = all.clone();
            let removed = fewer.remove(gone);
            let (one, two) = (hashes(&prefix, &all), hashes(&prefix, &fewer));
            for branch in 0..FANOUT {
                prop_assert_eq!(one[branch] != two[branch], branch == prefix.branch(&removed.0));
            }
        }
    }
}
