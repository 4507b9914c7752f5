//! A door with a made-up node behind it, and a client that says exactly what it is told.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use async_io::Async;
use chr_node::liveness::Beat;
use chr_node::platform::clock::BootClock;
use chr_node::rpc::events::Hub;
use chr_node::rpc::{
    Asked, Changed, Door, DoorOptions, FleetStatus, Health, HealthReason, HealthState, History,
    HistoryReply, HistorySpan, Limits, NetworkStats, NodeInfo, NodeView, Params, PeerInfo,
    SessionInfo, SettingInfo, StoreInfo, TokenState,
};
use serde_json::Value;
use smol::{channel, Executor};
use tempfile::TempDir;

/// Longer than any answer may take, shorter than a person's patience.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A node whose state the test sets.
pub struct FakeNode {
    pub state: Mutex<HealthState>,
    pub info_calls: AtomicUsize,
    pub hub: Arc<Hub>,
    /// Calls that need the chain are answered when this is closed.
    pub chain: (channel::Sender<()>, channel::Receiver<()>),
}

impl NodeView for FakeNode {
    fn info(&self) -> NodeInfo {
        self.info_calls.fetch_add(1, Ordering::SeqCst);
        NodeInfo {
            node_id: format!("0x{}", "ab".repeat(20)),
            name: Some("test".to_owned()),
            version: "0.1.0".to_owned(),
            uptime_seconds: 1,
            profile: None,
            edge_ports: vec![41046, 41047],
            peer_port: None,
            public_address: None,
            devices: Some(0),
            peers: None,
            epoch: Some(664),
            clock_trusted: Some(true),
            health: *self.state.lock().unwrap(),
        }
    }

    fn health(&self) -> Health {
        let state = *self.state.lock().unwrap();
        let mut health = Health::ok();
        if state != HealthState::Ok {
            health.add(HealthReason {
                layer: "storage".to_owned(),
                state,
                reason: "the disk is full".to_owned(),
                remedy: "free some space".to_owned(),
            });
        }
        health
    }

    fn ready(&self) -> bool {
        *self.state.lock().unwrap() != HealthState::Failing
    }

    fn peers(&self) -> Vec<PeerInfo> {
        Vec::new()
    }

    fn device(&self) -> chr_node::rpc::DeviceInfo {
        chr_node::rpc::DeviceInfo::default()
    }

    fn rewards(&self) -> chr_node::rpc::RewardStatus {
        chr_node::rpc::RewardStatus::default()
    }

    fn tickets(&self) -> chr_node::rpc::TicketList {
        chr_node::rpc::TicketList::default()
    }

    fn network(&self) -> NetworkStats {
        NetworkStats::default()
    }

    fn ask(&self, method: &'static str, _: Params) -> Asked {
        let chain = self.chain.1.clone();
        Box::pin(async move {
            let _ = chain.recv().await;
            Ok(Value::from(method).into())
        })
    }

    fn sessions(&self) -> Vec<SessionInfo> {
        Vec::new()
    }

    fn fleet(&self) -> FleetStatus {
        FleetStatus::default()
    }

    fn settings(&self) -> Vec<SettingInfo> {
        Vec::new()
    }

    fn change(&self, _: &[(String, String)], _: &'static str) -> Result<Changed, String> {
        Err("nothing can be changed".to_owned())
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn sign_reply(&self, _: &[u8; 32]) -> (String, [u8; 65]) {
        (format!("0x{}", "ab".repeat(20)), [0; 65])
    }

    fn events(&self) -> Arc<Hub> {
        self.hub.clone()
    }
    fn store(&self) -> StoreInfo {
        StoreInfo::default()
    }

    fn history(&self, _: HistorySpan) -> HistoryReply {
        Box::pin(std::future::ready(Ok(History::default())))
    }
}

/// A running service; stopped when dropped.
pub struct Service {
    pub addr: SocketAddr,
    pub node: Arc<FakeNode>,
    pub door: Arc<Door>,
    pub folder: TempDir,
    quit: channel::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    pub fn new() -> Service {
        Service::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Service {
        let node = Arc::new(FakeNode {
            state: Mutex::new(HealthState::Ok),
            info_calls: AtomicUsize::new(0),
            chain: channel::bounded(1),
            hub: Arc::new(Hub::new(Arc::new(BootClock::new()))),
        });
        let folder = tempfile::tempdir().unwrap();
        let executor = Arc::new(Executor::new());
        let options = DoorOptions {
            hosts: vec!["node.example".to_owned()],
            runtime_dirs: vec![folder.path().to_owned()],
            limits,
            token: TokenState::default(),
        };
        let door = Arc::new(Door::new(options, node.clone(), executor.clone()));
        door.start().unwrap();
        let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
        let addr = listener.get_ref().local_addr().unwrap();
        executor
            .spawn(door.clone().run(listener, false, Beat::unwatched()))
            .detach();
        let (quit, quitting) = channel::bounded::<()>(1);
        let thread = std::thread::spawn(move || {
            let _ = smol::block_on(executor.run(quitting.recv()));
            // What was cancelled meanwhile is dropped here.
            while executor.try_tick() {}
        });
        Service {
            addr,
            node,
            door,
            folder,
            quit,
            thread: Some(thread),
        }
    }

    pub fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Fails unless the service answers as if nothing had happened.
    pub fn assert_alive(&self, after: &str) {
        let health = self.client().ask(&get("/health"));
        assert_eq!(health.map(|r| r.status), Some(200), "health after: {after}");
    }

    /// How often the node was asked for its information.
    pub fn info_calls(&self) -> usize {
        self.node.info_calls.load(Ordering::SeqCst)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.door.stop();
        self.quit.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An answer, taken apart.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn has(&self, line: &str) -> bool {
        self.head.lines().any(|l| l.eq_ignore_ascii_case(line))
    }
}

/// A connection that sends raw bytes.
pub struct Client {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            unread: Vec::new(),
        }
    }

    /// Sends; that the door hangs up meanwhile is for [`Client::reply`] to find out.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn ask(&mut self, bytes: &[u8]) -> Option<Reply> {
        self.send(bytes);
        self.reply()
    }

    /// The next answer; `None` when the connection ended without one.
    pub fn reply(&mut self) -> Option<Reply> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                let head = String::from_utf8(self.unread[..end].to_vec()).unwrap();
                self.unread.drain(..end + 4);
                let status = head[9..12].parse().unwrap();
                let length = head
                    .lines()
                    .find_map(|l| l.strip_prefix("Content-Length: "))
                    .map_or(0, |n| n.parse().unwrap());
                while self.unread.len() < length {
                    assert!(self.read_more(), "the body was cut");
                }
                let body = self.unread.drain(..length).collect();
                return Some(Reply { status, head, body });
            }
            if !self.read_more() {
                assert!(self.unread.is_empty(), "the head was cut");
                return None;
            }
        }
    }

    /// Whether the door has hung up, with nothing left to read.
    pub fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && !self.read_more()
    }

    fn read_more(&mut self) -> bool {
        let mut chunk = [0; 65_536];
        match self.stream.read(&mut chunk) {
            Ok(count) => {
                self.unread.extend_from_slice(&chunk[..count]);
                count > 0
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => panic!("the door says nothing"),
            Err(_) => false,
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").into_bytes()
}

/// A POST of `body` to `path` with `headers` (each with its line end) besides the usual.
pub fn post_with(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost:8545\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

pub fn post(body: &[u8]) -> Vec<u8> {
    post_with("/rpc", "", body)
}

/// A call of `chr_node_info` with that id.
pub fn call(id: usize) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"chr_node_info","id":{id}}}"#)
}
