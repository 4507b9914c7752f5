//! The network between the machines: who has which address, how long a datagram
//! takes, which are lost. It knows nothing of Kademlia.

pub mod geography;
pub mod nat;
pub mod queue;
pub mod subnets;

use chr_node::time::Moment;
use fastrand::Rng;
use geography::{Geography, Site};
use nat::Nat;
use queue::{Flight, Queue};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;
use subnets::Subnets;

/// IPv4 and UDP headers: what a datagram costs on a line beside its bytes.
pub const HEADERS: u64 = 28;

/// The port that public machines listen on.
const PORT: u16 = 51055;

/// What stands where.
pub struct Host {
    site: Site,
    /// Its own address: public, or private behind its router.
    inside: SocketAddr,
    nat: Option<Nat>,
    /// Which part of a divided network it is in.
    side: u8,
    /// Cannot send or receive at all.
    unplugged: bool,
}

/// Datagrams sent and what became of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub sent: u64,
    pub lost: u64,
    /// Sent to an address that nobody has.
    pub nowhere: u64,
    /// Not let in by a router.
    pub filtered: u64,
    /// Between parts of a divided network.
    pub cut: u64,
}

/// All machines' lines.
pub struct Net {
    hosts: Vec<Host>,
    /// A router's address belongs to one machine here.
    places: HashMap<Ipv4Addr, usize>,
    geography: Geography,
    subnets: Subnets,
    /// Share of datagrams that are lost.
    pub loss: f64,
    /// Whether datagrams between sides are dropped.
    pub divided: bool,
    pub tally: Tally,
    rng: Rng,
}

impl Net {
    pub fn new(seed: u64, loss: f64) -> Net {
        let mut rng = Rng::with_seed(seed);
        Net {
            hosts: Vec::new(),
            places: HashMap::new(),
            geography: Geography::new(),
            subnets: Subnets::new(&mut rng),
            loss,
            divided: false,
            tally: Tally::default(),
            rng,
        }
    }

    /// A machine with a public address; one in three stands at a hosting company.
    pub fn add_public(&mut self) -> usize {
        let hosted = self.rng.u8(..3) == 0;
        let ip = if hosted {
            self.subnets.hosted(&mut self.rng)
        } else {
            self.subnets.home(&mut self.rng)
        };
        self.add(ip, hosted, false)
    }

    /// A machine behind a home router.
    pub fn add_behind_nat(&mut self) -> usize {
        let ip = self.subnets.home(&mut self.rng);
        self.add(ip, false, true)
    }

    /// `count` public machines in `networks` networks of size /24.
    pub fn add_rented(&mut self, networks: usize, count: usize) -> Vec<usize> {
        let ips = self.subnets.rented(networks, count, &mut self.rng);
        ips.into_iter()
            .map(|ip| self.add(ip, true, false))
            .collect()
    }

    fn add(&mut self, ip: Ipv4Addr, hosted: bool, behind: bool) -> usize {
        let number = self.hosts.len();
        let (inside, nat) = if behind {
            let private = Ipv4Addr::new(192, 168, self.rng.u8(..), self.rng.u8(2..));
            (private, Some(Nat::new(ip, &mut self.rng)))
        } else {
            (ip, None)
        };
        self.hosts.push(Host {
            site: self.geography.site(hosted, &mut self.rng),
            inside: SocketAddr::V4(SocketAddrV4::new(inside, PORT)),
            nat,
            side: 0,
            unplugged: false,
        });
        self.places.insert(ip, number);
        number
    }

    /// What the machine's own interface says.
    pub fn inside(&self, machine: usize) -> SocketAddr {
        self.hosts[machine].inside
    }

    pub fn is_public(&self, machine: usize) -> bool {
        self.hosts[machine].nat.is_none()
    }

    pub fn set_side(&mut self, machine: usize, side: u8) {
        self.hosts[machine].side = side;
    }

    pub fn side(&self, machine: usize) -> u8 {
        self.hosts[machine].side
    }

    pub fn plug(&mut self, machine: usize, plugged: bool) {
        self.hosts[machine].unplugged = !plugged;
    }

    /// A machine behind a router comes to another network.
    pub fn move_elsewhere(&mut self, machine: usize) {
        let ip = self.subnets.home(&mut self.rng);
        let nat = Nat::new(ip, &mut self.rng);
        if let Some(old) = self.hosts[machine].nat.replace(nat) {
            self.places.remove(&old.ip());
        }
        self.places.insert(ip, machine);
    }

    /// A datagram leaves a machine.
    pub fn send(
        &mut self,
        now: Moment,
        sender: usize,
        to: SocketAddr,
        bytes: Vec<u8>,
        queue: &mut Queue,
    ) {
        self.tally.sent += 1;
        let host = &mut self.hosts[sender];
        if host.unplugged {
            return;
        }
        let from = match &mut host.nat {
            None => host.inside,
            Some(nat) => nat.send(now, to, &mut self.rng),
        };
        let host = &self.hosts[sender];
        let IpAddr::V4(ip) = to.ip() else {
            self.tally.nowhere += 1;
            return;
        };
        let Some(&receiver) = self.places.get(&ip) else {
            self.tally.nowhere += 1;
            return;
        };
        // A router does not turn datagrams round.
        if receiver == sender {
            self.tally.filtered += 1;
            return;
        }
        let other = &self.hosts[receiver];
        if self.divided && host.side != other.side {
            self.tally.cut += 1;
            return;
        }
        if self.loss > 0.0 && self.rng.f64() < self.loss {
            self.tally.lost += 1;
            return;
        }
        let delay = self.geography.delay(&host.site, &other.site, &mut self.rng);
        let flight = Flight {
            sender,
            receiver,
            from,
            to,
            bytes,
        };
        queue.arrival(now + delay, flight);
    }

    /// Whether a datagram that has arrived reaches the machine's socket.
    pub fn admits(&mut self, now: Moment, flight: &Flight) -> bool {
        let host = &self.hosts[flight.receiver];
        let open = match &host.nat {
            _ if host.unplugged => false,
            None => flight.to == host.inside,
            Some(nat) => nat.admits(now, flight.from, flight.to.port()),
        };
        if !open {
            self.tally.filtered += 1;
        }
        open
    }

    /// The median round trip between two machines that are drawn at random, with
    /// jitter: the unit of what is measured. Drawn with a seed of its own, so
    /// that asking changes nothing.
    pub fn round_trip(&self) -> Duration {
        let mut rng = Rng::with_seed(1);
        let mut trips: Vec<Duration> = (0..20_001)
            .map(|_| {
                let a = &self.hosts[rng.usize(..self.hosts.len())].site;
                let b = &self.hosts[rng.usize(..self.hosts.len())].site;
                self.geography.delay(a, b, &mut rng) + self.geography.delay(b, a, &mut rng)
            })
            .collect();
        trips.sort_unstable();
        trips[trips.len() / 2]
    }
}
