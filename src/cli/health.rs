//! `chr-node health`: whether a running node is well, for people and scripts.

use super::args::RpcArgs;
use super::rpc::Endpoint;
use super::told::{list, number, said, span, table, text};
use super::{print, Failure};
use serde_json::Value;

/// Asks the node and prints what it says.
///
/// # Errors
/// It is failing, or no node answers.
pub fn execute(args: &RpcArgs) -> Result<(), Failure> {
    let health = Endpoint::find(args, std::env::vars_os())?.health()?;
    if args.json {
        print(&format!("{health}\n"))?;
    } else {
        print(&(lines(&health).join("\n") + "\n"))?;
    }
    match said(&health, "status").as_deref() {
        Some("ok" | "degraded") => Ok(()),
        _ => Err(Failure::Failed(format!(
            "the node is {}",
            text(&health, "status")
        ))),
    }
}

/// The status, the layers, and what is wrong.
fn lines(health: &Value) -> Vec<String> {
    let mut lines = vec![text(health, "status")];
    let layers: Vec<Vec<String>> = list(health, "layers")
        .iter()
        .map(|layer| {
            let seconds = number(layer, "seconds");
            let long = seconds.map_or_else(String::new, |seconds| format!("for {}", span(seconds)));
            vec![text(layer, "layer"), text(layer, "state"), long]
        })
        .collect();
    if !layers.is_empty() {
        lines.push(String::new());
        lines.extend(table(&["layer", "state", "since"], &layers));
    }
    let reasons = reasons(health);
    if !reasons.is_empty() {
        lines.push(String::new());
        lines.extend(reasons);
    }
    lines
}

/// What is wrong and what to do, two lines each.
pub(super) fn reasons(health: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for reason in list(health, "reasons") {
        lines.push(format!(
            "{} {}: {}",
            text(reason, "layer"),
            text(reason, "state"),
            text(reason, "reason")
        ));
        if let Some(remedy) = said(reason, "remedy") {
            lines.push(format!("  -> {remedy}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_stands_with_its_remedy() {
        let health = json!({"status": "degraded",
            "layers": [{"layer": "storage", "state": "degraded", "since": null, "seconds": 7_300}],
            "reasons": [{"layer": "storage", "state": "degraded", "reason": "the disk is full",
                "remedy": "free space"}]});
        let told = lines(&health);
        assert_eq!(told[0], "degraded");
        assert!(
            told.contains(&"storage  degraded  for 2 h".to_owned()),
            "{told:#?}"
        );
        assert_eq!(told[told.len() - 2], "storage degraded: the disk is full");
        assert_eq!(told[told.len() - 1], "  -> free space");
        // A node of an older version has no layers.
        assert_eq!(lines(&json!({"status": "ok", "reasons": []})), ["ok"]);
    }
}
