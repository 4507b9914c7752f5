#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
use super::*;
use crate::identity::vectors::{expected, input, vectors_of};
use proptest::prelude::*;

fn key() -> SecretKey {
    SecretKey::from_bytes(&[7; 32]).unwrap()
}

/// A certificate around any SubjectPublicKeyInfo, version 1 or 3.
fn around(key_info: &[u8], version_3: bool) -> Vec<u8> {
    let version = tlv(CONTEXT_0, &[&tlv(INTEGER, &[&[2]])]);
    let empty = tlv(SEQUENCE, &[]);
    let signed = tlv(
        SEQUENCE,
        &[
            if version_3 { &version } else { &[] },
            &tlv(INTEGER, &[&[1]]),
            &algorithm(),
            &empty,
            &empty,
            &empty,
            key_info,
        ],
    );
    tlv(
        SEQUENCE,
        &[&signed, &algorithm(), &tlv(BIT_STRING, &[&[0, 1]])],
    )
}

fn info_of(kind: &[&[u8]], point: &[u8]) -> Vec<u8> {
    tlv(
        SEQUENCE,
        &[&tlv(SEQUENCE, kind), &tlv(BIT_STRING, &[&[0], point])],
    )
}

fn ec() -> Vec<u8> {
    tlv(OBJECT_ID, &[EC_PUBLIC_KEY])
}

fn curve() -> Vec<u8> {
    tlv(OBJECT_ID, &[SECP256K1])
}

#[test]
fn a_certificate_of_the_older_system_is_read_and_written_alike() {
    let vector = &vectors_of("tls")[0];
    let secret: [u8; 32] = input(vector, "private_key").try_into().unwrap();
    let key = SecretKey::from_bytes(&secret).unwrap();
    let validity = tlv(
        SEQUENCE,
        &[
            &tlv(UTC_TIME, &[b"181113072916Z"]),
            &tlv(UTC_TIME, &[b"321113072916Z"]),
        ],
    );
    let serial = 9_671_339_679_901_102_673_u64.to_be_bytes();
    let contents = Contents {
        name: &key.address().to_string(),
        curve: SECP256K1,
        point: &key.public_key().to_uncompressed(),
        extensions: &[&authority()],
    };
    let signed = to_be_signed(&contents, &[&[0], &serial[..]].concat(), &validity);
    assert_eq!(signed, expected(vector, "tbs_der"));
    let found = peer_key(&expected(vector, "example_cert_der")).unwrap();
    assert_eq!(found, key.public_key());
    assert_eq!(
        found.address().0.to_vec(),
        expected(vector, "address_from_cert")
    );
}

#[test]
fn our_own_certificate_is_read_back() {
    let der = self_signed(&key());
    assert_eq!(peer_key(&der), Ok(key().public_key()));
    assert_eq!(
        der,
        self_signed(&key()),
        "a restart must not change the bytes"
    );
    assert!(der.len() < 500, "{}", der.len());
}

#[test]
fn a_version_1_certificate_is_read() {
    let point = key().public_key().to_uncompressed();
    let info = info_of(&[&ec(), &curve()], &point);
    for version_3 in [false, true] {
        assert_eq!(
            peer_key(&around(&info, version_3)),
            Ok(key().public_key()),
            "version 3: {version_3}"
        );
    }
}

#[test]
fn a_key_of_another_kind_is_no_identity() {
    use CertificateError as E;
    let point = key().public_key().to_uncompressed();
    let p256 = tlv(
        OBJECT_ID,
        &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]],
    );
    let rsa = tlv(
        OBJECT_ID,
        &[&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]],
    );
    let explicit = tlv(SEQUENCE, &[&tlv(INTEGER, &[&[1]])]);
    let mut compressed = [0; 33];
    compressed.copy_from_slice(&point[..33]);
    compressed[0] = 2;
    let mut hybrid = point;
    hybrid[0] = 6;
    let mut off_curve = point;
    off_curve[64] ^= 1;
    type Case<'a> = (&'a [&'a [u8]], &'a [u8], E);
    let cases: [Case; 9] = [
        (&[&ec(), &p256], &point, E::OtherCurve),
        (&[&rsa, &[5, 0]], &point, E::NotEllipticCurve),
        (&[&ec(), &explicit], &point, E::ExplicitCurve),
        (&[&ec(), &curve()], &compressed, E::CompressedPoint),
        (&[&ec(), &curve()], &hybrid, E::CompressedPoint),
        (&[&ec(), &curve()], &off_curve, E::NotAPoint),
        (&[&ec(), &curve()], &[0], E::NotAPoint),
        (&[&ec()], &point, E::Malformed("curve")),
        (&[&ec(), &curve(), &[5, 0]], &point, E::Malformed("curve")),
    ];
    for (kind, point, error) in cases {
        let der = around(&info_of(kind, point), true);
        assert_eq!(peer_key(&der), Err(error));
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn lengths_in_a_longer_form_than_needed_are_refused() {
    // The outer length of ours is 0x82 hi lo; 0x83 00 hi lo says the same.
    let der = self_signed(&key());
    let mut longer = vec![SEQUENCE, 0x83, 0];
    longer.extend_from_slice(&der[2..]);
    assert!(peer_key(&longer).is_err());
    // An indefinite length.
    assert!(peer_key(&[SEQUENCE, 0x80, 0, 0]).is_err());
    assert!(peer_key(&vec![SEQUENCE; MAX_CERTIFICATE + 1]).is_err());
}

#[test]
fn a_truncated_certificate_is_refused() {
    let der = self_signed(&key());
    for end in 0..der.len() {
        assert!(peer_key(&der[..end]).is_err(), "cut at {end}");
    }
    assert!(peer_key(&[&der[..], &[0]].concat()).is_err());
}

proptest! {
    #[test]
    fn strange_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = peer_key(&bytes);
    }

    #[test]
    fn a_flipped_bit_never_panics_nor_changes_the_key(bit in 0_usize..8 * 400) {
        let mut der = self_signed(&key());
        let index = bit / 8 % der.len();
        der[index] ^= 1 << (bit % 8);
        if let Ok(found) = peer_key(&der) {
            // The flip hit a part that nobody reads, never the point itself.
            prop_assert_eq!(found, key().public_key());
        }
    }

    #[test]
    fn nested_lengths_never_overflow(tags in proptest::collection::vec((any::<u8>(), any::<u8>(), any::<u8>()), 0..200)) {
        let bytes: Vec<u8> = tags.iter().flat_map(|(a, b, c)| [0x30 | a & 1, 0x82, b & 1, *c]).collect();
        let _ = peer_key(&bytes);
    }
}
