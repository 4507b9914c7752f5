//! JSON-RPC 2.0 over a [`NodeView`], without I/O.
//!
//! The HTTP status is 200 whenever the exchange of HTTP itself was right: what
//! the call came to is said by its result or its error object. 204 when nothing
//! asked for an answer.
//!
//! Methods that are answered from memory are answered on the spot. Where one needs the
//! chain or the disk, the answer to its POST is a future ([`Pending`]); the calls of a
//! batch wait side by side.

use super::asker::Asker;
use super::call::{Call, Id, Posted};
use super::config;
use super::fault::{Asked, RpcFault};
use super::limits::MAX_RESULTS;
use super::methods::{self, params, Run};
use super::pending::{Pending, Reply, Waiting};
use super::redact;
use super::reply::{error_body, Answer, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR};
use super::view::NodeView;
use crate::parts;
use serde::Serialize;
use serde_json::Value;

/// What a POST comes to.
pub(super) enum Outcome {
    /// An answer.
    Now(Answer),
    /// An answer to come.
    Later(Pending),
}

/// Answers the body of a POST.
pub(super) fn answer(body: &[u8], view: &dyn NodeView, asker: Asker) -> Outcome {
    // Texts that are skipped are not checked by the JSON reader, so the whole is checked here.
    let posted = match std::str::from_utf8(body) {
        Ok(text) => serde_json::from_str::<Posted<'_>>(text).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let mut session = Session {
        view,
        asker,
        seen: Vec::new(),
        params: 0,
        results: 0,
        replies: Vec::new(),
    };
    let batch = match posted {
        Ok(Posted::Single(call)) => {
            session.run(&call);
            false
        }
        Ok(Posted::Batch(calls)) => {
            calls.iter().for_each(|call| session.run(call));
            true
        }
        Ok(Posted::Refused(why)) => return refused(INVALID_REQUEST, why),
        Err(why) => return refused(PARSE_ERROR, &format!("the body is not JSON: {why}")),
    };
    Pending::new(batch, session.replies).outcome()
}

fn refused(code: i32, why: &str) -> Outcome {
    Outcome::Now(Answer::json(200, error_body(code, why)))
}

/// One POST: what its calls share.
struct Session<'a> {
    view: &'a dyn NodeView,
    asker: Asker,
    /// Results of methods without parameters: read of the node once, so that a batch costs
    /// and says the same throughout.
    seen: Vec<(&'static str, Vec<u8>)>,
    /// Bytes of parameters of which values were made.
    params: usize,
    /// Bytes of results.
    results: usize,
    replies: Vec<Reply>,
}

/// What a method came to.
enum Answered {
    /// Its result as JSON.
    Text(Vec<u8>),
    /// A result to come, and what is not shortened in it, if anything is.
    Later(Asked, Option<Vec<String>>),
}

impl Session<'_> {
    fn run(&mut self, call: &Call<'_>) {
        let reply = match call {
            Call::Invalid { id, why } => {
                Reply::Done(failure(id, &RpcFault::new(INVALID_REQUEST, *why)))
            }
            // A notification: what has no effect is not even looked up, and nothing may be answered.
            Call::Valid {
                id: None,
                method,
                params,
            } => {
                if methods::find(method).is_some_and(|method| method.writes) {
                    let _ = self.counted(method, *params);
                }
                return;
            }
            Call::Valid {
                id: Some(id),
                method,
                params,
            } => match self.counted(method, *params) {
                Ok(Answered::Text(text)) => Reply::Done(success(id, &text)),
                Ok(Answered::Later(asked, names)) => Reply::Wait(Waiting {
                    id: id.clone(),
                    asked,
                    names,
                }),
                Err(fault) => Reply::Done(failure(id, &fault)),
            },
        };
        self.replies.push(reply);
    }

    /// [`Session::call`], counted when its result is there.
    fn counted(&mut self, name: &str, params: Option<&str>) -> Result<Answered, RpcFault> {
        let calls = self.view.calls();
        match self.call(name, params) {
            Ok(Answered::Later(asked, names)) => {
                let name = methods::find(name).map_or("", |method| method.name);
                let counted = async move {
                    let result = asked.await;
                    calls.called(name, result.is_ok());
                    result
                };
                Ok(Answered::Later(Box::pin(counted), names))
            }
            answered => {
                calls.called(name, answered.is_ok());
                answered
            }
        }
    }

    fn call(&mut self, name: &str, params: Option<&str>) -> Result<Answered, RpcFault> {
        let method = methods::find(name).ok_or_else(|| {
            let missing = parts::missing_for_method(name);
            let why = missing.map_or(
                "no such method; rpc_discover tells which there are",
                |part| part.absent,
            );
            RpcFault::new(METHOD_NOT_FOUND, why)
        })?;
        if self.results > MAX_RESULTS {
            return Err(too_long());
        }
        if method.writes {
            self.asker.may_write().map_err(config::forbidden)?;
        }
        if matches!(method.run, Run::Operator(_)) {
            self.asker.may_look().map_err(config::forbidden)?;
        }
        let params = params::read(method, params, &mut self.params)?;
        let shortened = !self.asker.sees_all() && !method.public;
        let names = shortened.then(|| self.view.names());
        let run = match method.run {
            Run::Later => return Ok(Answered::Later(self.view.ask(method.name, params), names)),
            Run::Now(run) | Run::Operator(run) => run,
        };
        let always_same = method.params.is_empty() && !method.writes;
        let seen = self.seen.iter().find(|(seen, _)| *seen == method.name);
        let text = match seen.filter(|_| always_same) {
            Some((_, text)) => text.clone(),
            None => {
                let text = run(self.view, &params)?;
                let text = redact::shorten(text, names.as_deref());
                if always_same {
                    self.seen.push((method.name, text.clone()));
                }
                text
            }
        };
        self.results += text.len();
        Ok(Answered::Text(text))
    }
}

/// Says why one more result is left out.
pub(super) fn too_long() -> RpcFault {
    RpcFault::unavailable("the answer is too long; split the batch")
}

/// The answer to a call that went well, around the JSON text of its result.
pub(super) fn success(id: &Id, result: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(result.len() + 64);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"result\":");
    out.extend_from_slice(result);
    end(out, id)
}

/// The answer to a call that did not.
pub(super) fn failure(id: &Id, fault: &RpcFault) -> Vec<u8> {
    #[derive(Serialize)]
    struct ErrorObject<'a> {
        code: i32,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a Value>,
    }
    let error = ErrorObject {
        code: fault.code,
        message: &fault.text,
        data: fault.data.as_ref(),
    };
    let mut out = b"{\"jsonrpc\":\"2.0\",\"error\":".to_vec();
    put(&mut out, &error);
    end(out, id)
}

fn end(mut out: Vec<u8>, id: &Id) -> Vec<u8> {
    out.extend_from_slice(b",\"id\":");
    put(&mut out, id);
    out.push(b'}');
    out
}

fn put(out: &mut Vec<u8>, value: &impl Serialize) {
    let before = out.len();
    // These types always serialise; were one not to, half of it must not stay.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(before);
        out.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::super::view::fake::Fake;
    use super::*;
    use proptest::prelude::*;
    use serde_json::{json, Value};

    /// Answers at once, as a program on this machine is answered.
    fn now(body: &[u8], view: &dyn NodeView) -> Answer {
        let asker = Asker {
            loopback: true,
            ..Asker::default()
        };
        match answer(body, view, asker) {
            Outcome::Now(answer) => answer,
            Outcome::Later(pending) => smol::block_on(pending),
        }
    }

    fn ask(body: &str) -> Value {
        let answer = now(body.as_bytes(), &Fake);
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
                r#"{"jsonrpc":"2.0","method":"fleet_statuses","id":-3}"#,
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
            let answer = now(body.as_bytes(), &Fake);
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
        let call = r#"{"jsonrpc":"2.0","method":"session_list","id":1}"#;
        let body = format!("[{}]", vec![call; 100].join(","));
        let answer = now(body.as_bytes(), &Fake);
        assert!(answer.body.len() < super::super::limits::MAX_ANSWER);
        let list: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(list.len(), 100);
        assert_eq!(list[0]["result"].as_array().unwrap().len(), 256);
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
        let answer = now(body, &Fake);
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
            let answer = now(&body, &Fake);
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
