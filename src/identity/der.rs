//! DER (X.690), as far as certificates and keys need it: items in, items out.

use super::certificate::CertificateError;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_ID: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
/// `[0]` holding something whole (version) or bytes (key id).
pub(crate) const CONTEXT_0: u8 = 0xa0;
pub(crate) const CONTEXT_0_BYTES: u8 = 0x80;
/// `[1]` holding something whole.
pub(crate) const CONTEXT_1: u8 = 0xa1;
/// `[3]` holding something whole.
pub(crate) const CONTEXT_3: u8 = 0xa3;

/// One DER item: tag, length, `parts` joined. Our own items stay far below the
/// 65,535 bytes that two length bytes can say.
pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut item = Vec::with_capacity(length + 4);
    item.push(tag);
    let [.., high, low] = length.to_be_bytes();
    match (high, low) {
        (0, 0..=0x7f) => item.push(low),
        (0, _) => item.extend_from_slice(&[0x81, low]),
        _ => item.extend_from_slice(&[0x82, high, low]),
    }
    for part in parts {
        item.extend_from_slice(part);
    }
    item
}

/// What is left of a DER item.
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// Whether an item of kind `tag` is next.
    pub fn next_is(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    /// Takes one item of kind `tag` and returns its contents. Lengths must be
    /// definite and in their shortest form.
    pub fn item(&mut self, tag: u8, part: &'static str) -> Result<&'a [u8], CertificateError> {
        let malformed = CertificateError::Malformed(part);
        let (length, rest) = match *self.0 {
            [found, ..] if found != tag => return Err(malformed),
            [_, short @ 0..=0x7f, ref rest @ ..] => (usize::from(short), rest),
            [_, 0x81, long @ 0x80..=0xff, ref rest @ ..] => (usize::from(long), rest),
            [_, 0x82, high @ 1..=0xff, low, ref rest @ ..] => {
                (usize::from(u16::from_be_bytes([high, low])), rest)
            }
            _ => return Err(malformed),
        };
        let (contents, rest) = rest.split_at_checked(length).ok_or(malformed)?;
        self.0 = rest;
        Ok(contents)
    }

    /// Nothing may be left.
    pub fn end(&self, part: &'static str) -> Result<(), CertificateError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(CertificateError::Malformed(part))
        }
    }
}
