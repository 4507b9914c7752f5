//! The opening handshake of WebSocket (RFC 6455, section 4.2), without I/O.

use super::super::reply::Refusal;
use crate::tls::base64;
use ring::digest::{digest, SHA1_FOR_LEGACY_USE_ONLY};

/// What the key is joined with, by the standard.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Digits of a key: 16 bytes in base64.
const KEY: usize = 24;

/// The key of a client, which our answer has to prove to have understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key([u8; KEY]);

/// What a request for a WebSocket says, each header as it came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'a> {
    /// `Upgrade`.
    pub upgrade: Option<&'a [u8]>,
    /// Whether `Connection` has the word `upgrade`.
    pub connection: bool,
    /// `Sec-WebSocket-Version`.
    pub version: Option<&'a [u8]>,
    /// `Sec-WebSocket-Key`.
    pub key: Option<&'a [u8]>,
    /// `Origin`.
    pub origin: Option<&'a [u8]>,
    /// `Host`.
    pub host: Option<&'a [u8]>,
}

/// Judges the request; `is_11`: it is HTTP/1.1.
///
/// # Errors
/// What has to be answered.
pub fn judge(fields: &Fields<'_>, is_11: bool) -> Result<Key, Refusal> {
    let has = |value: Option<&[u8]>, word: &[u8]| {
        value.is_some_and(|value| {
            let mut words = value.split(|b| *b == b',');
            words.any(|found| found.trim_ascii().eq_ignore_ascii_case(word))
        })
    };
    if !is_11 || !has(fields.upgrade, b"websocket") || !fields.connection {
        return Err(Refusal::upgrade(
            "this is a WebSocket: ask with Upgrade: websocket and Connection: Upgrade",
        ));
    }
    if fields.version.map(<[u8]>::trim_ascii) != Some(b"13") {
        return Err(Refusal::upgrade(
            "Sec-WebSocket-Version has to be 13 (RFC 6455)",
        ));
    }
    let key = fields.key.map(<[u8]>::trim_ascii).unwrap_or_default();
    let Some(key) = read_key(key) else {
        return Err(Refusal::new(
            400,
            "Sec-WebSocket-Key has to be 16 bytes in base64",
        ));
    };
    check_origin(fields.origin, fields.host)?;
    Ok(key)
}

/// A page of a stranger's site can open a WebSocket to any address that its
/// reader's browser can reach, and no rule of the browser keeps it from reading
/// what comes (cross-site WebSocket hijacking). Only `Origin` tells, so one that
/// is there has to name the host that was asked. Programs send none.
fn check_origin(origin: Option<&[u8]>, host: Option<&[u8]>) -> Result<(), Refusal> {
    let Some(origin) = origin else {
        return Ok(());
    };
    let after = |scheme: &[u8]| origin.strip_prefix(scheme);
    let site = after(b"https://").or_else(|| after(b"http://"));
    match (site, host) {
        (Some(site), Some(host)) if site.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(Refusal::new(
            403,
            "a page of another site may not open this WebSocket (Origin is not Host)",
        )),
    }
}

/// The key, if it is 16 bytes in base64: 22 digits and two signs that fill up.
fn read_key(text: &[u8]) -> Option<Key> {
    let digits = text.strip_suffix(b"==")?;
    let legal = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    if !digits.iter().all(legal) {
        return None;
    }
    text.try_into().ok().map(Key)
}

impl Key {
    /// `Sec-WebSocket-Accept`.
    fn accept(&self) -> String {
        let joined = [&self.0[..], GUID].concat();
        base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, &joined).as_ref())
    }

    /// The answer that turns the connection into a WebSocket.
    #[must_use]
    pub fn answer(&self) -> String {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            self.accept()
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GOOD: Fields<'static> = Fields {
        upgrade: Some(b"websocket"),
        connection: true,
        version: Some(b"13"),
        key: Some(b"dGhlIHNhbXBsZSBub25jZQ=="),
        origin: None,
        host: Some(b"localhost:8545"),
    };

    fn status(fields: &Fields<'_>) -> u16 {
        judge(fields, true).unwrap_err().status
    }

    #[test]
    fn the_key_of_the_standard_is_answered_as_there() {
        // Section 1.3.
        let answer = judge(&GOOD, true).unwrap().answer();
        assert!(
            answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            "{answer}"
        );
    }

    #[test]
    fn what_is_no_handshake_is_told_what_to_do() {
        for upgrade in [None, Some(&b"h2c"[..]), Some(b"")] {
            assert_eq!(status(&Fields { upgrade, ..GOOD }), 426);
        }
        let connection = false;
        assert_eq!(status(&Fields { connection, ..GOOD }), 426);
        for version in [None, Some(&b"8"[..]), Some(b"13, 8")] {
            assert_eq!(status(&Fields { version, ..GOOD }), 426);
        }
        assert_eq!(judge(&GOOD, false).unwrap_err().status, 426);
        for key in [
            None,
            Some(&b""[..]),
            Some(b"dGhlIHNhbXBsZSBub25jZQ="),
            Some(b"dGhlIHNhbXBsZSBub25jZQ==="),
            Some(b"dGhlIHNhbXBsZSBub25jZQ\r\n"),
            Some(b"dGhlIHNhbXBsZSBub25jZSE="),
        ] {
            assert_eq!(status(&Fields { key, ..GOOD }), 400, "{key:?}");
        }
        let upgrade = Some(&b"h2c, WebSocket"[..]);
        assert!(judge(&Fields { upgrade, ..GOOD }, true).is_ok());
    }

    #[test]
    fn no_page_of_another_site_gets_in() {
        for origin in [
            &b"http://evil.example"[..],
            b"https://evil.example",
            b"null",
            b"",
            b"http://localhost:8546",
            b"http://localhost",
            b"http://localhost:8545.evil.example",
            b"http://evil.example/http://localhost:8545",
            b"file://localhost:8545",
        ] {
            let origin = Some(origin);
            assert_eq!(status(&Fields { origin, ..GOOD }), 403, "{origin:?}");
        }
        for origin in [&b"http://localhost:8545"[..], b"https://LocalHost:8545"] {
            let origin = Some(origin);
            assert!(judge(&Fields { origin, ..GOOD }, true).is_ok());
        }
    }
}
