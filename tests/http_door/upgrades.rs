//! The rows of the table that are about streams: WebSocket handshakes gone wrong,
//! questions for events that there are not.

use crate::malformed::{raw, Case, INVALID};

const GOOD: &str = "Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n";

pub fn upgrades() -> Vec<Case> {
    let ws = |headers: &str| raw(&format!("GET /ws HTTP/1.1\nHost: localhost\n{headers}\n"));
    let without = |line: &str| {
        let kept = GOOD.lines().filter(|found| !found.starts_with(line));
        kept.map(|line| format!("{line}\n")).collect::<String>()
    };
    let with = |line: &str, value: &str| format!("{}{line}: {value}\n", without(line));
    let key = "Sec-WebSocket-Key";
    let version = "Sec-WebSocket-Version";
    vec![
        ("plain GET of a WebSocket", ws(""), 426, INVALID),
        ("no Upgrade", ws(&without("Upgrade")), 426, INVALID),
        ("another Upgrade", ws(&with("Upgrade", "h2c")), 426, INVALID),
        ("no Connection", ws(&without("Connection")), 426, INVALID),
        (
            "Connection without upgrade",
            ws(&with("Connection", "keep-alive")),
            426,
            INVALID,
        ),
        ("no version", ws(&without(version)), 426, INVALID),
        ("version 8", ws(&with(version, "8")), 426, INVALID),
        (
            "two versions",
            ws(&format!("{GOOD}{version}: 13\n")),
            400,
            INVALID,
        ),
        ("no key", ws(&without(key)), 400, INVALID),
        ("a short key", ws(&with(key, "dGhlIA==")), 400, INVALID),
        (
            "a key that is no base64",
            ws(&with(key, "!!!!!!!!!!!!!!!!!!!!!!==")),
            400,
            INVALID,
        ),
        (
            "two keys",
            ws(&format!("{GOOD}{key}: dGhlIHNhbXBsZSBub25jZQ==\n")),
            400,
            INVALID,
        ),
        (
            "a stranger's page",
            ws(&format!("{GOOD}Origin: http://evil.example\n")),
            403,
            INVALID,
        ),
        (
            "a page without a site",
            ws(&format!("{GOOD}Origin: null\n")),
            403,
            INVALID,
        ),
        (
            "a stranger's name",
            raw(&format!(
                "GET /ws HTTP/1.1\nHost: evil.example\nOrigin: http://evil.example\n{GOOD}\n"
            )),
            403,
            INVALID,
        ),
        (
            "a WebSocket by HTTP/1.0",
            raw(&format!("GET /ws HTTP/1.0\n{GOOD}\n")),
            426,
            INVALID,
        ),
        (
            "a WebSocket by POST",
            raw(&format!("POST /ws HTTP/1.1\nHost: localhost\n{GOOD}\n")),
            405,
            INVALID,
        ),
        (
            "a WebSocket with a body",
            ws(&format!("{GOOD}Content-Length: 4\n")),
            400,
            INVALID,
        ),
        (
            "a topic that there is not",
            raw("GET /events?topics=weather HTTP/1.1\nHost: localhost\n\n"),
            400,
            INVALID,
        ),
        (
            "HEAD of a stream",
            raw("POST /events HTTP/1.1\nHost: localhost\n\n"),
            405,
            INVALID,
        ),
        (
            "a Last-Event-ID twice",
            raw("GET /events HTTP/1.1\nHost: localhost\nLast-Event-ID: 1\nLast-Event-ID: 2\n\n"),
            400,
            INVALID,
        ),
        (
            "an Upgrade of JSON-RPC",
            raw("GET /rpc HTTP/1.1\nHost: localhost\nUpgrade: websocket\nConnection: Upgrade\n\n"),
            405,
            INVALID,
        ),
    ]
}
