//! Folders as a node finds them.
#![allow(clippy::unwrap_used)]

use super::super::tests::{device, only};
use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn words(path: &Path, error: &io::Error) -> (String, String) {
    (
        format!("{}: {error}", path.display()),
        "see to it".to_owned(),
    )
}

fn looked(path: &Path) -> Vec<Finding> {
    let asked = Folder {
        check: "folder",
        path: path.to_owned(),
        store: true,
        key: false,
    };
    folder(Path::new("/"), &asked, words)
}

#[test]
fn a_folder_that_is_not_there_yet_is_looked_at_above_and_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let told = only(looked(&dir.path().join("a/b")));
    assert!(
        told.state == State::Ok && told.found.contains("first start"),
        "{told:?}"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    fs::write(dir.path().join("a"), "").unwrap();
    let told = only(looked(&dir.path().join("a/b")));
    assert_eq!(told.state, State::Failure, "{told:?}");
}

#[test]
fn a_folder_that_everyone_may_write_to_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let fine = only(looked(dir.path()));
    assert!(
        fine.state == State::Ok && fine.found.contains("rename and sync work"),
        "{fine:?}"
    );
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let told = only(looked(dir.path()));
    assert!(
        told.state == State::Warning && told.remedy.contains("chmod"),
        "{told:?}"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_key_in_memory_is_told_and_a_store_alone_is_not() {
    let memory = Kind {
        name: "tmpfs",
        memory: true,
        ..Kind::default()
    };
    for (key, state) in [(true, State::Warning), (false, State::Ok)] {
        let mut report = Report::new("folder");
        let asked = Folder {
            check: "folder",
            path: "/tmp/x".into(),
            store: true,
            key,
        };
        judge(
            device(&[]).path(),
            &asked,
            Path::new("/tmp/x"),
            memory,
            &mut report,
        );
        assert_eq!(only(report.done()).state, state);
    }
}
