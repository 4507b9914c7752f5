//! Starts the real programs in a temporary folder and reads what they say.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub mod chain;
pub mod dns;
pub mod mounts;
pub mod network;
pub mod power;
pub mod programs;
pub mod raw;
pub mod secure;
pub mod servers;
pub mod tools;

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{channel, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long anything may take that should happen at once: generous, for loaded machines.
pub const SOON: Duration = Duration::from_secs(30);

/// A running program with its standard error collected.
pub struct Program {
    pub child: Child,
    stderr: Arc<Mutex<String>>,
    collector: Option<JoinHandle<()>>,
}

impl Program {
    /// Standard input is closed, standard output is the caller's to set.
    pub fn start(command: &mut Command) -> Program {
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = Arc::new(Mutex::new(String::new()));
        let collector = collect(child.stderr.take().unwrap(), stderr.clone());
        Program {
            child,
            stderr,
            collector: Some(collector),
        }
    }

    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end; panics with what was said when it takes too long.
    pub fn wait(&mut self, most: Duration) -> std::process::ExitStatus {
        let end = Instant::now() + most;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // Its last words may still be in the pipe.
                let _ = self.collector.take().map(JoinHandle::join);
                return status;
            }
            assert!(
                Instant::now() < end,
                "still running after {most:?}: {}",
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Resident memory in bytes.
    pub fn rss(&self) -> u64 {
        memory(self.child.id(), "VmRSS:")
    }

    /// The same without pages of files: the program's code comes in as it is used.
    pub fn own_memory(&self) -> u64 {
        memory(self.child.id(), "RssAnon:")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {} said:\n{}", self.child.id(), self.stderr());
        }
    }
}

/// Bytes of a kind of memory of a process, as /proc names it.
pub fn memory(pid: u32, kind: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(kind));
    let number = line.unwrap().split_whitespace().next();
    number.unwrap().parse::<u64>().unwrap() << 10
}

fn collect(mut from: ChildStderr, into: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            into.lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    })
}

/// The program under test.
pub fn chr_node() -> Command {
    without_settings(Command::new(env!("CARGO_BIN_EXE_chr-node")))
}

/// A command that does not see how a node is set on this machine.
pub fn without_settings(mut c: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        // Settings of the machine must not change a test.
        if text.starts_with("CHR_")
            || [
                "EDGE2_PORT",
                "PEER2_PORT",
                "SEED_LIST",
                "RPC_PORT",
                "RPCS_PORT",
                "DATA_DIR",
                "HOST",
                "NAME",
                "MEMORY_LIMIT",
                "LOG_LEVEL",
                "REWARD_ADDRESS",
            ]
            .contains(&&*text)
        {
            c.env_remove(&name);
        }
    }
    c
}

/// A node with its data in a folder of its own.
pub struct Node {
    pub program: Program,
    pub data: PathBuf,
    pub run: Value,
}

impl Node {
    /// Any free ports, no rate limits.
    pub fn start(data: &Path) -> Node {
        Node::start_with(data, &[])
    }

    pub fn start_with(data: &Path, settings: &[(&str, &str)]) -> Node {
        Node::start_command(chr_node(), data, settings)
    }

    /// As [`Node::start_with`], with a command that ends in `chr-node run`.
    pub fn start_command(mut c: Command, data: &Path, settings: &[(&str, &str)]) -> Node {
        c.env("DATA_DIR", data)
            .env("EDGE2_PORT", "0")
            .env("PEER2_PORT", "0")
            .env("RPC_PORT", "0")
            .env("RPCS_PORT", "off")
            .env("CHR_NETWORK__BIND", "127.0.0.1")
            .env("CHR_SECURITY__RATE_LIMITING", "false")
            .env("CHR_SECURITY__MAX_SESSIONS_PER_ADDRESS", "100000")
            .env("CHR_SECURITY__MAX_HANDSHAKES", "1000")
            .env("CHR_SECURITY__MAX_HANDSHAKES_PER_ADDRESS", "1000");
        for (name, value) in settings {
            c.env(name, value);
        }
        let _ = std::fs::remove_file(data.join("run.json"));
        let mut program = Program::start(&mut c);
        let end = Instant::now() + SOON;
        let run = loop {
            let text = std::fs::read_to_string(data.join("run.json")).unwrap_or_default();
            if let Ok(run) = serde_json::from_str(&text) {
                break run;
            }
            if let Some(status) = program.child.try_wait().unwrap() {
                panic!("the node ended with {status}: {}", program.stderr());
            }
            assert!(Instant::now() < end, "no run.json: {}", program.stderr());
            std::thread::sleep(Duration::from_millis(2));
        };
        Node {
            program,
            data: data.to_owned(),
            run,
        }
    }

    pub fn id(&self) -> &str {
        self.run["node_id"].as_str().unwrap()
    }

    pub fn edge(&self) -> SocketAddr {
        self.run["edge"][0].as_str().unwrap().parse().unwrap()
    }

    /// The peer port, TCP and UDP.
    pub fn peer(&self) -> SocketAddr {
        self.run["peer"].as_str().unwrap().parse().unwrap()
    }

    pub fn rpc(&self) -> SocketAddr {
        self.run["rpc"].as_str().unwrap().parse().unwrap()
    }

    /// The HTTPS port.
    pub fn rpcs(&self) -> SocketAddr {
        self.run["rpcs"].as_str().unwrap().parse().unwrap()
    }

    /// `0xADDR@ip:port`
    pub fn address(&self) -> String {
        format!("{}@{}", self.id(), self.edge())
    }

    /// The result of a JSON-RPC method.
    pub fn ask(&self, method: &str) -> Value {
        self.ask_with(method, serde_json::json!([]))
    }

    /// As [`Node::ask`], with parameters.
    pub fn ask_with(&self, method: &str, params: Value) -> Value {
        let body =
            serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
                .to_string();
        let answer = self.http(&format!(
            "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ));
        let (_, body) = answer.split_once("\r\n\r\n").expect(&answer);
        let answer: Value = serde_json::from_str(body).expect(body);
        answer["result"].clone()
    }

    /// `0xADDR@ip:port` of the peer port.
    pub fn seed(&self) -> String {
        format!("{}@{}", self.id(), self.peer())
    }

    /// The addresses of all nodes that it knows.
    pub fn known(&self) -> Vec<String> {
        let peers = self.ask("peer_list");
        let peers = peers.as_array().unwrap().iter();
        peers
            .map(|peer| peer["node_id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// One HTTP request on the RPC port; head and body of the answer.
    pub fn http(&self, request: &str) -> String {
        let mut s = TcpStream::connect(self.rpc()).unwrap();
        s.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        s.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// `chr-node publish` or `forward` with `--json`.
pub struct Device {
    pub program: Program,
    events: Receiver<Value>,
}

impl Device {
    /// `args` follow the program's name; `--json` and an identity are added.
    pub fn start(home: &Path, name: &str, args: &[&str]) -> Device {
        let mut c = chr_node();
        c.args(args)
            .arg("--json")
            .arg("--identity")
            .arg(home.join(format!("{name}.key")));
        Device::start_command(&mut c)
    }

    /// As [`Device::start`], with a command that is complete.
    pub fn start_command(command: &mut Command) -> Device {
        let mut program = Program::start(command.stdout(Stdio::piped()));
        let stdout = program.child.stdout.take().unwrap();
        let (send, events) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let Ok(event) = serde_json::from_str(&line) else {
                    panic!("not one JSON object a line: {line}");
                };
                if send.send(event).is_err() {
                    return;
                }
            }
        });
        Device { program, events }
    }

    pub fn event(&self, most: Duration) -> Option<Value> {
        self.events.recv_timeout(most).ok()
    }

    /// Waits for the event of this name; others before it are dropped.
    pub fn expect(&self, name: &str) -> Value {
        let end = Instant::now() + SOON;
        let mut seen = Vec::new();
        while Instant::now() < end {
            match self.event(end - Instant::now()) {
                Some(event) if event["event"] == name => return event,
                Some(event) => seen.push(event),
                None => break,
            }
        }
        panic!("no {name}; came {seen:?}; said {}", self.program.stderr());
    }

    pub fn publish(home: &Path, name: &str, node: &str, specs: &[&str]) -> (Device, Value) {
        let mut args = vec!["publish"];
        args.extend(specs);
        args.extend(["--node", node]);
        let device = Device::start(home, name, &args);
        let ready = device.expect("ready");
        (device, ready)
    }

    pub fn forward(
        home: &Path,
        name: &str,
        node: &str,
        listen: &str,
        target: &str,
        more: &[&str],
    ) -> (Device, SocketAddr) {
        let mut args = vec!["forward", listen, target, "--node", node];
        args.extend(more);
        let device = Device::start(home, name, &args);
        let ready = device.expect("ready");
        let listen = ready["listen"].as_str().unwrap().parse().unwrap();
        (device, listen)
    }
}

/// A TCP server that echoes, one thread a connection; half-close is answered by half-close.
pub fn echo_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut read = stream.try_clone().unwrap();
                let mut write = stream;
                let _ = std::io::copy(&mut read, &mut write);
                let _ = write.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    port
}

/// Bytes that are the same for the same seed and have no short period.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed | 1;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 32) as u8
        })
        .collect()
}
