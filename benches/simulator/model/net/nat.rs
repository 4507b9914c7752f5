//! A home router: endpoint-independent mapping, port-restricted filtering
//! (RFC 4787, RFC 5780), the commonest kind.
//!
//! A machine behind it has one outside port as long as it sends something
//! within the router's time-out; after that it gets another. A datagram comes in
//! only from an address *and* port that the machine has sent to within that
//! time. Routers differ in their patience: 30, 60, 120 or 180 s.

use chr_node::time::Moment;
use fastrand::Rng;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

/// How many far ends are remembered before those that ran out are forgotten.
const FORGET_ABOVE: usize = 256;

/// The router of one machine.
pub struct Nat {
    ip: Ipv4Addr,
    port: u16,
    patience: Duration,
    last_sent: Moment,
    sent_to: HashMap<SocketAddr, Moment>,
}

impl Nat {
    pub fn new(ip: Ipv4Addr, rng: &mut Rng) -> Nat {
        Nat {
            ip,
            port: rng.u16(1024..),
            patience: Duration::from_secs([30, 60, 120, 180][rng.usize(..4)]),
            last_sent: Moment(0),
            sent_to: HashMap::new(),
        }
    }

    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// The outside address of a datagram to `to`.
    pub fn send(&mut self, now: Moment, to: SocketAddr, rng: &mut Rng) -> SocketAddr {
        if now.since(self.last_sent) > self.patience {
            self.port = rng.u16(1024..);
            self.sent_to.clear();
        }
        self.last_sent = now;
        if self.sent_to.len() >= FORGET_ABOVE {
            let patience = self.patience;
            self.sent_to.retain(|_, sent| now.since(*sent) <= patience);
        }
        self.sent_to.insert(to, now);
        SocketAddr::V4(SocketAddrV4::new(self.ip, self.port))
    }

    /// Whether a datagram from `from` to the outside port `port` comes in.
    pub fn admits(&self, now: Moment, from: SocketAddr, port: u16) -> bool {
        port == self.port
            && now.since(self.last_sent) <= self.patience
            && self
                .sent_to
                .get(&from)
                .is_some_and(|sent| now.since(*sent) <= self.patience)
    }
}
