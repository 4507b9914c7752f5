//! What happens in a node, as it is heard over `/events` and `/ws` by programs of
//! others, by HTTP and by HTTPS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::network::{node_at, peer_address};
use common::tools::*;
use common::*;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A program that tells a line at a time; killed when dropped.
struct Teller {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Teller {
    fn start(command: &mut Command) -> Teller {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Teller { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("the program has ended").unwrap()
    }

    /// The data of the next server-sent event with this topic that `accept` takes.
    fn event(&mut self, topic: &str, accept: impl Fn(&Value) -> bool) -> Value {
        let mark = format!("event: {topic}");
        loop {
            while self.line() != mark {}
            let _id = self.line();
            let line = self.line();
            let data = line.strip_prefix("data: ").expect(&line);
            let data: Value = serde_json::from_str(data).unwrap();
            if accept(&data) {
                return data;
            }
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The Python that has the WebSocket library.
fn python() -> Option<&'static str> {
    let has = |python: &&str| {
        let tried = Command::new(python)
            .args(["-c", "import websocket"])
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has);
    if found.is_none() {
        println!("skipped: python3-websocket missing");
    }
    found
}

fn curl(url: &str, certificate: Option<&Path>, header: Option<&str>) -> Command {
    let mut command = Command::new("curl");
    command.args(["-sSN", "--max-time", "60", url]);
    if let Some(file) = certificate {
        command.arg("--cacert").arg(file);
    }
    if let Some(header) = header {
        command.args(["-H", header]);
    }
    command
}

#[test]
fn sessions_and_tickets_are_told_with_addresses_for_those_who_may_see_them() {
    if find_or_skip("curl").is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let first = node_at(&home.path().join("a"), 1, "none", &[("RPCS_PORT", "0")]);
    let certificate = first.data.join("https.pem");
    let port = first.rpcs().port();
    let url = format!("https://{}:{port}/events", first.rpcs().ip());
    let mut all = Teller::start(&mut curl(&url, Some(&certificate), None));
    let url = format!("http://{}/events?topics=session", first.rpc());
    let stranger = Some("X-Forwarded-For: 192.0.2.7");
    let mut short = Teller::start(&mut curl(&url, None, stranger));
    assert_eq!(all.line(), "retry: 2000");
    assert_eq!(short.line(), "retry: 2000");

    let (device, ready) = Device::publish(
        home.path(),
        "pub",
        &first.address(),
        &[&format!("{}:public", echo_server())],
    );
    let id = ready["device"].as_str().unwrap();
    // In the order in which it happened: the ticket opens the session.
    let paid = all.event("ticket", |_| true);
    assert_eq!(paid["device"], id);
    assert!(paid["total_bytes"].as_u64().unwrap() > 0 && paid["epoch"].as_u64().unwrap() > 0);
    let opened = all.event("session", |data| data["state"] == "opened");
    assert_eq!(opened["device"], id);
    drop(device);
    let closed = all.event("session", |data| data["state"] == "closed");
    assert_eq!(closed["device"], id);
    assert!(closed["reason"].as_str().unwrap().len() > 5);

    let opened = short.event("session", |data| data["state"] == "opened");
    let told = opened["device"].as_str().unwrap();
    assert!(told.len() < 20 && told.starts_with(&id[..6]), "{told}");
    // The page has them, too.
    let events = first.ask("node_status")["events"].clone();
    assert!(events.to_string().contains("opened"), "{events}");
}

#[test]
fn links_between_nodes_are_told() {
    if find_or_skip("curl").is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let first = node_at(&home.path().join("a"), 11, "none", &[]);
    let url = format!("http://{}/events?topics=peer", first.rpc());
    let mut told = Teller::start(&mut curl(&url, None, None));
    assert_eq!(told.line(), "retry: 2000");
    let fleet = format!("first={}", peer_address(&first));
    let second = node_at(
        &home.path().join("b"),
        12,
        "none",
        &[("CHR_FLEET__NODES", &fleet)],
    );
    let linked = told.event("peer", |data| data["state"] == "linked");
    assert_eq!(linked["node"], second.id());
    assert_eq!(linked["direction"], "in");
    drop(second);
    let lost = told.event("peer", |data| data["state"] == "lost");
    assert!(lost["reason"].is_string());
}

#[test]
fn a_library_of_others_calls_and_listens_over_ws_and_wss() {
    let Some(python) = python() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), &[("RPCS_PORT", "0")]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/listen.py");
    let certificate = home.path().join("https.pem");
    for secure in [false, true] {
        let mut command = Command::new(python);
        command.arg("-B").arg(&script);
        if secure {
            let port = node.rpcs().port();
            command
                .arg(format!("wss://localhost:{port}/ws"))
                .arg(&certificate);
        } else {
            command.arg(format!("ws://{}/ws", node.rpc()));
        }
        let mut told = Teller::start(&mut command);
        let json = |line: String| serde_json::from_str::<Value>(&line).expect(&line);
        assert_eq!(json(told.line())["node_id"], node.id());
        // Once a second while it listens.
        for _ in 0..2 {
            assert_eq!(json(told.line())["topic"], "status");
        }
        let name = format!("d{secure}");
        let spec = format!("{}:public", echo_server());
        let (device, ready) = Device::publish(home.path(), &name, &node.address(), &[&spec]);
        let mut topics = Vec::new();
        let mut device = Some(device);
        let close = loop {
            let line = json(told.line());
            if line["close"].is_u64() {
                break line;
            }
            if line["topic"] != "status" {
                assert_eq!(line["data"]["device"], ready["device"]);
                topics.push(line["topic"].as_str().unwrap().to_owned());
            }
            // It has heard of both: the device goes.
            if topics.len() == 2 {
                drop(device.take());
            }
        };
        topics.sort();
        assert_eq!(topics, ["session", "session", "ticket"]);
        assert_eq!(
            (&close["close"], &close["opcode"]),
            (&1000.into(), &8.into())
        );
    }
}

#[test]
fn openssl_accepts_the_certificate_in_both_versions_of_tls() {
    if find_or_skip("openssl").is_none() || find_or_skip("curl").is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), &[("RPCS_PORT", "0")]);
    let certificate = home.path().join("https.pem");
    let port = node.rpcs().port();
    for version in ["1.2", "1.3"] {
        for host in ["localhost", "127.0.0.1"] {
            let mut command = Command::new("curl");
            command
                .args(["-sS", "--tls-max", version, "--cacert"])
                .arg(&certificate)
                .args([if version == "1.2" {
                    "--tlsv1.2"
                } else {
                    "--tlsv1.3"
                }])
                .arg(format!("https://{host}:{port}/ready"));
            let ran = run(&mut command, SOON);
            assert_eq!(
                (ran.code, ran.out.as_str()),
                (0, "{\"ready\":true}"),
                "{}",
                ran.err
            );
        }
    }
    let mut strict = Command::new("openssl");
    strict.args(["verify", "-x509_strict", "-CAfile"]);
    strict.arg(&certificate).arg(&certificate);
    let ran = run(&mut strict, SOON);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let mut shown = Command::new("openssl");
    shown.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]);
    let ran = run(shown.arg(&certificate), SOON);
    let print = ran.out.trim().rsplit('=').next().unwrap().to_owned();
    assert!(node.program.stderr().contains(&print), "{print}");
    // The status tells the same.
    assert_eq!(node.ask("node_status")["https"]["fingerprint"], print);
}

#[test]
fn a_node_that_nobody_listens_to_makes_no_status() {
    if find_or_skip("curl").is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    // Events are numbered, also statuses: were they made, the first heard would not be the first.
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    let url = format!("http://{}/events?topics=status", node.rpc());
    let mut told = Teller::start(&mut curl(&url, None, None));
    assert_eq!(told.line(), "retry: 2000");
    while told.line() != "event: status" {}
    assert_eq!(told.line(), "id: 1");
    node.program.signal("-TERM");
    // The stream ends in good order: curl does not complain.
    while told.lines.next().is_some() {}
    assert!(told.child.wait().unwrap().success());
}
