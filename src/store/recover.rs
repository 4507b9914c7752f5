//! A store whose file cannot be used: set aside, and its rows carried over.
//!
//! The new file is built in a folder of its own beside the old one. Only when it
//! is complete and synced does the old one get another name and the new one its
//! place, so a power cut at any moment leaves either the old file or the whole
//! new one. Nothing is deleted: what could not be read today may be worth a
//! forensic look tomorrow.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch::{Batch, Change, MAX_ROWS};
use super::env::{Environment, StoreOptions};
use super::folder::Folder;
use super::meta::{Schema, SCHEMA_VERSION};
use super::meter::Meter;
use super::migrate::{self, Renewed};
use super::pages::{self, Layout, Mode, Survey};
use super::{commit, record, Store, StoreError, Table};

/// Files of one kind that are kept: a disk that ruins more is not to be trusted
/// with another, and the space is the user's.
pub const ASIDE_MAX: u32 = 8;

/// Where the new file is built.
pub(super) const WORKSHOP: &str = "rebuild";

/// Bytes of rows that are carried over in one transaction.
const CARRIED: usize = 1 << 20;

/// What became of a file that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Where the old file is now.
    pub file: PathBuf,
    /// What was wrong with it.
    pub reason: String,
    /// Rows that the new store has from it.
    pub kept: u64,
    /// Rows that it had and the new store has not; None if nobody knows.
    pub lost: Option<u64>,
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the store was started anew because {}; {} of its rows were carried over, ",
            self.reason, self.kept
        )?;
        match self.lost {
            Some(0) => f.write_str("none is lost")?,
            Some(lost) => write!(f, "{lost} are lost")?,
            None => f.write_str("how many are lost is not known")?,
        }
        write!(
            f,
            "; the old file is {} and can be deleted",
            self.file.display()
        )
    }
}

impl Store {
    /// As [`Store::open`]; a file that is damaged or was written by another kind
    /// of machine is set aside, a new store is started, and the rows whose
    /// checksum is right are carried over as far as the file can be walked.
    ///
    /// # Errors
    /// Every [`StoreError`] that [`Store::open`] has but `Damaged` and
    /// `OtherMachine`, and `Crowded`. If it fails the old file is in its place.
    pub fn open_or_recover(
        dir: &Path,
        options: StoreOptions,
    ) -> Result<(Store, Option<Recovery>), StoreError> {
        let folder = Arc::new(Folder::claim(dir)?);
        finish_interrupted(&folder)?;
        let meter = Meter::of_this_thread();
        let before = meter.read();
        let error = match Environment::open(&folder, options) {
            Ok(env) => return Ok((Store::start(env, options, meter.since(before))?, None)),
            Err(error) => error,
        };
        let reason = match &error {
            StoreError::Damaged { text, .. } => format!("its file was damaged ({text})"),
            StoreError::OtherMachine { by, .. } => format!("its file was written by {by}"),
            _ => return Err(error),
        };
        let recovery = rebuild(&folder, options, &error, reason)?;
        let env = Environment::open(&folder, options)?;
        let store = Store::start(env, options, meter.since(before))?;
        Ok((store, Some(recovery)))
    }
}

/// A power cut can have come when the old file had its new name already and the
/// new one not yet.
pub(super) fn finish_interrupted(folder: &Folder) -> Result<(), StoreError> {
    let workshop = folder.path().join(WORKSHOP);
    if !workshop.exists() {
        return Ok(());
    }
    let (built, place) = (workshop.join("data.mdb"), folder.data_path());
    if built.exists() && !place.exists() {
        log::warn!("store: an interrupted recovery is finished");
        fs::rename(&built, &place).map_err(|error| StoreError::from_io(&place, &error))?;
        folder.sync_names()?;
    }
    clear(&workshop);
    Ok(())
}

pub(super) fn clear(workshop: &Path) {
    if let Err(error) = fs::remove_dir_all(workshop) {
        if error.kind() != std::io::ErrorKind::NotFound {
            log::warn!("store: {}: {error}", workshop.display());
        }
    }
}

fn rebuild(
    folder: &Folder,
    options: StoreOptions,
    why: &StoreError,
    reason: String,
) -> Result<Recovery, StoreError> {
    let data = folder.data_path();
    let named = |error: std::io::Error| StoreError::from_io(&data, &error);
    let old = File::open(&data).map_err(named)?;
    let aside = free_name(&data, why)?;
    let len = old.metadata().map_err(named)?.len();
    if folder.free_space().is_some_and(|free| free < len) {
        // Not begun: whoever tries again every minute would wear the flash out.
        return Err(StoreError::DiskFull { path: data });
    }
    let workshop = folder.path().join(WORKSHOP);
    clear(&workshop);
    let carried = carry_over(&old, &workshop, options).and_then(|carried| {
        fs::rename(&data, &aside).map_err(named)?;
        let moved = fs::rename(workshop.join("data.mdb"), &data).map_err(named);
        if moved.is_err() {
            let _ = fs::rename(&aside, &data);
        }
        moved.map(|()| carried)
    });
    if carried.is_ok() {
        if let Err(error) = folder.sync_names() {
            log::warn!("store: {error}");
        }
    }
    clear(&workshop);
    let (kept, lost) = carried?;
    Ok(Recovery {
        file: aside,
        reason,
        kept,
        lost,
    })
}

/// `data.mdb.damaged-1`, `data.mdb.32-bit-2` and so on.
fn free_name(data: &Path, why: &StoreError) -> Result<PathBuf, StoreError> {
    let kind = match why {
        StoreError::OtherMachine { by, .. } => by.split_whitespace().nth(1).unwrap_or("other"),
        _ => "damaged",
    };
    (1..=ASIDE_MAX)
        .map(|number| {
            let mut name = data.as_os_str().to_owned();
            name.push(format!(".{kind}-{number}"));
            PathBuf::from(name)
        })
        .find(|name| !name.exists())
        .ok_or_else(|| StoreError::Crowded {
            path: data.to_path_buf(),
            files: ASIDE_MAX,
        })
}

/// Writes the rows of `old` to a new store in `workshop` and closes it; rows
/// kept, rows lost.
fn carry_over(
    old: &File,
    workshop: &Path,
    options: StoreOptions,
) -> Result<(u64, Option<u64>), StoreError> {
    let room = Arc::new(Folder::claim(workshop)?);
    let env = Environment::open(&room, options)?;
    let mut kept = [0u64; Table::ALL.len()];
    let mut batch = Batch::new();
    let mut bytes = 0usize;
    let mut take = |table: &[u8], key: &[u8], value: Option<&[u8]>| {
        let (Some(table), Some(value)) = (Table::named(table), value) else {
            return Ok(());
        };
        if record::check(key, value).is_err() {
            return Ok(());
        }
        if table == Table::Meta && key == Schema::KEY {
            return refuse_newer(workshop.parent().unwrap_or(workshop), key, value);
        }
        let (key, value) = match migrate::renew(table, key, value) {
            Renewed::Same => (key.to_vec(), value.to_vec()),
            Renewed::Row(key, value) => (key, value),
            Renewed::Gone => return Ok(()),
        };
        if let Some(kept) = kept.get_mut(table as usize) {
            *kept += 1;
        }
        let change = Change {
            table,
            key,
            value: Some(value),
        };
        bytes = bytes.saturating_add(change.bytes());
        batch.changes.push(change);
        if batch.changes.len() >= MAX_ROWS || bytes >= CARRIED {
            bytes = 0;
            return commit::commit(&env, &[std::mem::take(&mut batch)]);
        }
        Ok(())
    };
    let survey = pages::survey(old, Mode::Lenient, Some(&mut take))?;
    if !batch.changes.is_empty() {
        commit::commit(&env, &[batch])?;
    }
    env.close();
    Ok((kept.iter().sum(), lost(&survey, kept)))
}

/// A newer program's rows are not ours to rewrite.
pub(super) fn refuse_newer(folder: &Path, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    match record::decode::<Schema>(key, value) {
        Ok(schema) if schema.version > SCHEMA_VERSION => Err(StoreError::Newer {
            path: folder.to_path_buf(),
            found: schema.version,
            known: SCHEMA_VERSION,
        }),
        _ => Ok(()),
    }
}

fn lost(survey: &Survey, kept: [u64; Table::ALL.len()]) -> Option<u64> {
    if survey.tables.is_empty() || survey.outdated {
        return None;
    }
    let mut lost = 0u64;
    for table in &survey.tables {
        // No row takes less; a damaged number must not become a report.
        if table.entries > survey.file_len / 16 {
            return None;
        }
        let mut kept = Table::named(table.name.as_bytes())
            .and_then(|table| kept.get(table as usize).copied())
            .unwrap_or(0);
        if table.name == Table::Meta.name() {
            // The schema's row is made anew.
            kept += 1;
        }
        let had = table.entries.max(table.rows);
        lost = lost.saturating_add(had.saturating_sub(kept));
    }
    Some(lost)
}

/// Who writes such a file, in words that begin with an article and a name for
/// files of it.
pub(super) fn machine(layout: Layout) -> String {
    if layout.little != Layout::HERE.little {
        "an other-endian machine".into()
    } else {
        format!("a {}-bit program", layout.word * 8)
    }
}
