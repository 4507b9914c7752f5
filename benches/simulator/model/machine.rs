//! One machine: its engine while it is on, its clock, what it remembers when it
//! is off, what went over its line.

use super::net::HEADERS;
use super::seal::CheapSeal;
use chr_node::dht::{Config, Engine, Known, Seal, Serve, Wall};
use chr_node::identity::Address;
use chr_node::platform::clock::RELEASED;
use chr_node::time::Moment;
use std::net::SocketAddr;
use std::time::Duration;

/// Unix time at which every simulation begins: 2026-07-01.
const BEGIN: u64 = 1_782_864_000;

/// The right time.
pub fn unix(now: Moment) -> u64 {
    BEGIN + now.0 / 1_000_000_000
}

/// Seconds that a clock which is believed may be off from the network's.
const NETWORK_MARGIN: u64 = 600;
/// How often a machine looks whether its clock can be trusted.
const LOOK: Duration = Duration::from_secs(10);
/// How many nodes a machine remembers when it is switched off.
const REMEMBERED: usize = 200;

/// What a machine's clock shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Right,
    /// Counts from 1970, since it has no battery.
    Epoch,
    /// Is ten years ahead.
    Ahead,
}

/// What a machine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Serves if it can be reached.
    Node,
    /// A phone: never serves.
    Client,
    /// Works against the others.
    Liar,
}

/// Bytes with the headers of IPv4 and UDP, datagrams, and requests of lookups sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub packets_in: u64,
    pub packets_out: u64,
    /// FIND_NODE and FIND_VALUE datagrams sent: counted here, on the line, so that what an engine
    /// says about its lookups can be checked.
    pub asked: u64,
}

impl Traffic {
    pub fn bytes(&self) -> u64 {
        self.bytes_in + self.bytes_out
    }
}

/// See the module's top.
pub struct Machine {
    pub role: Role,
    pub clock: Clock,
    pub seal: CheapSeal,
    pub engine: Option<Engine>,
    /// What the store would have.
    pub remembered: Vec<Known>,
    pub traffic: Traffic,
    /// When it was switched on the last time, and when it took part.
    pub started: Moment,
    pub joined: Option<Moment>,
    /// The earliest timer that lies in the queue.
    pub timer: Option<Moment>,
    /// It is suspended.
    pub asleep: bool,
    trusted: bool,
    looked: Option<Moment>,
}

impl Machine {
    pub fn new(id: Address, role: Role) -> Machine {
        Machine {
            role,
            clock: Clock::Right,
            seal: CheapSeal(id),
            engine: None,
            remembered: Vec::new(),
            traffic: Traffic::default(),
            started: Moment(0),
            joined: None,
            timer: None,
            asleep: false,
            trusted: false,
            looked: None,
        }
    }

    pub fn id(&self) -> Address {
        self.seal.address()
    }

    /// Whether it is on.
    pub fn is_up(&self) -> bool {
        self.engine.is_some()
    }

    /// Whether others may have it in their tables.
    pub fn serves(&self) -> bool {
        self.engine.as_ref().is_some_and(Engine::serving)
    }

    /// Whether a device can connect to it.
    pub fn is_home(&self) -> bool {
        self.role == Role::Node && self.joined.is_some() && self.serves()
    }

    pub fn start(&mut self, now: Moment, mut config: Config, inside: SocketAddr, seed: u64) {
        config.interfaces = vec![inside.ip()];
        if self.role == Role::Client {
            config.serve = Serve::No;
        }
        let mut engine = Engine::new(config, Box::new(self.seal), seed, now);
        for known in self.remembered.drain(..) {
            engine.add_known(now, known);
        }
        self.engine = Some(engine);
        self.started = now;
        self.joined = None;
        self.timer = None;
        self.looked = None;
    }

    pub fn stop(&mut self, now: Moment) {
        let wall = self.wall(now);
        if let Some(engine) = self.engine.take() {
            self.remembered = engine.contacts(now, wall, REMEMBERED);
        }
    }

    /// What is known of the time, by the house's rule: its clock is believed when it is later
    /// than the release and near to the network's median, once that is known.
    pub fn wall(&mut self, now: Moment) -> Wall {
        let clock = self.clock(now);
        if self.looked.is_none_or(|looked| now.since(looked) >= LOOK) {
            self.looked = Some(now);
            let near = |network: u64| network.abs_diff(clock) <= NETWORK_MARGIN;
            self.trusted = clock >= RELEASED && self.network(now).is_none_or(near);
        }
        Wall {
            unix: if self.trusted { clock } else { RELEASED },
            trusted: self.trusted,
        }
    }

    /// The time that it signs with: its own if it believes it, else the network's.
    pub fn best_time(&mut self, now: Moment) -> Option<u64> {
        let wall = self.wall(now);
        if wall.trusted {
            Some(wall.unix)
        } else {
            self.network(now)
        }
    }

    fn network(&self, now: Moment) -> Option<u64> {
        self.engine.as_ref().and_then(|e| e.network_time(now))
    }

    fn clock(&self, now: Moment) -> u64 {
        match self.clock {
            Clock::Right => unix(now),
            Clock::Epoch => now.0 / 1_000_000_000,
            Clock::Ahead => unix(now) + 3653 * 86_400,
        }
    }

    pub fn count_in(&mut self, bytes: &[u8]) {
        self.traffic.bytes_in += bytes.len() as u64 + HEADERS;
        self.traffic.packets_in += 1;
    }

    pub fn count_out(&mut self, bytes: &[u8]) {
        self.traffic.bytes_out += bytes.len() as u64 + HEADERS;
        self.traffic.packets_out += 1;
        // FIND_NODE and FIND_VALUE.
        if matches!(bytes.get(1), Some(3 | 5)) {
            self.traffic.asked += 1;
        }
    }
}
