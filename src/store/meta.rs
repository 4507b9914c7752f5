//! Rows of the table `meta`: one a name.

use serde::{Deserialize, Serialize};

use super::{Record, Table};

/// The newest layout of the whole store that this program knows. It changes
/// when tables or keys change their meaning; a row's own layout has
/// [`Record::VERSION`]. What changed with each: `migrate.rs`.
pub const SCHEMA_VERSION: u32 = 2;

/// Which layout the store has. Written when it is created, checked when it is
/// opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Schema {
    pub(super) version: u32,
}

impl Schema {
    pub(super) const KEY: &'static [u8] = b"schema";
}

impl Record for Schema {
    const TABLE: Table = Table::Meta;
    // Frozen: this row must be readable by every version, old and new.
    const VERSION: u8 = 1;
    fn key(&self) -> Vec<u8> {
        Schema::KEY.to_vec()
    }
}

/// A time that has passed for certain: a clock that shows less is wrong. A
/// device without a battery-backed clock boots in 1970; this is what it
/// remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockFloor {
    /// Seconds since 1970.
    pub unix: u64,
}

impl ClockFloor {
    /// Its key, for `store.get::<ClockFloor>(ClockFloor::KEY)`.
    pub const KEY: &'static [u8] = b"clock-floor";
}

impl Record for ClockFloor {
    const TABLE: Table = Table::Meta;
    const VERSION: u8 = 1;
    fn key(&self) -> Vec<u8> {
        ClockFloor::KEY.to_vec()
    }
}
