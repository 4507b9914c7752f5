//! What is in a store's file: counted without writing anything and without LMDB,
//! so that a damaged file can be looked at, too.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::folder::Folder;
use super::meta::{Schema, SCHEMA_VERSION};
use super::pages::{self, Layout, Mode, Survey};
use super::{record, recover, StoreError, Table};

/// A table as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableCheck {
    /// Its name.
    pub name: String,
    /// Rows, sound and damaged.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Rows whose checksum is wrong or that cannot be read.
    pub damaged: u64,
}

/// A file as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Which one.
    pub file: PathBuf,
    /// The walk over its pages.
    pub survey: Survey,
    /// Version of its layout; None if it cannot be read.
    pub schema: Option<u32>,
    /// The tables.
    pub tables: Vec<TableCheck>,
}

impl Checked {
    /// Who has written it, if not this kind of machine.
    #[must_use]
    pub fn written_by(&self) -> Option<String> {
        let foreign = self.survey.layout.filter(|layout| *layout != Layout::HERE);
        foreign.map(recover::machine)
    }

    /// What is wrong with it and what to do, in one line; None if it is sound.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let damaged: u64 = self.tables.iter().map(|table| table.damaged).sum();
        if self.survey.flaw_count > 0 {
            let count = match self.survey.flaw_count {
                1 => "one place".to_owned(),
                count => format!("{count} places"),
            };
            return Some(format!(
                "its structure is damaged in {count}: at its next start the node sets it aside and carries over the rows that can be read"
            ));
        }
        if let Some(by) = self.written_by() {
            return Some(format!(
                "it was written by {by}: at its next start the node sets it aside and carries its rows over"
            ));
        }
        match self.schema {
            // Made, and nothing was ever written to it.
            None if self.survey.unborn || self.survey.file_len == 0 => {}
            None => {
                return Some("it has no readable schema row: at its next start the node sets it aside and carries its rows over".into())
            }
            Some(found) if found > SCHEMA_VERSION => {
                return Some(format!(
                    "it was written by a newer version (schema {found}, this program knows {SCHEMA_VERSION}): install that version"
                ))
            }
            Some(_) => {}
        }
        let rows = if damaged == 1 { "row is" } else { "rows are" };
        (damaged > 0)
            .then(|| format!("{damaged} {rows} damaged: the node goes on without; check the disk"))
    }
}

/// Walks the file of the store in `dir`.
///
/// # Errors
/// [`StoreError::InUse`] while a node has it open, and the system's.
pub fn check(dir: &Path) -> Result<Checked, StoreError> {
    if dir.join("data.mdb").exists() {
        let _claim = Folder::look(dir)?;
        return walk(dir);
    }
    walk(dir)
}

/// The same without a lock, which a node that starts at this moment would meet: if it
/// writes meanwhile, the file may look damaged.
///
/// # Errors
/// The system's.
pub fn walk(dir: &Path) -> Result<Checked, StoreError> {
    let file = dir.join("data.mdb");
    let named = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => StoreError::Missing { path: file.clone() },
        _ => StoreError::from_io(&file, &error),
    };
    let data = File::open(&file).map_err(named)?;
    let mut tables: Vec<TableCheck> = Vec::new();
    let mut schema = None;
    let mut count = |table: &[u8], key: &[u8], value: Option<&[u8]>| {
        let name = String::from_utf8_lossy(table);
        if tables.last().is_none_or(|last| last.name != name) {
            tables.push(TableCheck {
                name: name.into_owned(),
                ..TableCheck::default()
            });
        }
        let sound = value.filter(|value| record::check(key, value).is_ok());
        if table == Table::Meta.name().as_bytes() && key == Schema::KEY {
            let row = sound.and_then(|value| record::decode::<Schema>(key, value).ok());
            schema = row.map(|row| row.version);
        }
        if let Some(table) = tables.last_mut().filter(|_| sound.is_none()) {
            table.damaged = table.damaged.saturating_add(1);
        }
        Ok(())
    };
    let survey = pages::survey(&data, Mode::Lenient, Some(&mut count))?;
    for walked in &survey.tables {
        match tables.iter_mut().find(|table| table.name == walked.name) {
            Some(table) => {
                table.rows = walked.rows;
                table.bytes = walked.bytes;
            }
            None => tables.push(TableCheck {
                name: walked.name.clone(),
                ..TableCheck::default()
            }),
        }
    }
    Ok(Checked {
        file,
        survey,
        schema,
        tables,
    })
}
