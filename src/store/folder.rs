//! The folder of the store: made, locked, and looked at before LMDB maps it.
//!
//! | file | what it is |
//! | --- | --- |
//! | `data.mdb` | LMDB's data |
//! | `lock.mdb` | LMDB's reader table; worthless when no process runs |
//! | `store.lock` | empty; who holds its flock owns the folder |

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

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
    /// The device that the data file was on when it was first opened.
    device: OnceLock<u64>,
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
                    lacking if LACKING.contains(&lacking) => unfit(path, "lock", lacking),
                    other => StoreError::from_io(&lock_path, &io::Error::from(other)),
                },
            )?;
        Ok(Folder {
            path: path.to_path_buf(),
            lock: Mutex::new(Some(lock)),
            device: OnceLock::new(),
        })
    }

    /// Locks the folder against nodes without writing to it, for as long as the
    /// answer lives. None: no node has ever locked it, or it cannot be locked.
    pub(super) fn look(path: &Path) -> Result<Option<Flock<File>>, StoreError> {
        let Ok(file) = File::open(path.join("store.lock")) else {
            return Ok(None);
        };
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(lock) => Ok(Some(lock)),
            Err((_, Errno::EWOULDBLOCK)) => Err(StoreError::InUse {
                path: path.to_path_buf(),
            }),
            Err(_) => Ok(None),
        }
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

    /// The data file is open from now on: which one it is.
    pub(super) fn opened(&self) {
        if let Ok(data) = self.data_path().symlink_metadata() {
            self.device.get_or_init(|| data.dev());
        }
    }

    /// Whether the data file that is in use has no name here any more: LMDB would go
    /// on with it, and nobody would find what it writes. Or its name leads to another
    /// drive by now. Numbers of files are not compared: they change on some file
    /// systems while the files are open; those of devices do not. Always true of one
    /// that was not opened yet.
    ///
    /// # Errors
    /// [`StoreError::Away`] and [`StoreError::Replaced`]
    pub(super) fn at_hand(&self) -> Result<(), StoreError> {
        let Some(device) = self.device.get() else {
            return Ok(());
        };
        let path = self.data_path();
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::Away { path }),
            Ok(data) if data.dev() != *device => Err(StoreError::Replaced { path }),
            _ => Ok(()),
        }
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
            file.write_all(&vec![0; READER_TABLE]).map_err(named)?;
        }
        Ok(())
    }

    /// Whether less space is free than one commit takes.
    pub(super) fn is_full(&self) -> bool {
        self.free_space().is_some_and(|free| free < FULL)
    }

    /// Bytes free on its disk; None if the disk does not tell.
    pub(super) fn free_space(&self) -> Option<u64> {
        let disk = nix::sys::statvfs::statvfs(&self.path).ok()?;
        // The types differ between systems.
        #[allow(clippy::useless_conversion)]
        let blocks = u64::from(disk.blocks_available());
        #[allow(clippy::useless_conversion)]
        let size = u64::from(disk.fragment_size());
        Some(blocks.saturating_mul(size))
    }

    /// Cuts a data file that has no rows: LMDB starts it anew.
    pub(super) fn empty_data(&self) -> Result<(), StoreError> {
        let path = self.data_path();
        OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_len(0))
            .map_err(|error| StoreError::from_io(&path, &error))
    }

    /// The error of a file system that cannot lock or map files, if `error` of
    /// opening is one.
    pub(super) fn unfit(&self, error: &heed::Error) -> Option<StoreError> {
        let code = match error {
            heed::Error::Io(error) => error.raw_os_error()?,
            heed::Error::Mdb(heed::MdbError::Other(code)) => *code,
            _ => return None,
        };
        let errno = Errno::from_raw(code);
        LACKING
            .contains(&errno)
            .then(|| unfit(&self.path, "map or lock", errno))
    }

    /// Puts the names of new files on the disk; LMDB syncs only what is in them.
    pub(super) fn sync_names(&self) -> Result<(), StoreError> {
        File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| StoreError::from_io(&self.path, &error))
    }
}

/// What file systems answer that cannot lock (some of Android's and of the
/// network's) or cannot map for sharing (some in user space).
const LACKING: [Errno; 5] = [
    Errno::ENODEV,
    Errno::ENOSYS,
    Errno::ENOLCK,
    Errno::EOPNOTSUPP,
    Errno::EINVAL,
];

fn unfit(path: &Path, what: &str, errno: Errno) -> StoreError {
    StoreError::Unfit {
        path: path.to_path_buf(),
        text: format!(
            "{} cannot {what} files ({})",
            kind_of_disk(path),
            errno.desc()
        ),
        instead: elsewhere(path),
    }
}

/// What kind of file system a folder is on, in words.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn kind_of_disk(path: &Path) -> &'static str {
    let Ok(found) = nix::sys::statfs::statfs(path) else {
        return "its file system";
    };
    // The type's width differs between systems; these are the kernel's numbers.
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
    match found.filesystem_type().0 as u32 {
        0x4d44 => "its file system (FAT)",
        0x2011_bab0 => "its file system (exFAT)",
        0x5346_544e => "its file system (NTFS)",
        0x6573_5546 => "its file system (FUSE: a shared or removable disk)",
        0x6969 => "its file system (NFS)",
        0xff53_4d42 | 0xfe53_4d42 => "its file system (a Windows share)",
        _ => "its file system",
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn kind_of_disk(_: &Path) -> &'static str {
    "its file system"
}

/// A folder on another file system that this user can write to.
fn elsewhere(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| path.metadata().ok().map(|data| data.dev());
    let here = path.ancestors().find_map(device);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    [home, Some(PathBuf::from("/var/lib"))]
        .into_iter()
        .flatten()
        .find(|folder| {
            let there = device(folder);
            let may = nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK);
            there.is_some() && there != here && may.is_ok()
        })
        .map_or_else(
            || "a folder on the device's own disk".into(),
            |folder| folder.join("chr-node").display().to_string(),
        )
}
