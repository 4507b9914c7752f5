#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::tls::Channel;
use proptest::prelude::*;

fn pair() -> WebPair {
    let names = ["localhost".to_owned(), "node.example".to_owned()];
    let ips = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    WebPair::self_signed("chr-node", &names, &ips).unwrap()
}

#[test]
fn what_is_written_at_the_first_start_is_read_at_the_next() {
    let made = pair();
    let (certificate, key) = (made.certificates_pem(), made.key_pem());
    let read = WebPair::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    assert_eq!(read.chain, made.chain);
    assert_eq!(read.fingerprint(), made.fingerprint());
    assert_eq!(read.fingerprint().len(), 32 * 3 - 1);
    // Both in one file, as some keep them.
    let both = format!("{}{certificate}", key.as_str());
    assert!(WebPair::from_pem(both.as_bytes(), both.as_bytes()).is_ok());
    // No two nodes share a key.
    assert_ne!(pair().fingerprint(), made.fingerprint());
}

#[test]
fn a_pair_that_does_not_fit_is_refused_with_the_reason() {
    let (made, other) = (pair(), pair());
    let (certificate, key) = (made.certificates_pem(), made.key_pem());
    let refused = |certificate: &str, key: &str| {
        let error = WebPair::from_pem(certificate.as_bytes(), key.as_bytes()).err();
        error.map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(refused(&certificate, &other.key_pem()).contains("belong together"));
    assert!(refused("", &key).contains("BEGIN CERTIFICATE"));
    assert!(refused(&certificate, "").contains("BEGIN PRIVATE KEY"));
    assert!(refused(&key, &certificate).contains("BEGIN CERTIFICATE"));
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(refused(&certificate, locked).contains("encrypted"));
    let half: String = certificate.chars().take(certificate.len() / 2).collect();
    assert!(refused(&half, &key).contains("no certificate"));
    let many = certificate.repeat(MAX_CHAIN + 1);
    assert!(refused(&many, &key).contains("more than 8"));
    // An identity's certificate is on another curve.
    let identity = crate::identity::SecretKey::from_bytes(&[3; 32]).unwrap();
    let strange = pem::section("CERTIFICATE", &crate::identity::self_signed(&identity));
    assert!(refused(&strange, &key).contains("P-256"));
    let junk = pem::section("PRIVATE KEY", b"\x30\x03\x02\x01\x00");
    assert!(refused(&certificate, &junk).contains("damaged"));
}

#[test]
fn a_key_in_either_form_is_the_same_key() {
    let made = pair();
    let wrapped = made.key_pem();
    let der = pem::sections(wrapped.as_bytes(), "PRIVATE KEY").remove(0);
    let mut outer = Reader(&der);
    let mut info = Reader(outer.item(SEQUENCE, "").unwrap());
    info.item(INTEGER, "").unwrap();
    info.item(SEQUENCE, "").unwrap();
    let bare = pem::section("EC PRIVATE KEY", info.item(OCTET_STRING, "").unwrap());
    let certificate = made.certificates_pem();
    assert!(WebPair::from_pem(certificate.as_bytes(), bare.as_bytes()).is_ok());
}

#[test]
fn every_version_that_is_spoken_makes_a_configuration() {
    for versions in [Versions::Both, Versions::Only12, Versions::Only13] {
        let config = pair().config(versions).unwrap();
        let mut channel = Channel::web(&config).unwrap();
        let mut out = Vec::new();
        // A client of the device ports has no way to meet: told by an alert.
        let key = crate::identity::SecretKey::from_bytes(&[3; 32]).unwrap();
        let client = crate::tls::client_config(&key, &[], Versions::Only12).unwrap();
        let mut client = Channel::client(&client).unwrap();
        let mut hello = Vec::new();
        client.start(&mut hello).unwrap();
        let refused = channel.receive(&mut hello, &mut out, &mut |_| ());
        assert!(refused.is_err());
        assert_eq!(out.first(), Some(&21));
    }
}

proptest! {
    #[test]
    fn any_files_are_refused_without_harm(
        certificate in proptest::collection::vec(any::<u8>(), 0..300),
        key in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let wrapped = pem::section("CERTIFICATE", &certificate);
        let secret = pem::section("PRIVATE KEY", &key);
        prop_assert!(WebPair::from_pem(wrapped.as_bytes(), secret.as_bytes()).is_err());
        let good = pair().certificates_pem();
        prop_assert!(WebPair::from_pem(good.as_bytes(), secret.as_bytes()).is_err());
    }
}
