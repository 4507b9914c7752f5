//! What only trying tells of a file system: two small files, gone again at once. A
//! probe that was killed leaves them behind; the next one removes them.

use crate::platform::sys;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How the names of the files begin.
const START: &str = ".chr-node-doctor-";
/// Bytes of a file: a page of most systems.
const LENGTH: usize = 4096;
/// Entries of the folder that are looked at for files that were left behind.
const ENTRIES_MAX: usize = 4096;

/// What the file system can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probed {
    /// Permissions are kept.
    pub(super) modes: bool,
    /// Files can be locked.
    pub(super) locks: bool,
    /// Files can be mapped for sharing.
    pub(super) maps: bool,
    /// Folders can be synced.
    pub(super) syncs: bool,
}

/// Tries. An error is of writing, syncing or renaming a file, without which nothing
/// goes.
pub(super) fn probe(folder: &Path) -> io::Result<Probed> {
    sweep(folder);
    match attempt(folder) {
        // Another doctor has swept the file away before it was locked.
        Err(error) if error.kind() == io::ErrorKind::NotFound => attempt(folder),
        done => done,
    }
}

fn attempt(folder: &Path) -> io::Result<Probed> {
    // The names need not be secret: an existing file is never opened.
    let name = |end| folder.join(format!("{START}{:016x}.{end}", fastrand::u64(..)));
    let (first, second) = (Remove(name("1")), Remove(name("2")));
    let file = create(&first.0)?;
    // FAT refuses or ignores it.
    let _ = file.set_permissions(Permissions::from_mode(0o600));
    let modes = file.metadata()?.mode() & 0o077 == 0;
    let (mut file, locks) = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => (lock, true),
        Err((file, _)) => return without_lock(file, folder, &first.0, &second.0, modes),
    };
    let maps = fill(&mut file)?;
    let syncs = replace(folder, &first.0, &second.0)?;
    Ok(Probed {
        modes,
        locks,
        maps,
        syncs,
    })
}

fn without_lock(
    mut file: File,
    folder: &Path,
    first: &Path,
    second: &Path,
    modes: bool,
) -> io::Result<Probed> {
    let maps = fill(&mut file)?;
    let syncs = replace(folder, first, second)?;
    Ok(Probed {
        modes,
        locks: false,
        maps,
        syncs,
    })
}

/// Writes and syncs; whether the file can be mapped then.
fn fill(file: &mut File) -> io::Result<bool> {
    file.write_all(&[0; LENGTH])?;
    file.sync_all()?;
    Ok(sys::map_shared(file).is_ok())
}

/// One file takes the place of another, as each file that is written anew does;
/// whether the folder can be synced then.
fn replace(folder: &Path, first: &Path, second: &Path) -> io::Result<bool> {
    drop(create(second)?);
    fs::rename(first, second)?;
    Ok(File::open(folder)?.sync_all().is_ok())
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Removes a file when it is dropped.
struct Remove(PathBuf);

impl Drop for Remove {
    fn drop(&mut self) {
        // The first one is gone when it was renamed; what else stays is swept away
        // the next time.
        let _ = fs::remove_file(&self.0);
    }
}

/// Removes what a killed probe has left; one that is under way holds a lock.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten().take(ENTRIES_MAX) {
        if !entry.file_name().to_string_lossy().starts_with(START) {
            continue;
        }
        let path = entry.path();
        let locked = File::open(&path).map(|file| {
            let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock);
            matches!(lock, Err((_, Errno::EWOULDBLOCK)))
        });
        if !locked.unwrap_or(true) {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nothing_is_left_behind_and_what_a_killed_one_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join(format!("{START}0123.1"));
        let busy = dir.path().join(format!("{START}4567.1"));
        let other = dir.path().join("node.key");
        for path in [&left, &busy, &other] {
            fs::write(path, "x").unwrap();
        }
        let held = Flock::lock(File::open(&busy).unwrap(), FlockArg::LockExclusiveNonblock);
        let probed = probe(dir.path()).unwrap();
        assert!(probed.locks && probed.maps && probed.syncs && probed.modes);
        assert!(!left.exists() && busy.exists() && other.exists());
        drop(held);
        probe(dir.path()).unwrap();
        let names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .flatten()
            .map(|e| e.file_name())
            .collect();
        assert_eq!(names, ["node.key"]);
        assert!(probe(&other).is_err());
    }
}
