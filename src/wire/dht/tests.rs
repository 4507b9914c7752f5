//! Round trips, and everything that must not be understood.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
use super::*;
use crate::identity::{keccak256, Address, SecretKey, Signature};
use crate::wire::rlp::Encoder;
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

/// A cheap signature for tests of the format: the digest, then the signer.
fn sign(digest: &[u8; 32]) -> [u8; 64] {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(digest);
    signature[32..52].copy_from_slice(&sender().0);
    signature
}

fn recover(digest: &[u8; 32], signature: &[u8; 64]) -> Option<Address> {
    (signature[..32] == digest[..]).then(|| Address(signature[32..52].try_into().unwrap()))
}

fn sender() -> Address {
    Address([0xaa; 20])
}

fn packet(body: Body) -> Packet {
    Packet {
        txid: 7,
        cookie: 9,
        from: sender(),
        to: Address([0xbb; 20]),
        body,
    }
}

fn ping() -> Vec<u8> {
    let body = Body::Ping {
        serving: true,
        check: None,
    };
    encode(&packet(body), &sign).unwrap()
}

/// A packet whose payload is given, rightly signed.
fn with_payload(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = ping()[..HEADER_LEN].to_vec();
    bytes[1] = kind;
    bytes.extend(payload);
    let signature = sign(&keccak256(&[b"chr-dht/1", &bytes]));
    bytes.extend(signature);
    bytes
}

fn read(bytes: &[u8]) -> Result<Packet, Malformed> {
    decode(bytes, &recover)
}

fn addresses() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>()
        .prop_map(Address)
        .prop_filter("zero", |a| *a != Address::ZERO)
}

fn places() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
    ];
    (ip, 1u16..)
        .prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
        .prop_filter("unicast", |at| {
            let ip = at.ip();
            !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::from([255; 4])
        })
}

fn contacts() -> impl Strategy<Value = Vec<Contact>> {
    let one = (addresses(), places()).prop_map(|(id, at)| Contact { id, at });
    proptest::collection::vec(one, 0..=CONTACTS_MAX)
}

fn records() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let one = proptest::collection::vec(any::<u8>(), 1..120);
    proptest::collection::vec(one, 0..=RECORDS_MAX)
}

fn prefixes() -> impl Strategy<Value = Prefix> {
    (any::<[u8; 20]>(), 0..=PREFIX_BITS_MAX).prop_map(|(key, bits)| Prefix::of(&Address(key), bits))
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let one = (
        any::<[u8; 20]>(),
        any::<u8>(),
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
    )
        .prop_map(|(key, kind, slot, order, until)| Entry {
            key: Address(key),
            kind,
            slot,
            order,
            until,
        });
    proptest::collection::vec(one, 0..=ENTRIES_MAX)
}

fn bodies() -> impl Strategy<Value = Body> {
    let serving = any::<bool>;
    prop_oneof![
        (serving(), proptest::option::of(places()))
            .prop_map(|(serving, check)| Body::Ping { serving, check }),
        (serving(), any::<u64>(), places()).prop_map(|(serving, unix, seen)| Body::Pong {
            serving,
            unix,
            seen
        }),
        (serving(), any::<[u8; 20]>()).prop_map(|(serving, target)| Body::FindNode {
            serving,
            target: Address(target)
        }),
        contacts().prop_map(|contacts| Body::Nodes { contacts }),
        (serving(), any::<[u8; 20]>()).prop_map(|(serving, key)| Body::FindValue {
            serving,
            key: Address(key)
        }),
        (
            proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..60), 0..=3),
            contacts()
        )
            .prop_map(|(records, contacts)| Body::Value { records, contacts }),
        (serving(), records()).prop_map(|(serving, records)| Body::Store { serving, records }),
        proptest::collection::vec(any::<u8>(), 0..=RECORDS_MAX)
            .prop_map(|codes| Body::Stored { codes }),
        (any::<u16>(), "[a-z ]{0,128}").prop_map(|(code, text)| Body::Error { code, text }),
        (serving(), prefixes(), any::<[u64; 16]>()).prop_map(|(serving, prefix, hashes)| {
            Body::Sync {
                serving,
                prefix,
                hashes,
            }
        }),
        (any::<[u64; 16]>(), any::<u16>(), entries()).prop_map(|(hashes, listed, entries)| {
            Body::Synced {
                hashes,
                listed,
                entries,
            }
        }),
    ]
}

proptest! {
    #[test]
    fn every_packet_comes_back_and_no_piece_of_one(body in bodies(), txid: u64, cookie: u64) {
        let sent = Packet { txid, cookie, ..packet(body) };
        let bytes = encode(&sent, &sign).unwrap();
        prop_assert!(bytes.len() <= PACKET_MAX);
        prop_assert!(!sent.body.kind().is_request() || bytes.len() > CHALLENGE_LEN);
        let came = read(&bytes).unwrap();
        match (&came.body, &sent.body) {
            // What does not fit is left off from the end.
            (Body::Value { records, contacts }, Body::Value { records: all, contacts: wanted }) => {
                prop_assert_eq!(records, all);
                prop_assert_eq!(&wanted[..contacts.len()], &contacts[..]);
            }
            _ => prop_assert_eq!(&came, &sent),
        }
        let header = peek(&bytes).unwrap();
        prop_assert_eq!((header.txid, header.cookie, header.from, header.to),
            (txid, cookie, sent.from, sent.to));
        for cut in 0..bytes.len() {
            prop_assert!(read(&bytes[..cut]).is_err());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        prop_assert!(read(&longer).is_err());
    }

    #[test]
    fn a_flipped_bit_anywhere_makes_a_packet_worthless(body in bodies(), at: prop::sample::Index, bit in 0..8) {
        let mut bytes = encode(&packet(body), &sign).unwrap();
        // The last twelve bytes of the tests' cheap signature are not used.
        let at = at.index(bytes.len() - 12);
        bytes[at] ^= 1u8 << bit;
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_crash_the_decoder(kind in 0u8..14, bytes: Vec<u8>) {
        let _ = peek(&bytes);
        let _ = read(&bytes);
        if let Ok(packet) = read(&with_payload(kind, &bytes)) {
            prop_assert_eq!(encode(&packet, &sign).unwrap(), with_payload(kind, &bytes));
        }
    }

    #[test]
    fn a_key_lies_below_exactly_one_branch(key: [u8; 20], bits in 0..PREFIX_BITS_MAX) {
        let key = Address(key);
        let prefix = Prefix::of(&key, bits);
        prop_assert!(prefix.holds(&key) && prefix.holds(&prefix.lowest()));
        let branch = prefix.branch(&key);
        for other in 0..FANOUT {
            let Some(below) = prefix.below(other) else {
                prop_assert!(bits > PREFIX_BITS_MAX - 4);
                continue;
            };
            prop_assert_eq!(below.holds(&key), other == branch);
            prop_assert_eq!(below.bits(), bits + 4);
        }
    }
}

#[test]
fn twenty_contacts_with_ipv6_fit_in_one_packet() {
    let contact = |n: u8| Contact {
        id: Address([n + 1; 20]),
        at: SocketAddr::new(IpAddr::from([0x20 + n; 16]), u16::MAX),
    };
    let contacts: Vec<Contact> = (0..20).map(contact).collect();
    let body = Body::Nodes {
        contacts: contacts.clone(),
    };
    assert_eq!(
        read(&encode(&packet(body.clone()), &sign).unwrap())
            .unwrap()
            .body,
        body
    );
    // Beside a record of full length there is room for one; the first is kept.
    let body = Body::Value {
        records: vec![vec![1; RECORD_MAX]],
        contacts: contacts.clone(),
    };
    let bytes = encode(&packet(body), &sign).unwrap();
    assert!(bytes.len() <= PACKET_MAX);
    let Body::Value { contacts: some, .. } = read(&bytes).unwrap().body else {
        panic!("another type")
    };
    assert_eq!(some, contacts[..1]);
}

#[test]
fn a_caller_learns_how_many_records_fit() {
    for length in [1, 100, 190, 500, 1000] {
        let room = Body::room(std::iter::repeat_n(length, 100));
        assert!((1..=RECORDS_MAX).contains(&room));
        let body = |records: usize| Body::Store {
            serving: true,
            records: vec![vec![0xff; length]; records],
        };
        assert!(encode(&packet(body(room)), &sign).is_ok());
        assert_eq!(encode(&packet(body(room + 1)), &sign), Err(TooLong));
    }
    assert_eq!(Body::room([RECORD_MAX + 1]), 0);
    let codes = vec![0; RECORDS_MAX + 1];
    assert_eq!(encode(&packet(Body::Stored { codes }), &sign), Err(TooLong));
}

#[test]
fn a_challenge_is_a_bare_header_that_echoes_its_request() {
    let request = peek(&ping()).unwrap();
    let me = Address([0xbb; 20]);
    let bytes = challenge(&request, me, 0x1234);
    assert!(bytes.len() < ping().len());
    let header = peek(&bytes).unwrap();
    assert_eq!(header.kind, Type::Challenge);
    assert_eq!((header.txid, header.cookie), (7, 0x1234));
    assert_eq!((header.from, header.to), (me, sender()));
    assert_eq!(read(&bytes), Err(Malformed::Bare));
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert_eq!(peek(&longer), Err(Malformed::Length(61)));
    assert_eq!(peek(&bytes[..59]), Err(Malformed::Length(59)));
}

#[test]
fn nothing_is_hashed_before_the_header_and_the_payload_are_right() {
    let never = |_: &[u8; 32], _: &[u8; 64]| -> Option<Address> { panic!("hashed") };
    for (place, byte, why) in [
        (0, 2, Malformed::Version(2)),
        (1, 0, Malformed::Type(0)),
        (1, 13, Malformed::Type(13)),
        (2, 0x80, Malformed::Flags(0x8000)),
        (3, 1, Malformed::Flags(1)),
    ] {
        let mut bytes = ping();
        bytes[place] = byte;
        assert_eq!(decode(&bytes, &never), Err(why));
    }
    let mut bytes = ping();
    bytes[20..40].fill(0);
    assert_eq!(decode(&bytes, &never), Err(Malformed::From));
    assert_eq!(
        decode(&[1; PACKET_MAX + 1], &never),
        Err(Malformed::Length(PACKET_MAX + 1))
    );
    let broken = with_payload(1, &[0xc1, 0x81]);
    assert!(matches!(
        decode(&broken, &never),
        Err(Malformed::Payload(_))
    ));
}

#[test]
fn only_unicast_addresses_in_their_one_spelling_are_read() {
    let payload = |ip: &[u8], port: u64| {
        let mut out = Encoder::new();
        out.list(|out| {
            out.u64(1).u64(0);
            out.list(|out| {
                out.bytes(ip).u64(port);
            });
        });
        with_payload(2, &out.finish())
    };
    assert!(read(&payload(&[127, 0, 0, 1], 1)).is_ok());
    let mut mapped = [0; 16];
    mapped[10..].copy_from_slice(&[0xff, 0xff, 127, 0, 0, 1]);
    for ip in [
        &[0; 4][..],
        &[224, 0, 0, 1],
        &[255; 4],
        &[0; 16],
        &[0xff; 16],
        &mapped,
        &[1; 5],
        &[],
    ] {
        assert_eq!(read(&payload(ip, 1)), Err(Malformed::Field("ip")), "{ip:?}");
    }
    for port in [0, 65_536, u64::MAX] {
        let came = read(&payload(&[127, 0, 0, 1], port));
        assert_eq!(came, Err(Malformed::Field("port")));
    }
}

#[test]
fn longer_lists_than_allowed_are_refused_and_not_cut() {
    let list = |count: usize, item: &dyn Fn(&mut Encoder)| {
        let mut out = Encoder::new();
        out.list(|out| (0..count).for_each(|_| item(out)));
        out.finish()
    };
    let wrap = |before: &dyn Fn(&mut Encoder), inner: &[u8]| {
        let mut out = Encoder::new();
        before(&mut out);
        let mut body = out.finish();
        body.extend(inner);
        let mut whole = vec![0xf9];
        whole.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        whole.extend(body);
        whole
    };
    let contact = |out: &mut Encoder| {
        out.list(|out| {
            out.bytes(&[1; 20]).bytes(&[10, 0, 0, 1]).u64(5);
        });
    };
    let none = |_: &mut Encoder| {};
    let serving = |out: &mut Encoder| {
        out.u64(1);
    };
    let record = |out: &mut Encoder| {
        out.bytes(&[3; 40]);
    };
    assert!(read(&with_payload(4, &wrap(&none, &list(20, &contact)))).is_ok());
    assert_eq!(
        read(&with_payload(4, &wrap(&none, &list(21, &contact)))),
        Err(Malformed::Field("contacts"))
    );
    assert!(read(&with_payload(7, &wrap(&serving, &list(8, &record)))).is_ok());
    assert_eq!(
        read(&with_payload(7, &wrap(&serving, &list(9, &record)))),
        Err(Malformed::Field("records"))
    );
}

#[test]
fn a_prefix_has_one_spelling() {
    let hashes = [0; 128];
    let payload = |bits: u64, head: &[u8]| {
        let mut out = Encoder::new();
        out.list(|out| {
            out.u64(0).u64(bits).bytes(head).bytes(&hashes);
        });
        with_payload(11, &out.finish())
    };
    assert!(read(&payload(0, &[])).is_ok());
    assert!(read(&payload(9, &[0xff, 0x80])).is_ok());
    for (bits, head) in [
        (9, &[0xff, 0xc0][..]),
        (9, &[0xff]),
        (8, &[0xff, 0]),
        (0, &[0]),
        (157, &[0; 20]),
        (300, &[0; 20]),
    ] {
        let came = read(&payload(bits, head));
        assert_eq!(came, Err(Malformed::Field("prefix")), "{bits}");
    }
}

#[test]
fn a_packet_signed_by_another_key_or_in_a_second_form_is_refused() {
    let (mine, other) = (
        SecretKey::from_bytes(&[7; 32]).unwrap(),
        SecretKey::from_bytes(&[8; 32]).unwrap(),
    );
    let real = |digest: &[u8; 32], compact: &[u8; 64]| {
        Signature::from_compact(compact).recover(digest).ok()
    };
    let mut sent = packet(Body::FindNode {
        serving: false,
        target: Address([5; 20]),
    });
    sent.from = mine.address();
    let bytes = encode(&sent, &|digest| mine.sign(digest).to_compact()).unwrap();
    assert_eq!(decode(&bytes, &real).unwrap(), sent);
    let forged = encode(&sent, &|digest| other.sign(digest).to_compact()).unwrap();
    assert_eq!(decode(&forged, &real), Err(Malformed::Signature));
    // Without the bit of EIP-2098 it is another signer's or nobody's.
    let mut turned = bytes.clone();
    let parity = turned.len() - 32;
    turned[parity] ^= 0x80;
    assert_eq!(decode(&turned, &real), Err(Malformed::Signature));
    // s and n - s sign alike; only the low one is read.
    let mut high = bytes.clone();
    let s = high.len() - 32;
    let order = crate::identity::hex::decode_array::<32>(
        "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
    )
    .unwrap();
    high[s] &= 0x7f;
    let mut borrow = 0;
    for n in (0..32).rev() {
        let digit = i32::from(order[n]) - i32::from(high[s + n]) - borrow;
        borrow = i32::from(digit < 0);
        high[s + n] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    assert_eq!(decode(&high, &real), Err(Malformed::Signature));
}
