//! Vectors of the DHT: packets, records, what is refused, trees.

use super::{address, Vector};
use chr_node::dht::merkle::{self, leaf};
use chr_node::dht::record::{ContentValue, MutableValue, NodeRecord};
use chr_node::dht::{Curve, Record, Refusal, ValidRecord, Verify, Wall};
use chr_node::identity::{hex, SecretKey};
use chr_node::wire::dht::{
    challenge, decode, encode, peek, Body, Contact, Entry, Hashes, Malformed, Packet, Prefix, Type,
};
use chr_node::wire::presence::DevicePresence;
use serde_json::Value;

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// Eight bytes in hex.
fn word(value: &Value) -> u64 {
    u64::from_be_bytes(bytes(value).try_into().unwrap())
}

fn list<T>(value: &Value, of: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().unwrap().iter().map(of).collect()
}

fn hashes(value: &Value) -> Hashes {
    list(value, word).try_into().unwrap()
}

fn entry(value: &Value) -> Entry {
    Entry {
        key: address(&value["key"]),
        kind: number(&value["kind"]).try_into().unwrap(),
        slot: number(&value["slot"]),
        order: number(&value["order"]),
        until: number(&value["until"]),
    }
}

fn contact(value: &Value) -> Contact {
    Contact {
        id: address(&value["id"]),
        at: value["at"].as_str().unwrap().parse().unwrap(),
    }
}

fn body(kind: &str, f: &Value) -> Body {
    let serving = f["serving"].as_bool().unwrap_or_default();
    let place = |value: &Value| value.as_str().unwrap().parse().unwrap();
    match kind {
        "PING" => Body::Ping {
            serving,
            check: (!f["check"].is_null()).then(|| place(&f["check"])),
        },
        "PONG" => Body::Pong {
            serving,
            unix: number(&f["unix"]),
            seen: place(&f["seen"]),
        },
        "FIND_NODE" => Body::FindNode {
            serving,
            target: address(&f["target"]),
        },
        "NODES" => Body::Nodes {
            contacts: list(&f["contacts"], contact),
        },
        "FIND_VALUE" => Body::FindValue {
            serving,
            key: address(&f["key"]),
        },
        "VALUE" => Body::Value {
            records: list(&f["records"], bytes),
            contacts: list(&f["contacts"], contact),
        },
        "STORE" => Body::Store {
            serving,
            records: list(&f["records"], bytes),
        },
        "STORED" => Body::Stored {
            codes: bytes(&f["codes"]),
        },
        "ERROR" => Body::Error {
            code: number(&f["code"]).try_into().unwrap(),
            text: f["text"].as_str().unwrap().to_owned(),
        },
        "SYNC" => {
            let mut head = bytes(&f["prefix"]);
            head.resize(20, 0);
            let head = chr_node::identity::Address(head.try_into().unwrap());
            Body::Sync {
                serving,
                prefix: Prefix::of(&head, number(&f["bits"]).try_into().unwrap()),
                hashes: hashes(&f["hashes"]),
            }
        }
        "SYNCED" => Body::Synced {
            hashes: hashes(&f["hashes"]),
            listed: number(&f["listed"]).try_into().unwrap(),
            entries: list(&f["entries"], entry),
        },
        other => panic!("no type {other}"),
    }
}

fn recover(digest: &[u8; 32], signature: &[u8; 64]) -> Option<chr_node::identity::Address> {
    Curve.recover(digest, signature)
}

pub fn packet(v: &Vector) {
    let kind = v.text("type");
    if kind == "CHALLENGE" {
        let request = peek(&v.bytes("request")).unwrap();
        let made = challenge(&request, v.address("from"), word(v.input("cookie")));
        v.expect_bytes("packet", made);
        assert_eq!(peek(&made).unwrap().kind, Type::Challenge);
        return;
    }
    let key = v.key("private_key");
    let packet = Packet {
        txid: word(v.input("txid")),
        cookie: word(v.input("cookie")),
        from: key.address(),
        to: v.address("to"),
        body: body(kind, v.input("fields")),
    };
    let made = encode(&packet, &|digest| key.sign(digest).to_compact()).unwrap();
    assert_eq!(decode(&made, &recover).unwrap(), packet, "{}", v.id());
    v.expect("type", made[1]);
    v.expect_bytes("from", key.address().0);
    v.expect_bytes("packet", made);
}

pub fn record(v: &Vector) {
    let keys: Vec<SecretKey> = list(v.input("private_keys"), |key| {
        SecretKey::from_bytes(&bytes(key).try_into().unwrap()).unwrap()
    });
    let f = v.input("fields");
    let until = number(&f["until"]);
    let record = match v.text("kind") {
        "node" => {
            let node = NodeRecord {
                node: address(&f["node"]),
                seq: number(&f["seq"]),
                until,
                places: list(&f["places"], |at| at.as_str().unwrap().parse().unwrap()),
                edge_ports: list(&f["edge_ports"], |n| number(n).try_into().unwrap()),
                capabilities: number(&f["capabilities"]),
                name: f["name"].as_str().unwrap().to_owned(),
            };
            ValidRecord::node(&node, &keys[0])
        }
        "presence" => {
            let (t, not_after) = (number(&f["t"]), number(&f["not_after"]));
            let said = DevicePresence::sign(&keys[0], keys[1].address(), t, not_after);
            let presence = said.countersign(until, |digest| keys[1].sign(digest));
            ValidRecord::presence(&presence, &Curve)
        }
        "content" => ValidRecord::content_value(&ContentValue {
            until,
            value: bytes(&f["value"]),
        }),
        "mutable" => {
            let value = MutableValue {
                owner: address(&f["owner"]),
                name: bytes(&f["name"]),
                seq: number(&f["seq"]),
                until,
                value: bytes(&f["value"]),
            };
            ValidRecord::mutable(&value, &keys[0])
        }
        other => panic!("no kind {other}"),
    }
    .unwrap();
    let wall = Wall {
        unix: until - 1,
        trusted: true,
    };
    let came = Record::parse(record.bytes()).unwrap();
    assert_eq!(came.check(wall, &Curve), Ok(record.clone()), "{}", v.id());
    v.expect_bytes("key", record.key().0);
    v.expect_bytes("record", record.bytes());
}

pub fn refused(v: &Vector) {
    let data = v.bytes("bytes");
    if v.text("what") == "packet" {
        let error = match decode(&data, &recover) {
            Err(Malformed::Version(_)) => "version",
            Err(Malformed::Type(_)) => "type",
            Err(Malformed::Flags(_)) => "flags",
            Err(Malformed::Length(_)) => "length",
            Err(Malformed::From) => "from",
            Err(Malformed::Payload(_) | Malformed::Field(_)) => "payload",
            Err(Malformed::Signature) => "signature",
            other => panic!("{}: {other:?}", v.id()),
        };
        v.expect("error", error);
        return;
    }
    let wall = Wall {
        unix: v.number("unix"),
        trusted: true,
    };
    let came = Record::parse(&data).and_then(|record| record.check(wall, &Curve));
    let error = match came {
        Err(Refusal::Form) => "form",
        Err(Refusal::Signature) => "signature",
        Err(Refusal::Over) => "over",
        Err(Refusal::Ahead) => "ahead",
        other => panic!("{}: {other:?}", v.id()),
    };
    v.expect("error", error);
}

pub fn tree(v: &Vector) {
    let mut entries = list(v.input("entries"), entry);
    entries.sort_by_key(|entry| (entry.key, entry.slot));
    let leaves: Vec<merkle::Leaf> = entries.iter().map(|e| (e.key, leaf(e))).collect();
    let prefix = Prefix::of(&entries[0].key, v.number("bits").try_into().unwrap());
    let hashes = merkle::hashes(&prefix, &leaves).map(|hash| format!("{hash:016x}"));
    v.expect("hashes", hashes.to_vec());
}

fn protocol() -> String {
    super::file("docs/protocol.md")
}

#[test]
fn the_examples_between_nodes_in_the_protocol_s_document_are_what_the_program_sends() {
    let document = protocol();
    let blocks = document.split("```");
    let shown: Vec<String> = blocks
        .map(|block| block.trim_start_matches("text"))
        .map(|block| block.chars().filter(char::is_ascii_hexdigit).collect())
        .collect();
    for (id, field) in [
        ("dht.packet.ping", "packet"),
        ("dht.record.presence", "record"),
    ] {
        let all = super::all();
        let vector = all.iter().find(|vector| vector["id"] == id).unwrap();
        let bytes = vector["expected"][field].as_str().unwrap();
        assert!(shown.iter().any(|block| block == bytes), "{id}");
        assert!(document.contains(id), "{id}");
    }
}

#[test]
fn the_codes_of_stored_in_the_protocol_s_document_are_the_program_s() {
    let document = protocol();
    let (_, part) = document.split_once("### 24.3 ").unwrap();
    let (part, _) = part.split_once("## 25. ").unwrap();
    let mut codes = 0;
    for line in part.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Some(code) = cells.get(1).and_then(|cell| cell.parse::<u8>().ok()) else {
            continue;
        };
        let refusal = Refusal::from_code(code);
        let word = refusal.map(|refusal| format!("{refusal:?}").to_lowercase());
        assert_eq!(cells[2], word.unwrap_or_default(), "{code}");
        codes += 1;
    }
    let known = (0..=u8::MAX).filter(|code| Refusal::from_code(*code).is_some());
    assert_eq!(codes, known.count() + 1, "and 0");
}
