//! SIGHUP: what can change does, the rest is named, and a mistake changes nothing.

use super::info;
use crate::common::raw::{key, Raw};
use crate::common::tools::*;
use crate::common::*;
use std::path::Path;

/// A node that reads `chr.toml` in its folder.
fn node_with_file(home: &Path, text: &str) -> Node {
    let file = home.join("chr.toml");
    std::fs::write(&file, text).unwrap();
    let mut command = chr_node();
    command.args(["run", "--config"]).arg(&file);
    Node::start_command(command, home, &[])
}

/// Replaces the file, tells the node, and waits for its word on it.
fn reload(node: &Node, text: &str) -> String {
    std::fs::write(node.data.join("chr.toml"), text).unwrap();
    let before = node.program.stderr().len();
    node.program.signal("-HUP");
    until(SOON, "the node has read its file", || {
        let log = node.program.stderr().split_off(before);
        log.contains("SIGHUP: ").then_some(log)
    })
}

#[test]
fn a_live_value_acts_at_once() {
    let home = tempfile::tempdir().unwrap();
    let node = node_with_file(home.path(), "[node]\nname = \"old\"\n");
    assert_eq!(info(&node)["name"], "old");
    let mut before = Raw::admitted(&node, &key(), 1 << 30);
    let log = reload(
        &node,
        "[node]\nname = \"new\"\n[performance]\nmax_ports_per_session = 7\n[tickets]\nchain_id = 15\n[log]\nlevel = \"debug\"\nformat = \"json\"\n",
    );
    assert!(log.contains("node.name: \"old\" is now \"new\""), "{log}");
    assert!(!log.contains("needs a restart"), "{log}");
    assert_eq!(info(&node)["name"], "new");
    let terms = Raw::greeted(&node, &key()).terms.take().unwrap();
    assert_eq!((terms.max_ports, terms.chain_id), (7, 15));
    until(SOON, "the log has its new level and format", || {
        let log = node.program.stderr();
        let json = log.lines().filter(|line| line.starts_with('{'));
        json.into_iter()
            .any(|line| line.contains("\"level\":\"debug\"") && line.contains("hello"))
            .then_some(())
    });
    // Sessions that stood go on.
    before.request(&chr_node::wire::control::Ping {});
    before.expect::<chr_node::wire::control::Pong>();
}

#[test]
fn what_needs_a_restart_is_named_and_stays_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let node = node_with_file(home.path(), "[node]\nmemory_limit = \"64M\"\n");
    let text = "[node]\nmemory_limit = \"96M\"\nname = \"x\"\n[runtime]\nthreads = 3\n";
    // Each time, until it is restarted.
    for _ in 0..2 {
        let log = reload(&node, text);
        for words in [
            "node.memory_limit: \"64M\" is now \"96M\"; that needs a restart",
            "runtime.threads: \"1\" is now \"3\"; that needs a restart",
        ] {
            assert!(log.contains(words), "{log}");
        }
    }
    assert_eq!(info(&node)["name"], "x");
}

#[test]
fn a_mistake_in_the_file_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let node = node_with_file(home.path(), "[node]\nname = \"old\"\n");
    let log = reload(
        &node,
        "[node]\nname = \"new\"\n\n[network]\nrpc_hots = []\n",
    );
    for words in [
        "chr.toml:5",
        "did you mean network.rpc_hosts?",
        "nothing was changed",
    ] {
        assert!(log.contains(words), "{log}");
    }
    assert_eq!(info(&node)["name"], "old");
    std::fs::remove_file(home.path().join("chr.toml")).unwrap();
    let before = node.program.stderr().len();
    node.program.signal("-HUP");
    until(SOON, "the node misses its file", || {
        let log = node.program.stderr().split_off(before);
        (log.contains("cannot be read") && log.contains("nothing was changed")).then_some(())
    });
    assert_eq!(info(&node)["name"], "old");
}

#[test]
fn a_node_without_a_file_survives_the_signal() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    node.program.signal("-HUP");
    until(SOON, "the node has heard it", || {
        let log = node.program.stderr();
        log.contains("SIGHUP: ").then_some(())
    });
    Raw::admitted(&node, &key(), 1 << 30);
}
