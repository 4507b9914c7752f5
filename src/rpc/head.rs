//! The request head: what it asks for. Without I/O.
//!
//! [`parse`] judges a whole head. Framing that two programs could read in two
//! ways (RFC 9112, section 11.2) is refused and the connection closed: it has no
//! honest use here.

use super::events::sse;
use super::host::{self, HostCheck};
use super::limits::{MAX_BODY, MAX_HEADERS};
use super::reply::Refusal;
use super::token;
use super::websocket::handshake;
use crate::parts::{self, EVENTS};

/// What is asked, by path and method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// `GET /health`
    Health,
    /// `GET /ready`
    Ready,
    /// `POST /rpc` and `POST /`
    Rpc,
    /// `GET /`: the status page.
    Page,
    /// `GET /metrics`
    Metrics,
    /// `GET /config`: the settings in force.
    Config,
    /// `POST /config`: change settings.
    ChangeConfig,
    /// `GET /events`: server-sent events; the door itself answers.
    Events,
    /// `GET /ws`: WebSocket; the door itself answers.
    WebSocket,
}

/// What a request says of its right to ask (`Authorization`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    /// There is none.
    None,
    /// `Bearer` and 64 hexadecimal digits.
    Token([u8; 32]),
    /// Something else.
    Strange,
}

/// A head that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// What is asked.
    pub question: Question,
    /// HEAD: the same answer without its body.
    pub head_only: bool,
    /// Bytes of body that follow.
    pub body: usize,
    /// Whether the client wants the connection to stay.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Its right to ask.
    pub credential: Credential,
    /// What it wants to hear, or how it wants to talk, if the connection is to stay.
    pub stay: Option<Box<Stay>>,
    /// A proxy has passed it on for somebody else, so where the connection comes from says nothing.
    pub forwarded: bool,
}

/// Why a connection stays after its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    /// For events.
    Events(sse::Wish),
    /// As a WebSocket.
    WebSocket(handshake::Key),
}

/// A head that is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    /// What to say.
    pub refusal: Refusal,
    /// HEAD: say it without the body.
    pub head_only: bool,
    /// Whether the connection can go on: it is clear where the next request begins, and wanted.
    pub keep_alive: bool,
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Rejected {
        Rejected {
            refusal,
            head_only: false,
            keep_alive: false,
        }
    }
}

/// Parses and judges a complete head. `hosts` are the operator's names for this service.
pub(super) fn parse(bytes: &[u8], hosts: &[String]) -> Result<Head, Rejected> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(end)) if end == bytes.len() => {}
        Ok(_) => return Err(bad("the head is not one request").into()),
        Err(error) => return Err(unparsable(error).into()),
    }
    let fields = Fields::read(request.headers)?;
    let is_11 = request.version == Some(1);
    let body = fields.body_length()?;
    let keep_alive = !fields.close && (is_11 || fields.keep_alive);
    let head_only = request.method == Some("HEAD");
    judge(&request, &fields, body, is_11, hosts)
        .map(|(question, stay)| Head {
            question,
            stay,
            head_only,
            body: usize::try_from(body).unwrap_or(usize::MAX),
            keep_alive,
            expects_continue: is_11 && fields.expect.is_some(),
            credential: fields.credential(),
            forwarded: fields.forwarded,
        })
        .map_err(|refusal| Rejected {
            refusal,
            head_only,
            keep_alive: keep_alive && body == 0,
        })
}

/// Everything after framing: a refusal from here leaves the connection usable.
fn judge(
    request: &httparse::Request<'_, '_>,
    fields: &Fields<'_>,
    body: u64,
    is_11: bool,
    hosts: &[String],
) -> Result<(Question, Option<Box<Stay>>), Refusal> {
    check_host(fields.host, is_11, hosts)?;
    let target = request.path.unwrap_or_default();
    if !target.starts_with('/') {
        return Err(bad("the target must be a path; this is no proxy"));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let question = route(request.method.unwrap_or_default(), path)?;
    if matches!(question, Question::Rpc | Question::ChangeConfig) {
        if fields.length.is_none() {
            return Err(Refusal::new(411, "a POST needs a Content-Length"));
        }
        if !fields.content_type.is_some_and(is_json) {
            return Err(Refusal::new(
                415,
                "send JSON with Content-Type: application/json",
            ));
        }
    } else if body != 0 {
        return Err(bad("a GET has no body here"));
    }
    if let Some(expect) = fields.expect {
        if is_11 && !expect.eq_ignore_ascii_case(b"100-continue") {
            return Err(Refusal::new(
                417,
                "the only expectation met here is 100-continue",
            ));
        }
    }
    let stay = match question {
        Question::Events if EVENTS.built => {
            Some(Stay::Events(sse::wish(query, fields.last_event_id)?))
        }
        Question::WebSocket if EVENTS.built => {
            let key = handshake::judge(&fields.opening(), is_11)?;
            Some(Stay::WebSocket(key))
        }
        _ => None,
    };
    Ok((question, stay.map(Box::new)))
}

/// What a method and a path ask.
fn route(method: &str, path: &str) -> Result<Question, Refusal> {
    let reads = matches!(method, "GET" | "HEAD");
    if let Some(part) = parts::missing_for_path(path).filter(|_| path != "/" || reads) {
        return Err(Refusal::new(404, part.absent));
    }
    let question = match path {
        "/" if reads => Question::Page,
        "/" | "/rpc" if method == "POST" => Question::Rpc,
        "/" => return Err(Refusal::method("GET, HEAD, POST")),
        "/rpc" => return Err(Refusal::method("POST")),
        "/config" if reads => Question::Config,
        "/config" if method == "POST" => Question::ChangeConfig,
        "/config" => return Err(Refusal::method("GET, HEAD, POST")),
        // A stream has no end, so it has no head either.
        "/events" if method == "GET" => Question::Events,
        "/ws" if method == "GET" => Question::WebSocket,
        "/events" | "/ws" => return Err(Refusal::method("GET")),
        "/health" => Question::Health,
        "/ready" => Question::Ready,
        "/metrics" => Question::Metrics,
        _ => {
            return Err(Refusal::new(
                404,
                "no such path; there are POST /rpc, GET /, /health, /ready, /metrics, /events, /ws and /config",
            ))
        }
    };
    let read_only = matches!(
        question,
        Question::Health | Question::Ready | Question::Metrics
    );
    if read_only && !reads {
        return Err(Refusal::method("GET, HEAD"));
    }
    Ok(question)
}

fn check_host(value: Option<&[u8]>, is_11: bool, hosts: &[String]) -> Result<(), Refusal> {
    let Some(value) = value else {
        // HTTP/1.0 did not have it. Browsers never speak 1.0, so rebinding gains nothing.
        return if is_11 {
            Err(bad("HTTP/1.1 needs a Host header"))
        } else {
            Ok(())
        };
    };
    match std::str::from_utf8(value).map_or(HostCheck::Malformed, |v| host::check(v, hosts)) {
        HostCheck::Ours => Ok(()),
        HostCheck::Malformed => Err(bad("the Host header is not a host")),
        HostCheck::Foreign => Err(Refusal::new(
            403,
            "this host name is not ours; use the IP address or localhost, or add the name to network.rpc_hosts",
        )),
    }
}

/// JSON is UTF-8; another charset would be read wrongly.
fn is_json(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else {
        return false;
    };
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    kind.eq_ignore_ascii_case("application/json")
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
                charset.trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        })
}

fn bad(text: &'static str) -> Refusal {
    Refusal::new(400, text)
}

fn unparsable(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::Version => Refusal::new(505, "only HTTP/1.0 and HTTP/1.1 are spoken here"),
        httparse::Error::TooManyHeaders => {
            Refusal::new(431, format!("more than {MAX_HEADERS} headers; send fewer"))
        }
        other => Refusal::new(400, format!("not an HTTP request: {other}")),
    }
}

/// The headers that mean something here; each may come once.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    length: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    expect: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
    last_event_id: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    upgrade: Option<&'a [u8]>,
    websocket_key: Option<&'a [u8]>,
    websocket_version: Option<&'a [u8]>,
    /// `Connection: Upgrade`
    upgrades: bool,
    /// What proxies add when they speak for somebody else.
    forwarded: bool,
    encoding: bool,
    close: bool,
    keep_alive: bool,
}

impl<'a> Fields<'a> {
    fn read(headers: &[httparse::Header<'a>]) -> Result<Fields<'a>, Refusal> {
        let mut fields = Fields::default();
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            let single = if is("host") {
                &mut fields.host
            } else if is("content-length") {
                &mut fields.length
            } else if is("content-type") {
                &mut fields.content_type
            } else if is("expect") {
                &mut fields.expect
            } else if is("authorization") {
                &mut fields.authorization
            } else if is("last-event-id") {
                &mut fields.last_event_id
            } else if is("origin") {
                &mut fields.origin
            } else if is("upgrade") {
                &mut fields.upgrade
            } else if is("sec-websocket-key") {
                &mut fields.websocket_key
            } else if is("sec-websocket-version") {
                &mut fields.websocket_version
            } else {
                fields.forwarded |= ["forwarded", "via", "x-forwarded-for", "x-real-ip"]
                    .iter()
                    .any(|name| is(name));
                fields.encoding |= is("transfer-encoding");
                if is("connection") {
                    for token in header.value.split(|&b| b == b',') {
                        let token = token.trim_ascii();
                        fields.close |= token.eq_ignore_ascii_case(b"close");
                        fields.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                        fields.upgrades |= token.eq_ignore_ascii_case(b"upgrade");
                    }
                }
                continue;
            };
            if single.replace(header.value).is_some() {
                return Err(Refusal::new(
                    400,
                    format!("the header {} came twice", header.name),
                ));
            }
        }
        Ok(fields)
    }

    /// The opening handshake of a WebSocket.
    fn opening(&self) -> handshake::Fields<'a> {
        handshake::Fields {
            upgrade: self.upgrade,
            connection: self.upgrades,
            version: self.websocket_version,
            key: self.websocket_key,
            origin: self.origin,
            host: self.host,
        }
    }

    /// What it says of its right to ask.
    fn credential(&self) -> Credential {
        let Some(value) = self.authorization else {
            return Credential::None;
        };
        let token = value.split_at_checked(7).and_then(|(scheme, token)| {
            let bearer = scheme.eq_ignore_ascii_case(b"bearer ");
            bearer.then(|| token::decode(token.trim_ascii()))?
        });
        token.map_or(Credential::Strange, Credential::Token)
    }

    /// Bytes of body, by exactly one way of telling.
    fn body_length(&self) -> Result<u64, Refusal> {
        if self.encoding {
            return Err(if self.length.is_some() {
                bad("Content-Length and Transfer-Encoding contradict each other")
            } else {
                Refusal::new(501, "send a Content-Length instead of a Transfer-Encoding")
            });
        }
        let Some(value) = self.length else {
            return Ok(0);
        };
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(bad("Content-Length must be one decimal number"));
        }
        // All digits: what does not fit 64 bits is too large, not malformed.
        let length = std::str::from_utf8(value)
            .ok()
            .and_then(|digits| digits.parse::<u64>().ok())
            .unwrap_or(u64::MAX);
        if length > MAX_BODY as u64 {
            return Err(Refusal::new(
                413,
                format!("the body is longer than {MAX_BODY} bytes; split the batch"),
            ));
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const POST: &str = "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n";

    fn status(head: &str) -> u16 {
        parse(head.as_bytes(), &[]).unwrap_err().refusal.status
    }

    #[test]
    fn a_good_head_is_understood() {
        let head = parse(POST.as_bytes(), &[]).unwrap();
        assert_eq!(head.question, Question::Rpc);
        assert_eq!((head.body, head.keep_alive), (7, true));
        assert!(!head.expects_continue && !head.head_only);
    }

    #[test]
    fn no_second_request_hides_behind_a_doubtful_length() {
        for (length, want) in [
            ("Content-Length: 7\r\nContent-Length: 7", 400),
            ("Content-Length: 7\r\nContent-Length: 0", 400),
            ("Content-Length: 7, 7", 400),
            ("Content-Length: +7", 400),
            ("Content-Length: -1", 400),
            ("Content-Length: 0x7", 400),
            ("Content-Length: 7 ;", 400),
            ("Content-Length:", 400),
            ("Content-Length : 7", 400),
            ("Content-Length: 1048577", 413),
            ("Content-Length: 99999999999999999", 413),
            ("Content-Length: 999999999999999999999999999999", 413),
            ("Transfer-Encoding: chunked", 501),
            ("Transfer-Encoding: identity", 501),
            ("Content-Length: 7\r\nTransfer-Encoding: chunked", 400),
        ] {
            let head = POST.replace("Content-Length: 7", length);
            let rejected = parse(head.as_bytes(), &[]).unwrap_err();
            assert_eq!(rejected.refusal.status, want, "{length}");
            assert!(!rejected.keep_alive, "{length}");
        }
    }

    #[test]
    fn only_json_is_taken_so_that_no_web_form_can_call() {
        for (kind, want) in [
            ("text/plain", 415),
            ("application/x-www-form-urlencoded", 415),
            ("application/jsonp", 415),
            ("application/json; charset=latin1", 415),
            ("application/json\r\nContent-Type: application/json", 400),
        ] {
            assert_eq!(status(&POST.replace("application/json", kind)), want);
        }
        for kind in [
            "Application/JSON",
            "application/json; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
        ] {
            let head = POST.replace("application/json", kind);
            assert!(parse(head.as_bytes(), &[]).is_ok(), "{kind}");
        }
    }

    #[test]
    fn a_refused_method_names_the_right_ones_and_keeps_the_connection() {
        let rejected = parse(b"OPTIONS /rpc HTTP/1.1\r\nHost: localhost\r\n\r\n", &[]).unwrap_err();
        assert_eq!(rejected.refusal.allow, Some("POST"));
        assert!(rejected.keep_alive);
        let rejected = parse(b"PUT /health HTTP/1.0\r\n\r\n", &[]).unwrap_err();
        assert_eq!(rejected.refusal.allow, Some("GET, HEAD"));
        assert!(!rejected.keep_alive);
    }

    #[test]
    fn connection_tokens_decide_who_closes() {
        for (version, value, want) in [
            ("1.1", "x", true),
            ("1.1", "foo, Close", false),
            ("1.1", "keep-alive, close", false),
            ("1.0", "x", false),
            ("1.0", "Keep-Alive", true),
        ] {
            let head =
                format!("GET /ready HTTP/{version}\r\nHost: [::1]\r\nConnection: {value}\r\n\r\n");
            assert_eq!(parse(head.as_bytes(), &[]).unwrap().keep_alive, want);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse(&bytes, &[]);
        }

        #[test]
        fn a_head_that_passes_has_one_length_within_its_bound(
            lines in proptest::collection::vec(
                prop_oneof![
                    Just("Content-Length: 5".to_owned()),
                    Just("Transfer-Encoding: chunked".to_owned()),
                    Just("Content-Type: application/json".to_owned()),
                    "Content-Length: [0-9+,x ]{1,9}",
                    "[A-Za-z-]{1,12}: [ -~]{0,20}",
                ],
                0..8,
            ),
        ) {
            let text = format!("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n{}\r\n\r\n", lines.join("\r\n"));
            if let Ok(head) = parse(text.as_bytes(), &[]) {
                let lower = text.to_ascii_lowercase();
                prop_assert_eq!(lower.matches("\r\ncontent-length:").count(), 1);
                prop_assert!(!lower.contains("\r\ntransfer-encoding:"));
                prop_assert!(head.body <= MAX_BODY);
            }
        }
    }
}
