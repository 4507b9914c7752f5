//! Event streams and WebSockets at the door.

use crate::harness::{call, get, post, Client, Service, PATIENCE};
use chr_node::rpc::events::Topic;
use serde_json::{json, Value};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// A listener of server-sent events.
struct Listener {
    client: Client,
    seen: String,
}

impl Listener {
    fn open(service: &Service, path: &str, headers: &str) -> Listener {
        let mut client = service.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes());
        let mut listener = Listener {
            client,
            seen: String::new(),
        };
        let head = listener.until("\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(
            head.contains("Content-Type: text/event-stream\r\n"),
            "{head}"
        );
        assert_eq!(listener.until("\n\n"), "retry: 2000");
        listener
    }

    /// What comes before the next `mark`.
    fn until(&mut self, mark: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(mark) {
                let before = self.seen[..at].to_owned();
                self.seen.drain(..at + mark.len());
                return before;
            }
            let mut chunk = [0; 65_536];
            let count = self.client.stream.read(&mut chunk).unwrap();
            assert!(count > 0, "the stream has ended: {}", self.seen);
            self.seen
                .push_str(std::str::from_utf8(&chunk[..count]).unwrap());
        }
    }

    /// Topic, id and data of the next event; comments are passed over.
    fn event(&mut self) -> (String, Option<u64>, Value) {
        let text = self.until("\n\n");
        if text.starts_with(':') {
            return self.event();
        }
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let id = field("id: ").map(|id| id.parse().unwrap());
        let data = serde_json::from_str(field("data: ").unwrap()).unwrap();
        (field("event: ").unwrap().to_owned(), id, data)
    }
}

fn peer(service: &Service, n: usize) {
    service
        .node
        .hub
        .publish(Topic::Peer, format!("{{\"n\":{n}}}"));
}

/// Waits until so many listen.
fn until_listening(service: &Service, count: usize) {
    let end = Instant::now() + PATIENCE;
    while service.door.staying() != count {
        assert!(Instant::now() < end, "{} listen", service.door.staying());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_listener_hears_what_it_asked_for_and_on_its_return_what_it_missed() {
    let service = Service::new();
    let mut all = Listener::open(&service, "/events", "");
    let mut some = Listener::open(&service, "/events?topics=block,ticket", "");
    until_listening(&service, 2);
    peer(&service, 1);
    service
        .node
        .hub
        .publish(Topic::Block, "{\"number\":7}".to_owned());
    let (topic, id, data) = all.event();
    assert_eq!(
        (topic.as_str(), id, &data["n"]),
        ("peer", Some(1), &json!(1))
    );
    assert!(data["time"].as_u64().unwrap() > 1_000_000_000);
    assert_eq!(all.event().1, Some(2));
    let (topic, id, data) = some.event();
    assert_eq!(
        (topic.as_str(), id, &data["number"]),
        ("block", Some(2), &json!(7))
    );
    drop(all);
    peer(&service, 3);
    peer(&service, 4);
    let mut back = Listener::open(&service, "/events", "Last-Event-ID: 2\r\n");
    assert_eq!((back.event().1, back.event().1), (Some(3), Some(4)));
    until_listening(&service, 2);
}

#[test]
fn thirty_two_listeners_keep_nobody_out_and_strangers_leave_room_for_the_operator() {
    let service = Service::new();
    // A proxy speaks for somebody else: a stranger.
    let stranger = "X-Forwarded-For: 192.0.2.1\r\n";
    let strangers: Vec<Listener> = (0..24)
        .map(|_| Listener::open(&service, "/events", stranger))
        .collect();
    let late = service
        .client()
        .ask(format!("GET /events HTTP/1.1\r\nHost: localhost\r\n{stranger}\r\n").as_bytes());
    let late = late.unwrap();
    assert_eq!(late.status, 503);
    assert_eq!(late.json()["error"]["code"], -32000);
    let own: Vec<Listener> = (0..8)
        .map(|_| Listener::open(&service, "/events", ""))
        .collect();
    assert_eq!(service.client().ask(&get("/events")).unwrap().status, 503);
    assert_eq!(service.client().ask(&upgrade("")).unwrap().status, 503);
    // As many requests as the table has places, and none of the listeners goes.
    let mut others: Vec<Client> = (0..128).map(|_| service.client()).collect();
    for (n, client) in others.iter_mut().enumerate() {
        assert_eq!(
            client.ask(&post(call(n).as_bytes())).unwrap().json()["id"],
            n
        );
    }
    std::thread::sleep(Duration::from_millis(300));
    for n in 0..64 {
        assert_eq!(
            service.client().ask(&get("/ready")).unwrap().status,
            200,
            "{n}"
        );
    }
    peer(&service, 5);
    for mut listener in strangers.into_iter().chain(own) {
        assert_eq!(listener.event().2["n"], 5);
    }
    until_listening(&service, 0);
    Listener::open(&service, "/events", stranger);
}

#[test]
fn a_listener_that_does_not_read_loses_the_oldest_and_is_told() {
    let service = Service::new();
    let mut slow = Listener::open(&service, "/events?topics=peer", "");
    until_listening(&service, 1);
    // More than the kernel takes for a socket that nobody reads.
    let filler = "x".repeat(1_900);
    for n in 0..20_000 {
        let data = format!("{{\"n\":{n},\"f\":\"{filler}\"}}");
        service.node.hub.publish(Topic::Peer, data);
        if n % 50 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    service
        .node
        .hub
        .publish(Topic::Peer, "{\"n\":\"last\"}".to_owned());
    let (mut heard, mut lost, mut last) = (0, 0, 0);
    loop {
        let (topic, id, data) = slow.event();
        if topic == "lost" {
            lost += data["count"].as_u64().unwrap();
            continue;
        }
        let id = id.unwrap();
        assert!(id > last, "in order");
        last = id;
        heard += 1;
        if data["n"] == "last" {
            break;
        }
    }
    assert!(lost > 0, "nothing was lost: {heard}");
    assert_eq!(heard + lost, 20_001);
}

#[test]
fn streams_end_cleanly_when_the_door_stops() {
    let service = Service::new();
    let mut stream = Listener::open(&service, "/events", "");
    let mut socket = WebSocket::open(&service);
    until_listening(&service, 2);
    let begin = Instant::now();
    smol::block_on(service.door.leave());
    assert!(begin.elapsed() < Duration::from_secs(2));
    let mut rest = String::new();
    stream.client.stream.read_to_string(&mut rest).unwrap();
    let (opcode, payload) = socket.frame();
    assert_eq!((opcode, &payload[..2]), (8, &1001_u16.to_be_bytes()[..]));
}

fn upgrade(headers: &str) -> Vec<u8> {
    format!("GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n").into_bytes()
}

/// A WebSocket by hand.
struct WebSocket {
    client: Client,
}

impl WebSocket {
    fn open(service: &Service) -> WebSocket {
        let mut client = service.client();
        let reply = client
            .ask(&upgrade("Origin: http://localhost\r\n"))
            .unwrap();
        assert_eq!(reply.status, 101, "{}", reply.head);
        assert!(reply.has("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        WebSocket { client }
    }

    fn send_frame(&mut self, first: u8, payload: &[u8]) {
        let mut bytes = vec![first];
        match payload.len() {
            n @ 0..=125 => bytes.push(0x80 | n as u8),
            n => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(n as u16).to_be_bytes());
            }
        }
        let mask = [0x12, 0x34, 0x56, 0x78];
        bytes.extend_from_slice(&mask);
        bytes.extend(payload.iter().enumerate().map(|(n, b)| b ^ mask[n % 4]));
        let _ = self.client.stream.write_all(&bytes);
    }

    fn send(&mut self, text: &str) {
        self.send_frame(0x81, text.as_bytes());
    }

    /// Kind and payload of the next frame.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.client.stream.read_exact(&mut head).unwrap();
        assert_eq!(head[0] & 0xf0, 0x80, "whole, no extensions");
        assert_eq!(head[1] & 0x80, 0, "a server does not mask");
        let length = match head[1] {
            126 => {
                let mut two = [0; 2];
                self.client.stream.read_exact(&mut two).unwrap();
                usize::from(u16::from_be_bytes(two))
            }
            127 => {
                let mut eight = [0; 8];
                self.client.stream.read_exact(&mut eight).unwrap();
                u64::from_be_bytes(eight) as usize
            }
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.client.stream.read_exact(&mut payload).unwrap();
        (head[0] & 0x0f, payload)
    }

    fn message(&mut self) -> Value {
        let (kind, payload) = self.frame();
        assert_eq!(kind, 1, "{payload:?}");
        serde_json::from_slice(&payload).unwrap()
    }

    /// The code with which the door ends it.
    fn end(&mut self) -> u16 {
        let (kind, payload) = self.frame();
        assert_eq!(kind, 8, "{}", String::from_utf8_lossy(&payload));
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

#[test]
fn calls_over_a_websocket_are_answered_as_by_post() {
    let service = Service::new();
    let mut socket = WebSocket::open(&service);
    for body in [
        call(1),
        format!(
            "[{},{},{{\"jsonrpc\":\"2.0\",\"method\":\"nonsense\",\"id\":\"x\"}}]",
            call(2),
            call(3)
        ),
        "nonsense".to_owned(),
        "[]".to_owned(),
        "{\"jsonrpc\":\"2.0\",\"method\":\"peer_list\",\"id\":null}".to_owned(),
        format!("[{}]", vec![call(7); 101].join(",")),
    ] {
        socket.send(&body);
        let by_post = service.client().ask(&post(body.as_bytes())).unwrap().json();
        assert_eq!(socket.message(), by_post, "{body}");
    }
    // A notification has no answer; the next answer is that of the next call.
    socket.send("{\"jsonrpc\":\"2.0\",\"method\":\"chr_node_info\"}");
    socket.send(&call(9));
    assert_eq!(socket.message()["id"], 9);
    // In pieces, with a ping between.
    let text = call(10);
    let (first, second) = text.as_bytes().split_at(20);
    socket.send_frame(0x01, first);
    socket.send_frame(0x89, b"still there?");
    socket.send_frame(0x80, second);
    assert_eq!(socket.frame(), (10, b"still there?".to_vec()));
    assert_eq!(socket.message()["id"], 10);
    socket.send_frame(0x88, &1000_u16.to_be_bytes());
    assert_eq!(socket.end(), 1000);
    assert!(socket.client.is_closed());
    service.assert_alive("a WebSocket");
}

#[test]
fn subscriptions_are_told_until_they_end() {
    let service = Service::new();
    let mut socket = WebSocket::open(&service);
    let ask = |socket: &mut WebSocket, method: &str, params: Value| {
        socket.send(
            &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string(),
        );
        socket.message()["result"].clone()
    };
    let first = ask(&mut socket, "chr_subscribe", json!({"topics": ["peer"]}));
    let heads = ask(&mut socket, "eth_subscribe", json!(["newHeads"]));
    service
        .node
        .hub
        .publish(Topic::Block, "{\"number\":7}".to_owned());
    service.node.hub.publish(Topic::Health, "{}".to_owned());
    peer(&service, 5);
    let told = socket.message();
    assert_eq!(told["method"], "eth_subscription");
    assert_eq!(
        told["params"],
        json!({"subscription": heads, "result": {"number": 7}})
    );
    let told = socket.message();
    assert_eq!(told["method"], "chr_event");
    assert_eq!(told["params"]["subscription"], first);
    assert_eq!(told["params"]["topic"], "peer");
    assert_eq!(told["params"]["data"], json!({"n": 5}));
    assert_eq!(ask(&mut socket, "chr_unsubscribe", json!([first])), true);
    peer(&service, 6);
    socket.send(&call(3));
    assert_eq!(socket.message()["id"], 3, "nothing was told in between");
    drop(socket);
    until_listening(&service, 0);
    assert!(!service.node.hub.wanted(Topic::Block));
}

#[test]
fn a_client_that_breaks_the_protocol_is_told_by_the_close_code() {
    let service = Service::new();
    let long = vec![b' '; 65_530];
    for (name, first, payload, code) in [
        ("binary", 0x82, &b"x"[..], 1003),
        ("bad UTF-8", 0x81, b"\xff", 1007),
        ("a reserved bit", 0xc1, b"x", 1002),
        ("a ping in pieces", 0x09, b"x", 1002),
        ("nothing to continue", 0x80, b"x", 1002),
        ("a bad close code", 0x88, b"\x03\xed", 1002),
    ] {
        let mut socket = WebSocket::open(&service);
        socket.send_frame(first, payload);
        assert_eq!(socket.end(), code, "{name}");
        service.assert_alive(name);
    }
    let mut socket = WebSocket::open(&service);
    socket.send_frame(0x01, &long);
    socket.send_frame(0x80, &long);
    assert_eq!(socket.end(), 1009);
    // Not masked.
    let mut socket = WebSocket::open(&service);
    socket.client.send(b"\x81\x01x");
    assert_eq!(socket.end(), 1002);
    // Random bytes.
    let mut rng = fastrand::Rng::with_seed(5);
    for _ in 0..100 {
        let mut socket = WebSocket::open(&service);
        let noise: Vec<u8> = (0..rng.usize(1..400)).map(|_| rng.u8(..)).collect();
        socket.client.send(&noise);
        let _ = socket.client.stream.shutdown(std::net::Shutdown::Write);
        let _ = socket.client.stream.read_to_end(&mut Vec::new());
    }
    service.assert_alive("noise");
    until_listening(&service, 0);
}
