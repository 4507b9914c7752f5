//! Asks the router for the ports of this node, keeps them, gives them back.
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
use crate::reach::outside::is_at_home;
use crate::reach::plan::{Plan, Seen, Step};
use crate::reach::{natpmp, pcp, Failure, Transport, Want, Way, WANTS_MAX};
use crate::sorted;
use crate::time::Clock;
use async_io::{Async, Timer};
use smol::future::{self, FutureExt};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long giving back may take when the node stops.
const FAREWELL: Duration = Duration::from_millis(1_500);
/// Where gateways tell everybody that they have changed (RFC 6886, section 3.2.1).
const NEWS: (Ipv4Addr, u16) = (Ipv4Addr::UNSPECIFIED, 5350);
/// After news all of a gateway's repetitions of it are waited for: it sends ten.
const SETTLE: Duration = Duration::from_millis(300);
/// Longest datagram of news that is looked at.
const NEWS_MAX: usize = 1100;

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
        let beat = beats.one_more();
        async move {
            let keeper = Keeper::new(self.0.clone());
            Ok(keeper.keep(beat).boxed())
        }
        .boxed()
    }

    /// Others shall not be sent to a node that is gone.
    fn stop(&self) -> Later<'_, ()> {
        async move {
            let network = &self.0.network;
            let state = network.mapped.get();
            network.mapped.set(State::Idle);
            if let State::Held(asker, held) = state {
                asker.remove(&held, FAREWELL).await;
                log::info!("the router's ports are given back");
            }
        }
        .boxed()
    }
}

struct Keeper {
    house: Arc<House>,
    plan: Plan,
    /// Whom it asks, and for what; none: nobody.
    asker: Option<(Route<Ipv4Addr>, Asker)>,
    held: Option<Held>,
    news: Option<Async<UdpSocket>>,
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
    fn new(house: Arc<House>) -> Keeper {
        let signed = house.sign(&keccak256(&[b"chr-node names of port mappings/1"]));
        Keeper {
            secret: keccak256(&[&signed.to_compact()]),
            plan: Plan::new(house.clock.now()),
            house,
            asker: None,
            held: None,
            news: None,
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
            let (asker, news) = (&self.asker, &self.news);
            let heard = async {
                match (asker, news) {
                    (Some((route, _)), Some(socket)) => hear(socket, route.gateway).await,
                    _ => future::pending().await,
                }
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
        let found = site(&self.house, Path::new("/"), self.secret);
        if found == self.asker {
            return;
        }
        let before = std::mem::replace(&mut self.asker, found);
        if let (Some((_, asker)), Some(held)) = (before, self.held.take()) {
            asker.remove(&held, FAREWELL).await;
        }
        self.plan.start_over(self.house.clock.now());
        self.news = None;
        let state = match &self.asker {
            Some((route, asker)) => {
                log::debug!(
                    "asking the router at {} for {:?}",
                    route.gateway,
                    asker.wants
                );
                State::Asking
            }
            None => State::Idle,
        };
        self.told.clear();
        self.show(state);
    }

    /// Does what is due.
    async fn work(&mut self) {
        let Some((route, asker)) = self.asker.clone() else {
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
                        log::debug!("the router at {} has forgotten or moved", route.gateway);
                    }
                    continue;
                }
                (Step::Renew, Some(held)) => asker.renew(held, now).await,
                _ => asker.search(now).await,
            };
            self.take(&route, &asker, outcome);
        }
    }

    fn take(&mut self, route: &Route<Ipv4Addr>, asker: &Asker, outcome: Result<Held, Failure>) {
        let now = self.house.clock.now();
        match outcome {
            Ok(held) => {
                self.plan.granted(now, held.lease(), saver::is_on());
                let tells = matches!(held.way, Way::Pcp | Way::NatPmp);
                if tells && self.news.is_none() {
                    self.news = listen();
                }
                for (want, failure) in &held.refused {
                    let (name, port) = (want.transport.name(), want.port);
                    log::debug!("the router does not map {name} {port}: {failure}");
                }
                self.held = Some(held.clone());
                self.show(State::Held(asker.clone(), held));
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
                    self.show(State::Nothing(route.clone(), failure));
                }
            }
        }
    }

    /// Leaves the state where others look, and says in one line what is new.
    fn show(&mut self, state: State) {
        let network = &self.house.network;
        let line = match &state {
            State::Idle | State::Asking => String::new(),
            State::Nothing(route, failure) => format!(
                "the router at {} maps no port: {failure}; open the ports there by hand (docs/reachability.md), or others reach this node only over links that it dials",
                route.gateway
            ),
            State::Held(asker, held) => format!("the router maps ports: {}", describe(asker, held)),
        };
        if line != self.told {
            match &state {
                State::Held(..) => log::info!("{line}"),
                // Most routers of providers say nothing, and most nodes need nothing.
                State::Nothing(_, Failure::Silent) => log::info!("{line}"),
                State::Nothing(..) => log::warn!("{line}"),
                State::Idle | State::Asking => {}
            }
            if let Some((reason, remedy)) = trouble(&state, None) {
                log::warn!("{reason}: {remedy}");
            }
            self.told = line;
        }
        network.mapped.set(state);
        if let Some(dht) = network.dht.get() {
            dht.set_mapped(network.mapped.peer(network.sockets.port()));
        }
    }
}

/// Waits for news of the gateway's.
async fn hear(socket: &Async<UdpSocket>, gateway: Ipv4Addr) {
    let mut buffer = [0; NEWS_MAX];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, from)) if from.ip() == gateway => {
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

/// A socket for news; none where another program keeps it for itself: what the
/// gateway forgets is then noticed by the next look.
fn listen() -> Option<Async<UdpSocket>> {
    match shared(SocketAddr::from(NEWS)).and_then(Async::new) {
        Ok(socket) => Some(socket),
        Err(e) => {
            log::debug!("port 5350 for the router's news: {e}");
            None
        }
    }
}

/// Whom to ask for what; none where nobody is to be asked.
fn site(house: &House, root: &Path, secret: [u8; 32]) -> Option<(Route<Ipv4Addr>, Asker)> {
    let settings = house.settings();
    if !settings.network.port_mapping || settings.network.serve == Serve::No {
        return None;
    }
    let route = routes::default_v4(root)?;
    if route.is_mobile() || !is_at_home(route.gateway) {
        return None;
    }
    let places: Vec<SocketAddr> = {
        let peer = house.network.sockets.places.iter();
        peer.chain(&house.edge.places).copied().collect()
    };
    let v4 = |place: &SocketAddr| match place.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    };
    // Bound to one address, it is that one that others must be led to.
    let bound = match places.iter().filter_map(v4).find(|ip| ip.is_unspecified()) {
        Some(_) => None,
        None => Some(places.iter().filter_map(v4).find(|ip| is_at_home(*ip))?),
    };
    let own = source(bound, route.gateway)?;
    if !is_at_home(own) {
        return None;
    }
    let serves = |place: &&SocketAddr| v4(place).is_some_and(|ip| ip.is_unspecified() || ip == own);
    let mut wants = Vec::new();
    if let Some(place) = house.network.sockets.places.iter().find(serves) {
        for transport in [Transport::Udp, Transport::Tcp] {
            let port = place.port();
            wants.push(Want { transport, port });
        }
    }
    let mut ports: Vec<u16> = house
        .edge
        .places
        .iter()
        .filter(serves)
        .map(SocketAddr::port)
        .collect();
    sorted::sort_and_dedup(&mut ports);
    wants.extend(ports.into_iter().map(|port| Want {
        transport: Transport::Tcp,
        port,
    }));
    wants.truncate(WANTS_MAX);
    if wants.is_empty() {
        return None;
    }
    let asker = Asker {
        gateway: route.gateway,
        own,
        wants,
        secret,
        name: "chr-node".to_owned(),
    };
    Some((route, asker))
}
