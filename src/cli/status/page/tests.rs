//! Tests of the page.
#![allow(clippy::indexing_slicing)]

use super::*;
use serde_json::json;

fn told(status: &Value) -> String {
    let mut pace = Pace::default();
    pace.look(status);
    let lines = page(status, &pace, usize::MAX);
    let lines: Vec<String> = lines.into_iter().map(|line| line.text).collect();
    lines.join("\n")
}

#[test]
fn an_answer_of_which_much_is_missing_is_shown_all_the_same() {
    for status in [
        json!({}),
        json!(null),
        json!({"info": 5, "network": [], "sessions": {}, "rewards": {}, "tickets": {}}),
        json!({"health": {"status": "failing", "reasons": [{}]}, "peers": [{}], "events": [7],
            "sessions": [null], "store": {}, "fleet": {"nodes": [{}]}, "chain": {}}),
    ] {
        assert!(told(&status).contains("health"), "{status}");
    }
}

#[test]
fn what_a_person_looks_for_is_on_the_page() {
    let id = "0x00112233445566778899aabbccddeeff00112233";
    let status = json!({
        "time": 1_800_057_700_000_u64,
        "info": {"node_id": id, "name": "attic", "version": "0.1.0", "uptime_seconds": 7_300,
            "profile": "router", "edge_ports": [41046, 41047], "peer_port": 51055, "epoch": 694},
        "health": {"status": "degraded",
            "layers": [{"layer": "storage", "state": "degraded"}],
            "reasons": [{"layer": "storage", "state": "degraded", "reason": "the disk is full",
                "remedy": "free space"}]},
        "network": {"devices": 3, "peers": 1, "ports_open": 4, "bandwidth_in": 1_500_000,
            "bandwidth_out": 2_000, "bytes_in": 5_000_000, "bytes_out": 6_000_000,
            "latency_ms": {"p50": 12, "p90": 30, "p99": 31}, "memory_bytes": 9_000_000,
            "cpu_percent": 3.25, "dht": {"nodes": 7, "values": 8, "lookups": 9, "success_ratio": 0.5},
            "history": {"bandwidth_in": [null, 1_000_000, 2_000_000], "bandwidth_out": [0, 0, 0]}},
        "device": {"memory_budget": 64_000_000, "load": [0.25, 0.1, 0.1],
            "temperature_celsius": 51.5, "battery": {"percent": 80, "charging": true},
            "descriptors": 30, "descriptors_limit": 1024},
        "store": {"path": "/data/store", "size_bytes": 70_000, "rows": 12, "commits": 4,
            "bytes_written": 100_000, "bytes_written_per_day": null, "last_error": null},
        "sessions": [{"device": id, "address": "192.0.2.7:5000", "since": 1_800_057_640, "ports": 2,
            "bytes_in": 1000, "bytes_out": 2000, "rtt_ms": 8, "agent": "chr-node/0.1.0"}],
        "peers": [{"node_id": id, "address": "192.0.2.8:51055", "direction": "out", "rtt_ms": 20,
            "reliability_score": 0.987, "last_seen": 1_800_057_690, "bytes_in": 0, "bytes_out": 0}],
        "fleet": {"nodes": [{"name": "cellar", "reachable": false, "error": "refused", "last_ok": null}]},
        "events": [{"id": 1, "topic": "session", "time": 1_800_057_640,
            "data": {"event": "opened", "device": id, "reason": null}}],
    });
    let told = told(&status);
    for wanted in [
        "attic  0x00112233445566778899aabbccddeeff00112233  chr-node 0.1.0  router  up 2 h",
        "health degraded  storage degraded",
        "the disk is full",
        "-> free space",
        "in 1.5 MB/s (5.0 MB in all)",
        "in   ▅█  at most 2.0 MB/s",
        "devices 3  nodes 1  ports 4  round trips 12 ms / 30 ms / 31 ms",
        "devices 41046, 41047  nodes 51055",
        "cpu 3.2 %  memory 9.0 MB of 64.0 MB  load 0.25  51.5 °C  battery 80 %, charging  files 30/1024",
        "store    70.0 kB  12 rows  4 commits",
        "7 nodes  8 values kept  9 lookups, 50 % found",
        "fleet    cellar  refused",
        "0x0011…2233  192.0.2.7:5000",
        "0x0011…2233  192.0.2.8:51055  out",
        "opened  0x0011…2233",
    ] {
        assert!(told.contains(wanted), "{wanted} in\n{told}");
    }
    assert!(!told.contains("  out ▁"), "no bars of nothing:\n{told}");
}

#[test]
fn lists_are_cut_and_say_so() {
    let status = json!({"sessions": vec![json!({"device": "a"}); 40]});
    let lines = page(&status, &Pace::default(), 3);
    let title = lines
        .iter()
        .position(|line| line.text.starts_with("sessions"));
    let title = title.unwrap_or(0);
    assert_eq!(lines[title].text, "sessions  40, 37 not shown");
    assert_eq!(lines.len(), title + 1 + 1 + 3);
}

#[test]
fn the_pace_is_that_between_two_looks_and_survives_a_restart_of_the_node() {
    let look = |time: u64, bytes: u64| json!({"time": time, "network": {"bytes_in": bytes, "bytes_out": bytes / 2}});
    let mut pace = Pace::default();
    pace.look(&look(1_000, 500));
    assert!(pace.seen.is_empty());
    pace.look(&look(3_000, 4_500));
    assert_eq!(pace.seen.back(), Some(&(2000.0, 1000.0)));
    pace.look(&look(3_000, 9_000));
    assert_eq!(pace.seen.len(), 1, "no time has passed");
    pace.look(&look(4_000, 10));
    assert_eq!(pace.seen.back(), Some(&(0.0, 0.0)));
    for n in 0..200 {
        pace.look(&look(5_000 + n * 1000, n));
    }
    assert_eq!(pace.seen.len(), SEEN_MAX);
}
