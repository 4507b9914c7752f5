//! Five hundred clients that send a byte a second, against the built program.

use crate::common::secure::{config, secure};
use crate::common::Node;
use crate::harness::{get, Client};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CLIENTS: usize = 500;
/// What they may cost.
const GROWTH: u64 = 4 << 20;

/// A ClientHello of which each slow client sends the beginning.
fn hello() -> Vec<u8> {
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut client = rustls::ClientConnection::new(config(), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// Sockets to the node that it has not closed: a byte or nothing can be read from them
/// without an end.
fn standing(sockets: &[TcpStream]) -> usize {
    let stands = |mut socket: &TcpStream| {
        let mut byte = [0];
        loop {
            match socket.read(&mut byte) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(e) => return e.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
    };
    sockets.iter().filter(|socket| stands(socket)).count()
}

/// Asks once more on a new connection.
fn ask(node: &Node, over_tls: bool) -> Duration {
    let begin = Instant::now();
    if over_tls {
        let mut client = secure(node.rpcs(), &config());
        client.write_all(&get("/health")).unwrap();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    } else {
        let reply = Client::connect(node.rpc()).ask(&get("/health")).unwrap();
        assert_eq!(reply.status, 200);
    }
    begin.elapsed()
}

/// Those that the table has let in and those that the kernel still holds.
fn besiege(node: &Node, place: SocketAddr, bytes: &[u8], over_tls: bool) {
    // Whatever is made once is made before the measurement.
    for _ in 0..20 {
        ask(node, over_tls);
    }
    let before = node.program.rss();
    let sockets: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| {
            let socket = TcpStream::connect(place).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
        .collect();
    let done = AtomicBool::new(false);
    let (mut asked, mut slowest, mut grown) = (0, Duration::ZERO, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for byte in bytes {
                for mut socket in &sockets {
                    let _ = socket.write(&[*byte]);
                }
                let second = Instant::now() + Duration::from_secs(1);
                while Instant::now() < second {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        });
        let end = Instant::now() + Duration::from_secs(4);
        while Instant::now() < end {
            slowest = slowest.max(ask(node, over_tls));
            asked += 1;
            grown = grown.max(node.program.rss().saturating_sub(before));
        }
        // They go on sending; the node has had enough of each after five seconds.
        let patience = Instant::now() + Duration::from_secs(30);
        while standing(&sockets) > 0 && Instant::now() < patience {
            grown = grown.max(node.program.rss().saturating_sub(before));
            std::thread::sleep(Duration::from_millis(100));
        }
        done.store(true, Ordering::Relaxed);
    });
    println!("asked {asked} times, slowest {slowest:?}, {grown} bytes more");
    assert_eq!(standing(&sockets), 0, "slow clients outlive their time");
    assert!(
        asked >= 4,
        "monitoring was kept out: {asked} answers in 4 s"
    );
    assert!(
        grown <= GROWTH,
        "{grown} bytes more with {CLIENTS} slow clients"
    );
    ask(node, over_tls);
}

#[test]
fn five_hundred_slow_clients_stop_nobody_and_cost_little_by_http() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), &[]);
    let head = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
    besiege(&node, node.rpc(), &head.repeat(4), false);
}

#[test]
fn five_hundred_slow_clients_stop_nobody_and_cost_little_by_https() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), &[("RPCS_PORT", "0")]);
    besiege(&node, node.rpcs(), &hello(), true);
}
