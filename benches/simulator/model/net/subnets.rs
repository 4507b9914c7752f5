//! IPv4 addresses as networks hand them out.
//!
//! A third of the machines stand at hosting companies, whose /24 networks are
//! shared: a machine's is drawn from 10,000 with the weights of Zipf's law with the exponent
//! 0.6. Of 10,000 machines the most popular network then has some 30 and a hundred have more
//! than two, so that 3 % of all machines are beyond the limit of two a network. The
//! rest are homes, in a /24 of their own but for chance. Private, loopback, documentation and multicast
//! ranges are left out, since a node treats them differently.

use fastrand::Rng;
use std::collections::HashSet;
use std::net::Ipv4Addr;

/// How many /24 networks of hosting companies there are.
const HOSTED_NETWORKS: usize = 10_000;
/// How much more popular the first are.
const ZIPF: f64 = 0.6;

/// Hands out addresses, none twice.
pub struct Subnets {
    /// Upper three bytes, most popular first.
    hosted: Vec<u32>,
    /// Sums of Zipf's weights.
    sums: Vec<f64>,
    taken: HashSet<u32>,
}

impl Subnets {
    pub fn new(rng: &mut Rng) -> Subnets {
        let mut sum = 0.0;
        let mut sums = Vec::with_capacity(HOSTED_NETWORKS);
        for rank in 1..=HOSTED_NETWORKS {
            sum += (rank as f64).powf(-ZIPF);
            sums.push(sum);
        }
        Subnets {
            hosted: (0..HOSTED_NETWORKS).map(|_| network(rng)).collect(),
            sums,
            taken: HashSet::new(),
        }
    }

    /// An address in the network of a hosting company.
    pub fn hosted(&mut self, rng: &mut Rng) -> Ipv4Addr {
        loop {
            let point = rng.f64() * self.sums[HOSTED_NETWORKS - 1];
            let rank = self.sums.partition_point(|s| *s < point);
            let network = self.hosted[rank.min(HOSTED_NETWORKS - 1)];
            if let Some(address) = self.within(network, rng) {
                return address;
            }
        }
    }

    /// An address of a home.
    pub fn home(&mut self, rng: &mut Rng) -> Ipv4Addr {
        loop {
            let network = network(rng);
            if let Some(address) = self.within(network, rng) {
                return address;
            }
        }
    }

    /// `count` addresses spread over `networks` new /24 networks: what an attacker rents.
    pub fn rented(&mut self, networks: usize, count: usize, rng: &mut Rng) -> Vec<Ipv4Addr> {
        let rented: Vec<u32> = (0..networks).map(|_| network(rng)).collect();
        let mut found = Vec::with_capacity(count);
        while found.len() < count {
            found.extend(self.within(rented[found.len() % networks], rng));
        }
        found
    }

    /// A free address of a /24, if chance finds one.
    fn within(&mut self, network: u32, rng: &mut Rng) -> Option<Ipv4Addr> {
        let address = network << 8 | rng.u32(1..255);
        self.taken.insert(address).then(|| Ipv4Addr::from(address))
    }
}

/// Upper three bytes of a public address.
fn network(rng: &mut Rng) -> u32 {
    loop {
        let network = rng.u32(..1 << 24);
        let [_, a, b, c] = network.to_be_bytes();
        let special = matches!(a, 0 | 10 | 127 | 224..)
            || (a == 100 && (64..128).contains(&b))
            || (a == 169 && b == 254)
            || (a == 172 && (16..32).contains(&b))
            || (a == 192 && (b == 168 || (b == 0 && c <= 2) || (b == 88 && c == 99)))
            || (a == 198 && (b == 18 || b == 19 || (b == 51 && c == 100)))
            || (a == 203 && b == 0 && c == 113);
        if !special {
            return network;
        }
    }
}
