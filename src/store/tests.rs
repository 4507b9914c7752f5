//! What the store promises of rows; `disk.rs` has what it promises of files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use smol::future::block_on;

use super::*;

mod disk;
mod lazy;
mod pages;
#[cfg(all(target_pointer_width = "64", target_endian = "little"))]
mod rules;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    number: u64,
    text: String,
}

impl Record for Row {
    const TABLE: Table = Table::Tickets;
    const VERSION: u8 = 1;
    fn key(&self) -> Vec<u8> {
        self.number.to_be_bytes().to_vec()
    }
}

fn row(number: u64) -> Row {
    Row {
        number,
        text: format!("row {number}"),
    }
}

fn wide_row(number: u64) -> Row {
    Row {
        number,
        text: "x".repeat(1000),
    }
}

fn open(dir: &Path) -> Store {
    Store::open(dir, StoreOptions::default()).unwrap()
}

fn read(store: &Store, number: u64) -> Option<Row> {
    store.get(&number.to_be_bytes()).unwrap()
}

/// This test binary again, running `test` alone with `dir` in its environment.
fn child(test: &str, dir: &Path) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut command = match emulated() {
        Some(runner) => {
            let mut words = runner.split(' ');
            let mut command = Command::new(words.next().unwrap());
            command.args(words).arg(this);
            command
        }
        None => Command::new(this),
    };
    command
        .args(["--exact", &format!("store::tests::{test}"), "--nocapture"])
        .env("CHR_STORE_TEST", dir)
        .stdout(Stdio::piped());
    command
}

/// How scripts/cross/run runs these tests, when they are of another machine: what
/// starts itself needs it, too, and what counts milliseconds had better not.
fn emulated() -> Option<String> {
    std::env::var("TEST_RUNNER").ok()
}

fn child_dir() -> Option<PathBuf> {
    std::env::var_os("CHR_STORE_TEST").map(PathBuf::from)
}

#[test]
fn a_row_is_there_as_soon_as_its_receipt_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(read(&store, 1), None);
    block_on(store.put(&row(1))).unwrap();
    assert_eq!(read(&store, 1), Some(row(1)));
    let newer = Row {
        number: 1,
        text: "newer".into(),
    };
    block_on(store.put(&newer)).unwrap();
    assert_eq!(read(&store, 1), Some(newer));
    block_on(store.delete::<Row>(&1u64.to_be_bytes())).unwrap();
    assert_eq!(read(&store, 1), None);
    block_on(store.delete::<Row>(&1u64.to_be_bytes())).unwrap();
    let health = store.health();
    assert_eq!((health.written.commits, health.written.rows), (4, 4));
    assert!(health.written.bytes > 4 * 8);
    assert_eq!(health.written.error, None);
}

#[test]
fn rows_that_wait_when_the_last_handle_goes_are_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let receipts: Vec<_> = (0..3000).map(|n| store.put(&row(n))).collect();
    drop(store);
    for receipt in receipts {
        assert_eq!(receipt.outcome(), Some(Ok(())));
    }
    let store = open(dir.path());
    assert_eq!(
        store.scan_prefix::<Row>(&[], usize::MAX).unwrap().len(),
        3000
    );
}

#[test]
fn giving_memory_back_loses_no_row_and_keeps_no_reader_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let receipts: Vec<_> = (0..400)
        .map(|number| {
            if number % 100 == 99 {
                // Each look counts as use, so that it is worth the while.
                (0..100).for_each(|_| drop(read(&store, 0)));
                store.give_back();
            }
            store.put(&row(number))
        })
        .collect();
    for receipt in receipts {
        block_on(receipt).unwrap();
    }
    assert!((0..400).all(|number| read(&store, number) == Some(row(number))));
    assert_eq!(store.health().written.failures, 0);
}

#[test]
fn a_closed_store_is_not_opened_again_for_the_sake_of_memory() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    (0..100).for_each(|_| drop(read(&store, 0)));
    store.close();
    store.give_back();
    assert_eq!(store.get::<Row>(b"key"), Err(StoreError::Closed));
    assert_eq!(block_on(store.put(&row(1))), Err(StoreError::Closed));
}

#[test]
fn a_scan_gives_its_rows_in_order_and_stops_at_its_limit() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut batch = Batch::new();
    for number in [258, 3, 256, 1, 257, 512] {
        batch.put(&row(number)).unwrap();
    }
    block_on(store.write(batch)).unwrap();
    let prefix = [0, 0, 0, 0, 0, 0, 1];
    let numbers = |limit| -> Vec<u64> {
        let rows = store.scan_prefix::<Row>(&prefix, limit).unwrap();
        rows.iter().map(|row| row.number).collect()
    };
    assert_eq!(numbers(10), [256, 257, 258]);
    assert_eq!(numbers(2), [256, 257]);
    assert!(numbers(0).is_empty());
}

#[test]
fn a_receipt_of_a_closed_store_does_not_wait_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.close();
    store.close();
    assert_eq!(block_on(store.put(&row(1))), Err(StoreError::Closed));
    assert_eq!(store.get::<Row>(&[0]), Err(StoreError::Closed));
}

#[test]
fn a_flipped_bit_costs_its_row_and_not_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (key, value) = record::encode(&row(2)).unwrap();
    block_on(store.put(&row(1))).unwrap();
    block_on(store.put(&row(3))).unwrap();
    for at in 0..value.len() {
        let mut flipped = value.clone();
        flipped[at] ^= 0x10;
        block_on(store.write(Batch::raw(Table::Tickets, &key, &flipped))).unwrap();
        assert_eq!(read(&store, 2), None);
        let rest = store.scan_prefix::<Row>(&[], 10).unwrap();
        assert_eq!(rest, [row(1), row(3)]);
        // However often it is read.
        assert_eq!(store.health().bad_rows, 1);
    }
    // The next put heals it.
    block_on(store.put(&row(2))).unwrap();
    assert_eq!(read(&store, 2), Some(row(2)));
    assert_eq!(store.health().bad_rows, 0);
}

#[test]
fn rows_beyond_the_queue_are_refused_and_not_piled_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batches: Vec<Batch> = (0..30)
        .map(|batch| {
            let mut rows = Batch::new();
            for number in batch * 1000..(batch + 1) * 1000 {
                rows.put(&wide_row(number)).unwrap();
            }
            rows
        })
        .collect();
    let receipts: Vec<_> = batches.into_iter().map(|b| store.write(b)).collect();
    let mut kept = 0;
    for (batch, receipt) in (0..).zip(receipts) {
        let rows = (batch * 1000..(batch + 1) * 1000).filter(|n| read(&store, *n).is_some());
        match block_on(receipt) {
            Ok(()) => {
                assert_eq!(rows.count(), 1000);
                kept += 1000;
            }
            Err(StoreError::Busy { rows: waiting }) => {
                assert!(waiting <= QUEUE_ROWS);
                assert_eq!(rows.count(), 0);
            }
            Err(error) => panic!("{error}"),
        }
    }
    // Four of these fit into the queue, and some more were committed meanwhile.
    assert!((4000..30_000).contains(&kept), "{kept}");
    assert_eq!(store.health().written.rows, kept);
}

#[test]
fn many_rows_share_one_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let receipts: Vec<_> = (0..5_000).map(|n| store.put(&row(n))).collect();
    for receipt in receipts {
        block_on(receipt).unwrap();
    }
    let written = store.health().written;
    assert_eq!(written.rows, 5_000);
    assert!((5..1_000).contains(&written.commits), "{written:?}");
}

#[test]
fn a_batch_larger_than_a_transaction_is_refused() {
    let mut batch = Batch::new();
    for number in 0..MAX_ROWS as u64 {
        batch.put(&row(number)).unwrap();
    }
    assert!(matches!(
        batch.put(&row(0)),
        Err(StoreError::TooBig { what: "batch", .. })
    ));
}

#[cfg(target_os = "linux")]
#[test]
fn an_idle_writer_never_wakes_up() {
    let switches = |task: &Path| -> String {
        let status = std::fs::read_to_string(task.join("status")).unwrap();
        status
            .lines()
            .filter(|line| line.contains("ctxt_switches"))
            .collect()
    };
    let writers = || -> Vec<PathBuf> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        tasks
            .filter_map(|task| Some(task.ok()?.path()))
            .filter(|task| {
                std::fs::read_to_string(task.join("comm")).is_ok_and(|c| c == "store-writer\n")
            })
            .collect()
    };
    if child_dir().is_none() {
        // Alone in its process: other tests have writers, too.
        let dir = tempfile::tempdir().unwrap();
        let status = child("an_idle_writer_never_wakes_up", dir.path()).status();
        assert!(status.unwrap().success());
        return;
    }
    let store = open(&child_dir().unwrap());
    block_on(store.put(&row(1))).unwrap();
    let task = writers().pop().unwrap();
    // Until it has gone back to sleep.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !std::fs::read_to_string(task.join("status"))
        .unwrap()
        .contains("State:\tS")
    {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    let before = switches(&task);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(before, switches(&task));
    drop(store);
}
