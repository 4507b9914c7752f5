//! What is asked of every tunnel, ours and others': each job once.

use super::loopback::{echo_server, trips};
use super::tunnels::{Kind, Side, Tunnel};
use super::{machine, say, setting};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{channel, Receiver};
use std::time::{Duration, Instant};

/// Bytes written and read at once by source and sink.
const BLOCK: usize = 256 * 1024;
/// What is closed is given back within this time: chr-node looks after its
/// memory once a minute, the others get as long.
const AFTERWARDS: Duration = Duration::from_secs(65);
/// Memory that has not changed for this long is what there is to see.
const STEADY: Duration = Duration::from_secs(3);
/// How long that is waited for.
const RESTLESS: Duration = Duration::from_secs(30);

/// One job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// One stream: rate, and the CPU of each process.
    Rate,
    /// 64 bytes there and back, all processes on one CPU.
    RoundTripOneCore,
    /// The same, wherever the kernel puts them.
    RoundTrip,
    /// A new connection, up to the first byte of an echo.
    Connect,
    /// Memory idle, with many open connections, and when they are closed.
    Connections,
    /// What the programs weigh.
    Size,
}

impl Job {
    pub const ALL: [Job; 6] = [
        Job::Rate,
        Job::RoundTripOneCore,
        Job::RoundTrip,
        Job::Connect,
        Job::Connections,
        Job::Size,
    ];

    /// In names of samples.
    pub fn name(self) -> &'static str {
        match self {
            Job::Rate => "rate",
            Job::RoundTripOneCore => "round-trip-one-core",
            Job::RoundTrip => "round-trip",
            Job::Connect => "connect",
            Job::Connections => "connections",
            Job::Size => "size",
        }
    }

    /// Says what came out, keys beginning with the tunnel's name.
    ///
    /// # Errors
    /// Why this tunnel cannot be measured here.
    pub fn run(self, kind: Kind) -> Result<(), String> {
        match self {
            Job::Rate => rate(kind),
            Job::RoundTripOneCore => round_trip(kind, "one-core"),
            Job::RoundTrip => round_trip(kind, "free"),
            Job::Connect => connect(kind),
            Job::Connections => connections(kind),
            Job::Size => size(kind),
        }
    }
}

/// Takes everything; tells when a connection has brought `total` bytes, however
/// it ends: not every tunnel hands on the end of a stream at once.
fn sink(total: u64) -> (u16, Receiver<Instant>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (done, over) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let done = done.clone();
            std::thread::spawn(move || {
                let mut buffer = vec![0; BLOCK];
                let mut got = 0;
                while let Ok(n @ 1..) = stream.read(&mut buffer) {
                    got += n as u64;
                    if got == total {
                        let _ = done.send(Instant::now());
                    }
                }
            });
        }
    });
    (port, over)
}

fn rate(kind: Kind) -> Result<(), String> {
    // Nothing would be divided by nothing.
    let total = (setting("GIB", 2) << 30).max(64 << 20);
    let (port, over) = sink(total);
    let tunnel = kind.open(port)?;
    let mut stream = TcpStream::connect(tunnel.place()).unwrap();
    let before = Side::ALL.map(|side| tunnel.cpu(side));
    let begun = Instant::now();
    let block = vec![7u8; BLOCK];
    for _ in 0..total / BLOCK as u64 {
        stream.write_all(&block).unwrap();
    }
    let end = over.recv_timeout(Duration::from_secs(60)).unwrap();
    let gb = total as f64 / 1e9;
    let name = kind.name();
    say(
        &format!("{name}.rate"),
        gb * 1e3 / (end - begun).as_secs_f64(),
    );
    let mut all = 0.0;
    for (side, before) in Side::ALL.into_iter().zip(before) {
        if let (Some(before), Some(after)) = (before, tunnel.cpu(side)) {
            all += after - before;
            say(
                &format!("{name}.cpu.{}", side.name()),
                (after - before) / gb,
            );
        }
    }
    say(&format!("{name}.cpu.all"), all / gb);
    Ok(())
}

fn round_trip(kind: Kind, where_: &str) -> Result<(), String> {
    let tunnel = kind.open(echo_server())?;
    trips(
        &format!("{}.round-trip.{where_}", kind.name()),
        tunnel.place(),
    );
    Ok(())
}

/// A connection with a byte there and back.
fn greet(place: &str) -> TcpStream {
    let mut stream = TcpStream::connect(place).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&[1]).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    stream
}

fn connect(kind: Kind) -> Result<(), String> {
    let tunnel = kind.open(echo_server())?;
    // The first one brings in code.
    drop(greet(tunnel.place()));
    let mut times = Vec::new();
    for _ in 0..setting("CONNECTS", 500) {
        let begun = Instant::now();
        let stream = greet(tunnel.place());
        times.push(begun.elapsed());
        drop(stream);
    }
    for percent in [50, 99] {
        say(
            &format!("{}.connect.p{percent}", kind.name()),
            machine::percentile(&mut times, percent),
        );
    }
    Ok(())
}

fn connections(kind: Kind) -> Result<(), String> {
    let count = setting("CONNECTIONS", 500);
    let tunnel = kind.open(echo_server())?;
    // Code that every connection needs is not what a connection takes.
    drop(greet(tunnel.place()));
    let idle = told(kind, &*tunnel, "idle");
    let open: Vec<_> = (0..count).map(|_| greet(tunnel.place())).collect();
    let busy = told(kind, &*tunnel, "open");
    let each = (busy - idle) / count as f64;
    say(&format!("{}.each", kind.name()), each / 1e3);
    drop(open);
    std::thread::sleep(AFTERWARDS);
    told(kind, &*tunnel, "after");
    Ok(())
}

/// Says what each process holds once that is steady; the sum in bytes.
fn told(kind: Kind, tunnel: &dyn Tunnel, when: &str) -> f64 {
    let memory = || Side::ALL.map(|side| tunnel.memory(side));
    let end = Instant::now() + RESTLESS;
    let (mut last, mut since) = (memory(), Instant::now());
    while since.elapsed() < STEADY && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
        let now = memory();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    for (side, bytes) in Side::ALL.into_iter().zip(last) {
        if let Some(bytes) = bytes {
            let key = format!("{}.{when}.{}", kind.name(), side.name());
            say(&key, bytes / 1e6);
        }
    }
    last.into_iter().flatten().sum()
}

/// Each program once, without the libraries of the system that it loads.
fn size(kind: Kind) -> Result<(), String> {
    let tunnel = kind.open(echo_server())?;
    let files: std::collections::BTreeSet<_> = tunnel
        .all_pids()
        .into_iter()
        .filter_map(machine::program)
        .collect();
    let bytes: u64 = files
        .iter()
        .filter_map(|file| std::fs::metadata(file).ok())
        .map(|meta| meta.len())
        .sum();
    if bytes == 0 {
        return Err(format!("the programs of {} cannot be seen", kind.name()));
    }
    say(&format!("{}.size", kind.name()), bytes as f64 / 1e6);
    Ok(())
}
