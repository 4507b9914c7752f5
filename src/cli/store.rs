//! `chr-node store`: the file that a node keeps everything in.
//!
//! | file | what |
//! | --- | --- |
//! | `check.rs` | what is in it, and whether it is sound |
//! | `transfer.rs` | its rows as lines of JSON, out and in; its file made shorter |
//! | `rows.rs` | a row as JSON, and back |

mod check;
mod rows;
mod transfer;

use super::args::{StoreAction, StoreArgs};
use super::{print, Failure};
use crate::config::{Key, Request};
use crate::store::StoreError;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

/// Where the store is.
///
/// # Errors
/// [`Failure::Usage`] for a bad `DATA_DIR` or settings file.
fn find(
    args: &StoreArgs,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<PathBuf, Failure> {
    // Only where it is matters here: another setting's mistake must not keep an
    // operator from looking at it.
    let ours = ["storage.data_dir", "storage.store_dir"].map(Key::find);
    let environment = environment.into_iter().filter(|(name, _)| {
        ours.iter()
            .flatten()
            .any(|key| *name == *key.variable() || key.env.is_some_and(|short| *name == *short))
    });
    let loaded = Request::new(
        &args.settings.assignments,
        args.settings.file.as_deref(),
        environment,
    )
    .load_for("storage")?;
    for mistake in &loaded.passed_over {
        // Nobody may read it.
        let _ = writeln!(std::io::stderr(), "warning: not needed here: {mistake}");
    }
    Ok(loaded.settings.storage.store())
}

/// Does what was asked for.
///
/// # Errors
/// The store is damaged, missing, in use, or cannot be read or written.
pub fn execute(args: &StoreArgs) -> Result<(), Failure> {
    let dir = find(args, std::env::vars_os())?;
    match &args.action {
        StoreAction::Check => {}
        StoreAction::Compact => return transfer::compact(&dir, args.json),
        StoreAction::Export { output } => return transfer::export(&dir, output.as_deref()),
        StoreAction::Import { file, replace } => {
            return transfer::import(&dir, file, *replace, args.json)
        }
    }
    let checked = crate::store::check::check(&dir).map_err(|error| {
        Failure::Failed(in_words(
            &error,
            "its file changes while it runs; meanwhile its health tells of damaged rows",
        ))
    })?;
    if args.json {
        print(&format!("{}\n", check::as_json(&checked)))?;
    } else {
        print(&check::as_text(&checked))?;
    }
    match checked.trouble() {
        None => Ok(()),
        Some(trouble) => Err(Failure::Failed(format!(
            "{}: {trouble}",
            checked.file.display()
        ))),
    }
}

/// `why` the node must not run meanwhile.
fn in_words(error: &StoreError, why: &str) -> String {
    match error {
        StoreError::InUse { path } => format!(
            "the store in {} is in use: stop the node first, {why}",
            path.display()
        ),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::cli::args::SettingsArgs;

    #[test]
    fn a_bad_setting_elsewhere_does_not_hide_the_store() {
        let mut args = StoreArgs {
            action: StoreAction::Check,
            settings: SettingsArgs::default(),
            json: false,
        };
        let environment = [("RPC_PORT", "x"), ("DATA_DIR", "/d")];
        let environment = environment.map(|(k, v)| (k.into(), v.into()));
        assert_eq!(find(&args, environment).unwrap(), PathBuf::from("/d/store"));
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("f.toml");
        args.settings.file = Some(file.clone());
        let find_with = |text: &str| {
            std::fs::write(&file, text).unwrap();
            find(&args, [])
        };
        let found = find_with(
            "[network]\nedge_ports = 70000\nrcp_port = 1\n[attic]\na = 1\n[storage]\ndata_dir = \"/d\"\n",
        );
        assert_eq!(found.unwrap(), PathBuf::from("/d/store"));
        // Another store than the one that is meant would be worse than none.
        for text in [
            "[storage]\ndata_dirr = \"/d\"\n",
            "[storag]\ndata_dir = \"/d\"\n",
            "[storage]\nmap_size = \"much\"\n",
            "[storage]\ndata_dir = \"/d\"\ndata_dir = \"/e\"\n",
            "[storage\n",
        ] {
            assert!(find_with(text).is_err(), "{text}");
        }
    }
}
