//! What is earned by what, and how it is told.

use super::node_with;
use crate::common::tools::until;
use crate::common::*;
use serde_json::Value;

const ADDRESS: &str = "0x00000000000000000000000000000000000000dd";

/// `reward_status` once the node knows its period.
fn status(settings: &[(&str, &str)]) -> Value {
    let (_home, node) = node_with(settings);
    until(SOON, "a reward period", || {
        let status = node.ask("reward_status");
        status["period_start"].is_u64().then_some(status)
    })
}

pub fn address() {
    assert_eq!(status(&[])["address"], Value::Null);
    assert_eq!(status(&[("REWARD_ADDRESS", ADDRESS)])["address"], ADDRESS);
}

pub fn period() {
    let status = status(&[("CHR_REWARDS__PERIOD", "20m")]);
    let end = status["period_end"].as_u64().unwrap();
    assert_eq!(end % 1200, 0, "{status}");
    let length = end - status["period_start"].as_u64().unwrap();
    assert!((1..=1200).contains(&length), "{status}");
}

pub fn rates() {
    let none = status(&[]);
    assert_eq!(none["chr_tokens_earned"], Value::Null);
    assert_eq!(none["rates"], Value::Null);
    assert!(none["notes"].to_string().contains("rewards.rates"));
    let some = status(&[("CHR_REWARDS__RATES", "gigabyte=0.50, hour=3")]);
    assert_eq!(some["rates"]["gigabyte"], "0.5");
    assert_eq!(some["rates"]["hour"], "3");
    assert!(some["chr_tokens_earned"].is_string(), "{some}");
}

pub fn payout_threshold() {
    let rates = ("CHR_REWARDS__RATES", "hour=3600");
    let threshold = |tokens| status(&[rates, ("CHR_REWARDS__PAYOUT_THRESHOLD", tokens)]);
    let far = threshold("1000000");
    assert_eq!(far["payout_threshold"], "1000000");
    assert_eq!(far["payout_reached"], false);
    assert_eq!(threshold("0")["payout_reached"], true);
}
