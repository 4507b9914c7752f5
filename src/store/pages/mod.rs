//! LMDB's file, read without LMDB.
//!
//! LMDB trusts its pages: a flipped bit in one of them can make it abort, loop
//! or read beyond the file, which ends the process. So a file is walked here
//! before LMDB maps it: every page that its newest snapshot uses is reached
//! exactly once, every number leads into the file, every node lies inside of its
//! page, and keys ascend. What passed can be opened. Of what did not, the rows
//! that can still be reached are handed out, also of files that another kind of
//! machine has written.
//!
//! Nothing is mapped and nothing is trusted: memory is a bit a page and a page a
//! level, and there is no recursion.
//!
//! | file | what |
//! | --- | --- |
//! | `layout.rs` | where the fields of the file stand |
//! | `walk.rs` | the walk over one tree |

mod layout;
mod walk;

use crate::sorted;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

pub use layout::Layout;
use layout::{Meta, INTEGER_KEYS, PAGE_SIZES};
use walk::{Trunk, Walk};

use super::StoreError;

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Number of the page; None if it is not about one.
    pub page: Option<u64>,
    /// In words.
    pub text: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.page {
            Some(page) => write!(f, "page {page}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Flaws that a survey names; the others it counts.
pub const FLAWS_NAMED: usize = 16;

/// Pages that a file may be shorter than its meta page says, if they are free:
/// LMDB need not write what it frees again in the same transaction.
const UNWRITTEN: u64 = 65_536;

/// A table as it was walked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSurvey {
    /// Its name.
    pub name: String,
    /// Rows that were reached.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Rows that it should have.
    pub entries: u64,
}

/// What the walk over a file has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Who has written it; None if it is no LMDB file at all.
    pub layout: Option<Layout>,
    /// Bytes of a page.
    pub page_size: usize,
    /// Bytes of the file.
    pub file_len: u64,
    /// The transaction that has made the snapshot.
    pub transaction: u64,
    /// Nothing was ever committed to it.
    pub unborn: bool,
    /// Pages that the file's list of free ones names.
    pub free_pages: u64,
    /// The tables. None are known if their list cannot be read.
    pub tables: Vec<TableSurvey>,
    /// The tables may not be those of the newest commit: it cannot be read, or
    /// nobody knows which it is.
    pub outdated: bool,
    /// The first flaws; empty if the file is sound.
    pub flaws: Vec<Flaw>,
    /// How many there are.
    pub flaw_count: u64,
}

/// Whether the walk ends at the first flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Ends there: the question is only whether the file is sound.
    Strict,
    /// Goes round it and on.
    Lenient,
}

/// Gets table, key and value of each row; None is a value that is longer than
/// any row's or cannot be read. The walk ends with the error that it returns.
pub type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8], Option<&[u8]>) -> Result<(), StoreError>;

/// Why a walk has ended early.
pub(super) enum Stop {
    /// A flaw, in strict mode; it is in the survey.
    Flawed,
    /// The visitor's.
    Told(StoreError),
}

/// Walks the file. Without a visitor long values are not read.
///
/// # Errors
/// The visitor's alone: what is wrong with the file is in the survey.
pub fn survey(file: &File, mode: Mode, visit: Option<Visit<'_>>) -> Result<Survey, StoreError> {
    let mut survey = Survey {
        file_len: file.metadata().map_or(0, |data| data.len()),
        ..Survey::default()
    };
    let mut reader = Surveyor {
        file,
        mode,
        survey: &mut survey,
    };
    match reader.run(visit) {
        Ok(()) | Err(Stop::Flawed) => Ok(survey),
        Err(Stop::Told(error)) => Err(error),
    }
}

/// The newest transaction that the meta pages tell; None: they cannot be read.
#[must_use]
pub fn newest_transaction(file: &File) -> Option<u64> {
    let mut survey = Survey::default();
    let mut reader = Surveyor {
        file,
        mode: Mode::Lenient,
        survey: &mut survey,
    };
    let (_, metas) = reader.metas().ok()?;
    metas.first().map(|meta| meta.transaction)
}

/// Gives the rows of one table of the newest snapshot to `visit`, as far as they can
/// be read; nothing else of the file is looked at.
///
/// # Errors
/// The visitor's alone.
pub fn rows_of(file: &File, table: &str, visit: Visit<'_>) -> Result<Survey, StoreError> {
    let mut survey = Survey {
        file_len: file.metadata().map_or(0, |data| data.len()),
        ..Survey::default()
    };
    let mut reader = Surveyor {
        file,
        mode: Mode::Lenient,
        survey: &mut survey,
    };
    let newest = reader.metas().ok().and_then(|(layout, metas)| {
        let meta = metas.into_iter().next()?;
        Some((layout, meta))
    });
    let Some((layout, meta)) = newest else {
        return Ok(survey);
    };
    let in_file = survey.file_len / meta.page_size.max(1) as u64;
    let mut walk = Walk::new(file, layout, &meta, in_file, Mode::Lenient);
    match walk.tables(&meta.main, Some(table), &mut Some(visit)) {
        Err(Stop::Told(error)) => Err(error),
        Ok(()) | Err(Stop::Flawed) => Ok(survey),
    }
}

struct Surveyor<'a> {
    file: &'a File,
    mode: Mode,
    survey: &'a mut Survey,
}

impl Surveyor<'_> {
    fn run(&mut self, mut visit: Option<Visit<'_>>) -> Result<(), Stop> {
        let (layout, metas) = self.metas()?;
        // The newer snapshot; the other one if nothing can be reached there.
        self.survey.outdated = metas.len() < 2;
        for (turn, meta) in metas.into_iter().enumerate() {
            self.survey.outdated |= turn > 0;
            self.survey.page_size = meta.page_size;
            self.survey.transaction = meta.transaction;
            self.walk(layout, &meta, &mut visit)?;
            if self.survey.tables.iter().any(|table| table.rows > 0) {
                break;
            }
            if self.survey.flaw_count == 0 {
                break;
            }
        }
        Ok(())
    }

    /// The meta pages that can be read, the newer first.
    fn metas(&mut self) -> Result<(Layout, Vec<Meta>), Stop> {
        let mut first = vec![0; Layout::meta(Layout::HERE).max(256)];
        let mut second = first.clone();
        let one = read_at(self.file, &mut first, 0)
            .ok()
            .and_then(|()| Layout::guess(&first));
        let sizes = match &one {
            Some((_, meta)) => vec![meta.page_size],
            None => PAGE_SIZES.to_vec(),
        };
        let two = sizes.into_iter().find_map(|size| {
            read_at(self.file, &mut second, size as u64).ok()?;
            let (layout, meta) = Layout::guess(&second)?;
            (meta.page_size == size).then_some((layout, meta))
        });
        let layout = match (&one, &two) {
            (Some((layout, _)), _) | (None, Some((layout, _))) => *layout,
            (None, None) => {
                self.flaw(
                    None,
                    "it is no LMDB file: both of its meta pages are unreadable",
                )?;
                return Err(Stop::Flawed);
            }
        };
        self.survey.layout = Some(layout);
        let unborn = |meta: &Meta| meta.transaction == 0 && meta.main.root.is_none();
        self.survey.unborn = [&one, &two]
            .into_iter()
            .flatten()
            .all(|(_, meta)| unborn(meta));
        if one.is_none() {
            self.flaw(Some(0), "the meta page is unreadable")?;
        }
        if two.as_ref().is_none_or(|(other, _)| *other != layout) {
            self.flaw(Some(1), "the meta page is unreadable")?;
        }
        let mut metas: Vec<(u64, Meta)> = Vec::new();
        metas.extend(one.map(|(_, meta)| (0, meta)));
        metas.extend(two.filter(|(l, _)| *l == layout).map(|(_, meta)| (1, meta)));
        if let [(_, one), (_, two)] = metas.as_slice() {
            let apart = one.transaction.abs_diff(two.transaction);
            let differ = (&one.free, &one.main) != (&two.free, &two.main);
            if apart > 1 || (apart == 0 && differ) {
                self.flaw(None, "its two meta pages do not follow each other")?;
            }
        }
        // LMDB takes the first if both are of the same transaction.
        // (They stand here in the order of their pages.)
        sorted::sort_by(&mut metas, |(_, a), (_, b)| {
            b.transaction.cmp(&a.transaction)
        });
        if let [(at, newest), (_, older)] = metas.as_slice() {
            if newest.transaction != older.transaction && newest.transaction & 1 != *at {
                self.flaw(Some(*at), "its transaction belongs to the other meta page")?;
            }
        }
        Ok((layout, metas.into_iter().map(|(_, meta)| meta).collect()))
    }

    fn walk(
        &mut self,
        layout: Layout,
        meta: &Meta,
        visit: &mut Option<Visit<'_>>,
    ) -> Result<(), Stop> {
        let in_file = self.survey.file_len / meta.page_size as u64;
        let pages = meta.last_page.saturating_add(1);
        if pages > in_file.saturating_add(UNWRITTEN) || pages < 2 {
            let text = format!("the file has {in_file} pages and should have {pages}");
            self.flaw(None, &text)?;
        }
        if meta.free.flags != INTEGER_KEYS || meta.main.flags != 0 {
            self.flaw(None, "the flags of the main trees are not a store's")?;
        }
        let mut walk = Walk::new(self.file, layout, meta, in_file.min(pages), self.mode);
        let walked = walk.tables(&meta.main, None, visit).and_then(|()| {
            // Last: a page that a table and the list of free ones both claim is
            // the table's.
            walk.free_pages(&meta.free)
        });
        let lost = (in_file..pages.min(in_file.saturating_add(UNWRITTEN)))
            .find(|page| walk.seen.is_new(*page));
        let Trunk {
            tables,
            free,
            flaws,
            flaw_count,
        } = walk.trunk;
        self.survey.tables = tables;
        self.survey.free_pages = free;
        self.survey.flaw_count = self.survey.flaw_count.saturating_add(flaw_count);
        for flaw in flaws {
            self.name(flaw);
        }
        walked?;
        if let Some(lost) = lost {
            let text = format!("it is missing: the file is cut short after {in_file} pages");
            self.flaw(Some(lost), &text)?;
        }
        Ok(())
    }

    fn flaw(&mut self, page: Option<u64>, text: &str) -> Result<(), Stop> {
        self.survey.flaw_count = self.survey.flaw_count.saturating_add(1);
        self.name(Flaw {
            page,
            text: text.to_owned(),
        });
        match self.mode {
            Mode::Strict => Err(Stop::Flawed),
            Mode::Lenient => Ok(()),
        }
    }

    fn name(&mut self, flaw: Flaw) {
        if self.survey.flaws.len() < FLAWS_NAMED {
            self.survey.flaws.push(flaw);
        }
    }
}

fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    file.read_exact_at(buffer, at)
}
