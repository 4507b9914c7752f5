//! A row of the table `reward_tracking`.

use serde::{Deserialize, Serialize};

use crate::store::{Record, Table};

use super::score::Measures;

/// The key of the running period's row.
pub const RUNNING: &[u8] = b"n";
/// What the keys of finished periods begin with.
const OVER: u8 = b'p';

/// What new tickets of a period bring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tickets {
    /// Tickets.
    pub count: u64,
    /// Bytes beyond those that were paid for before.
    pub bytes: u64,
    /// Score beyond the one before: 1024 a connection and 1 a byte.
    pub value: u64,
}

/// Up to where the tickets of an epoch are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The epoch.
    pub epoch: u64,
    /// Bytes of all its tickets.
    pub bytes: u64,
    /// Score of all its tickets.
    pub score: u64,
}

/// A period.
///
/// Key: `n` for the one that runs; `p || (2^64 - 1 - start):64` for those that are
/// over, so that the newest come first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewardRow {
    /// Whether it is over.
    pub over: bool,
    /// When it began, in seconds since 1970.
    pub start: u64,
    /// When it ends or ended.
    pub end: u64,
    /// Until when the node knows of it; what comes after the last such time of a
    /// node that stopped is not known to be up.
    pub seen: u64,
    /// Milliseconds of it that the node was up.
    pub up_ms: u64,
    /// What its performance score is made of.
    pub measures: Measures,
    /// Its tickets.
    pub tickets: Tickets,
    /// What was earned in it, in 10^-18 tokens: as long as it runs nothing is
    /// settled; `None` where no rates were set when it ended.
    pub earned: Option<u128>,
    /// What was earned in all periods before the running one, in 10^-18 tokens;
    /// `None` while no rates were ever set. Only in the running one.
    pub total: Option<u128>,
    /// Up to where tickets are counted. Only in the running one.
    pub marks: Vec<Mark>,
}

impl RewardRow {
    /// The key of the period that began at `start` and is over.
    #[must_use]
    pub fn key_of(start: u64) -> Vec<u8> {
        [&[OVER][..], &(u64::MAX - start).to_be_bytes()].concat()
    }

    /// What the keys of all periods that are over begin with.
    #[must_use]
    pub fn prefix() -> Vec<u8> {
        vec![OVER]
    }

    /// A key behind those of all periods that are over.
    #[must_use]
    pub fn behind() -> Vec<u8> {
        vec![OVER + 1]
    }

    /// Milliseconds from its beginning to its end.
    #[must_use]
    pub fn length_ms(&self) -> u64 {
        self.end.saturating_sub(self.start).saturating_mul(1000)
    }
}

impl Record for RewardRow {
    const TABLE: Table = Table::RewardTracking;
    const VERSION: u8 = 1;
    fn key(&self) -> Vec<u8> {
        if self.over {
            RewardRow::key_of(self.start)
        } else {
            RUNNING.to_vec()
        }
    }
}
