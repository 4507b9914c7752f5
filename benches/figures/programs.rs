//! The real programs, in a folder of their own below target/.

use super::{machine, say};
use chr_node::edge::device::NodeAddress;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a program may take to say that it is ready.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program that is killed when it is no longer needed.
pub struct Running(Child);

impl Running {
    pub fn new(child: Child) -> Running {
        Running(child)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub fn died(&mut self, name: &str) -> Option<String> {
        let status = self.0.try_wait().ok()??;
        Some(format!("{name} ended with {status}"))
    }

    /// CPU seconds so far.
    pub fn cpu(&self) -> f64 {
        machine::cpu(self.0.id())
    }

    /// Resident memory without pages of files, in bytes.
    pub fn own_memory(&self) -> u64 {
        machine::own_memory(self.0.id())
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        machine::memory(self.0.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program that is measured.
pub fn binary() -> PathBuf {
    std::env::var_os("BENCH_NODE").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_chr-node")),
        PathBuf::from,
    )
}

/// An empty folder below target/.
pub fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// `chr-node run`.
pub struct Node {
    pub program: Running,
    pub address: NodeAddress,
    /// Where other nodes find it: `0xADDR@ip:port`.
    pub peer: String,
    /// Where it answers HTTP.
    pub rpc: std::net::SocketAddr,
    /// From its start until run.json said where it listens.
    pub started_in: Duration,
}

impl Node {
    /// A node on free ports of loopback, without the limits that exist against
    /// floods from one address: all endpoints here have the same.
    pub fn start(data: &Path) -> Node {
        Node::start_with(data, &[]).unwrap()
    }

    /// The same with more arguments.
    ///
    /// # Errors
    /// What the node said when it would not start.
    pub fn start_with(data: &Path, args: &[&str]) -> Result<Node, String> {
        let run = data.join("run.json");
        let _ = std::fs::remove_file(&run);
        let mut c = Command::new(binary());
        c.arg("run")
            .args(args)
            .env("DATA_DIR", data)
            .env("EDGE2_PORT", "0")
            .env("PEER2_PORT", "0")
            .env("RPC_PORT", "0")
            .env("RPCS_PORT", "off")
            .env("PEER2_PORT", "0")
            .env("LOG_LEVEL", "warn")
            .env("CHR_NETWORK__BIND", "127.0.0.1")
            .env("CHR_PERFORMANCE__MAX_CONNECTIONS", "20000")
            .env("CHR_SECURITY__RATE_LIMITING", "false")
            .env("CHR_SECURITY__MAX_SESSIONS_PER_ADDRESS", "100000")
            .env("CHR_SECURITY__MAX_HANDSHAKES", "1000")
            .env("CHR_SECURITY__MAX_HANDSHAKES_PER_ADDRESS", "1000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // A new identity is told there, and why it would not start.
            .stderr(std::fs::File::create(data.join("stderr")).unwrap());
        let begun = Instant::now();
        let mut program = Running(c.spawn().expect("the release build is there"));
        let json: Value = loop {
            let text = std::fs::read_to_string(&run).unwrap_or_default();
            if let Ok(json) = serde_json::from_str(&text) {
                break json;
            }
            if let Some(end) = program.died("the node") {
                let said = std::fs::read_to_string(data.join("stderr")).unwrap_or_default();
                return Err(format!("{end}: {}", said.trim()));
            }
            assert!(begun.elapsed() < PATIENCE, "the node did not start");
            std::thread::sleep(Duration::from_micros(100));
        };
        let started_in = begun.elapsed();
        let id = json["node_id"].as_str().unwrap();
        let place = json["edge"][0].as_str().unwrap();
        Ok(Node {
            program,
            address: format!("{id}@{place}").parse().unwrap(),
            peer: format!("{id}@{}", json["peer"].as_str().unwrap()),
            rpc: json["rpc"].as_str().unwrap().parse().unwrap(),
            started_in,
        })
    }

    /// How many nodes its routing table has.
    pub fn known(&self) -> u64 {
        self.stats()["dht"]["nodes"].as_u64().unwrap_or(0)
    }

    /// What `network_stats` says.
    pub fn stats(&self) -> Value {
        const BODY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"network_stats"}"#;
        let mut stream = std::net::TcpStream::connect(self.rpc).unwrap();
        let head = format!(
            "POST /rpc HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.rpc,
            BODY.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(BODY.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str::<Value>(body).unwrap()["result"].take()
    }
}

/// `chr-node publish` or `forward`.
pub struct DeviceProgram {
    pub program: Running,
    /// What it said when it was ready.
    pub ready: Value,
    _out: BufReader<ChildStdout>,
}

impl DeviceProgram {
    /// `publish` or `forward`, by the first of the arguments.
    pub fn start(home: &Path, node: &NodeAddress, args: &[&str]) -> DeviceProgram {
        let mut c = Command::new(binary());
        c.args(args)
            .args(["--node", &node.to_string(), "--json", "--identity"])
            .arg(home.join(format!("{}.key", args[0])))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = c.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["event"], "ready", "{line}");
        DeviceProgram {
            program: Running(child),
            ready,
            _out: out,
        }
    }
}

/// What can be counted without running anything.
pub fn build() -> Result<(), String> {
    let bytes = std::fs::metadata(binary()).unwrap().len();
    say("binary", bytes as f64 / 1e6);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Command::new(cargo)
        .args(["tree", "--locked", "--offline", "--prefix", "none"])
        .args(["--edges", "normal,build", "--no-dedupe"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let text = String::from_utf8_lossy(&tree.stdout);
    let names: std::collections::BTreeSet<&str> = text
        .lines()
        .map(|line| line.trim_end_matches(" (proc-macro)"))
        .collect();
    assert!(tree.status.success(), "cargo tree failed");
    // The first line is this crate.
    say("crates", names.len() as f64 - 1.0);
    Ok(())
}
