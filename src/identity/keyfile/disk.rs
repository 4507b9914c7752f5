//! The steps on the file system below the key file.

use super::{KeyFileError, MAX_LENGTH};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// An exclusive lock, released when dropped or when the process ends.
pub(super) type Lock = Flock<File>;

/// Owner reads and writes, nobody else anything.
const PRIVATE: u32 = 0o600;
/// Any right of the group or of others.
const FOREIGN: u32 = 0o077;
/// How often a temporary name that is taken is replaced by another.
const NAMES: u32 = 8;

/// Where [`write_new`] left things.
pub(super) enum Landed {
    /// The file is written, durable, and locked by us.
    Here(Lock),
    /// Something with that name exists; it was not touched.
    Occupied,
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    let path = path.to_owned();
    move |source| KeyFileError::Io {
        doing,
        path,
        source,
    }
}

/// Opens a regular file for reading without following a link or waiting for a
/// pipe; `None` if there is nothing at `path`.
pub(super) fn open(path: &Path) -> Result<Option<File>, KeyFileError> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) => return explain_open(path, error),
    };
    let meta = file.metadata().map_err(failed("look at", path))?;
    if !meta.is_file() {
        return Err(KeyFileError::NotAFile {
            path: path.to_owned(),
        });
    }
    Ok(Some(file))
}

fn explain_open(path: &Path, error: io::Error) -> Result<Option<File>, KeyFileError> {
    let owned = path.to_owned();
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_symlink() => Err(KeyFileError::Symlink {
            path: owned,
            target: fs::canonicalize(path).ok(),
        }),
        Ok(meta) if !meta.is_file() => Err(KeyFileError::NotAFile { path: owned }),
        _ if error.kind() == io::ErrorKind::NotFound && folder_of(path).is_dir() => Ok(None),
        _ if error.kind() == io::ErrorKind::NotFound => Err(KeyFileError::NoFolder { path: owned }),
        _ => Err(failed("open identity file", path)(error)),
    }
}

/// Reads the file, at most one byte more than a key file may have.
pub(super) fn read(path: &Path, file: &mut File) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    // Sized at once: a vector that grows leaves the secret in freed memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_LENGTH + 1));
    file.take(MAX_LENGTH as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed("read identity file", path))?;
    Ok(bytes)
}

/// Refuses a file that others may read or change, where the file system knows
/// about others at all.
pub(super) fn check_private(path: &Path, file: &File) -> Result<(), KeyFileError> {
    let meta = file.metadata().map_err(failed("look at", path))?;
    let mode = meta.mode() & 0o7777;
    if is_acceptable(mode, || keeps_permissions(&folder_of(path))) {
        return Ok(());
    }
    Err(KeyFileError::NotPrivate {
        path: path.to_owned(),
        mode,
    })
}

/// `keeps` is asked only when needed: it writes to the folder.
pub(super) fn is_acceptable(mode: u32, keeps: impl FnOnce() -> bool) -> bool {
    mode & FOREIGN == 0 || !keeps()
}

/// Whether permissions mean anything in `folder`. FAT and the shared storage
/// of Android show one mode for all files and ignore or refuse changes; only
/// trying tells. When it cannot be tried, permissions are believed.
fn keeps_permissions(folder: &Path) -> bool {
    let Ok((path, file)) = temporary(folder) else {
        return true;
    };
    let mode = file.metadata().map(|meta| meta.mode());
    // The probe is empty; a leftover would be harmless.
    let _ = fs::remove_file(path);
    mode.map_or(true, |mode| mode & FOREIGN == 0)
}

/// Takes the lock without waiting.
pub(super) fn lock(path: &Path, file: File) -> Result<Lock, KeyFileError> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => KeyFileError::InUse {
            path: path.to_owned(),
        },
        errno => failed("lock identity file", path)(errno.into()),
    })
}

/// Writes a new file so that it is at `path` whole and durable, or not at all,
/// and never over something else.
pub(super) fn write_new(path: &Path, text: &str) -> Result<Landed, KeyFileError> {
    let folder = folder_of(path);
    let (draft, mut file) = temporary(&folder).map_err(failed("make a file in", &folder))?;
    let result = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed("write identity file", &draft))
        // Locked before it has its name: nobody can be faster.
        .and_then(|()| lock(&draft, file))
        .and_then(|lock| {
            let placed = place(&draft, path).map_err(failed("name identity file", path))?;
            Ok(if placed {
                Landed::Here(lock)
            } else {
                Landed::Occupied
            })
        });
    // Gone already if it was renamed.
    let _ = fs::remove_file(&draft);
    let landed = result?;
    sync_folder(&folder).map_err(failed("make durable the folder", &folder))?;
    Ok(landed)
}

/// Gives the draft its name; false if the name is taken.
fn place(draft: &Path, path: &Path) -> io::Result<bool> {
    match fs::hard_link(draft, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // FAT and Android's shared storage have no links. The gap between the
        // two steps is open to another first start at the same moment only.
        Err(error) if lacks_links(&error) => {
            if fs::symlink_metadata(path).is_ok() {
                return Ok(false);
            }
            fs::rename(draft, path).map(|()| true)
        }
        Err(error) => Err(error),
    }
}

fn lacks_links(error: &io::Error) -> bool {
    // EPERM is what Linux says for FAT, EACCES what Android's policy says.
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
    ) || error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32)
}

/// A new, empty, private file beside the final one.
fn temporary(folder: &Path) -> io::Result<(PathBuf, File)> {
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..NAMES {
        // The name need not be secret: an existing file is never opened.
        let path = folder.join(format!(".chr-node-{:016x}.tmp", fastrand::u64(..)));
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(PRIVATE)
            .open(&path);
        match made {
            Ok(file) => {
                // Past a strange umask. FAT refuses, which is fine there.
                let _ = file.set_permissions(Permissions::from_mode(PRIVATE));
                return Ok((path, file));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Makes names durable. Some file systems (FUSE) cannot sync a folder and say
/// so; they leave nothing else to do.
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// The folder of a file; the current one for a bare name.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
