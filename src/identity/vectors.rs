//! Reading docs/vectors.json in tests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::hex;
use serde_json::Value;

/// All vectors of one category.
pub(crate) fn vectors_of(category: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../../docs/vectors.json")).unwrap();
    let list = all["vectors"].as_array().unwrap();
    list.iter()
        .filter(|v| v["category"] == category)
        .cloned()
        .collect()
}

/// The bytes of one input field.
pub(crate) fn input(vector: &Value, field: &str) -> Vec<u8> {
    hex::decode(vector["input"][field].as_str().unwrap()).unwrap()
}

/// The bytes of one expected field.
pub(crate) fn expected(vector: &Value, field: &str) -> Vec<u8> {
    hex::decode(vector["expected"][field].as_str().unwrap()).unwrap()
}
