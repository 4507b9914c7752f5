//! A node with everything that there can be, and an HTTP client that says who it is.

use crate::common::network::{node_at, peer_address};
use crate::common::raw::{key, Raw};
use crate::common::tools::until;
use crate::common::{Node, SOON};
use chr_node::wire::control::{Open, Opened, Publish, Published};
use serde_json::{json, Value};
use tempfile::TempDir;

/// An answer.
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The message of the error object.
    pub fn message(&self) -> String {
        let body = self.json();
        assert!(body["error"]["code"].is_i64(), "{body}");
        body["error"]["message"].as_str().unwrap().to_owned()
    }
}

/// One request with these header lines.
pub fn request(node: &Node, line: &str, headers: &[&str], body: &str) -> Reply {
    let mut text = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for header in headers {
        text.push_str(&format!("{header}\r\n"));
    }
    if line.starts_with("POST") {
        let length = body.len();
        text.push_str(&format!(
            "Content-Type: application/json\r\nContent-Length: {length}\r\n"
        ));
    }
    let answer = node.http(&format!("{text}\r\n{body}"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    Reply {
        status: head[9..12].parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

pub fn get(node: &Node, path: &str, headers: &[&str]) -> Reply {
    request(node, &format!("GET {path}"), headers, "")
}

pub fn post(node: &Node, path: &str, headers: &[&str], body: &Value) -> Reply {
    request(node, &format!("POST {path}"), headers, &body.to_string())
}

/// One call; the whole answer object.
pub fn call(node: &Node, headers: &[&str], method: &str, params: &Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    post(node, "/rpc", headers, &body).json()
}

/// What a proxy says of one who asks from elsewhere: then the request is not from this machine.
pub const ELSEWHERE: &str = "X-Forwarded-For: 192.0.2.7";

/// The header with the token of a node.
pub fn bearer(node: &Node) -> String {
    let text = std::fs::read_to_string(node.data.join("operator.token")).unwrap();
    format!("Authorization: Bearer {}", text.trim())
}

/// Two nodes that are linked, one of them with two devices and a port between these.
pub struct Scene {
    pub node: Node,
    pub other: Node,
    /// Addresses that no stranger may see: of devices and of other nodes.
    pub secrets: Vec<String>,
    _devices: [Raw; 2],
    _home: TempDir,
}

/// A node of the fleet that is not there.
pub const GONE: &str = "0x9999999999999999999999999999999999999999";

impl Scene {
    pub fn new() -> Scene {
        let home = tempfile::tempdir().unwrap();
        let other = node_at(home.path(), 2, "none", &[]);
        let seed = peer_address(&other);
        let fleet = format!("friend={seed} gone={GONE}@127.77.0.9:1");
        let settings = [("CHR_FLEET__NODES", fleet.as_str()), ("HOST", "127.77.0.1")];
        let node = node_at(home.path(), 1, &seed, &settings);
        let mut publisher = Raw::admitted(&node, &key(), 1 << 30);
        let mut opener = Raw::admitted(&node, &key(), 1 << 30);
        publisher.request(&Publish {
            name: "tcp:80".into(),
            allow: None,
        });
        publisher.expect::<Published>();
        let port = opener.next_number();
        opener.request(&Open {
            port,
            peer: publisher.address(),
            name: "tcp:80".into(),
            credit: 65_536,
        });
        let offer: Open = publisher.expect();
        publisher.send(offer.port, &Opened { credit: 65_536 });
        opener.expect::<Opened>();
        opener.send_data(port, &[7; 5000]);
        let secrets = vec![
            publisher.address().to_string(),
            opener.address().to_string(),
            other.id().to_owned(),
            GONE.to_owned(),
        ];
        until(SOON, "links and bytes are told", || {
            let fleet = result(&node, "fleet_status");
            let (friend, gone) = (&fleet["nodes"][0], &fleet["nodes"][1]);
            let sent = result(&node, "session_list");
            let sent = sent.as_array().unwrap().iter();
            let sent = sent.clone().any(|session| session["bytes_in"] == 5000);
            (friend["reachable"] == true && gone["error"].is_string() && sent).then_some(())
        });
        Scene {
            node,
            other,
            secrets,
            _devices: [publisher, opener],
            _home: home,
        }
    }
}

/// The result of a method without parameters, asked from this machine.
pub fn result(node: &Node, method: &str) -> Value {
    let answer = call(node, &[], method, &json!([]));
    assert!(answer["error"].is_null(), "{method}: {answer}");
    answer["result"].clone()
}
