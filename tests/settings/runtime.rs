//! Threads, the store's map, and when it is written.

use super::node_with;
use crate::common::tools::*;
use crate::common::*;
use std::path::Path;
use std::time::{Duration, Instant};

/// Names of a program's threads that begin with `start`.
fn threads_named(node: &Node, start: &str) -> Vec<String> {
    let folder = format!("/proc/{}/task", node.program.child.id());
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        // A thread may end meanwhile.
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| name.starts_with(start))
        .collect();
    names.sort();
    // Threads of libraries inherit the name of the one that started them.
    names.dedup();
    names
}

pub fn threads() {
    let (_home, node) = node_with(&[("CHR_RUNTIME__THREADS", "3")]);
    assert_eq!(
        threads_named(&node, "chr-node-"),
        ["chr-node-1", "chr-node-2"]
    );
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
        let count = || threads_named(&node, "blocking-").len();
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
    // Statistics are taken every ten seconds.
    until(Duration::from_secs(60), "statistics are written", || {
        (written(often.0.path()) > before).then_some(())
    });
    assert_eq!(written(seldom.0.path()), quiet);
}
