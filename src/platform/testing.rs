//! What tests of several files here use.
#![allow(clippy::unwrap_used)]

use std::fs;

/// A device as a folder of files.
pub fn device(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}
