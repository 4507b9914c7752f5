//! A small network of engines in one process and in virtual time.

use crate::dht::testing::{address, Toy, NOW};
use crate::dht::{Action, Config, Engine, Event, Op, Outcome, Seal, Stats, ValidRecord, Wall};
use crate::identity::Address;
use crate::time::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// One way, in milliseconds, from 20 to 60.
const LATENCY: std::ops::Range<u64> = 20..60;
/// As long as a NAT of this world lets answers in.
const NAT_OPEN: Duration = Duration::from_secs(60);

enum Item {
    Datagram(SocketAddr, SocketAddr, Vec<u8>),
    Tick(usize),
}

/// A place in the network.
pub(super) struct Host {
    pub(super) engine: Option<Engine>,
    pub(super) at: SocketAddr,
    pub(super) wall: Wall,
    /// What it was told.
    pub(super) events: Vec<Event>,
    pub(super) outcomes: BTreeMap<Op, Outcome>,
    /// Only those whom it has asked lately get through to it.
    pub(super) behind_nat: bool,
    asked: BTreeMap<IpAddr, Moment>,
    next_tick: Option<Moment>,
    /// Hears datagrams that no engine is there for.
    pub(super) heard: Vec<(SocketAddr, Vec<u8>)>,
}

/// See the module's top.
pub(super) struct World {
    pub(super) now: Moment,
    pub(super) hosts: Vec<Host>,
    pub(super) loss: f64,
    /// Hosts that are cut off from all others but each other.
    pub(super) island: BTreeSet<usize>,
    pub(super) rng: fastrand::Rng,
    /// Datagrams and bytes that were sent.
    pub(super) sent: u64,
    /// Calls of `tick`.
    pub(super) ticks: u64,
    places: BTreeMap<SocketAddr, usize>,
    queue: BTreeMap<(Moment, u64), Item>,
    number: u64,
}

/// A public address, each host's in a network of its own.
pub(super) fn public(n: usize) -> SocketAddr {
    let n = n as u32;
    let ip = [20 + (n >> 16) as u8, (n >> 8) as u8, n as u8, 1];
    SocketAddr::from((ip, 51055))
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        World {
            now: Moment(1_000_000_000),
            hosts: Vec::new(),
            loss: 0.0,
            island: BTreeSet::new(),
            rng: fastrand::Rng::with_seed(seed),
            sent: 0,
            ticks: 0,
            places: BTreeMap::new(),
            queue: BTreeMap::new(),
            number: 0,
        }
    }

    /// A network of `nodes` that were all seeded with the first, which has had time
    /// to come together.
    pub(super) fn grown(seed: u64, nodes: usize) -> World {
        let mut world = World::new(seed);
        for n in 0..nodes {
            world.add(config());
            if n > 0 {
                let first = world.hosts[0].at;
                world.order(n, |engine, now, _| engine.add_seed(now, first, None));
            }
            world.run(Duration::from_millis(50));
        }
        world.run(Duration::from_secs(30));
        world
    }

    pub(super) fn add(&mut self, config: Config) -> usize {
        let n = self.hosts.len();
        let id = address(n as u64);
        self.add_at(config, public(n), Box::new(Toy(id)))
    }

    pub(super) fn add_at(&mut self, config: Config, at: SocketAddr, seal: Box<dyn Seal>) -> usize {
        let mut config = config;
        if config.interfaces.is_empty() {
            config.interfaces = vec![at.ip()];
        }
        let seed = self.rng.u64(..);
        let engine = Engine::new(config, seal, seed, self.now);
        let host = self.listen(at);
        self.hosts[host].engine = Some(engine);
        host
    }

    /// A place without an engine: the test is its node.
    pub(super) fn listen(&mut self, at: SocketAddr) -> usize {
        self.hosts.push(Host {
            engine: None,
            at,
            wall: Wall {
                unix: NOW,
                trusted: true,
            },
            events: Vec::new(),
            outcomes: BTreeMap::new(),
            behind_nat: false,
            asked: BTreeMap::new(),
            next_tick: None,
            heard: Vec::new(),
        });
        self.places.insert(at, self.hosts.len() - 1);
        self.hosts.len() - 1
    }

    pub(super) fn stop(&mut self, host: usize) {
        self.hosts[host].engine = None;
    }

    pub(super) fn engine(&self, host: usize) -> &Engine {
        self.hosts[host].engine.as_ref().unwrap()
    }

    pub(super) fn id(&self, host: usize) -> Address {
        self.engine(host).id()
    }

    pub(super) fn stats(&self, host: usize) -> Stats {
        self.engine(host).stats()
    }

    fn put(&mut self, at: Moment, item: Item) {
        self.number += 1;
        self.queue.insert((at, self.number), item);
    }

    /// A datagram as if it came from `from`, whoever sent it.
    pub(super) fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.put(self.now, Item::Datagram(from, to, bytes));
    }

    /// Gives an engine an order, and does what comes of it.
    pub(super) fn order<T>(
        &mut self,
        host: usize,
        order: impl FnOnce(&mut Engine, Moment, Wall) -> T,
    ) -> T {
        let (now, passed) = (self.now, self.now.since(Moment(1_000_000_000)));
        let mut wall = self.hosts[host].wall;
        wall.unix += passed.as_secs();
        let mut engine = self.hosts[host].engine.take().unwrap();
        let answer = order(&mut engine, now, wall);
        while let Some(action) = engine.next_action() {
            match action {
                Action::Send { to, bytes } => self.send(host, to, bytes),
                Action::Done { op, outcome } => {
                    self.hosts[host].outcomes.insert(op, outcome);
                }
                Action::Event(event) => self.hosts[host].events.push(event),
            }
        }
        let due = engine.due().map(|due| due.max(now));
        let planned = self.hosts[host].next_tick.filter(|at| *at > now);
        if let Some(due) = due.filter(|due| planned.is_none_or(|at| *due < at)) {
            self.hosts[host].next_tick = Some(due);
            self.put(due, Item::Tick(host));
        }
        self.hosts[host].engine = Some(engine);
        answer
    }

    fn send(&mut self, host: usize, to: SocketAddr, bytes: Vec<u8>) {
        self.sent += 1;
        self.hosts[host].asked.insert(to.ip(), self.now);
        let from = self.hosts[host].at;
        if self.rng.f64() < self.loss {
            return;
        }
        let latency = Duration::from_micros(self.rng.u64(LATENCY.start * 1000..LATENCY.end * 1000));
        self.put(self.now + latency, Item::Datagram(from, to, bytes));
    }

    /// Whether a datagram gets through.
    fn arrives(&self, from: SocketAddr, host: usize) -> bool {
        let apart = match self.places.get(&from) {
            Some(sender) => self.island.contains(sender) != self.island.contains(&host),
            None => false,
        };
        let host = &self.hosts[host];
        let open = host.asked.get(&from.ip());
        let open = open.is_some_and(|at| self.now.since(*at) < NAT_OPEN);
        !apart && (!host.behind_nat || open)
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((&(at, number), _)) = self.queue.first_key_value() {
            if at > end {
                break;
            }
            let item = self.queue.remove(&(at, number)).unwrap();
            self.now = at;
            match item {
                Item::Tick(host) => {
                    if self.hosts[host].next_tick == Some(at) {
                        self.hosts[host].next_tick = None;
                        if self.hosts[host].engine.is_some() {
                            self.ticks += 1;
                            self.order(host, |engine, now, wall| engine.tick(now, wall));
                        }
                    }
                }
                Item::Datagram(from, to, bytes) => {
                    let Some(host) = self.places.get(&to).copied() else {
                        continue;
                    };
                    if !self.arrives(from, host) {
                        continue;
                    }
                    if self.hosts[host].engine.is_some() {
                        self.order(host, |engine, now, wall| {
                            engine.receive(now, wall, from, &bytes);
                        });
                    } else {
                        self.hosts[host].heard.push((from, bytes));
                    }
                }
            }
        }
        self.now = end;
    }

    /// Waits for an outcome.
    pub(super) fn outcome(&mut self, host: usize, op: Op) -> Outcome {
        for _ in 0..3000 {
            if let Some(outcome) = self.hosts[host].outcomes.remove(&op) {
                return outcome;
            }
            self.run(Duration::from_millis(10));
        }
        panic!("operation {op:?} of host {host} never ends");
    }

    pub(super) fn find(&mut self, host: usize, key: Address) -> Outcome {
        let op = self.order(host, |engine, now, _| engine.find_value(now, key));
        self.outcome(host, op)
    }

    pub(super) fn has(&mut self, host: usize, record: &ValidRecord) -> bool {
        let found = self.find(host, record.key());
        matches!(found, Outcome::Found { records, .. } if records.contains(record))
    }

    pub(super) fn store(&mut self, host: usize, record: &ValidRecord) -> Outcome {
        let record = record.clone();
        let op = self.order(host, |engine, now, wall| engine.store(now, wall, record));
        self.outcome(host, op)
    }

    pub(super) fn publish(&mut self, host: usize, record: &ValidRecord) -> Outcome {
        let record = record.clone();
        let op = self.order(host, |engine, now, wall| engine.publish(now, wall, record));
        self.outcome(host, op)
    }

    pub(super) fn told(&self, host: usize, event: &Event) -> bool {
        self.hosts[host].events.contains(event)
    }
}

/// What nodes of this world run with.
pub(super) fn config() -> Config {
    Config::default()
}
