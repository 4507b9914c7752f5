//! The space of ids: 160 bits, distance by exclusive or (Maymounkov and Mazières
//! 2002, section 2.1). A node's id is its address, so nobody chooses one freely:
//! an id of which b bits are wanted costs 2^b key pairs.

use crate::identity::Address;
use std::cmp::Ordering;

/// Bits of an id.
pub const BITS: usize = 160;

/// How far apart two ids are; compares as a big-endian number.
#[must_use]
pub fn distance(a: &Address, b: &Address) -> [u8; 20] {
    let mut out = a.0;
    for (byte, other) in out.iter_mut().zip(b.0) {
        *byte ^= other;
    }
    out
}

/// Which of `a` and `b` is closer to `target` (less: `a`).
#[must_use]
pub fn closer(target: &Address, a: &Address, b: &Address) -> Ordering {
    distance(target, a).cmp(&distance(target, b))
}

/// Leading bits that two ids share: the number of the bucket in which one has the
/// other; [`BITS`] for equal ones.
#[must_use]
pub fn shared_bits(a: &Address, b: &Address) -> usize {
    let mut bits = 0;
    for byte in distance(a, b) {
        bits += byte.leading_zeros() as usize;
        if byte != 0 {
            break;
        }
    }
    bits
}

/// Turns `noise` into an id that shares exactly `bits` leading bits with `own`.
#[must_use]
pub fn in_bucket(own: &Address, bits: usize, noise: Address) -> Address {
    let mut out = noise;
    for (place, byte) in out.0.iter_mut().enumerate() {
        let own = own.0.get(place).copied().unwrap_or(0);
        let kept = bits.saturating_sub(place.saturating_mul(8));
        if kept >= 8 {
            *byte = own;
            continue;
        }
        let flipped = 0x80u8 >> kept;
        let above = !(flipped | flipped.wrapping_sub(1));
        *byte = (own & above) | (!own & flipped) | (*byte & flipped.wrapping_sub(1));
        break;
    }
    out
}

/// A distance as a share of the whole space, from 0 to 1. Its first 64 bits are
/// enough: nothing is decided by the rest.
#[must_use]
pub fn share(distance: &[u8; 20]) -> f64 {
    let first = distance.first_chunk().copied().unwrap_or_default();
    u64::from_be_bytes(first) as f64 / 2f64.powi(64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_random_id_of_a_bucket_belongs_to_that_bucket(own: [u8; 20], noise: [u8; 20], bits in 0..BITS) {
            let id = in_bucket(&Address(own), bits, Address(noise));
            prop_assert_eq!(shared_bits(&Address(own), &id), bits);
            // What is below the bucket's bit is as random as the noise.
            for bit in bits + 1..BITS {
                let mask = 0x80 >> (bit % 8);
                prop_assert_eq!(id.0[bit / 8] & mask, noise[bit / 8] & mask);
            }
        }

        #[test]
        fn the_metric_is_one(a: [u8; 20], b: [u8; 20], c: [u8; 20]) {
            let (a, b, c) = (Address(a), Address(b), Address(c));
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert_eq!(distance(&a, &a), [0; 20]);
            // What shares more leading bits with the target is closer to it.
            if shared_bits(&a, &b) > shared_bits(&a, &c) {
                prop_assert_eq!(closer(&a, &b, &c), Ordering::Less);
            }
        }
    }

    #[test]
    fn equal_ids_share_all_bits() {
        let id = Address([7; 20]);
        assert_eq!(shared_bits(&id, &id), BITS);
        assert_eq!(share(&[0; 20]), 0.0);
        assert!(share(&[0xFF; 20]) <= 1.0 && share(&[0xFF; 20]) > 0.999);
    }
}
