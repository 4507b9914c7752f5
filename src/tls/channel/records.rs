//! Where TLS records begin and end in a stream of bytes (RFC 8446, section 5.1):
//! `type:8, version:16, length:16`, then `length` bytes.

/// Bytes before the contents of a record.
const HEADER: usize = 5;

/// Most bytes that the contents of a record may have: 2^14 of plaintext and
/// what TLS 1.2 allows for sealing.
const MAX_CONTENTS: usize = 16_384 + 2_048;

/// The longest record.
pub(super) const MAX_RECORD: usize = HEADER + MAX_CONTENTS;

/// Length of the record at the front, header included, once that is known.
fn length(bytes: &[u8]) -> Option<usize> {
    match *bytes {
        [_, _, _, high, low, ..] => Some(HEADER + usize::from(u16::from_be_bytes([high, low]))),
        _ => None,
    }
}

/// How many bytes at the front of `bytes` are whole records. A record that
/// claims an illegal length counts with all that follows: it is for rustls to
/// refuse at once.
pub(super) fn whole(bytes: &[u8]) -> usize {
    let mut end = 0_usize;
    loop {
        let rest = bytes.get(end..).unwrap_or_default();
        match length(rest) {
            Some(length) if length > MAX_RECORD => return bytes.len(),
            Some(length) if length <= rest.len() => end += length,
            _ => return end,
        }
    }
}

/// How many bytes the record that begins with `partial` still needs; as long
/// as its header is not whole, how many that needs.
pub(super) fn missing(partial: &[u8]) -> usize {
    length(partial)
        .unwrap_or(HEADER)
        .saturating_sub(partial.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn record(contents: usize) -> Vec<u8> {
        let [high, low] = u16::try_from(contents).unwrap().to_be_bytes();
        let mut bytes = vec![23, 3, 3, high, low];
        bytes.resize(HEADER + contents, 0);
        bytes
    }

    #[test]
    fn an_illegal_length_never_waits_for_more_bytes() {
        for length in [MAX_CONTENTS + 1, 0xffff] {
            let mut bytes = record(3);
            bytes.extend_from_slice(&record(length)[..6]);
            assert_eq!(whole(&bytes), bytes.len());
        }
    }

    proptest! {
        #[test]
        fn no_record_boundary_is_missed(lengths in proptest::collection::vec(0..300_usize, 0..8), cut: prop::sample::Index) {
            let records: Vec<_> = lengths.iter().map(|length| record(*length)).collect();
            let stream = records.concat();
            let cut = cut.index(stream.len() + 1);
            let front = &stream[..cut];
            let end = whole(front);
            let starts: Vec<usize> = records.iter().scan(0, |at, r| { *at += r.len(); Some(*at) }).collect();
            let expected = starts.iter().copied().filter(|start| *start <= cut).max().unwrap_or(0);
            prop_assert_eq!(end, expected);
            if end < cut {
                let next = starts.iter().copied().find(|start| *start > cut).unwrap();
                let header = (end + HEADER).saturating_sub(cut);
                let missing = missing(&front[end..]);
                prop_assert_eq!(missing, if header > 0 { header } else { next - cut });
                prop_assert!(missing > 0);
            }
        }

        #[test]
        fn strange_bytes_never_panic(bytes: Vec<u8>) {
            prop_assert!(whole(&bytes) <= bytes.len());
            prop_assert!(missing(&bytes) <= MAX_RECORD.max(HEADER + 0xffff));
        }
    }
}
