//! What waits for a session whose other side does not read: answers, and what is
//! encrypted and the kernel did not take. The program bounds it for all sessions.

use crate::ports::budget::Budget;
use std::sync::Arc;

/// Bytes that each session may have without counting: a session's own memory has
/// room for them.
const FREE: usize = 4096;

/// The share of one session; given back when it goes.
#[derive(Debug)]
pub(in crate::ports) struct Waiting {
    budget: Arc<Budget>,
    told: usize,
    /// Bytes behind the encryption.
    pub unsent: usize,
}

impl Waiting {
    pub fn new(budget: Arc<Budget>) -> Waiting {
        Waiting {
            budget,
            told: 0,
            unsent: 0,
        }
    }

    /// So many bytes of answers wait now, besides what is unsent.
    pub fn set(&mut self, answers: usize) {
        let bytes = answers.saturating_add(self.unsent);
        let bytes = if bytes > FREE { bytes } else { 0 };
        if bytes != self.told {
            self.budget.count_waiting(self.told, bytes);
            self.told = bytes;
        }
    }

    /// How much of `most` may wait, as things are.
    pub fn room(&self, most: usize) -> usize {
        self.budget.waiting_room(most).max(FREE)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.unsent = 0;
        self.set(0);
    }
}
