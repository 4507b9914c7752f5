#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use proptest::prelude::*;

/// A frame of a client, by hand.
fn sent(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        n @ 0..=125 => bytes.push(0x80 | n as u8),
        n @ 126..=65_535 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&mask);
    let masked = payload.iter().enumerate().map(|(n, b)| b ^ mask[n % 4]);
    bytes.extend(masked);
    bytes
}

/// All that comes out when `bytes` come in pieces of `size`, then the error.
fn heard(bytes: &[u8], size: usize) -> (Vec<Incoming>, Option<Violation>) {
    let mut decoder = Decoder::default();
    let mut all = Vec::new();
    for piece in bytes.chunks(size.max(1)) {
        let mut rest = piece;
        loop {
            match decoder.feed(&mut rest) {
                Ok(Some(one)) => all.push(one),
                Ok(None) => break,
                Err(violation) => return (all, Some(violation)),
            }
        }
        assert!(rest.is_empty(), "bytes were left");
        assert!(decoder.message.len() <= MAX_MESSAGE && decoder.control.len() <= MAX_CONTROL);
    }
    (all, None)
}

fn code(bytes: &[u8]) -> u16 {
    let (all, violation) = heard(bytes, bytes.len());
    violation.unwrap_or_else(|| unreachable!("{all:?}")).code
}

#[test]
fn the_examples_of_the_standard_are_understood() {
    // Section 5.7: a masked "Hello", and a ping with it.
    let hello = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    let mut ping = hello;
    ping[0] = 0x89;
    let (all, violation) = heard(&[hello, ping].concat(), 3);
    assert_eq!(violation, None);
    assert_eq!(
        all,
        [
            Incoming::Text("Hello".to_owned()),
            Incoming::Ping(b"Hello".to_vec())
        ]
    );
    assert_eq!(text("Hello"), [&[0x81, 0x05][..], b"Hello"].concat());
    assert_eq!(pong(b"Hello"), [&[0x8a, 0x05][..], b"Hello"].concat());
    assert_eq!(text(&"a".repeat(256))[..4], [0x81, 0x7e, 0x01, 0x00]);
    assert_eq!(
        text(&"a".repeat(65_536))[..10],
        [0x81, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]
    );
    assert_eq!(ping_of_ours(), [0x89, 0]);
}

fn ping_of_ours() -> Vec<u8> {
    super::ping()
}

#[test]
fn a_message_in_pieces_is_one_and_control_frames_come_between() {
    let bytes = [
        sent(0x01, "gr\u{fc}".as_bytes().split_at(3).0, [1, 2, 3, 4]),
        sent(0x89, b"?", [9; 4]),
        sent(0x00, "gr\u{fc}".as_bytes().split_at(3).1, [5, 6, 7, 8]),
        sent(0x8a, b"late", [0; 4]),
        sent(0x80, b"", [0; 4]),
        sent(0x81, b"next", [1, 0, 0, 0]),
        sent(
            0x88,
            &[&1000_u16.to_be_bytes()[..], b"bye"].concat(),
            [3; 4],
        ),
    ]
    .concat();
    let (all, violation) = heard(&bytes, 1);
    assert_eq!(violation, None);
    assert_eq!(
        all,
        [
            Incoming::Ping(b"?".to_vec()),
            Incoming::Pong,
            Incoming::Text("gr\u{fc}".to_owned()),
            Incoming::Text("next".to_owned()),
            Incoming::Close(Some(1000)),
        ]
    );
}

#[test]
fn what_is_not_the_protocol_has_its_close_code() {
    let mask = [1, 2, 3, 4];
    for (name, bytes, want) in [
        ("not masked", vec![0x81, 0x01, b'a'], PROTOCOL),
        ("reserved bit 1", sent(0xc1, b"a", mask), PROTOCOL),
        ("reserved bit 3", sent(0x91, b"a", mask), PROTOCOL),
        ("reserved kind 3", sent(0x83, b"a", mask), PROTOCOL),
        ("reserved control 11", sent(0x8b, b"a", mask), PROTOCOL),
        ("binary", sent(0x82, b"a", mask), UNSUPPORTED),
        ("nothing to continue", sent(0x80, b"a", mask), PROTOCOL),
        ("a ping in pieces", sent(0x09, b"a", mask), PROTOCOL),
        ("a long ping", sent(0x89, &[0; 126], mask), PROTOCOL),
        ("a close of one byte", sent(0x88, &[3], mask), PROTOCOL),
        (
            "close 1005",
            sent(0x88, &1005_u16.to_be_bytes(), mask),
            PROTOCOL,
        ),
        (
            "close 1004",
            sent(0x88, &1004_u16.to_be_bytes(), mask),
            PROTOCOL,
        ),
        (
            "close 999",
            sent(0x88, &999_u16.to_be_bytes(), mask),
            PROTOCOL,
        ),
        (
            "close 5000",
            sent(0x88, &5000_u16.to_be_bytes(), mask),
            PROTOCOL,
        ),
        (
            "close with bad UTF-8",
            sent(0x88, &[3, 232, 0xff], mask),
            NOT_TEXT,
        ),
        ("bad UTF-8", sent(0x81, &[0xc0, 0x80], mask), NOT_TEXT),
        (
            "a surrogate",
            sent(0x81, &[0xed, 0xa0, 0x80], mask),
            NOT_TEXT,
        ),
        (
            "too long",
            sent(0x81, &vec![0; MAX_MESSAGE + 1], mask),
            TOO_LONG,
        ),
        (
            "too long by announcement",
            [&[0x81, 0xff][..], &[0, 0, 0, 1, 0, 0, 0, 0], &mask].concat(),
            TOO_LONG,
        ),
        (
            "negative length",
            [&[0x81, 0xff][..], &[0x80, 0, 0, 0, 0, 0, 0, 1], &mask].concat(),
            PROTOCOL,
        ),
        (
            "length in two bytes that fits one",
            [&[0x81, 0xfe, 0, 125][..], &mask].concat(),
            PROTOCOL,
        ),
        (
            "length in eight bytes that fits two",
            [&[0x81, 0xff][..], &[0, 0, 0, 0, 0, 0, 0xff, 0xff], &mask].concat(),
            PROTOCOL,
        ),
        (
            "two beginnings",
            [sent(0x01, b"a", mask), sent(0x81, b"b", mask)].concat(),
            PROTOCOL,
        ),
        (
            "too long in pieces",
            [
                sent(0x01, &vec![b'a'; MAX_MESSAGE], mask),
                sent(0x80, b"b", mask),
            ]
            .concat(),
            TOO_LONG,
        ),
    ] {
        assert_eq!(code(&bytes), want, "{name}");
    }
    let longest = sent(0x81, &vec![b'a'; MAX_MESSAGE], mask);
    assert_eq!(heard(&longest, 4_096).1, None);
}

#[test]
fn a_reason_is_cut_where_a_character_ends() {
    let bytes = close(GOING_AWAY, &"\u{20ac}".repeat(60));
    assert!(bytes.len() <= 2 + MAX_CONTROL);
    assert!(std::str::from_utf8(&bytes[4..]).is_ok());
    assert_eq!(bytes[2..4], 1001_u16.to_be_bytes());
}

proptest! {
    #[test]
    fn any_bytes_are_judged_alike_however_they_arrive(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            // Plausible frames, some of them broken.
            proptest::collection::vec(
                (
                    prop_oneof![Just(0x81_u8), Just(0x01), Just(0x00), Just(0x80), Just(0x89), Just(0x8a), any::<u8>()],
                    proptest::collection::vec(any::<u8>(), 0..200),
                    any::<[u8; 4]>(),
                ),
                0..6,
            ).prop_map(|frames| frames.iter().flat_map(|(f, p, m)| sent(*f, p, *m)).collect()),
        ],
        size in 1_usize..40,
    ) {
        prop_assert_eq!(heard(&bytes, size), heard(&bytes, bytes.len()));
    }

    #[test]
    fn a_text_in_any_pieces_comes_out_whole(
        message in "\\PC{0,300}",
        cuts in proptest::collection::vec(0_usize..600, 0..5),
        mask in any::<[u8; 4]>(),
        size in 1_usize..50,
    ) {
        let bytes = message.as_bytes();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        places.push(0);
        places.push(bytes.len());
        places.sort_unstable();
        let pieces: Vec<&[u8]> = places.windows(2).map(|p| &bytes[p[0]..p[1]]).collect();
        let last = pieces.len() - 1;
        let wire: Vec<u8> = pieces
            .iter()
            .enumerate()
            .flat_map(|(n, piece)| {
                let first = u8::from(n == 0) | if n == last { 0x80 } else { 0 };
                sent(first, piece, mask)
            })
            .collect();
        prop_assert_eq!(heard(&wire, size), (vec![Incoming::Text(message)], None));
    }
}
