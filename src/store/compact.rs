//! A store's file without its free pages.
//!
//! LMDB never gives a page back to the disk, so a file stays as long as it has ever
//! been. Its compacting copy has the pages that are in use alone, side by side. The
//! copy is made in a folder of its own beside the file, walked like any file before
//! it is opened, and takes the file's place by one rename: a power cut at any
//! moment leaves the one or the other.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use super::env::{Environment, StoreOptions};
use super::folder::Folder;
use super::pages::{self, Mode};
use super::recover::{clear, finish_interrupted, WORKSHOP};
use super::StoreError;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the file before.
    pub before: u64,
    /// Bytes of the file that took its place.
    pub after: u64,
}

/// Compacts the file of the store in `dir`, which no node may have open.
///
/// # Errors
/// [`StoreError::InUse`], `Missing`, `DiskFull` (it takes as much room again as is
/// in use), and those of [`super::Store::open`]. The file is in its place then.
pub fn compact(dir: &Path, options: StoreOptions) -> Result<Compacted, StoreError> {
    let data = dir.join("data.mdb");
    let named = |error: std::io::Error| StoreError::from_io(&data, &error);
    // A folder must not be made where there is no store.
    if !data.exists() && !dir.join(WORKSHOP).exists() {
        return Err(StoreError::Missing { path: data });
    }
    let folder = Arc::new(Folder::claim(dir)?);
    finish_interrupted(&folder)?;
    let before = data.metadata().map_err(named)?.len();
    if folder.free_space().is_some_and(|free| free < before) {
        return Err(StoreError::DiskFull { path: data });
    }
    let workshop = dir.join(WORKSHOP);
    clear(&workshop);
    let made = copy(&folder, options, &workshop).and_then(|after| {
        fs::rename(workshop.join("data.mdb"), &data).map_err(named)?;
        folder.sync_names()?;
        Ok(Compacted { before, after })
    });
    clear(&workshop);
    made
}

/// Makes the copy; its length.
fn copy(folder: &Arc<Folder>, options: StoreOptions, workshop: &Path) -> Result<u64, StoreError> {
    let place = workshop.join("data.mdb");
    let named = |error: std::io::Error| StoreError::from_io(&place, &error);
    fs::create_dir(workshop).map_err(named)?;
    let mut file = File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&place)
        .map_err(named)?;
    let env = Environment::open(folder, options)?;
    let copied = env.copy(&mut file);
    // Nothing may have the old file mapped when it is replaced.
    env.shut();
    copied?;
    file.sync_all().map_err(named)?;
    let seen = pages::survey(&file, Mode::Strict, None)?;
    match seen.flaws.first() {
        Some(flaw) => Err(StoreError::Damaged {
            path: place,
            text: flaw.to_string(),
        }),
        None => Ok(seen.file_len),
    }
}
