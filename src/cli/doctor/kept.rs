//! What is kept: the identity and the store, and whether this program is the one for
//! them.

use super::{halves, of_key, of_store};
use crate::identity::keyfile::{self, backup_path, KeyFileError, Spare};
use crate::platform::checks::{size, Finding, Report};
use crate::store::glance::{self, Glance};
use crate::store::{check, StoreError, SCHEMA_VERSION};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file up to this size is read as a whole: some milliseconds of a small device.
const WALKED: u64 = 8 << 20;
/// Owners that are looked at: a folder of ours has a dozen files.
const ENTRIES_MAX: usize = 256;

/// Whether the key and its copy are there, whole and private.
pub(super) fn identity(key: &Path) -> Vec<Finding> {
    let mut report = Report::new("identity");
    match keyfile::look(key) {
        Ok((address, spare)) => {
            report.fact(&address.to_string());
            copy(key, spare, &mut report);
        }
        Err(KeyFileError::Missing { .. } | KeyFileError::NoFolder { .. }) => {
            report.fact(&"none yet: the first start makes one");
        }
        Err(error) => {
            let (found, remedy) = of_key(&error);
            report.fail(&found, &remedy);
        }
    }
    owners(key, &mut report);
    report.done()
}

fn copy(key: &Path, spare: Spare, report: &mut Report) {
    let copy = backup_path(key);
    let copy = copy.display();
    match spare {
        Spare::Same => report.fact(&"with a copy"),
        Spare::None => report.fact(&"its copy is made at the next start"),
        Spare::Other(other) => report.warn(
            &format_args!("the copy {copy} is of another identity ({other})"),
            "keep it elsewhere if it is of use, and take it away: the next start makes a copy of this one",
        ),
        Spare::Broken => report.warn(
            &format_args!("the copy {copy} is damaged"),
            "take it away: the next start makes a new one; and check the disk",
        ),
    }
}

/// Whether files belong to somebody else than their folder: a start as root leaves
/// them, and the service's own user cannot open them then.
fn owners(key: &Path, report: &mut Report) {
    let folder = key.parent().unwrap_or(Path::new("."));
    let (Ok(meta), Ok(entries)) = (folder.metadata(), fs::read_dir(folder)) else {
        return;
    };
    let foreign = entries.flatten().take(ENTRIES_MAX).find(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let ours = [
            "node.key",
            "node.key.bak",
            "store",
            "operator.token",
            "https.pem",
        ];
        ours.contains(&&*name) && entry.metadata().is_ok_and(|own| own.uid() != meta.uid())
    });
    if let Some(entry) = foreign {
        report.warn(
            &format_args!(
                "{} does not belong to the owner of its folder",
                entry.path().display()
            ),
            &format!("chown -R {} {}", meta.uid(), folder.display()),
        );
    }
}

/// Whether this program can go on with the store.
pub(super) fn store(dir: &Path, running: bool) -> Vec<Finding> {
    let mut report = Report::new("store");
    match glance::glance(dir) {
        Ok(None) => report.fact(&"none yet: the first start makes one"),
        Ok(Some(seen)) => {
            state(dir, &seen, running, &mut report);
            aside(&seen, &mut report);
        }
        Err(error) => {
            let (found, remedy) = of_store(&error);
            report.fail(&found, &remedy);
        }
    }
    report.done()
}

fn state(dir: &Path, seen: &Glance, running: bool, report: &mut Report) {
    report.fact(&size(seen.bytes));
    let known = SCHEMA_VERSION;
    match seen.schema {
        Some(found) if found > known => {
            let path = dir.to_owned();
            let (found, remedy) = of_store(&StoreError::Newer { path, found, known });
            report.fail(&found, &remedy);
            return;
        }
        Some(found) if found < known => {
            report.fact(&format_args!(
                "schema {found}, brought to {known} at the next start"
            ));
        }
        Some(found) => report.fact(&format_args!("schema {found}")),
        None if seen.unborn => report.fact(&"nothing is in it yet"),
        None => {}
    }
    // While a node writes, the file is never of one moment.
    if running {
        report.fact(&"in use");
        return;
    }
    if seen.bytes > WALKED {
        report.fact(&"`chr-node store check` reads all of it");
        return;
    }
    let walked = check::walk(dir).map(|checked| checked.trouble());
    // Again, and no node may begin to write meanwhile.
    let walked = match walked {
        Ok(Some(_)) => check::check(dir).map(|checked| checked.trouble()),
        other => other,
    };
    match walked {
        Ok(Some(trouble)) => {
            let (found, remedy) = halves(&trouble);
            report.warn(&format_args!("{}: {found}", dir.display()), &remedy);
        }
        Ok(None) => report.fact(&"sound"),
        Err(StoreError::InUse { .. }) => report.fact(&"in use"),
        Err(error) => {
            let (found, remedy) = of_store(&error);
            report.fail(&found, &remedy);
        }
    }
}

/// What recoveries have left.
pub(super) fn aside(seen: &Glance, report: &mut Report) {
    let Some((first, _)) = seen.aside.first() else {
        return;
    };
    let bytes = seen.aside.iter().map(|(_, bytes)| bytes).sum();
    report.warn(
        &format_args!("{} of {} set aside by a recovery, such as {}", files(seen.aside.len()), size(bytes), first.display()),
        "look into why the file was damaged (the log, the disk), and delete it when nothing in it is missed",
    );
}

fn files(count: usize) -> String {
    match count {
        1 => "a file".to_owned(),
        count => format!("{count} files"),
    }
}

/// At each start: the identity's copy and what recoveries have left. What keeps the
/// node from starting it says itself.
pub(super) fn quick(key: &Path, store: &Path) -> Vec<Finding> {
    let mut report = Report::new("identity");
    if let Ok((_, spare)) = keyfile::look(key) {
        copy(key, spare, &mut report);
    }
    let mut found = report.done();
    let mut report = Report::new("store");
    if let Ok(Some(seen)) = glance::glance(store) {
        aside(&seen, &mut report);
    }
    found.extend(report.done());
    found
}
