//! The tables of the environment and what they are called on disk.

use heed::types::Bytes;

/// A table: keys in byte order, values opaque to LMDB.
pub(super) type RawTable = heed::Database<Bytes, Bytes>;

/// How many named tables LMDB makes room for: ours, and those that later
/// versions add (opening a newer store must fail by its schema, not by this).
pub(super) const MAX_TABLES: u32 = 16;

/// Where rows of one kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Table {
    /// One row a name: the schema version, the floor of the clock.
    Meta,
    /// Tickets with the usage that they pay for; key epoch, device, fleet.
    Tickets,
}

impl Table {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Table; 2] = [Table::Meta, Table::Tickets];

    /// The name in the file. Never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Table::Meta => "meta",
            Table::Tickets => "tickets",
        }
    }
}

/// The opened handles.
#[derive(Clone, Copy)]
pub(super) struct Tables {
    pub(super) meta: RawTable,
    pub(super) tickets: RawTable,
}

impl Tables {
    pub(super) fn of(&self, table: Table) -> RawTable {
        match table {
            Table::Meta => self.meta,
            Table::Tickets => self.tickets,
        }
    }
}
