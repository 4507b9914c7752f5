//! Threads, the store's map, and when it is written.

use super::node_with;
use crate::common::tools::*;
use crate::common::*;
use chr_node::node::statistics::NodeStats;
use chr_node::store::{Store, StoreOptions};
use std::path::Path;
use std::time::{Duration, Instant};

/// How many threads of a program have a name that begins so.
fn threads_named(node: &Node, start: &str) -> usize {
    let folder = format!("/proc/{}/task", node.program.child.id());
    std::fs::read_dir(folder)
        .unwrap()
        // A thread may end meanwhile.
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with(start))
        .count()
}

pub fn threads() {
    for wanted in [1, 3] {
        let text = wanted.to_string();
        // Threads of the HTTP worker inherit the name of the one that starts them.
        let settings = [("CHR_RUNTIME__THREADS", text.as_str()), ("RPC_PORT", "off")];
        let (_home, node) = node_with(&settings);
        // A thread names itself, which may take a moment.
        until(SOON, "all threads are there, and no more", || {
            (threads_named(&node, "chr-work") == wanted).then_some(())
        });
    }
}

pub fn worker_pool_size() {
    // Debug builds can be told to give the pool more to do than it has threads.
    if !cfg!(debug_assertions) {
        return;
    }
    for size in [2, 5] {
        let home = tempfile::tempdir().unwrap();
        let mut command = chr_node();
        command.env("TEST_FAULT", "cron:pool");
        let text = size.to_string();
        let settings = [("CHR_RUNTIME__WORKER_POOL_SIZE", text.as_str())];
        let node = Node::start_command(command, home.path(), &settings);
        let count = || threads_named(&node, "chr-block");
        until(SOON, "the pool is as large as it may be", || {
            (count() == size).then_some(())
        });
        let end = Instant::now() + Duration::from_millis(500);
        while Instant::now() < end {
            assert!(count() <= size, "{}", count());
        }
    }
}

pub fn map_size() {
    let mapped = |settings: &[(&str, &str)]| {
        let (_home, node) = node_with(settings);
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", node.program.child.id()));
        let maps = maps.unwrap();
        let range = maps
            .lines()
            .filter(|line| line.ends_with("data.mdb"))
            .map(|line| {
                let (from, to) = line
                    .split_whitespace()
                    .next()
                    .unwrap()
                    .split_once('-')
                    .unwrap();
                let number = |text| u64::from_str_radix(text, 16).unwrap();
                number(to) - number(from)
            });
        range.sum::<u64>()
    };
    assert_eq!(mapped(&[("CHR_STORAGE__MAP_SIZE", "4M")]), 4 << 20);
    assert_eq!(mapped(&[("CHR_STORAGE__MAP_SIZE", "12M")]), 12 << 20);
}

fn written(home: &Path) -> std::time::SystemTime {
    let file = std::fs::metadata(home.join("store/data.mdb")).unwrap();
    file.modified().unwrap()
}

/// A store with statistics of every hour of ten days, and every minute of two.
fn with_statistics(home: &Path) {
    use chr_node::node::statistics::{NodeStats, Span};
    use chr_node::store::{Batch, Store, StoreOptions, MAX_ROWS};
    let store = Store::open(&home.join("store"), StoreOptions::default()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap().as_secs();
    for (span, days) in [(Span::Minute, 2), (Span::Hour, 10)] {
        let ages: Vec<u64> = (1..=days * 86_400 / span.seconds()).collect();
        for ages in ages.chunks(MAX_ROWS) {
            let mut batch = Batch::new();
            for age in ages {
                let row = NodeStats {
                    span,
                    unix: (now / span.seconds() - age) * span.seconds(),
                    seconds: span.seconds() as u32,
                    connections: 1,
                    bytes_in: *age,
                    bytes_out: 0,
                    uptime_seconds: 0,
                    peers: 0,
                    latency_ms: 0,
                    tickets: 0,
                    errors: 0,
                };
                batch.put(&row).unwrap();
            }
            smol::block_on(store.write(batch)).unwrap();
        }
    }
    store.close();
}

/// Rows by the minute and by the hour that a node has left once it has looked
/// after its house.
fn kept(settings: &[(&str, &str)]) -> (u64, u64) {
    let home = tempfile::tempdir().unwrap();
    with_statistics(home.path());
    let mut node = Node::start_with(home.path(), settings);
    // It looks after its house every ten seconds; what it removes waits for a commit.
    until(SOON, "old rows are about to be removed", || {
        let status = crate::common::network::call(&node, "node_status");
        (status["store"]["waiting"].as_u64()? > 100).then_some(())
    });
    node.program.signal("-TERM");
    assert!(node.program.wait(SOON).success());
    rows(home.path())
}

/// Rows of minutes and of hours.
fn rows(home: &Path) -> (u64, u64) {
    let store = Store::open(&home.join("store"), StoreOptions::default()).unwrap();
    let count = |prefix: &[u8]| {
        let rows: Vec<NodeStats> = store.scan_prefix(prefix, usize::MAX).unwrap();
        rows.len() as u64
    };
    (count(b"m"), count(b"h"))
}

pub fn keep_minutes() {
    // Those of the minutes and the hour in which it ran come on top.
    let (minutes, hours) = kept(&[("CHR_STORAGE__KEEP_MINUTES", "45h")]);
    assert!((2_698..2_704).contains(&minutes), "{minutes}");
    assert!((240..243).contains(&hours), "{hours}");
    // Of the minute in which it runs the end writes a row, unless none is wanted.
    let written = |kept: &str| {
        let home = tempfile::tempdir().unwrap();
        let settings = [("CHR_STORAGE__KEEP_MINUTES", kept)];
        let mut node = Node::start_with(home.path(), &settings);
        node.program.signal("-TERM");
        assert!(node.program.wait(SOON).success());
        rows(home.path())
    };
    assert!(written("1h").0 > 0);
    let (minutes, hours) = written("off");
    assert!(minutes == 0 && hours > 0, "{minutes} and {hours}");
}

pub fn keep_hours() {
    let (minutes, hours) = kept(&[("CHR_STORAGE__KEEP_HOURS", "2d")]);
    assert!((2_880..2_884).contains(&minutes), "{minutes}");
    assert!((48..51).contains(&hours), "{hours}");
}

pub fn flush_interval() {
    // The end of a reward period has a commit of its own, and so has the first start.
    let period = ("CHR_REWARDS__PERIOD", "24h");
    let often = node_with(&[("CHR_STORAGE__FLUSH_INTERVAL", "1s"), period]);
    let seldom = node_with(&[("CHR_STORAGE__FLUSH_INTERVAL", "1h"), period]);
    for (_, node) in [&often, &seldom] {
        until(SOON, "the first start is committed", || {
            let status = crate::common::network::call(node, "node_status");
            (status["store"]["commits"].as_u64()? > 0).then_some(())
        });
    }
    let (before, quiet) = (written(often.0.path()), written(seldom.0.path()));
    // Statistics have a row for each minute that is over.
    until(Duration::from_secs(150), "statistics are written", || {
        (written(often.0.path()) > before).then_some(())
    });
    assert_eq!(written(seldom.0.path()), quiet);
}
