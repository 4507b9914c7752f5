//! Bare TCP on this machine: what no relay can be faster than.

use super::{machine, say, setting};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Instant;

/// Echoes in threads of this process; returns the port.
pub fn echo_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || serve(&listener));
    port
}

fn serve(listener: &TcpListener) {
    for mut stream in listener.incoming().map_while(Result::ok) {
        stream.set_nodelay(true).unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 64 * 1024];
            while let Ok(n @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..n]).is_err() {
                    return;
                }
            }
        });
    }
}

/// `figures echo`: a process that echoes and says where.
pub fn echo() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    serve(&listener);
}

/// Both processes on one CPU.
pub fn one_core() -> Result<(), String> {
    bare("tcp_one_core", 0);
    Ok(())
}

/// The other process on the second CPU.
pub fn two_cores() -> Result<(), String> {
    if cores() < 2 {
        return Err("this machine has one CPU".to_owned());
    }
    bare("tcp_two_cores", 1);
    Ok(())
}

/// All CPUs of the machine, also those that this process may not use.
fn cores() -> usize {
    std::fs::read_to_string("/proc/cpuinfo").map_or(1, |text| {
        text.lines().filter(|l| l.starts_with("processor")).count()
    })
}

fn bare(name: &str, core: usize) {
    let me = std::env::current_exe().unwrap();
    let mut child = machine::on_core(core, &me)
        .arg("echo")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut place = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut place)
        .unwrap();
    trips(name, place.trim());
    let _ = child.kill();
    let _ = child.wait();
}

/// 64 bytes to an echo and back, one after the other.
pub fn trips(name: &str, place: &str) {
    let mut stream = TcpStream::connect(place).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answer = [0; 64];
    // The first one opens the port.
    stream.write_all(&[9; 64]).unwrap();
    stream.read_exact(&mut answer).unwrap();
    let mut times = Vec::new();
    for _ in 0..setting("ROUNDS", 10_000) {
        let begun = Instant::now();
        stream.write_all(&[9; 64]).unwrap();
        stream.read_exact(&mut answer).unwrap();
        times.push(begun.elapsed());
    }
    say(&format!("{name}_p50"), machine::percentile(&mut times, 50));
    say(&format!("{name}_p99"), machine::percentile(&mut times, 99));
}
