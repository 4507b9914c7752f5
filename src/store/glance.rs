//! What can be told of a store at a glance: a few pages are read, nothing is locked,
//! mapped or written, so a node that runs or starts is not disturbed.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::meta::{ClockFloor, Schema};
use super::pages::{self, Layout};
use super::recover::{self, WORKSHOP};
use super::{record, StoreError, Table};

/// Entries of the folder that are looked at: it has a handful.
const ENTRIES_MAX: usize = 256;

/// A store as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// Bytes of its file.
    pub bytes: u64,
    /// Version of its layout; None if there is no row that says so.
    pub schema: Option<u32>,
    /// The time that it remembers, in unix seconds.
    pub floor: Option<u64>,
    /// Who has written it, if not this kind of machine.
    pub written_by: Option<String>,
    /// It is no store at all.
    pub foreign: bool,
    /// Nothing was ever written to it.
    pub unborn: bool,
    /// Files that were set aside, with their sizes.
    pub aside: Vec<(PathBuf, u64)>,
}

/// Looks at the store in `dir`; None if there is none.
///
/// # Errors
/// The system's.
pub fn glance(dir: &Path) -> Result<Option<Glance>, StoreError> {
    let path = dir.join("data.mdb");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::from_io(&path, &error)),
    };
    let mut seen = Glance {
        aside: set_aside(dir),
        ..Glance::default()
    };
    let survey = pages::rows_of(&file, Table::Meta.name(), &mut |_, key, value| {
        let Some(value) = value else {
            return Ok(());
        };
        if key == Schema::KEY {
            let row = record::decode::<Schema>(key, value);
            seen.schema = row.ok().map(|row| row.version);
        } else if key == ClockFloor::KEY {
            let row = record::decode::<ClockFloor>(key, value);
            seen.floor = row.ok().map(|row| row.unix);
        }
        Ok(())
    })?;
    seen.bytes = survey.file_len;
    seen.unborn = survey.unborn || survey.file_len == 0;
    seen.foreign = survey.layout.is_none() && !seen.unborn;
    let other = survey.layout.filter(|layout| *layout != Layout::HERE);
    seen.written_by = other.map(recover::machine);
    Ok(Some(seen))
}

/// Files that a recovery has set aside, and a folder that one has left.
fn set_aside(dir: &Path) -> Vec<(PathBuf, u64)> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let entries = entries.flatten().take(ENTRIES_MAX);
    let aside = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("data.mdb.") || name == WORKSHOP
    });
    aside
        .map(|entry| (entry.path(), entry.metadata().map_or(0, |meta| meta.len())))
        .collect()
}
