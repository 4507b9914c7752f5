//! How the store is doing.

use super::super::house::{House, StoreFault};
use crate::rpc::{StoreInfo, TableInfo};
use std::time::Duration;

/// From here on what was written says something about a day.
const LONG_ENOUGH: Duration = Duration::from_secs(600);

impl House {
    /// What the interfaces see of the store.
    pub(super) fn stored(&self) -> StoreInfo {
        let fault = self.store_fault.get().map(|fault| match fault {
            StoreFault::Absent(error) => error.to_string(),
            StoreFault::Renewed(recovery) => recovery.to_string(),
        });
        let Some(store) = self.store.get() else {
            return StoreInfo {
                last_error: fault,
                ..StoreInfo::default()
            };
        };
        let seen = store.health();
        let written = &seen.written;
        let open = written.since.map_or(Duration::ZERO, |at| at.elapsed());
        let tables = written.tables().filter(|(_, rows)| *rows > 0);
        let tables: Vec<TableInfo> = tables
            .map(|(table, rows)| TableInfo {
                name: table.name(),
                rows,
            })
            .collect();
        StoreInfo {
            path: Some(store.path().display().to_string()),
            size_bytes: written.file_bytes(),
            map_bytes: seen.map_size as u64,
            commits: written.commits,
            failures: written.failures,
            rows: tables.iter().map(|table| table.rows).sum(),
            bad_rows: seen.bad_rows.into(),
            waiting: seen.waiting as u64,
            bytes_written: written.disk_bytes,
            bytes_estimated: written.estimated,
            bytes_written_per_day: (open >= LONG_ENOUGH).then(|| {
                let day = 86_400 * u128::from(written.disk_bytes);
                u64::try_from(day / u128::from(open.as_secs().max(1))).unwrap_or(u64::MAX)
            }),
            tables,
            last_error: written.error.as_ref().map(ToString::to_string).or(fault),
        }
    }
}
