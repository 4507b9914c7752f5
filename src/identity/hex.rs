//! Hexadecimal text, lower case out, any case in.

use std::fmt;

const DIGITS: [u8; 16] = *b"0123456789abcdef";

/// Writes `bytes` as lower-case digits without a prefix.
///
/// # Errors
/// Only those of the writer.
#[allow(clippy::indexing_slicing)] // sixteen digits, four bits
pub fn write(out: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    // Lists of addresses are made every second: a formatter for each byte would be
    // half of what they cost.
    for chunk in bytes.chunks(32) {
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(chunk) {
            pair.copy_from_slice(&[
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]);
        }
        let digits = digits.get(..2 * chunk.len()).unwrap_or_default();
        out.write_str(std::str::from_utf8(digits).unwrap_or_default())?;
    }
    Ok(())
}

/// `bytes` as lower-case digits without a prefix.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    // Writing to a String cannot fail.
    let _ = write(&mut text, bytes);
    text
}

/// Reads exactly `N` bytes from `2 N` digits; `None` for any other length or
/// any other character. No prefix is accepted.
#[must_use]
pub fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let mut digits = text.bytes();
    for byte in &mut bytes {
        *byte = digit(digits.next()?)? << 4 | digit(digits.next()?)?;
    }
    digits.next().is_none().then_some(bytes)
}

/// Reads any even number of digits; `None` for anything else.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut digits = text.bytes();
    while let Some(high) = digits.next() {
        bytes.push(digit(high)? << 4 | digit(digits.next()?)?);
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_digit_too_few_or_too_many_is_refused() {
        assert_eq!(decode_array::<2>("00ff"), Some([0, 255]));
        for bad in ["00f", "00ff0", "00ff00", "", "0x00", "00fg", "00é"] {
            assert_eq!(decode_array::<2>(bad), None, "{bad}");
        }
        assert_eq!(decode("0"), None);
        assert_eq!(decode("zz"), None);
    }

    proptest! {
        #[test]
        fn text_comes_back_as_the_same_bytes(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&encode(&bytes)).unwrap(), bytes.clone());
            prop_assert_eq!(decode(&encode(&bytes).to_uppercase()).unwrap(), bytes);
        }
    }
}
