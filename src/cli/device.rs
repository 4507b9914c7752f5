//! What `publish` and `forward` have in common: files of a device.

use super::Failure;
use crate::platform::folders;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Addresses of nodes that were met before, beside the identity.
const KNOWN_NODES: &str = "known_nodes";

/// Files of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFiles {
    /// The key.
    pub identity: PathBuf,
    /// Addresses of nodes that were met before.
    pub known_nodes: PathBuf,
    /// Whether the folder is the program's own, which it may make.
    pub own_folder: bool,
}

impl DeviceFiles {
    /// Those of `--identity`, else of `default_name` in the user's data folder.
    ///
    /// # Errors
    /// When there is neither.
    pub fn find(given: Option<&Path>, default_name: &str) -> Result<Self, Failure> {
        Self::find_in(given, default_name, folders::user_data())
    }

    fn find_in(
        given: Option<&Path>,
        default_name: &str,
        folder: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let (identity, own_folder) = match (given, folder) {
            (Some(file), _) => (file.to_path_buf(), false),
            (None, Some(folder)) => (folder.join(default_name), true),
            (None, None) => {
                return Err(Failure::Usage(
                    "there is no home folder to keep this device's key in; add --identity FILE"
                        .to_owned(),
                ))
            }
        };
        let known_nodes = identity.with_file_name(KNOWN_NODES);
        Ok(Self {
            identity,
            known_nodes,
            own_folder,
        })
    }

    /// Makes the user's data folder for a first key. A folder that `--identity`
    /// names must be there: a drive that is not mounted is no reason for a new
    /// identity.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn make_folder(&self) -> Result<(), Failure> {
        if self.own_folder {
            make_folder_of(&self.identity)
        } else {
            Ok(())
        }
    }
}

/// Makes the folder of a file, and those above it, for this user alone.
///
/// # Errors
/// When one of them cannot be made.
pub fn make_folder_of(file: &Path) -> Result<(), Failure> {
    let Some(folder) = file.parent().filter(|f| !f.as_os_str().is_empty()) else {
        return Ok(());
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| {
            Failure::Failed(format!(
                "cannot make the folder {}: {error}; name a place that this user may write to",
                folder.display()
            ))
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_service_without_a_home_is_told_to_name_a_file() {
        let failure = DeviceFiles::find_in(None, "publish.key", None).unwrap_err();
        assert!(failure.to_string().contains("--identity FILE"));
        let given = DeviceFiles::find_in(Some(Path::new("a/k.key")), "publish.key", None).unwrap();
        assert_eq!(given.identity, Path::new("a/k.key"));
        assert_eq!(given.known_nodes, Path::new("a/known_nodes"));
    }

    #[test]
    fn a_first_key_gets_a_folder_that_others_cannot_look_into() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("share/chr-node");
        let files = DeviceFiles::find_in(None, "publish.key", Some(folder.clone())).unwrap();
        files.make_folder().unwrap();
        files.make_folder().unwrap();
        let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let given = root.path().join("unmounted/k.key");
        let files = DeviceFiles::find_in(Some(&given), "publish.key", None).unwrap();
        files.make_folder().unwrap();
        assert!(!root.path().join("unmounted").exists());
    }

    #[test]
    fn publish_and_forward_on_one_machine_are_two_devices() {
        let find = |name| DeviceFiles::find_in(None, name, Some("/h".into())).unwrap();
        assert_ne!(find("publish.key").identity, find("forward.key").identity);
        assert_eq!(find("publish.key").known_nodes, Path::new("/h/known_nodes"));
    }
}
