//! What is due from time to time, and what the engine has to say.

use super::{addresses, remember};
use crate::dht::service::Handle;
use crate::dht::subnet::is_private;
use crate::dht::{Event, ValidRecord};
use crate::liveness::Beat;
use crate::node::house::House;
use crate::node::network::record::Facts;
use crate::node::network::seeds::PATIENCE;
use crate::parts::PORT_MAPPING;
use crate::platform::links::Change;
use crate::task;
use crate::time::{Clock, Moment};
use async_io::Timer;
use smol::future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How often what is known of other nodes goes to the store.
const REMEMBER_EVERY: Duration = Duration::from_secs(3600);
/// The first time: a node that loses its power soon is back without its seeds.
const REMEMBER_FIRST: Duration = Duration::from_secs(300);
/// How often the machine's addresses are read.
const ADDRESSES_EVERY: Duration = Duration::from_secs(60);
/// After it has joined, a node looks this often whether enough others have told the
/// time, for so long: what devices are told depends on it.
const LOOK_AT_CLOCKS: Duration = Duration::from_secs(1);
const CLOCKS_WITHIN: Duration = Duration::from_secs(10);

/// What the keeper is woken for.
enum Due {
    Event(Event),
    Tick,
    Clocks,
    Network(Change),
}

/// Does what is due from time to time, and what events ask for.
pub(super) struct Keeper {
    house: Arc<House>,
    handle: Handle,
    joined: Option<Moment>,
    remembered: Moment,
    wait: Duration,
    looked: Moment,
    interfaces: Vec<IpAddr>,
}

impl Keeper {
    pub(super) fn new(house: Arc<House>, handle: Handle) -> Keeper {
        let now = house.clock.now();
        Keeper {
            joined: None,
            remembered: now,
            wait: REMEMBER_FIRST,
            looked: now,
            interfaces: addresses(&house),
            house,
            handle,
        }
    }

    pub(super) async fn keep(mut self, beat: Beat) {
        let mut links = self.house.watch_network();
        loop {
            let handle = self.handle.clone();
            let event = async { Due::Event(handle.next_event().await) };
            let asked = async {
                beat.asked().await;
                Due::Tick
            };
            let learns = self.learns_the_time();
            let clocks = async {
                if learns {
                    Timer::after(LOOK_AT_CLOCKS).await;
                    Due::Clocks
                } else {
                    future::pending().await
                }
            };
            let network = async { Due::Network(links.changed().await) };
            let event = future::or(event, network);
            match future::or(asked, future::or(event, clocks)).await {
                Due::Network(change) => self.network_changed(change, links.is_told()),
                Due::Event(event) => self.hear(event),
                Due::Tick => self.tick(),
                Due::Clocks => self.look_at_clocks(),
            }
        }
    }

    /// Others have begun to answer, and too few have told the time.
    fn learns_the_time(&self) -> bool {
        let clock = &self.house.clock;
        let young = |at| clock.now().since(at) < CLOCKS_WITHIN;
        clock.network().is_none() && self.joined.is_some_and(young)
    }

    fn look_at_clocks(&self) {
        let told = self.handle.network_time();
        self.house.clock.set_network(told);
    }

    fn hear(&mut self, event: Event) {
        let house = &self.house;
        let network = &house.network;
        let now = house.clock.now();
        match event {
            Event::Joined { nodes } => {
                self.joined = Some(now);
                let change = network.standing().join(nodes, now);
                network.seeds.set_joined(true);
                if let Some(change) = change {
                    log::info!("{change}");
                }
                network.presences.set_joined(true);
                network.own().forget();
                self.publish_own();
            }
            Event::Isolated => {
                let change = network.standing().isolate(now);
                network.seeds.set_joined(false);
                network.presences.set_joined(false);
                if let Some(change) = change {
                    log::warn!("{change}");
                }
            }
            Event::Reachable(reachable) => {
                let can = if reachable { "can" } else { "cannot" };
                log::info!("strangers {can} reach this node's peer port");
                self.serve();
                self.publish_own();
            }
            Event::OutsideAddress(at) => {
                log::info!("others see this node at {at}");
                self.publish_own();
            }
            Event::Alive { id, at, rtt } => {
                self.look_at_clocks();
                let unix = house.clock.best();
                network.peers.answered(id, at, rtt, unix);
            }
            Event::Silent { id, at } => log::debug!("node {id} at {at} does not answer any more"),
        }
    }

    fn tick(&mut self) {
        let house = self.house.clone();
        let now = house.clock.now();
        self.look_at_clocks();
        let network = &house.network;
        if network.seeds.are_named() && network.standing().silence(now, PATIENCE) {
            log::warn!(
                "no other node has answered for {} s: asked {}; correct network.seeds, or let UDP through to these ports; they are asked again",
                PATIENCE.as_secs(),
                network.seeds.names()
            );
        }
        if now.since(self.looked) >= ADDRESSES_EVERY {
            self.look_at_addresses();
        }
        if now.since(self.remembered) >= self.wait {
            self.remembered = now;
            self.wait = REMEMBER_EVERY;
            remember(&house, &self.handle, false);
        }
        self.serve();
        self.publish_own();
    }

    /// The kernel says that the network is another one. Who was known may be reached
    /// by it, or not any more: all are asked at once.
    fn network_changed(&mut self, change: Change, told: bool) {
        self.house.network_changed(change, told);
        if change != Change::Down && !self.look_at_addresses() {
            self.handle.woken();
        }
    }

    /// Whether the machine has other addresses than before.
    fn look_at_addresses(&mut self) -> bool {
        self.looked = self.house.clock.now();
        let found = addresses(&self.house);
        if found == self.interfaces {
            return false;
        }
        log::info!("the machine's addresses have changed");
        self.interfaces.clone_from(&found);
        self.handle.set_interfaces(found);
        self.handle.woken();
        true
    }

    /// Other nodes hear by their links whether this one answers in the DHT.
    fn serve(&self) {
        if let Some(links) = self.house.network.links.get() {
            links.set_serving(self.handle.serving());
        }
    }

    /// Where others reach this node: addresses of its own, unless they are public and
    /// strangers were seen to fail there, and a NAT's as soon as a stranger has come
    /// through, or when the router vouches for it, others see it, and none was seen to fail.
    fn outside(&self) -> Vec<SocketAddr> {
        let seen = self.handle.places().into_iter().flatten();
        let told = seen.filter(|seen| match seen.reachable {
            Some(reachable) => reachable || (seen.own && is_private(seen.at.ip())),
            // In a small network everybody is an acquaintance, and nobody can tell.
            None => seen.own || seen.confirmed,
        });
        told.map(|seen| seen.at).collect()
    }

    /// Signs and publishes this node's own record, if there is something new to say.
    fn publish_own(&self) {
        let house = &self.house;
        let network = &house.network;
        let now = house.clock.now();
        if network.standing().alone(now).is_some() {
            return;
        }
        let facts = Facts::new(
            house.told_ip(),
            &self.outside(),
            &network.sockets.places,
            &match PORT_MAPPING.built {
                true => network.mapped.edge_ports(&house.edge_ports()),
                false => house.edge_ports(),
            },
            &house.settings().node.name,
        );
        let unix = house.clock.best().unwrap_or_else(|| house.clock.floor());
        let mut own = network.own();
        let Some(said) = own.renew(house.node, &facts, unix, now) else {
            return;
        };
        let sequence = own.sequence();
        drop(own);
        if let Some(store) = house.store.get() {
            // Some a day; health tells when the disk refuses.
            drop(store.put(&sequence));
        }
        match ValidRecord::node(&said, house.key()) {
            Ok(record) => {
                let handle = self.handle.clone();
                task::spawn(&house.executor, async move {
                    let outcome = handle.publish(record).await;
                    log::debug!("this node's record: {outcome:?}");
                })
                .detach();
            }
            Err(refusal) => log::warn!("this node's record is none: {refusal}"),
        }
    }
}
