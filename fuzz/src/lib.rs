//! What the targets share: input as decisions, a clock that is set, and a
//! witness that reads along and knows the rules of docs/protocol.md.

use chr_node::identity::{Address, SecretKey};
use chr_node::time::{Clock, Moment};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub mod frames;
pub mod witness;

/// The input, taken from the front. At its end everything is 0.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    pub fn u64(&mut self) -> u64 {
        u64::from(self.u32()) << 32 | u64::from(self.u32())
    }

    pub fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// One of `choices`.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }
}

/// Second 0 of every run; epoch 676.
pub const UNIX: u64 = 676 * 2_592_000 + 1000;

/// A clock that stands until it is moved.
pub struct SetClock {
    nanos: AtomicU64,
    trusted: AtomicBool,
}

impl SetClock {
    pub fn new(trusted: bool) -> SetClock {
        SetClock {
            nanos: AtomicU64::new(1_000_000_000),
            trusted: AtomicBool::new(trusted),
        }
    }

    pub fn pass(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap();
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub fn trust(&self, trusted: bool) {
        self.trusted.store(trusted, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Moment {
        Moment(self.nanos.load(Ordering::Relaxed))
    }
    fn unix(&self) -> u64 {
        UNIX + self.now().0 / 1_000_000_000
    }
    fn trusted(&self) -> bool {
        self.trusted.load(Ordering::Relaxed)
    }
    fn floor(&self) -> u64 {
        UNIX
    }
}

/// Key number `n`; `n` from 1.
pub fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32]).unwrap()
}

/// The node that all targets know.
pub fn node() -> Address {
    Address([0xee; 20])
}
