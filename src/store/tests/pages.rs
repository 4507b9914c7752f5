//! The walk over the file, and what becomes of files that do not pass it.

#[path = "../../../tests/common/lmdb_file.rs"]
mod lmdb_file;

use super::super::pages::{self, Layout, Mode, Survey};
use super::super::recover::{Recovery, ASIDE_MAX};
use super::*;
use lmdb_file::{lmdb_file, Machine, BITS_32};
use std::fs::{self, File};

/// Bytes of a word in a file of this machine, and where a page has its flags: behind
/// its number and two bytes.
const WORD: usize = size_of::<usize>();
const FLAGS: usize = WORD + 2;

/// In memory where there is such a folder: thousands of commits.
pub(super) fn quick_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Repeatable randomness.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }
}

fn long_row(number: u64, length: usize) -> Row {
    Row {
        number,
        text: "y".repeat(length),
    }
}

fn strict(data: &Path) -> Survey {
    pages::survey(&File::open(data).unwrap(), Mode::Strict, None).unwrap()
}

fn recover(dir: &Path) -> (Store, Option<Recovery>) {
    Store::open_or_recover(dir, StoreOptions::default()).unwrap()
}

/// Two levels, long values, lists of free pages: some 120 pages.
fn sample(dir: &Path) -> Vec<u8> {
    let store = open(dir);
    for round in 0..4 {
        let mut batch = Batch::new();
        for number in 0..150 {
            batch.put(&wide_row(number * 7 + round)).unwrap();
        }
        block_on(store.write(batch)).unwrap();
        for number in 0..6 {
            let length = 3000 + 2000 * number as usize;
            drop(store.put(&long_row(5000 + number + 10 * round, length)));
        }
        block_on(store.put(&ClockFloor { unix: 7 + round })).unwrap();
        let mut batch = Batch::new();
        for number in 0..130u64 {
            let gone = number * 7 + round;
            batch.delete::<Row>(&gone.to_be_bytes()).unwrap();
        }
        block_on(store.write(batch)).unwrap();
    }
    drop(store);
    fs::read(dir.join("data.mdb")).unwrap()
}

#[test]
fn a_sound_file_passes_after_every_kind_of_use() {
    let dir = quick_dir();
    let data = dir.path().join("data.mdb");
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let mut kept = std::collections::BTreeMap::new();
    let mut largest = 0;
    for round in 0..60 {
        let store = open(dir.path());
        for _ in 0..4 {
            let mut batch = Batch::new();
            for _ in 0..dice.below(300) + 1 {
                let number = dice.below(3000) as u64;
                // More rows come in the first half, more go in the second.
                if dice.below(10) < if round < 30 { 3 } else { 7 } {
                    batch.delete::<Row>(&number.to_be_bytes()).unwrap();
                    kept.remove(&number);
                } else {
                    let length = match dice.below(20) {
                        0 => dice.below(16_000),
                        1..5 => dice.below(2_000),
                        _ => dice.below(100),
                    };
                    batch.put(&long_row(number, length)).unwrap();
                    kept.insert(number, length);
                }
            }
            block_on(store.write(batch)).unwrap();
        }
        drop(store);
        let survey = strict(&data);
        assert_eq!(survey.flaws, [], "round {round}");
        let tickets = survey.tables.iter().find(|t| t.name == "tickets").unwrap();
        assert_eq!(tickets.rows, kept.len() as u64);
        assert_eq!(tickets.entries, tickets.rows);
        largest = largest.max(survey.file_len);
    }
    assert!(largest > 2 << 20, "{largest}");
    // The rows that the walk hands out are those that LMDB has.
    let mut walked = std::collections::BTreeMap::new();
    let mut take = |table: &[u8], key: &[u8], value: Option<&[u8]>| {
        if table == b"tickets" {
            let row: Row = record::decode(key, value.unwrap()).unwrap();
            walked.insert(row.number, row.text.len());
        }
        Ok(())
    };
    let file = File::open(&data).unwrap();
    pages::survey(&file, Mode::Strict, Some(&mut take)).unwrap();
    assert_eq!(walked, kept);
}

/// Whatever bits flip and wherever the file is cut: what the walk lets through
/// is opened, read and written by LMDB without a fault. An abort or a signal
/// would end this whole program.
#[test]
fn what_passes_the_walk_does_not_crash_lmdb() {
    let made = quick_dir();
    let whole = sample(made.path());
    let pages_count = whole.len() / 4096;
    assert!(pages_count > 60, "{pages_count}");
    let dir = quick_dir();
    let data = dir.path().join("data.mdb");
    let used = pages_in_use(&whole);
    assert!(used.len() > 30, "{used:?}");
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut sound, mut flawed) = (0, 0);
    for case in 0..3_000 {
        let mut bytes = whole.clone();
        damage(&mut bytes, &mut dice, &used);
        fs::write(&data, &bytes).unwrap();
        match Store::open(dir.path(), StoreOptions::default()) {
            Ok(store) => {
                sound += 1;
                let rows = store.scan_prefix::<Row>(&[], usize::MAX);
                let rows = rows.unwrap_or_else(|e| panic!("case {case}: {e}"));
                store.get::<ClockFloor>(ClockFloor::KEY).unwrap();
                let mut model = std::collections::BTreeMap::new();
                for row in rows {
                    // Searching finds what walking found.
                    assert_eq!(read(&store, row.number).as_ref(), Some(&row), "case {case}");
                    model.insert(row.number, row.text);
                }
                for _ in 0..2 {
                    change(&store, &mut model, &mut dice)
                        .unwrap_or_else(|e| panic!("case {case}: {e}"));
                }
                // Nothing was written over something else.
                let rows = store.scan_prefix::<Row>(&[], usize::MAX).unwrap();
                let rows = rows.into_iter().map(|row| (row.number, row.text));
                assert!(rows.eq(model), "case {case}");
                drop(store);
                assert_eq!(strict(&data).flaws, [], "case {case}");
            }
            Err(StoreError::Damaged { .. } | StoreError::OtherMachine { .. }) => flawed += 1,
            Err(error) => panic!("case {case}: {error}"),
        }
    }
    println!("{sound} sound, {flawed} flawed");
    // Neither answer comes always.
    assert!(sound > 500 && flawed > 450, "{sound} {flawed}");
}

/// A transaction that frees pages and takes some.
fn change(
    store: &Store,
    model: &mut std::collections::BTreeMap<u64, String>,
    dice: &mut Dice,
) -> Result<(), StoreError> {
    let mut batch = Batch::new();
    for number in model.keys().copied().collect::<Vec<_>>() {
        if dice.below(3) == 0 {
            batch.delete::<Row>(&number.to_be_bytes())?;
            model.remove(&number);
        }
    }
    for _ in 0..40 {
        let row = long_row(dice.below(8_000) as u64, dice.below(5_000));
        batch.put(&row)?;
        model.insert(row.number, row.text);
    }
    block_on(store.write(batch))
}

/// The pages that a file is not sound without.
fn pages_in_use(whole: &[u8]) -> Vec<usize> {
    let dir = quick_dir();
    let data = dir.path().join("data.mdb");
    let used = (0..whole.len() / 4096).filter(|page| {
        let mut bytes = whole.to_vec();
        bytes[page * 4096..][..4096].fill(0xff);
        fs::write(&data, &bytes).unwrap();
        strict(&data).flaw_count > 0
    });
    used.collect()
}

/// What cheap flash and power cuts do: flipped bits (in the fields of a page
/// more often than by chance), a lost end, a lost sector, a page elsewhere.
fn damage(bytes: &mut Vec<u8>, dice: &mut Dice, used: &[usize]) {
    let pages = bytes.len() / 4096;
    match dice.below(20) {
        0 => bytes.truncate(dice.below(bytes.len())),
        1 => {
            let at = dice.below(bytes.len() / 512) * 512;
            bytes[at..at + 512].fill(if dice.below(2) == 0 { 0 } else { 0xff });
        }
        2 => {
            let (from, to) = (dice.below(pages), dice.below(pages));
            bytes.copy_within(from * 4096..(from + 1) * 4096, to * 4096);
        }
        _ => {
            for _ in 0..1 + dice.below(2) {
                let page = used[dice.below(used.len())] * 4096;
                let at = match dice.below(5) {
                    0 => dice.below(bytes.len()),
                    1 => dice.below(2) * 4096 + dice.below(160),
                    2 => page + dice.below(40),
                    // The nodes of a page fill it from its end, and those of the
                    // main and the free tree are few.
                    3 => page + 4096 - 1 - dice.below(500),
                    _ => page + dice.below(4096),
                };
                bytes[at] ^= 1 << dice.below(8);
            }
        }
    }
}

#[test]
fn any_damage_costs_rows_and_never_the_store() {
    let made = quick_dir();
    let whole = sample(made.path());
    let store = open(made.path());
    let all = store.scan_prefix::<Row>(&[], usize::MAX).unwrap();
    drop(store);
    let used = pages_in_use(&whole);
    let mut dice = Dice(77);
    let (mut kept, mut told) = (0, 0);
    for case in 0..300 {
        let dir = quick_dir();
        let mut bytes = whole.clone();
        damage(&mut bytes, &mut dice, &used);
        fs::write(dir.path().join("data.mdb"), &bytes).unwrap();
        let (store, recovery) = recover(dir.path());
        let rows = store.scan_prefix::<Row>(&[], usize::MAX).unwrap();
        // Old versions of rows may come back; rows that never were may not.
        for row in &rows {
            assert!(
                row.text == "x".repeat(1000) || row.text.bytes().all(|b| b == b'y'),
                "case {case}"
            );
        }
        if let Some(recovery) = recovery {
            told += 1;
            assert_eq!(fs::read(&recovery.file).unwrap(), bytes, "case {case}");
            let line = recovery.to_string();
            assert!(!line.contains('\n') && line.contains("can be deleted"));
            kept += rows.len();
            assert!(recovery.kept >= rows.len() as u64);
        }
        block_on(store.put(&row(1))).unwrap();
        drop(store);
        assert_eq!(strict(&dir.path().join("data.mdb")).flaws, []);
        assert!(!dir.path().join("rebuild").exists());
    }
    assert!(told > 50, "{told}");
    // Most damage is small: nearly all rows are still there.
    assert!(kept > told * all.len() * 8 / 10, "{kept} of {told} files");
}

#[test]
fn a_cut_file_keeps_the_rows_before_the_cut() {
    let dir = quick_dir();
    let data = dir.path().join("data.mdb");
    let whole = sample(dir.path());
    fs::write(&data, &whole[..whole.len() * 3 / 4]).unwrap();
    let error = Store::open(dir.path(), StoreOptions::default())
        .err()
        .unwrap();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert!(!error.is_passing());
    let (store, recovery) = recover(dir.path());
    let recovery = recovery.unwrap();
    assert_eq!(recovery.file, dir.path().join("data.mdb.damaged-1"));
    let rows = store.scan_prefix::<Row>(&[], usize::MAX).unwrap().len() as u64;
    assert!(rows > 0 && recovery.lost > Some(0), "{recovery:?}");
    assert!(recovery.reason.contains("page "), "{}", recovery.reason);
    drop(store);
    // All is well from then on.
    assert_eq!(recover(dir.path()).1, None);
}

#[test]
fn files_that_are_set_aside_are_kept_and_do_not_fill_the_disk() {
    let dir = quick_dir();
    let data = dir.path().join("data.mdb");
    for number in 1..=ASIDE_MAX {
        fs::write(&data, format!("garbage {number}").repeat(900)).unwrap();
        let (store, recovery) = recover(dir.path());
        let recovery = recovery.unwrap();
        assert_eq!((recovery.kept, recovery.lost), (0, None));
        drop(store);
    }
    fs::write(&data, "garbage").unwrap();
    let error = Store::open_or_recover(dir.path(), StoreOptions::default());
    let error = error.err().unwrap();
    assert!(matches!(error, StoreError::Crowded { .. }), "{error:?}");
    assert!(error.is_passing());
    for number in 1..=ASIDE_MAX {
        let kept = fs::read_to_string(dir.path().join(format!("data.mdb.damaged-{number}")));
        assert!(kept.unwrap().starts_with(&format!("garbage {number}")));
    }
    assert_eq!(fs::read(&data).unwrap(), b"garbage");
}

#[test]
fn a_damaged_file_of_a_newer_version_is_not_touched() {
    let dir = quick_dir();
    let data = dir.path().join("data.mdb");
    let schema = meta::Schema {
        version: SCHEMA_VERSION + 1,
    };
    drop(sample(dir.path()));
    let store = open(dir.path());
    block_on(store.put(&schema)).unwrap();
    drop(store);
    let mut bytes = fs::read(&data).unwrap();
    // One page that is in use and holds tickets.
    let page = (2..bytes.len() / 4096)
        .rev()
        .find(|page| bytes[page * 4096 + FLAGS] == 2)
        .unwrap();
    bytes[page * 4096 + FLAGS + 2] ^= 1;
    fs::write(&data, &bytes).unwrap();
    let error = Store::open_or_recover(dir.path(), StoreOptions::default());
    let error = error.map(|(_, recovery)| recovery).err();
    assert_eq!(
        error,
        Some(StoreError::Newer {
            path: dir.path().into(),
            found: SCHEMA_VERSION + 1,
            known: SCHEMA_VERSION,
        })
    );
    assert_eq!(fs::read(&data).unwrap(), bytes);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
}

#[test]
fn rows_of_an_older_commit_are_not_called_all_there_were() {
    let dir = quick_dir();
    let data = dir.path().join("data.mdb");
    let store = open(dir.path());
    block_on(store.put(&wide_row(1))).unwrap();
    block_on(store.put(&wide_row(2))).unwrap();
    drop(store);
    let mut bytes = fs::read(&data).unwrap();
    // The root of the main tree, where the newer of the two meta pages has it.
    let word = |at: usize| usize::from_le_bytes(bytes[at..at + WORD].try_into().unwrap());
    // The header of the page, magic and version, address and size of the map; then
    // twice what describes a tree (8 bytes and five words, the root the last), the
    // last page and the transaction.
    let (first, tree) = (FLAGS + 6 + 8 + 2 * WORD, 8 + 5 * WORD);
    let meta = if word(first + 2 * tree + WORD) > word(4096 + first + 2 * tree + WORD) {
        0
    } else {
        4096
    };
    let root = word(meta + first + 2 * tree - WORD);
    bytes[root * 4096 + FLAGS] = 0xff;
    fs::write(&data, &bytes).unwrap();
    let (store, recovery) = recover(dir.path());
    let recovery = recovery.unwrap();
    assert_eq!(recovery.lost, None, "{recovery:?}");
    assert!(store.get::<Row>(&1u64.to_be_bytes()).unwrap().is_some());
}

#[test]
fn a_power_cut_in_the_middle_of_a_recovery_loses_nothing() {
    let dir = quick_dir();
    let data = dir.path().join("data.mdb");
    let workshop = dir.path().join("rebuild");
    let store = open(dir.path());
    block_on(store.put(&row(1))).unwrap();
    drop(store);
    // Before the new file was complete: the old one is still in its place.
    fs::create_dir(&workshop).unwrap();
    fs::write(workshop.join("data.mdb"), "half").unwrap();
    assert_eq!(read(&recover(dir.path()).0, 1), Some(row(1)));
    assert!(!workshop.exists());
    // Between the two new names.
    fs::create_dir(&workshop).unwrap();
    fs::rename(&data, workshop.join("data.mdb")).unwrap();
    fs::write(dir.path().join("data.mdb.damaged-1"), "old").unwrap();
    assert_eq!(read(&recover(dir.path()).0, 1), Some(row(1)));
    assert!(!workshop.exists());
}

#[test]
fn a_file_that_was_never_finished_is_no_damage() {
    let dir = quick_dir();
    let data = dir.path().join("data.mdb");
    // LMDB writes both meta pages at once; a full disk takes one of them.
    let options = heed::EnvOpenOptions::new().read_txn_without_tls();
    let other = quick_dir();
    let new = {
        let store = Store::open(other.path(), StoreOptions::default()).unwrap();
        drop((store, options));
        let mut bytes = fs::read(other.path().join("data.mdb")).unwrap();
        bytes.truncate(4096);
        bytes
    };
    assert_eq!(u64::from_le_bytes(new[144..152].try_into().unwrap()), 0);
    for len in [0, 4096] {
        fs::write(&data, &new[..len]).unwrap();
        let (store, recovery) = recover(dir.path());
        assert_eq!(recovery, None);
        block_on(store.put(&row(1))).unwrap();
    }
}

fn rows_of(count: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let short = (0..count).map(|n| record::encode(&row(n)).unwrap());
    let long = (0..5).map(|n| {
        let length = 3_000 * (n as usize + 1);
        record::encode(&long_row(1_000_000 + n, length)).unwrap()
    });
    short.chain(long).collect()
}

pub(super) fn here() -> Machine {
    Machine {
        word: Layout::HERE.word,
        little: Layout::HERE.little,
        ..BITS_32
    }
}

pub(super) fn store_file(machine: Machine, count: u64) -> Vec<u8> {
    let schema = record::encode(&meta::Schema {
        version: SCHEMA_VERSION,
    });
    let floor = record::encode(&ClockFloor { unix: 99 });
    lmdb_file(
        machine,
        &[
            ("meta", vec![schema.unwrap(), floor.unwrap()]),
            ("tickets", rows_of(count)),
        ],
    )
}

/// LMDB itself says whether our writer of foreign files knows its layout.
#[cfg(all(target_pointer_width = "64", target_endian = "little"))]
#[test]
fn lmdb_reads_the_files_that_these_tests_write() {
    for (page_size, count) in [(4096, 3_000), (16_384, 3_000), (4096, 3)] {
        let dir = quick_dir();
        let machine = Machine {
            word: 8,
            page_size,
            ..BITS_32
        };
        fs::write(dir.path().join("data.mdb"), store_file(machine, count)).unwrap();
        let store = open(dir.path());
        let rows = store.scan_prefix::<Row>(&[], usize::MAX).unwrap();
        assert_eq!(rows.len() as u64, count + 5);
        assert_eq!(rows[0], row(0));
        for number in 0..count {
            drop(store.put(&long_row(number, 200)));
        }
        drop(store);
        let survey = strict(&dir.path().join("data.mdb"));
        assert_eq!(survey.flaws, []);
        assert_eq!(survey.layout, Some(Layout::HERE));
    }
}

/// A row of a table that older programs do not know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Later(u64);

impl Record for Later {
    const TABLE: Table = Table::NodeStats;
    const VERSION: u8 = 1;
    fn key(&self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }
}

/// A full or read-only disk must not make an old store unusable: nothing is
/// written to it before there is something to write.
#[test]
fn a_store_of_an_older_program_gets_its_new_table_with_the_first_row() {
    let dir = quick_dir();
    let data = dir.path().join("data.mdb");
    let old = store_file(here(), 500);
    fs::write(&data, &old).unwrap();
    let store = open(dir.path());
    assert_eq!(read(&store, 499), Some(row(499)));
    assert_eq!(store.get::<Later>(&[0; 8]), Ok(None));
    assert_eq!(store.scan_prefix::<Later>(&[], 9), Ok(Vec::new()));
    drop(store);
    assert!(fs::read(&data).unwrap() == old);

    let store = open(dir.path());
    // A row that is not there costs no table.
    block_on(store.delete::<Later>(&[1])).unwrap();
    let mut batch = Batch::new();
    batch.put(&Later(1)).unwrap();
    batch.put(&row(1_000)).unwrap();
    batch.put(&Later(2)).unwrap();
    block_on(store.write(batch)).unwrap();
    assert_eq!(
        store.scan_prefix::<Later>(&[], 9),
        Ok(vec![Later(1), Later(2)])
    );
    drop(store);
    let store = open(dir.path());
    block_on(store.put(&Later(3))).unwrap();
    assert_eq!(store.scan_prefix::<Later>(&[], 9).unwrap().len(), 3);
    assert_eq!(read(&store, 1_000), Some(row(1_000)));
    drop(store);
    let survey = strict(&data);
    assert_eq!(survey.flaws, []);
    let names: Vec<&str> = survey.tables.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["meta", "node_stats", "tickets"]);
}

/// The transaction that makes a table can fail: the handle must not stay.
#[test]
fn a_table_whose_first_row_did_not_fit_is_made_later() {
    let dir = quick_dir();
    let options = StoreOptions {
        map_size: 1,
        map_limit: 1 << 20,
        ..StoreOptions::default()
    };
    let store = Store::open(dir.path(), options).unwrap();
    let mut kept = 0;
    while block_on(store.put(&wide_row(kept))).is_ok() {
        kept += 1;
    }
    let mut batch = Batch::new();
    batch.put(&Later(1)).unwrap();
    for number in 0..200 {
        batch.put(&wide_row(90_000 + number)).unwrap();
    }
    assert!(block_on(store.write(batch)).is_err());
    assert_eq!(store.get::<Later>(&Later(1).key()), Ok(None));
    let mut batch = Batch::new();
    for number in 0..kept / 2 {
        batch.delete::<Row>(&number.to_be_bytes()).unwrap();
    }
    block_on(store.write(batch)).unwrap();
    block_on(store.put(&Later(1))).unwrap();
    assert_eq!(store.get(&Later(1).key()), Ok(Some(Later(1))));
    assert_eq!(read(&store, kept - 1), Some(wide_row(kept - 1)));
}

#[test]
fn the_rows_of_another_machines_file_are_carried_over() {
    let all = [(4, true), (8, true), (4, false), (8, false)];
    for (word, little) in all {
        for page_size in [4096, 16_384] {
            if (Layout { word, little }) == Layout::HERE {
                continue;
            }
            let machine = Machine {
                word,
                little,
                page_size,
            };
            let dir = quick_dir();
            let bytes = store_file(machine, 3_000);
            fs::write(dir.path().join("data.mdb"), &bytes).unwrap();
            let survey = strict(&dir.path().join("data.mdb"));
            assert_eq!(survey.flaws, [], "{machine:?}");
            assert_eq!((survey.free_pages, survey.page_size), (3, page_size));
            let error = Store::open(dir.path(), StoreOptions::default()).err();
            assert!(
                matches!(error, Some(StoreError::OtherMachine { .. })),
                "{error:?}"
            );
            let (store, recovery) = recover(dir.path());
            let recovery = recovery.unwrap();
            assert_eq!((recovery.kept, recovery.lost), (3_006, Some(0)));
            assert_eq!(fs::read(&recovery.file).unwrap(), bytes);
            let name = recovery.file.file_name().unwrap().to_str().unwrap();
            let kind = if little == Layout::HERE.little {
                format!("{}-bit", word * 8)
            } else {
                "other-endian".into()
            };
            assert_eq!(name, format!("data.mdb.{kind}-1"));
            assert_eq!(read(&store, 2_999), Some(row(2_999)));
            assert_eq!(
                read(&store, 1_000_004),
                Some(long_row(1_000_004, 15_000)),
                "{machine:?}"
            );
            let floor = store.get::<ClockFloor>(ClockFloor::KEY).unwrap();
            assert_eq!(floor, Some(ClockFloor { unix: 99 }));
        }
    }
}

#[test]
fn the_walk_of_a_years_store_is_short() {
    let dir = quick_dir();
    let store = open(dir.path());
    let mut batch = Batch::new();
    for number in 0..20_000u64 {
        let row = Row {
            number: number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            text: "z".repeat(200),
        };
        if batch.put(&row).is_err() {
            let full = std::mem::take(&mut batch);
            block_on(store.write(full)).unwrap();
            batch.put(&row).unwrap();
        }
    }
    block_on(store.write(batch)).unwrap();
    drop(store);
    let data = dir.path().join("data.mdb");
    let start = Instant::now();
    let survey = strict(&data);
    println!("{} bytes walked in {:?}", survey.file_len, start.elapsed());
    assert_eq!(survey.flaws, []);
    assert!(survey.file_len > 5 << 20);
}
