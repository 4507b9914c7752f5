//! Where a user's own files belong.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Name of the program's folder inside the user's data folder.
const OURS: &str = "chr-node";

/// The user's data folder of this program: `$XDG_DATA_HOME/chr-node`, else
/// `$HOME/.local/share/chr-node` (in Termux, too). `None` when neither variable
/// holds an absolute path, as for a service without a home.
#[must_use]
pub fn user_data() -> Option<PathBuf> {
    user_data_of(std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME"))
}

fn user_data_of(xdg: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    // The XDG specification says that relative paths are to be ignored.
    let absolute = |value: OsString| Some(PathBuf::from(value)).filter(|p| p.is_absolute());
    xdg.and_then(absolute)
        .or_else(|| {
            home.and_then(absolute)
                .map(|h| h.join(Path::new(".local/share")))
        })
        .map(|base| base.join(OURS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(xdg: Option<&str>, home: Option<&str>) -> Option<PathBuf> {
        user_data_of(xdg.map(OsString::from), home.map(OsString::from))
    }

    #[test]
    fn keys_never_land_in_the_working_folder_by_an_empty_or_relative_variable() {
        assert_eq!(find(Some(""), None), None);
        assert_eq!(find(Some("data"), Some("home")), None);
        assert_eq!(
            find(Some("relative"), Some("/home/u")),
            Some(PathBuf::from("/home/u/.local/share/chr-node"))
        );
    }

    #[test]
    fn termux_home_works_like_any_other() {
        assert_eq!(
            find(None, Some("/data/data/com.termux/files/home")),
            Some(PathBuf::from(
                "/data/data/com.termux/files/home/.local/share/chr-node"
            ))
        );
        assert_eq!(
            find(Some("/x"), Some("/home/u")),
            Some(PathBuf::from("/x/chr-node"))
        );
    }
}
