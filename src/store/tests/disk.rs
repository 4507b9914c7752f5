//! Kills, full disks, wrong folders, damaged files.

use std::io::{BufRead, BufReader, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::meta::Schema;
use super::*;

/// SIGKILL at a random moment, several times over: all that was acknowledged is
/// there, and nothing that was never written.
#[test]
fn an_acknowledged_row_survives_kill_9() {
    if let Some(dir) = child_dir() {
        let store = open(&dir);
        let first = store.scan_prefix::<Row>(&[], usize::MAX).unwrap().len() as u64;
        let mut out = std::io::stdout();
        writeln!(out, "open").unwrap();
        let mut waiting = std::collections::VecDeque::new();
        for number in first.. {
            waiting.push_back((number, store.put(&row(number))));
            if waiting.len() > 30 {
                let (number, receipt) = waiting.pop_front().unwrap();
                block_on(receipt).unwrap();
                writeln!(out, "kept {number}").unwrap();
                out.flush().unwrap();
            }
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut kept = Vec::new();
    for round in 1..=4 {
        let mut child = child("disk::an_acknowledged_row_survives_kill_9", dir.path())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let wanted = kept.len() + 40 * round;
        while kept.len() < wanted {
            let line = lines.next().unwrap().unwrap();
            if line == "open" {
                let second = Store::open(dir.path(), StoreOptions::default());
                assert_eq!(
                    second.map(drop),
                    Err(StoreError::InUse {
                        path: dir.path().into()
                    })
                );
            }
            if let Some(number) = line.strip_prefix("kept ") {
                kept.push(number.parse::<u64>().unwrap());
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // It was still writing; what it managed to say counts as well.
        let said = lines.map_while(Result::ok);
        kept.extend(said.filter_map(|line| line.strip_prefix("kept ")?.parse::<u64>().ok()));
        let store = open(dir.path());
        for number in &kept {
            assert_eq!(read(&store, *number), Some(row(*number)), "round {round}");
        }
        let all = store.scan_prefix::<Row>(&[], usize::MAX).unwrap();
        for (number, found) in all.iter().enumerate() {
            assert_eq!(*found, row(number as u64));
        }
        assert_eq!(store.health().bad_rows, 0);
    }
}

/// LMDB writes on to a file without a name: rows would count as kept that nobody
/// finds again.
#[test]
fn a_folder_that_is_away_keeps_no_row_and_says_so_until_it_is_back() {
    let home = tempfile::tempdir().unwrap();
    let (dir, moved) = (home.path().join("store"), home.path().join("moved"));
    let store = open(&dir);
    block_on(store.put(&row(1))).unwrap();
    std::fs::rename(&dir, &moved).unwrap();
    let away = StoreError::Away {
        path: dir.join("data.mdb"),
    };
    assert_eq!(block_on(store.put(&row(2))), Err(away.clone()));
    store.put_lazy(&row(3)).unwrap();
    assert_eq!(block_on(store.flush()), Err(away.clone()));
    assert_eq!(store.health().written.error, Some(away));
    assert_eq!(store.waiting::<Row>().0, [row(3)]);
    // Another folder of that name is not the one that is open.
    std::fs::create_dir(&dir).unwrap();
    assert!(block_on(store.put(&row(2))).is_err());
    std::fs::remove_dir(&dir).unwrap();
    std::fs::rename(&moved, &dir).unwrap();
    block_on(store.put(&row(4))).unwrap();
    assert_eq!(store.health().written.error, None);
    // The end of the program is the last chance of rows that wait.
    store.put_lazy(&row(5)).unwrap();
    std::fs::rename(&dir, &moved).unwrap();
    store.close();
    let store = open(&moved);
    let kept = [1, 2, 3, 4, 5].map(|number| read(&store, number).is_some());
    assert_eq!(kept, [true, false, true, true, true]);
}

#[test]
fn a_store_of_a_newer_version_is_named_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    block_on(store.put(&Schema {
        version: SCHEMA_VERSION + 1,
    }))
    .unwrap();
    drop(store);
    let before = std::fs::read(dir.path().join("data.mdb")).unwrap();
    let error = Store::open(dir.path(), StoreOptions::default())
        .err()
        .unwrap();
    assert_eq!(
        error,
        StoreError::Newer {
            path: dir.path().into(),
            found: SCHEMA_VERSION + 1,
            known: SCHEMA_VERSION
        }
    );
    assert!(error.to_string().contains("nothing was changed"));
    assert_eq!(before, std::fs::read(dir.path().join("data.mdb")).unwrap());
}

#[test]
fn a_file_that_is_not_a_whole_store_is_damaged_and_not_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data.mdb");
    let store = open(dir.path());
    for number in 0..500 {
        drop(store.put(&wide_row(number)));
    }
    drop(store);
    let whole = std::fs::read(&data).unwrap();

    let damage = |bytes: &[u8], part: &str| {
        std::fs::write(&data, bytes).unwrap();
        let error = Store::open(dir.path(), StoreOptions::default())
            .err()
            .unwrap();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains(part), "{error}");
    };
    damage(&whole[..whole.len() / 2], "not in the file");
    damage(&whole[..5000], "data.mdb is damaged");
    damage(&whole[..10], "data.mdb is damaged");
    damage(&[7; 9000], "data.mdb is damaged");

    std::fs::write(&data, &whole).unwrap();
    let store = open(dir.path());
    assert_eq!(store.scan_prefix::<Row>(&[], 1000).unwrap().len(), 500);
    block_on(store.delete::<Schema>(Schema::KEY)).unwrap();
    drop(store);
    damage(&std::fs::read(&data).unwrap(), "no schema row");
}

#[test]
fn a_path_that_cannot_be_a_folder_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = Store::open(&path, StoreOptions::default()).err().unwrap();
        assert_eq!(error, StoreError::NotAFolder { path: path.clone() });
        assert!(error.to_string().contains(&path.display().to_string()));
    }
}

#[test]
fn a_folder_of_somebody_else_names_the_remedy() {
    use std::os::unix::process::CommandExt;
    if let Some(dir) = child_dir() {
        let error = Store::open(&dir, StoreOptions::default()).err().unwrap();
        println!("\nsaid {error}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    let mut command = child("disk::a_folder_of_somebody_else_names_the_remedy", &inner);
    if nix::unistd::geteuid().is_root() {
        // Root is refused nothing; become nobody. The folder stays root's, 0700.
        command.uid(65534);
        let exe = std::env::current_exe().unwrap();
        let reachable = Command::new(exe).arg("--list").uid(65534).output();
        if !reachable.is_ok_and(|output| output.status.success()) {
            return;
        }
    } else {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("said no permission to write"), "{text}");
    assert!(text.contains("--data-dir"), "{text}");
}

#[test]
fn errors_of_the_system_become_remedies() {
    use nix::errno::Errno;
    let name = |errno: Errno| {
        let error = heed::Error::Io(std::io::Error::from(errno));
        StoreError::from_heed(Path::new("/x"), &error).to_string()
    };
    assert!(name(Errno::EROFS).contains("remount"));
    assert!(name(Errno::ENOSPC).contains("free some space"));
    assert!(name(Errno::EDQUOT).contains("free some space"));
    assert!(name(Errno::EACCES).contains("chown"));
    assert!(name(Errno::EIO).starts_with("/x: "));
}

#[test]
fn a_full_map_grows_while_others_read() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        map_size: 1,
        map_limit: 64 << 20,
        ..StoreOptions::default()
    };
    let store = Store::open(dir.path(), options).unwrap();
    let small = store.health().map_size;
    block_on(store.put(&wide_row(0))).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(read(&store, 0), Some(wide_row(0)));
                }
            });
        }
        for chunk in 0..4 {
            let range = chunk * 1000 + 1..=chunk * 1000 + 1000;
            let receipts: Vec<_> = range.map(|n| store.put(&wide_row(n))).collect();
            for receipt in receipts {
                block_on(receipt).unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(store.health().map_size >= 4 << 20);
    drop(store);
    // A later opening with a map that is too small for the file works, too.
    let store = Store::open(dir.path(), options).unwrap();
    assert_eq!(store.health().map_size, small);
    assert_eq!(store.scan_prefix::<Row>(&[], 9999).unwrap().len(), 4001);
    block_on(store.put(&wide_row(9000))).unwrap();
}

#[test]
fn a_store_at_its_limit_keeps_what_it_has_and_takes_rows_again_later() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        map_size: 1,
        map_limit: 1 << 20,
        ..StoreOptions::default()
    };
    let store = Store::open(dir.path(), options).unwrap();
    let mut kept = 0;
    let error = loop {
        match block_on(store.put(&wide_row(kept))) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::MapFull { limit, .. } if limit == 1 << 20));
    assert_eq!(store.health().written.error, Some(error));
    assert!(kept > 300, "{kept}");
    for number in 0..kept {
        assert_eq!(read(&store, number), Some(wide_row(number)));
    }
    let mut batch = Batch::new();
    for number in 0..kept / 2 {
        batch.delete::<Row>(&number.to_be_bytes()).unwrap();
    }
    block_on(store.write(batch)).unwrap();
    assert_eq!(store.health().written.error, None);
    block_on(store.put(&wide_row(0))).unwrap();
}

#[test]
fn a_disk_that_takes_no_more_fails_the_receipts_and_is_tried_again() {
    if let Some(dir) = child_dir() {
        use nix::sys::resource::{getrlimit, setrlimit, Resource};
        let store = open(&dir);
        let mut kept = 0;
        while block_on(store.put(&wide_row(kept))).is_ok() {
            kept += 1;
        }
        assert!(kept > 50, "{kept}");
        let health = store.health().written;
        assert!(health.error.is_some() && health.failures == 1, "{health:?}");
        // Everything older can be read, and the failure does not spread.
        for number in 0..kept {
            assert_eq!(read(&store, number), Some(wide_row(number)));
        }
        assert_eq!(read(&store, kept), None);
        assert!(block_on(store.put(&wide_row(kept))).is_err());
        let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
        setrlimit(Resource::RLIMIT_FSIZE, hard, hard).unwrap();
        block_on(store.put(&wide_row(kept))).unwrap();
        assert_eq!(store.health().written.error, None);
        assert_eq!(read(&store, kept), Some(wide_row(kept)));
        println!("\nrecovered");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let name = "disk::a_disk_that_takes_no_more_fails_the_receipts_and_is_tried_again";
    let inner = child(name, dir.path());
    // A limit on the size of files stands in for a disk that is full.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -S -f 1000; exec \"$@\"", "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("CHR_STORE_TEST", dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("\nrecovered"), "{text}");
    assert!(output.status.success());
}

#[test]
fn opening_does_not_delay_the_start() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let before = std::fs::metadata(dir.path().join("data.mdb")).unwrap();
    let fastest = (0..20)
        .map(|_| {
            let start = Instant::now();
            let store = open(dir.path());
            let took = start.elapsed();
            drop(store);
            took
        })
        .min()
        .unwrap();
    let most = if emulated().is_some() { 200 } else { 5 };
    assert!(fastest < Duration::from_millis(most), "{fastest:?}");
    let after = std::fs::metadata(dir.path().join("data.mdb")).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
}
