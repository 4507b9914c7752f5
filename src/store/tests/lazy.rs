//! Rows that wait for a commit that happens anyway, and the end of a writer.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn open_with(dir: &Path, flush_interval: Duration) -> Store {
    let options = StoreOptions {
        flush_interval,
        ..StoreOptions::default()
    };
    Store::open(dir, options).unwrap()
}

/// Asks until it is so.
#[track_caller]
fn until(mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < end, "not within 20 s");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_lazy_row_costs_no_commit_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), HOUR);
    for number in 0..50 {
        store.put_lazy(&row(number)).unwrap();
        store.put_lazy(&wide_row(number)).unwrap();
    }
    assert_eq!(store.health().written.commits, 0);
    assert_eq!(read(&store, 7), None);
    block_on(store.put(&row(1000))).unwrap();
    let written = store.health().written;
    assert_eq!((written.commits, written.rows), (1, 51));
    assert_eq!(read(&store, 7), Some(wide_row(7)));
    store.delete_lazy::<Row>(&7u64.to_be_bytes()).unwrap();
    assert_eq!(read(&store, 7), Some(wide_row(7)));
    block_on(store.delete::<Row>(&1000u64.to_be_bytes())).unwrap();
    assert_eq!(read(&store, 7), None);
    assert_eq!(store.health().written.commits, 2);
}

#[test]
fn a_lazy_row_is_committed_when_its_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), Duration::from_millis(30));
    for number in 0..3 {
        store.put_lazy(&row(number)).unwrap();
        until(|| read(&store, number).is_some());
        assert_eq!(store.health().written.commits, number + 1);
    }
}

#[test]
fn rows_of_one_key_reach_the_disk_in_the_order_in_which_they_came() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), HOUR);
    let text = |text: String| Row { number: 1, text };
    for round in 0..300 {
        let (old, new) = (text(format!("old {round}")), text(format!("new {round}")));
        let receipt = if round % 2 == 0 {
            store.put_lazy(&old).unwrap();
            store.put(&new)
        } else {
            drop(store.put(&old));
            store.put_lazy(&new).unwrap();
            if round % 4 == 1 {
                store.flush()
            } else {
                store.put(&row(2))
            }
        };
        block_on(receipt).unwrap();
        assert_eq!(read(&store, 1), Some(new), "round {round}");
    }
}

#[test]
fn a_full_buffer_is_flushed_at_once_and_no_row_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    // The map has to grow on the way, too.
    let options = StoreOptions {
        map_size: 1,
        flush_interval: HOUR,
        ..StoreOptions::default()
    };
    let store = Store::open(dir.path(), options).unwrap();
    let small = store.health().map_size;
    let count = 20 * LAZY_ROWS as u64;
    for number in 0..count {
        // Faster than any disk: the queue behind is bounded as well.
        until(|| store.put_lazy(&wide_row(number)).is_ok());
    }
    block_on(store.flush()).unwrap();
    let written = store.health().written;
    assert_eq!(written.rows, count);
    assert!(written.commits <= 8 * 20, "{written:?}");
    assert!(store.health().map_size > small);
    let rows = store.scan_prefix::<Row>(&[], usize::MAX).unwrap();
    assert_eq!(rows.len() as u64, count);
}

#[test]
fn closing_takes_lazy_rows_along_and_gives_the_folder_free() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), HOUR);
    store.put_lazy(&row(1)).unwrap();
    let handle = store.clone();
    store.close();
    assert_eq!(handle.put_lazy(&row(2)), Err(StoreError::Closed));
    assert_eq!(block_on(handle.flush()), Err(StoreError::Closed));
    let again = open_with(dir.path(), HOUR);
    assert_eq!(read(&again, 1), Some(row(1)));
    assert_eq!(handle.get::<Row>(&[1]), Err(StoreError::Closed));
}

#[test]
fn a_failed_commit_keeps_its_lazy_rows_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        map_size: 1,
        map_limit: 1 << 20,
        flush_interval: HOUR,
    };
    let store = Store::open(dir.path(), options).unwrap();
    let mut kept = 0;
    while block_on(store.put(&wide_row(kept))).is_ok() {
        kept += 1;
    }
    for number in 0..100 {
        store.put_lazy(&wide_row(10_000 + number)).unwrap();
    }
    let commits = store.health().written.commits;
    assert!(matches!(
        block_on(store.flush()),
        Err(StoreError::MapFull { .. })
    ));
    // A newer row of the same key is not overwritten by the one that came back.
    store.put_lazy(&row(10_000)).unwrap();
    assert_eq!(store.health().written.commits, commits);
    let mut batch = Batch::new();
    for number in 0..kept / 2 {
        batch.delete::<Row>(&number.to_be_bytes()).unwrap();
    }
    // The lazy rows must not keep it from making room.
    block_on(store.write(batch)).unwrap();
    // Pages freed by a commit can be used by the one after the next.
    block_on(store.put(&row(20_000))).unwrap();
    block_on(store.flush()).unwrap();
    assert_eq!(read(&store, 10_000), Some(row(10_000)));
    for number in 1..100 {
        let wanted = wide_row(10_000 + number);
        assert_eq!(read(&store, 10_000 + number), Some(wanted));
    }
    assert_eq!(store.health().written.dropped, 0);
}

#[test]
fn a_disk_that_takes_nothing_does_not_fill_the_memory() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        map_size: 1,
        map_limit: 256 << 10,
        flush_interval: HOUR,
    };
    let store = Store::open(dir.path(), options).unwrap();
    let mut kept = 0;
    while block_on(store.put(&wide_row(kept))).is_ok() {
        kept += 1;
    }
    // Refused at once, or given up when an attempt failed: which of the two depends
    // on who is faster, this loop or the disk that says no.
    for number in 0..20_000 {
        let _ = store.put_lazy(&wide_row(10_000 + number));
    }
    until(|| store.health().written.dropped >= 20_000 - 2 * LAZY_ROWS as u64);
    // Each attempt was asked for by a row that found no room.
    let written = store.health().written;
    assert!(written.failures < 20_000, "{written:?}");
    assert_eq!(read(&store, 0), Some(wide_row(0)));
}

#[test]
fn a_writer_that_panics_is_noticed_and_the_store_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), HOUR);
    block_on(store.put(&row(1))).unwrap();
    let ended = store.ended();
    store.break_writer();
    assert_eq!(block_on(ended), StoreError::Stopped);
    assert_eq!(block_on(store.ended()), StoreError::Stopped);
    assert_eq!(block_on(store.put(&row(2))), Err(StoreError::Stopped));
    assert_eq!(store.put_lazy(&row(2)), Err(StoreError::Stopped));
    assert_eq!(store.health().written.error, Some(StoreError::Stopped));
    // What is there can be read until somebody restarts it.
    assert_eq!(read(&store, 1), Some(row(1)));
    store.close();
    let again = open_with(dir.path(), HOUR);
    block_on(again.put(&row(2))).unwrap();
    assert_eq!(read(&again, 1), Some(row(1)));
}

#[test]
fn closing_is_no_fault_of_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), HOUR);
    let ended = store.ended();
    drop(store.put(&row(1)));
    store.close();
    assert_eq!(
        block_on(smol::future::or(async { Some(ended.await) }, async {
            None
        })),
        None
    );
    assert_eq!(store.health().written.error, None);
}
