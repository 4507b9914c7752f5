//! What the router has given, and what it is worth: for this node's record, for
//! health and for whoever asks.

use crate::platform::routes::Route;
use crate::reach::client::{Asker, Held};
use crate::reach::outside::Outside;
use crate::reach::{Failure, Transport, Want};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where things stand.
#[derive(Clone, Debug, Default)]
pub enum State {
    /// The router is not asked: switched off, or there is none.
    #[default]
    Idle,
    /// It is being asked for the first time.
    Asking,
    /// It gives nothing.
    Nothing(Route<Ipv4Addr>, Failure),
    /// It has given something.
    Held(Asker, Held),
}

/// See the module's text.
#[derive(Default)]
pub struct Mapped(Mutex<State>);

impl Mapped {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts another state in its place.
    pub fn set(&self, state: State) {
        *self.lock() = state;
    }

    /// How it is.
    #[must_use]
    pub fn get(&self) -> State {
        self.lock().clone()
    }

    /// Where others reach the peer port, if the router's address can be reached and
    /// UDP and TCP have one number.
    #[must_use]
    pub fn peer(&self, port: Option<u16>) -> Option<SocketAddr> {
        let State::Held(_, held) = &*self.lock() else {
            return None;
        };
        if Outside::of(held.address) != Outside::Public {
            return None;
        }
        let of = |transport| {
            let port = port?;
            held.external(Want { transport, port })
        };
        let external = of(Transport::Udp)?;
        let both = of(Transport::Tcp) == Some(external);
        both.then(|| SocketAddr::new(IpAddr::V4(held.address), external))
    }

    /// Ports for devices as others reach them, the router's first.
    #[must_use]
    pub fn edge_ports(&self, own: &[u16]) -> Vec<u16> {
        let mut ports = Vec::new();
        if let State::Held(_, held) = &*self.lock() {
            let outside = own.iter().filter_map(|port| {
                held.external(Want {
                    transport: Transport::Tcp,
                    port: *port,
                })
            });
            ports.extend(outside);
        }
        for port in own {
            if !ports.contains(port) {
                ports.push(*port);
            }
        }
        ports
    }

    /// What an operator is told of it, in a line; none while it does not matter.
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        match &*self.lock() {
            State::Idle => None,
            State::Asking => Some("the router is being asked".to_owned()),
            State::Nothing(route, failure) => Some(format!(
                "the router at {} maps no port: {failure}",
                route.gateway
            )),
            State::Held(asker, held) => Some(describe(asker, held)),
        }
    }
}

/// `PCP at 192.168.1.1: 203.0.113.9, UDP 51055, TCP 51055, TCP 443 -> 41046`
#[must_use]
pub fn describe(asker: &Asker, held: &Held) -> String {
    let mut text = format!("{} at {}: {}", held.way, asker.gateway, held.address);
    for mapping in &held.mappings {
        let (name, here) = (mapping.want.transport.name(), mapping.want.port);
        if mapping.external == here {
            text.push_str(&format!(", {name} {here}"));
        } else {
            text.push_str(&format!(", {name} {} -> {here}", mapping.external));
        }
    }
    text
}

/// What is wrong with the router's address, and what to do; none: nothing is, or
/// nobody can know yet. `seen` is where other nodes see this one.
#[must_use]
pub fn trouble(state: &State, seen: Option<Ipv4Addr>) -> Option<(String, &'static str)> {
    const SECOND: &str = "put the inner router into bridge mode, or map the ports on the outer one to it (docs/reachability.md)";
    const PROVIDER: &str = "ask the provider for a public address, use IPv6, or let devices meet at another node (docs/reachability.md)";
    match state {
        State::Idle | State::Asking => None,
        State::Nothing(route, Failure::NoAddress) => Some((
            format!(
                "the router at {} has no public address itself: its line is down, or it stands behind another NAT (double NAT)",
                route.gateway
            ),
            SECOND,
        )),
        State::Nothing(..) => None,
        State::Held(asker, held) => match (Outside::of(held.address), seen) {
            (Outside::Shared, _) => Some((
                format!(
                    "the provider shares addresses (CGNAT): the router at {} has {} outside, which nobody can dial",
                    asker.gateway, held.address
                ),
                PROVIDER,
            )),
            (Outside::Private | Outside::Nonsense, _) => Some((
                format!(
                    "double NAT: the router at {} has {} outside, so it stands behind another router",
                    asker.gateway, held.address
                ),
                SECOND,
            )),
            (Outside::Public, Some(seen)) if seen != held.address && Outside::of(seen) == Outside::Public => Some((
                format!(
                    "the router at {} says that it has {} outside, and others see {seen}: there is another NAT behind it",
                    asker.gateway, held.address
                ),
                SECOND,
            )),
            _ => None,
        },
    }
}
