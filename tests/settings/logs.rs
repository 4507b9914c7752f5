//! The log: what is in it, how it looks, and what must never be in it.

use super::node_with;
use crate::common::raw::{key, Raw};
use crate::common::servers::*;
use crate::common::tools::*;
use crate::common::*;
use chr_node::wire::control::TicketAsk;
use serde_json::Value;
use std::time::Duration;

pub fn level() {
    let (_home, node) = node_with(&[("LOG_LEVEL", "warn, edge=debug")]);
    let raw = Raw::greeted(&node, &key());
    let hello = format!("device {} says hello", raw.address());
    let log = until(SOON, "the room with its own level is heard", || {
        let log = node.program.stderr();
        log.contains(&hello).then_some(log)
    });
    assert!(log.contains("DEBUG chr_node::edge"), "{log}");
    assert!(
        !log.contains("INFO") && !log.contains("serves devices"),
        "{log}"
    );
    drop(node);
    let (_home, node) = node_with(&[]);
    let log = until(SOON, "the others are heard by default", || {
        let log = node.program.stderr();
        log.contains("serves devices").then_some(log)
    });
    assert!(!log.contains("DEBUG"), "{log}");
}

pub fn format() {
    let log_of = |format: &str| {
        let (_home, mut node) = node_with(&[("CHR_LOG__FORMAT", format)]);
        node.program.signal("-TERM");
        node.program.wait(SOON);
        node.program.stderr()
    };
    let log = log_of("json");
    assert!(log.lines().count() > 2, "{log}");
    for line in log.lines() {
        let object: Value = serde_json::from_str(line).expect(line);
        let fields: Vec<&String> = object.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["level", "message", "room", "time"]);
        assert_eq!(object["level"], "info", "{line}");
    }
    let log = log_of("journal");
    assert!(log.lines().all(|line| line.starts_with("<6>")), "{log}");
    let log = log_of("plain");
    assert!(log.lines().all(|line| line.contains("Z INFO ")), "{log}");
}

pub fn file() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    let text = path.display().to_string();
    let settings = [("CHR_LOG__FILE", &*text), ("CHR_LOG__FORMAT", "journal")];
    let (_home, mut node) = node_with(&settings);
    node.program.signal("-TERM");
    node.program.wait(SOON);
    // What the journal would add stands in it.
    let log = std::fs::read_to_string(&path).unwrap();
    let same = |line: &str| line.split_once("Z INFO  ").expect("time and level").1.len();
    let lengths: Vec<usize> = log.lines().map(same).collect();
    let said = node.program.stderr();
    let wanted: Vec<usize> = said.lines().map(|line| line.len() - "<6>".len()).collect();
    assert!(log.contains("stopped") && log.contains("serves devices on"));
    assert_eq!(lengths, wanted, "{log}{said}");
}

pub fn file_size() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    std::fs::write(&path, "x".repeat(200 << 10)).unwrap();
    let text = path.display().to_string();
    let older = place.path().join("log.1");
    for (size, full) in [("1M", false), ("256K", true)] {
        let settings = [("CHR_LOG__FILE", &*text), ("CHR_LOG__FILE_SIZE", size)];
        let (_home, mut node) = node_with(&settings);
        node.program.signal("-TERM");
        node.program.wait(SOON);
        assert_eq!(older.exists(), full, "{size}");
    }
    let log = std::fs::read_to_string(&path).unwrap();
    assert!(log.len() < 10_000 && log.contains("stopped"), "{log}");
}

#[test]
fn what_one_line_of_code_repeats_is_counted_and_summed_up() {
    let (_home, mut node) = node_with(&[]);
    let mut raw = Raw::greeted(&node, &key());
    let ask: TicketAsk = raw.expect();
    for _ in 0..50 {
        let ticket = raw.sign(ask.epoch + 1, 1 << 20);
        raw.request(&ticket);
        raw.next().expect("an answer");
    }
    node.program.signal("-TERM");
    node.program.wait(SOON);
    let log = node.program.stderr();
    let refused = |line: &&str| line.contains("refused") && !line.contains("more times");
    assert_eq!(log.lines().filter(refused).count(), 20, "{log}");
    let sum = log
        .lines()
        .find(|line| line.contains("more times within a minute"));
    let sum = sum.expect(&log);
    assert!(
        sum.contains("said 30 more times") && sum.contains("refused"),
        "{sum}"
    );
}

/// Ways in which 32 secret bytes could come out of a careless message.
fn spellings(secret: &[u8; 32]) -> Vec<String> {
    let hex: String = secret.iter().map(|b| format!("{b:02x}")).collect();
    // Half of it is enough to give it away.
    let list = |bytes: &[u8]| {
        let texts: Vec<String> = bytes.iter().map(ToString::to_string).collect();
        texts.join(", ")
    };
    vec![
        hex[..32].to_owned(),
        hex[32..].to_owned(),
        hex[..32].to_uppercase(),
        list(&secret[..8]),
        list(&secret[24..]),
    ]
}

/// The secret in a key file: its 64 hexadecimal digits.
fn secret_in(file: &std::path::Path) -> [u8; 32] {
    let text = std::fs::read_to_string(file).unwrap();
    let digits = text
        .split(|c: char| !c.is_ascii_hexdigit())
        .find(|word| word.len() == 64)
        .expect("a key");
    let byte = |n: usize| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).unwrap();
    std::array::from_fn(byte)
}

#[test]
fn no_secret_is_written_to_the_log_at_any_level() {
    // Keys of providers are part of such an address.
    const URL: &str = "http://127.0.0.1:9/v2/providers-secret";
    const TEXT: &str = "a message that is nobody elses business";
    let (home, mut node) = node_with(&[("LOG_LEVEL", "trace"), ("CHR_CHAIN__URL", URL)]);
    let options = ["-v", "-v", "-v"];
    let port = echo_server();
    let spec = format!("{port}:public");
    let place = node.address();
    let mut publish = vec!["publish", &spec, "--node", &place];
    publish.extend(options);
    let publisher = Device::start(home.path(), "p", &publish);
    let ready = publisher.expect("ready");
    let target = format!("{}:{port}", ready["device"].as_str().unwrap());
    let (forwarder, listen) = Device::forward(
        home.path(),
        "f",
        &node.address(),
        "127.0.0.1:0",
        &target,
        &options,
    );
    assert_echo(listen, &noise(3, 100_000));
    let receiver = Device::start(
        home.path(),
        "r",
        &["publish", "--messages", "--node", &place, "-v", "-v", "-v"],
    );
    let ready = receiver.expect("ready");
    let sent = run(
        chr_node()
            .args(["message", ready["device"].as_str().unwrap(), TEXT])
            .args(["--node", &place, "-v", "-v", "-v", "--identity"])
            .arg(home.path().join("s.key")),
        SOON,
    );
    assert_eq!(sent.code, 0, "{}", sent.err);
    assert_eq!(receiver.expect("message")["text"], TEXT);
    // The operator's token, used and misused, and the chain that does not answer.
    let token = std::fs::read_to_string(home.path().join("operator.token")).unwrap();
    let token = token.trim();
    for shown in [token, &format!("{}0", &token[1..])] {
        let body = r#"{"log.level": "trace"}"#;
        node.http(&format!(
            "POST /config HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {shown}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ));
    }
    node.ask("eth_blockNumber");
    node.program.signal("-HUP");
    until(SOON, "the settings are read again", || {
        node.program.stderr().contains("SIGHUP").then_some(())
    });
    node.program.signal("-TERM");
    node.program.wait(SOON);
    let mut log = node.program.stderr();
    log += &sent.err;
    log += &receiver.program.stderr();
    for secret in [token, &token[1..40], "providers-secret", TEXT] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "{log}");
    for device in [publisher, forwarder] {
        // The reason of the end is the last that it says.
        device.expect("lost");
        log += &device.program.stderr();
    }
    for file in ["node.key", "p.key", "f.key", "r.key", "s.key"] {
        for text in spellings(&secret_in(&home.path().join(file))) {
            assert!(!log.contains(&text), "the secret of {file} is in the log");
        }
    }
}

#[cfg(debug_assertions)]
#[test]
fn a_panic_is_one_line_that_says_where() {
    let home = tempfile::tempdir().unwrap();
    let mut command = chr_node();
    command
        .env("TEST_FAULT", "cron:panic")
        .env("RUST_BACKTRACE", "1");
    let node = Node::start_command(command, home.path(), &[]);
    let log = until(Duration::from_secs(60), "the panic is told", || {
        let log = node.program.stderr();
        log.contains("runs again").then_some(log)
    });
    let line = log
        .lines()
        .find(|line| line.contains("panic in chr-work at src/"));
    assert!(
        line.expect(&log).contains("a panic that a test asked for"),
        "{log}"
    );
    assert!(
        !log.contains("stack backtrace") && !log.contains("note: run with"),
        "{log}"
    );
    for line in log.lines() {
        assert!(line.contains("Z "), "not of the log: {line}");
    }
}
