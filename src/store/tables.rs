//! The tables of the environment: what they are called on disk, and their handles.
//!
//! A table is made by the first row that is written to it, so a store of an
//! older program is opened without writing, and one that cannot be written can
//! still be read. That needs no new schema version: older programs pass tables
//! by that they do not know.

use std::ops::Bound;
use std::sync::OnceLock;

use heed::types::Bytes;
use heed::{Env, RoTxn, RwTxn, WithoutTls};

/// A table: keys in byte order, values opaque to LMDB.
pub(super) type RawTable = heed::Database<Bytes, Bytes>;

/// How many named tables LMDB makes room for: ours, and those that later
/// versions add (opening a newer store must fail by its schema, not by this).
pub(super) const MAX_TABLES: u32 = 16;

/// Where rows of one kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Table {
    /// One row a name: the schema version, the floor of the clock.
    Meta,
    /// Tickets with the usage that they pay for; key epoch, device, fleet.
    Tickets,
    /// What the node carried, by the minute and by the hour; key a slot of the
    /// week or of the year.
    NodeStats,
    /// Other nodes: where they are, and how well they answered; key their
    /// address.
    PeerHistory,
    /// Periods of rewards: what each was worth; key the period's begin.
    RewardTracking,
    /// What was asked of others and may be asked again: answers with their age.
    Cache,
    /// Records of the distributed hash table that this node keeps for others; key
    /// the record's key and slot.
    DhtValues,
}

impl Table {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Table; 7] = [
        Table::Meta,
        Table::Tickets,
        Table::NodeStats,
        Table::PeerHistory,
        Table::RewardTracking,
        Table::Cache,
        Table::DhtValues,
    ];

    /// The name in the file. Never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Table::Meta => "meta",
            Table::Tickets => "tickets",
            Table::NodeStats => "node_stats",
            Table::PeerHistory => "peer_history",
            Table::RewardTracking => "reward_tracking",
            Table::Cache => "cache",
            Table::DhtValues => "dht_values",
        }
    }

    /// The table of this name.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Table> {
        let mut all = Table::ALL.into_iter();
        all.find(|table| table.name().as_bytes() == name)
    }
}

/// The opened handles; those of tables that do not exist yet are missing.
#[derive(Default)]
pub(super) struct Tables([OnceLock<RawTable>; Table::ALL.len()]);

impl Tables {
    /// Opens what is there. The handles live on only if `txn` is committed.
    pub(super) fn open(env: &Env<WithoutTls>, txn: &RoTxn<'_, WithoutTls>) -> heed::Result<Tables> {
        let tables = Tables::default();
        for (table, handle) in Table::ALL.into_iter().zip(&tables.0) {
            if let Some(found) = env.open_database(txn, Some(table.name()))? {
                let _ = handle.set(found);
            }
        }
        Ok(tables)
    }

    pub(super) fn get(&self, table: Table) -> Option<RawTable> {
        self.0.get(table as usize)?.get().copied()
    }
}

/// A write transaction.
pub(super) struct Transaction<'e> {
    env: &'e Env<WithoutTls>,
    tables: &'e Tables,
    txn: RwTxn<'e>,
    /// Tables that it has made: others may know them once it is committed.
    made: Vec<(Table, RawTable)>,
}

impl<'e> Transaction<'e> {
    pub(super) fn begin(
        env: &'e Env<WithoutTls>,
        tables: &'e Tables,
    ) -> heed::Result<Transaction<'e>> {
        Ok(Transaction {
            env,
            tables,
            txn: env.write_txn()?,
            made: Vec::new(),
        })
    }

    /// Writes a row, and makes its table if it is the first.
    pub(super) fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> heed::Result<()> {
        let handle = match self.known(table) {
            Some(handle) => handle,
            None => {
                let handle = self
                    .env
                    .create_database(&mut self.txn, Some(table.name()))?;
                self.made.push((table, handle));
                handle
            }
        };
        handle.put(&mut self.txn, key, value)
    }

    /// A row's value, as this transaction sees it.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> heed::Result<Option<Vec<u8>>> {
        let Some(handle) = self.known(table) else {
            return Ok(None);
        };
        Ok(handle.get(&self.txn, key)?.map(<[u8]>::to_vec))
    }

    /// Removes a row; one that is missing is no error.
    pub(super) fn delete(&mut self, table: Table, key: &[u8]) -> heed::Result<()> {
        if let Some(handle) = self.known(table) {
            handle.delete(&mut self.txn, key)?;
        }
        Ok(())
    }

    /// At most `limit` rows from `begin` on, as this transaction sees them.
    pub(super) fn rows(
        &self,
        table: Table,
        begin: &Bound<Vec<u8>>,
        limit: usize,
    ) -> heed::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let Some(handle) = self.known(table) else {
            return Ok(Vec::new());
        };
        let begin = begin.as_ref().map(Vec::as_slice);
        let mut entries = handle.range(&self.txn, &(begin, Bound::Unbounded))?;
        let mut rows = Vec::new();
        while rows.len() < limit {
            let Some((key, value)) = entries.next().transpose()? else {
                break;
            };
            rows.push((key.to_vec(), value.to_vec()));
        }
        Ok(rows)
    }

    pub(super) fn commit(self) -> heed::Result<()> {
        self.txn.commit()?;
        for (table, handle) in self.made {
            if let Some(place) = self.tables.0.get(table as usize) {
                let _ = place.set(handle);
            }
        }
        Ok(())
    }

    fn known(&self, table: Table) -> Option<RawTable> {
        let mut made = self.made.iter();
        let made = made.find(|(other, _)| *other == table);
        self.tables.get(table).or(made.map(|(_, handle)| *handle))
    }
}
