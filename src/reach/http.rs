//! HTTP as home routers speak it: one request, one answer, then the end.
//!
//! [`Place`] is where on the gateway it goes: its own address and nothing else, so
//! that a description cannot send this node's requests to somebody else. [`Reply`]
//! collects an answer up to a bound, by its length, in chunks, or up to the end.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Bytes of an answer, head and all. Descriptions of rich routers have some 20 KB.
pub const REPLY_MAX: usize = 64 << 10;
/// Heads of an answer: more than any router sends.
const HEADERS_MAX: usize = 48;
/// Longest path of an address: real ones have some dozen bytes.
const PATH_MAX: usize = 512;

/// A path on the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The gateway.
    pub ip: Ipv4Addr,
    /// Any port of it.
    pub port: u16,
    /// Begins with a slash; printable ASCII.
    pub path: String,
}

impl Place {
    /// `http://GATEWAY[:PORT]/path`, as long as that is the gateway.
    #[must_use]
    pub fn parse(url: &str, gateway: Ipv4Addr) -> Option<Place> {
        let url = url.trim();
        let scheme = url.get(..7)?;
        if !scheme.eq_ignore_ascii_case("http://") {
            return None;
        }
        let rest = url.get(7..)?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let (host, port) = match host.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (host, 80),
        };
        if host.parse::<Ipv4Addr>() != Ok(gateway) || port == 0 {
            return None;
        }
        let mut place = Place {
            ip: gateway,
            port,
            path: "/".to_owned(),
        };
        if !path.is_empty() {
            place.path = sound(path)?;
        }
        Some(place)
    }

    /// What a reference found at this place means.
    #[must_use]
    pub fn join(&self, reference: &str) -> Option<Place> {
        let reference = reference.trim();
        if reference.contains("://") {
            return Place::parse(reference, self.ip);
        }
        let path = if reference.starts_with('/') {
            sound(reference)?
        } else {
            let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            sound(&format!("{folder}/{reference}"))?
        };
        Some(Place {
            path,
            ..self.clone()
        })
    }

    /// Where to connect.
    #[must_use]
    pub fn socket(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.ip, self.port)
    }

    /// A request for what is there.
    #[must_use]
    pub fn get(&self) -> String {
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.path,
            self.socket()
        )
    }

    /// A SOAP request.
    #[must_use]
    pub fn post(&self, service: &str, action: &str, body: &str) -> String {
        format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/xml; charset=\"utf-8\"\r\nSOAPAction: \"{service}#{action}\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.path,
            self.socket(),
            body.len()
        )
    }
}

fn sound(path: &str) -> Option<String> {
    let fits = path.len() <= PATH_MAX && path.bytes().all(|b| b.is_ascii_graphic());
    (fits && path.starts_with('/')).then(|| path.to_owned())
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its code.
    pub status: u16,
    /// What came, what is no UTF-8 replaced.
    pub body: String,
}

/// Collects an answer.
#[derive(Debug, Default)]
pub struct Reply {
    bytes: Vec<u8>,
}

/// How the body ends.
enum End {
    Length(usize),
    Chunks,
    Close,
}

impl Reply {
    /// More has come; `ended`: and nothing will follow.
    ///
    /// # Errors
    /// It is no answer, or too long.
    pub fn feed(&mut self, bytes: &[u8], ended: bool) -> Result<Option<Answer>, &'static str> {
        if self.bytes.len() + bytes.len() > REPLY_MAX {
            return Err("more than 64 KB");
        }
        self.bytes.extend_from_slice(bytes);
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let head = match response.parse(&self.bytes) {
            Ok(httparse::Status::Complete(head)) => head,
            Ok(httparse::Status::Partial) if ended => return Err("it ends in its head"),
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err("no HTTP"),
        };
        let status = response.code.unwrap_or(0);
        let mut end = End::Close;
        for header in response.headers.iter() {
            let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
            if header.name.eq_ignore_ascii_case("transfer-encoding") {
                if value.eq_ignore_ascii_case("chunked") {
                    end = End::Chunks;
                    break;
                }
            } else if header.name.eq_ignore_ascii_case("content-length") {
                end = End::Length(value.parse().map_err(|_| "a length that is none")?);
            }
        }
        let rest = self.bytes.get(head..).unwrap_or_default();
        let body = match end {
            End::Length(length) if length > REPLY_MAX => return Err("more than 64 KB"),
            End::Length(length) => rest.get(..length).map(<[u8]>::to_vec),
            End::Chunks => chunks(rest)?,
            End::Close => ended.then(|| rest.to_vec()),
        };
        match body {
            Some(body) => Ok(Some(Answer {
                status,
                body: String::from_utf8_lossy(&body).into_owned(),
            })),
            None if ended => Err("it ends before its end"),
            None => Ok(None),
        }
    }
}

/// The bytes in chunks, once the last one is there.
fn chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut body = Vec::new();
    loop {
        match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete((_, 0))) => return Ok(Some(body)),
            Ok(httparse::Status::Complete((at, length))) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                if length > REPLY_MAX {
                    return Err("more than 64 KB");
                }
                let Some(part) = rest.get(at..at + length) else {
                    return Ok(None);
                };
                body.extend_from_slice(part);
                // The end of the line after it.
                let Some(next) = rest.get(at + length + 2..) else {
                    return Ok(None);
                };
                rest = next;
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err("chunks that are none"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

    fn answer(bytes: &[u8]) -> Result<Option<Answer>, &'static str> {
        Reply::default().feed(bytes, true)
    }

    #[test]
    fn nobody_but_the_gateway_is_asked() {
        let place = Place::parse("http://192.168.1.1:5000/root/desc.xml", GATEWAY).unwrap();
        assert_eq!((place.port, place.path.as_str()), (5000, "/root/desc.xml"));
        assert_eq!(place.join("/ctl").unwrap().path, "/ctl");
        assert_eq!(place.join("ctl?a=b").unwrap().path, "/root/ctl?a=b");
        let other = place.join("http://192.168.1.1:49152/c").unwrap();
        assert_eq!(other.port, 49152);
        assert_eq!(
            Place::parse("HTTP://192.168.1.1", GATEWAY).unwrap().path,
            "/"
        );
        for wrong in [
            "http://192.168.1.2:5000/",
            "http://192.168.1.1@10.0.0.1/",
            "http://192.168.1.1:0/",
            "http://192.168.1.1.example/",
            "https://192.168.1.1/",
            "http://router/",
            "file:///etc/passwd",
            "http://192.168.1.1:80:80/",
            "http://192.168.1.1/a\r\nHost: x",
            "",
        ] {
            assert_eq!(Place::parse(wrong, GATEWAY), None, "{wrong:?}");
        }
        assert_eq!(place.join("http://10.0.0.1/ctl"), None);
        assert_eq!(place.join("/a b"), None);
    }

    #[test]
    fn each_kind_of_end_is_found() {
        let by_length = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd";
        assert_eq!(answer(by_length).unwrap().unwrap().body, "abc");
        let by_close = b"HTTP/1.0 500 No\r\n\r\nabc";
        let found = answer(by_close).unwrap().unwrap();
        assert_eq!((found.status, found.body.as_str()), (500, "abc"));
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        assert_eq!(answer(chunked).unwrap().unwrap().body, "abc");
        // Byte by byte it is the same, and is known before the end.
        let mut reply = Reply::default();
        let mut found = None;
        for byte in chunked {
            found = found.or(reply.feed(&[*byte], false).unwrap());
        }
        assert_eq!(found.unwrap().body, "abc");
    }

    #[test]
    fn an_answer_without_end_is_given_up() {
        let mut reply = Reply::default();
        let mut fed = reply.feed(b"HTTP/1.1 200 OK\r\n\r\n", false);
        while let Ok(None) = fed {
            fed = reply.feed(&[b'a'; 1000], false);
        }
        assert_eq!(fed, Err("more than 64 KB"));
        let huge = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
        assert!(Reply::default().feed(huge, false).is_err());
        let huge = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n";
        assert!(Reply::default().feed(huge, false).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            head in any::<bool>(),
        ) {
            let mut all = if head {
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()
            } else {
                Vec::new()
            };
            all.extend(bytes);
            let _ = answer(&all);
        }

        #[test]
        fn any_reference_stays_on_the_gateway(reference in "[a-z/:.0-9@?# ]{0,60}") {
            let place = Place::parse("http://192.168.1.1:5000/root/desc.xml", GATEWAY).unwrap();
            if let Some(joined) = place.join(&reference) {
                prop_assert_eq!(joined.ip, GATEWAY);
                prop_assert!(joined.path.starts_with('/'));
            }
        }
    }
}
