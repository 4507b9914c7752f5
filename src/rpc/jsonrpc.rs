//! JSON-RPC 2.0 over a [`NodeView`], without I/O.
//!
//! The HTTP status is 200 whenever the exchange of HTTP itself was right: what
//! the call came to is said by its result or its error object. 204 when nothing
//! asked for an answer.

use serde::Serialize;

use super::call::{Call, Id, Posted};
use super::limits::MAX_RESULTS;
use super::network::{NetworkStats, PeerInfo};
use super::reply::{
    error_body, Answer, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR, UNAVAILABLE,
};
use super::view::{NodeInfo, NodeView};

/// What can be asked.
const METHODS: [&str; 3] = ["chr_node_info", "peer_list", "network_stats"];

/// Answers the body of a POST.
pub(super) fn answer(body: &[u8], view: &dyn NodeView) -> Answer {
    // Texts that are skipped are not checked by the JSON reader, so the whole is checked here.
    let posted = match std::str::from_utf8(body) {
        Ok(text) => serde_json::from_str::<Posted>(text).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let mut session = Session {
        view,
        seen: Seen::default(),
        out: Vec::new(),
    };
    let body = match posted {
        Ok(Posted::Single(call)) => {
            session.run(&call);
            session.out
        }
        Ok(Posted::Batch(calls)) => {
            session.out.push(b'[');
            for call in &calls {
                session.run(call);
            }
            // Only notifications: no empty list may be returned.
            if session.out.len() > 1 {
                session.out.push(b']');
                session.out
            } else {
                Vec::new()
            }
        }
        Ok(Posted::Refused(why)) => error_body(INVALID_REQUEST, why),
        Err(why) => error_body(PARSE_ERROR, &format!("the body is not JSON: {why}")),
    };
    let status = if body.is_empty() { 204 } else { 200 };
    Answer { status, body }
}

/// One POST: what its calls share.
struct Session<'a> {
    view: &'a dyn NodeView,
    seen: Seen,
    out: Vec<u8>,
}

/// What was read of the node for this POST: once, so that a batch costs and
/// says the same throughout.
#[derive(Default)]
struct Seen {
    info: Option<NodeInfo>,
    peers: Option<Vec<PeerInfo>>,
    network: Option<NetworkStats>,
}

impl Seen {
    fn info(&mut self, view: &dyn NodeView) -> &NodeInfo {
        self.info.get_or_insert_with(|| view.info())
    }

    fn peers(&mut self, view: &dyn NodeView) -> &[PeerInfo] {
        self.peers.get_or_insert_with(|| view.peers())
    }

    fn network(&mut self, view: &dyn NodeView) -> &NetworkStats {
        self.network.get_or_insert_with(|| view.network())
    }
}

#[derive(Serialize)]
struct Success<'a, T: ?Sized> {
    jsonrpc: &'static str,
    result: &'a T,
    id: &'a Id,
}

#[derive(Serialize)]
struct Failure<'a> {
    jsonrpc: &'static str,
    error: ErrorObject<'a>,
    id: &'a Id,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    code: i32,
    message: &'a str,
}

impl Session<'_> {
    fn run(&mut self, call: &Call) {
        match call {
            Call::Invalid { id, why } => self.fail(id, INVALID_REQUEST, why),
            // A notification: nothing here has an effect, and nothing may be answered.
            Call::Valid { id: None, .. } => {}
            Call::Valid {
                id: Some(id),
                method,
                has_params,
            } => {
                if !METHODS.contains(&method.as_str()) {
                    let text = format!("no such method; this node answers {}", METHODS.join(", "));
                    return self.fail(id, METHOD_NOT_FOUND, &text);
                }
                if self.out.len() > MAX_RESULTS {
                    return self.fail(id, UNAVAILABLE, "the answer is too long; split the batch");
                }
                if *has_params {
                    let text = format!("{method} takes no parameters");
                    return self.fail(id, INVALID_PARAMS, &text);
                }
                match method.as_str() {
                    "peer_list" => {
                        let peers = self.seen.peers(self.view);
                        succeed(&mut self.out, peers, id);
                    }
                    "network_stats" => {
                        let stats = self.seen.network(self.view);
                        succeed(&mut self.out, stats, id);
                    }
                    _ => {
                        let info = self.seen.info(self.view);
                        succeed(&mut self.out, info, id);
                    }
                }
            }
        }
    }

    fn fail(&mut self, id: &Id, code: i32, message: &str) {
        let failure = Failure {
            jsonrpc: "2.0",
            error: ErrorObject { code, message },
            id,
        };
        put(&mut self.out, &failure);
    }
}

fn succeed(out: &mut Vec<u8>, result: &(impl Serialize + ?Sized), id: &Id) {
    let jsonrpc = "2.0";
    put(
        out,
        &Success {
            jsonrpc,
            result,
            id,
        },
    );
}

/// Appends one answer, after a comma where it is not the first of a list.
fn put(out: &mut Vec<u8>, value: &impl Serialize) {
    let before = out.len();
    if before > 1 {
        out.push(b',');
    }
    // These types always serialise; were one not to, half an answer must not stay.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(before);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::super::view::fake::Fake;
    use super::*;
    use proptest::prelude::*;
    use serde_json::{json, Value};

    fn ask(body: &str) -> Value {
        let answer = answer(body.as_bytes(), &Fake);
        assert_eq!(answer.status, 200, "{body}");
        serde_json::from_slice(&answer.body).unwrap()
    }

    fn code(body: &str) -> (i64, Value) {
        let answer = ask(body);
        assert!(answer.get("result").is_none(), "{body}");
        (
            answer["error"]["code"].as_i64().unwrap(),
            answer["id"].clone(),
        )
    }

    #[test]
    fn every_field_is_there_and_null_where_unknown() {
        let answer = ask(r#"{"jsonrpc":"2.0","method":"chr_node_info","id":"a"}"#);
        assert_eq!(answer["id"], "a");
        assert_eq!(
            answer["result"],
            json!({
                "node_id": "0x00", "name": null, "version": "0.1.0", "uptime_seconds": 5,
                "profile": null, "edge_ports": [41046], "peer_port": null, "public_address": null,
                "devices": 0, "peers": null, "epoch": null, "clock_trusted": null, "health": "ok",
            })
        );
    }

    #[test]
    fn what_the_node_knows_of_the_network_leaves_no_field_out() {
        let ask = |method: &str| {
            let body = format!(r#"{{"jsonrpc":"2.0","method":"{method}","id":1}}"#);
            ask(&body)["result"].clone()
        };
        assert_eq!(
            ask("peer_list"),
            json!([{
                "node_id": "0x01", "address": null, "connected": false, "direction": null,
                "first_seen": null, "last_seen": null, "connection_count": 0,
                "reliability_score": null, "rtt_ms": null, "bytes_in": 0, "bytes_out": 0,
            }])
        );
        assert_eq!(
            ask("network_stats"),
            json!({
                "connections": 0, "devices": 0, "peers": null, "ports_open": 0,
                "bandwidth_in": null, "bandwidth_out": null, "bytes_in": 0, "bytes_out": 0,
                "latency_ms": null, "errors": {}, "memory_bytes": null, "cpu_percent": null,
                "cache": null, "dht": null, "history": null,
            })
        );
    }

    #[test]
    fn what_is_no_call_is_told_so_with_the_id_it_had() {
        let id = |body| code(body);
        for (body, want) in [
            ("", (-32700, Value::Null)),
            ("{", (-32700, Value::Null)),
            ("[1", (-32700, Value::Null)),
            ("{} {}", (-32700, Value::Null)),
            ("nul", (-32700, Value::Null)),
            ("{\"a\":\"\u{1}\"}", (-32700, Value::Null)),
            ("null", (-32600, Value::Null)),
            ("7", (-32600, Value::Null)),
            ("\"x\"", (-32600, Value::Null)),
            ("{}", (-32600, Value::Null)),
            ("[]", (-32600, Value::Null)),
            (r#"{"method":"chr_node_info","id":1}"#, (-32600, json!(1))),
            (
                r#"{"jsonrpc":"1.0","method":"chr_node_info","id":1}"#,
                (-32600, json!(1)),
            ),
            (
                r#"{"jsonrpc":2.0,"method":"chr_node_info","id":1}"#,
                (-32600, json!(1)),
            ),
            (
                r#"{"jsonrpc":"2.0","method":1,"params":"bar"}"#,
                (-32600, Value::Null),
            ),
            (r#"{"jsonrpc":"2.0","id":"x"}"#, (-32600, json!("x"))),
            (
                r#"{"jsonrpc":"2.0","method":"chr_node_info","id":true}"#,
                (-32600, Value::Null),
            ),
            (
                r#"{"jsonrpc":"2.0","method":"chr_node_info","id":[1]}"#,
                (-32600, Value::Null),
            ),
            (
                r#"{"jsonrpc":"2.0","method":"chr_node_info","id":{}}"#,
                (-32600, Value::Null),
            ),
            (
                r#"{"jsonrpc":"2.0","method":"chr_node_info","params":"x","id":2}"#,
                (-32600, json!(2)),
            ),
            (
                r#"{"jsonrpc":"2.0","method":"chr_node_info","method":"x","id":2}"#,
                (-32600, Value::Null),
            ),
            (
                r#"{"jsonrpc":"2.0","method":"fleet_status","id":-3}"#,
                (-32601, json!(-3)),
            ),
            (
                r#"{"jsonrpc":"2.0","method":"chr_node_info","params":[1],"id":null}"#,
                (-32602, Value::Null),
            ),
            (
                r#"{"jsonrpc":"2.0","method":"chr_node_info","params":{"a":1},"id":1.5}"#,
                (-32602, json!(1.5)),
            ),
        ] {
            assert_eq!(id(body), want, "{body}");
        }
    }

    #[test]
    fn an_id_of_a_megabyte_is_not_echoed() {
        let body = format!(
            r#"{{"jsonrpc":"2.0","method":"chr_node_info","id":"{}"}}"#,
            "x".repeat(1_000_000)
        );
        assert_eq!(code(&body), (-32600, Value::Null));
        let name = format!(
            r#"{{"jsonrpc":"2.0","method":"{}","id":1}}"#,
            "x".repeat(1_000_000)
        );
        assert_eq!(code(&name), (-32601, json!(1)));
    }

    #[test]
    fn empty_parameters_are_none() {
        for params in ["[]", "{}", "null"] {
            let body =
                format!(r#"{{"jsonrpc":"2.0","method":"chr_node_info","params":{params},"id":1}}"#);
            assert!(ask(&body).get("result").is_some(), "{params}");
        }
    }

    #[test]
    fn notifications_get_no_answer() {
        let quiet = r#"{"jsonrpc":"2.0","method":"chr_node_info"}"#;
        for body in [
            quiet.to_owned(),
            r#"{"jsonrpc":"2.0","method":"nonsense"}"#.to_owned(),
            format!("[{quiet},{quiet}]"),
        ] {
            let answer = answer(body.as_bytes(), &Fake);
            assert_eq!((answer.status, answer.body.len()), (204, 0), "{body}");
        }
    }

    #[test]
    fn a_mixed_batch_answers_each_call_that_wants_it() {
        let answer = ask(
            r#"[{"jsonrpc":"2.0","method":"chr_node_info","id":1},{"jsonrpc":"2.0","method":"x"},[[]],3,
                {"jsonrpc":"2.0","method":"x","id":"4"}]"#,
        );
        let list = answer.as_array().unwrap();
        assert_eq!(list.len(), 4);
        assert_eq!(list[0]["id"], 1);
        assert_eq!(list[1]["error"]["code"], -32600);
        assert_eq!(list[2]["error"]["code"], -32600);
        assert_eq!(list[3]["error"]["code"], -32601);
    }

    #[test]
    fn a_batch_is_bounded() {
        let call = r#"{"jsonrpc":"2.0","method":"chr_node_info","id":1}"#;
        let of = |n: usize| format!("[{}]", vec![call; n].join(","));
        assert_eq!(ask(&of(100)).as_array().unwrap().len(), 100);
        assert_eq!(code(&of(101)), (-32600, Value::Null));
    }

    #[test]
    fn a_batch_of_long_lists_does_not_outgrow_the_worker() {
        struct Crowd;
        impl NodeView for Crowd {
            fn info(&self) -> NodeInfo {
                Fake.info()
            }
            fn health(&self) -> super::super::view::Health {
                Fake.health()
            }
            fn ready(&self) -> bool {
                true
            }
            fn peers(&self) -> Vec<PeerInfo> {
                vec![Fake.peers().remove(0); 1000]
            }
            fn events(&self) -> std::sync::Arc<crate::rpc::events::Hub> {
                Fake.events()
            }
            fn device(&self) -> crate::rpc::DeviceInfo {
                Fake.device()
            }
            fn rewards(&self) -> crate::rpc::RewardStatus {
                Fake.rewards()
            }
            fn tickets(&self) -> crate::rpc::TicketList {
                Fake.tickets()
            }
            fn network(&self) -> NetworkStats {
                Fake.network()
            }
        }
        let call = r#"{"jsonrpc":"2.0","method":"peer_list","id":1}"#;
        let body = format!("[{}]", vec![call; 100].join(","));
        let answer = answer(body.as_bytes(), &Crowd);
        assert!(answer.body.len() < super::super::limits::MAX_ANSWER);
        let list: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(list.len(), 100);
        assert_eq!(list[0]["result"].as_array().unwrap().len(), 1000);
        assert!(list[99]["error"]["message"].to_string().contains("split"));
    }

    #[test]
    fn depth_does_not_overflow_the_stack() {
        let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
        let answer = ask(&deep);
        assert_eq!(answer[0]["error"]["code"], -32600);
        let body = format!(r#"{{"jsonrpc":"2.0","method":"x","params":{deep},"id":1}}"#);
        assert_eq!(code(&body), (-32601, json!(1)));
        assert_eq!(code(&"[".repeat(1_000_000)), (-32700, Value::Null));
        assert_eq!(code(&"{\"a\":".repeat(100_000)), (-32700, Value::Null));
    }

    #[test]
    fn bad_utf8_in_a_skipped_text_is_still_an_error() {
        let body = b"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":[\"\xff\"],\"id\":1}";
        let answer = answer(body, &Fake);
        assert!(String::from_utf8(answer.body).unwrap().contains("-32700"));
    }

    proptest! {
        #[test]
        fn whatever_comes_the_answer_is_json_rpc(
            body in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                "[\\[\\]{}\",:0-9a-z ]{0,80}".prop_map(String::into_bytes),
                proptest::collection::vec(
                    prop_oneof![
                        Just("\"jsonrpc\":\"2.0\""), Just("\"id\":1"), Just("\"id\":null"),
                        Just("\"method\":\"chr_node_info\""), Just("\"method\":[]"), Just("\"params\":[{}]"),
                    ], 0..5).prop_map(|members| format!("{{{}}}", members.join(",")).into_bytes()),
            ],
        ) {
            let answer = answer(&body, &Fake);
            if answer.status == 204 {
                prop_assert!(answer.body.is_empty());
            } else {
                let value: Value = serde_json::from_slice(&answer.body).unwrap();
                let list = value.as_array().cloned().unwrap_or_else(|| vec![value]);
                prop_assert!(!list.is_empty());
                for one in list {
                    prop_assert_eq!(&one["jsonrpc"], "2.0");
                    prop_assert!(one.get("result").is_some() != one.get("error").is_some());
                    prop_assert!(one.get("id").is_some());
                }
            }
        }
    }
}
