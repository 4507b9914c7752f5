//! The key file: one identity on disk, never lost silently.
//!
//! A node's address is its name in the network and its wallet. A program that
//! makes a new key because the old one cannot be read loses both, so the rule
//! here is: a new identity is made only where there is no trace of an old one.
//! Everything else is an error that says what to do.
//!
//! The file is one line of text:
//!
//! ```text
//! chr-key-1 <64 hexadecimal digits: secret key> 0x<40 hexadecimal digits: address>
//! ```
//!
//! The address is redundant on purpose: it is the checksum, and it tells a
//! human whose key this is. Beside the file lies a copy, `<name>.bak`.
//!
//! Order of creation, so that a power cut at any moment leaves nothing, or a
//! whole key file: temporary file in the same folder (mode 0600), write,
//! fsync, lock, link to the final name (which never overwrites), fsync of the
//! folder, and only then the copy in the same way. A key file without its copy
//! gets one at the next start.
//!
//! While a [`KeyFile`] lives it holds an exclusive flock on the file: two
//! programs with one identity would replace each other's sessions for ever.

mod disk;
mod error;
mod secret;

pub use error::KeyFileError;
pub use secret::{read_secret, write_secret};

use super::{hex, Address, SecretKey};
use disk::{Landed, Lock};
use std::fs::File;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// First word of the file: format and version.
const FORMAT: &str = "chr-key-1";

/// Longest file that is read, in bytes; a whole one has 118 or 119, and a
/// human may have added a line end.
const MAX_LENGTH: usize = 256;

/// Whether the identity is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Made just now: its address is worth telling.
    Created,
    /// It was there.
    Existing,
}

/// An identity in use: the key, and the lock on its file.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    key: SecretKey,
    /// Released when dropped.
    _lock: Lock,
}

impl KeyFile {
    /// Opens the identity at `path`, or makes one if there is neither a file
    /// nor a backup copy. The folder must exist: a drive that is not mounted
    /// must not become a new identity.
    ///
    /// # Errors
    /// See [`KeyFileError`]; each says what to do.
    pub fn open_or_create(path: &Path) -> Result<(KeyFile, Origin), KeyFileError> {
        match KeyFile::open(path) {
            Err(KeyFileError::Missing { .. }) => {}
            other => return other.map(|file| (file, Origin::Existing)),
        }
        KeyFile::place(path, SecretKey::generate())
    }

    /// Puts the identity that [`export`] wrote at `path`, where there is none yet.
    /// What is there already is opened and returned as [`Origin::Existing`]: whether
    /// it is the same is for the caller to judge.
    ///
    /// # Errors
    /// As [`KeyFile::open_or_create`], and [`KeyFileError::NotExported`].
    pub fn import(path: &Path, text: &[u8]) -> Result<(KeyFile, Origin), KeyFileError> {
        let key = from_text(text).map_err(|what| KeyFileError::NotExported { what })?;
        match KeyFile::open(path) {
            Err(KeyFileError::Missing { .. }) => KeyFile::place(path, key),
            other => other.map(|file| (file, Origin::Existing)),
        }
    }

    fn place(path: &Path, key: SecretKey) -> Result<(KeyFile, Origin), KeyFileError> {
        match disk::write_new(path, &to_text(&key))? {
            Landed::Here(lock) => {
                write_backup(path, &key)?;
                let file = KeyFile {
                    path: path.to_owned(),
                    key,
                    _lock: lock,
                };
                Ok((file, Origin::Created))
            }
            // Another program was faster; its identity is the one.
            Landed::Occupied => KeyFile::open(path).map(|file| (file, Origin::Existing)),
        }
    }

    /// Opens the identity at `path`.
    ///
    /// # Errors
    /// As [`KeyFile::open_or_create`], and [`KeyFileError::Missing`].
    pub fn open(path: &Path) -> Result<KeyFile, KeyFileError> {
        let first = disk::open(path)?;
        let backup = match &first {
            Some(_) => Backup::None,
            None => usable_backup(path),
        };
        // Another start may have made both files between the two looks.
        let second = match first {
            None if !matches!(backup, Backup::None) => disk::open(path)?,
            found => found,
        };
        let Some(mut file) = second else {
            return Err(match backup {
                Backup::None => KeyFileError::Missing {
                    path: path.to_owned(),
                },
                backup => KeyFileError::OnlyBackup {
                    path: path.to_owned(),
                    backup: backup_path(path),
                    address: backup.address(),
                },
            });
        };
        let key = read_key(path, &mut file)?;
        let lock = disk::lock(path, file)?;
        if matches!(usable_backup(path), Backup::None) {
            // The power went between the two files, or someone deleted the
            // copy. A read-only folder must not keep the identity from use.
            if let Err(error) = write_backup(path, &key) {
                log::warn!("{error}");
            }
        }
        Ok(KeyFile {
            path: path.to_owned(),
            key,
            _lock: lock,
        })
    }

    /// The secret key.
    #[must_use]
    pub fn key(&self) -> &SecretKey {
        &self.key
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The identity at `path` as text for [`KeyFile::import`], also while it is in use.
///
/// # Errors
/// As [`KeyFile::open`].
pub fn export(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let mut file = match disk::open(path)? {
        Some(file) => file,
        // For what stands in its place, if anything does.
        None => return KeyFile::open(path).map(|file| to_text(file.key())),
    };
    read_key(path, &mut file).map(|key| to_text(&key))
}

/// What became of the copy of a key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spare {
    /// There is none; the next start makes one.
    None,
    /// It holds the same identity.
    Same,
    /// It holds this other one.
    Other(Address),
    /// It cannot be read, or is no key.
    Broken,
}

/// Whose identity is at `path`, and how its copy is. Nothing is locked or mended.
///
/// # Errors
/// As [`KeyFile::open`], but `InUse`.
pub fn look(path: &Path) -> Result<(Address, Spare), KeyFileError> {
    let Some(mut file) = disk::open(path)? else {
        let missing = path.to_owned();
        return Err(match usable_backup(path) {
            Backup::None => KeyFileError::Missing { path: missing },
            backup => KeyFileError::OnlyBackup {
                path: missing,
                backup: backup_path(path),
                address: backup.address(),
            },
        });
    };
    let own = read_key(path, &mut file)?.address();
    let copy = match usable_backup(path) {
        Backup::None => Spare::None,
        Backup::Broken => Spare::Broken,
        Backup::Whole(address) if address == own => Spare::Same,
        Backup::Whole(address) => Spare::Other(address),
    };
    Ok((own, copy))
}

/// Whose identity `text` is, as [`export`] wrote it.
///
/// # Errors
/// [`KeyFileError::NotExported`]
pub fn address_in(text: &[u8]) -> Result<Address, KeyFileError> {
    let key = from_text(text).map_err(|what| KeyFileError::NotExported { what })?;
    Ok(key.address())
}

fn read_key(path: &Path, file: &mut File) -> Result<SecretKey, KeyFileError> {
    disk::check_private(path, file)?;
    let text = disk::read(path, file)?;
    from_text(&text).map_err(|what| KeyFileError::Damaged {
        path: path.to_owned(),
        what,
        backup: usable_backup(path)
            .address()
            .map(|address| (backup_path(path), address)),
    })
}

/// Where the copy of the key file `path` lies.
#[must_use]
pub fn backup_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".bak");
    PathBuf::from(name)
}

enum Backup {
    None,
    /// There is a file, but it cannot be read or is no key.
    Broken,
    Whole(Address),
}

impl Backup {
    fn address(&self) -> Option<Address> {
        match self {
            Self::Whole(address) => Some(*address),
            Self::None | Self::Broken => None,
        }
    }
}

fn usable_backup(path: &Path) -> Backup {
    let path = backup_path(path);
    let file = match disk::open(&path) {
        Ok(None) => return Backup::None,
        Ok(Some(file)) => Some(file),
        Err(_) => None,
    };
    file.and_then(|mut file| disk::read(&path, &mut file).ok())
        .and_then(|text| from_text(&text).ok())
        .map_or(Backup::Broken, |key| Backup::Whole(key.address()))
}

fn write_backup(path: &Path, key: &SecretKey) -> Result<(), KeyFileError> {
    // An older copy is never replaced: it may be the last trace of an identity.
    disk::write_new(&backup_path(path), &to_text(key)).map(|_| ())
}

fn to_text(key: &SecretKey) -> Zeroizing<String> {
    // Sized at once: a String that grows leaves the secret in freed memory.
    let mut text = Zeroizing::new(String::with_capacity(MAX_LENGTH));
    text.push_str(FORMAT);
    text.push(' ');
    let secret = key.to_bytes();
    // Writing to a String cannot fail.
    let _ = hex::write(&mut *text, &*secret);
    text.push(' ');
    text.push_str(&key.address().to_string());
    text.push('\n');
    text
}

/// Reads the text form; the error names what is wrong with it.
fn from_text(bytes: &[u8]) -> Result<SecretKey, &'static str> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err("is empty");
    }
    if bytes.len() > MAX_LENGTH {
        return Err("is too long to be an identity file of chr-node");
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "is not text")?;
    let mut words = text.split_ascii_whitespace();
    match words.next() {
        Some(FORMAT) => {}
        Some(other) if other.starts_with("chr-key-") => {
            return Err("was written by a newer version of chr-node")
        }
        _ => return Err("is not an identity file of chr-node"),
    }
    let secret: Zeroizing<[u8; 32]> = words
        .next()
        .and_then(hex::decode_array)
        .map(Zeroizing::new)
        .ok_or("holds no whole secret key")?;
    let address: Address = words
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or("holds no whole address")?;
    if words.next().is_some() {
        return Err("has something behind its address");
    }
    let key = SecretKey::from_bytes(&secret).map_err(|_| "holds a number that is no key")?;
    if key.address() != address {
        return Err("holds a key that does not fit its address");
    }
    Ok(key)
}

#[cfg(test)]
mod tests;
