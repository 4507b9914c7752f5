//! What can be wrong with a key file, and what to do about it.

use crate::identity::Address;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no identity; the text ends with the remedy.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Neither the file nor a copy exists, and none was to be made.
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The folder of the file does not exist.
    NoFolder {
        /// The file.
        path: PathBuf,
    },
    /// The file is gone, its copy is there.
    OnlyBackup {
        /// The file.
        path: PathBuf,
        /// Its copy.
        backup: PathBuf,
        /// Whose identity the copy holds, if it is whole.
        address: Option<Address>,
    },
    /// The file does not hold a key.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, as the rest of a sentence.
        what: &'static str,
        /// A whole copy, and whose identity it holds.
        backup: Option<(PathBuf, Address)>,
    },
    /// What was to be imported is no identity.
    NotExported {
        /// What is wrong with it, as the rest of a sentence.
        what: &'static str,
    },
    /// Other users of the machine can read or change the file.
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A folder, a device, a pipe: anything but a file.
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// A symbolic link; following it could read or replace what the operator
    /// did not mean.
    Symlink {
        /// The link.
        path: PathBuf,
        /// Where it points, if that can be read.
        target: Option<PathBuf>,
    },
    /// Another program holds the lock.
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The system refused a step.
    Io {
        /// What was tried, as in "cannot …".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A path as one word of a shell command.
struct Shell<'a>(&'a Path);

impl fmt::Display for Shell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
        if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
            f.write_str(&text)
        } else {
            write!(f, "'{}'", text.replace('\'', "'\\''"))
        }
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotExported { what } => write!(
                f,
                "what was to be imported {what}: it is the line that `chr-node identity export` \
                 writes, or a copy of a key file"
            ),
            Self::Missing { path } => write!(
                f,
                "there is no identity file {path}: name another with --identity FILE, \
                 or make one with: chr-node identity new --identity {word}",
                path = path.display(),
                word = Shell(path),
            ),
            Self::NoFolder { path } => write!(
                f,
                "the folder of the identity file {} does not exist: mount its drive, \
                 make the folder, or name another file with --identity FILE",
                path.display()
            ),
            Self::OnlyBackup {
                path,
                backup,
                address: Some(address),
            } => write!(
                f,
                "identity file {} is missing, but its copy ({address}) exists: \
                 restore it with: cp -p {} {}",
                path.display(),
                Shell(backup),
                Shell(path),
            ),
            Self::OnlyBackup {
                path,
                backup,
                address: None,
            } => write!(
                f,
                "identity file {} is missing and its copy {} is damaged: put a copy of yours \
                 in place, or give this identity up with: mv {word} {word}.broken",
                path.display(),
                backup.display(),
                word = Shell(backup),
            ),
            Self::Damaged {
                path,
                what,
                backup: Some((backup, address)),
            } => write!(
                f,
                "identity file {} {what}; its copy is whole ({address}): \
                 restore it with: cp -p {} {}",
                path.display(),
                Shell(backup),
                Shell(path),
            ),
            Self::Damaged {
                path,
                what,
                backup: None,
            } => write!(
                f,
                "identity file {} {what}, and there is no usable copy beside it: put a copy \
                 of yours in place, or give this identity up with: mv {word} {word}.broken",
                path.display(),
                word = Shell(path),
            ),
            Self::NotPrivate { path, mode } => write!(
                f,
                "identity file {} is open to other users (mode {mode:04o}): \
                 close it with: chmod 600 {}",
                path.display(),
                Shell(path),
            ),
            Self::NotAFile { path } => write!(
                f,
                "{} is not a file: name the identity file itself with --identity FILE",
                path.display()
            ),
            Self::Symlink { path, target } => {
                write!(f, "identity file {} is a symbolic link: ", path.display())?;
                match target {
                    Some(target) => write!(f, "name the file itself: {}", target.display()),
                    None => f.write_str("name the file itself with --identity FILE"),
                }
            }
            Self::InUse { path } => write!(
                f,
                "identity file {} is in use by another program: stop that one, \
                 or give this one its own with --identity FILE",
                path.display()
            ),
            Self::Io {
                doing,
                path,
                source,
            } => {
                write!(f, "cannot {doing} {}: {source}", path.display())?;
                match source.kind() {
                    io::ErrorKind::PermissionDenied => f.write_str(
                        ": run this as the owner of the file and folder, \
                         or name another file with --identity FILE",
                    ),
                    io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::StorageFull => {
                        f.write_str(": name a file elsewhere with --identity FILE")
                    }
                    io::ErrorKind::Unsupported => f.write_str(
                        ": this file system lacks what an identity needs, \
                         name a file elsewhere with --identity FILE",
                    ),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for KeyFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
