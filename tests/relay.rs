//! Two devices reach each other through a node, with the real programs: what
//! goes in comes out, however much it is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use chr_node::edge::ALPN;
use chr_node::tls::{Version, Versions};
use common::raw::{self, Raw};
use common::servers::*;
use common::*;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Silence that no load of the machine explains.
const PATIENCE: Duration = Duration::from_secs(15);

/// Blocks of a large transfer: 256 MiB, or 1 GiB with CHR_TEST_FULL set.
fn large() -> usize {
    if std::env::var_os("CHR_TEST_FULL").is_some() {
        1024
    } else {
        256
    }
}

/// Sends blocks to a digest server; the digest that comes back must be theirs.
/// A wake-up that was lost shows by silence: programs ping only every 100 s.
fn upload(stream: &mut TcpStream, seed: u64, blocks: usize) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let sent = write_blocks(stream, seed, blocks);
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let total = (blocks * BLOCK) as u64;
    assert_eq!(answer.len(), 40, "the answer after the end of input");
    assert_eq!(answer[..8], total.to_be_bytes(), "bytes are missing");
    assert_eq!(answer[8..], sent, "bytes differ");
}

#[test]
fn bytes_arrive_unchanged_end_to_end_and_half_close_is_carried() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let port = echo_server();
    let spec = format!("{port}=8080:public");
    let (publisher, ready) = Device::publish(home.path(), "a", &node.address(), &[&spec]);
    assert_eq!(ready["node"], node.id());
    assert_eq!(ready["ports"][0]["name"], "tls:8080");
    let target = format!("{}:8080", ready["device"].as_str().unwrap());
    let (forwarder, listen) = Device::forward(
        home.path(),
        "b",
        &node.address(),
        "127.0.0.1:0",
        &target,
        &[],
    );
    let sent = noise(1, 3_000_000);
    let mut stream = TcpStream::connect(listen).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let expected = sent.clone();
    let reading = std::thread::spawn(move || {
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        got
    });
    stream.write_all(&sent).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let got = reading.join().unwrap();
    assert_eq!(got.len(), expected.len());
    assert!(got == expected, "bytes differ");
    drop((publisher, forwarder));
}

#[test]
fn a_large_upload_end_to_end_loses_no_byte() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let route = Route::tcp(home.path(), &node.address(), digest_server());
    upload(&mut route.connect(), 1, large());
}

#[test]
fn a_large_upload_on_a_plain_port_loses_no_byte() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let spec = format!("{}=8080:public", digest_server());
    let route = Route::open(
        home.path(),
        &node.address(),
        &spec,
        "127.0.0.1:0",
        &["--plain"],
    );
    upload(&mut route.connect(), 2, large());
}

#[test]
fn ports_of_one_session_do_not_mix_their_bytes() {
    const PORTS: usize = 4;
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let targets: Vec<u16> = (0..PORTS).map(|_| digest_server()).collect();
    let specs: Vec<String> = (0..PORTS)
        .map(|i| format!("{}={}:public", targets[i], 8000 + i))
        .collect();
    let specs: Vec<&str> = specs.iter().map(String::as_str).collect();
    let (publisher, ready) = Device::publish(home.path(), "p", &node.address(), &specs);
    assert_eq!(ready["ports"].as_array().unwrap().len(), PORTS);
    let forwarders: Vec<_> = (0..PORTS)
        .map(|i| {
            let target = format!("{}:{}", ready["device"].as_str().unwrap(), 8000 + i);
            let name = format!("f{i}");
            Device::forward(
                home.path(),
                &name,
                &node.address(),
                "127.0.0.1:0",
                &target,
                &[],
            )
        })
        .collect();
    std::thread::scope(|scope| {
        for (i, (_, listen)) in forwarders.iter().enumerate() {
            for k in 0..3 {
                scope.spawn(move || {
                    let mut stream = TcpStream::connect(listen).unwrap();
                    upload(&mut stream, (10 * i + k) as u64 + 1, 4 + k);
                });
            }
        }
    });
    drop(publisher);
}

#[test]
fn both_directions_at_once_do_not_wait_for_each_other() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    // Each side writes all of its bytes while it reads the other's.
    let port = serve(|stream| {
        let mut read = stream.try_clone().unwrap();
        let reading = std::thread::spawn(move || hash_to_end(&mut read));
        let mut write = stream;
        write_blocks(&mut write, 5, 24);
        write.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reading.join().unwrap().0, 24 << 20);
    });
    let route = Route::tcp(home.path(), &node.address(), port);
    let mut stream = route.connect();
    let mut read = stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || hash_to_end(&mut read));
    let mine = write_blocks(&mut stream, 5, 24);
    stream.shutdown(Shutdown::Write).unwrap();
    let (total, theirs) = reading.join().unwrap();
    assert_eq!(total, 24 << 20);
    assert_eq!(mine, theirs);
}

/// A node that allows one version of TLS only; `other` must get no session.
fn only_one_version(setting: &str, version: Version, own: Versions, other: Versions) {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), &[("CHR_SECURITY__TLS_VERSIONS", setting)]);
    let route = Route::tcp(home.path(), &node.address(), digest_server());
    upload(&mut route.connect(), 3, 16);
    let key = raw::key();
    let session = Raw::try_connect(node.edge(), &key, &[ALPN], own).unwrap();
    assert_eq!(session.version(), Some(version));
    let refused = Raw::try_connect(node.edge(), &key, &[ALPN], other);
    assert!(refused.is_err(), "the other version was taken");
}

#[test]
fn a_node_of_tls_1_2_only_relays_and_takes_no_1_3() {
    only_one_version("1.2", Version::Tls12, Versions::Only12, Versions::Only13);
}

#[test]
fn a_node_of_tls_1_3_only_relays_and_takes_no_1_2() {
    only_one_version("1.3", Version::Tls13, Versions::Only13, Versions::Only12);
}

#[test]
fn short_connections_that_end_at_once_are_not_taken_for_cut_ones() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let route = Route::tcp(home.path(), &node.address(), echo_server());
    let listen = route.listen;
    for _ in 0..5 {
        std::thread::scope(|scope| {
            for n in 0..60 {
                scope.spawn(move || assert_echo(listen, &noise(n, n as usize)));
            }
        });
    }
    assert_eq!(route.publisher.event(Duration::ZERO), None);
    assert_eq!(route.forwarder.event(Duration::ZERO), None);
}

/// Short exchanges one after the other, whose answers come after the end of input.
fn many_short_exchanges(options: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let spec = format!("{}=8080:public", digest_server());
    let route = Route::open(home.path(), &node.address(), &spec, "127.0.0.1:0", options);
    for n in 0..300 {
        upload(&mut route.connect(), n + 1, usize::from(n % 50 == 0));
    }
}

#[test]
fn no_short_exchange_end_to_end_waits_for_the_next_ping() {
    many_short_exchanges(&[]);
}

#[test]
fn no_short_exchange_on_a_plain_port_waits_for_the_next_ping() {
    many_short_exchanges(&["--plain"]);
}

#[test]
fn a_server_that_ends_first_still_gets_the_rest() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let (told, server) = std::sync::mpsc::channel();
    let port = serve(move |mut stream| {
        stream.write_all(b"goodbye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        told.send(hash_to_end(&mut stream)).unwrap();
    });
    for options in [&[][..], &["--plain"]] {
        let spec = format!("{port}=8080:public");
        let route = Route::open(home.path(), &node.address(), &spec, "127.0.0.1:0", options);
        let mut stream = route.connect();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said, "goodbye");
        let sent = write_blocks(&mut stream, 1, 3);
        drop(stream);
        let (total, got) = server.recv_timeout(PATIENCE).unwrap();
        assert_eq!((total, got), (3 << 20, sent));
    }
}

#[test]
fn a_connection_that_breaks_on_one_side_does_not_look_complete_on_the_other() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let (told, server) = std::sync::mpsc::channel();
    let port = serve(move |mut stream| {
        let mut first = [0];
        stream.read_exact(&mut first).unwrap();
        stream.write_all(b"half of it").unwrap();
        if first == *b"b" {
            // Waits until the bytes that it will not read are there.
            while stream.peek(&mut first).unwrap() == 0 {}
            return; // Unread bytes: the kernel resets the connection.
        }
        let end = std::io::copy(&mut stream, &mut std::io::sink());
        told.send(end.map_err(|e| e.kind())).unwrap();
    });
    for options in [&[][..], &["--plain"]] {
        let spec = format!("{port}=8080:public");
        let route = Route::open(home.path(), &node.address(), &spec, "127.0.0.1:0", options);
        let mut stream = route.connect();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"bx").unwrap();
        let end = stream.read_to_end(&mut Vec::new());
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
        // The same the other way round.
        let mut stream = route.connect();
        stream.write_all(b"a").unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        drop(stream);
        let end = server.recv_timeout(PATIENCE).unwrap();
        assert_eq!(end, Err(ErrorKind::ConnectionReset));
    }
}
