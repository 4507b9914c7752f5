//! What may be asked of the chain, and under which key its answers are kept. No
//! I/O.
//!
//! A key is of one block: `latest` becomes the number of the newest block that
//! this node knows before anything is looked up or sent. So answers of one block
//! never mix with those of the next, and an answer that has outlived its time is
//! still the right one for its block.
//!
//! Kept are blocks, transactions and prices for a minute, what accounts and
//! contracts hold for five. Never kept is `null` (a receipt that is not there yet),
//! a transaction that is in no block, and what is asked at `pending`. Worth a row
//! on the disk is what was asked at a block that the caller named and that lies
//! [`DEEP`] blocks below the newest: no reorganisation reaches it.

use super::params::{block, At, Param};
use crate::cache::{Ask, Kind, MAX_KEY};
use crate::identity::sha256;
use serde_json::Value;

/// Blocks above one that is taken to stay for good.
pub const DEEP: u64 = 64;

/// A method that is passed on.
#[derive(Debug, PartialEq)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    params: &'static [Param],
    kind: Kind,
}

const fn method(name: &'static str, params: &'static [Param], kind: Kind) -> Method {
    Method { name, params, kind }
}

/// All of them. Writing ones are not among them, and none whose answer has no
/// bound (`docs/rpc.md` has the reasons).
pub static METHODS: [Method; 11] = [
    method("eth_gasPrice", &[], Kind::Block),
    method(
        "eth_getBalance",
        &[Param::Address, Param::Block],
        Kind::Contract,
    ),
    method(
        "eth_getCode",
        &[Param::Address, Param::Block],
        Kind::Contract,
    ),
    method(
        "eth_getTransactionCount",
        &[Param::Address, Param::Block],
        Kind::Contract,
    ),
    method(
        "eth_getStorageAt",
        &[Param::Address, Param::Slot, Param::Block],
        Kind::Contract,
    ),
    method("eth_call", &[Param::Call, Param::Block], Kind::Contract),
    method(
        "eth_estimateGas",
        &[Param::Call, Param::Block],
        Kind::Contract,
    ),
    method(
        "eth_getBlockByNumber",
        &[Param::Block, Param::Whole],
        Kind::Block,
    ),
    method(
        "eth_getBlockByHash",
        &[Param::Hash, Param::Whole],
        Kind::Block,
    ),
    method("eth_getTransactionByHash", &[Param::Hash], Kind::Block),
    method("eth_getTransactionReceipt", &[Param::Hash], Kind::Block),
];

/// A question whose parameters are right.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    method: &'static Method,
    params: Vec<Value>,
    block: Option<(usize, At)>,
}

/// One that can be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Ready {
    /// The method.
    pub name: &'static str,
    /// Its parameters: a list.
    pub params: Value,
    /// What the cache knows the answer by.
    pub ask: Ask,
    /// Whether the answer may be kept.
    pub keep: bool,
}

/// Checks a question. `None`: there is no such method here.
///
/// # Errors
/// A parameter is wrong; says which, and what is wanted.
pub fn check(name: &str, params: &[Value]) -> Option<Result<Question, String>> {
    let method = METHODS.iter().find(|method| method.name == name)?;
    Some(method.check(params))
}

impl Method {
    fn check(&'static self, params: &[Value]) -> Result<Question, String> {
        if params.len() > self.params.len() {
            let most = self.params.len();
            return Err(format!(
                "{} takes {most} parameters, not {}",
                self.name,
                params.len()
            ));
        }
        let mut question = Question {
            method: self,
            params: Vec::with_capacity(self.params.len()),
            block: None,
        };
        for (place, param) in self.params.iter().enumerate() {
            let given = params.get(place);
            let checked = param.check(given).map_err(|why| {
                format!(
                    "parameter {} ({}) of {}: {why}",
                    place + 1,
                    param.name(),
                    self.name
                )
            })?;
            if *param == Param::Block {
                question.block = Some((place, block(given)?));
            }
            question.params.push(checked);
        }
        Ok(question)
    }
}

impl Question {
    /// Whether the newest block has to be known before it can be asked. Where the
    /// caller names a block it only tells whether the answer stays true for good.
    #[must_use]
    pub fn needs_head(&self) -> bool {
        let block = self.block.map(|(_, at)| at);
        matches!(block, Some(At::Latest | At::Tag(_)))
    }

    /// Puts the newest block in (0 if it is not known), and finds the key. `chain`
    /// tells chains apart.
    #[must_use]
    pub fn at(mut self, head: u64, chain: &[u8]) -> Ready {
        let (mut lasting, mut keep) = (false, true);
        // What a tag means moves on with the head.
        let mut moves = None;
        if let Some((place, at)) = self.block {
            let text = match at {
                At::Latest => format!("0x{head:x}"),
                At::Number(number) => {
                    lasting =
                        self.method.kind == Kind::Contract && number.saturating_add(DEEP) <= head;
                    format!("0x{number:x}")
                }
                At::Tag(tag) => {
                    keep = tag != "pending";
                    moves = Some(head);
                    tag.to_owned()
                }
            };
            if let Some(param) = self.params.get_mut(place) {
                *param = Value::String(text);
            }
        }
        let params = Value::Array(self.params);
        let text = format!("{}{params}{}", self.method.name, moves.unwrap_or(0));
        let mut name = chain.to_vec();
        if name.len() + text.len() <= MAX_KEY {
            name.extend_from_slice(text.as_bytes());
        } else {
            name.extend_from_slice(&sha256(&[text.as_bytes()]));
        }
        let ask = Ask::new(self.method.kind, &name);
        Ready {
            name: self.method.name,
            params,
            ask: if lasting { ask.lasting() } else { ask },
            keep,
        }
    }
}

impl Ready {
    /// Whether this answer may be given to others later.
    #[must_use]
    pub fn keeps(&self, answer: &Value) -> bool {
        let unmined = answer.get("blockNumber").is_some_and(Value::is_null);
        let of_block = answer.is_object() && answer.get("hash").is_some_and(Value::is_null);
        self.keep && !answer.is_null() && !unmined && !of_block
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const A: &str = "0x00000000000000000000000000000000000000aA";

    fn ask(name: &str, params: Value) -> Result<Ready, String> {
        let params = params.as_array().unwrap().clone();
        let question = check(name, &params).unwrap()?;
        Ok(question.at(1000, b"chain"))
    }

    #[test]
    fn an_answer_of_one_block_is_never_given_for_another() {
        let latest = ask("eth_getBalance", json!([A, "latest"])).unwrap();
        assert_eq!(latest.params, json!([A.to_lowercase(), "0x3e8"]));
        for same in [
            json!([A]),
            json!([A, null]),
            json!([A, "0x3e8"]),
            json!([A, "0x03E8"]),
        ] {
            let same = ask("eth_getBalance", same).unwrap();
            assert_eq!(same, latest);
        }
        let next = check("eth_getBalance", &[json!(A)]).unwrap().unwrap();
        assert_ne!(next.clone().at(1001, b"chain").ask, latest.ask);
        // Nor one of another chain, or for another question.
        assert_ne!(next.at(1000, b"other").ask, latest.ask);
        assert_ne!(ask("eth_getCode", json!([A])).unwrap().ask, latest.ask);
    }

    #[test]
    fn what_a_tag_means_is_asked_anew_with_each_block() {
        let question = |head| {
            let question = check("eth_getCode", &[json!(A), json!("finalized")]);
            question.unwrap().unwrap().at(head, b"")
        };
        assert_eq!(question(5).params, json!([A.to_lowercase(), "finalized"]));
        assert_ne!(question(5).ask, question(6).ask);
        let pending = ask("eth_getTransactionCount", json!([A, "pending"])).unwrap();
        assert!(!pending.keeps(&json!("0x1")));
    }

    #[test]
    fn only_what_lies_deep_is_worth_a_row() {
        let lasting = |at: &str| {
            let ready = ask("eth_call", json!([{"to": A}, at])).unwrap();
            ready.ask == ready.ask.clone().lasting()
        };
        assert!(lasting("0x1") && lasting("0x3a8") && lasting("earliest"));
        assert!(!lasting("0x3a9") && !lasting("latest") && !lasting("safe"));
        let block = ask("eth_getBlockByNumber", json!(["0x1", false])).unwrap();
        assert_ne!(block.ask, block.ask.clone().lasting());
    }

    #[test]
    fn a_receipt_that_is_not_there_yet_is_asked_for_again() {
        let hash = format!("0x{}", "11".repeat(32));
        let receipt = ask("eth_getTransactionReceipt", json!([hash])).unwrap();
        assert!(!receipt.keeps(&Value::Null));
        assert!(receipt.keeps(&json!({"blockNumber": "0x1"})));
        let sent = ask("eth_getTransactionByHash", json!([hash])).unwrap();
        assert!(!sent.keeps(&json!({"blockNumber": null})));
    }

    #[test]
    fn nothing_goes_out_that_is_not_as_the_method_takes_it() {
        let long = format!("0x{}", "00".repeat(super::super::params::DATA_MAX + 1));
        for (name, params, wanted) in [
            ("eth_getBalance", json!([]), "missing"),
            ("eth_getBalance", json!(["0x12"]), "40 hexadecimal"),
            ("eth_getBalance", json!([A, "newest"]), "latest"),
            ("eth_getBalance", json!([A, 5]), "latest"),
            (
                "eth_getBalance",
                json!([A, "0x10000000000000000"]),
                "latest",
            ),
            ("eth_getBalance", json!([A, "latest", 1]), "takes 2"),
            ("eth_getBalance", json!([{"a": 1}]), "40 hexadecimal"),
            ("eth_getStorageAt", json!([A, "0x"]), "quantity"),
            (
                "eth_getBlockByNumber",
                json!(["latest", "yes"]),
                "true or false",
            ),
            ("eth_getBlockByHash", json!([A]), "64 hexadecimal"),
            ("eth_call", json!(["0x"]), "an object"),
            ("eth_call", json!([{"to": A, "data": "0x1"}]), "even number"),
            ("eth_call", json!([{"to": A, "data": long}]), "at most"),
            (
                "eth_call",
                json!([{"to": A, "data": "0x12", "input": "0x34"}]),
                "differ",
            ),
            (
                "eth_call",
                json!([{"to": A, "accessList": []}]),
                "not known",
            ),
            ("eth_call", json!([{"to": A, "gas": "many"}]), "quantity"),
            ("eth_call", json!([{"to": A}, "latest", {}]), "takes 2"),
        ] {
            let error = ask(name, params.clone()).unwrap_err();
            assert!(error.contains(wanted), "{name}{params}: {error}");
            assert!(error.contains(name) && error.len() < 300, "{error}");
        }
        for name in [
            "eth_sendRawTransaction",
            "eth_sign",
            "eth_getLogs",
            "eth_accounts",
            "",
        ] {
            assert_eq!(check(name, &[]), None);
        }
    }

    #[test]
    fn a_long_question_has_a_key_of_its_own() {
        let call = |data: &str| ask("eth_call", json!([{"to": A, "data": data}])).unwrap();
        let long = format!("0x{}", "ab".repeat(500));
        let other = format!("0x{}ac", "ab".repeat(499));
        assert_ne!(call(&long).ask, call(&other).ask);
        assert_eq!(
            call(&long).ask,
            call(&long.to_uppercase().replace("0X", "0x")).ask
        );
    }

    proptest! {
        #[test]
        fn strange_parameters_never_panic(texts in proptest::collection::vec("[0-9a-fx\\-é]{0,70}", 0..4), place in 0usize..11) {
            let params: Vec<Value> = texts.into_iter().map(Value::String).collect();
            let method = METHODS.get(place).unwrap();
            if let Ok(question) = method.check(&params) {
                let _ = question.at(7, b"");
            }
        }
    }
}
