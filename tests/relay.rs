//! Two devices reach each other through a node, with the real programs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

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
    let (forwarder, listen) = Device::forward(home.path(), "b", &node.address(), "127.0.0.1:0", &target, &[]);
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
