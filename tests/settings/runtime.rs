//! Threads, the store's map, and when it is written.

use super::node_with;
use crate::common::tools::*;
use crate::common::*;
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
        let count = || threads_named(&node, "blocking-");
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

pub fn flush_interval() {
    let often = node_with(&[("CHR_STORAGE__FLUSH_INTERVAL", "1s")]);
    let seldom = node_with(&[("CHR_STORAGE__FLUSH_INTERVAL", "1h")]);
    let (before, quiet) = (written(often.0.path()), written(seldom.0.path()));
    // Statistics have a row for each minute that is over.
    until(Duration::from_secs(150), "statistics are written", || {
        (written(often.0.path()) > before).then_some(())
    });
    assert_eq!(written(seldom.0.path()), quiet);
}
