//! What it costs the node to be asked how it is.

use super::programs::{folder, Node};
use super::relay::stream;
use super::{say, setting};
use chr_node::tls::CipherOrder;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connections that ask all the time.
const CONNECTIONS: u32 = 8;
/// Requests a second of monitors, while something is relayed.
const MONITORS: u32 = 500;
/// What they ask.
const CALLS: [&str; 3] = ["chr_node_info", "network_stats", "peer_list"];

fn post(method: &str) -> String {
    let body = format!(r#"{{"jsonrpc":"2.0","method":"{method}","id":1}}"#);
    format!(
        "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// `chr_node_info` as fast as it is answered, the node on the first CPU and who
/// asks on the second: calls a second, and how long they took.
pub fn rate() -> Result<(), String> {
    for tool in ["wrk", "taskset"] {
        if Command::new(tool).arg("--version").output().is_err() {
            return Err(format!(
                "{tool} is missing (apt-get install wrk util-linux)"
            ));
        }
    }
    let home = folder();
    let node = Node::start(home.path());
    pin(node.program.pid(), "0")?;
    let script = home.path().join("ask.lua");
    let body = r#"{"jsonrpc":"2.0","method":"chr_node_info","id":1}"#;
    let text = format!(
        "wrk.method = \"POST\"\nwrk.body = '{body}'\nwrk.headers[\"Content-Type\"] = \"application/json\"\n"
    );
    std::fs::write(&script, text).map_err(|e| e.to_string())?;
    let asked = Command::new("taskset")
        .args(["-c", "1", "wrk", "-t1", "-d5s", "--latency"])
        .arg(format!("-c{CONNECTIONS}"))
        .arg("-s")
        .arg(&script)
        .arg(format!("http://{}/rpc", node.rpc))
        .output()
        .map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&asked.stdout).into_owned();
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("not every call was answered: {text}"));
    }
    let after = |word: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(word));
        line.map(|rest| rest.trim().to_owned())
            .ok_or_else(|| format!("wrk did not say {word}: {text}"))
    };
    let rate = after("Requests/sec:")?;
    say("rpc_rate", rate.parse().map_err(|_| rate)?);
    say("rpc_p99", millis(&after("99%")?)?);
    Ok(())
}

/// As wrk writes times.
fn millis(text: &str) -> Result<f64, String> {
    let (number, unit) = text.split_at(text.find(char::is_alphabetic).unwrap_or(text.len()));
    let factor = match unit {
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        _ => return Err(format!("a time in {text}")),
    };
    let number: f64 = number.parse().map_err(|_| format!("a time in {text}"))?;
    Ok(number * factor)
}

/// All threads of a process to one CPU.
fn pin(pid: u32, cpu: &str) -> Result<(), String> {
    let mut taskset = Command::new("taskset");
    taskset.args(["-a", "-p", "-c", cpu, &pid.to_string()]);
    let done = taskset.output().map_err(|e| e.to_string())?;
    done.status
        .success()
        .then_some(())
        .ok_or_else(|| "taskset failed".to_owned())
}

/// One stream without and with monitors: one after the other, so that both meet
/// the machine in the same mood.
pub fn relay_meanwhile() -> Result<(), String> {
    let gib = setting("GIB", 2);
    let home = folder();
    let node = Node::start(home.path());
    let (alone, cpu_alone) = stream("unwatched", CipherOrder::Aes, gib, node);
    let home = folder();
    let node = Node::start(home.path());
    let monitors = Monitors::start(node.rpc);
    let (watched, cpu_watched) = stream("watched", CipherOrder::Aes, gib, node);
    say("watched_asked", monitors.stop());
    say("watched_ratio", watched / alone);
    say("watched_cpu_ratio", cpu_watched / cpu_alone);
    Ok(())
}

/// Asks [`MONITORS`] times a second until it is told to stop.
struct Monitors {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    begun: Instant,
}

impl Monitors {
    fn start(node: SocketAddr) -> Monitors {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicU64::new(0));
        let (ended, count) = (stop.clone(), asked.clone());
        std::thread::spawn(move || {
            let stream = TcpStream::connect(node).unwrap();
            stream.set_nodelay(true).unwrap();
            let mut answers = BufReader::new(stream.try_clone().unwrap());
            let (mut stream, mut due) = (stream, Instant::now());
            while !ended.load(Ordering::Relaxed) {
                let number = count.load(Ordering::Relaxed);
                let call = CALLS[number as usize % CALLS.len()];
                // The node ends with the stream that it carries.
                if stream.write_all(post(call).as_bytes()).is_err() || !answer(&mut answers) {
                    return;
                }
                count.store(number + 1, Ordering::Relaxed);
                due += Duration::from_secs(1) / MONITORS;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        Monitors {
            stop,
            asked,
            begun: Instant::now(),
        }
    }

    /// How many were answered, a second.
    fn stop(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        self.asked.load(Ordering::Relaxed) as f64 / self.begun.elapsed().as_secs_f64()
    }
}

/// Reads one answer; false at the end of the connection.
fn answer(stream: &mut impl BufRead) -> bool {
    let mut length = 0;
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line) {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
        if let Some(text) = line.strip_prefix("Content-Length: ") {
            length = text.trim().parse().unwrap();
        }
        if line == "\r\n" {
            let mut body = vec![0; length];
            return stream.read_exact(&mut body).is_ok();
        }
    }
}
