//! Stores of older versions, brought up to date.
//!
//! A version of the schema is a list of [`Step`]s, each of which renews the rows of
//! one table. All steps from the version of the file to ours run in one
//! transaction, which writes the new version as well: a power cut, a full disk or
//! a kill in the middle leaves the store as it was, and the next start begins
//! anew. A row tells by its own version whether it is renewed already, so a step
//! may meet a row twice, and rows that come from elsewhere (a damaged file that is
//! carried over, an older export) go through the same steps.
//!
//! Old layouts are frozen here, away from the types that live on.
//!
//! | schema | what has changed |
//! | --- | --- |
//! | 1 | the first |
//! | 2 | `node_stats`: rows lie in the order of time instead of in rings, so that they can be kept for any time; they also tell peers, latency, tickets and errors |

use super::meta::{Schema, SCHEMA_VERSION};
use super::record::{self, RowFault};
use super::tables::{Table, Transaction};
use super::StoreError;
use std::ops::Bound;

/// Rows that are held in memory at a time.
const AT_ONCE: usize = 1_000;

/// What becomes of a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Renewed {
    /// It stays as it is.
    Same,
    /// It gets another key, another value or both.
    Row(Vec<u8>, Vec<u8>),
    /// It cannot be read, and nothing else would ever take its place.
    Gone,
}

/// One change of one table.
struct Step {
    /// The schema that has it.
    schema: u32,
    table: Table,
    renew: fn(key: &[u8], value: &[u8]) -> Renewed,
}

const STEPS: [Step; 1] = [Step {
    schema: 2,
    table: Table::NodeStats,
    renew: node_stats_1,
}];

/// A row of any version as it is now.
pub(super) fn renew(table: Table, key: &[u8], value: &[u8]) -> Renewed {
    let mut row: Option<(Vec<u8>, Vec<u8>)> = None;
    for step in STEPS.iter().filter(|step| step.table == table) {
        let (key, value) = row.as_ref().map_or((key, value), |(k, v)| (k, v));
        match (step.renew)(key, value) {
            Renewed::Same => {}
            Renewed::Row(key, value) => row = Some((key, value)),
            Renewed::Gone => return Renewed::Gone,
        }
    }
    row.map_or(Renewed::Same, |(key, value)| Renewed::Row(key, value))
}

/// Brings a store of schema `from` up to ours, within `txn`; how many rows were
/// renewed.
pub(super) fn run(txn: &mut Transaction<'_>, from: u32) -> heed::Result<u64> {
    let mut count = 0u64;
    for step in STEPS.iter().filter(|step| step.schema > from) {
        let mut begin: Bound<Vec<u8>> = Bound::Unbounded;
        loop {
            let rows = txn.rows(step.table, &begin, AT_ONCE)?;
            let Some((last, _)) = rows.last() else { break };
            begin = Bound::Excluded(last.clone());
            for (key, value) in rows {
                match (step.renew)(&key, &value) {
                    Renewed::Same => continue,
                    Renewed::Row(new, value) => {
                        if new != key {
                            txn.delete(step.table, &key)?;
                        }
                        txn.put(step.table, &new, &value)?;
                    }
                    Renewed::Gone => txn.delete(step.table, &key)?,
                }
                count = count.saturating_add(1);
            }
        }
    }
    Ok(count)
}

/// The row that says which schema a store has now.
pub(super) fn stamp() -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    record::encode(&Schema {
        version: SCHEMA_VERSION,
    })
}

/// Schema 1: `[m|h, slot:16]` -> span, unix, seconds, connections, bytes in, bytes
/// out, uptime. Now: `[m|h, number:32]`, and four numbers more at the end.
fn node_stats_1(key: &[u8], value: &[u8]) -> Renewed {
    let body = match record::check(key, value) {
        Ok((1, body)) => body,
        Ok(_) => return Renewed::Same,
        // In its ring a later row would have taken its place.
        Err(RowFault::Checksum | RowFault::Short) if key.len() == 3 => return Renewed::Gone,
        Err(_) => return Renewed::Same,
    };
    // The enum's number, then the time as a varint.
    let Ok(((span, unix), _)) = postcard::take_from_bytes::<(u8, u64)>(body) else {
        return Renewed::Gone;
    };
    let (kind, seconds) = match span {
        0 => (b'm', 60),
        1 => (b'h', 3600),
        _ => return Renewed::Gone,
    };
    let number = u32::try_from(unix / seconds).unwrap_or(u32::MAX);
    let mut key = vec![kind];
    key.extend(number.to_be_bytes());
    let mut value = vec![2];
    value.extend(body);
    // No peers, latency, tickets and errors: nobody counted them.
    value.extend([0; 4]);
    let crc = record::checksum(&key, &value);
    value.extend(crc);
    Renewed::Row(key, value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::batch::Batch;
    use crate::store::commit;
    use crate::store::env::{Environment, StoreOptions};
    use crate::store::folder::Folder;
    use std::path::Path;
    use std::sync::Arc;

    /// More than one turn of the walk takes.
    const ROWS: u64 = 2 * AT_ONCE as u64 + 7;
    const START: u64 = 1_790_000_040;

    /// A row as version 1 wrote it.
    fn old_row(minute: u64) -> (Vec<u8>, Vec<u8>) {
        let slot = u16::try_from(minute % 10_080).unwrap().to_be_bytes();
        let key = vec![b'm', slot[0], slot[1]];
        let fields = (0u8, minute * 60, 60u32, 3u32, minute, 2 * minute, 5u64);
        let mut value = postcard::to_extend(&fields, vec![1]).unwrap();
        let crc = record::checksum(&key, &value);
        value.extend(crc);
        (key, value)
    }

    fn folder(dir: &Path) -> Arc<Folder> {
        Arc::new(Folder::claim(dir).unwrap())
    }

    /// A store of schema 1 with rows of two days in its ring.
    fn older(dir: &Path) -> Environment {
        let env = Environment::open(&folder(dir), StoreOptions::default()).unwrap();
        for number in 0..ROWS {
            let (key, value) = old_row(START / 60 + number);
            let batch = Batch::raw(Table::NodeStats, &key, &value);
            commit::commit(&env, &[batch]).unwrap();
        }
        let schema = record::encode(&Schema { version: 1 }).unwrap();
        let batch = Batch::raw(Table::Meta, &schema.0, &schema.1);
        commit::commit(&env, &[batch]).unwrap();
        env
    }

    fn rows(env: &Environment) -> Vec<(Vec<u8>, Vec<u8>)> {
        let found = env.read(Table::NodeStats, |table, txn| {
            let rows = table.iter(txn)?;
            rows.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())))
                .collect()
        });
        found.unwrap().unwrap()
    }

    #[test]
    fn a_ring_becomes_rows_in_the_order_of_time_and_none_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        older(dir.path()).close();
        let env = Environment::open(&folder(dir.path()), StoreOptions::default()).unwrap();
        let found = rows(&env);
        assert_eq!(found.len() as u64, ROWS);
        for (number, (key, value)) in (START / 60..).zip(&found) {
            let (version, body) = record::check(key, value).unwrap();
            assert_eq!((version, key.len()), (2, 5));
            let fields: (u8, u64, u32, u32, u64, u64, u64, [u8; 4]) =
                postcard::from_bytes(body).unwrap();
            let wanted = (0, number * 60, 60, 3, number, 2 * number, 5, [0; 4]);
            assert_eq!(fields, wanted);
        }
    }

    #[test]
    fn a_power_cut_in_the_middle_leaves_the_older_store_and_the_next_start_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let env = older(dir.path());
        let file = dir.path().join("data.mdb");
        let (before, old) = (std::fs::read(&file).unwrap(), rows(&env));
        // Everything was renewed, and the power went before the commit.
        let attempt = env.write(&mut |txn| {
            assert_eq!(run(txn, 1)?, ROWS);
            Err(heed::Error::Io(std::io::ErrorKind::Interrupted.into()))
        });
        assert!(attempt.is_err());
        assert_eq!(rows(&env), old);
        env.close();
        assert_eq!(std::fs::read(&file).unwrap(), before);
        let env = Environment::open(&folder(dir.path()), StoreOptions::default()).unwrap();
        assert_eq!(rows(&env).len() as u64, ROWS);
    }

    #[test]
    fn what_is_renewed_already_is_not_renewed_twice() {
        let (key, value) = old_row(START / 60);
        let Renewed::Row(key, value) = renew(Table::NodeStats, &key, &value) else {
            unreachable!("it is renewed once");
        };
        assert_eq!(renew(Table::NodeStats, &key, &value), Renewed::Same);
        assert_eq!(renew(Table::Tickets, &key, &value), Renewed::Same);
        // One that flash has ruined would stay for ever: nothing takes its place now.
        let (key, mut value) = old_row(7);
        if let Some(byte) = value.first_mut() {
            *byte ^= 1;
        }
        assert_eq!(renew(Table::NodeStats, &key, &value), Renewed::Gone);
    }
}
