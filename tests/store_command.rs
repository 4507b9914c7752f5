//! `chr-node store compact | export | import`: nothing is lost, nothing is half
//! done, and a node that runs is not disturbed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use chr_node::identity::{Address, SecretKey};
use chr_node::store::check::check;
use chr_node::store::{Batch, Store, StoreOptions};
use chr_node::ticket::{Ticket, TicketRow};
use common::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn store(home: &Path, words: &[&str]) -> Output {
    let mut command = chr_node();
    command.arg("store").args(words);
    command.arg("--data-dir").arg(home).output().unwrap()
}

fn told(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    text
}

fn ticket(device: u64, bytes: u64) -> TicketRow {
    let mut address = [0x5a; 20];
    address[..8].copy_from_slice(&device.to_be_bytes());
    TicketRow {
        device: Address(address),
        usage: bytes,
        ports: 1,
        ticket: Ticket {
            chain_id: 1284,
            epoch: 692,
            fleet: Address([0; 20]),
            total_connections: 1,
            total_bytes: bytes + u64::MAX / 2,
            local_address: vec![2, 0xc0],
            signature: SecretKey::from_bytes(&[7; 32]).unwrap().sign(&[7; 32]),
        },
    }
}

fn open(home: &Path) -> Store {
    Store::open(&home.join("store"), StoreOptions::default()).unwrap()
}

/// A store with the tickets of so many devices.
fn fill(home: &Path, devices: u64) {
    let store = open(home);
    let mut batch = Batch::new();
    for device in 0..devices {
        batch.put(&ticket(device, device << 20)).unwrap();
    }
    smol::block_on(store.write(batch)).unwrap();
    store.close();
}

#[test]
fn what_was_exported_and_imported_is_the_same_bit_for_bit() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(one.path(), 300);
    let file = one.path().join("backup.jsonl");
    let name = file.to_str().unwrap();
    let text = told(&store(one.path(), &["export", "--output", name]));
    assert!(text.contains("300 rows"), "{text}");
    let mode = file.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let lines = std::fs::read_to_string(&file).unwrap();
    assert_eq!(lines, told(&store(one.path(), &["export"])));
    let row: serde_json::Value = serde_json::from_str(lines.lines().nth(5).unwrap()).unwrap();
    // A number that a float could not hold.
    let bytes = row["row"]["total_bytes"].as_u64().unwrap();
    assert!(bytes > u64::MAX / 2);
    assert_eq!(row["table"], "tickets");
    let text = told(&store(two.path(), &["import", name, "--json"]));
    let done: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&done["added"], &done["left"]), (&300.into(), &0.into()));
    let rows: Vec<TicketRow> = open(two.path()).scan_prefix(&[], 1000).unwrap();
    let wanted: Vec<TicketRow> = (0..300).map(|n| ticket(n, n << 20)).collect();
    assert_eq!(rows, wanted);
    assert_eq!(lines, told(&store(two.path(), &["export"])));
}

#[test]
fn an_import_never_takes_away_what_the_store_has() {
    let home = tempfile::tempdir().unwrap();
    fill(home.path(), 3);
    let file = home.path().join("old.jsonl");
    std::fs::write(&file, told(&store(home.path(), &["export"]))).unwrap();
    let name = file.to_str().unwrap();
    let one = open(home.path());
    // The device has gone on since the backup.
    smol::block_on(one.put(&ticket(1, 99 << 20))).unwrap();
    one.close();
    let usage = |home: &Path| {
        let rows: Vec<TicketRow> = open(home).scan_prefix(&[], 10).unwrap();
        rows[1].usage
    };
    let text = told(&store(home.path(), &["import", name]));
    assert!(
        text.contains("1 rows of the store say something else"),
        "{text}"
    );
    assert_eq!(usage(home.path()), 99 << 20);
    told(&store(home.path(), &["import", name, "--replace"]));
    assert_eq!(usage(home.path()), 1 << 20);
}

#[test]
fn a_bad_line_is_named_and_nothing_of_its_file_is_imported() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(one.path(), 10);
    let good = told(&store(one.path(), &["export"]));
    let file = one.path().join("bad.jsonl");
    let name = file.to_str().unwrap();
    let mut lines: Vec<String> = good.lines().map(str::to_owned).collect();
    lines[3] = lines[3].replace("\"usage\":", "\"usage\":-");
    lines[5] = lines[5].replace("\"tickets\"", "\"tockets\"");
    lines[7].truncate(40);
    lines[9] = lines[9].replace("\"ports\":1", "\"ports\":1,\"parts\":1");
    lines.push("x".repeat(300_000));
    std::fs::write(&file, lines.join("\n")).unwrap();
    let text = refused(&store(two.path(), &["import", name]));
    for line in [4, 6, 8, 10, 12] {
        assert!(text.contains(&format!("line {line}: ")), "{text}");
    }
    assert!(text.contains("nothing was imported"), "{text}");
    assert!(!two.path().join("store").exists());
    // One of a program that knows more is not misread.
    let newer = good.replacen("\"schema\":", "\"schema\":9", 1);
    std::fs::write(&file, newer).unwrap();
    let text = refused(&store(two.path(), &["import", name]));
    assert!(text.contains("install that version"), "{text}");
}

#[test]
fn a_file_that_has_become_long_is_as_short_as_its_rows_again() {
    let home = tempfile::tempdir().unwrap();
    fill(home.path(), 800);
    let one = open(home.path());
    for device in 5..800 {
        smol::block_on(one.delete::<TicketRow>(&{
            use chr_node::store::Record;
            ticket(device, 0).key()
        }))
        .unwrap();
    }
    one.close();
    let before = told(&store(home.path(), &["export"]));
    let text = told(&store(home.path(), &["compact", "--json"]));
    let done: serde_json::Value = serde_json::from_str(&text).unwrap();
    let file = home.path().join("store/data.mdb");
    assert_eq!(done["after"], file.metadata().unwrap().len());
    let (was, is) = (
        done["before"].as_u64().unwrap(),
        done["after"].as_u64().unwrap(),
    );
    assert!(is * 4 < was, "{is} of {was} bytes");
    assert_eq!(told(&store(home.path(), &["export"])), before);
    let checked = check(&home.path().join("store")).unwrap();
    assert_eq!((checked.trouble(), checked.survey.free_pages), (None, 0));
    // Nothing stays beside it.
    assert!(!home.path().join("store/rebuild").exists());
    // Killed before the copy took the file's place, or after: the one or the other.
    std::fs::create_dir(home.path().join("store/rebuild")).unwrap();
    std::fs::write(home.path().join("store/rebuild/data.mdb"), "half a copy").unwrap();
    told(&store(home.path(), &["compact"]));
    assert_eq!(told(&store(home.path(), &["export"])), before);
}

#[test]
fn a_store_that_is_not_there_is_not_made_by_looking_for_it() {
    let home = tempfile::tempdir().unwrap();
    for words in [&["compact"][..], &["export"], &["check"]] {
        let output = store(home.path(), words);
        let text = refused(&output);
        assert!(text.contains("there is no"), "{text}");
        assert!(output.stdout.is_empty(), "half a backup");
    }
    assert!(!home.path().join("store").exists());
    let text = refused(&store(home.path(), &["import", "/nonexistent.jsonl"]));
    assert!(text.contains("/nonexistent.jsonl"), "{text}");
    assert!(!home.path().join("store").exists());
}

#[test]
fn a_backup_of_a_running_node_is_of_one_moment_and_the_node_does_not_notice() {
    let home = tempfile::tempdir().unwrap();
    fill(home.path(), 500);
    let file = home.path().join("hot.jsonl");
    let name = file.to_str().unwrap();
    let node = Node::start(home.path());
    let text = told(&store(home.path(), &["export", "--output", name]));
    assert!(text.contains("of a running node"), "{text}");
    // The node writes rows of its own meanwhile.
    let tickets = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| line.contains("\"tickets\",\"version\""));
        lines.map(str::to_owned).collect()
    };
    let one = tickets(&std::fs::read_to_string(&file).unwrap());
    assert_eq!(one.len(), 500);
    assert_eq!(one, tickets(&told(&store(home.path(), &["export"]))));
    for words in [&["compact"][..], &["import", name]] {
        let text = refused(&store(home.path(), words));
        assert!(text.contains("stop the node first"), "{text}");
    }
    drop(node);
}

/// All rows of a commit are in the export, or none.
#[test]
fn a_backup_never_mixes_two_moments_of_a_store_that_is_written_to() {
    let home = tempfile::tempdir().unwrap();
    fill(home.path(), 500);
    let stop = Arc::new(AtomicBool::new(false));
    let commits = Arc::new(AtomicU64::new(0));
    let (told_to_stop, path) = (stop.clone(), home.path().to_path_buf());
    let count = commits.clone();
    let writer = std::thread::spawn(move || {
        let one = open(&path);
        while !told_to_stop.load(Ordering::Relaxed) {
            let round = count.fetch_add(1, Ordering::Relaxed) + 1;
            let mut batch = Batch::new();
            for device in 0..500 {
                batch.put(&ticket(device, round)).unwrap();
            }
            smol::block_on(one.write(batch)).unwrap();
            // As often as a node commits whose devices are very busy.
            std::thread::sleep(Duration::from_millis(100));
        }
        one.close();
    });
    let mut seen = 0;
    let end = Instant::now() + 2 * SOON;
    while seen < 5 || commits.load(Ordering::Relaxed) < 10 {
        let told = commits.load(Ordering::Relaxed);
        assert!(Instant::now() < end, "{seen} exports in {told} commits");
        let output = store(home.path(), &["export"]);
        if !output.status.success() {
            // It says so instead of giving half of each.
            let text = String::from_utf8(output.stderr).unwrap();
            assert!(text.contains("in use") || text.contains("faster"), "{text}");
            continue;
        }
        let text = String::from_utf8(output.stdout).unwrap();
        let rows = text.lines().skip(1).map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            row["row"]["usage"].as_u64().unwrap()
        });
        let rows: Vec<u64> = rows.collect();
        assert_eq!(rows.len(), 500);
        // The first commit is the one that filled it: other numbers.
        if rows[1] != 1 << 20 {
            assert!(rows.iter().all(|usage| *usage == rows[0]), "{rows:?}");
            seen += 1;
        }
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
}
