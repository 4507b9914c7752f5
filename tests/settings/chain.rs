//! The chain, and memory for answers.

use super::node_with;
use crate::common::chain::{ask, made_up};
#[cfg(not(feature = "chain-https"))]
use crate::common::tools::*;
#[cfg(not(feature = "chain-https"))]
use crate::common::*;
use serde_json::json;

pub fn url() {
    let port = made_up(|_, _| json!({"result": "0x7"}));
    let url = format!("http://127.0.0.1:{port}/v2/secret");
    let (_home, node) = node_with(&[("CHR_CHAIN__URL", &url)]);
    let answer = ask(&node, "eth_chainId", json!([]));
    assert_eq!(answer["result"], "0x7", "{answer}");
    let told = node.ask("node_status")["chain"]["url"].clone();
    assert_eq!(told, format!("http://127.0.0.1:{port}"));
    drop(node);
    let (_home, node) = node_with(&[]);
    let answer = ask(&node, "eth_chainId", json!([]));
    assert!(answer["error"]["message"]
        .as_str()
        .unwrap()
        .contains("chain.url"));
}

/// Without the feature `chain-https` both would do nothing, so they are refused
/// with what to do.
#[cfg(not(feature = "chain-https"))]
pub fn ca_file() {
    for (variable, value) in [
        ("CHR_CHAIN__URL", "https://127.0.0.1:9/"),
        ("CHR_CHAIN__CA_FILE", "/nonexistent/authorities.pem"),
    ] {
        let mut command = chr_node();
        command.args(["config", "check"]).env(variable, value);
        let ran = run(&mut command, SOON);
        assert_ne!(ran.code, 0, "{variable}");
        for wanted in ["http://", "--features chain-https"] {
            assert!(ran.err.contains(wanted), "{variable}: {}", ran.err);
        }
    }
}

#[cfg(feature = "chain-https")]
pub fn ca_file() {
    let settings = [
        ("CHR_CHAIN__URL", "https://127.0.0.1:9/"),
        ("CHR_CHAIN__CA_FILE", "/nonexistent/authorities.pem"),
    ];
    let (_home, node) = node_with(&settings);
    let answer = ask(&node, "eth_chainId", json!([]));
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("/nonexistent/authorities.pem"),
        "{message}"
    );
}

pub fn cache_size() {
    for (set, bytes) in [("64K", 64 << 10), ("1M", 1 << 20)] {
        let (_home, node) = node_with(&[("CHR_STORAGE__CACHE_SIZE", set)]);
        assert_eq!(node.ask("network_stats")["cache"]["capacity"], bytes);
    }
    // It follows from the memory limit, and is part of it.
    let sessions = |cache: &str| {
        let settings = [
            ("MEMORY_LIMIT", "16M"),
            ("CHR_STORAGE__CACHE_SIZE", cache),
            ("CHR_PERFORMANCE__MAX_CONNECTIONS", "100000"),
        ];
        let (_home, node) = node_with(&settings);
        let capacity = node.ask("network_stats")["cache"]["capacity"].as_u64();
        let said = node.program.stderr();
        let line = said.lines().find_map(|line| line.split_once("at most "));
        let (_, rest) = line.expect(&said);
        let number = rest.split(' ').next().unwrap();
        (capacity.unwrap(), number.parse::<u64>().unwrap())
    };
    let (usual, many) = sessions("auto");
    assert_eq!(usual, 16 << 14);
    let (large, fewer) = sessions("8M");
    assert!(large == 8 << 20 && fewer < many, "{fewer} and {many}");
}
