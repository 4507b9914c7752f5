//! `chr-node peers`: the nodes that a running node knows.

use super::args::RpcArgs;
use super::rpc::Endpoint;
use super::screen::amount;
use super::told::{ago, now};
use super::{print, Failure};
use serde_json::Value;
use std::fmt::Write as _;

/// Asks the node and prints a line for each.
///
/// # Errors
/// No node is there, or it does not answer.
pub fn execute(args: &RpcArgs) -> Result<(), Failure> {
    let peers = Endpoint::find(args, std::env::vars_os())?.call("peer_list")?;
    let peers = peers.as_array().map(Vec::as_slice).unwrap_or_default();
    if args.json {
        let lines: Vec<String> = peers.iter().map(|peer| format!("{peer}\n")).collect();
        return print(&lines.concat());
    }
    print(&table(peers, now()))
}

fn table(peers: &[Value], now: u64) -> String {
    if peers.is_empty() {
        return "no other node is known; name one in network.seeds\n".to_owned();
    }
    let text = |peer: &Value, field: &str| {
        let text = peer.get(field).and_then(Value::as_str);
        text.unwrap_or("-").to_owned()
    };
    let number = |peer: &Value, field: &str| peer.get(field).and_then(Value::as_u64);
    let wide = peers.iter().map(|peer| text(peer, "address").len());
    let wide = wide.max().unwrap_or(0).max("address".len());
    let mut table = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        table,
        "{:<42}  {:<wide$}  {:<4} {:>7} {:>6} {:>6} {:>6} {:>9} {:>9}",
        "node", "address", "link", "rtt", "score", "seen", "links", "in", "out"
    );
    for peer in peers {
        let rtt = number(peer, "rtt_ms").map_or("-".to_owned(), |ms| format!("{ms} ms"));
        let score = peer.get("reliability_score").and_then(Value::as_f64);
        let score = score.map_or("-".to_owned(), |score| format!("{score:.2}"));
        let seen = number(peer, "last_seen").map_or("-".to_owned(), |unix| ago(unix, now));
        let bytes = |field: &str| match number(peer, field) {
            None | Some(0) => "-".to_owned(),
            Some(bytes) => amount(bytes),
        };
        let _ = writeln!(
            table,
            "{:<42}  {:<wide$}  {:<4} {rtt:>7} {score:>6} {seen:>6} {:>6} {:>9} {:>9}",
            text(peer, "node_id"),
            text(peer, "address"),
            text(peer, "direction"),
            number(peer, "connection_count").unwrap_or(0),
            bytes("bytes_in"),
            bytes("bytes_out"),
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_is_aligned_and_a_dash_stands_for_what_is_not_known() {
        let id = |n: u8| format!("0x{}", format!("{n:02x}").repeat(20));
        let peers = [
            json!({"node_id": id(1), "address": "203.0.113.9:51055", "connected": true,
                "direction": "out", "first_seen": 1, "last_seen": 995, "connection_count": 3,
                "reliability_score": 0.987, "rtt_ms": 12, "bytes_in": 5_000_000, "bytes_out": 7}),
            json!({"node_id": id(2), "address": null, "connected": false, "direction": null,
                "first_seen": null, "last_seen": null, "connection_count": 0,
                "reliability_score": null, "rtt_ms": null, "bytes_in": 0, "bytes_out": 0}),
        ];
        let node = |n| format!("{}  ", id(n));
        let wanted = [
            format!(
                "{:<44}address            link     rtt  score   seen  links        in       out\n",
                "node"
            ),
            node(1) + "203.0.113.9:51055  out    12 ms   0.99    5 s      3    5.0 MB       7 B\n",
            node(2) + "-                  -          -      -      -      0         -         -\n",
        ];
        assert_eq!(table(&peers, 1000), wanted.concat());
        assert!(table(&[], 0).contains("network.seeds"));
    }
}
