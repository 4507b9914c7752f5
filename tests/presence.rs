//! Presence over real sockets: what the node's side hears of our program, with
//! one node and with two, and of a device that was written from the protocol's
//! document alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use async_io::Async;
use chr_node::edge::server::{listen, Announce, Server, Services, Terms};
use chr_node::edge::ALPN;
use chr_node::identity::{Address, SecretKey};
use chr_node::liveness::Beat;
use chr_node::platform::clock::BootClock;
use chr_node::ports::{Budget, Switchboard};
use chr_node::session::{Admission, AdmissionLimits};
use chr_node::ticket::{Book, Policy, Rules};
use chr_node::tls::{ServerConfigs, Versions};
use chr_node::wire::presence::{recover, DevicePresence, VALID_MAX};
use common::tools::*;
use common::*;
use smol::channel::{bounded, Sender};
use smol::Executor;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Notes what it is told, and knows of one more presence of any device.
#[derive(Default)]
struct Network {
    known: u64,
    came: Mutex<Vec<DevicePresence>>,
    left: Mutex<Vec<(Address, u64)>>,
}

impl Announce for Network {
    fn last(&self, device: Address) -> u64 {
        let came = self.came();
        let own = came.iter().filter(|p| p.device == device).map(|p| p.t);
        own.max().unwrap_or(0).max(self.known)
    }
    fn came(&self, presence: DevicePresence) {
        self.came.lock().unwrap().push(presence);
    }
    fn left(&self, device: Address, t: u64) {
        self.left.lock().unwrap().push((device, t));
    }
}

impl Network {
    fn came(&self) -> Vec<DevicePresence> {
        self.came.lock().unwrap().clone()
    }

    /// The first presence, which holds.
    #[track_caller]
    fn expect(&self, device: &str, node: &Edge) -> DevicePresence {
        let came = until(SOON, "presence", || self.came().first().copied());
        assert_eq!(came.check(&recover), Ok(()));
        assert_eq!(came.check_time(now()), Ok(()));
        assert_eq!(came.device.to_string(), device);
        assert_eq!(came.node, node.address);
        assert_eq!(came.not_after, came.t + VALID_MAX);
        came
    }
}

fn now() -> u64 {
    let epoch = std::time::SystemTime::UNIX_EPOCH;
    epoch.elapsed().unwrap().as_secs()
}

/// The device ports of a node, in this process.
struct Edge {
    address: Address,
    at: SocketAddr,
    network: Arc<Network>,
    stop: Option<Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Edge {
    fn start(known: u64) -> Edge {
        let key = SecretKey::generate();
        let address = key.address();
        let network = Arc::new(Network {
            known,
            ..Network::default()
        });
        let terms = Terms {
            node: address,
            agent: "test".into(),
            chain_id: 1284,
            fleet: Address::ZERO,
            tickets_required: true,
            grace_bytes: 40 << 20,
            handshake_time: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            max_ports: 1024,
            send_buffer: 128 << 10,
        };
        let rules = Rules {
            node: address,
            chain_id: 1284,
            fleets: Vec::new(),
        };
        let policy = Policy {
            grace: terms.grace_bytes,
            required: true,
        };
        let services = Arc::new(Services {
            board: Switchboard::new(),
            book: Book::new(None, rules, policy, Address::ZERO),
            terms: terms.into(),
            budget: Budget::new(8 << 20),
            witness: None,
            presence: Some(network.clone()),
            clock: Arc::new(BootClock::new()),
        });
        let admission = Admission::new(AdmissionLimits {
            sessions: 100,
            sessions_per_address: 100,
            half_open: 100,
            half_open_per_address: 100,
            accepts_per_second: 0,
            accepts_per_second_per_address: 0,
        });
        let tls = ServerConfigs::new(&key, &[ALPN], Versions::Both).unwrap();
        let server = Arc::new(Server::new(services, admission, tls));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let (stop, stopped) = bounded(1);
        let thread = std::thread::spawn(move || {
            let executor = Arc::new(Executor::new());
            let listener = Async::new(listener).unwrap();
            let serving = listen(
                server.clone(),
                listener,
                executor.clone(),
                Beat::unwatched(),
            );
            let _serving = executor.spawn(serving);
            smol::block_on(executor.run(async {
                let _: Result<(), _> = stopped.recv().await;
                server.sessions.end().await;
            }));
        });
        Edge {
            address,
            at,
            network,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn place(&self) -> String {
        format!("{}@{}", self.address, self.at)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.stop.take();
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

#[test]
fn a_device_with_two_nodes_is_present_at_both_and_leaves_both() {
    // The second has heard of the device's word at the first.
    let (first, second) = (Edge::start(0), Edge::start(now() + 100));
    let home = tempfile::tempdir().unwrap();
    let spec = format!("{}=8080:public", echo_server());
    let args = [
        "publish",
        &spec,
        "--node",
        &first.place(),
        "--node",
        &second.place(),
    ];
    let mut device = Device::start(home.path(), "p", &args);
    let ready = device.expect("ready");
    let address = ready["device"].as_str().unwrap();
    let at_first = first.network.expect(address, &first);
    let at_second = second.network.expect(address, &second);
    assert!(at_second.t > at_first.t, "newer than what was known");
    assert!(at_second.t > second.network.known);
    device.program.signal("-INT");
    assert_eq!(device.program.wait(SOON).code(), Some(0));
    for (node, came) in [(&first, at_first), (&second, at_second)] {
        let left = until(SOON, "left", || {
            node.network.left.lock().unwrap().first().copied()
        });
        assert_eq!(left, (came.device, came.t));
        assert_eq!(node.network.came().len(), 1);
    }
}

#[test]
fn a_device_whose_session_breaks_comes_back_with_a_newer_word() {
    let node = Edge::start(0);
    let home = tempfile::tempdir().unwrap();
    let spec = format!("{}=8080:public", echo_server());
    let args = ["publish", &spec, "--node", &node.place()];
    let mut device = Device::start(home.path(), "p", &args);
    let ready = device.expect("ready");
    let first = node
        .network
        .expect(ready["device"].as_str().unwrap(), &node);
    device.program.signal("-KILL");
    device.program.wait(SOON);
    let _again = Device::start(home.path(), "p", &args).expect("ready");
    let came = until(SOON, "a second word", || {
        Some(node.network.came()).filter(|came| came.len() == 2)
    });
    assert!(came[1].t > first.t);
    assert_eq!(came[1].device, first.device);
}

/// The Python client, with a key of its own.
fn python(home: &Path, command: &str) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/chr_client.py");
    let mut c = Command::new("python3");
    c.arg("-B").arg(script).arg(command);
    c.arg("--key").arg(home.join("python.pem"));
    c
}

/// Starts it and waits until its port stands; its address.
fn publish_in_python(home: &Path, place: &str, more: &[&str]) -> (Program, String) {
    let mut command = python(home, "publish");
    command.args(["--node", place]).args(more);
    command.arg(format!("8080=127.0.0.1:{}", echo_server()));
    let mut program = Program::start(command.stdout(Stdio::piped()));
    let stdout = program.child.stdout.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stdout));
    let line = lines.next().expect("it says something").unwrap();
    let address = line.strip_prefix("ready ").unwrap().to_owned();
    (program, address)
}

#[test]
fn a_device_written_from_the_document_says_that_it_is_here_and_an_older_one_need_not() {
    if find_or_skip("python3").is_none() || find_or_skip("openssl").is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    // It has to sign a time that is newer than its clock.
    for known in [0, now() + 100] {
        let node = Edge::start(known);
        let (_python, address) = publish_in_python(home.path(), &node.place(), &[]);
        let came = node.network.expect(&address, &node);
        assert!(came.t > known);
    }
    let node = Edge::start(0);
    let without = ["--no-presence"];
    let (_python, address) = publish_in_python(home.path(), &node.place(), &without);
    let target = format!("{address}:8080");
    let forward = Device::forward(home.path(), "f", &node.place(), "127.0.0.1:0", &target, &[]);
    servers::assert_echo(forward.1, b"served as ever");
    let others = node.network.came();
    assert_eq!(others.len(), 1, "the forwarder's own");
    assert_ne!(others[0].device.to_string(), address);
}

#[test]
fn a_message_of_a_device_written_from_the_document_is_delivered() {
    if find_or_skip("python3").is_none() || find_or_skip("openssl").is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(&home.path().join("node"));
    let place = node.address();
    let receiver = Device::start(
        home.path(),
        "r",
        &["publish", "--messages", "--node", &place],
    );
    let ready = receiver.expect("ready");
    let to = ready["device"].as_str().unwrap();
    let sender = run(&mut python(home.path(), "address"), SOON);
    let mut command = python(home.path(), "message");
    let sent = run(command.args(["--node", &place, to, "grüße"]), SOON);
    assert_eq!(
        (sent.code, sent.out.as_str()),
        (0, "delivered\n"),
        "{}",
        sent.err
    );
    let event = receiver.expect("message");
    assert_eq!(event["text"], "grüße");
    assert_eq!(event["from"], sender.out.trim_end());
}
