//! docs/vectors.json holds for our codecs, all of it: a category that nothing
//! here reads, or an expected value that nobody compared, fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "vectors/dht.rs"]
mod dht;

use chr_node::identity::certificate::peer_key;
use chr_node::identity::{hex, keccak256, sha256, Address, SecretKey, Signature};
use chr_node::ticket::{
    epoch_of, epoch_of_block, Hints, LocalAddress, Refusal, Ticket, TicketTerms, TicketV1,
};
use chr_node::wire::code::Code;
use chr_node::wire::control::{self, ControlError, Message};
use chr_node::wire::frame::{data_header, starts_our_dialect, Decoder, FrameError, Piece};
use chr_node::wire::presence::{recover, DevicePresence, Presence};
use chr_node::wire::rlp::{Encoder, Item};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn all() -> Vec<Value> {
    let file: Value = serde_json::from_str(&file("docs/vectors.json")).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

/// One vector, and which of its expected values were compared.
struct Vector {
    value: Value,
    compared: RefCell<BTreeSet<String>>,
}

impl Vector {
    fn id(&self) -> &str {
        self.value["id"].as_str().unwrap()
    }

    fn has(&self, field: &str) -> bool {
        self.value["input"].get(field).is_some()
    }

    fn input(&self, field: &str) -> &Value {
        let value = &self.value["input"][field];
        assert!(self.has(field), "{}: no input {field}", self.id());
        value
    }

    fn text(&self, field: &str) -> &str {
        self.input(field).as_str().unwrap()
    }

    fn bytes(&self, field: &str) -> Vec<u8> {
        hex::decode(self.text(field)).unwrap()
    }

    fn number(&self, field: &str) -> u64 {
        self.input(field).as_u64().unwrap()
    }

    fn small(&self, field: &str) -> u32 {
        self.number(field).try_into().unwrap()
    }

    fn address(&self, field: &str) -> Address {
        address(self.input(field))
    }

    fn key(&self, field: &str) -> SecretKey {
        SecretKey::from_bytes(&hex::decode_array(self.text(field)).unwrap()).unwrap()
    }

    fn expect(&self, field: &str, ours: impl Into<Value>) {
        let wanted = &self.value["expected"][field];
        assert_eq!(&ours.into(), wanted, "{}: {field}", self.id());
        self.compared.borrow_mut().insert(field.to_owned());
    }

    fn expect_bytes(&self, field: &str, ours: impl AsRef<[u8]>) {
        self.expect(field, hex::encode(ours.as_ref()));
    }

    fn finish(&self) {
        for field in self.value["expected"].as_object().unwrap().keys() {
            let compared = self.compared.borrow().contains(field);
            assert!(compared, "{}: nothing compares {field}", self.id());
        }
    }
}

fn address(value: &Value) -> Address {
    Address(hex::decode_array(value.as_str().unwrap()).unwrap())
}

fn addresses(value: &Value) -> Vec<Address> {
    value.as_array().unwrap().iter().map(address).collect()
}

#[test]
fn every_vector_is_read_and_holds() {
    let vectors = all();
    assert!(vectors.len() > 100);
    let mut ids = BTreeSet::new();
    for value in vectors {
        assert!(ids.insert(value["id"].to_string()), "{} twice", value["id"]);
        let category = value["category"].as_str().unwrap().to_owned();
        let vector = Vector {
            value,
            compared: RefCell::default(),
        };
        check(&category)(&vector);
        vector.finish();
    }
}

fn check(category: &str) -> fn(&Vector) {
    match category {
        "hash" => hash,
        "identity" => identity,
        "signature" => signature,
        "tls" => certificate,
        "rlp" => rlp,
        "ticket" => ticket,
        "epoch" => epoch,
        "edge.frame" | "peer.frame" => frame,
        "edge.data" => data,
        "edge.refused" => refused,
        "edge.varint" => varint,
        "edge.dialect" => dialect,
        "edge.port_name" => port_name,
        "edge.local_address" => local_address,
        "edge.ticket" => edge_ticket,
        "edge.presence" => presence,
        "dht.packet" => dht::packet,
        "dht.record" => dht::record,
        "dht.refused" => dht::refused,
        "dht.tree" => dht::tree,
        "rpc" => reply,
        other => panic!("nothing reads vectors of category {other}"),
    }
}

fn hash(v: &Vector) {
    let data = if v.has("data_ascii") {
        v.text("data_ascii").as_bytes().to_vec()
    } else {
        v.bytes("data")
    };
    if v.id().ends_with("sha256") {
        v.expect_bytes("hash", sha256(&[&data]));
    } else {
        v.expect_bytes("hash", keccak256(&[&data]));
    }
}

/// The headers of a reply to a POST.
fn reply(v: &Vector) {
    let digest = chr_node::rpc::reply_digest(v.text("body_utf8").as_bytes());
    let key = v.key("private_key");
    let signature = key.sign(&digest);
    v.expect_bytes("digest", digest);
    v.expect(
        "x-diode-signature",
        format!("0x{}", hex::encode(&signature.0)),
    );
    v.expect("x-diode-sender", key.address().to_string());
    assert_eq!(signature.recover(&digest).unwrap(), key.address());
}

fn identity(v: &Vector) {
    let public = v.key("private_key").public_key();
    let point = public.to_uncompressed();
    v.expect_bytes("public_key_uncompressed", point);
    v.expect_bytes(
        "public_key_compressed",
        [&[2 | (point[64] & 1)], &point[1..33]].concat(),
    );
    v.expect_bytes("address", public.address().0);
}

fn signature(v: &Vector) {
    let digest = hex::decode_array(v.text("digest")).unwrap();
    if v.has("message_ascii") {
        assert_eq!(keccak256(&[v.text("message_ascii").as_bytes()]), digest);
    }
    let signature = v.key("private_key").sign(&digest);
    v.expect_bytes("signature", signature.0);
    v.expect_bytes("signer", signature.recover(&digest).unwrap().0);
}

/// Dates differ from those of our own certificates, so only what is read is compared.
fn certificate(v: &Vector) {
    let wanted = |field: &str| hex::decode(v.value["expected"][field].as_str().unwrap()).unwrap();
    let der = wanted("example_cert_der");
    let key = peer_key(&der).unwrap();
    assert_eq!(key, v.key("private_key").public_key());
    v.expect_bytes("address_from_cert", key.address().0);
    v.expect_bytes(
        "ski_sha256_of_uncompressed_pubkey",
        sha256(&[&key.to_uncompressed()]),
    );
    v.expect_bytes("example_cert_der", &der);
    v.expect_bytes("tbs_der", &der[4..4 + wanted("tbs_der").len()]);
}

fn rlp(v: &Vector) {
    let mut encoder = Encoder::new();
    if v.has("int") {
        encoder.u64(v.number("int"));
    } else if v.has("bytes") {
        encoder.bytes(&v.bytes("bytes"));
    } else if v.has("bytes_repeat") {
        let (byte, times) = v.text("bytes_repeat").split_once(" x ").unwrap();
        encoder.bytes(&hex::decode(byte).unwrap().repeat(times.parse().unwrap()));
    } else {
        encoder.list(|list| {
            for (key, value) in v.input("map").as_object().unwrap() {
                list.list(|pair| {
                    pair.bytes(key.as_bytes());
                    pair.bytes(value.as_str().unwrap().as_bytes());
                });
            }
        });
    }
    let bytes = encoder.finish();
    Item::parse(&bytes).unwrap();
    v.expect_bytes("rlp", bytes);
}

fn epoch(v: &Vector) {
    let times = v.input("timestamps").as_array().unwrap();
    let epochs: Vec<u64> = times
        .iter()
        .map(|t| epoch_of(t.as_u64().unwrap()))
        .collect();
    v.expect("epochs", epochs);
    v.expect("l1_epoch", epoch_of_block(v.number("l1_block")));
}

fn ticket(v: &Vector) {
    match v.id() {
        "ticket.local_address.v2" => {
            let hints = Hints {
                relays: addresses(v.input("preferred")),
                time: Some(v.number("timestamp")),
                ..Hints::default()
            };
            let bytes = hints.to_bytes().unwrap();
            v.expect_bytes("sha256", sha256(&[&bytes]));
            v.expect_bytes("local_address", bytes);
        }
        "ticket.local_address.legacy" => {
            let address = v.address("addr");
            for (field, first, wanted) in [
                ("preferred_form", 0, LocalAddress::Preferred(address)),
                ("secondary_form", 1, LocalAddress::Fallback(address)),
            ] {
                let bytes = [&[first], &address.0[..]].concat();
                assert_eq!(LocalAddress::parse(&bytes).unwrap(), wanted);
                v.expect_bytes(field, bytes);
            }
        }
        "ticket.v2.full" | "ticket.v2.reference_script" => ticket_v2(v),
        "ticket.v1.full" => ticket_v1(v),
        other => panic!("nothing reads {other}"),
    }
}

fn ticket_v2(v: &Vector) {
    let key = v.key("device_private_key");
    let node = if v.has("server_id") {
        v.address("server_id")
    } else {
        let public = v.bytes("server_public_key");
        let hash = keccak256(&[&public[1..]]);
        Address(hash[12..].try_into().unwrap())
    };
    let local_address = if v.has("local_address") {
        v.bytes("local_address")
    } else {
        v.text("local_address_ascii").as_bytes().to_vec()
    };
    let ticket = Ticket::sign(
        &key,
        &node,
        TicketTerms {
            chain_id: v.number("chain_id"),
            epoch: v.number("epoch"),
            fleet: v.address("fleet_contract"),
            total_connections: v.number("total_connections"),
            total_bytes: v.number("total_bytes"),
            local_address,
        },
    );
    v.expect_bytes("device_blob", ticket.blob(&node));
    v.expect_bytes("device_digest", ticket.digest(&node));
    v.expect_bytes("device_signature", ticket.signature.0);
    v.expect_bytes("device_address", ticket.signer(&node).unwrap().0);
    v.expect_bytes("server_address", node.0);
    if !v.has("server_private_key") {
        // The frame of Diode's dialect that carries it.
        let mut rlp = Encoder::new();
        rlp.list(|frame| {
            frame.bytes(&v.bytes("request_id"));
            frame.list(|body| {
                body.bytes(b"ticketv2")
                    .u64(ticket.chain_id)
                    .u64(ticket.epoch);
                body.bytes(&ticket.fleet.0).u64(ticket.total_connections);
                body.u64(ticket.total_bytes).bytes(&ticket.local_address);
                body.bytes(&ticket.signature.0);
            });
        });
        let payload = rlp.finish();
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        v.expect_bytes("frame", [&length[..], &payload].concat());
        return;
    }
    let blob = [&ticket.blob(&node)[..], &ticket.signature.0].concat();
    v.expect_bytes("server_digest", keccak256(&[&blob]));
    v.expect_bytes("server_blob", blob);
    let countersigned = ticket.countersign(&v.key("server_private_key"));
    v.expect_bytes("server_signature", countersigned.0);
    v.expect("score", ticket.score());
    // How Diode's nodes and clients rank tickets as objects.
    let epochs = u128::from(ticket.epoch) * u128::from(u64::MAX);
    let LocalAddress::Hints(hints) = LocalAddress::parse(&ticket.local_address).unwrap() else {
        panic!("the vector has hints")
    };
    let by_time = epochs + 2 * ((1 << 60) - 1) + u128::from(hints.time.unwrap());
    v.expect(
        "node_block_number",
        (epochs + u128::from(ticket.total_bytes)).to_string(),
    );
    v.expect("client_block_number", by_time.to_string());
}

fn ticket_v1(v: &Vector) {
    let (key, server, node) = (
        v.key("device_private_key"),
        v.key("server_private_key"),
        v.address("server_id"),
    );
    let local_address = v.bytes("local_address");
    let ticket = TicketV1 {
        block_hash: hex::decode_array(v.text("block_hash")).unwrap(),
        fleet: v.address("fleet_contract"),
        total_connections: v.number("total_connections"),
        total_bytes: v.number("total_bytes"),
        local_address: &local_address,
    };
    let signature = key.sign(&ticket.digest(&node));
    v.expect_bytes("device_blob", ticket.blob(&node));
    v.expect_bytes("device_digest", ticket.digest(&node));
    v.expect_bytes("device_signature", signature.0);
    v.expect_bytes("device_address", key.address().0);
    let digest = ticket.node_digest(&node, &signature);
    v.expect_bytes("server_digest", digest);
    v.expect_bytes("server_signature", server.sign(&digest).0);
    v.expect_bytes("server_address", node.0);
    v.expect("epoch", epoch_of_block(v.number("block_number")));
    v.expect(
        "score",
        v.number("total_connections") * 1024 + v.number("total_bytes"),
    );
}

/// The structs of all control frames.
mod frames {
    pub use chr_node::wire::control::*;
    pub use chr_node::wire::notice::Openings;
    pub use chr_node::wire::peer::{PeerHello, PeerOpen, PeerWelcome};
    pub use chr_node::wire::presence::{PresenceAsk, PresenceSigned, PresenceTaken};
}

macro_rules! structs {
    ($v:expr; $($name:ident { $($field:ident : $read:expr),* })*) => {
        match $v.text("struct") {
            $(stringify!($name) => {
                let fields = $v.input("fields");
                let _ = fields;
                let message = frames::$name { $($field: $read(&fields[stringify!($field)])),* };
                encoded($v, &message)
            })*
            "Ticket" => encoded($v, &ticket_of($v.input("fields"))),
            other => panic!("no struct {other}"),
        }
    };
}

fn encoded<M: Message + PartialEq + std::fmt::Debug>(v: &Vector, message: &M) -> Vec<u8> {
    let mut out = Vec::new();
    control::encode(v.small("id"), message, &mut out);
    let mut decoder = Decoder::new();
    let Piece::Control { kind, id, body } = decoder.next(&mut &out[..]).unwrap().unwrap() else {
        panic!("data")
    };
    assert_eq!((kind, id), (M::KIND, v.small("id")));
    assert_eq!(&control::decode::<M>(body).unwrap(), message, "{}", v.id());
    v.expect("type", M::KIND);
    out
}

fn ticket_of(fields: &Value) -> Ticket {
    let text = |field: &str| fields[field].as_str().unwrap();
    let number = |field: &str| fields[field].as_u64().unwrap();
    Ticket {
        chain_id: number("chain_id"),
        epoch: number("epoch"),
        fleet: address(&fields["fleet"]),
        total_connections: number("total_connections"),
        total_bytes: number("total_bytes"),
        local_address: hex::decode(text("local_address")).unwrap(),
        signature: Signature(hex::decode_array(text("signature")).unwrap()),
    }
}

fn frame(v: &Vector) {
    let long = |f: &Value| f.as_u64().unwrap();
    let int = |f: &Value| u32::try_from(f.as_u64().unwrap()).unwrap();
    let short = |f: &Value| u16::try_from(f.as_u64().unwrap()).unwrap();
    let text = |f: &Value| f.as_str().unwrap().to_owned();
    let on = |f: &Value| f.as_bool().unwrap();
    let signature = |f: &Value| Signature(hex::decode_array(f.as_str().unwrap()).unwrap());
    let code = |f: &Value| Code(u16::try_from(f.as_u64().unwrap()).unwrap());
    let maybe_long = |f: &Value| f.as_u64();
    let maybe_int = |f: &Value| f.as_u64().map(|n| u32::try_from(n).unwrap());
    let maybe_list = |f: &Value| (!f.is_null()).then(|| addresses(f));
    let bytes = structs! { v;
        Hello { capabilities: long, agent: text }
        Welcome { capabilities: long, agent: text, chain_id: long, epoch: long, unix_time: long,
            fleet: address, tickets_required: on, grace_bytes: long, idle_timeout: int, max_ports: int }
        TicketAsk { epoch: long, epoch_known: on, usage: long }
        TicketAccepted { epoch: long, total_bytes: long, usage: long, durable: on }
        Ping {}
        Pong {}
        Close { code: code, text: text, retry_after_ms: maybe_int }
        ErrorAnswer { code: code, text: text, limit: maybe_long, retry_after_ms: maybe_int }
        TicketTooLow { usage: long, last_total: long }
        Openings { open: on, code: code, text: text, retry_after_ms: maybe_int }
        Credit { port: int, bytes: int }
        Open { port: int, peer: address, name: text, credit: int }
        Opened { credit: int }
        Finish { port: int }
        Abort { port: int, code: code, text: text }
        Publish { name: text, allow: maybe_list }
        Published {}
        PresenceAsk { last_t: long, unix_time: long }
        PresenceSigned { t: long, not_after: long, signature: signature }
        PresenceTaken {}
        PeerHello { agent: text, capabilities: long, unix_time: long, peer_port: short, serving: on }
        PeerWelcome { agent: text, capabilities: long, unix_time: long, peer_port: short, serving: on }
        PeerOpen { port: int, opener: address, device: address, name: text, credit: int }
    };
    v.expect_bytes("frame", bytes);
}

fn data(v: &Vector) {
    let (port, raw) = (v.small("port"), v.bytes("raw"));
    let bytes = [&data_header(port, raw.len())[..], &raw].concat();
    let mut decoder = Decoder::new();
    let piece = decoder.next(&mut &bytes[..]).unwrap().unwrap();
    let wanted = Piece::Data {
        port,
        bytes: &raw,
        first: true,
        last: true,
    };
    assert_eq!(piece, wanted, "{}", v.id());
    v.expect_bytes("frame", bytes);
}

/// What a receiver says of bytes that are no frame, or no struct of their type.
fn refusal(bytes: &[u8]) -> &'static str {
    let mut decoder = Decoder::new();
    let (kind, body) = match decoder.next(&mut &bytes[..]) {
        Err(FrameError::Version(_)) => return "version",
        Err(FrameError::Type(_)) => return "type",
        Err(FrameError::Flags(_)) => return "flags",
        Err(FrameError::Length { .. }) => return "length",
        Err(other) => panic!("{other}"),
        Ok(Some(Piece::Control { kind, body, .. })) => (kind, body),
        Ok(other) => panic!("{other:?}"),
    };
    fn of<M: Message>(body: &[u8]) -> &'static str {
        match control::decode::<M>(body) {
            Err(ControlError::Malformed(_)) => "malformed",
            Err(ControlError::Trailing(_)) => "trailing",
            Err(ControlError::TooLong(..)) => "too long",
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("a {} was understood", M::NAME),
        }
    }
    match kind {
        0x01 => of::<control::Hello>(body),
        0x05 => of::<control::TicketAccepted>(body),
        0x06 => of::<control::Ping>(body),
        0x08 => of::<control::Close>(body),
        0x11 => of::<control::Credit>(body),
        0x12 => of::<control::Open>(body),
        0x14 => of::<control::Finish>(body),
        0x15 => of::<control::Abort>(body),
        other => panic!("add type 0x{other:02x} here"),
    }
}

fn refused(v: &Vector) {
    v.expect("error", refusal(&v.bytes("bytes")));
}

/// By structs with one number: there is no other way into postcard here.
fn varint(v: &Vector) {
    let number: u64 = v.text("number").parse().unwrap();
    let mut out = Vec::new();
    match v.number("bits") {
        16 => {
            let code = Code(number.try_into().unwrap());
            let text = String::new();
            control::encode(
                0,
                &control::Close {
                    code,
                    text,
                    retry_after_ms: None,
                },
                &mut out,
            );
            out.truncate(out.len() - 2);
        }
        32 => control::encode(
            0,
            &control::Finish {
                port: number.try_into().unwrap(),
            },
            &mut out,
        ),
        _ => {
            let agent = String::new();
            control::encode(
                0,
                &control::Hello {
                    capabilities: number,
                    agent,
                },
                &mut out,
            );
            out.truncate(out.len() - 1);
        }
    }
    v.expect_bytes("bytes", &out[12..]);
}

fn dialect(v: &Vector) {
    let first = hex::decode_array(v.text("first")).unwrap();
    v.expect("ours", starts_our_dialect(&first));
}

fn port_name(v: &Vector) {
    v.expect("is_name", control::is_port_name(v.text("name")));
}

fn local_address(v: &Vector) {
    let payment = v
        .input("p")
        .as_str()
        .map(|digits| hex::decode_array(digits).unwrap());
    let hints = Hints {
        relays: addresses(v.input("s")),
        time: Some(v.number("t")),
        fleets: addresses(v.input("f")),
        payment,
    };
    let bytes = hints.to_bytes().unwrap();
    assert_eq!(
        LocalAddress::parse(&bytes).unwrap(),
        LocalAddress::Hints(hints)
    );
    v.expect_bytes("local_address", bytes);
}

fn edge_ticket(v: &Vector) {
    let node = v.address("node");
    let terms = TicketTerms {
        chain_id: v.number("chain_id"),
        epoch: v.number("epoch"),
        fleet: v.address("fleet"),
        total_connections: v.number("total_connections"),
        total_bytes: v.number("total_bytes"),
        local_address: v.bytes("local_address"),
    };
    let ticket = Ticket::sign(&v.key("device_private_key"), &node, terms);
    v.expect_bytes("digest", ticket.digest(&node));
    v.expect_bytes("signature", ticket.signature.0);
    v.expect_bytes("signer", ticket.signer(&node).unwrap().0);
    let mut out = Vec::new();
    control::encode(v.small("id"), &ticket, &mut out);
    v.expect_bytes("frame", out);
}

fn presence(v: &Vector) {
    let (device, node) = (v.key("device_private_key"), v.key("node_private_key"));
    let (t, not_after) = (v.number("t"), v.number("not_after"));
    let said = DevicePresence::sign(&device, node.address(), t, not_after);
    v.expect_bytes("device_digest", said.digest());
    v.expect_bytes("device_sig", said.device_sig.0);
    let both = said.countersign(v.number("until"), |digest| node.sign(digest));
    v.expect_bytes("node_digest", both.digest());
    v.expect_bytes("node_sig", both.node_sig.0);
    assert_eq!(both.check(&recover), Ok(()));
    let record = both.encode();
    assert_eq!(Presence::decode(&record), Ok(both));
    v.expect_bytes("record", record);
}

#[test]
fn the_examples_in_the_protocol_s_document_are_what_the_program_sends() {
    let document = file("docs/protocol.md");
    let shown: String = document
        .split("```")
        .flat_map(|part| part.chars().chain(['`']))
        .filter(|c| !c.is_whitespace() && *c != '|')
        .collect();
    let mut seen = 0;
    for vector in all() {
        if !vector["description"]
            .as_str()
            .unwrap()
            .contains("docs/protocol.md")
        {
            continue;
        }
        let expected = vector["expected"].as_object().unwrap();
        let bytes = expected.get("frame").or(expected.get("local_address"));
        let bytes = bytes.unwrap().as_str().unwrap();
        assert!(
            shown.contains(bytes),
            "{} is not in docs/protocol.md",
            vector["id"]
        );
        seen += 1;
    }
    assert_eq!(seen, 26, "24 structs, a data frame, a local_address");
}

#[test]
fn the_tables_of_codes_in_the_protocol_s_document_are_the_program_s() {
    let document = file("docs/protocol.md");
    let part = |from, to| {
        let (_, rest) = document.split_once(from).unwrap();
        rest.split_once(to).unwrap().0
    };
    let parts = [
        part("\n## 18. ", "\n## 19. "),
        part("\n### 9.5 ", "\n## 10. "),
    ]
    .concat();
    let mut rows = BTreeSet::new();
    for line in parts.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let [_, number, word, ..] = cells[..] {
            if let Ok(number) = number.parse::<u16>() {
                rows.insert((number, word.to_owned()));
            }
        }
    }
    let named = |(number, _): &&(u16, String)| *number < 100;
    for (number, word) in rows.iter().filter(named) {
        assert_eq!(Code(*number).word(), word, "{number} in docs/protocol.md");
    }
    for number in 0..100 {
        let word = Code(number).word();
        let there = rows.contains(&(number, word.to_owned()));
        assert!(
            there || word == "unknown",
            "docs/protocol.md lacks {number} {word}"
        );
    }
    let node = Address::ZERO;
    // All but two: TooLow has a struct of its own, and a local_address that is too
    // long makes the struct malformed.
    let refusals = [
        Refusal::EpochTooLow {
            epoch: 0,
            lowest: 1,
        },
        Refusal::EpochTooHigh {
            epoch: 1,
            highest: 0,
        },
        Refusal::Chain {
            chain_id: 1,
            wanted: 2,
        },
        Refusal::TooManyBytes { total_bytes: 0 },
        Refusal::TooManyConnections {
            total_connections: 0,
        },
        Refusal::Signature { device: node, node },
        Refusal::FleetNotServed { fleet: node },
        Refusal::NotInFleet {
            fleet: node,
            device: node,
        },
        Refusal::TooManyFleets { limit: 0 },
        Refusal::TooOften {
            wait: Duration::ZERO,
        },
    ];
    let codes: BTreeSet<u16> = refusals.iter().map(Refusal::code).collect();
    let shown: BTreeSet<u16> = rows.iter().map(|row| row.0).filter(|n| *n >= 100).collect();
    assert_eq!(codes, shown);
    for refusal in refusals {
        let (code, retry) = (refusal.code(), refusal.can_retry());
        assert_eq!(Code(code).word(), "ticket-refused");
        let row = parts
            .lines()
            .find(|line| line.starts_with(&format!("| {code} |")));
        assert_eq!(
            row.unwrap().ends_with("| yes |"),
            retry,
            "{code} in docs/protocol.md"
        );
    }
}
