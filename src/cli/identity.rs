//! `chr-node identity`: show, make or move a key.

use super::args::{IdentityAction, IdentityArgs};
use super::run::NODE_KEY;
use super::{device, print, Failure};
use crate::config::{Key, Request};
use crate::identity::keyfile::{self, KeyFile, KeyFileError, Origin};
use crate::identity::Address;
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Longest file that can be a key.
const MAX_KEY_FILE: u64 = 256;

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        Failure::Failed(error.to_string())
    }
}

/// Which file is meant, and whether its folder is ours to make.
///
/// # Errors
/// [`Failure::Usage`] for a bad `DATA_DIR`.
fn find(
    args: &IdentityArgs,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(PathBuf, bool), Failure> {
    if let Some(file) = &args.file {
        return Ok((file.clone(), false));
    }
    // Only where the key is matters here: another setting's mistake must not
    // keep an operator from looking at it.
    let ours = Key::find("storage.data_dir");
    let environment = environment.into_iter().filter(|(name, _)| {
        ours.is_some_and(|key| {
            *name == *key.variable() || key.env.is_some_and(|short| *name == *short)
        })
    });
    let loaded = Request::new(args.data_dir.as_slice(), None, environment).load()?;
    Ok((loaded.settings.storage.data_dir.join(NODE_KEY), true))
}

/// Prints the address of a key, or makes one.
///
/// # Errors
/// What is wrong with the key file and what to do; for `new` also that there is one.
pub fn execute(args: &IdentityArgs) -> Result<(), Failure> {
    let (file, own_folder) = find(args, std::env::vars_os())?;
    let address = match &args.action {
        IdentityAction::Export { output } => return export(&file, own_folder, output.as_deref()),
        IdentityAction::Import { file: source } => {
            if own_folder {
                device::make_folder_of(&file)?;
            }
            import(&file, source)?
        }
        IdentityAction::Show => look(&file, own_folder)?,
        IdentityAction::New => {
            if own_folder {
                device::make_folder_of(&file)?;
            }
            match KeyFile::open_or_create(&file)? {
                (made, Origin::Created) => made.address(),
                (old, Origin::Existing) => {
                    return Err(Failure::Failed(format!(
                        "{} exists already ({}) and was left as it is; for another identity name another file",
                        file.display(),
                        old.address()
                    )))
                }
            }
        }
    };
    if args.json {
        let answer = serde_json::json!({
            "address": address.to_string(),
            "file": file.to_string_lossy(),
        });
        return print(&format!("{answer}\n"));
    }
    print(&format!("{address}\n"))?;
    let word = match args.action {
        IdentityAction::New => "made {} and its copy beside it; keep another copy elsewhere",
        IdentityAction::Import { .. } => {
            "it is in {}; where it was before it must not be used any more: two programs with one identity replace each other's sessions"
        }
        _ => return Ok(()),
    };
    // For people; scripts read the address alone. A closed stream is no harm.
    let _ = writeln!(
        std::io::stderr(),
        "{}",
        word.replace("{}", &file.to_string_lossy())
    );
    Ok(())
}

/// Writes the key down: to a file that nobody else may read and that was not there,
/// or to a pipe.
fn export(file: &Path, node: bool, output: Option<&Path>) -> Result<(), Failure> {
    let text = keyfile::export(file).map_err(|error| missing(error, file, node))?;
    let Some(output) = output else {
        if std::io::stdout().is_terminal() {
            return Err(Failure::Failed(
                "a key is not shown on a terminal: name a file by --output FILE, or send it on by a pipe, as in `chr-node identity export | ssh HOST chr-node identity import -`".to_owned(),
            ));
        }
        return print(&text);
    };
    let named = |e: std::io::Error| {
        let what = match e.kind() {
            ErrorKind::AlreadyExists => "exists already and was left as it is".to_owned(),
            _ => e.to_string(),
        };
        Failure::Failed(format!("{}: {what}", output.display()))
    };
    let mut made = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(output)
        .map_err(named)?;
    made.write_all(text.as_bytes())
        .and_then(|()| made.sync_all())
        .map_err(named)
}

/// Takes over the key of `source` (`-` is standard input) where there is none.
fn import(file: &Path, source: &Path) -> Result<Address, Failure> {
    let named = |e: std::io::Error| Failure::Failed(format!("{}: {e}", source.display()));
    // Sized at once: a vector that grows leaves the secret in freed memory.
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE as usize + 1));
    let reader: Box<dyn Read> = match source == Path::new("-") {
        true => Box::new(std::io::stdin()),
        false => Box::new(File::open(source).map_err(named)?),
    };
    reader
        .take(MAX_KEY_FILE + 1)
        .read_to_end(&mut text)
        .map_err(named)?;
    let wanted = keyfile::address_in(&text)?;
    match KeyFile::import(file, &text) {
        Ok((there, _)) if there.address() == wanted => Ok(wanted),
        Ok((other, _)) => Err(Failure::Failed(format!(
            "{} exists already and is another identity ({}); it was left as it is: move it away first, or name another file by --identity FILE",
            file.display(),
            other.address()
        ))),
        Err(error) => Err(error.into()),
    }
}

/// The address of an existing key, also while another program has it locked.
fn look(file: &Path, node: bool) -> Result<Address, Failure> {
    match KeyFile::open(file) {
        Ok(key) => Ok(key.address()),
        // The lock comes after every other check: the file is whole, and its
        // last word is the address.
        Err(KeyFileError::InUse { path }) => {
            written_address(file).ok_or_else(|| KeyFileError::InUse { path }.into())
        }
        Err(error) => Err(missing(error, file, node)),
    }
}

/// A node's own key is not missing until it was made.
fn missing(error: KeyFileError, file: &Path, node: bool) -> Failure {
    match error {
        KeyFileError::NoFolder { .. } | KeyFileError::Missing { .. } if node => {
            Failure::Failed(format!(
                "there is no node key {} yet; `chr-node run` makes it at the first start, `chr-node identity new` makes it now, and --identity FILE names another",
                file.display()
            ))
        }
        error => error.into(),
    }
}

fn written_address(file: &Path) -> Option<Address> {
    let mut text = zeroize::Zeroizing::new(String::with_capacity(MAX_KEY_FILE as usize + 1));
    let file = std::fs::File::open(file).ok()?;
    file.take(MAX_KEY_FILE).read_to_string(&mut text).ok()?;
    text.split_ascii_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_bad_setting_elsewhere_does_not_hide_the_identity() {
        let args = IdentityArgs {
            action: IdentityAction::Show,
            file: None,
            data_dir: None,
            json: false,
        };
        let environment = |pairs: &[(&str, &str)]| -> Vec<(OsString, OsString)> {
            pairs
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect()
        };
        let found = find(&args, environment(&[("RPC_PORT", "x"), ("DATA_DIR", "/d")])).unwrap();
        assert_eq!(found, (PathBuf::from("/d/node.key"), true));
        let found = find(
            &args,
            environment(&[("CHR_STORAGE__DATA_DIR", "/e"), ("CHR_X", "1")]),
        );
        assert_eq!(found.unwrap().0, PathBuf::from("/e/node.key"));
    }

    #[test]
    fn an_operator_can_see_the_address_of_a_node_that_runs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.key");
        let (running, _) = KeyFile::open_or_create(&file).unwrap();
        assert_eq!(look(&file, true).unwrap(), running.address());
        let address = running.address();
        drop(running);
        assert_eq!(look(&file, true).unwrap(), address);
    }
}
