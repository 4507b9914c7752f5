//! The LMDB environment: opened, grown, reopened.
//!
//! The map grows by closing the environment and opening it again with a larger
//! one, under a lock that keeps readers out. That is one path for three needs: a
//! full map, a fatal error (LMDB refuses everything after its meta page could
//! not be written) and a map that could not be grown (LMDB's own resize leaves
//! an unmapped environment behind).
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use heed::{EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls};

use super::folder::Folder;
use super::meta::{Schema, SCHEMA_VERSION};
use super::record;
use super::tables::{RawTable, Table, Tables, MAX_TABLES};
use super::StoreError;

/// Map sizes are multiples of this: the largest page that our targets have.
const MAP_GRANULE: usize = 64 * 1024;

/// How much address space the store may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Bytes mapped at first. Address space, not memory and not disk: pages are
    /// read as they are touched and the file is as long as its rows.
    pub map_size: usize,
    /// Bytes that the map may grow to; a store that reaches them keeps what it
    /// has and refuses more.
    pub map_limit: usize,
}

impl Default for StoreOptions {
    /// 64 MiB growing to 1 GiB on 32 bits (2 GiB can be mapped on some devices
    /// only, 3 on none); 1 GiB growing to 16 GiB on 64 bits (some kernels and
    /// emulators map 16, not 32).
    fn default() -> StoreOptions {
        let (map_size, map_limit) = DEFAULT_MAP;
        StoreOptions {
            map_size,
            map_limit,
        }
    }
}

#[cfg(target_pointer_width = "64")]
const DEFAULT_MAP: (usize, usize) = (1 << 30, 16 << 30);
#[cfg(not(target_pointer_width = "64"))]
const DEFAULT_MAP: (usize, usize) = (64 << 20, 1 << 30);

/// Transactions after which memory may be worth giving back: each can leave one
/// page of 4 KiB mapped, and dirty ones beside it.
const MANY: usize = 64;

/// Why a transaction was not committed.
pub(super) enum CommitError {
    /// The map has no room for it: [`Environment::grow`], then try again.
    MapFull,
    /// The environment is unusable: [`Environment::reopen`], then try again.
    Unusable(StoreError),
    /// The disk or the system refused.
    Failed(StoreError),
}

/// The environment with what it takes to open it again.
pub(super) struct Environment {
    folder: Folder,
    limit: usize,
    state: RwLock<State>,
    /// Transactions since [`Environment::is_worth_emptying`] was asked last.
    used: AtomicUsize,
}

struct State {
    map_size: usize,
    /// None between a failed reopening and the next.
    opened: Option<Opened>,
}

impl State {
    fn open_again(&mut self, folder: &Folder) -> Result<(), StoreError> {
        self.opened = None;
        self.opened = Some(Opened::open(folder, self.map_size)?);
        Ok(())
    }
}

struct Opened {
    env: heed::Env<WithoutTls>,
    tables: Tables,
}

impl Environment {
    /// Opens the environment in `folder`, making it if there is none.
    pub(super) fn open(folder: Folder, options: StoreOptions) -> Result<Environment, StoreError> {
        let map_size = granules(options.map_size);
        folder.allocate_reader_table()?;
        let opened = Opened::open(&folder, map_size)?;
        Ok(Environment {
            limit: granules(options.map_limit).max(map_size),
            folder,
            state: RwLock::new(State {
                map_size,
                opened: Some(opened),
            }),
            used: AtomicUsize::new(0),
        })
    }

    /// Runs `job` in a read transaction. It must be short: it runs on the
    /// caller's thread, and an old snapshot keeps the file from reusing pages.
    pub(super) fn read<T>(
        &self,
        table: Table,
        job: impl FnOnce(RawTable, &RoTxn<'_, WithoutTls>) -> heed::Result<T>,
    ) -> Result<T, StoreError> {
        self.used.fetch_add(1, Ordering::Relaxed);
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let opened = state.opened.as_ref().ok_or(StoreError::Closed)?;
        opened
            .env
            .read_txn()
            .and_then(|txn| job(opened.tables.of(table), &txn))
            .map_err(|error| self.named(&error))
    }

    /// Runs `job` in a write transaction and commits it, synced.
    pub(super) fn write(
        &self,
        job: impl FnOnce(&Tables, &mut RwTxn<'_>) -> heed::Result<()>,
    ) -> Result<(), CommitError> {
        self.used.fetch_add(1, Ordering::Relaxed);
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let Some(opened) = state.opened.as_ref() else {
            return Err(CommitError::Unusable(StoreError::Closed));
        };
        let attempt = || {
            let mut txn = opened.env.write_txn()?;
            job(&opened.tables, &mut txn)?;
            txn.commit()
        };
        attempt().map_err(|error| match &error {
            heed::Error::Mdb(MdbError::MapFull) => CommitError::MapFull,
            heed::Error::Mdb(MdbError::Panic) => CommitError::Unusable(self.named(&error)),
            _ => CommitError::Failed(self.named(&error)),
        })?;
        // LMDB need not write a page that was freed again in the same
        // transaction, not even the last. The check against cut files at
        // opening relies on the length, so it is made true here.
        let needed = needed_len(&opened.env);
        if self.folder.data_len().is_ok_and(|len| len < needed) {
            if let Err(error) = self.folder.extend_data(needed) {
                log::warn!("store: {error}");
            }
        }
        Ok(())
    }

    /// Doubles the map.
    pub(super) fn grow(&self) -> Result<(), StoreError> {
        let old = self.map_size();
        let new = old.saturating_mul(2).min(self.limit);
        if new <= old {
            return Err(StoreError::MapFull {
                path: self.folder.path().to_path_buf(),
                limit: self.limit,
            });
        }
        self.open_again(new).or_else(|error| {
            // The address space is used up; what is there must stay readable.
            log::warn!("store: the map cannot grow from {old} to {new} bytes: {error}");
            self.open_again(old)?;
            Err(StoreError::MapFull {
                path: self.folder.path().to_path_buf(),
                limit: old,
            })
        })?;
        log::info!("store: the map has grown from {old} to {new} bytes");
        Ok(())
    }

    /// Opens the environment again with the map that it has.
    pub(super) fn reopen(&self) -> Result<(), StoreError> {
        self.open_again(self.map_size())
    }

    /// Whether there were so many transactions since it was asked last that they
    /// may hold much memory.
    pub(super) fn is_worth_emptying(&self) -> bool {
        self.used.swap(0, Ordering::Relaxed) >= MANY
    }

    /// Opens the environment again to be rid of what it holds: LMDB keeps the
    /// pages that its transactions made dirty, and those that it read stay mapped.
    pub(super) fn give_back(&self) -> Result<(), StoreError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        // One that is closed stays closed.
        if state.opened.is_some() {
            state.open_again(&self.folder)?;
        }
        Ok(())
    }

    /// Opens the environment again if LMDB has given it up after a failed
    /// commit; else readers would be refused until the next row is written.
    pub(super) fn recover(&self) -> Result<(), StoreError> {
        let given_up = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            state.opened.as_ref().is_none_or(|opened| {
                matches!(
                    opened.env.write_txn(),
                    Err(heed::Error::Mdb(MdbError::Panic))
                )
            })
        };
        if given_up {
            self.reopen()?;
        }
        Ok(())
    }

    /// Closes it for good.
    pub(super) fn close(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.opened = None;
    }

    /// Bytes mapped.
    pub(super) fn map_size(&self) -> usize {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.map_size
    }

    fn open_again(&self, map_size: usize) -> Result<(), StoreError> {
        // The write lock is held by no transaction: every one lives inside of
        // `read` or `write`, which hold it for reading.
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut state.map_size, map_size);
        state
            .open_again(&self.folder)
            .inspect_err(|_| state.map_size = old)
    }

    fn named(&self, error: &heed::Error) -> StoreError {
        named(&self.folder, error)
    }
}

impl Opened {
    fn open(folder: &Folder, map_size: usize) -> Result<Opened, StoreError> {
        let data = folder.data_path();
        if folder.data_is_empty() {
            // Killed while it was being made, or what a broken file system left.
            log::warn!("store: {} is empty; starting anew", data.display());
        }
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(map_size).max_dbs(MAX_TABLES);
        // SAFETY: heed asks for three things. The file is not changed by others
        // while it is mapped: the flock of `Folder` keeps other nodes away and
        // the folder is 0700. It is not opened twice in this process: the same
        // flock, which is one an open file, and heed's own table. No flag that
        // weakens syncing or locking is set.
        let env = unsafe { options.open(folder.path()) }.map_err(|error| named(folder, &error))?;
        let (len, needed) = (folder.data_len()?, needed_len(&env));
        if len < needed {
            // Before any page is read: past the end of a mapped file, reading is
            // a SIGBUS and not an error.
            return Err(StoreError::Damaged {
                path: data,
                text: format!("it is cut short: {len} of {needed} bytes"),
            });
        }
        let tables = open_tables(&env, folder)?;
        Ok(Opened { env, tables })
    }
}

/// How long the data file has to be, in bytes.
fn needed_len(env: &heed::Env<WithoutTls>) -> u64 {
    let pages = (env.info().last_page_number as u64).saturating_add(1);
    pages.saturating_mul(u64::from(env.stat().page_size))
}

/// `error` as one of ours, naming the file where the file is to blame. A disk that fills up in the middle of a write is an
/// "input/output error" to LMDB; the free space tells the two apart.
fn named(folder: &Folder, error: &heed::Error) -> StoreError {
    match StoreError::from_heed(folder.path(), error) {
        StoreError::Io { path, .. } if folder.is_full() => StoreError::DiskFull { path },
        StoreError::Damaged { text, .. } => StoreError::Damaged {
            path: folder.data_path(),
            text,
        },
        other => other,
    }
}

/// Checks the schema, and makes what is missing only if it is ours to change.
fn open_tables(env: &heed::Env<WithoutTls>, folder: &Folder) -> Result<Tables, StoreError> {
    let data = folder.data_path();
    let named = |error: heed::Error| named(folder, &error);
    let damaged = |text: String| StoreError::Damaged {
        path: data.clone(),
        text,
    };
    let find = |txn: &RoTxn<'_, WithoutTls>, table: Table| -> heed::Result<Option<RawTable>> {
        env.open_database(txn, Some(table.name()))
    };

    let txn = env.read_txn().map_err(named)?;
    let root: Option<RawTable> = env.open_database(&txn, None).map_err(named)?;
    let empty = match root {
        Some(root) => root.is_empty(&txn).map_err(named)?,
        None => true,
    };
    let meta = find(&txn, Table::Meta).map_err(named)?;
    let schema = match meta {
        Some(meta) => meta.get(&txn, Schema::KEY).map_err(named)?,
        None => None,
    };
    let has_schema = schema.is_some();
    if let Some(value) = schema {
        let schema: Schema = record::decode(Schema::KEY, value)
            .map_err(|fault| damaged(format!("the schema row cannot be read: {fault}")))?;
        if schema.version > SCHEMA_VERSION {
            return Err(StoreError::Newer {
                path: folder.path().to_path_buf(),
                found: schema.version,
                known: SCHEMA_VERSION,
            });
        }
    } else if !empty {
        return Err(damaged("it has no schema row: another program's?".into()));
    }
    let tickets = find(&txn, Table::Tickets).map_err(named)?;
    // Handles opened in a transaction live on only if it is committed.
    txn.commit().map_err(named)?;
    if let (true, Some(meta), Some(tickets)) = (has_schema, meta, tickets) {
        return Ok(Tables { meta, tickets });
    }
    create_tables(env, folder).inspect(|_| {
        if let Err(error) = folder.sync_names() {
            log::warn!("store: {error}");
        }
    })
}

fn create_tables(env: &heed::Env<WithoutTls>, folder: &Folder) -> Result<Tables, StoreError> {
    let named = |error: heed::Error| named(folder, &error);
    let (key, value) = record::encode(&Schema {
        version: SCHEMA_VERSION,
    })?;
    let mut txn = env.write_txn().map_err(named)?;
    let mut create = |table: Table| -> Result<RawTable, StoreError> {
        env.create_database(&mut txn, Some(table.name()))
            .map_err(named)
    };
    let tables = Tables {
        meta: create(Table::Meta)?,
        tickets: create(Table::Tickets)?,
    };
    tables.meta.put(&mut txn, &key, &value).map_err(named)?;
    txn.commit().map_err(named)?;
    Ok(tables)
}

/// `size` rounded up to whole granules. At least four: with less, LMDB cannot
/// even hold the tables.
fn granules(size: usize) -> usize {
    size.max(4 * MAP_GRANULE)
        .checked_next_multiple_of(MAP_GRANULE)
        .unwrap_or(usize::MAX - (MAP_GRANULE - 1))
}
