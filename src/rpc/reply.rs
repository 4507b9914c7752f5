//! What goes back to a client: refusals and answers, as bytes.
//!
//! Every refusal has a JSON-RPC error object as its body, on every path: a
//! client that posted a call can always read it, and one form is easier to
//! test than two.

use super::page;
use crate::parts::STATUS_PAGE;
use std::borrow::Cow;
use std::time::Duration;

/// JSON-RPC: the body is not JSON.
pub(super) const PARSE_ERROR: i32 = -32700;
/// JSON-RPC: not a request as the standard has it; also every refusal of the door that is the client's doing.
pub(super) const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC: no such method.
pub(super) const METHOD_NOT_FOUND: i32 = -32601;
/// JSON-RPC: the method does not take these parameters.
pub(super) const INVALID_PARAMS: i32 = -32602;
/// JSON-RPC: our own defect.
pub(super) const INTERNAL_ERROR: i32 = -32603;
/// JSON-RPC, server-defined: not now; the text says why.
pub(super) const UNAVAILABLE: i32 = -32000;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// JSON.
    Json,
    /// The status page. Nothing that it needs lies elsewhere, and browsers are told so.
    Html,
    /// The text format of Prometheus.
    Metrics,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Json, Kind::Html, Kind::Metrics];

    /// The value of Content-Type.
    pub fn mime(self) -> &'static str {
        match self {
            Kind::Json => "application/json",
            Kind::Html => "text/html; charset=utf-8",
            Kind::Metrics => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A status and a body; an empty body goes with 204 alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// HTTP status.
    pub status: u16,
    /// What the body is.
    pub kind: Kind,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer in JSON.
    pub fn json(status: u16, body: Vec<u8>) -> Answer {
        Answer {
            status,
            kind: Kind::Json,
            body,
        }
    }
}

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// JSON-RPC code.
    pub code: i32,
    /// What, where and what to do.
    pub text: Cow<'static, str>,
    /// The methods that would do, with 405.
    pub allow: Option<&'static str>,
    /// Seconds after which to ask again, with 503 and 429.
    pub retry_after: Option<u8>,
}

/// JSON-RPC, server-defined: the asker may not do this.
pub(super) const FORBIDDEN: i32 = -32001;

impl Refusal {
    /// The client's fault.
    pub fn new(status: u16, text: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal {
            status,
            code: INVALID_REQUEST,
            text: text.into(),
            allow: None,
            retry_after: None,
        }
    }

    /// The operator's token is missing or wrong.
    pub fn unauthorised(text: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal {
            code: FORBIDDEN,
            ..Refusal::new(401, text)
        }
    }

    /// The asker has to wait.
    pub fn too_many(pause: Duration, text: &str) -> Refusal {
        let seconds = u8::try_from(pause.as_secs()).unwrap_or(u8::MAX);
        Refusal {
            code: FORBIDDEN,
            retry_after: Some(seconds),
            ..Refusal::new(429, format!("{text}; ask again in {seconds} s"))
        }
    }

    /// The path is a WebSocket, and the request does not ask for one.
    pub fn upgrade(text: &'static str) -> Refusal {
        Refusal::new(426, text)
    }

    /// The path is known, the method is not its own.
    pub fn method(allow: &'static str) -> Refusal {
        Refusal {
            allow: Some(allow),
            ..Refusal::new(
                405,
                format!("this path does not take that method; use {allow}"),
            )
        }
    }

    /// Not now.
    pub fn unavailable(text: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal {
            code: UNAVAILABLE,
            retry_after: Some(1),
            ..Refusal::new(503, text)
        }
    }

    fn body(&self) -> Vec<u8> {
        error_body(self.code, &self.text)
    }
}

/// A JSON-RPC error object without an id.
pub(super) fn error_body(code: i32, text: &str) -> Vec<u8> {
    serde_json::json!({
        "jsonrpc": "2.0",
        "error": { "code": code, "message": text },
        "id": null,
    })
    .to_string()
    .into_bytes()
}

/// How an answer is to be framed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framing {
    /// Leave the body out, as HEAD wants it.
    pub head_only: bool,
    /// Whether the connection stays.
    pub keep_alive: bool,
}

impl Answer {
    /// Head and body, ready to be sent in one write. `more` are header lines besides,
    /// each with its end.
    pub fn encode(&self, framing: Framing, more: &str) -> Vec<u8> {
        encode(self.status, self.kind, &self.body, framing, more)
    }
}

impl Refusal {
    /// The same as an answer, and the header lines that it needs.
    pub fn parts(&self) -> (Answer, String) {
        let mut lines = String::new();
        if let Some(methods) = self.allow {
            lines = format!("Allow: {methods}\r\n");
        }
        if let Some(seconds) = self.retry_after {
            lines.push_str(&format!("Retry-After: {seconds}\r\n"));
        }
        if self.status == 426 {
            lines.push_str(
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n",
            );
        }
        (Answer::json(self.status, self.body()), lines)
    }

    /// Head and body, ready to be sent in one write.
    pub fn encode(&self, framing: Framing, more: &str) -> Vec<u8> {
        let (answer, mut lines) = self.parts();
        lines.push_str(more);
        answer.encode(framing, &lines)
    }
}

/// No `Date`: a device without a battery-backed clock would lie. No `Server`: it helps attackers alone.
fn encode(status: u16, kind: Kind, body: &[u8], framing: Framing, more: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason_phrase(status));
    if status != 204 {
        head.push_str(&format!(
            "Content-Type: {}\r\nContent-Length: {}\r\n",
            kind.mime(),
            body.len()
        ));
    }
    head.push_str("Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
    if kind == Kind::Html && STATUS_PAGE.built {
        head.push_str(&page::policy());
    }
    if status == 401 {
        head.push_str("WWW-Authenticate: Bearer\r\n");
    }
    head.push_str(more);
    head.push_str(if framing.keep_alive {
        "Connection: keep-alive\r\n\r\n"
    } else {
        "Connection: close\r\n\r\n"
    });
    let mut bytes = head.into_bytes();
    if status != 204 && !framing.head_only {
        bytes.extend_from_slice(body);
    }
    bytes
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const KEEP: Framing = Framing {
        head_only: false,
        keep_alive: true,
    };

    #[test]
    fn an_empty_answer_announces_no_body() {
        let answer = Answer::json(204, Vec::new());
        let text = String::from_utf8(answer.encode(KEEP, "")).unwrap();
        assert!(text.starts_with("HTTP/1.1 204 No Content\r\n"));
        assert!(!text.contains("\r\nContent-"));
    }

    #[test]
    fn head_gets_the_length_and_not_the_body() {
        let answer = Answer::json(200, b"{}".to_vec());
        let framing = Framing {
            head_only: true,
            keep_alive: false,
        };
        let text = String::from_utf8(answer.encode(framing, "")).unwrap();
        assert!(text.contains("Content-Length: 2\r\n"));
        assert!(text.ends_with("Connection: close\r\n\r\n"));
    }

    #[test]
    fn a_refusal_is_an_error_object_with_id_null() {
        let text = String::from_utf8(Refusal::method("GET, HEAD").encode(KEEP, "")).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Allow: GET, HEAD\r\n"));
        assert!(head.contains("X-Content-Type-Options: nosniff"));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], INVALID_REQUEST);
        assert!(body["id"].is_null());
    }
}
