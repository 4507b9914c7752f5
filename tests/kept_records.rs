//! What a node keeps for others survives its restart, and is not kept beyond its
//! time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use chr_node::dht::KeptRow;
use chr_node::store::{Record, Store, StoreOptions};
use common::network::{call, network, node_at};
use common::servers::Route;
use common::tools::until;
use common::*;
use std::path::Path;

fn values(node: &Node) -> u64 {
    call(node, "network_stats")["dht"]["values"]
        .as_u64()
        .unwrap()
}

fn stop(mut node: Node) {
    node.program.signal("-TERM");
    assert!(node.program.wait(SOON).success());
}

fn rows(home: &Path) -> Vec<KeptRow> {
    let store = Store::open(&home.join("node1/store"), StoreOptions::default()).unwrap();
    store.scan_prefix(&[], 1000).unwrap()
}

#[test]
fn a_restarted_node_has_what_it_kept_for_others_and_nothing_is_asked_twice() {
    let home = tempfile::tempdir().unwrap();
    let mut nodes = network(home.path(), 2);
    // The second node's record, and the presence of a device that is there.
    let route = Route::tcp(home.path(), &nodes[1].address(), echo_server());
    until(SOON, "the first node keeps something", || {
        (values(&nodes[0]) >= 3).then_some(())
    });
    let second = nodes.pop().unwrap();
    let first = nodes.pop().unwrap();
    let before = values(&first);
    stop(first);
    drop(route);
    stop(second);
    let kept = rows(home.path());
    assert!(
        kept.len() as u64 >= before - 1 && kept.len() >= 2,
        "{}",
        kept.len()
    );
    assert!(kept.iter().any(|row| row.key()[0] == b'n'));
    assert!(kept.iter().any(|row| row.key()[0] == b'p'));

    // Nobody is there any more who could tell it.
    let first = node_at(home.path(), 1, "none", &[]);
    until(SOON, "it has what it kept", || {
        (values(&first) >= kept.len() as u64).then_some(())
    });
    let log = first.program.stderr();
    assert!(log.contains("records kept for others were found"), "{log}");
    let lasting = kept.iter().filter(|row| !row.is_passing()).count();
    until(SOON, "rows of presences are removed", || {
        let status = call(&first, "node_status");
        let mut tables = status["store"]["tables"].as_array()?.iter();
        let table = tables.find(|table| table["name"] == "dht_values")?;
        (table["rows"] == lasting).then_some(())
    });
    // Killed: what holds for a day is on the disk, what holds for an hour is not.
    drop(first);
    let left = rows(home.path());
    assert!(left.iter().all(|row| !row.is_passing()), "{left:?}");
    assert_eq!(
        left.len(),
        kept.iter().filter(|row| !row.is_passing()).count()
    );
}
