//! What a relayed byte, a round trip, a handshake and an idle session cost.
//!
//! Starts the release build of `chr-node` and drives it with light endpoints of
//! the library in this process, so that the node's own CPU time and memory can
//! be read from /proc. `cargo bench --bench relay [-- NAME…]`; names are those of
//! the functions below. Figures are printed one a line: `name value unit`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use chr_node::edge::device::{Device, DeviceEvent, DeviceOptions, NodeAddress};
use chr_node::identity::SecretKey;
use chr_node::ports::LocalPort;
use chr_node::time::{Clock, Moment};
use smol::Executor;
use std::future::poll_fn;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

struct Node {
    child: Child,
    address: NodeAddress,
    _data: tempfile::TempDir,
}

impl Node {
    fn start(more: &[(&str, &str)]) -> Node {
        let data = tempfile::tempdir().unwrap();
        let mut c = Command::new(binary());
        c.env("DATA_DIR", data.path())
            .env("EDGE2_PORT", "0")
            .env("RPC_PORT", "0")
            .env("LOG_LEVEL", "warn")
            .env("CHR_NETWORK__BIND", "127.0.0.1")
            .env("CHR_PERFORMANCE__MAX_CONNECTIONS", "20000")
            .env("CHR_SECURITY__RATE_LIMITING", "false")
            .env("CHR_SECURITY__MAX_SESSIONS_PER_ADDRESS", "100000")
            .env("CHR_SECURITY__MAX_HANDSHAKES", "1000")
            .env("CHR_SECURITY__MAX_HANDSHAKES_PER_ADDRESS", "1000")
            .stdout(Stdio::null());
        for (k, v) in more {
            c.env(k, v);
        }
        let begun = Instant::now();
        let child = c.spawn().unwrap();
        let run = data.path().join("run.json");
        let json: serde_json::Value = loop {
            let text = std::fs::read_to_string(&run).unwrap_or_default();
            if let Ok(json) = serde_json::from_str(&text) {
                break json;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "the node did not start"
            );
            std::thread::sleep(Duration::from_micros(200));
        };
        println!(
            "start_to_listening {:.1} ms",
            begun.elapsed().as_secs_f64() * 1e3
        );
        let text = format!(
            "{}@{}",
            json["node_id"].as_str().unwrap(),
            json["edge"][0].as_str().unwrap()
        );
        Node {
            child,
            address: text.parse().unwrap(),
            _data: data,
        }
    }

    /// User and system CPU seconds so far.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        ticks as f64 / 100.0
    }

    fn rss(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn binary() -> PathBuf {
    std::env::var_os("BENCH_NODE").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_chr-node")),
        PathBuf::from,
    )
}

async fn device(node: &Node, executor: &Arc<Executor<'static>>) -> Device {
    let options = DeviceOptions::new(SecretKey::generate(), vec![node.address.clone()]);
    let device = Device::start(options, executor).unwrap();
    ready(&device).await;
    device
}

async fn ready(device: &Device) {
    loop {
        match device.next_event().await {
            DeviceEvent::Ready { .. } => return,
            DeviceEvent::Over { reason } => panic!("{reason}"),
            other => eprintln!("{other:?}"),
        }
    }
}

fn clock() -> impl Clock {
    chr_node::platform::clock::BootClock::new()
}

/// Publishes tcp:1 at one device, opens it from another.
async fn pair(
    node: &Node,
    executor: &Arc<Executor<'static>>,
) -> (Device, Device, LocalPort, LocalPort) {
    let a = device(node, executor).await;
    let b = device(node, executor).await;
    a.publish("tcp:1", None);
    let accept = async { a.accept().await.unwrap() };
    let address = a.address();
    let open = async {
        loop {
            match b.open(address, "tcp:1").await {
                Ok(port) => return port,
                Err(e) => {
                    eprintln!("open: {e}");
                    smol::Timer::after(Duration::from_millis(5)).await;
                }
            }
        }
    };
    let (offer, opened) = {
        let taken = async {
            let offer = accept.await;
            offer.accept(|_| Ok(())).await.unwrap().into_port()
        };
        smol::future::zip(taken, open).await
    };
    (a, b, offer, opened)
}

async fn write_all(port: &LocalPort, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let n = poll_fn(|cx| port.poll_write(cx, bytes)).await.unwrap();
        bytes = &bytes[n..];
    }
}

async fn read_some(port: &LocalPort, clock: &impl Clock) -> usize {
    poll_fn(|cx| match port.poll_read(cx, clock.now()) {
        Poll::Ready(Ok(Some(chunk))) => Poll::Ready(chunk.len()),
        Poll::Ready(Ok(None)) => Poll::Ready(0),
        Poll::Ready(Err(e)) => panic!("{e}"),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// One stream, plain port, light endpoints.
fn throughput(gib: u64) {
    let node = Node::start(&[]);
    let executor = Arc::new(Executor::new());
    smol::block_on(executor.run(async {
        let (_a, _b, from, to) = pair(&node, &executor).await;
        let total = gib << 30;
        let block = vec![7u8; 128 * 1024];
        let (cpu, begun) = (node.cpu(), Instant::now());
        let send = async {
            let mut left = total;
            while left > 0 {
                let n = left.min(block.len() as u64) as usize;
                write_all(&from, &block[..n]).await;
                left -= n as u64;
            }
            from.finish();
        };
        let clock = clock();
        let receive = async move {
            let (mut got, mut worst, mut last) = (0u64, Duration::ZERO, Instant::now());
            loop {
                let n = read_some(&to, &clock).await;
                let now = Instant::now();
                worst = worst.max(now - last);
                last = now;
                if n == 0 {
                    return (got, worst);
                }
                got += n as u64;
            }
        };
        let receive = executor.spawn(receive);
        let ((), (got, worst)) = smol::future::zip(send, receive).await;
        assert_eq!(got, total);
        let took = begun.elapsed().as_secs_f64();
        let gb = total as f64 / 1e9;
        println!("plain_throughput {:.0} MB/s", gb * 1e3 / took);
        println!("node_cpu_per_gb {:.3} s", (node.cpu() - cpu) / gb);
        println!("longest_stall {:.1} ms", worst.as_secs_f64() * 1e3);
        println!("node_rss_after {:.2} MB", node.rss() as f64 / 1e6);
    }));
}

/// 64 bytes there and back on a plain port.
fn round_trip(rounds: usize) {
    let node = Node::start(&[]);
    let executor = Arc::new(Executor::new());
    smol::block_on(executor.run(async {
        let (_a, _b, near, far) = pair(&node, &executor).await;
        let echo = executor.spawn(async move {
            let clock = clock();
            loop {
                let chunk = poll_fn(|cx| far.poll_read(cx, clock.now())).await;
                match chunk {
                    Ok(Some(chunk)) => write_all(&far, chunk.bytes()).await,
                    _ => return,
                }
            }
        });
        let clock = clock();
        let mut times = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let begun = Instant::now();
            write_all(&near, &[9; 64]).await;
            let mut got = 0;
            while got < 64 {
                got += read_some(&near, &clock).await;
            }
            times.push(begun.elapsed());
        }
        times.sort();
        println!(
            "round_trip_p50 {:.1} us",
            times[rounds / 2].as_secs_f64() * 1e6
        );
        println!(
            "round_trip_p99 {:.1} us",
            times[rounds * 99 / 100].as_secs_f64() * 1e6
        );
        drop(echo);
    }));
}

/// Memory and CPU of many idle, ticketed sessions.
fn sessions(count: usize) {
    let node = Node::start(&[]);
    std::thread::sleep(Duration::from_millis(300));
    let idle = node.rss();
    println!("idle_rss {:.2} MB", idle as f64 / 1e6);
    let _ = chr_node::platform::limits::raise_descriptors();
    let executor = Arc::new(Executor::new());
    smol::block_on(executor.run(async {
        let cpu = node.cpu();
        let mut devices = Vec::new();
        // In batches: a device's handshake costs this process as much as the node.
        while devices.len() < count {
            let batch: Vec<_> = (0..50.min(count - devices.len()))
                .map(|_| {
                    let options =
                        DeviceOptions::new(SecretKey::generate(), vec![node.address.clone()]);
                    Device::start(options, &executor).unwrap()
                })
                .collect();
            for d in &batch {
                ready(d).await;
            }
            devices.extend(batch);
        }
        println!(
            "handshake_cpu {:.0} us",
            (node.cpu() - cpu) / count as f64 * 1e6
        );
        smol::Timer::after(Duration::from_secs(1)).await;
        let each = node.rss().saturating_sub(idle) / count as u64;
        println!("session_rss_{count} {each} B");
    }));
}

fn main() {
    let names: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|n| n == name);
    if wanted("throughput") {
        throughput(
            std::env::var("GIB")
                .ok()
                .and_then(|g| g.parse().ok())
                .unwrap_or(4),
        );
    }
    if wanted("round_trip") {
        round_trip(
            std::env::var("ROUNDS")
                .ok()
                .and_then(|r| r.parse().ok())
                .unwrap_or(20_000),
        );
    }
    if wanted("sessions") {
        sessions(1_000);
        sessions(5_000);
    }
    let _ = Moment::default();
}
