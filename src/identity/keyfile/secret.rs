//! Other small secrets, kept with the same care as a key: private, whole or not at all,
//! durable, and never taken from a link or from a file that others can read.

use super::disk::{self, Landed};
use super::KeyFileError;
use std::path::Path;
use zeroize::Zeroizing;

/// Reads the file at `path`, at most 257 bytes of it; `None` if there is nothing.
///
/// # Errors
/// What is wrong with it and what to do, in one line.
pub fn read_secret(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    let read = || match disk::open(path)? {
        Some(mut file) => {
            disk::check_private(path, &file)?;
            disk::read(path, &mut file).map(Some)
        }
        None => Ok(None),
    };
    read().map_err(|error| tell(&error))
}

/// Writes a new file; `false` if there is one by that name, which is left alone.
///
/// # Errors
/// What the system refused.
pub fn write_secret(path: &Path, text: &str) -> Result<bool, String> {
    match disk::write_new(path, text) {
        Ok(Landed::Here(_lock)) => Ok(true),
        Ok(Landed::Occupied) => Ok(false),
        Err(error) => Err(tell(&error)),
    }
}

/// The same errors, but of a file that is no identity.
fn tell(error: &KeyFileError) -> String {
    match error {
        KeyFileError::NotPrivate { path, mode } => {
            let path = path.display();
            format!("{path} is open to other users (mode {mode:04o}): close it with chmod 600, or remove it and a new one is made")
        }
        KeyFileError::NotAFile { path } | KeyFileError::Symlink { path, .. } => {
            format!("{} is not a plain file: remove it", path.display())
        }
        KeyFileError::NoFolder { path } => {
            format!("the folder of {} does not exist: make it", path.display())
        }
        KeyFileError::Io { path, source, .. } => format!("{}: {source}", path.display()),
        other => other.to_string(),
    }
}
