//! Folders: the file system below them, the room on it, and how worn the disk is.
//!
//! | file | what |
//! | --- | --- |
//! | `kind.rs` | what is known of a file system by its kind |
//! | `probe.rs` | what only trying tells |
//! | `wear.rs` | cards and flash |

mod kind;
mod probe;
mod wear;

use super::{size, Finding, Report, State};
use kind::Kind;
use nix::sys::statvfs::{statvfs, FsFlags};
use nix::unistd::{access, AccessFlags};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Free bytes below which a disk counts as full: the pages of a commit.
const FULL: u64 = 256 << 10;
/// Below this it soon will be: a year of statistics takes 2 MB, and the store is
/// copied when it is made shorter.
const TIGHT: u64 = 4 << 20;
/// Files that can still be made, below which that is told.
const FEW_FILES: u64 = 16;
/// Where a file system cannot do what it must.
const ELSEWHERE: &str =
    "put storage.data_dir (--data-dir) on the device's own disk (ext4, f2fs, UBIFS, …)";

/// A folder that is to be looked at.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Name of the check.
    pub check: &'static str,
    /// Which.
    pub path: PathBuf,
    /// Whether the store lies in it.
    pub store: bool,
    /// Whether the key does.
    pub key: bool,
}

/// An error of the system at a path, in the words of a start that fails: what is
/// wrong, and what to do.
pub type Words = fn(&Path, &io::Error) -> (String, String);

/// Whether a node can live there.
#[must_use]
pub fn folder(root: &Path, folder: &Folder, words: Words) -> Vec<Finding> {
    let mut report = Report::new(folder.check);
    if let Err((path, error)) = look(root, folder, &mut report) {
        let (found, remedy) = words(&path, &error);
        report.fail(&found, &remedy);
    }
    report.done()
}

/// Also at each start, where nothing may be written for it: kind, room and wear.
#[must_use]
pub fn quick(root: &Path, folder: &Folder) -> Vec<Finding> {
    let mut report = Report::new(folder.check);
    if let Ok(meta) = folder.path.metadata() {
        let path = &folder.path;
        judge(root, folder, path, Kind::of(path), &mut report);
        wear::look(root, meta.dev(), &mut report);
    }
    report.done()
}

fn look(root: &Path, folder: &Folder, report: &mut Report) -> Result<(), (PathBuf, io::Error)> {
    let wanted = &folder.path;
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    // Relative ones begin where this was started.
    let absolute = std::path::absolute(wanted).map_err(at(wanted))?;
    let (there, meta) = nearest(&absolute)?;
    let exists = there == absolute;
    report.fact(&format_args!("{}", absolute.display()));
    if !meta.is_dir() {
        return Err((there, io::ErrorKind::NotADirectory.into()));
    }
    let path = there.clone();
    let room = statvfs(&path).map_err(|errno| (path.clone(), errno.into()))?;
    if room.flags().contains(FsFlags::ST_RDONLY) {
        return Err((there, io::ErrorKind::ReadOnlyFilesystem.into()));
    }
    let may = access(
        &path,
        AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK,
    );
    may.map_err(|errno| (there.clone(), errno.into()))?;
    let kind = Kind::of(&path);
    judge(root, folder, &path, kind, report);
    space(&room, report, &absolute);
    wear::look(root, meta.dev(), report);
    if !exists {
        report.fact(&"is made at the first start");
        return Ok(());
    }
    let keeps_modes = try_it(folder, &path, kind, report).map_err(at(&path))?;
    if keeps_modes {
        rights(&absolute, &meta, report);
    }
    Ok(())
}

/// The folder, or the first above it that exists.
fn nearest(path: &Path) -> Result<(PathBuf, Metadata), (PathBuf, io::Error)> {
    for place in path.ancestors() {
        match place.metadata() {
            Ok(meta) => return Ok((place.to_owned(), meta)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err((place.to_owned(), error)),
        }
    }
    Err((path.to_owned(), io::ErrorKind::NotFound.into()))
}

/// What the kind of file system means for what lies there.
fn judge(root: &Path, folder: &Folder, path: &Path, kind: Kind, report: &mut Report) {
    let place = folder.path.display();
    report.fact(&format_args!("on {}", kind.name));
    if kind.frail {
        report.warn(
            &format_args!("{place} is on {}, which keeps no permissions and may lose files when the power goes", kind.name),
            ELSEWHERE,
        );
    }
    if kind.far {
        report.warn(
            &format_args!(
                "{place} is on {}: the store needs a disk of this device, or it may be damaged",
                kind.name
            ),
            ELSEWHERE,
        );
    }
    let lost = match (kind.memory, kind.overlay) {
        (true, _) => Some("memory: a restart of the device loses"),
        (_, true) => kind::lost_with(root, path),
        _ => None,
    };
    match lost {
        // A store alone may be meant to be there: flash is spared.
        Some(_) if !folder.key => report.fact(&"lost when the device restarts"),
        Some(lost) => report.warn(
            &format_args!("{place} is in {lost} the node's key, which is its address and wallet"),
            "put storage.data_dir (--data-dir) on a disk, a volume of the container, or keep a copy of the key (`chr-node identity export`)",
        ),
        None => {}
    }
}

fn space(room: &nix::sys::statvfs::Statvfs, report: &mut Report, path: &Path) {
    // The types differ between systems.
    #[allow(clippy::useless_conversion)]
    let (blocks, block) = (
        u64::from(room.blocks_available()),
        u64::from(room.fragment_size()),
    );
    #[allow(clippy::useless_conversion)]
    let (files, files_free) = (u64::from(room.files()), u64::from(room.files_available()));
    let free = blocks.saturating_mul(block);
    let path = path.display();
    if free < FULL {
        report.fail(
            &format_args!("the disk of {path} is full ({} free)", size(free)),
            "free some space",
        );
    } else if free < TIGHT {
        report.warn(
            &format_args!("the disk of {path} is nearly full ({} free)", size(free)),
            "free some space",
        );
    }
    // Some file systems have no bound, and say 0.
    if files > 0 && files_free < FEW_FILES {
        let state = if files_free == 0 {
            State::Failure
        } else {
            State::Warning
        };
        report.add(
            state,
            &format_args!("the disk of {path} has room for {files_free} files more"),
            "remove files that nobody needs",
        );
    }
    report.fact(&format_args!("{} free", size(free)));
}

/// What only trying tells. Whether permissions hold.
fn try_it(folder: &Folder, path: &Path, kind: Kind, report: &mut Report) -> io::Result<bool> {
    let probed = match probe::probe(path) {
        Ok(probed) => probed,
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            // The room tells it in numbers, if it does.
            report.fail(
                &format_args!("the disk of {} is full", folder.path.display()),
                "free some space",
            );
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let cannot = |what: &str| format!("{} cannot {what} files", kind.name);
    if folder.key && !probed.modes && !kind.frail {
        report.warn(
            &format_args!(
                "{} keeps no permissions: other users may read the node's key",
                kind.name
            ),
            ELSEWHERE,
        );
    }
    if !probed.locks {
        report.fail(&cannot("lock"), ELSEWHERE);
    }
    if folder.store && !probed.maps {
        report.fail(
            &format_args!("{}: nothing would be kept but the key", cannot("map")),
            "set storage.store_dir to a folder on another file system",
        );
    }
    if !probed.syncs {
        report.warn(
            &format_args!(
                "{} cannot sync folders: a new file may be lost when the power goes",
                kind.name
            ),
            ELSEWHERE,
        );
    }
    if report_is_fine(&probed) {
        report.fact(&"map, lock, rename and sync work");
    }
    Ok(probed.modes)
}

fn report_is_fine(probed: &probe::Probed) -> bool {
    probed.locks && probed.maps && probed.syncs
}

/// Whether others may change what lies there.
fn rights(path: &Path, meta: &Metadata, report: &mut Report) {
    let mode = meta.mode() & 0o7777;
    // With the sticky bit everyone has his own files.
    if mode & 0o002 != 0 && mode & 0o1000 == 0 {
        report.warn(
            &format_args!("everyone may write to {} (mode {mode:04o})", path.display()),
            "chmod 700 it",
        );
    }
}

#[cfg(test)]
mod tests;
