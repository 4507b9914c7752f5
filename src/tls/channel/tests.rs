#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
use super::*;
use crate::tls::testing::{altered, client_key, fresh, pair, server_key, settle, shake};
use crate::tls::Versions::{self, Both, Only12, Only13};
use crate::tls::{client_config_with, CipherOrder};
use proptest::prelude::*;
use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::unbuffered::ConnectionState;
use rustls::{AlertDescription, ConnectionTrafficSecrets, ContentType, HandshakeKind};

/// Receives all of `bytes` in pieces of `size` and returns the plaintext.
fn receive(channel: &mut Channel, bytes: &[u8], size: usize) -> Result<(Vec<u8>, bool), TlsError> {
    let (mut plain, mut out, mut closed) = (Vec::new(), Vec::new(), false);
    for piece in bytes.to_vec().chunks_mut(size) {
        let progress = channel.receive(piece, &mut out, &mut |part| {
            assert!(!part.is_empty() && part.len() <= MAX_PLAIN);
            plain.extend_from_slice(part);
        })?;
        closed = progress.closed;
    }
    assert!(out.is_empty(), "an answer that nobody expected");
    Ok((plain, closed))
}

fn send(channel: &mut Channel, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    channel.send(plain, &mut out).unwrap();
    let records = plain.len().div_ceil(MAX_PLAIN);
    assert!(out.len() <= plain.len() + records * MAX_SEALED);
    out
}

/// Bytes without a period that a swap of records could hide in.
fn noise(length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

#[test]
fn the_sides_know_each_other_by_their_keys() {
    for (versions, version) in [
        (Both, Version::Tls13),
        (Only13, Version::Tls13),
        (Only12, Version::Tls12),
    ] {
        let (mut client, mut server) = fresh(versions);
        assert_eq!((client.peer(), server.peer()), (None, None));
        shake(&mut client, &mut server).unwrap();
        assert_eq!(client.peer(), Some(server_key().public_key()));
        assert_eq!(server.peer_address(), Some(client_key().address()));
        for side in [&client, &server] {
            assert_eq!(side.version(), Some(version));
            assert!(!side.is_handshaking());
            assert_eq!(side.alpn(), None);
        }
    }
}

#[test]
fn versions_that_do_not_meet_fail_on_both_sides() {
    let one = |version| crate::tls::config::client_config(&client_key(), &[], version).unwrap();
    let all = |version| ServerConfigs::new(&server_key(), &[], version).unwrap();
    for (client, server, expected) in [
        (Both, Only12, Some(Version::Tls12)),
        (Both, Only13, Some(Version::Tls13)),
        (Only12, Both, Some(Version::Tls12)),
        (Only13, Both, Some(Version::Tls13)),
        (Only12, Only13, None),
        (Only13, Only12, None),
    ] {
        let mut a = Channel::client(&one(client)).unwrap();
        let mut b = Channel::server(&all(server));
        let result = shake(&mut a, &mut b);
        if expected.is_some() {
            result.unwrap();
            assert_eq!(a.version(), expected, "{client:?} to {server:?}");
        } else {
            let error = result.unwrap_err();
            assert!(matches!(error, TlsError::NothingInCommon(_)), "{error}");
            // The other side was told in the same exchange.
            let told = receive(&mut a, &[], 1).map(|_| ());
            let told = told.and_then(|()| a.send(b"x", &mut Vec::new()));
            assert_eq!(
                told,
                Err(TlsError::Refused(AlertDescription::HandshakeFailure))
            );
        }
    }
}

#[test]
fn a_cpu_without_aes_never_gets_aes() {
    let side = |aes| {
        let order = match aes {
            true => CipherOrder::Aes,
            false => CipherOrder::ChaCha20,
        };
        let client = client_config_with(&client_key(), &[], Both, order).unwrap();
        let server = ServerConfigs::with_aes(&server_key(), &[], Both, aes).unwrap();
        (client, server)
    };
    for (client_aes, server_aes) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut client = Channel::client(&side(client_aes).0).unwrap();
        let mut server = Channel::server(&side(server_aes).1);
        shake(&mut client, &mut server).unwrap();
        let suite = client.suite().unwrap();
        assert_eq!(
            suite.contains("CHACHA20"),
            !(client_aes && server_aes),
            "client {client_aes}, server {server_aes}: {suite}"
        );
    }
}

#[test]
fn an_application_protocol_is_agreed_but_not_demanded() {
    let client = |alpn: &[&[u8]]| crate::tls::client_config(&client_key(), alpn, Both).unwrap();
    let server = ServerConfigs::new(&server_key(), &[b"chr-edge/2"], Both).unwrap();
    for (offered, agreed) in [
        (&[][..], Ok(None)),
        (
            &[&b"h2"[..], b"chr-edge/2"][..],
            Ok(Some(&b"chr-edge/2"[..])),
        ),
        (&[&b"h2"[..]][..], Err(())),
    ] {
        let mut a = Channel::client(&client(offered)).unwrap();
        let mut b = Channel::server(&server);
        let result = shake(&mut a, &mut b).map(|()| b.alpn()).map_err(|_| ());
        assert_eq!(result, agreed);
    }
}

#[test]
fn ten_megabytes_arrive_unchanged() {
    let plain = noise(10_000_000);
    for versions in [Only12, Only13] {
        let (mut client, mut server) = pair(versions);
        let sealed = send(&mut client, &plain);
        let (received, _) = receive(&mut server, &sealed, 65_536).unwrap();
        assert!(received == plain);
        let sealed = send(&mut server, &plain);
        let (received, _) = receive(&mut client, &sealed, 1_448).unwrap();
        assert!(received == plain);
    }
}

#[test]
fn bytes_that_come_one_by_one_are_enough() {
    for versions in [Only12, Only13] {
        let (mut client, mut server) = fresh(versions);
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        client.start(&mut to_server).unwrap();
        let mut done = (0, 0);
        let mut none = |_: &[u8]| panic!("plaintext in a handshake");
        while !(to_server.is_empty() && to_client.is_empty()) {
            for byte in std::mem::take(&mut to_server).chunks_mut(1) {
                let progress = server.receive(byte, &mut to_client, &mut none).unwrap();
                done.0 += u32::from(progress.handshake_done_now);
            }
            for byte in std::mem::take(&mut to_client).chunks_mut(1) {
                let progress = client.receive(byte, &mut to_server, &mut none).unwrap();
                done.1 += u32::from(progress.handshake_done_now);
            }
        }
        assert_eq!(done, (1, 1), "each side is told once");
        let plain = noise(40_000);
        let sealed = send(&mut client, &plain);
        assert_eq!(receive(&mut server, &sealed, 1).unwrap().0, plain);
    }
}

#[test]
fn handshake_messages_in_pieces_are_put_together() {
    for versions in [Only12, Only13] {
        for pieces in [1, 3, usize::MAX] {
            let (mut client, mut server) = altered(
                versions,
                |config| config.max_fragment_size = Some(40),
                |config| config.max_fragment_size = Some(40),
            );
            let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
            client.start(&mut to_server).unwrap();
            let mut none = |_: &[u8]| panic!("plaintext in a handshake");
            while !(to_server.is_empty() && to_client.is_empty()) {
                for part in std::mem::take(&mut to_server).chunks_mut(pieces) {
                    let _ = server.receive(part, &mut to_client, &mut none).unwrap();
                }
                for part in std::mem::take(&mut to_client).chunks_mut(pieces) {
                    let _ = client.receive(part, &mut to_server, &mut none).unwrap();
                }
            }
            assert_eq!(server.peer_address(), Some(client_key().address()));
            assert_eq!(client.peer_address(), Some(server_key().address()));
            assert!(server.held.bytes.is_empty() && client.held.bytes.is_empty());
        }
    }
}

#[test]
fn a_connection_that_waits_keeps_no_buffer() {
    let (mut client, mut server) = pair(Both);
    let mut sealed = send(&mut client, &noise(40_000));
    let whole = sealed.len();
    sealed.extend_from_slice(&send(&mut client, b"last"));
    let _ = receive(&mut server, &sealed[..whole], 65_536).unwrap();
    assert_eq!(server.held.bytes.capacity(), 0);
    let _ = receive(&mut server, &sealed[whole..whole + 7], 7).unwrap();
    assert_eq!(server.held.bytes.len(), 7);
    let (plain, _) = receive(&mut server, &sealed[whole + 7..], 100).unwrap();
    assert_eq!(plain, b"last");
    assert_eq!(server.held.bytes.capacity(), 0);
    assert!(std::mem::size_of::<Channel>() <= 72);
}

#[test]
fn an_empty_send_makes_no_record() {
    let (mut client, mut server) = pair(Both);
    assert!(send(&mut client, &[]).is_empty());
    for length in [1, MAX_PLAIN - 1, MAX_PLAIN, MAX_PLAIN + 1, 3 * MAX_PLAIN] {
        let plain = noise(length);
        let sealed = send(&mut client, &plain);
        assert_eq!(receive(&mut server, &sealed, usize::MAX).unwrap().0, plain);
    }
}

#[test]
fn sending_too_early_or_too_late_never_breaks_the_connection() {
    for versions in [Only12, Only13] {
        let (mut client, mut server) = fresh(versions);
        let mut out = Vec::new();
        assert_eq!(client.send(b"x", &mut out), Err(TlsError::NotReady));
        assert_eq!(server.send(b"x", &mut out), Err(TlsError::NotReady));
        client.close(&mut Vec::new());
        let (mut client, _) = (fresh(versions).0, client);
        shake(&mut client, &mut server).unwrap();
        client.close(&mut out);
        let closing = out.len();
        client.close(&mut out);
        assert_eq!(out.len(), closing, "said once");
        assert_eq!(client.send(b"x", &mut out), Err(TlsError::Closed));
        assert_eq!(receive(&mut server, &out, 1).unwrap(), (vec![], true));
        // The other direction is still open.
        let answer = send(&mut server, b"answer");
        assert_eq!(receive(&mut client, &answer, 1).unwrap().0, b"answer");
        let mut out = Vec::new();
        server.close(&mut out);
        assert!(receive(&mut client, &out, 9).unwrap().1);
    }
}

#[test]
fn data_behind_the_close_is_never_delivered() {
    for versions in [Only12, Only13] {
        let (mut client, mut server) = pair(versions);
        let mut out = send(&mut client, b"before");
        client.close(&mut out);
        out.extend_from_slice(b"anything at all, however long it may be");
        for size in [usize::MAX, 3] {
            let (mut other_client, mut other) = pair(versions);
            let mut bytes = send(&mut other_client, b"before");
            other_client.close(&mut bytes);
            bytes.extend_from_slice(&[0x17; 3_000]);
            let (plain, closed) = receive(&mut other, &bytes, size).unwrap();
            assert_eq!((&plain[..], closed), (&b"before"[..], true));
            assert_eq!(other.held.bytes.len(), 0);
        }
        let (plain, closed) = receive(&mut server, &out, 1).unwrap();
        assert_eq!((&plain[..], closed), (&b"before"[..], true));
        let answer = send(&mut server, b"still here");
        assert_eq!(receive(&mut client, &answer, 2).unwrap().0, b"still here");
    }
}

#[test]
fn a_flipped_bit_is_never_delivered() {
    for versions in [Only12, Only13] {
        let (mut client, mut server) = pair(versions);
        let mut sealed = send(&mut client, b"first");
        let end = sealed.len();
        sealed.extend_from_slice(&send(&mut client, b"second"));
        sealed[end + 9] ^= 4;
        let (mut plain, mut out) = (Vec::new(), Vec::new());
        let mut sink = |part: &[u8]| plain.extend_from_slice(part);
        let error = server.receive(&mut sealed, &mut out, &mut sink);
        assert_eq!(error, Err(TlsError::Tampered));
        // It stays so, in every direction, and says nothing more.
        let alert = out.len();
        let again = server.receive(&mut [0; 100], &mut out, &mut sink);
        assert_eq!(again, Err(TlsError::Tampered));
        assert_eq!(server.send(b"x", &mut out), Err(TlsError::Tampered));
        server.close(&mut out);
        assert_eq!((out.len(), &plain[..]), (alert, &b"first"[..]));
        assert_eq!(
            receive(&mut client, &out, 100),
            Err(TlsError::Refused(AlertDescription::BadRecordMac))
        );
    }
}

#[test]
fn another_protocol_on_the_port_is_refused_at_once() {
    let http = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";
    let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    for size in [1, 5, 1_000] {
        let (mut client, mut server) = fresh(Both);
        assert_eq!(receive(&mut server, http, size), Err(TlsError::NotTls));
        client.start(&mut Vec::new()).unwrap();
        assert_eq!(receive(&mut client, answer, size), Err(TlsError::NotTls));
    }
}

#[test]
fn a_hello_that_never_ends_never_fills_memory() {
    // Handshake records that belong to a ClientHello of 60,000 bytes.
    let mut stream = Vec::new();
    for first in [&[1, 0, 0xea, 0x60][..], &[0; 4]]
        .into_iter()
        .chain([&[0; 4][..]; 20])
    {
        stream.extend_from_slice(&[22, 3, 1, 0x08, 0x00]);
        stream.extend_from_slice(first);
        stream.resize(stream.len() + 0x800 - 4, 0);
    }
    for size in [1, 1_000, usize::MAX] {
        let (mut client, mut server) = fresh(Both);
        assert_eq!(receive(&mut server, &stream, size), Err(TlsError::TooLong));
        client.start(&mut Vec::new()).unwrap();
        // A ServerHello of that length.
        let mut hello = stream.clone();
        hello[5] = 2;
        let error = receive(&mut client, &hello, size).unwrap_err();
        assert_eq!(error, TlsError::TooLong);
    }
    // In pieces of one byte the headers are what fills memory.
    let (mut client, _) = fresh(Both);
    client.start(&mut Vec::new()).unwrap();
    let mut dust = vec![22, 3, 3, 0, 4, 2, 0, 0xea, 0x60];
    for _ in 0..20_000 {
        dust.extend_from_slice(&[22, 3, 3, 0, 1, 0]);
    }
    let mut fed = 0;
    let error = dust.chunks_mut(100).find_map(|part| {
        fed += part.len();
        client.receive(part, &mut Vec::new(), &mut |_| ()).err()
    });
    assert_eq!(error, Some(TlsError::TooLong));
    assert!(fed <= MAX_HELD + 200);
}

#[test]
fn a_key_update_never_ends_the_connection() {
    for asks in [1, 5] {
        let (mut client, mut server) = pair(Only13);
        let mut to_server = Vec::new();
        for _ in 0..asks {
            let Side::Client(connection) = &mut client.side else {
                panic!("not a client")
            };
            match connection.process_tls_records(&mut []).state.unwrap() {
                ConnectionState::WriteTraffic(traffic) => traffic.refresh_traffic_keys().unwrap(),
                other => panic!("{other:?}"),
            }
            // The update goes out before the data that the new keys seal.
            client.start(&mut to_server).unwrap();
            to_server.extend_from_slice(&send(&mut client, b"new keys"));
        }
        let (plain, _) = receive(&mut server, &to_server, 11).unwrap();
        assert_eq!(plain, b"new keys".repeat(asks));
        // rustls asks the other side to update, too; its answer precedes data.
        let mut out = Vec::new();
        server.send(b"answer", &mut out).unwrap();
        assert!(out.len() > 6 + 22, "the answer to the update is missing");
        assert_eq!(receive(&mut client, &out, 4).unwrap().0, b"answer");
        let sealed = send(&mut client, b"on and on");
        assert_eq!(receive(&mut server, &sealed, 4).unwrap().0, b"on and on");
    }
}

/// Seals records of any type as the client of a TLS 1.3 connection.
struct Forger {
    encrypter: Box<dyn MessageEncrypter>,
    next: u64,
}

impl Forger {
    fn new(client: Channel) -> Forger {
        let Side::Client(connection) = client.side else {
            panic!("not a client")
        };
        let suite = connection.negotiated_cipher_suite().unwrap();
        #[allow(deprecated)]
        let secrets = connection.dangerous_extract_secrets().unwrap();
        let (next, ConnectionTrafficSecrets::Aes128Gcm { key, iv }) = secrets.tx else {
            panic!("another suite")
        };
        Forger {
            encrypter: suite.tls13().unwrap().aead_alg.encrypter(key, iv),
            next,
        }
    }

    fn seal(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let message = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(payload),
        };
        self.next += 1;
        let sealed = self.encrypter.encrypt(message, self.next - 1).unwrap();
        sealed.encode()
    }
}

fn forged() -> (Forger, Channel) {
    let (mut client, mut server) = altered(
        Only13,
        |config| config.enable_secret_extraction = true,
        |_| (),
    );
    shake(&mut client, &mut server).unwrap();
    (Forger::new(client), server)
}

#[test]
fn sending_between_the_pieces_of_a_message_never_panics() {
    // KeyUpdate, update_not_requested, in two records.
    let update = [24, 0, 0, 1, 0];
    for cut in 1..update.len() {
        for size in [1, 7, usize::MAX] {
            let (mut forger, mut server) = forged();
            let first = forger.seal(ContentType::Handshake, &update[..cut]);
            assert_eq!(receive(&mut server, &first, size).unwrap(), (vec![], false));
            assert_eq!(server.held.bytes.len(), first.len());
            let _ = send(&mut server, b"in between");
            let second = forger.seal(ContentType::Handshake, &update[cut..]);
            let (front, back) = second.split_at(3);
            assert_eq!(receive(&mut server, front, size).unwrap(), (vec![], false));
            let _ = send(&mut server, b"in between");
            assert_eq!(receive(&mut server, back, size).unwrap(), (vec![], false));
            assert_eq!(server.held.bytes.capacity(), 0);
            let _ = send(&mut server, b"after");
        }
    }
}

#[test]
fn data_between_the_pieces_of_a_message_is_refused() {
    let (mut forger, mut server) = forged();
    let mut bytes = forger.seal(ContentType::Handshake, &[24, 0]);
    bytes.extend_from_slice(&forger.seal(ContentType::ApplicationData, b"between"));
    let error = receive(&mut server, &bytes, usize::MAX).unwrap_err();
    assert!(matches!(error, TlsError::Protocol(_)), "{error}");
}

#[test]
fn unasked_messages_after_the_handshake_get_an_alert() {
    for message in [
        &[1, 0, 0, 0][..],
        &[11, 0, 0, 0],
        &[4, 0, 0, 0],
        &[24, 0, 0, 1, 9],
    ] {
        let (mut forger, mut server) = forged();
        let bytes = forger.seal(ContentType::Handshake, message);
        let mut out = Vec::new();
        let error = server.receive(&mut bytes.clone(), &mut out, &mut |_| ());
        assert!(error.is_err(), "{message:?}");
        assert!(!out.is_empty(), "no alert for {message:?}");
    }
}

#[test]
fn a_stranger_without_a_certificate_never_gets_in() {
    #[derive(Debug)]
    struct Nobody;
    impl rustls::client::ResolvesClientCert for Nobody {
        fn resolve(
            &self,
            _: &[&[u8]],
            _: &[rustls::SignatureScheme],
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            None
        }
        fn has_certs(&self) -> bool {
            false
        }
    }
    for versions in [Only12, Only13] {
        let (mut client, mut server) = altered(
            versions,
            |config| config.client_auth_cert_resolver = Arc::new(Nobody),
            |_| (),
        );
        assert_eq!(
            shake(&mut client, &mut server),
            Err(TlsError::NoCertificate)
        );
        assert_eq!(server.peer(), None);
    }
}

#[test]
fn no_session_is_resumed_without_a_certificate() {
    for versions in [Only12, Only13] {
        let config = crate::tls::client_config(&client_key(), &[], versions).unwrap();
        let configs = ServerConfigs::new(&server_key(), &[], versions).unwrap();
        for _ in 0..3 {
            let mut client = Channel::client(&config).unwrap();
            let mut server = Channel::server(&configs);
            shake(&mut client, &mut server).unwrap();
            for side in [&client, &server] {
                let kind = side.common().unwrap().handshake_kind();
                assert_eq!(kind, Some(HandshakeKind::Full));
            }
            // No session ticket waits to be read either.
            assert_eq!(receive(&mut client, &[], 1).unwrap(), (vec![], false));
        }
    }
}

#[test]
fn channels_can_move_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<Channel>();
    check::<ServerConfigs>();
}

/// Cuts `bytes` at the given places.
fn cut<'b>(bytes: &'b mut [u8], cuts: &[prop::sample::Index]) -> Vec<&'b mut [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    let (mut pieces, mut rest, mut at) = (Vec::new(), bytes, 0);
    for place in places {
        let (piece, after) = rest.split_at_mut(place - at);
        pieces.push(piece);
        (rest, at) = (after, place);
    }
    pieces.push(rest);
    pieces
}

fn any_versions() -> impl Strategy<Value = Versions> {
    prop_oneof![Just(Both), Just(Only12), Just(Only13)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_cut_in_the_stream_never_changes_the_data(
        versions in any_versions(),
        lengths in proptest::collection::vec(0..40_000_usize, 1..6),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let (mut client, mut server) = pair(versions);
        let (mut sealed, mut plain) = (Vec::new(), Vec::new());
        for length in lengths {
            let part = noise(length);
            client.send(&part, &mut sealed).unwrap();
            plain.extend_from_slice(&part);
        }
        client.close(&mut sealed);
        let (mut received, mut out, mut closed) = (Vec::new(), Vec::new(), false);
        for piece in cut(&mut sealed, &cuts) {
            let mut sink = |part: &[u8]| received.extend_from_slice(part);
            closed = server.receive(piece, &mut out, &mut sink).unwrap().closed;
        }
        prop_assert!(closed);
        prop_assert!(received == plain);
        prop_assert_eq!(server.held.bytes.capacity(), 0);
    }

    #[test]
    fn strange_bytes_never_panic_or_loop(
        bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
        plausible: bool,
        stage in 0..4_u8,
        versions in any_versions(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let (mut client, mut server) = if stage < 3 { fresh(versions) } else { pair(versions) };
        let mut hello = Vec::new();
        if stage < 3 {
            client.start(&mut hello).unwrap();
        }
        if stage == 1 {
            let half = hello.len() / 2;
            let _ = server.receive(&mut hello[..half], &mut Vec::new(), &mut |_| ());
        } else if stage == 2 {
            let _ = server.receive(&mut hello, &mut Vec::new(), &mut |_| ());
        }
        let mut bytes = bytes;
        if plausible && bytes.len() > 5 {
            let [high, low] = u16::try_from(bytes.len() - 5).unwrap().to_be_bytes();
            bytes[0] = 20 + bytes[0] % 5;
            bytes[1..5].copy_from_slice(&[3, 3, high, low]);
        }
        for channel in [&mut client, &mut server] {
            let mut copy = bytes.clone();
            let mut failed = None;
            for piece in cut(&mut copy, &cuts) {
                let mut out = Vec::new();
                let result = channel.receive(piece, &mut out, &mut |_| panic!("plaintext"));
                if let Some(error) = &failed {
                    prop_assert_eq!(result.as_ref().err(), Some(error));
                    prop_assert_eq!(out.len(), 0);
                }
                failed = result.err();
                prop_assert!(channel.held.bytes.len() <= MAX_HELD);
            }
            let mut out = Vec::new();
            let _ = channel.send(b"x", &mut out);
            channel.close(&mut out);
        }
    }

    #[test]
    fn a_changed_handshake_changes_no_identity(
        versions in any_versions(),
        flight in 0..3_usize,
        place: prop::sample::Index,
        bit in 0..8_u8,
    ) {
        let (mut client, mut server) = fresh(versions);
        let mut to_server = Vec::new();
        client.start(&mut to_server).unwrap();
        let mut to_client = Vec::new();
        let mut result = Ok(());
        for round in 0..4 {
            let flights = [&mut to_server, &mut to_client];
            let [bytes, answer] = if round % 2 == 0 { flights } else { let [a, b] = flights; [b, a] };
            let mut bytes = std::mem::take(bytes);
            if round == flight && !bytes.is_empty() {
                let at = place.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            let side = if round % 2 == 0 { &mut server } else { &mut client };
            result = side.receive(&mut bytes, answer, &mut |_| ()).map(|_| ());
            if result.is_err() {
                break;
            }
        }
        // Either somebody noticed, or somebody waits for bytes that a changed
        // length promised; the version byte of a record's header means nothing.
        let finished = result.is_ok() && !client.is_handshaking() && !server.is_handshaking();
        if finished {
            let sealed = send(&mut client, b"harmless");
            prop_assert_eq!(receive(&mut server, &sealed, 9).unwrap().0, b"harmless");
            prop_assert_eq!(server.peer(), Some(client_key().public_key()));
            prop_assert_eq!(client.peer(), Some(server_key().public_key()));
        }
        let _ = settle(&mut client, &mut server, Vec::new());
    }
}

#[test]
#[ignore = "2^24 records take half a minute in a release build"]
fn used_up_keys_end_1_2_in_good_order_and_1_3_not_at_all() {
    for versions in [Only12, Only13] {
        let (mut client, mut server) = pair(versions);
        let (mut out, mut count) = (Vec::new(), 0_u32);
        let result = loop {
            out.clear();
            let result = client.send(b"x", &mut out);
            let mut sink = |_: &[u8]| count += 1;
            let progress = server.receive(&mut out, &mut Vec::new(), &mut sink);
            if result.is_err() || count == (1 << 24) + 1_000 {
                break result.map(|()| progress.unwrap().closed);
            }
            assert!(!progress.unwrap().closed);
        };
        if versions == Only12 {
            assert_eq!(result, Err(TlsError::Exhausted));
            assert_eq!(count, (1 << 24) - 1);
            assert!(server.peer_closed);
            assert_eq!(client.send(b"x", &mut out), Err(TlsError::Exhausted));
        } else {
            assert_eq!(result, Ok(false));
        }
    }
}
