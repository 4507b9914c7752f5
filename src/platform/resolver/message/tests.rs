//! Tests of `message.rs`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use proptest::prelude::*;

fn question(name: &str, kind: Kind) -> Query {
    Query::new(name, kind, 0x1234_5678_9abc_def0).unwrap()
}

/// The answer of a server to `query`: flags, and records of owner, type and data.
fn answer(query: &Query, flags: u16, records: &[(&[u8], u16, &[u8])]) -> Vec<u8> {
    let mut packet = query.bytes.clone();
    packet[2..4].copy_from_slice(&(ANSWER | flags).to_be_bytes());
    packet[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    for (owner, kind, data) in records {
        packet.extend(*owner);
        packet.extend(kind.to_be_bytes());
        packet.extend([0, 1, 0, 0, 0, 60]);
        packet.extend((data.len() as u16).to_be_bytes());
        packet.extend(*data);
    }
    packet
}

/// A pointer to the question's name.
const ASKED: &[u8] = &[0xc0, 12];
const V4: &[u8] = &[192, 0, 2, 7];

fn read(query: &Query, packet: &[u8]) -> Result<Reply, Wrong> {
    query.read(packet, Letters::Exact)
}

fn ips(list: &[&str]) -> Reply {
    Reply::Addresses(list.iter().map(|ip| ip.parse().unwrap()).collect())
}

#[test]
fn what_can_be_no_name_is_not_asked() {
    let long = "a".repeat(64);
    let total = format!("{0}.{0}.{0}.{0}", "a".repeat(63));
    for name in [
        "",
        ".",
        "a..b",
        ".a",
        "bücher.example",
        "a b",
        "a\0b",
        "a/b",
        &long,
        &total,
    ] {
        assert!(Query::new(name, Kind::A, 0).is_none(), "{name}");
    }
    assert_eq!(
        Query::new("a.b.", Kind::A, 0).unwrap().bytes,
        Query::new("a.b", Kind::A, 0).unwrap().bytes
    );
    // 253 characters are the longest.
    let most = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "a".repeat(61));
    assert!(Query::new(&most, Kind::A, 0).is_some());
}

#[test]
fn addresses_of_both_kinds_are_read() {
    let four = question("node.example", Kind::A);
    let packet = answer(&four, 0, &[(ASKED, 1, V4), (ASKED, 1, &[192, 0, 2, 8])]);
    assert_eq!(read(&four, &packet), Ok(ips(&["192.0.2.7", "192.0.2.8"])));
    let six = question("node.example", Kind::Aaaa);
    let v6: Ipv6Addr = "2001:db8::7".parse().unwrap();
    let packet = answer(&six, 0, &[(ASKED, 28, &v6.octets()), (ASKED, 1, V4)]);
    assert_eq!(read(&six, &packet), Ok(ips(&["2001:db8::7"])));
    let packet = answer(&six, 0, &[]);
    assert_eq!(read(&six, &packet), Ok(Reply::Nothing));
}

#[test]
fn an_alias_is_followed_within_the_answer_and_told_beyond_it() {
    let query = question("www.example", Kind::A);
    let target = b"\x04node\x07example\0";
    let both = [
        (ASKED, CNAME, &target[..]),
        (&b"\x04NODE\x07eXample\0"[..], 1, V4),
    ];
    assert_eq!(
        read(&query, &answer(&query, 0, &both)),
        Ok(ips(&["192.0.2.7"]))
    );
    assert_eq!(
        read(&query, &answer(&query, 0, &both[..1])),
        Ok(Reply::Alias("node.example".into()))
    );
    // The address of a name that nobody asked for is not taken.
    assert_eq!(
        read(&query, &answer(&query, 0, &both[1..])),
        Ok(Reply::Nothing)
    );
    // A circle ends.
    let circle = [(ASKED, CNAME, &target[..]), (&target[..], CNAME, ASKED)];
    assert_eq!(
        read(&query, &answer(&query, 0, &circle)),
        Err(Wrong::Garbled)
    );
    // An alias that we would not ask for.
    let odd = [(ASKED, CNAME, &b"\x03a b\0"[..])];
    assert_eq!(read(&query, &answer(&query, 0, &odd)), Err(Wrong::Garbled));
}

#[test]
fn a_forged_answer_is_not_there() {
    let query = question("node.example", Kind::A);
    let good = answer(&query, 0, &[(ASKED, 1, V4)]);
    type Change = fn(&mut Vec<u8>);
    let cases: [Change; 6] = [
        |p| p[0] ^= 1,
        // A question is no answer.
        |p| p[2] &= 0x7f,
        // Another operation.
        |p| p[2] |= 0x10,
        // Another name, another type, no question.
        |p| p[14] ^= 1,
        |p| p[27] ^= 0x10,
        |p| p[5] = 0,
    ];
    for (number, change) in cases.iter().enumerate() {
        let mut packet = good.clone();
        change(&mut packet);
        assert_eq!(read(&query, &packet), Err(Wrong::Foreign), "case {number}");
    }
    let mut packet = good;
    packet[13] ^= 0x20;
    assert_eq!(read(&query, &packet), Err(Wrong::Case));
    assert_eq!(query.read(&packet, Letters::Any), Ok(ips(&["192.0.2.7"])));
}

#[test]
fn the_letters_of_a_question_depend_on_chance() {
    let asked = |random| {
        Query::new("aaaaaaaaaaaaaaaa.example", Kind::A, random)
            .unwrap()
            .bytes
    };
    assert_ne!(asked(0)[12..], asked(0xffff_ffff_ffff)[12..]);
    assert_eq!(asked(0)[12..], asked(0xffff_0000_0000_0000)[12..]);
}

#[test]
fn what_a_server_says_instead_of_an_address_is_told_apart() {
    let query = question("node.example", Kind::A);
    for (flags, reply) in [
        (3, Reply::NoName),
        (2, Reply::Refused(2)),
        (5, Reply::Refused(5)),
        (TRUNCATED, Reply::Truncated),
    ] {
        assert_eq!(read(&query, &answer(&query, flags, &[])), Ok(reply));
    }
}

#[test]
fn addresses_that_no_host_has_are_not_dialled() {
    let query = question("ads.example", Kind::A);
    for data in [[0, 0, 0, 0], [255; 4], [224, 0, 0, 1]] {
        let packet = answer(&query, 0, &[(ASKED, 1, &data)]);
        assert_eq!(read(&query, &packet), Ok(Reply::Nothing), "{data:?}");
    }
}

#[test]
fn records_that_lie_about_their_length_or_point_at_themselves_are_garbled() {
    let query = question("node.example", Kind::A);
    let end = query.bytes.len() as u8;
    for owner in [
        &[0xc0, end][..],
        &[0xc0, 0xff],
        &[0x80, 1],
        &[0x40],
        &[5, b'a'],
    ] {
        let packet = answer(&query, 0, &[(owner, 1, V4)]);
        assert_eq!(read(&query, &packet), Err(Wrong::Garbled), "{owner:?}");
    }
    let packet = answer(&query, 0, &[(ASKED, 1, &[1, 2, 3])]);
    assert_eq!(read(&query, &packet), Err(Wrong::Garbled));
    let mut packet = answer(&query, 0, &[(ASKED, 1, V4)]);
    packet.pop();
    assert_eq!(read(&query, &packet), Err(Wrong::Garbled));
    // More records are announced than there are.
    let mut packet = answer(&query, 0, &[(ASKED, 1, V4)]);
    packet[7] = 2;
    assert_eq!(read(&query, &packet), Err(Wrong::Garbled));
}

#[test]
fn a_crowd_of_records_is_cut() {
    let query = question("node.example", Kind::A);
    let many: Vec<(&[u8], u16, &[u8])> = (0..500).map(|_| (ASKED, 1, V4)).collect();
    match read(&query, &answer(&query, 0, &many)) {
        Ok(Reply::Addresses(found)) => assert_eq!(found.len(), ADDRESSES_MAX),
        other => unreachable!("{other:?}"),
    }
}

proptest! {
    /// No bytes behind a right head make the reader fail, or find what is not there.
    #[test]
    fn garbage_never_panics(
        tail in proptest::collection::vec(any::<u8>(), 0..300),
        count in any::<u16>(),
        flags in any::<u16>(),
        kind in prop_oneof![Just(Kind::A), Just(Kind::Aaaa)],
    ) {
        let query = question("node.example", kind);
        let mut packet = answer(&query, flags & 0x07ff, &[]);
        packet[6..8].copy_from_slice(&count.to_be_bytes());
        packet.extend(tail);
        if let Ok(Reply::Addresses(found)) = read(&query, &packet) {
            prop_assert!(!found.is_empty() && found.len() <= ADDRESSES_MAX);
        }
        let _ = query.read(&packet, Letters::Any);
    }

    /// Cut anywhere, a good answer is none, and no panic.
    #[test]
    fn a_cut_answer_is_no_answer(cut in 0usize..60, random in any::<u64>()) {
        let query = Query::new("node.example", Kind::A, random).unwrap();
        let packet = answer(&query, 0, &[(ASKED, 1, V4)]);
        let cut = cut.min(packet.len() - 1);
        prop_assert!(read(&query, &packet[..cut]).is_err());
    }

    /// Every name that is asked comes back as it was, letters aside.
    #[test]
    fn a_name_is_written_as_it_is_read(
        labels in proptest::collection::vec("[a-z0-9_-]{1,20}", 1..6),
        random in any::<u64>(),
    ) {
        let name = labels.join(".");
        let query = Query::new(&name, Kind::Aaaa, random).unwrap();
        let (wire, after) = name_at(&query.bytes, HEADER).unwrap();
        prop_assert_eq!(after + 4, query.bytes.len());
        prop_assert_eq!(text(&wire), Some(name));
    }
}
