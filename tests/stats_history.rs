//! Histories by JSON-RPC: what a chart is drawn from.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::network::call;
use common::*;
use serde_json::{json, Value};

const SERIES: [&str; 8] = [
    "bandwidth_in",
    "bandwidth_out",
    "connections",
    "peers",
    "latency_ms",
    "tickets",
    "errors",
    "uptime",
];

fn ask(node: &Node, span: &str) -> Value {
    let body =
        json!({"jsonrpc": "2.0", "id": 1, "method": "stats_history", "params": {"span": span}});
    let body = body.to_string();
    let answer = node.http(&format!(
        "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    ));
    let (_, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    serde_json::from_str(body).expect("a JSON answer")
}

#[test]
fn every_span_has_series_of_one_length_and_of_the_right_time() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap().as_secs();
    for (span, step, steps) in [
        ("hour", 10, 360),
        ("day", 300, 288),
        ("week", 3_600, 168),
        ("month", 7_200, 360),
        ("year", 86_400, 366),
    ] {
        let answer = ask(&node, span);
        let history = &answer["result"];
        assert_eq!(history["step_seconds"], step, "{answer}");
        for name in SERIES {
            let series = history[name].as_array().unwrap();
            assert_eq!(series.len(), steps, "{span} {name}");
            assert!(series.iter().all(|value| value.is_null() || value.is_u64()));
        }
        if span != "hour" {
            let from = history["from"].as_u64().unwrap();
            let to = from + step * steps as u64;
            assert!(
                from.is_multiple_of(step) && to > now && to <= now + 2 * step,
                "{answer}"
            );
        }
    }
    let refusal = ask(&node, "decade");
    assert_eq!(refusal["error"]["code"], -32602, "{refusal}");
    let stats = call(&node, "network_stats");
    assert_eq!(stats["history"]["uptime"].as_array().unwrap().len(), 60);
    let store = &call(&node, "node_status")["store"];
    assert!(store["size_bytes"].as_u64().unwrap() > 0, "{store}");
    assert!(
        store["path"].as_str().unwrap().ends_with("store"),
        "{store}"
    );
}
