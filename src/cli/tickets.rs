//! `chr-node tickets`: the tickets that a running node holds.

use super::args::RpcArgs;
use super::rpc::Endpoint;
use super::told::{bytes, list, now, since, table, text};
use super::{print, Failure};
use serde_json::Value;

/// Asks the node and prints them.
///
/// # Errors
/// No node is there, or it does not answer.
pub fn execute(args: &RpcArgs) -> Result<(), Failure> {
    let tickets = Endpoint::find(args, std::env::vars_os())?.call("ticket_list")?;
    if args.json {
        return print(&format!("{tickets}\n"));
    }
    let mut lines = sums(&tickets);
    if !list(&tickets, "latest").is_empty() {
        lines.push(String::new());
        lines.extend(latest(&tickets, usize::MAX, now()));
    }
    lines.push(String::new());
    print(&lines.join("\n"))
}

/// What is held, by epoch and fleet.
pub(super) fn sums(tickets: &Value) -> Vec<String> {
    let rows: Vec<Vec<String>> = list(tickets, "epochs")
        .iter()
        .map(|row| {
            let fleet = match row.get("fleet") {
                Some(Value::Null) => "all others".to_owned(),
                _ => text(row, "fleet"),
            };
            vec![
                text(row, "epoch"),
                fleet,
                text(row, "count"),
                bytes(row, "bytes"),
                text(row, "connections"),
                text(row, "score"),
            ]
        })
        .collect();
    if rows.is_empty() {
        return vec!["no tickets are held".to_owned()];
    }
    let columns = ["epoch", "fleet", ">tickets", ">pay for", ">ports", ">score"];
    table(&columns, &rows)
}

/// The latest ones.
pub(super) fn latest(tickets: &Value, most: usize, now: u64) -> Vec<String> {
    let rows: Vec<Vec<String>> = list(tickets, "latest")
        .iter()
        .take(most)
        .map(|ticket| {
            vec![
                text(ticket, "device"),
                since(ticket, "at", now),
                text(ticket, "epoch"),
                bytes(ticket, "total_bytes"),
                bytes(ticket, "usage"),
                text(ticket, "total_connections"),
            ]
        })
        .collect();
    let columns = [
        "latest of",
        ">ago",
        ">epoch",
        ">pays for",
        ">used",
        ">ports",
    ];
    table(&columns, &rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use serde_json::json;

    #[test]
    fn sums_and_latest_are_tables_and_none_is_said_in_words() {
        assert_eq!(sums(&json!({})), ["no tickets are held"]);
        let fleet = "0x00000000000000000000000000000000000000f1";
        let tickets = json!({
            "epochs": [
                {"epoch": 694, "fleet": fleet, "count": 2, "bytes": 5_000_000, "connections": 3, "score": 5_003_072},
                {"epoch": 694, "fleet": null, "count": 1, "bytes": 7, "connections": 0, "score": 7},
            ],
            "latest": [{"device": fleet, "fleet": fleet, "epoch": 694, "total_bytes": 4_000_000,
                "total_connections": 2, "usage": 0, "at": 880}],
        });
        let told = sums(&tickets);
        assert!(told[1].ends_with("2   5.0 MB      3  5003072"), "{told:#?}");
        assert!(told[2].contains("all others"), "{told:#?}");
        let told = latest(&tickets, 5, 1000);
        assert!(
            told[1].starts_with(fleet) && told[1].contains("2 min"),
            "{told:#?}"
        );
    }
}
