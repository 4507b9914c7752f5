//! The LMDB environment: opened, grown, reopened.
//!
//! The map grows by closing the environment and opening it again with a larger
//! one, under a lock that keeps readers out. That is one path for three needs: a
//! full map, a fatal error (LMDB refuses everything after its meta page could
//! not be written) and a map that could not be grown (LMDB's own resize leaves
//! an unmapped environment behind).
#![allow(unsafe_code)]

use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use heed::{CompactionOption, EnvOpenOptions, MdbError, RoTxn, WithoutTls};

use super::folder::Folder;
use super::meta::{Schema, SCHEMA_VERSION};
use super::migrate;
use super::pages::{self, Layout, Mode};
use super::record;
use super::recover;
use super::tables::{RawTable, Table, Tables, Transaction, MAX_TABLES};
use super::StoreError;

/// Map sizes are multiples of this: the largest page that our targets have.
const MAP_GRANULE: usize = 64 * 1024;

/// How long lazy rows wait unless the settings say otherwise: an idle node
/// commits at most once an hour.
const FLUSH_INTERVAL: Duration = Duration::from_secs(3600);

/// How much address space the store may take, and how long rows may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Bytes mapped at first. Address space, not memory and not disk: pages are
    /// read as they are touched and the file is as long as its rows.
    pub map_size: usize,
    /// Bytes that the map may grow to; a store that reaches them keeps what it
    /// has and refuses more.
    pub map_limit: usize,
    /// How long lazy rows wait for a commit that takes them along, from the
    /// first of them on.
    pub flush_interval: Duration,
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
            flush_interval: FLUSH_INTERVAL,
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

/// What is in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// Its length.
    pub file_bytes: u64,
    /// In the order of [`Table::ALL`].
    pub tables: [TableCount; Table::ALL.len()],
}

/// What a table has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TableCount {
    /// Rows.
    pub rows: u64,
    /// Pages on the way from its root to a row.
    pub depth: u64,
    /// Pages with rows.
    pub leaves: u64,
}

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
    folder: Arc<Folder>,
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
        // In the empty folder below a drive that is gone LMDB would begin anew.
        folder.at_hand()?;
        self.opened = None;
        self.opened = Some(Opened::open(folder, self.map_size)?);
        folder.opened();
        Ok(())
    }
}

struct Opened {
    env: heed::Env<WithoutTls>,
    tables: Tables,
}

impl Environment {
    /// Opens the environment in `folder`, making it if there is none.
    pub(super) fn open(
        folder: &Arc<Folder>,
        options: StoreOptions,
    ) -> Result<Environment, StoreError> {
        let map_size = granules(options.map_size);
        folder.allocate_reader_table()?;
        inspect(folder)?;
        let limit = granules(options.map_limit).max(map_size);
        let mut state = State {
            map_size,
            opened: None,
        };
        // What an older version has left may need more room while it is renewed.
        while let Err(error) = state.open_again(folder) {
            let larger = state.map_size.saturating_mul(2).min(limit);
            match error {
                StoreError::MapFull { .. } if larger > state.map_size => state.map_size = larger,
                StoreError::MapFull { path, .. } => {
                    let limit = state.map_size;
                    return Err(StoreError::MapFull { path, limit });
                }
                error => return Err(error),
            }
        }
        Ok(Environment {
            limit,
            folder: folder.clone(),
            state: RwLock::new(state),
            used: AtomicUsize::new(0),
        })
    }

    /// Runs `job` in a read transaction; None if the table has no rows yet. It
    /// must be short: it runs on the caller's thread, and an old snapshot keeps
    /// the file from reusing pages.
    pub(super) fn read<T>(
        &self,
        table: Table,
        job: impl FnOnce(RawTable, &RoTxn<'_, WithoutTls>) -> heed::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        self.used.fetch_add(1, Ordering::Relaxed);
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let opened = state.opened.as_ref().ok_or(StoreError::Closed)?;
        let Some(handle) = opened.tables.get(table) else {
            return Ok(None);
        };
        opened
            .env
            .read_txn()
            .and_then(|txn| job(handle, &txn))
            .map(Some)
            .map_err(|error| self.named(&error))
    }

    /// Runs `job` in a write transaction and commits it, synced.
    pub(super) fn write(
        &self,
        job: &mut dyn FnMut(&mut Transaction<'_>) -> heed::Result<()>,
    ) -> Result<(), CommitError> {
        self.used.fetch_add(1, Ordering::Relaxed);
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let Some(opened) = state.opened.as_ref() else {
            return Err(CommitError::Unusable(StoreError::Closed));
        };
        let mut attempt = || {
            let mut txn = Transaction::begin(&opened.env, &opened.tables)?;
            job(&mut txn)?;
            txn.commit()
        };
        attempt().map_err(|error| match &error {
            heed::Error::Mdb(MdbError::MapFull) => CommitError::MapFull,
            heed::Error::Mdb(MdbError::Panic) => CommitError::Unusable(self.named(&error)),
            _ => CommitError::Failed(self.named(&error)),
        })
    }

    /// What the file has by now. Reads a page a table.
    pub(super) fn census(&self) -> Census {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let mut census = Census::default();
        let Some(opened) = state.opened.as_ref() else {
            return census;
        };
        census.file_bytes = opened.env.real_disk_size().unwrap_or(0);
        let Ok(txn) = opened.env.read_txn() else {
            return census;
        };
        for (table, count) in Table::ALL.into_iter().zip(&mut census.tables) {
            let handle = opened.tables.get(table);
            let stat = handle.and_then(|handle| handle.stat(&txn).ok());
            *count = stat.map_or_else(TableCount::default, |stat| TableCount {
                rows: stat.entries as u64,
                depth: u64::from(stat.depth),
                leaves: stat.leaf_pages as u64,
            });
        }
        census
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
        // One that is closed stays closed, and one whose file is away stays open.
        if state.opened.is_some() && self.at_hand().is_ok() {
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

    /// Closes it for good and gives the folder up: it can be opened anew.
    pub(super) fn close(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.opened = None;
        self.folder.release();
    }

    /// Writes what is in use to `file`, side by side.
    pub(super) fn copy(&self, file: &mut File) -> Result<(), StoreError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let opened = state.opened.as_ref().ok_or(StoreError::Closed)?;
        let copied = opened.env.copy_to_file(file, CompactionOption::Enabled);
        copied.map_err(|error| self.named(&error))
    }

    /// Closes it; the folder stays claimed.
    pub(super) fn shut(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.opened = None;
    }

    /// Its folder.
    pub(super) fn path(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Whether its data file can still be found where it was opened.
    ///
    /// # Errors
    /// [`StoreError::Away`] and [`StoreError::Replaced`]
    pub(super) fn at_hand(&self) -> Result<(), StoreError> {
        self.folder.at_hand()
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
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(map_size).max_dbs(MAX_TABLES);
        // SAFETY: heed asks for three things. The file is not changed by others
        // while it is mapped: the flock of `Folder` keeps other nodes away and
        // the folder is 0700. It is not opened twice in this process: the same
        // flock, which is one an open file, and heed's own table. No flag that
        // weakens syncing or locking is set.
        let env = unsafe { options.open(folder.path()) }.map_err(|error| {
            folder
                .unfit(&error)
                .unwrap_or_else(|| named(folder, &error))
        })?;
        let tables = open_tables(&env, folder)?;
        Ok(Opened { env, tables })
    }
}

/// Walks the file before LMDB maps it. Past the end of a mapped file reading is
/// a SIGBUS, and on a damaged page LMDB may abort: neither is an error that can
/// be caught.
fn inspect(folder: &Folder) -> Result<(), StoreError> {
    let path = folder.data_path();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::from_io(&path, &error)),
    };
    // Read as a whole in a moment; told now, the disk is asked once.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = nix::fcntl::posix_fadvise(
        &file,
        0,
        0,
        nix::fcntl::PosixFadviseAdvice::POSIX_FADV_WILLNEED,
    );
    // A newer program's folder stays as it is to the byte: LMDB would already write
    // its table of readers into it.
    let mut newer = |table: &[u8], key: &[u8], value: Option<&[u8]>| match value {
        Some(value) if table == Table::Meta.name().as_bytes() && key == Schema::KEY => {
            recover::refuse_newer(folder.path(), key, value)
        }
        _ => Ok(()),
    };
    let seen = pages::survey(&file, Mode::Strict, Some(&mut newer))?;
    if seen.file_len == 0 || seen.unborn {
        // Killed, or out of space, while it was being made.
        log::warn!("store: {} has no rows yet; starting anew", path.display());
        return folder.empty_data();
    }
    match (seen.layout, seen.flaws.first()) {
        (Some(layout), _) if layout != Layout::HERE => Err(StoreError::OtherMachine {
            path,
            by: recover::machine(layout),
        }),
        (_, Some(flaw)) => Err(StoreError::Damaged {
            path,
            text: flaw.to_string(),
        }),
        (_, None) => Ok(()),
    }
}

/// `error` as one of ours, naming the file where the file is to blame. A disk
/// that fills up in the middle of a write is an "input/output error" to LMDB;
/// the free space tells the two apart.
fn named(folder: &Folder, error: &heed::Error) -> StoreError {
    if let heed::Error::Mdb(MdbError::MapFull) = error {
        return StoreError::MapFull {
            path: folder.path().to_path_buf(),
            limit: 0,
        };
    }
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
    let txn = env.read_txn().map_err(named)?;
    let root: Option<RawTable> = env.open_database(&txn, None).map_err(named)?;
    let empty = match root {
        Some(root) => root.is_empty(&txn).map_err(named)?,
        None => true,
    };
    let tables = Tables::open(env, &txn).map_err(named)?;
    let schema = match tables.get(Table::Meta) {
        Some(meta) => meta.get(&txn, Schema::KEY).map_err(named)?,
        None => None,
    };
    let mut found = None;
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
        found = Some(schema.version);
    } else if !empty {
        return Err(damaged("it has no schema row: another program's?".into()));
    }
    // Handles opened in a transaction live on only if it is committed.
    txn.commit().map_err(named)?;
    if found != Some(SCHEMA_VERSION) {
        let (key, value) = migrate::stamp()?;
        let mut txn = Transaction::begin(env, &tables).map_err(named)?;
        if let Some(found) = found {
            let rows = migrate::run(&mut txn, found).map_err(named)?;
            log::info!(
                "store: brought from schema {found} to {SCHEMA_VERSION}: {rows} rows renewed"
            );
        }
        txn.put(Table::Meta, &key, &value).map_err(named)?;
        txn.commit().map_err(named)?;
    }
    if found.is_none() {
        if let Err(error) = folder.sync_names() {
            log::warn!("store: {error}");
        }
    }
    Ok(tables)
}

/// `size` rounded up to whole granules. At least four: with less, LMDB cannot
/// even hold the tables.
fn granules(size: usize) -> usize {
    size.max(4 * MAP_GRANULE)
        .checked_next_multiple_of(MAP_GRANULE)
        .unwrap_or(usize::MAX - (MAP_GRANULE - 1))
}
