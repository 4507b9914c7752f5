//! Numbers that nobody else can guess: SHA-256 over a secret and a counter. The
//! same seed gives the same numbers, which is what makes a run repeatable.

use crate::identity::{sha256, Address};
use std::time::Duration;

/// See the module's top.
pub(super) struct Numbers {
    secret: [u8; 32],
    counter: u64,
}

impl Numbers {
    /// `label` keeps the numbers of two users of one seed apart.
    pub(super) fn new(label: &[u8], seed: u64) -> Numbers {
        Numbers {
            secret: sha256(&[label, &seed.to_be_bytes()]),
            counter: 0,
        }
    }

    fn block(&mut self) -> [u8; 32] {
        self.counter += 1;
        sha256(&[&self.secret, &self.counter.to_be_bytes()])
    }

    /// Any number.
    pub(super) fn next(&mut self) -> u64 {
        u64::from_be_bytes(self.block().first_chunk().copied().unwrap_or_default())
    }

    /// A number below `most`; 0 for 0.
    pub(super) fn below(&mut self, most: usize) -> usize {
        match most {
            0 | 1 => 0,
            // The bias of a remainder is below 2^-40 for tables of any size.
            _ => (self.next() % most as u64) as usize,
        }
    }

    /// From nine to eleven tenths of `time`: what everybody does at the same
    /// interval must not happen at the same time.
    pub(super) fn about(&mut self, time: Duration) -> Duration {
        let tenth = time / 10;
        let share = (self.next() >> 40) as f64 / f64::from(1u32 << 24);
        time - tenth + tenth.mul_f64(2.0 * share)
    }

    /// A random id.
    pub(super) fn id(&mut self) -> Address {
        Address(self.block().first_chunk().copied().unwrap_or_default())
    }
}
