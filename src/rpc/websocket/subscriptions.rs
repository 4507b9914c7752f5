//! What the client of a WebSocket listens to, without I/O.

use super::super::call::Id;
use super::super::events::sse::no_topic;
use super::super::events::{Event, Topic, Topics};
use super::super::fault::RpcFault;
use super::super::jsonrpc::{failure, success};
use serde_json::Value;

/// Most subscriptions of one WebSocket: a dashboard has one for each of its parts.
const MAX_SUBSCRIPTIONS: usize = 16;

/// How a subscription is told what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `chr_event`.
    Event,
    /// `eth_subscription`, with the block alone.
    Heads,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    number: u64,
    topics: Topics,
    form: Form,
}

/// All subscriptions of one WebSocket.
#[derive(Debug, Default)]
pub struct Subscriptions {
    rows: Vec<Row>,
    last: u64,
}

impl Subscriptions {
    /// What all of them listen to.
    pub fn topics(&self) -> Topics {
        let all = self.rows.iter().map(|row| row.topics);
        all.fold(Topics::default(), Topics::and)
    }

    /// Answers a message that subscribes or ends a subscription; `None`: it is
    /// another call, or none.
    pub fn answer(&mut self, text: &str) -> Option<String> {
        // Most messages are others: they are not read twice.
        if !text.contains("subscribe") {
            return None;
        }
        let Ok(Value::Object(call)) = serde_json::from_str(text) else {
            return None;
        };
        if call.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return None;
        }
        // What cannot be an id is told by those who answer other calls.
        let id = match call.get("id").map(Id::of) {
            Some(None) => return None,
            Some(id) => id,
            None => None,
        };
        let params = call.get("params").unwrap_or(&Value::Null);
        let result = match call.get("method").and_then(Value::as_str)? {
            "chr_subscribe" => self.subscribe(params),
            "eth_subscribe" => self.subscribe_heads(params),
            "chr_unsubscribe" | "eth_unsubscribe" => self.end(params),
            _ => return None,
        };
        let Some(id) = id else {
            // A notification is obeyed and not answered.
            return Some(String::new());
        };
        let answer = match result {
            Ok(value) => success(&id, value.to_string().as_bytes()),
            Err(fault) => failure(&id, &fault),
        };
        String::from_utf8(answer).ok()
    }

    fn subscribe(&mut self, params: &Value) -> Result<Value, RpcFault> {
        let list = match params {
            Value::Null => None,
            // By name, or the list itself as the first parameter.
            Value::Object(named) => named.get("topics"),
            Value::Array(places) => match places.first() {
                Some(Value::Array(_)) => places.first(),
                _ => Some(params),
            },
            _ => return Err(RpcFault::params("topics has to be a list of texts")),
        };
        let mut words = Vec::new();
        match list {
            None => {}
            Some(Value::Array(list)) => {
                for word in list {
                    let text = word.as_str();
                    words.push(text.ok_or_else(|| RpcFault::params("a topic is a text"))?);
                }
            }
            Some(_) => return Err(RpcFault::params("topics has to be a list of texts")),
        }
        let mut topics =
            Topics::parse(words).map_err(|word| RpcFault::params(no_topic(word).text))?;
        if topics.is_empty() {
            topics = Topics::all();
        }
        self.add(topics, Form::Event)
    }

    fn subscribe_heads(&mut self, params: &Value) -> Result<Value, RpcFault> {
        match params.get(0).and_then(Value::as_str) {
            Some("newHeads") => self.add(Topics::default().with(Topic::Block), Form::Heads),
            _ => Err(RpcFault::params(
                "eth_subscribe takes \"newHeads\" alone here; chr_subscribe has the other topics",
            )),
        }
    }

    fn add(&mut self, topics: Topics, form: Form) -> Result<Value, RpcFault> {
        if self.rows.len() >= MAX_SUBSCRIPTIONS {
            return Err(RpcFault::unavailable(format!(
                "a WebSocket has at most {MAX_SUBSCRIPTIONS} subscriptions; end one with chr_unsubscribe"
            )));
        }
        self.last += 1;
        let number = self.last;
        self.rows.push(Row {
            number,
            topics,
            form,
        });
        Ok(Value::String(name(number)))
    }

    fn end(&mut self, params: &Value) -> Result<Value, RpcFault> {
        let by_name = params.get("subscription");
        let wanted = by_name.or_else(|| params.get(0)).and_then(Value::as_str);
        let Some(wanted) = wanted else {
            return Err(RpcFault::params(
                "subscription has to be the text that chr_subscribe gave",
            ));
        };
        let before = self.rows.len();
        self.rows.retain(|row| name(row.number) != wanted);
        Ok(Value::Bool(self.rows.len() < before))
    }

    /// The messages that tell of an event, one for each subscription that listens to
    /// it; `data` is what it says, shortened or not.
    pub fn tell(&self, event: &Event, data: &str) -> Vec<String> {
        let listening = self.rows.iter().filter(|row| row.topics.has(event.topic));
        let message = |row: &Row| {
            let name = name(row.number);
            match row.form {
                Form::Event => format!(
                    "{{\"jsonrpc\":\"2.0\",\"method\":\"chr_event\",\"params\":{{\"subscription\":\"{name}\",\"topic\":\"{}\",\"id\":{},\"time\":{},\"data\":{data}}}}}",
                    event.topic.word(),
                    event.id,
                    event.time,
                ),
                Form::Heads => format!(
                    "{{\"jsonrpc\":\"2.0\",\"method\":\"eth_subscription\",\"params\":{{\"subscription\":\"{name}\",\"result\":{data}}}}}"
                ),
            }
        };
        listening.map(message).collect()
    }
}

fn name(number: u64) -> String {
    format!("0x{number:x}")
}

/// The message that so many events were dropped.
pub fn lost(count: u64) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"chr_lost\",\"params\":{{\"count\":{count}}}}}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::super::events::testing::hub;
    use super::*;

    fn ask(all: &mut Subscriptions, method: &str, params: &str) -> Value {
        let text =
            format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{method}\",\"params\":{params},\"id\":7}}");
        let answer: Value = serde_json::from_str(&all.answer(&text).unwrap()).unwrap();
        assert_eq!(
            (&answer["jsonrpc"], &answer["id"]),
            (&"2.0".into(), &7.into())
        );
        match answer.get("error") {
            Some(error) => error["code"].clone(),
            None => answer["result"].clone(),
        }
    }

    #[test]
    fn a_subscription_is_told_its_topics_until_it_ends() {
        let mut all = Subscriptions::default();
        assert!(all.topics().is_empty());
        assert_eq!(
            ask(&mut all, "chr_subscribe", r#"{"topics":["peer"]}"#),
            "0x1"
        );
        assert_eq!(ask(&mut all, "chr_subscribe", r#"["peer","block"]"#), "0x2");
        assert_eq!(ask(&mut all, "chr_subscribe", r#"[["session"]]"#), "0x3");
        assert_eq!(ask(&mut all, "eth_subscribe", r#"["newHeads"]"#), "0x4");
        let hub = hub();
        hub.publish(Topic::Block, "{\"number\":1}".to_owned());
        let event = hub.recent().remove(0);
        let told: Vec<Value> = all
            .tell(&event, event.data())
            .iter()
            .map(|text| serde_json::from_str(text).unwrap())
            .collect();
        assert_eq!(told.len(), 2);
        assert_eq!(told[0]["method"], "chr_event");
        assert_eq!(
            told[0]["params"],
            serde_json::json!({
                "subscription": "0x2", "topic": "block", "id": 1, "time": 43_200,
                "data": {"number": 1},
            })
        );
        assert_eq!(told[1]["method"], "eth_subscription");
        assert_eq!(told[1]["params"]["result"]["number"], 1);
        assert_eq!(ask(&mut all, "chr_unsubscribe", r#"["0x2"]"#), true);
        assert_eq!(
            ask(&mut all, "chr_unsubscribe", r#"{"subscription":"0x2"}"#),
            false
        );
        assert_eq!(ask(&mut all, "eth_unsubscribe", r#"["0x4"]"#), true);
        assert!(all.tell(&event, event.data()).is_empty());
        assert!(!all.topics().has(Topic::Block) && all.topics().has(Topic::Session));
    }

    #[test]
    fn what_is_no_subscription_is_left_to_others_or_refused() {
        let mut all = Subscriptions::default();
        for other in [
            "",
            "subscribe",
            "{\"jsonrpc\":\"2.0\",\"method\":\"chr_node_info\",\"id\":1}",
            "[{\"jsonrpc\":\"2.0\",\"method\":\"chr_subscribe\",\"id\":1}]",
            "{\"method\":\"chr_subscribe\",\"id\":1}",
            "{\"jsonrpc\":\"2.0\",\"method\":\"chr_subscribe\",\"id\":[1]}",
        ] {
            assert_eq!(all.answer(other), None, "{other}");
        }
        let mut all = Subscriptions::default();
        for params in [
            "\"peer\"",
            "[1]",
            "{\"topics\":\"peer\"}",
            "[\"weather\"]",
            "7",
        ] {
            assert_eq!(ask(&mut all, "chr_subscribe", params), -32602, "{params}");
        }
        assert_eq!(ask(&mut all, "eth_subscribe", "[\"logs\"]"), -32602);
        assert_eq!(ask(&mut all, "chr_unsubscribe", "[]"), -32602);
        for n in 1..=MAX_SUBSCRIPTIONS {
            assert_eq!(ask(&mut all, "chr_subscribe", "null"), format!("0x{n:x}"));
        }
        assert_eq!(ask(&mut all, "chr_subscribe", "null"), -32000);
    }
}
