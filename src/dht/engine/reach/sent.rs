//! The addresses to which something was sent lately.

use crate::time::Moment;
use std::net::IpAddr;
use std::time::Duration;

/// As long as NATs keep a mapping at most (RFC 4787, section 4.3: at least two
/// minutes, five are recommended).
const SENT_FOR: Duration = Duration::from_secs(300);
/// Bits of one half of [`SentTo`]: with 300 addresses in it, one of fifty others
/// is taken for one of them, which only means that one proof is not seen.
const FILTER_BITS: u64 = 4096;

/// The IP addresses to which something was sent lately: a Bloom filter (Bloom 1970)
/// in two halves, the younger of which takes, so that it forgets in time and never
/// grows.
pub(super) struct SentTo {
    halves: [[u64; (FILTER_BITS / 64) as usize]; 2],
    since: Moment,
}

impl SentTo {
    /// Nothing was sent yet.
    pub(super) fn new(now: Moment) -> SentTo {
        SentTo {
            halves: [[0; (FILTER_BITS / 64) as usize]; 2],
            since: now,
        }
    }

    fn places(ip: IpAddr) -> [(usize, u64); 2] {
        let bits = match ip.to_canonical() {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            IpAddr::V6(ip) => (ip.to_bits() ^ (ip.to_bits() >> 64)) as u64,
        };
        // Multiplication mixes upwards: the top bits depend on all.
        let mixed = bits.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        [mixed >> 52, (mixed >> 20) % FILTER_BITS]
            .map(|bit| ((bit / 64) as usize, 1u64 << (bit % 64)))
    }

    fn turn(&mut self, now: Moment) {
        let passed = now.since(self.since);
        if passed >= SENT_FOR {
            let [young, _] = self.halves;
            let empty = [0; (FILTER_BITS / 64) as usize];
            self.halves = match passed >= 2 * SENT_FOR {
                true => [empty, empty],
                false => [empty, young],
            };
            self.since = now;
        }
    }

    pub(super) fn add(&mut self, now: Moment, ip: IpAddr) {
        self.turn(now);
        let [young, _] = &mut self.halves;
        for (word, bit) in SentTo::places(ip) {
            if let Some(word) = young.get_mut(word) {
                *word |= bit;
            }
        }
    }

    pub(super) fn has(&mut self, now: Moment, ip: IpAddr) -> bool {
        self.turn(now);
        let there = |half: &[u64; (FILTER_BITS / 64) as usize]| {
            let mut places = SentTo::places(ip).into_iter();
            places.all(|(word, bit)| half.get(word).is_some_and(|word| word & bit != 0))
        };
        self.halves.iter().any(there)
    }
}
