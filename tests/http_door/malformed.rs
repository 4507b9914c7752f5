//! Malformed requests in a table: what each gets, and that the service stays.

use crate::calls::calls;
use crate::harness::{call, get, post, post_with, Service};

/// Name, bytes, HTTP status, JSON-RPC code.
pub type Case = (&'static str, Vec<u8>, u16, i64);

pub const INVALID: i64 = -32600;

pub fn raw(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// A POST whose framing or content headers are `headers`; the body is a good call.
fn framed(headers: &str) -> Vec<u8> {
    let mut bytes = raw(&format!("POST /rpc HTTP/1.1\nHost: localhost\n{headers}\n"));
    bytes.extend_from_slice(call(1).as_bytes());
    bytes
}

pub fn lengths() -> Vec<Case> {
    let json = "Content-Type: application/json\n";
    let with = |length: &str| framed(&format!("{json}{length}\n"));
    vec![
        (
            "huge length",
            with("Content-Length: 99999999999999999"),
            413,
            INVALID,
        ),
        (
            "length beyond 64 bits",
            with("Content-Length: 99999999999999999999999999"),
            413,
            INVALID,
        ),
        (
            "length one above the cap",
            with("Content-Length: 1048577"),
            413,
            INVALID,
        ),
        ("negative length", with("Content-Length: -1"), 400, INVALID),
        ("signed length", with("Content-Length: +50"), 400, INVALID),
        (
            "hexadecimal length",
            with("Content-Length: 0x32"),
            400,
            INVALID,
        ),
        (
            "fraction as length",
            with("Content-Length: 50.0"),
            400,
            INVALID,
        ),
        ("empty length", with("Content-Length:"), 400, INVALID),
        (
            "two numbers as length",
            with("Content-Length: 5 0"),
            400,
            INVALID,
        ),
        (
            "list as length",
            with("Content-Length: 50, 50"),
            400,
            INVALID,
        ),
        (
            "equal lengths",
            with("Content-Length: 50\nContent-Length: 50"),
            400,
            INVALID,
        ),
        (
            "contradicting lengths",
            with("Content-Length: 50\nContent-Length: 5"),
            400,
            INVALID,
        ),
        (
            "space before the colon",
            with("Content-Length : 50"),
            400,
            INVALID,
        ),
        ("folded length", with("Content-Length:\n 50"), 400, INVALID),
        ("no length", with("X: y"), 411, INVALID),
        ("chunked", with("Transfer-Encoding: chunked"), 501, INVALID),
        (
            "gzip, chunked",
            with("Transfer-Encoding: gzip, chunked"),
            501,
            INVALID,
        ),
        (
            "chunked and a length",
            with("Content-Length: 50\nTransfer-Encoding: chunked"),
            400,
            INVALID,
        ),
        (
            "body on GET",
            raw("GET /health HTTP/1.1\nHost: localhost\nContent-Length: 2\n\n{}"),
            400,
            INVALID,
        ),
    ]
}

pub fn heads() -> Vec<Case> {
    let length = format!("Content-Length: {}\n", call(1).len());
    let typed = |kind: &str| framed(&format!("{length}{kind}\n"));
    let many = "X: y\n".repeat(70);
    let long = format!(
        "GET /health HTTP/1.1\nHost: localhost\nX: {}\n\n",
        "a".repeat(9_000)
    );
    let far = format!("GET /{} HTTP/1.1\nHost: localhost\n\n", "a".repeat(9_000));
    vec![
        ("no content type", typed("X: y"), 415, INVALID),
        (
            "a web form's type",
            typed("Content-Type: text/plain"),
            415,
            INVALID,
        ),
        (
            "another charset",
            typed("Content-Type: application/json; charset=utf-16"),
            415,
            INVALID,
        ),
        (
            "two types",
            typed("Content-Type: application/json\nContent-Type: text/plain"),
            400,
            INVALID,
        ),
        ("no host", raw("GET /health HTTP/1.1\n\n"), 400, INVALID),
        (
            "two hosts",
            raw("GET /health HTTP/1.1\nHost: localhost\nHost: localhost\n\n"),
            400,
            INVALID,
        ),
        (
            "a stranger's host",
            raw("GET /health HTTP/1.1\nHost: evil.example\n\n"),
            403,
            INVALID,
        ),
        (
            "no host at all in it",
            raw("GET /health HTTP/1.1\nHost: a b\n\n"),
            400,
            INVALID,
        ),
        (
            "absolute target",
            raw("GET http://127.0.0.1/health HTTP/1.1\nHost: 127.0.0.1\n\n"),
            400,
            INVALID,
        ),
        (
            "proxy request",
            raw("CONNECT 127.0.0.1:22 HTTP/1.1\nHost: 127.0.0.1:22\n\n"),
            400,
            INVALID,
        ),
        (
            "asterisk",
            raw("OPTIONS * HTTP/1.1\nHost: 127.0.0.1\n\n"),
            400,
            INVALID,
        ),
        ("unknown path", post_with("/admin", "", b"{}"), 404, INVALID),
        (
            "path with dots",
            post_with("/x/../rpc", "", b"{}"),
            404,
            INVALID,
        ),
        (
            "path with a final slash",
            post_with("/rpc/", "", b"{}"),
            404,
            INVALID,
        ),
        (
            "path with escapes",
            post_with("/%72pc", "", b"{}"),
            404,
            INVALID,
        ),
        ("two slashes", get("//health"), 404, INVALID),
        ("GET of the call path", get("/rpc"), 405, INVALID),
        (
            "POST to health",
            post_with("/health", "", b"{}"),
            405,
            INVALID,
        ),
        (
            "DELETE",
            raw("DELETE /rpc HTTP/1.1\nHost: localhost\n\n"),
            405,
            INVALID,
        ),
        (
            "method in small letters",
            raw("get /health HTTP/1.1\nHost: localhost\n\n"),
            405,
            INVALID,
        ),
        (
            "unknown method",
            raw("BREW /rpc HTTP/1.1\nHost: localhost\n\n"),
            405,
            INVALID,
        ),
        (
            "HTTP/2 by preface",
            raw("PRI * HTTP/2.0\n\nSM\n\n"),
            505,
            INVALID,
        ),
        (
            "HTTP/1.2",
            raw("GET /health HTTP/1.2\nHost: localhost\n\n"),
            505,
            INVALID,
        ),
        ("HTTP/0.9", raw("GET /health\n\n"), 400, INVALID),
        (
            "another protocol",
            raw("EHLO example.org\n\n"),
            400,
            INVALID,
        ),
        (
            "TLS hello",
            vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
            400,
            INVALID,
        ),
        ("NUL first", vec![0; 32], 400, INVALID),
        (
            "NUL in the path",
            raw("GET /hea\0lth HTTP/1.1\nHost: localhost\n\n"),
            400,
            INVALID,
        ),
        (
            "NUL in a header",
            raw("GET /health HTTP/1.1\nHost: localhost\nX: \0\n\n"),
            400,
            INVALID,
        ),
        (
            "line feeds alone",
            b"GET /health HTTP/1.1\nHost: localhost\n\n".to_vec(),
            400,
            INVALID,
        ),
        (
            "carriage return alone",
            b"GET /health HTTP/1.1\rHost: localhost\r\r".to_vec(),
            400,
            INVALID,
        ),
        (
            "header without a colon",
            raw("GET /health HTTP/1.1\nHost: localhost\nnonsense\n\n"),
            400,
            INVALID,
        ),
        (
            "header without a name",
            raw("GET /health HTTP/1.1\nHost: localhost\n: x\n\n"),
            400,
            INVALID,
        ),
        (
            "header name with a space",
            raw("GET /health HTTP/1.1\nHost: localhost\nA B: x\n\n"),
            400,
            INVALID,
        ),
        (
            "header name beyond ASCII",
            raw("GET /health HTTP/1.1\nHost: localhost\nÄ: x\n\n"),
            400,
            INVALID,
        ),
        (
            "folded header",
            raw("GET /health HTTP/1.1\nHost: localhost\nX: a\n b\n\n"),
            400,
            INVALID,
        ),
        (
            "path beyond UTF-8",
            b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            400,
            INVALID,
        ),
        (
            "two spaces",
            raw("GET  /health HTTP/1.1\nHost: localhost\n\n"),
            400,
            INVALID,
        ),
        (
            "too many headers",
            raw(&format!("GET /health HTTP/1.1\nHost: localhost\n{many}\n")),
            431,
            INVALID,
        ),
        ("too long a header", raw(&long), 431, INVALID),
        ("too long a path", raw(&far), 431, INVALID),
        (
            "endless empty lines",
            raw(&"\n".repeat(5_000)),
            431,
            INVALID,
        ),
        (
            "strange expectation",
            post_with("/rpc", "Expect: 200-ok\r\n", b"{}"),
            417,
            INVALID,
        ),
    ]
}

fn check(cases: Vec<Case>) {
    let service = Service::new();
    for (name, bytes, status, code) in cases {
        let mut client = service.client();
        let reply = client
            .ask(&bytes)
            .unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!(reply.status, status, "{name}: {}", reply.head);
        let body = reply.json();
        assert_eq!(body["error"]["code"], code, "{name}: {body}");
        assert_eq!(body["jsonrpc"], "2.0", "{name}");
        let text = body["error"]["message"].as_str().unwrap_or_default();
        assert!(text.len() > 10, "{name}: {body}");
        if status != 200 {
            assert!(body["id"].is_null(), "{name}: {body}");
        }
        assert_eq!(reply.head.contains("\r\nAllow: "), status == 405, "{name}");
        service.assert_alive(name);
    }
    assert_eq!(service.info_calls(), 0);
}

#[test]
fn doubtful_lengths_are_refused_and_survived() {
    check(lengths());
}

#[test]
fn malformed_heads_are_refused_and_survived() {
    check(heads());
}

#[test]
fn what_is_no_stream_is_refused_and_survived() {
    check(crate::upgrades::upgrades());
}

#[test]
fn malformed_calls_get_their_error_object() {
    check(calls());
}

#[test]
fn a_refusal_without_a_body_on_its_way_keeps_the_connection() {
    let service = Service::new();
    let mut client = service.client();
    for _ in 0..3 {
        assert_eq!(client.ask(&get("/favicon.ico")).unwrap().status, 404);
        let preflight = raw("OPTIONS /rpc HTTP/1.1\nHost: localhost\nOrigin: http://evil.example\nAccess-Control-Request-Method: POST\n\n");
        let reply = client.ask(&preflight).unwrap();
        assert_eq!(reply.status, 405);
        assert!(!reply.head.contains("Access-Control"));
    }
    assert_eq!(client.ask(&post(call(1).as_bytes())).unwrap().status, 200);
}
