//! A hundred nodes of ours: the service of the program with real keys, each at an
//! address of its own on this machine, all on one thread.

use super::figures::{Network, NODES};
use chr_node::dht::record::{content_key, Content, ContentValue};
use chr_node::dht::service::{run, Handle, Options};
use chr_node::dht::{Config, Outcome, Serve, ValidRecord};
use chr_node::identity::{Address, SecretKey};
use chr_node::liveness::Beat;
use chr_node::platform::clock::BootClock;
use chr_node::platform::udp::Datagrams;
use chr_node::time::Clock;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Nodes that all others are told of at first.
const SEEDS: usize = 3;
/// How long the network may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Seconds for which a value holds.
const HOLDS: u64 = 3600;

pub struct Ours {
    nodes: Vec<Handle>,
    clock: Arc<BootClock>,
}

impl Ours {
    /// A network that has come up through a few seeds.
    pub fn new() -> io::Result<Ours> {
        let clock = Arc::new(BootClock::new());
        let executor: &'static smol::Executor<'static> = Box::leak(Box::default());
        let mut nodes = Vec::with_capacity(NODES);
        let mut seeds: Vec<SocketAddr> = Vec::new();
        for number in 0..NODES {
            // 127.0.1.1 and on: addresses of this machine alone.
            let ip = Ipv4Addr::new(127, 0, 1, 1 + number as u8);
            let socket = Datagrams::bind((ip, 0).into())?;
            let place = socket.place();
            let handle = Handle::open(Options {
                engine: Config {
                    serve: Serve::Yes,
                    interfaces: vec![ip.into()],
                    ..Config::default()
                },
                known: Vec::new(),
                sockets: vec![socket],
                seal: Box::new(SecretKey::generate()),
                clock: clock.clone(),
            })?;
            let known: Vec<_> = seeds.iter().map(|seed| (*seed, None)).collect();
            handle.set_seeds(&known);
            if seeds.len() < SEEDS {
                seeds.push(place);
            }
            executor
                .spawn(run(handle.clone(), Beat::unwatched()))
                .detach();
            nodes.push(handle);
        }
        std::thread::spawn(|| smol::block_on(executor.run(std::future::pending::<()>())));
        let ours = Ours { nodes, clock };
        ours.wait()?;
        Ok(ours)
    }

    /// Until every node has a table. Of a hundred nodes it holds some 60 when it is
    /// full: twenty of each half.
    fn wait(&self) -> io::Result<()> {
        let began = Instant::now();
        loop {
            let known = self.nodes.iter().map(|node| node.stats().nodes);
            let least = known.min().unwrap_or(0);
            if least >= NODES / 3 {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                let text = format!("a node of ours knows only {least} others");
                return Err(io::Error::other(text));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Network for Ours {
    type Key = Address;

    fn put(&mut self, node: usize, value: Vec<u8>) -> Option<Address> {
        let until = self.clock.unix() + HOLDS;
        let key = content_key(&value);
        let record = ValidRecord::content_value(&ContentValue { until, value }).ok()?;
        match smol::block_on(self.nodes[node].store(record)) {
            Outcome::Stored { at, .. } if at > 0 => Some(key),
            _ => None,
        }
    }

    fn get(&mut self, node: usize, key: &Address) -> Option<Vec<u8>> {
        let Outcome::Found { records, .. } = smol::block_on(self.nodes[node].find_value(*key))
        else {
            return None;
        };
        match records.first()?.content() {
            Ok(Content::Content(content)) => Some(content.value),
            _ => None,
        }
    }
}
