//! What two replicas tell each other to find where their records differ.
//!
//! Records form a tree by the bits of their keys, four a level. SYNC names a
//! prefix and the asker's hash of each of the 16 subtrees below it. SYNCED gives
//! the answerer's hashes, and for as many of the differing subtrees as fit the
//! list of what it has there. The asker goes on with a SYNC a subtree that
//! differs and is not listed, pulls what it lacks by FIND_VALUE and pushes what
//! is newer here by STORE. What the hashes are made of: `dht::merkle`.

use super::packet::Malformed;
use crate::identity::Address;
use crate::wire::rlp::{Encoder, Item};

/// Subtrees below a prefix: four bits of the key.
pub const FANOUT: usize = 16;
/// Bits that one level takes.
const LEVEL_BITS: u8 = 4;
/// Longest prefix that still has a level below it.
pub const PREFIX_BITS_MAX: u8 = 156;
/// Most entries in a SYNCED: what fits with the longest numbers in them.
pub const ENTRIES_MAX: usize = 18;

/// The hashes of the subtrees below a prefix, in order of the four bits. Zero:
/// no records. Eight bytes, because a collision costs no more than a record
/// that comes an interval later.
pub type Hashes = [u64; FANOUT];

/// The leading bits of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    bits: u8,
    head: Address,
}

impl Prefix {
    /// All keys.
    pub const ALL: Prefix = Prefix {
        bits: 0,
        head: Address::ZERO,
    };

    /// The first `bits` of `key`, at most [`PREFIX_BITS_MAX`].
    #[must_use]
    pub fn of(key: &Address, bits: u8) -> Prefix {
        let bits = bits.min(PREFIX_BITS_MAX);
        let mut head = *key;
        let mut left = bits;
        for byte in &mut head.0 {
            let kept = left.min(8);
            // A shift by 8 is none at all.
            *byte &= u8::MAX.checked_shl(u32::from(8 - kept)).unwrap_or(0);
            left -= kept;
        }
        Prefix { bits, head }
    }

    /// Number of bits.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// The lowest key below it: its bits, then zeros.
    #[must_use]
    pub fn lowest(&self) -> Address {
        self.head
    }

    /// Whether `key` begins with it.
    #[must_use]
    pub fn holds(&self, key: &Address) -> bool {
        Prefix::of(key, self.bits) == *self
    }

    /// In which of the subtrees below it `key` lies. Meaningful for keys that it
    /// holds.
    #[must_use]
    pub fn branch(&self, key: &Address) -> usize {
        (0..LEVEL_BITS).fold(0, |branch, bit| {
            branch << 1 | usize::from(bit_of(key, self.bits + bit))
        })
    }

    /// The prefix of a subtree, 0 to 15; none where the keys end.
    #[must_use]
    pub fn below(&self, branch: usize) -> Option<Prefix> {
        let bits = self.bits + LEVEL_BITS;
        if bits > PREFIX_BITS_MAX || branch >= FANOUT {
            return None;
        }
        let mut head = self.head;
        for bit in 0..LEVEL_BITS {
            let place = self.bits + bit;
            if branch >> (LEVEL_BITS - 1 - bit) & 1 == 1 {
                if let Some(byte) = head.0.get_mut(usize::from(place / 8)) {
                    *byte |= 0x80 >> (place % 8);
                }
            }
        }
        Some(Prefix { bits, head })
    }

    /// As two items: the number of bits, and the bytes that hold them.
    pub(super) fn write(&self, to: &mut Encoder) {
        let used = usize::from(self.bits.div_ceil(8));
        to.u64(u64::from(self.bits));
        to.bytes(self.head.0.get(..used).unwrap_or_default());
    }

    pub(super) fn read(bits: Item<'_>, head: Item<'_>) -> Result<Prefix, Malformed> {
        let wrong = Malformed::Field("prefix");
        let bits = u8::try_from(bits.u64()?).map_err(|_| wrong)?;
        let bytes = head.bytes()?;
        if bits > PREFIX_BITS_MAX || bytes.len() != usize::from(bits.div_ceil(8)) {
            return Err(wrong);
        }
        let mut key = Address::ZERO;
        for (to, from) in key.0.iter_mut().zip(bytes) {
            *to = *from;
        }
        let prefix = Prefix::of(&key, bits);
        // Bits beyond the prefix would be a second spelling of it.
        if prefix.head != key {
            return Err(wrong);
        }
        Ok(prefix)
    }
}

fn bit_of(key: &Address, place: u8) -> bool {
    let byte = key.0.get(usize::from(place / 8)).copied().unwrap_or(0);
    byte & (0x80 >> (place % 8)) != 0
}

/// One record that a replica has. Of two with equal kind, key and slot the one
/// with the higher (order, until) is the newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The record's key.
    pub key: Address,
    /// The record's kind.
    pub kind: u8,
    /// Tells records under one key apart: the first eight bytes of a presence's
    /// node, else 0.
    pub slot: u64,
    /// A presence's t, a sequence number, or 0.
    pub order: u64,
    /// Unix seconds at which it ends.
    pub until: u64,
}

impl Entry {
    pub(super) fn write(&self, to: &mut Encoder) {
        to.list(|to| {
            to.u64(u64::from(self.kind)).bytes(&self.key.0);
            to.u64(self.slot).u64(self.order).u64(self.until);
        });
    }

    pub(super) fn read(item: Item<'_>) -> Result<Entry, Malformed> {
        let [kind, key, slot, order, until] = item.tuple()?;
        Ok(Entry {
            kind: u8::try_from(kind.u64()?).map_err(|_| Malformed::Field("kind"))?,
            key: Address(key.array()?),
            slot: slot.u64()?,
            order: order.u64()?,
            until: until.u64()?,
        })
    }
}

pub(super) fn write_hashes(hashes: &Hashes, to: &mut Encoder) {
    let mut bytes = Vec::with_capacity(FANOUT * 8);
    for hash in hashes {
        bytes.extend_from_slice(&hash.to_be_bytes());
    }
    to.bytes(&bytes);
}

pub(super) fn read_hashes(item: Item<'_>) -> Result<Hashes, Malformed> {
    let bytes: [u8; FANOUT * 8] = item.array()?;
    let mut hashes = [0; FANOUT];
    for (hash, bytes) in hashes.iter_mut().zip(bytes.chunks_exact(8)) {
        *hash = bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
    }
    Ok(hashes)
}
