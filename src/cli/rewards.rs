//! `chr-node rewards`: what a running node has earned.

use super::args::RpcArgs;
use super::rpc::Endpoint;
use super::told::{bytes, clean, date, list, number, real, said, table, text, UNKNOWN};
use super::{print, Failure};
use serde_json::Value;

/// Asks the node and prints it.
///
/// # Errors
/// No node is there, or it does not answer.
pub fn execute(args: &RpcArgs) -> Result<(), Failure> {
    let rewards = Endpoint::find(args, std::env::vars_os())?.call("reward_status")?;
    if args.json {
        return print(&format!("{rewards}\n"));
    }
    let mut lines = summary(&rewards);
    if !list(&rewards, "history").is_empty() {
        lines.push(String::new());
        lines.extend(history(&rewards, usize::MAX));
    }
    lines.push(String::new());
    print(&lines.join("\n"))
}

/// A time as date, by a path.
fn when(value: &Value, path: &str) -> String {
    number(value, path).map_or_else(|| UNKNOWN.to_owned(), date)
}

/// Tokens, if any are claimed.
fn tokens(value: &Value, path: &str) -> String {
    said(value, path).map_or_else(|| UNKNOWN.to_owned(), |amount| format!("{amount} tokens"))
}

/// The running period, what is pending and what is to be expected.
pub(super) fn summary(rewards: &Value) -> Vec<String> {
    let mut lines = vec![
        format!(
            "period   {} to {} UTC",
            when(rewards, "period_start"),
            when(rewards, "period_end")
        ),
        format!(
            "scores   uptime {}, performance {}",
            real(rewards, "uptime_score", 4, ""),
            real(rewards, "performance_score", 3, "")
        ),
        format!(
            "tickets  {} new, for {}, worth {}",
            text(rewards, "tickets.count"),
            bytes(rewards, "tickets.bytes"),
            text(rewards, "tickets.value")
        ),
        format!(
            "earned   {} in this period, {} pending",
            tokens(rewards, "chr_tokens_earned"),
            tokens(rewards, "pending")
        ),
    ];
    if said(rewards, "projected.day").is_some() {
        lines.push(format!(
            "expected {} a day, {} in 30 days, at the present pace",
            tokens(rewards, "projected.day"),
            tokens(rewards, "projected.month")
        ));
    }
    let rate = |path: &str, unit: &str| {
        said(rewards, path).map(|rate| format!("{rate} tokens for each {unit}"))
    };
    let rates = [
        rate("rates.gigabyte", "gigabyte of ticket value"),
        rate("rates.hour", "hour"),
    ];
    let rates: Vec<String> = rates.into_iter().flatten().collect();
    if !rates.is_empty() {
        lines.push(format!("rates    {}", rates.join(", ")));
    }
    if let Some(threshold) = said(rewards, "payout_threshold") {
        let reached = match rewards.get("payout_reached") {
            Some(Value::Bool(true)) => ", which is reached",
            _ => "",
        };
        lines.push(format!("payout   from {threshold} tokens on{reached}"));
    }
    if let Some(address) = said(rewards, "address") {
        lines.push(format!("to       {address}"));
    }
    for note in list(rewards, "notes") {
        let note = note.as_str().unwrap_or_default();
        lines.push(format!("note     {}", clean(note)));
    }
    lines
}

/// The periods before.
pub(super) fn history(rewards: &Value, most: usize) -> Vec<String> {
    let rows: Vec<Vec<String>> = list(rewards, "history")
        .iter()
        .take(most)
        .map(|row| {
            vec![
                when(row, "period_start"),
                real(row, "uptime_score", 4, ""),
                real(row, "performance_score", 3, ""),
                text(row, "tickets.count"),
                bytes(row, "tickets.bytes"),
                text(row, "tickets.value"),
                text(row, "chr_tokens_earned"),
            ]
        })
        .collect();
    let columns = [
        "from (UTC)",
        ">uptime",
        ">perform.",
        ">tickets",
        ">for",
        ">worth",
        ">tokens",
    ];
    table(&columns, &rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use serde_json::json;

    #[test]
    fn without_rates_no_tokens_are_shown_and_the_note_is() {
        let rewards = json!({
            "address": null, "period_start": 1_800_057_600, "period_end": 1_800_061_200,
            "uptime_score": 1.0, "performance_score": null, "chr_tokens_earned": null,
            "tickets": {"count": 1, "bytes": 4_000_000, "value": 4_001_024}, "pending": null,
            "history": [], "rates": null, "notes": ["no rates are set"],
        });
        let told = summary(&rewards).join("\n");
        assert!(
            told.contains("2027-01-16 00:00 to 2027-01-16 01:00 UTC"),
            "{told}"
        );
        assert!(told.contains("1 new, for 4.0 MB, worth 4001024"), "{told}");
        assert!(
            told.contains("earned   - in this period, - pending"),
            "{told}"
        );
        assert!(told.contains("note     no rates are set"), "{told}");
        assert!(
            !told.contains("tokens") && !told.contains("expected"),
            "{told}"
        );
    }

    #[test]
    fn what_is_earned_is_shown_as_the_node_tells_it() {
        let rewards = json!({
            "chr_tokens_earned": "0.012", "pending": "12.6348152", "payout_threshold": "10",
            "payout_reached": true, "rates": {"gigabyte": "0.5", "hour": null},
            "projected": {"day": "0.288", "month": "8.64", "seconds": 86_400},
            "history": [{"period_start": 1_800_057_600, "period_end": 1_800_061_200,
                "uptime_score": 0.5, "performance_score": 0.9, "chr_tokens_earned": "0.0108",
                "tickets": {"count": 0, "bytes": 0, "value": 0}}],
        });
        let told = summary(&rewards).join("\n");
        for wanted in [
            "0.012 tokens in this period, 12.6348152 tokens pending",
            "0.288 tokens a day, 8.64 tokens in 30 days",
            "rates    0.5 tokens for each gigabyte of ticket value",
            "payout   from 10 tokens on, which is reached",
        ] {
            assert!(told.contains(wanted), "{wanted} in {told}");
        }
        let told = history(&rewards, 9);
        assert!(told[1].ends_with("0.0108"), "{told:#?}");
    }
}
