//! What browsers are told about the page: it brings everything along, so
//! everything else is forbidden (Content Security Policy, level 3).
//!
//! Style and script are named by their hashes. Were there ever a way to smuggle
//! an element into the page, its script would not run.

use super::{SCRIPT, STYLE};
use sha2::{Digest, Sha256};

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The head's lines that go with the page, each with its end of line.
pub(in crate::rpc) fn policy() -> String {
    format!(
        "Content-Security-Policy: default-src 'none'; style-src {}; script-src {}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\nReferrer-Policy: no-referrer\r\nX-Frame-Options: DENY\r\n",
        source(STYLE),
        source(SCRIPT),
    )
}

/// `'sha256-…'` of what stands between an element's tags.
fn source(text: &str) -> String {
    format!("'sha256-{}'", base64(&Sha256::digest(text.as_bytes())))
}

/// RFC 4648, section 4.
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut bits = 0u32;
        for place in 0..3 {
            bits = bits << 8 | u32::from(three.get(place).copied().unwrap_or(0));
        }
        for place in 0..4 {
            let sextet = (bits >> (18 - 6 * place) & 63) as usize;
            let letter = LETTERS.get(sextet).copied().unwrap_or(b'=');
            text.push(if place > three.len() {
                '='
            } else {
                char::from(letter)
            });
        }
    }
    text
}
