//! What can go wrong with the store, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why the store cannot be opened, read or written. `Clone`, because one
/// failed commit fails many receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The path, or a part of it, is a file.
    NotAFolder {
        /// What was to be the folder.
        path: PathBuf,
    },
    /// There is none.
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It was there, and is not while it is in use: deleted, moved, or its drive is gone.
    Away {
        /// The file.
        path: PathBuf,
    },
    /// While it is in use, another drive has come to its place, with another store.
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// The operating system forbids it.
    Permission {
        /// The folder or file.
        path: PathBuf,
    },
    /// The file system is mounted read-only.
    ReadOnly {
        /// The folder or file.
        path: PathBuf,
    },
    /// Another process (or another store of this process) has it open.
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// No space or quota is left on the device.
    DiskFull {
        /// The folder or file.
        path: PathBuf,
    },
    /// The store has reached the largest size that it may have.
    MapFull {
        /// The folder.
        path: PathBuf,
        /// The limit in bytes.
        limit: usize,
    },
    /// The file is not a store of ours, or not whole.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was seen.
        text: String,
    },
    /// The file was written by another kind of machine.
    OtherMachine {
        /// The file.
        path: PathBuf,
        /// Which kind, as "a 32-bit program".
        by: String,
    },
    /// The file cannot be used, and too many such are set aside already.
    Crowded {
        /// The file.
        path: PathBuf,
        /// How many.
        files: u32,
    },
    /// The file system lacks what the store needs.
    Unfit {
        /// The folder.
        path: PathBuf,
        /// What kind it is and what it lacks.
        text: String,
        /// A folder that would do, in words.
        instead: String,
    },
    /// A newer program has written it; it was not touched.
    Newer {
        /// The folder.
        path: PathBuf,
        /// Schema version found.
        found: u32,
        /// Newest schema version that this program knows.
        known: u32,
    },
    /// A row or batch is larger than the store takes.
    TooBig {
        /// What it is.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The largest allowed.
        limit: usize,
    },
    /// More rows wait for the disk than the queue may hold.
    Busy {
        /// Rows that may wait.
        rows: usize,
    },
    /// The store was closed.
    Closed,
    /// The thread that writes has ended by a fault of the program.
    Stopped,
    /// Any other error of the operating system or of LMDB.
    Io {
        /// The folder or file.
        path: PathBuf,
        /// The operating system's words.
        text: String,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::NotAFolder { path } => write!(
                f,
                "{} is not a folder: choose another storage.data_dir (--data-dir) or move the file away",
                path.display()
            ),
            StoreError::Missing { path } => write!(
                f,
                "there is no {}: the node makes it at its first start; --data-dir DIR names another folder",
                path.display()
            ),
            StoreError::Away { path } => write!(
                f,
                "{} is away, and nothing is kept: put its folder or drive back, or restart the node",
                path.display()
            ),
            StoreError::Replaced { path } => write!(
                f,
                "{} is another file on another drive by now: the node opens it anew",
                path.display()
            ),
            StoreError::Permission { path } => write!(
                f,
                "no permission to write {}: give it to the user that runs this program (chown, chmod u+rwx) or choose another storage.data_dir (--data-dir)",
                path.display()
            ),
            StoreError::ReadOnly { path } => write!(
                f,
                "{} is on a read-only file system: remount it writable or choose another storage.data_dir (--data-dir)",
                path.display()
            ),
            StoreError::InUse { path } => write!(
                f,
                "the store in {} is in use by another process: stop that one, or give this one another storage.data_dir (--data-dir)",
                path.display()
            ),
            StoreError::DiskFull { path } => write!(
                f,
                "the disk of {} is full: free some space",
                path.display()
            ),
            StoreError::MapFull { path, limit } => write!(
                f,
                "the store in {} has reached its limit of {limit} bytes: rows are not kept until some are removed",
                path.display()
            ),
            StoreError::Damaged { path, text } => write!(
                f,
                "{} is damaged ({text}): restore it from a copy, or move it away to start with an empty store",
                path.display()
            ),
            StoreError::OtherMachine { path, by } => write!(
                f,
                "{} was written by {by}: start the node, which carries its rows over, or move it away",
                path.display()
            ),
            StoreError::Crowded { path, files } => write!(
                f,
                "{} cannot be used, and {files} such files are set aside beside it already: check the disk and delete them",
                path.display()
            ),
            StoreError::Unfit { path, text, instead } => write!(
                f,
                "{} cannot hold the store: {text}; choose another storage.data_dir (--data-dir), as {instead}",
                path.display()
            ),
            StoreError::Newer { path, found, known } => write!(
                f,
                "the store in {} was written by a newer version (schema {found}, this program knows {known}): install that version or choose another storage.data_dir (--data-dir); nothing was changed",
                path.display()
            ),
            StoreError::TooBig { what, size, limit } => {
                write!(f, "a {what} of {size} is not stored: the limit is {limit}")
            }
            StoreError::Busy { rows } => write!(
                f,
                "the disk is too slow: {rows} rows wait already; this one is not stored, try again in a second"
            ),
            StoreError::Closed => f.write_str("the store is closed"),
            StoreError::Stopped => f.write_str(
                "the store's writer has ended by a fault: rows are not kept until the store is opened again",
            ),
            StoreError::Io { path, text } => write!(f, "{}: {text}", path.display()),
        }
    }
}

impl std::error::Error for StoreError {}

impl StoreError {
    /// Whether the file that is in use is not at its place any more.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, StoreError::Away { .. } | StoreError::Replaced { .. })
    }

    /// Whether it may go away without a restart, by somebody's hand or by
    /// itself: a program can go on without the store and try again.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            StoreError::Away { .. }
            | StoreError::Replaced { .. }
            | StoreError::Permission { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::DiskFull { .. }
            | StoreError::MapFull { .. }
            | StoreError::Unfit { .. }
            | StoreError::Crowded { .. }
            | StoreError::Busy { .. }
            | StoreError::Stopped
            | StoreError::Io { .. } => true,
            StoreError::NotAFolder { .. }
            | StoreError::Missing { .. }
            | StoreError::InUse { .. }
            | StoreError::Damaged { .. }
            | StoreError::OtherMachine { .. }
            | StoreError::Newer { .. }
            | StoreError::TooBig { .. }
            | StoreError::Closed => false,
        }
    }

    /// Names an error of the operating system that happened at `path`.
    #[must_use]
    pub fn from_io(path: &Path, error: &io::Error) -> StoreError {
        let path = path.to_path_buf();
        match error.kind() {
            io::ErrorKind::PermissionDenied => StoreError::Permission { path },
            io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::DiskFull { path }
            }
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                StoreError::NotAFolder { path }
            }
            _ => StoreError::Io {
                path,
                text: error.to_string(),
            },
        }
    }

    /// Names an error of LMDB that happened at `path`.
    pub(super) fn from_heed(path: &Path, error: &heed::Error) -> StoreError {
        use heed::MdbError;
        match error {
            heed::Error::Io(error) => StoreError::from_io(path, error),
            heed::Error::Mdb(MdbError::Other(code)) => {
                StoreError::from_io(path, &io::Error::from_raw_os_error(*code))
            }
            heed::Error::Mdb(
                kind @ (MdbError::Invalid
                | MdbError::VersionMismatch
                | MdbError::Corrupted
                | MdbError::PageNotFound
                | MdbError::Incompatible),
            ) => StoreError::Damaged {
                path: path.to_path_buf(),
                text: kind.to_string(),
            },
            heed::Error::EnvAlreadyOpened => StoreError::InUse {
                path: path.to_path_buf(),
            },
            other => StoreError::Io {
                path: path.to_path_buf(),
                text: other.to_string(),
            },
        }
    }
}
