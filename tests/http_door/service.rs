//! What the service does for clients that behave.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use async_io::Async;
use chr_node::rpc::{HealthState, Limits, Origin};
use serde_json::{json, Value};

use crate::harness::{call, get, post, post_with, Client, Service};

/// A stream of which nothing is known.
const NEAR: Origin = Origin {
    ip: None,
    tls: false,
};

#[test]
fn node_info_is_answered_on_both_paths_with_every_field() {
    let service = Service::new();
    for path in ["/", "/rpc"] {
        let reply = service
            .client()
            .ask(&post_with(path, "", call(7).as_bytes()))
            .unwrap();
        assert_eq!(reply.status, 200);
        for line in [
            "Content-Type: application/json",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Connection: keep-alive",
        ] {
            assert!(reply.has(line), "{line} in {}", reply.head);
        }
        assert!(!reply.head.contains("Access-Control"));
        let body = reply.json();
        assert_eq!((&body["jsonrpc"], &body["id"]), (&json!("2.0"), &json!(7)));
        let mut fields: Vec<_> = body["result"].as_object().unwrap().keys().collect();
        fields.sort();
        assert_eq!(
            fields,
            [
                "clock_trusted",
                "devices",
                "edge_ports",
                "epoch",
                "health",
                "name",
                "node_id",
                "peer_port",
                "peers",
                "profile",
                "public_address",
                "uptime_seconds",
                "version",
            ]
        );
        assert_eq!(body["result"]["profile"], Value::Null);
    }
}

#[test]
fn health_is_503_only_when_the_node_fails() {
    let service = Service::new();
    let mut client = service.client();
    for (state, name, health, ready) in [
        (HealthState::Ok, "ok", 200, 200),
        (HealthState::Degraded, "degraded", 200, 200),
        (HealthState::Failing, "failing", 503, 503),
    ] {
        *service.node.state.lock().unwrap() = state;
        let reply = client.ask(&get("/health?verbose=1")).unwrap();
        assert_eq!(reply.status, health);
        let body = reply.json();
        assert_eq!(body["status"], name);
        let reasons = body["reasons"].as_array().unwrap();
        assert_eq!(reasons.is_empty(), state == HealthState::Ok);
        for reason in reasons {
            assert_eq!(reason["layer"], "storage");
            assert_eq!(reason["state"], name);
            assert!(reason["reason"].is_string() && reason["remedy"].is_string());
        }
        let reply = client.ask(&get("/ready")).unwrap();
        assert_eq!(
            (reply.status, reply.json()["ready"].clone()),
            (ready, json!(ready == 200))
        );
    }
}

#[test]
fn head_answers_without_a_body_and_the_connection_stays_in_step() {
    let service = Service::new();
    let mut client = service.client();
    for (path, status) in [("/health", 200), ("/nothing", 404)] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: [::1]\r\n\r\n").as_bytes());
        client.send(&get("/ready"));
        let mut text = Vec::new();
        while !text.ends_with(br#"{"ready":true}"#) {
            let mut byte = [0];
            client.stream.read_exact(&mut byte).unwrap();
            text.push(byte[0]);
        }
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        assert_eq!(
            text.matches("HTTP/1.1 200").count(),
            1 + usize::from(status == 200)
        );
        assert!(
            !text.contains("reasons") && !text.contains("error"),
            "{text}"
        );
    }
}

#[test]
fn a_connection_is_kept_or_closed_as_the_client_says() {
    let service = Service::new();
    let mut client = service.client();
    for n in 0..3 {
        let reply = client.ask(&post(call(n).as_bytes())).unwrap();
        assert_eq!(reply.json()["id"], n);
    }
    let close = post_with("/rpc", "Connection: close\r\n", call(9).as_bytes());
    assert!(client.ask(&close).unwrap().has("Connection: close"));
    assert!(client.is_closed());

    let mut old = service.client();
    assert_eq!(old.ask(b"GET /ready HTTP/1.0\r\n\r\n").unwrap().status, 200);
    assert!(old.is_closed());
    let mut old = service.client();
    let keep = b"GET /ready HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    assert!(old.ask(keep).unwrap().has("Connection: keep-alive"));
    assert_eq!(old.ask(keep).unwrap().status, 200);
}

#[test]
fn a_client_that_only_listens_after_its_end_of_input_is_answered() {
    let service = Service::new();
    let mut client = service.client();
    client.send(&get("/ready"));
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.reply().unwrap().status, 200);
    assert!(client.is_closed());
}

#[test]
fn a_request_in_single_bytes_is_the_same_request() {
    let service = Service::new();
    let mut client = service.client();
    for byte in post(call(1).as_bytes()) {
        client.stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(client.reply().unwrap().json()["id"], 1);
}

#[test]
fn who_waits_for_100_continue_gets_it() {
    let service = Service::new();
    let mut client = service.client();
    let request = post_with("/rpc", "Expect: 100-continue\r\n", call(3).as_bytes());
    let (head, body) = request.split_at(request.len() - call(3).len());
    assert_eq!(client.ask(head).unwrap().status, 100);
    assert_eq!(client.ask(body).unwrap().json()["id"], 3);
}

#[test]
fn the_largest_body_and_batch_pass() {
    let service = Service::new();
    let mut client = service.client();
    let calls: Vec<_> = (0..100).map(call).collect();
    let mut body = format!("[{}]", calls.join(","));
    body.push_str(&" ".repeat(1024 * 1024 - body.len()));
    let reply = client.ask(&post(body.as_bytes())).unwrap();
    let list = reply.json();
    let ids: Vec<_> = list.as_array().unwrap().iter().map(|a| &a["id"]).collect();
    assert_eq!(
        ids,
        (0..100)
            .map(|n| json!(n))
            .collect::<Vec<_>>()
            .iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(client.ask(&get("/health")).unwrap().status, 200);
}

#[test]
fn notifications_get_204_and_no_body() {
    let service = Service::new();
    let mut client = service.client();
    let quiet = br#"{"jsonrpc":"2.0","method":"chr_node_info"}"#;
    for _ in 0..2 {
        let reply = client.ask(&post(quiet)).unwrap();
        assert_eq!((reply.status, reply.body.len()), (204, 0));
        assert!(!reply.head.contains("\r\nContent-"));
    }
}

#[test]
fn many_clients_at_once_get_their_own_answers() {
    let service = Service::new();
    std::thread::scope(|scope| {
        for client in 0..30 {
            let service = &service;
            scope.spawn(move || {
                let mut connection = service.client();
                for n in 0..20 {
                    let id = client * 1_000 + n;
                    let reply = connection.ask(&post(call(id).as_bytes())).unwrap();
                    assert_eq!(reply.json()["id"], id);
                }
            });
        }
    });
    assert_eq!(service.info_calls(), 600);
}

#[test]
fn any_stream_can_be_served_not_only_tcp() {
    let service = Service::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    smol::block_on(service.door.admit(Async::new(theirs).unwrap(), NEAR));
    let mut ours = ours;
    ours.write_all(b"GET /ready HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    ours.read_to_string(&mut text).unwrap();
    assert!(text.ends_with(r#"{"ready":true}"#), "{text}");
}

#[test]
fn stopping_ends_listener_connections_and_folder_at_once() {
    let service = Service::new();
    let mut client = service.client();
    assert_eq!(client.ask(&get("/ready")).unwrap().status, 200);
    let begin = Instant::now();
    service.door.stop();
    assert!(client.is_closed());
    while TcpStream::connect(service.addr).is_ok() {
        std::thread::yield_now();
    }
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert_eq!(std::fs::read_dir(service.folder.path()).unwrap().count(), 0);
}

#[test]
fn without_a_folder_calls_are_refused_with_the_reason_and_health_is_answered() {
    let service = Service::new();
    let executor = std::sync::Arc::new(smol::Executor::new());
    let options = chr_node::rpc::DoorOptions {
        runtime_dirs: vec!["/nonexistent/place".into()],
        ..Default::default()
    };
    let door = chr_node::rpc::Door::new(options, service.node.clone(), executor.clone());
    assert!(door.start().is_err());
    let (ours, theirs) = UnixStream::pair().unwrap();
    smol::block_on(door.admit(Async::new(theirs).unwrap(), NEAR));
    let answers = std::thread::spawn(move || {
        let mut ours = ours;
        ours.write_all(&post(call(1).as_bytes())).unwrap();
        ours.write_all(&get("/health")).unwrap();
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        let mut text = String::new();
        ours.read_to_string(&mut text).unwrap();
        text
    });
    let text = smol::block_on(executor.run(smol::unblock(move || answers.join().unwrap())));
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    assert!(
        text.contains("/nonexistent/place") && text.contains("-32000"),
        "{text}"
    );
    assert!(
        text.contains("HTTP/1.1 200 OK") && text.contains(r#""status":"degraded""#),
        "{text}"
    );
}

#[test]
fn a_door_without_a_free_place_says_so_at_once() {
    let service = Service::with(Limits {
        connections: 0,
        ..Limits::default()
    });
    let mut client = Client::connect(service.addr);
    let reply = client.reply().unwrap();
    assert_eq!(reply.status, 503);
    assert_eq!(reply.json()["error"]["code"], -32000);
    assert!(reply.has("Retry-After: 1"));
}
