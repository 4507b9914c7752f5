//! How the store is doing, for `node_status`, the status page and the metrics.

use serde::Serialize;

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableInfo {
    /// Its name.
    pub name: &'static str,
    /// Rows in it, as of the latest commit.
    pub rows: u64,
}

/// The store. A node that keeps nothing (`run --ephemeral`, or a disk that
/// refuses) has no `path`, and zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreInfo {
    /// Its folder.
    pub path: Option<String>,
    /// Bytes of its file.
    pub size_bytes: u64,
    /// Bytes of address space that are mapped.
    pub map_bytes: u64,
    /// Transactions committed since the node started.
    pub commits: u64,
    /// Transactions that failed.
    pub failures: u64,
    /// Rows in all tables.
    pub rows: u64,
    /// Rows that were found damaged when they were read.
    pub bad_rows: u64,
    /// Rows that wait in memory for a commit.
    pub waiting: u64,
    /// Bytes that were given to write calls since the node started.
    pub bytes_written: u64,
    /// Whether that is an estimate: the kernel does not count them here.
    pub bytes_estimated: bool,
    /// What that makes in a day; `None` in the first ten minutes.
    pub bytes_written_per_day: Option<u64>,
    /// The tables, as far as they have rows.
    pub tables: Vec<TableInfo>,
    /// Why the latest transaction failed, or why there is no store.
    pub last_error: Option<String>,
}
