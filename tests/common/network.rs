//! Several nodes of one network, each with a loopback address of its own.

use super::tools::until;
use super::{chr_node, Node, SOON};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// The peer port as others dial it: `0xADDR@ip:port`.
pub fn peer_address(node: &Node) -> String {
    format!("{}@{}", node.id(), node.run["peer"].as_str().unwrap())
}

/// A node on `127.77.0.HOST` with what it is told about others.
pub fn node_at(home: &Path, host: u8, seeds: &str, more: &[(&str, &str)]) -> Node {
    node_by(chr_node(), home, host, seeds, more)
}

/// As [`node_at`], with a command that ends in `chr-node run`.
pub fn node_by(
    command: Command,
    home: &Path,
    host: u8,
    seeds: &str,
    more: &[(&str, &str)],
) -> Node {
    let data = home.join(format!("node{host}"));
    std::fs::create_dir_all(&data).unwrap();
    let place = format!("127.77.0.{host}");
    let mut settings = vec![
        ("CHR_NETWORK__BIND", place.as_str()),
        ("PEER2_PORT", "0"),
        ("SEED_LIST", seeds),
    ];
    settings.extend(more);
    Node::start_command(command, &data, &settings)
}

/// `count` nodes that know the first one.
pub fn network(home: &Path, count: u8) -> Vec<Node> {
    let mut nodes = vec![node_at(home, 1, "none", &[])];
    let seed = peer_address(&nodes[0]);
    for host in 2..=count {
        nodes.push(node_at(home, host, &seed, &[]));
    }
    for node in &nodes {
        until(SOON, "the node knows another", || {
            (known(node) > 0).then_some(())
        });
    }
    nodes
}

/// How many nodes its routing table has.
pub fn known(node: &Node) -> u64 {
    let stats = call(node, "network_stats");
    stats["dht"]["nodes"].as_u64().unwrap_or(0)
}

/// The result of a method without parameters.
pub fn call(node: &Node, method: &str) -> Value {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
    let answer = node.http(&format!(
        "POST /rpc HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        node.rpc(),
        body.len()
    ));
    let (_, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let answer: Value = serde_json::from_str(body).expect("a JSON answer");
    assert!(answer["error"].is_null(), "{answer}");
    answer["result"].clone()
}
