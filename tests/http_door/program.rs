//! The whole table against the built program, by HTTP and by HTTPS, and what is no
//! TLS at all.

use crate::calls::calls;
use crate::common::secure::{config, secure};
use crate::common::Node;
use crate::harness::{get, Client, PATIENCE};
use crate::malformed::{heads, lengths, raw, Case};
use crate::upgrades::upgrades;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Anything that bytes go through.
trait Pipe: Read + Write {}
impl<T: Read + Write> Pipe for T {}

/// Sends and reads one answer: status and body.
fn exchange(pipe: &mut dyn Pipe, bytes: &[u8]) -> Option<(u16, String, Vec<u8>)> {
    // That the door hangs up meanwhile is what the answer tells.
    let _ = pipe.write_all(bytes);
    let _ = pipe.flush();
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let end = seen.windows(4).position(|w| w == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8(seen[..end].to_vec()).unwrap();
            let length = head
                .lines()
                .find_map(|l| l.strip_prefix("Content-Length: "));
            let length: usize = length.map_or(0, |n| n.parse().unwrap());
            if seen.len() >= end + 4 + length {
                let status = head[9..12].parse().unwrap();
                return Some((status, head, seen[end + 4..end + 4 + length].to_vec()));
            }
        }
        match pipe.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(count) => seen.extend_from_slice(&chunk[..count]),
        }
    }
}

fn plain(place: SocketAddr) -> Box<dyn Pipe> {
    let stream = TcpStream::connect(place).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Box::new(stream)
}

fn table() -> Vec<Case> {
    let all = [lengths(), heads(), upgrades(), calls()];
    all.into_iter().flatten().collect()
}

fn check(case: &Case, pipe: &mut dyn Pipe) {
    let (name, bytes, status, code) = case;
    let answer = exchange(pipe, bytes);
    let (seen, head, body) = answer.unwrap_or_else(|| panic!("{name}: no answer"));
    assert_eq!(seen, *status, "{name}: {head}");
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["code"], *code, "{name}: {body}");
}

#[test]
fn the_program_survives_every_malformed_request_by_http_and_https() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), &[("RPCS_PORT", "0")]);
    let config = config();
    let cases = table();
    assert!(cases.len() >= 60, "{}", cases.len());
    for case in &cases {
        check(case, &mut *plain(node.rpc()));
        check(case, &mut secure(node.rpcs(), &config));
        for pipe in [
            &mut plain(node.rpc()) as &mut dyn Pipe,
            &mut secure(node.rpcs(), &config),
        ] {
            let (status, _, _) = exchange(pipe, &get("/health")).expect(case.0);
            assert_eq!(status, 200, "health after: {}", case.0);
        }
    }
    println!("{} requests by each of HTTP and HTTPS", cases.len());
    assert!(node.ask("chr_node_info")["node_id"].is_string());
    assert_eq!(node.ask("node_status")["health"]["status"], "ok");
}

#[test]
fn what_is_no_tls_on_the_https_port_is_survived() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), &[("RPCS_PORT", "0")]);
    let config = config();
    // HTTP on the HTTPS port is told where it is.
    let mut lost = Client::connect(node.rpcs());
    let reply = lost.ask(&get("/health")).unwrap();
    assert_eq!(reply.status, 400);
    assert!(reply.json()["error"]["message"]
        .to_string()
        .contains("https://"));
    let mut hello = Vec::new();
    {
        // A real ClientHello, to be damaged.
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let mut client = rustls::ClientConnection::new(config.clone(), name).unwrap();
        client.write_tls(&mut hello).unwrap();
    }
    let mut rng = fastrand::Rng::with_seed(11);
    let mut garbage: Vec<Vec<u8>> = vec![
        vec![0; 4_000],
        vec![0xff; 4_000],
        vec![22; 4_000],
        b"\x16\x03\x01\xff\xff".to_vec(),
        b"\x16\x03\x01\x00\x00".repeat(500),
        // An SSLv2 hello, and the first bytes of SSH.
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10".to_vec(),
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        raw("GET / HTTP/1.1\nHost: localhost\n\n").repeat(100),
        // Application data, an alert and a change of ciphers before any hello.
        b"\x17\x03\x03\x00\x04abcd".to_vec(),
        b"\x15\x03\x03\x00\x02\x02\x28".to_vec(),
        b"\x14\x03\x03\x00\x01\x01".to_vec(),
        hello.repeat(2),
        [&hello[..], &[22; 4_000]].concat(),
    ];
    for _ in 0..100 {
        let mut damaged = hello.clone();
        for _ in 0..rng.usize(1..6) {
            let at = rng.usize(..damaged.len());
            damaged[at] = rng.u8(..);
        }
        damaged.truncate(rng.usize(1..=damaged.len()));
        garbage.push(damaged);
    }
    for (n, bytes) in garbage.iter().enumerate() {
        let mut stream = TcpStream::connect(node.rpcs()).unwrap();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        if n % 10 == 0 {
            let mut good = secure(node.rpcs(), &config);
            let (status, _, _) = exchange(&mut good, &get("/health")).expect("no answer");
            assert_eq!(status, 200, "after garbage {n}");
        }
    }
    // Garbage after a good handshake, in the clear.
    let mut broken = secure(node.rpcs(), &config);
    assert_eq!(exchange(&mut broken, &get("/ready")).unwrap().0, 200);
    broken.sock.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(exchange(&mut broken, b"").is_none());
    let mut good = secure(node.rpcs(), &config);
    assert_eq!(exchange(&mut good, &get("/health")).unwrap().0, 200);
    assert_eq!(node.ask("node_status")["health"]["status"], "ok");
}
