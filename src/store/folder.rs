//! The folder of the store: made, locked, and looked at before LMDB maps it.
//!
//! | file | what it is |
//! | --- | --- |
//! | `data.mdb` | LMDB's data |
//! | `lock.mdb` | LMDB's reader table; worthless when no process runs |
//! | `store.lock` | empty; who holds its flock owns the folder |

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::StoreError;

/// LMDB's reader table with its 126 slots: a write of this size allocates it.
const READER_TABLE: usize = 8192;

/// Free bytes below which a disk counts as full: the pages that a commit of a
/// few rows rewrites.
const FULL: u64 = 128 * 1024;

/// A folder that this process owns until it is released or dropped.
pub(super) struct Folder {
    path: PathBuf,
    /// None once it was given up.
    lock: Mutex<Option<Flock<File>>>,
}

impl Folder {
    /// Makes the folder (0700) if it is missing and locks it.
    ///
    /// The lock is our own and not LMDB's: LMDB would let several processes
    /// write, and two nodes with one identity and one set of tickets must not
    /// run. flock ends with the process, however it ends.
    pub(super) fn claim(path: &Path) -> Result<Folder, StoreError> {
        let named = |error: io::Error| StoreError::from_io(path, &error);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(named)?;
        if !path.metadata().map_err(named)?.is_dir() {
            return Err(StoreError::NotAFolder {
                path: path.to_path_buf(),
            });
        }
        let lock_path = path.join("store.lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|error| StoreError::from_io(&lock_path, &error))?;
        let lock =
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(
                |(_, errno)| match errno {
                    Errno::EWOULDBLOCK => StoreError::InUse {
                        path: path.to_path_buf(),
                    },
                    other => StoreError::from_io(&lock_path, &io::Error::from(other)),
                },
            )?;
        Ok(Folder {
            path: path.to_path_buf(),
            lock: Mutex::new(Some(lock)),
        })
    }

    /// Gives the folder up: another may claim it.
    pub(super) fn release(&self) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn data_path(&self) -> PathBuf {
        self.path.join("data.mdb")
    }

    /// Allocates LMDB's reader table if it does not exist. LMDB makes it with
    /// ftruncate and writes to its map: on a full disk that is a SIGBUS, where
    /// this is an error.
    pub(super) fn allocate_reader_table(&self) -> Result<(), StoreError> {
        let path = self.path.join("lock.mdb");
        let named = |error: io::Error| StoreError::from_io(&path, &error);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(named)?;
        if file.metadata().map_err(named)?.len() < READER_TABLE as u64 {
            // Nobody else can have it mapped: the flock is ours. What a
            // process left there is worthless.
            file.write_all(&[0; READER_TABLE]).map_err(named)?;
        }
        Ok(())
    }

    /// Whether less space is free than one commit takes.
    pub(super) fn is_full(&self) -> bool {
        nix::sys::statvfs::statvfs(&self.path).is_ok_and(|disk| {
            // The types differ between systems.
            #[allow(clippy::useless_conversion)]
            let free = u64::from(disk.blocks_available()) * u64::from(disk.fragment_size());
            free < FULL
        })
    }

    /// Length of the data file in bytes; zero if it does not exist.
    pub(super) fn data_len(&self) -> Result<u64, StoreError> {
        match self.data_path().metadata() {
            Ok(data) => Ok(data.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(StoreError::from_io(&self.data_path(), &error)),
        }
    }

    /// Whether there is a data file without anything in it.
    pub(super) fn data_is_empty(&self) -> bool {
        self.data_path()
            .metadata()
            .is_ok_and(|data| data.len() == 0)
    }

    /// Makes the data file at least `len` bytes long.
    pub(super) fn extend_data(&self, len: u64) -> Result<(), StoreError> {
        let path = self.data_path();
        let named = |error: io::Error| StoreError::from_io(&path, &error);
        let file = OpenOptions::new().write(true).open(&path).map_err(named)?;
        if file.metadata().map_err(named)?.len() < len {
            file.set_len(len).map_err(named)?;
        }
        Ok(())
    }

    /// Puts the names of new files on the disk; LMDB syncs only what is in them.
    pub(super) fn sync_names(&self) -> Result<(), StoreError> {
        File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| StoreError::from_io(&self.path, &error))
    }
}
