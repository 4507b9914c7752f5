//! Asks the routers for the ports of this node, keeps them, gives them back: the one
//! that does NAT for IPv4, and the one that has a firewall for IPv6.
//!
//! It has no timer of its own: the supervisor's question, every ten seconds, is when
//! it looks at the default route and at what is due. What the router tells by itself
//! comes in between.

use crate::config::value::Serve;
use crate::identity::keccak256;
use crate::liveness::Beat;
use crate::node::error::NodeError;
use crate::node::house::House;
use crate::node::network::mapped::{describe, trouble, State};
use crate::node::supervisor::{Beats, Later, Restart, Running, Service};
use crate::platform::routes::{self, Route};
use crate::platform::saver;
use crate::platform::udp::shared;
use crate::reach::client::{Asker, Held};
use crate::reach::exchange::source;
use crate::reach::outside::{is_at_home, Outside};
use crate::reach::plan::{Plan, Seen, Step};
use crate::reach::{natpmp, pcp, Failure, Family, Transport, Want, Way, WANTS_MAX};
use crate::sorted;
use crate::time::Clock;
use async_io::{Async, Timer};
use nix::net::if_::if_nametoindex;
use smol::future::{self, FutureExt};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long giving back may take when the node stops.
const FAREWELL: Duration = Duration::from_millis(1_500);
/// Where gateways tell everybody that they have changed (RFC 6886, section 3.2.1; RFC
/// 6887, section 14.1.1): groups that every host is in.
const NEWS: u16 = 5350;
/// After news all of a gateway's repetitions of it are waited for: it sends ten.
const SETTLE: Duration = Duration::from_millis(300);
/// Longest datagram of news that is looked at.
const NEWS_MAX: usize = 1100;
/// Some address of IPv6 out there, to which nothing is sent: with which of its own
/// ones a machine leaves depends on where to.
const FAR: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1);

/// See the module's text.
pub struct Reach(pub Arc<House>);

impl Service for Reach {
    fn name(&self) -> &'static str {
        "reach"
    }

    fn restart(&self) -> Restart {
        Restart::Transient
    }

    fn start<'a>(&'a self, beats: &'a mut Beats) -> Later<'a, Result<Running, NodeError>> {
        let keep = [Family::V4, Family::V6].map(|family| {
            let keeper = Keeper::new(self.0.clone(), family);
            keeper.keep(beats.one_more()).boxed()
        });
        async move {
            let [v4, v6] = keep;
            Ok(future::or(v4, v6).boxed())
        }
        .boxed()
    }

    /// Others shall not be sent to a node that is gone.
    fn stop(&self) -> Later<'_, ()> {
        async move {
            let mapped = &self.0.network.mapped;
            let [v4, v6] = [Family::V4, Family::V6].map(|family| async move {
                let state = mapped.get(family);
                mapped.set(family, State::Idle);
                if let State::Held(asker, held) = state {
                    asker.remove(&held, FAREWELL).await;
                    let gateway = asker.gateway.ip();
                    log::info!("the ports of the router at {gateway} are given back");
                }
            });
            future::zip(v4, v6).await;
        }
        .boxed()
    }
}

struct Keeper {
    house: Arc<House>,
    family: Family,
    plan: Plan,
    /// Whom it asks, and for what; none: nobody.
    asker: Option<Asker>,
    held: Option<Held>,
    ears: Vec<Ear>,
    /// What the operator was told last.
    told: String,
    /// See [`Asker::secret`].
    secret: [u8; 32],
}

/// Takes questions for ever.
async fn asked_on(beat: &Beat) {
    loop {
        beat.asked().await;
    }
}

enum Woken {
    Tick,
    News,
}

impl Keeper {
    fn new(house: Arc<House>, family: Family) -> Keeper {
        let signed = house.sign(&keccak256(&[b"chr-node names of port mappings/1"]));
        Keeper {
            secret: keccak256(&[&signed.to_compact()]),
            plan: Plan::new(house.clock.now()),
            house,
            family,
            asker: None,
            held: None,
            ears: Vec::new(),
            told: String::new(),
        }
    }

    async fn keep<T>(mut self, beat: Beat) -> T {
        loop {
            let due = async {
                self.look_around().await;
                self.work().await;
            };
            // Answers take seconds; the supervisor's questions are taken meanwhile.
            future::or(due, asked_on(&beat)).await;
            let tick = async {
                beat.asked().await;
                Woken::Tick
            };
            let mut ears = self.ears.iter();
            let (one, other) = (ears.next(), ears.next());
            let heard = async {
                future::or(hear(one), hear(other)).await;
                Woken::News
            };
            if let Woken::News = future::or(tick, heard).await {
                Timer::after(SETTLE).await;
                self.plan.hurry(self.house.clock.now());
            }
        }
    }

    /// Whom to ask, anew: another gateway or another address is another network.
    async fn look_around(&mut self) {
        let found = site(&self.house, Path::new("/"), self.family, self.secret);
        if found == self.asker {
            return;
        }
        let before = std::mem::replace(&mut self.asker, found);
        if let (Some(asker), Some(held)) = (before, self.held.take()) {
            asker.remove(&held, FAREWELL).await;
        }
        self.plan.start_over(self.house.clock.now());
        self.ears.clear();
        let state = match &self.asker {
            Some(asker) => {
                let gateway = asker.gateway.ip();
                log::debug!("asking the router at {gateway} for {:?}", asker.wants);
                State::Asking
            }
            None => State::Idle,
        };
        self.told.clear();
        self.show(state);
    }

    /// Does what is due.
    async fn work(&mut self) {
        let Some(asker) = self.asker.clone() else {
            return;
        };
        // A look may show that something else is due at once, and so may that.
        for _ in 0..3 {
            let now = self.house.clock.now();
            let outcome = match (self.plan.next(now), &self.held) {
                (Step::Wait(_), _) => return,
                (Step::Look, Some(held)) => {
                    let seen = asker.look(held, now).await;
                    let now = self.house.clock.now();
                    self.plan.looked(now, seen, saver::is_on());
                    if seen == Seen::Changed {
                        let gateway = asker.gateway.ip();
                        log::debug!("the router at {gateway} has forgotten or moved");
                    }
                    continue;
                }
                (Step::Renew, Some(held)) => asker.renew(held, now).await,
                _ => asker.search(now).await,
            };
            self.take(&asker, outcome);
        }
    }

    fn take(&mut self, asker: &Asker, outcome: Result<Held, Failure>) {
        let now = self.house.clock.now();
        match outcome {
            Ok(held) => {
                self.plan.granted(now, held.lease(), saver::is_on());
                let tells = matches!(held.way, Way::Pcp | Way::NatPmp);
                if tells && self.ears.is_empty() {
                    self.ears = listen(asker.gateway.ip());
                }
                for (want, failure) in &held.refused {
                    let (name, port) = (want.transport.name(), want.port);
                    log::debug!("the router does not map {name} {port}: {failure}");
                }
                self.held = Some(held.clone());
                self.show(State::Held(Box::new(asker.clone()), Box::new(held)));
            }
            Err(failure) => {
                let lost = match failure {
                    Failure::NoAddress => {
                        self.plan.lost(now);
                        true
                    }
                    _ => self.plan.failed(now),
                };
                if lost {
                    self.held = None;
                    self.show(State::Nothing(asker.gateway.ip(), failure));
                }
            }
        }
    }

    /// Leaves the state where others look, and says in one line what is new.
    fn show(&mut self, state: State) {
        let network = &self.house.network;
        let line = match (&state, self.family) {
            (State::Idle | State::Asking, _) => String::new(),
            (State::Nothing(gateway, failure), Family::V4) => format!(
                "the router at {gateway} maps no port: {failure}; open the ports there by hand (docs/reachability.md), or others reach this node only over links that it dials"
            ),
            // Most do not know of it, and whoever is reached by IPv4 needs nothing.
            (State::Nothing(_, Failure::Silent), Family::V6) => String::new(),
            (State::Nothing(gateway, failure), Family::V6) => format!(
                "the router at {gateway} lets nothing in by IPv6: {failure}; let the ports in there by hand (docs/reachability.md)"
            ),
            (State::Held(asker, held), Family::V4) => {
                format!("the router maps ports: {}", describe(asker, held))
            }
            (State::Held(asker, held), Family::V6) => {
                format!("the router lets in by IPv6: {}", describe(asker, held))
            }
        };
        if line != self.told && !line.is_empty() {
            // Who comes in by IPv6 does not need the other.
            let by_v6 = matches!(network.mapped.get(Family::V6), State::Held(..));
            match &state {
                State::Held(..) => log::info!("{line}"),
                // Most routers of providers say nothing, and most nodes need nothing.
                State::Nothing(_, Failure::Silent) => log::info!("{line}"),
                State::Nothing(..) if by_v6 => log::info!("{line}"),
                State::Nothing(..) => log::warn!("{line}"),
                State::Idle | State::Asking => {}
            }
            let of_v4 = self.family == Family::V4 && !by_v6;
            let trouble = of_v4.then(|| trouble(&state, None));
            if let Some((reason, remedy)) = trouble.flatten() {
                log::warn!("{reason}: {remedy}");
            }
        }
        self.told = line;
        network.mapped.set(self.family, state);
        if let Some(dht) = network.dht.get() {
            dht.set_mapped(network.mapped.peer(network.sockets.port()));
        }
    }
}

/// Where a gateway is heard.
struct Ear {
    socket: Async<UdpSocket>,
    gateway: IpAddr,
}

/// Waits for news of the gateway's.
async fn hear(ear: Option<&Ear>) {
    let Some(Ear { socket, gateway }) = ear else {
        return future::pending().await;
    };
    let mut buffer = [0; NEWS_MAX];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, from)) if from.ip() == *gateway => {
                let bytes = buffer.get(..length).unwrap_or_default();
                if natpmp::address(bytes).is_some() || pcp::announced(bytes).is_some() {
                    return;
                }
            }
            Ok(_) => {}
            Err(e) => {
                log::debug!("the router's news: {e}");
                return future::pending().await;
            }
        }
    }
}

/// Ears for a gateway's news; none where another program keeps the port for itself:
/// what the gateway forgets is then noticed by the next look. Of IPv6 many tell
/// nothing, while the same box tells of IPv4.
fn listen(gateway: IpAddr) -> Vec<Ear> {
    let v4 = routes::default_v4(Path::new("/")).map(|route| IpAddr::V4(route.gateway));
    let v6 = Some(gateway).filter(IpAddr::is_ipv6);
    let gateways = v4.into_iter().chain(v6);
    let ears = gateways.filter_map(|gateway| {
        let everybody: IpAddr = match gateway {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        match shared((everybody, NEWS).into()).and_then(Async::new) {
            Ok(socket) => Some(Ear { socket, gateway }),
            Err(e) => {
                log::debug!("port {NEWS} for the router's news: {e}");
                None
            }
        }
    });
    ears.collect()
}

/// The gateway of a family, and this node's address that its ports lead to; none
/// where nobody is to be asked. `bound`: the one address that the node listens on.
fn way(root: &Path, family: Family, bound: Option<IpAddr>) -> Option<(SocketAddr, IpAddr)> {
    let v4 = routes::default_v4(root);
    match family {
        Family::V4 => {
            let route =
                v4.filter(|route| !route.is_mobile() && is_at_home(route.gateway.into()))?;
            let own = source(bound, route.gateway.into())?;
            is_at_home(own).then_some(((route.gateway, pcp::PORT).into(), own))
        }
        Family::V6 => {
            let Route { interface, gateway } =
                routes::default_v6(root).filter(|route| !route.is_mobile())?;
            // A machine with a public address of IPv4 stands in no house.
            let elsewhere = |route: Route<Ipv4Addr>| {
                source(None, route.gateway.into())
                    .is_some_and(|ip| Outside::of(ip) == Outside::Public)
            };
            if v4.is_some_and(elsewhere) {
                return None;
            }
            let own = source(bound, FAR.into())?;
            let scope = match gateway.is_unicast_link_local() {
                true => if_nametoindex(interface.as_str()).ok()?,
                false => 0,
            };
            let gateway = SocketAddrV6::new(gateway, pcp::PORT, 0, scope);
            is_at_home(own).then_some((gateway.into(), own))
        }
    }
}

/// Whom to ask for what; none where nobody is to be asked.
fn site(house: &House, root: &Path, family: Family, secret: [u8; 32]) -> Option<Asker> {
    let settings = house.settings();
    if !settings.network.port_mapping || settings.network.serve == Serve::No {
        return None;
    }
    let of_family = |place: &&SocketAddr| place.is_ipv4() == (family == Family::V4);
    let peer = house.network.sockets.places.iter().filter(of_family);
    let edge = house.edge.places.iter().filter(of_family);
    // Bound to one address, it is that one that others must be led to.
    let mut bound = peer.clone().chain(edge.clone()).map(SocketAddr::ip);
    let bound = match bound.clone().any(|ip| ip.is_unspecified()) {
        true => None,
        false => Some(bound.find(|ip| is_at_home(*ip))?),
    };
    let (gateway, own) = way(root, family, bound)?;
    let serves = |place: &&SocketAddr| place.ip().is_unspecified() || place.ip() == own;
    let mut wants = Vec::new();
    if let Some(place) = peer.clone().find(serves) {
        for transport in [Transport::Udp, Transport::Tcp] {
            let port = place.port();
            wants.push(Want { transport, port });
        }
    }
    let mut ports: Vec<u16> = edge.filter(serves).map(SocketAddr::port).collect();
    sorted::sort_and_dedup(&mut ports);
    wants.extend(ports.into_iter().map(|port| Want {
        transport: Transport::Tcp,
        port,
    }));
    wants.truncate(WANTS_MAX);
    (!wants.is_empty()).then(|| Asker {
        gateway,
        own,
        wants,
        secret,
        name: "chr-node".to_owned(),
    })
}
