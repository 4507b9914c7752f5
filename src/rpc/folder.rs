//! The folder that holds the worker's socket: fresh, ours alone, gone afterwards.
//!
//! A socket with a path is guarded by the folder's permissions. An abstract one
//! would be open to every user of the machine, so it is never used.

use nix::fcntl::AT_FDCWD;
use nix::unistd::{unlinkat, UnlinkatFlags};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::error::RpcError;

/// Longest path of a Unix socket, in bytes, with its final zero (`sun_path` is 108 on
/// Linux and Android, 104 on the BSDs and macOS; the smaller serves all).
const MAX_SOCKET_PATH: usize = 104;
const PREFIX: &str = "chr-rpc-";
const SOCKET: &str = "http";
/// Names tried in one folder before it counts as unusable: names are random, so a second is rarely needed.
const NAME_ATTEMPTS: usize = 4;
/// Entries looked at when searching for what a killed node left behind: a folder with more is not worth the time.
const MAX_ENTRIES: usize = 1_000;

/// Where the worker's socket may go, best first: the folders of
/// `RUNTIME_DIRECTORY` (as systemd sets it, separated by colons), `data_dir`, `/run`, `/dev/shm`.
#[must_use]
pub fn runtime_dirs(runtime_directory: Option<&OsStr>, data_dir: &Path) -> Vec<PathBuf> {
    let given = runtime_directory.unwrap_or_default().as_bytes();
    given
        .split(|&b| b == b':')
        .filter(|part| !part.is_empty())
        .map(|part| PathBuf::from(OsStr::from_bytes(part)))
        .chain([data_dir.to_owned(), "/run".into(), "/dev/shm".into()])
        .collect()
}

/// A folder of ours with a socket in it; both are removed when it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes a folder in the first of `parents` that can hold one, and listens in it.
    ///
    /// # Errors
    /// [`RpcError::NoFolder`] with what each of them said.
    pub fn open(parents: &[PathBuf]) -> Result<(Folder, UnixListener), RpcError> {
        let mut tried = Vec::new();
        for parent in parents {
            match Folder::open_in(parent) {
                Ok(open) => return Ok(open),
                Err(error) => tried.push((parent.clone(), error)),
            }
        }
        Err(RpcError::NoFolder(tried))
    }

    fn open_in(parent: &Path) -> io::Result<(Folder, UnixListener)> {
        let folder = Folder::make_in(parent)?;
        let about = fs::symlink_metadata(&folder.path)?;
        // File systems without permissions (FAT) let everyone in, whatever was asked for.
        if !about.is_dir() || about.mode() & 0o077 != 0 {
            return Err(io::Error::other("the file system has no permissions"));
        }
        let listener = UnixListener::bind(folder.socket())?;
        remove_leftovers(parent, about.uid());
        Ok((folder, listener))
    }

    fn make_in(parent: &Path) -> io::Result<Folder> {
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..NAME_ATTEMPTS {
            let path = parent.join(format!("{PREFIX}{:08x}", fastrand::u32(..)));
            if path.join(SOCKET).as_os_str().len() >= MAX_SOCKET_PATH {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the path is too long for a socket",
                ));
            }
            // Fails if the name exists, be it as a link: the folder is fresh.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Folder { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Path of the socket.
    pub fn socket(&self) -> PathBuf {
        self.path.join(SOCKET)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The socket is often gone already: tiny_http removes it, too.
        let _ = fs::remove_file(self.socket());
        // Android ends programs that call rmdir(2) on 32 bits; this one it knows.
        let removed = unlinkat(AT_FDCWD, &self.path, UnlinkatFlags::RemoveDir);
        if let Err(error) = removed {
            log::debug!("rpc: {} stays behind: {error}", self.path.display());
        }
    }
}

/// Removes the folders of nodes that were killed: ours by owner, and nobody listens.
fn remove_leftovers(parent: &Path, owner: u32) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.take(MAX_ENTRIES).flatten() {
        if !entry.file_name().as_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let path = entry.path();
        let ours = fs::symlink_metadata(&path).is_ok_and(|a| a.is_dir() && a.uid() == owner);
        let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        // A socket that refuses has lost its process; one that is not there yet may be about to come.
        if ours && UnixStream::connect(path.join(SOCKET)).is_err_and(refused) {
            drop(Folder { path });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn nobody_else_can_enter_and_nothing_stays_behind() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, listener) = Folder::open(&[parent.path().to_owned()]).unwrap();
        let mode = fs::metadata(&folder.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        UnixStream::connect(folder.socket()).unwrap();
        drop((folder, listener));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_path_too_long_for_a_socket_lets_the_next_be_tried() {
        let parent = tempfile::tempdir().unwrap();
        let long = parent.path().join("d".repeat(100));
        fs::create_dir(&long).unwrap();
        let missing = parent.path().join("missing");
        let parents = [long.clone(), missing, parent.path().to_owned()];
        let (folder, _listener) = Folder::open(&parents).unwrap();
        assert_eq!(folder.path.parent(), Some(parent.path()));
        assert_eq!(fs::read_dir(long).unwrap().count(), 0);
        let error = Folder::open(&parents[..2]).unwrap_err().to_string();
        assert!(
            error.contains("too long") && error.contains("missing"),
            "{error}"
        );
    }

    #[test]
    fn a_killed_node_leaves_no_growing_heap_of_folders() {
        let parent = tempfile::tempdir().unwrap();
        let dead = parent.path().join(format!("{PREFIX}00000000"));
        fs::create_dir(&dead).unwrap();
        drop(UnixListener::bind(dead.join(SOCKET)).unwrap());
        let alive = parent.path().join(format!("{PREFIX}00000001"));
        fs::create_dir(&alive).unwrap();
        let _other = UnixListener::bind(alive.join(SOCKET)).unwrap();
        let foreign = parent.path().join("something-else");
        fs::create_dir(&foreign).unwrap();
        let (_folder, _listener) = Folder::open(&[parent.path().to_owned()]).unwrap();
        assert!(!dead.exists() && alive.exists() && foreign.exists());
    }

    #[test]
    fn the_runtime_folder_of_the_service_comes_first() {
        let dirs = runtime_dirs(Some(OsStr::new("/run/a:/run/b")), Path::new("data"));
        let want: Vec<PathBuf> = ["/run/a", "/run/b", "data", "/run", "/dev/shm"]
            .iter()
            .map(PathBuf::from)
            .collect();
        assert_eq!(dirs, want);
        assert_eq!(runtime_dirs(None, Path::new("data")).len(), 3);
    }
}
