//! Rows out of a store's file and into one, for backups and for moving.
//!
//! Rows are read without LMDB, like everything that looks at a file from outside:
//! so it also works while a node has the store open, and takes no lock that the node
//! could wait for. What makes that safe: LMDB does not touch the pages of its newest
//! snapshot, nor of the one before (a page that transaction N + 1 frees is used
//! again by N + 3 at the earliest). So a walk that has begun at transaction N is
//! whole if the file is at N + 1 at most when it ends. Else it is made again.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::commit::transact;
use super::env::{Environment, StoreOptions};
use super::folder::Folder;
use super::glance::glance;
use super::meta::{Schema, SCHEMA_VERSION};
use super::migrate::{self, Renewed};
use super::pages::{self, Mode};
use super::record::{self, MAX_KEY, MAX_VALUE};
use super::recover::finish_interrupted;
use super::{StoreError, Table};

/// Transactions by which a file may be ahead of a walk over it.
const AHEAD: u64 = 1;

/// A row, its layout not looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRow {
    /// Where it lives.
    pub table: Table,
    /// Its key.
    pub key: Vec<u8>,
    /// Version of its layout.
    pub version: u8,
    /// The layout: postcard.
    pub body: Vec<u8>,
}

/// What a walk over all rows has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dumped {
    /// Rows that were handed out.
    pub rows: u64,
    /// Rows that are damaged or of tables that this program does not know.
    pub damaged: u64,
    /// Flaws of the file itself.
    pub flaws: u64,
    /// A node has the store open.
    pub in_use: bool,
    /// It has written so much meanwhile that the rows may not be of one moment.
    pub overtaken: bool,
}

/// Gives every sound row of the store in `dir` to `visit`; its own rows of the
/// schema are left out. Nothing is written.
///
/// # Errors
/// [`StoreError::Missing`], `Newer`, the system's, and the visitor's.
pub fn dump(
    dir: &Path,
    visit: &mut dyn FnMut(RawRow) -> Result<(), StoreError>,
) -> Result<Dumped, StoreError> {
    let file = dir.join("data.mdb");
    let data = File::open(&file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => StoreError::Missing { path: file.clone() },
        _ => StoreError::from_io(&file, &error),
    })?;
    let mut seen = Dumped::default();
    let _claim = match Folder::look(dir) {
        Ok(claim) => claim,
        Err(StoreError::InUse { .. }) => {
            seen.in_use = true;
            None
        }
        Err(other) => return Err(other),
    };
    let newer = |version| {
        if version > SCHEMA_VERSION {
            return Err(StoreError::Newer {
                path: dir.to_path_buf(),
                found: version,
                known: SCHEMA_VERSION,
            });
        }
        Ok(())
    };
    // Other tables come before the one that says so, and half a backup is none.
    newer(glance(dir)?.and_then(|seen| seen.schema).unwrap_or(0))?;
    let mut take = |table: &[u8], key: &[u8], value: Option<&[u8]>| {
        let table = Table::named(table);
        let sound = value.and_then(|value| record::check(key, value).ok());
        let (Some(table), Some((version, body))) = (table, sound) else {
            seen.damaged = seen.damaged.saturating_add(1);
            return Ok(());
        };
        if table == Table::Meta && key == Schema::KEY {
            return match value.map(|value| record::decode::<Schema>(key, value)) {
                Some(Ok(schema)) => newer(schema.version),
                _ => Ok(()),
            };
        }
        seen.rows = seen.rows.saturating_add(1);
        let row = RawRow {
            table,
            key: key.to_vec(),
            version,
            body: body.to_vec(),
        };
        visit(row)
    };
    let survey = pages::survey(&data, Mode::Lenient, Some(&mut take))?;
    seen.flaws = survey.flaw_count;
    if seen.in_use {
        let now = pages::newest_transaction(&data);
        seen.overtaken = now.is_none_or(|now| now > survey.transaction.saturating_add(AHEAD));
    }
    Ok(seen)
}

/// Whether a node has the store in `dir` open.
///
/// # Errors
/// The system's.
pub fn in_use(dir: &Path) -> Result<bool, StoreError> {
    match Folder::look(dir) {
        Ok(_) => Ok(false),
        Err(StoreError::InUse { .. }) => Ok(true),
        Err(other) => Err(other),
    }
}

/// What an import has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Rows that were not there before.
    pub added: u64,
    /// Rows that took the place of others.
    pub replaced: u64,
    /// Rows that were there as they are.
    pub same: u64,
    /// Rows of which the store had another, which was left.
    pub left: u64,
}

/// Gives rows until there are none.
pub type Rows = Box<dyn FnMut() -> Result<Option<RawRow>, StoreError>>;

/// Writes rows into the store in `dir` in one transaction: all of them or none. A
/// row that is there already with other contents is left unless `replace`. `rows`
/// is called for each attempt and gives them from the first on; rows of older
/// layouts are brought up.
///
/// # Errors
/// [`StoreError::InUse`], those of [`super::Store::open`], and those of `rows`.
pub fn import(
    dir: &Path,
    options: StoreOptions,
    replace: bool,
    rows: &mut dyn FnMut() -> Result<Rows, StoreError>,
) -> Result<Imported, StoreError> {
    let folder = Arc::new(Folder::claim(dir)?);
    finish_interrupted(&folder)?;
    let env = Environment::open(&folder, options)?;
    let mut done = Imported::default();
    let mut fault = None;
    let written = transact(&env, &mut |txn| {
        done = Imported::default();
        let mut stop = |error: StoreError| {
            fault = Some(error);
            heed::Error::Io(std::io::ErrorKind::InvalidData.into())
        };
        let mut next = rows().map_err(&mut stop)?;
        while let Some(row) = next().map_err(&mut stop)? {
            let (table, key, value) = row.seal().map_err(&mut stop)?;
            let before = txn.get(table, &key)?;
            match before {
                None => done.added = done.added.saturating_add(1),
                Some(before) if before == value => {
                    done.same = done.same.saturating_add(1);
                    continue;
                }
                Some(_) if replace => done.replaced = done.replaced.saturating_add(1),
                Some(_) => {
                    done.left = done.left.saturating_add(1);
                    continue;
                }
            }
            txn.put(table, &key, &value)?;
        }
        Ok(())
    });
    env.close();
    match (written, fault) {
        (_, Some(fault)) => Err(fault),
        (Err(error), None) => Err(error),
        (Ok(()), None) => Ok(done),
    }
}

impl RawRow {
    /// The row in its present layout; None if it is in it already.
    #[must_use]
    pub fn renewed(&self) -> Option<RawRow> {
        let (table, key, value) = self.seal().ok()?;
        let (version, body) = record::check(&key, &value).ok()?;
        (version != self.version).then(|| RawRow {
            table,
            version,
            body: body.to_vec(),
            key,
        })
    }

    /// Table, key and value with its checksum, of the present layout.
    ///
    /// # Errors
    /// [`StoreError::TooBig`]; `Damaged` for a row of an older layout that cannot
    /// be read.
    pub fn seal(&self) -> Result<(Table, Vec<u8>, Vec<u8>), StoreError> {
        for (what, size, limit) in [
            ("key", self.key.len(), MAX_KEY),
            ("value", self.body.len(), MAX_VALUE - 5),
        ] {
            if size > limit || (what == "key" && size == 0) {
                return Err(StoreError::TooBig { what, size, limit });
            }
        }
        let mut value = vec![self.version];
        value.extend(&self.body);
        let crc = record::checksum(&self.key, &value);
        value.extend(crc);
        match migrate::renew(self.table, &self.key, &value) {
            Renewed::Same => Ok((self.table, self.key.clone(), value)),
            Renewed::Row(key, value) => Ok((self.table, key, value)),
            Renewed::Gone => Err(StoreError::Damaged {
                path: self.table.name().into(),
                text: "the row's layout is not the one of its version".into(),
            }),
        }
    }
}
