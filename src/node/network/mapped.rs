//! What the routers have given, and what it is worth: for this node's record, for
//! health and for whoever asks.

use crate::reach::client::{Asker, Held};
use crate::reach::outside::Outside;
use crate::reach::{Failure, Family, Transport, Want};
use std::net::{IpAddr, SocketAddr};
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
    Nothing(IpAddr, Failure),
    /// It has given something.
    Held(Box<Asker>, Box<Held>),
}

/// See the module's text. By IPv4 and by IPv6.
#[derive(Default)]
pub struct Mapped([Mutex<State>; 2]);

impl Mapped {
    fn lock(&self, family: Family) -> MutexGuard<'_, State> {
        let [v4, v6] = &self.0;
        let side = match family {
            Family::V4 => v4,
            Family::V6 => v6,
        };
        side.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts another state in its place.
    pub fn set(&self, family: Family, state: State) {
        *self.lock(family) = state;
    }

    /// How it is.
    #[must_use]
    pub fn get(&self, family: Family) -> State {
        self.lock(family).clone()
    }

    /// Where others reach the peer port, if the router's address can be reached and
    /// UDP and TCP have one number.
    #[must_use]
    pub fn peer(&self, port: Option<u16>) -> [Option<SocketAddr>; 2] {
        [Family::V4, Family::V6].map(|family| {
            let State::Held(_, held) = &*self.lock(family) else {
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
            both.then(|| SocketAddr::new(held.address, external))
        })
    }

    /// Ports for devices as others reach them, the router's first. A firewall for
    /// IPv6 leaves their numbers as they are.
    #[must_use]
    pub fn edge_ports(&self, own: &[u16]) -> Vec<u16> {
        let mut ports = Vec::new();
        if let State::Held(_, held) = &*self.lock(Family::V4) {
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
        let v4 = match &*self.lock(Family::V4) {
            State::Idle => None,
            State::Asking => Some("the router is being asked".to_owned()),
            State::Nothing(gateway, failure) => {
                Some(format!("the router at {gateway} maps no port: {failure}"))
            }
            State::Held(asker, held) => Some(describe(asker, held)),
        };
        let v6 = match &*self.lock(Family::V6) {
            // Few are asked about IPv6 with an answer.
            State::Idle | State::Asking | State::Nothing(_, Failure::Silent) => None,
            State::Nothing(gateway, failure) => Some(format!(
                "the router at {gateway} lets nothing in by IPv6: {failure}"
            )),
            State::Held(asker, held) => Some(describe(asker, held)),
        };
        match (v4, v6) {
            (Some(v4), Some(v6)) => Some(v4 + "; " + &v6),
            (v4, v6) => v4.or(v6),
        }
    }
}

/// `PCP at 192.168.1.1: 203.0.113.9, UDP 51055, TCP 51055, TCP 443 -> 41046`
#[must_use]
pub fn describe(asker: &Asker, held: &Held) -> String {
    let mut text = format!("{} at {}: {}", held.way, asker.gateway.ip(), held.address);
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

/// What is wrong with the router's address of IPv4, and what to do; none: nothing is,
/// or nobody can know yet. `seen` is where other nodes see this one.
#[must_use]
pub fn trouble(state: &State, seen: Option<IpAddr>) -> Option<(String, &'static str)> {
    const SECOND: &str = "put the inner router into bridge mode, or map the ports on the outer one to it (docs/reachability.md)";
    const EITHER: &str = "look at its address on its own page: none is a line that is down, 10., 172.16. to 172.31. or 192.168. another router, 100.64. to 100.127. the provider (docs/reachability.md)";
    const PROVIDER: &str = "ask the provider for a public address, use IPv6, or let devices meet at another node (docs/reachability.md)";
    match state {
        State::Idle | State::Asking => None,
        State::Nothing(gateway, Failure::NoAddress) => Some((
            format!(
                "the router at {gateway} has no public address itself: its line is down, or it stands behind another NAT (double NAT, or the provider's: CGNAT)"
            ),
            EITHER,
        )),
        State::Nothing(..) => None,
        State::Held(asker, held) => match (Outside::of(held.address), seen) {
            (Outside::Shared, _) => Some((
                format!(
                    "the provider shares addresses (CGNAT): the router at {} has {} outside, which nobody can dial",
                    asker.gateway.ip(), held.address
                ),
                PROVIDER,
            )),
            (Outside::Private | Outside::Nonsense, _) => Some((
                format!(
                    "double NAT: the router at {} has {} outside, so it stands behind another router",
                    asker.gateway.ip(), held.address
                ),
                SECOND,
            )),
            (Outside::Public, Some(seen)) if seen != held.address && Outside::of(seen) == Outside::Public => Some((
                format!(
                    "the router at {} says that it has {} outside, and others see {seen}: there is another NAT behind it",
                    asker.gateway.ip(), held.address
                ),
                SECOND,
            )),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::reach::{Mapping, Way, LEASE};

    const UDP: Want = Want {
        transport: Transport::Udp,
        port: 51055,
    };
    const TCP: Want = Want {
        transport: Transport::Tcp,
        port: 51055,
    };
    const EDGE: Want = Want {
        transport: Transport::Tcp,
        port: 41046,
    };

    fn held(address: [u8; 4], ports: &[(Want, u16)]) -> State {
        let mappings = ports.iter().map(|(want, external)| Mapping {
            want: *want,
            external: *external,
            lease: LEASE,
        });
        let asker = Asker {
            gateway: ([192, 168, 1, 1], 5351).into(),
            own: [192, 168, 1, 7].into(),
            wants: vec![UDP, TCP, EDGE],
            secret: [1; 32],
            name: "test".to_owned(),
        };
        let held = Held::new(Way::NatPmp, address.into(), mappings.collect());
        State::Held(Box::new(asker), Box::new(held))
    }

    #[test]
    fn only_a_public_address_with_one_number_for_both_is_told() {
        let mapped = Mapped::default();
        assert_eq!(mapped.peer(Some(51055)), [None; 2]);
        assert_eq!(mapped.edge_ports(&[41046]), [41046]);
        mapped.set(
            Family::V4,
            held([203, 0, 113, 9], &[(UDP, 6000), (TCP, 6000), (EDGE, 443)]),
        );
        let [at, _] = mapped.peer(Some(51055));
        let at = at.unwrap();
        assert_eq!(at.to_string(), "203.0.113.9:6000");
        assert_eq!(mapped.edge_ports(&[41046, 41047]), [443, 41046, 41047]);
        let text = mapped.describe().unwrap();
        assert_eq!(
            text,
            "NAT-PMP at 192.168.1.1: 203.0.113.9, UDP 6000 -> 51055, TCP 6000 -> 51055, TCP 443 -> 41046"
        );
        for state in [
            held([203, 0, 113, 9], &[(UDP, 6000), (TCP, 6001)]),
            held([203, 0, 113, 9], &[(UDP, 6000)]),
            held([10, 0, 0, 9], &[(UDP, 6000), (TCP, 6000)]),
            held([100, 64, 0, 9], &[(UDP, 6000), (TCP, 6000)]),
        ] {
            mapped.set(Family::V4, state);
            assert_eq!(mapped.peer(Some(51055)), [None; 2]);
        }
    }

    #[test]
    fn a_hole_in_the_firewall_is_told_beside_the_nat() {
        let mapped = Mapped::default();
        let asker = Asker {
            gateway: "[fe80::1%3]:5351".parse().unwrap(),
            own: "2001:db8::7".parse().unwrap(),
            wants: vec![UDP, TCP],
            secret: [1; 32],
            name: "test".to_owned(),
        };
        let ports = [(UDP, 51055), (TCP, 51055)];
        let mappings = ports.map(|(want, external)| Mapping {
            want,
            external,
            lease: LEASE,
        });
        let held = Held::new(Way::Pcp, asker.own, mappings.to_vec());
        let held = State::Held(Box::new(asker), Box::new(held));
        mapped.set(Family::V6, held);
        let hole: SocketAddr = "[2001:db8::7]:51055".parse().unwrap();
        assert_eq!(mapped.peer(Some(51055)), [None, Some(hole)]);
        let alone = "PCP at fe80::1: 2001:db8::7, UDP 51055, TCP 51055";
        assert_eq!(mapped.describe().unwrap(), alone);
        let gateway = [192, 168, 1, 1].into();
        mapped.set(Family::V4, State::Nothing(gateway, Failure::Silent));
        assert_eq!(
            mapped.describe().unwrap(),
            format!("the router at 192.168.1.1 maps no port: it does not answer; {alone}")
        );
    }

    #[test]
    fn each_second_nat_is_named_and_a_good_router_is_not_blamed() {
        let named = |address, seen: Option<[u8; 4]>| {
            let seen = seen.map(IpAddr::from);
            trouble(&held(address, &[(UDP, 1)]), seen).map(|(reason, _)| reason)
        };
        assert_eq!(named([203, 0, 113, 9], None), None);
        assert_eq!(named([203, 0, 113, 9], Some([203, 0, 113, 9])), None);
        // What a neighbour at home sees says nothing.
        assert_eq!(named([203, 0, 113, 9], Some([192, 168, 1, 7])), None);
        let other = named([203, 0, 113, 9], Some([198, 51, 100, 1])).unwrap();
        assert!(other.contains("others see 198.51.100.1"), "{other}");
        let double = named([192, 168, 0, 9], None).unwrap();
        assert!(double.starts_with("double NAT: the router at 192.168.1.1"));
        let shared = named([100, 70, 0, 9], None).unwrap();
        assert!(shared.contains("(CGNAT)"), "{shared}");
    }
}
