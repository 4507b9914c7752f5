//! Rows of reward periods on their way to the disk.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::store::StoreOptions;
use std::path::Path;

const DAY_ONE: u64 = 1_800_057_600;
const HOUR: u64 = 3600;

fn at(seconds: u64) -> Moment {
    Moment(seconds * 1_000_000_000)
}

fn sample(seconds: u64) -> Sample {
    Sample {
        now: at(seconds),
        awake: at(seconds),
        unix: Some(DAY_ONE + seconds),
        ..Sample::default()
    }
}

/// A node that runs from midnight on, and its store.
struct Run {
    inner: Inner,
    seconds: u64,
}

impl Run {
    fn new(store: &Store) -> Run {
        let settings = Settings::default();
        let mut tracker = Tracker::new(at(0), at(0), terms(&settings));
        let (running, history) = read(store).unwrap();
        tracker.adopt(running, history, &[]);
        let inner = Inner {
            tracker,
            unsaved: Vec::new(),
            writing: None,
            due: false,
            again: Moment::default(),
        };
        Run { inner, seconds: 0 }
    }

    /// Looks every ten seconds; each commit is awaited if `patient`.
    fn go(&mut self, store: &Store, seconds: u64, patient: bool) {
        let end = self.seconds + seconds;
        while self.seconds < end {
            self.seconds += 10;
            let sample = sample(self.seconds);
            let steps = self.inner.tracker.tick(&sample);
            self.inner.keep(store, steps, sample.now, sample.unix);
            if let Some((_, receipt)) = self.inner.writing.as_ref().filter(|_| patient) {
                let _ = smol::block_on(receipt.clone());
            }
        }
    }
}

fn store(dir: &Path) -> Store {
    Store::open(dir, StoreOptions::default()).unwrap()
}

fn starts(store: &Store) -> Vec<u64> {
    let (_, history) = read(store).unwrap();
    let starts = history.iter().rev();
    starts.map(|row| (row.start - DAY_ONE) / HOUR).collect()
}

#[test]
fn a_period_costs_one_commit_and_the_running_row_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let mut run = Run::new(&store);
    run.go(&store, 3 * HOUR, true);
    assert_eq!(starts(&store), [0, 1, 2]);
    let (running, _) = read(&store).unwrap();
    assert_eq!(running.unwrap().start, DAY_ONE + 3 * HOUR);
    // The first row, and one for each period.
    assert_eq!(store.health().written.commits, 4);
}

#[test]
fn periods_that_a_disk_refused_are_written_when_it_takes_rows_again() {
    let dir = tempfile::tempdir().unwrap();
    let broken = store(dir.path());
    let mut run = Run::new(&broken);
    run.go(&broken, HOUR, true);
    broken.close();
    run.go(&broken, 3 * HOUR, true);
    let store = store(dir.path());
    assert_eq!(starts(&store), [0]);
    run.go(&store, 120, true);
    assert_eq!(starts(&store), [0, 1, 2, 3]);
    assert!(run.inner.unsaved.is_empty() && !run.inner.due);
}

#[test]
fn a_slow_disk_loses_no_period() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let mut run = Run::new(&store);
    // Nobody looks whether a commit is done before the next one is due.
    run.go(&store, 20 * HOUR, false);
    run.go(&store, 20, true);
    run.go(&store, 20, true);
    assert_eq!(starts(&store), (0..20).collect::<Vec<u64>>());
}

#[test]
fn a_year_is_kept_and_what_is_older_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let mut batch = Batch::new();
    for hours in [KEEP / HOUR + 5, KEEP / HOUR + 1, KEEP / HOUR - 2] {
        let start = DAY_ONE - hours * HOUR;
        let row = RewardRow {
            over: true,
            start,
            end: start + HOUR,
            ..RewardRow::default()
        };
        batch.put(&row).unwrap();
    }
    smol::block_on(store.write(batch)).unwrap();
    let mut run = Run::new(&store);
    run.go(&store, HOUR, true);
    let (_, history) = read(&store).unwrap();
    let ages: Vec<u64> = history
        .iter()
        .map(|r| (DAY_ONE + HOUR - r.start) / HOUR)
        .collect();
    assert_eq!(ages, [1, KEEP / HOUR - 1]);
}

#[test]
fn the_median_is_one_of_the_round_trips() {
    let rtts = |millis: &[u64]| millis.iter().copied().map(Duration::from_millis).collect();
    assert_eq!(median(Vec::new()), None);
    assert_eq!(median(rtts(&[7])), Some(7));
    assert_eq!(median(rtts(&[900, 5, 20])), Some(20));
}
