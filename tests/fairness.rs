//! A reader that stalls must cost the others nothing and the node little. The
//! one test of its file, because it measures rates.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::servers::*;
use common::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the node may hold for readers that stall, in bytes.
const MEMORY: u64 = 3_000_000;
/// Other tests, other people's programs: a slow moment says nothing.
const TRIES: usize = 6;

/// How long each rate is measured: 2 s, or 30 s with CHR_TEST_FULL set.
fn span() -> Duration {
    if std::env::var_os("CHR_TEST_FULL").is_some() {
        Duration::from_secs(30)
    } else {
        Duration::from_secs(2)
    }
}

/// Reads as fast as it can until it is dropped.
struct Reader {
    read: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Reader {
    fn start(place: SocketAddr) -> Reader {
        let mut stream = TcpStream::connect(place).unwrap();
        let read = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (count, over) = (read.clone(), stop.clone());
        std::thread::spawn(move || {
            let mut buffer = vec![0; 256 * 1024];
            while !over.load(Ordering::Relaxed) {
                // The programs end before the thread; a rate of 0 would show any other end.
                let Ok(n @ 1..) = stream.read(&mut buffer) else {
                    return;
                };
                count.fetch_add(n as u64, Ordering::Relaxed);
            }
        });
        Reader { read, stop }
    }

    /// Bytes a second.
    fn rate(&self) -> f64 {
        let (from, started) = (self.read.load(Ordering::Relaxed), Instant::now());
        std::thread::sleep(span());
        let bytes = self.read.load(Ordering::Relaxed) - from;
        bytes as f64 / started.elapsed().as_secs_f64()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A connection that reads fast until its windows are large, and then not at all.
fn stall_download(place: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(place).unwrap();
    let mut left = 16 << 20;
    let mut buffer = vec![0; 256 * 1024];
    while left > 0 {
        left -= stream.read(&mut buffer).unwrap() as i64;
    }
    stream
}

/// A connection whose server reads no more: writes until nothing is taken.
fn stall_upload(place: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(place).unwrap();
    stream
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let block = noise(7, 256 * 1024);
    while stream.write_all(&block).is_ok() {}
    stream
}

#[test]
fn a_stalled_reader_slows_no_other_port_and_fills_no_memory() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let deaf = serve(|stream| {
        // Keeps the connection and reads nothing.
        std::thread::sleep(Duration::from_secs(600));
        drop(stream);
    });
    let specs = [
        format!("{}=8080:public", source_server(3)),
        format!("{deaf}=8081:public"),
    ];
    let (_publisher, ready) =
        Device::publish(home.path(), "p", &node.address(), &[&specs[0], &specs[1]]);
    let device = ready["device"].as_str().unwrap();
    let forward = |name: &str, port: u16| {
        let target = format!("{device}:{port}");
        Device::forward(
            home.path(),
            name,
            &node.address(),
            "127.0.0.1:0",
            &target,
            &[],
        )
    };
    // Reader and stalled download share both sessions, the upload the publisher's.
    let (_forwarder, listen) = forward("f", 8080);
    let (_second, silent) = forward("g", 8081);
    let reader = Reader::start(listen);
    reader.rate();
    let mut found = Vec::new();
    for _ in 0..TRIES {
        let before = reader.rate();
        let memory = node.program.rss();
        let stalled = [stall_download(listen), stall_upload(silent)];
        let during = reader.rate();
        let grown = node.program.rss().saturating_sub(memory);
        drop(stalled);
        let share = during / before;
        println!(
            "{:.0} MB/s alone, {:.0} beside stalled ones ({share:.2}), node's memory +{grown}",
            before / 1e6,
            during / 1e6
        );
        found.push((share, grown));
        if share >= 0.9 && grown < MEMORY {
            return;
        }
    }
    panic!("share of the rate, growth of memory: {found:?}");
}
