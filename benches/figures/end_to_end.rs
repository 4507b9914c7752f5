//! The real programs on both sides, with TLS from device to device inside the
//! port: what a user sees.

use super::loopback::{echo_server, trips};
use super::programs::Route;
use super::{say, setting};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Instant;

/// Bytes written and read at once by source and sink.
const BLOCK: usize = 256 * 1024;

/// One stream from the forwarded port to the published one.
pub fn throughput() {
    let sink = TcpListener::bind("127.0.0.1:0").unwrap();
    let route = Route::to(sink.local_addr().unwrap().port());
    let total = setting("GIB", 2) << 30;
    let reading = std::thread::spawn(move || {
        let mut stream = sink.accept().unwrap().0;
        let mut buffer = vec![0; BLOCK];
        let mut got = 0u64;
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => return (got, Instant::now()),
                n => got += n as u64,
            }
        }
    });
    let programs = [
        ("end_node_cpu", &route.node.program),
        ("end_publish_cpu", &route.publisher.program),
        ("end_forward_cpu", &route.forwarder.program),
    ];
    let mut stream = TcpStream::connect(&route.listen).unwrap();
    let before = programs.map(|(_, program)| program.cpu());
    let begun = Instant::now();
    let block = vec![7u8; BLOCK];
    for _ in 0..total / BLOCK as u64 {
        stream.write_all(&block).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let (got, end) = reading.join().unwrap();
    assert_eq!(got, total);
    let gb = total as f64 / 1e9;
    say("end_rate", gb * 1e3 / (end - begun).as_secs_f64());
    for ((key, program), before) in programs.iter().zip(before) {
        say(key, (program.cpu() - before) / gb);
    }
}

pub fn round_trip() {
    trip("end_trip_one_core");
}

pub fn round_trip_free() {
    trip("end_trip_free");
}

/// 64 bytes to a service behind the published port and back.
fn trip(name: &str) {
    let route = Route::to(echo_server());
    trips(name, &route.listen);
}
