//! PEM (RFC 7468) and the base64 (RFC 4648) in it.

use rustls::pki_types::pem::{PemObject, SectionKind};

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Digits in a line of PEM.
const LINE: usize = 64;

/// The contents of all sections with this label; others are skipped, and reading
/// ends where the text is broken.
pub(super) fn sections(text: &[u8], label: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        match section {
            Ok((kind, contents)) if word(kind) == label => found.push(contents),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    found
}

fn word(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::Certificate => "CERTIFICATE",
        SectionKind::PrivateKey => "PRIVATE KEY",
        SectionKind::EcPrivateKey => "EC PRIVATE KEY",
        _ => "",
    }
}

/// One section.
pub(super) fn section(label: &str, der: &[u8]) -> String {
    let digits = base64(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in digits.as_bytes().chunks(LINE) {
        text.extend(line.iter().map(|digit| char::from(*digit)));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// `bytes` in base64, with padding.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| three.get(at).map_or(0, |b| u32::from(*b));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * place)) as usize & 63);
            match digit {
                Some(digit) if place <= three.len() => text.push(char::from(*digit)),
                _ => text.push('='),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        // RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(der in proptest::collection::vec(any::<u8>(), 1..400)) {
            let text = format!("remark\n{}junk", section("CERTIFICATE", &der));
            prop_assert_eq!(sections(text.as_bytes(), "CERTIFICATE"), vec![der]);
            prop_assert!(sections(text.as_bytes(), "PRIVATE KEY").is_empty());
        }

        #[test]
        fn any_text_is_read_without_harm(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = sections(&text, "CERTIFICATE");
        }
    }
}
