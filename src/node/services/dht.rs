//! The node's part in Kademlia: the UDP service, the devices that are told to the
//! network, this node's own record, what is remembered for the next start.

use super::{first_end, missing, turn};
use crate::config::value::{Serve as Wish, SubnetLimits};
use crate::dht::service::{self, Handle, Options};
use crate::dht::{Config, Event, Outcome, Serve, ValidRecord};
use crate::liveness::Beat;
use crate::node::error::NodeError;
use crate::node::house::House;
use crate::node::network::locate::{Locator, Parts};
use crate::node::network::peers::PEERS_MAX;
use crate::node::network::record::Facts;
use crate::node::network::seeds::PATIENCE;
use crate::node::supervisor::{Beats, End, Later, Restart, Running, Service};
use crate::platform::clock::on_the_second;
use crate::platform::udp::interfaces;
use crate::task;
use crate::time::{Clock, Moment};
use crate::wire::presence::{DevicePresence, UNTIL_MAX};
use async_io::Timer;
use smol::future::{self, FutureExt};
use smol::Task;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
/// A time further away than this can wait for other timers.
const FAR: Duration = Duration::from_secs(5);

/// See the module's text.
pub struct Dht(pub Arc<House>);

impl Dht {
    fn config(&self) -> Config {
        let house = &self.0;
        let settings = house.settings();
        let network = &settings.network;
        let outside = house.told_ip().and_then(|ip| {
            let port = house.network.sockets.port()?;
            Some(SocketAddr::new(ip, port))
        });
        Config {
            serve: match network.serve {
                Wish::Auto => Serve::Auto,
                Wish::Yes => Serve::Yes,
                Wish::No => Serve::No,
            },
            exempt_private: network.subnet_limits != SubnetLimits::Always,
            outside,
            interfaces: addresses(house),
            ..Config::default()
        }
    }
}

impl Service for Dht {
    fn name(&self) -> &'static str {
        "dht"
    }

    fn restart(&self) -> Restart {
        Restart::Transient
    }

    fn start<'a>(&'a self, beats: &'a mut Beats) -> Later<'a, Result<Running, NodeError>> {
        async move {
            let house = &self.0;
            let network = &house.network;
            if network.sockets.are_off() {
                return Ok(std::future::ready(End::Done).boxed());
            }
            let links = network.links.get().ok_or_else(|| missing("peer"))?;
            if let Some(store) = house.store.get() {
                network.peers.load(&store);
                network.own().load(&store);
            }
            network.standing().begin(house.clock.now());
            network.seeds.set_joined(false);
            let handle = Handle::open(Options {
                engine: self.config(),
                known: network.peers.known(),
                sockets: network.sockets.datagrams()?,
                seal: Box::new(house.key().clone()),
                clock: house.clock.clone(),
            });
            let handle = handle.map_err(|e| NodeError::System("the DHT".into(), e))?;
            let locator = Locator::new(Parts {
                node: house.node,
                dht: handle.clone(),
                links,
                peers: network.peers.clone(),
                clock: house.clock.clone(),
                executor: house.executor.clone(),
            });
            house.board.set_locate(Some(locator));
            network.own().forget();
            let mut tasks: Vec<Task<()>> = Vec::new();
            let mut spawn = |work| tasks.push(task::spawn_boxed(&house.executor, work));
            let keeper = Keeper::new(house.clone(), handle.clone());
            spawn(Box::pin(service::run(handle.clone(), beats.one_more())));
            spawn(Box::pin(keeper.keep(beats.one_more())));
            spawn(Box::pin(tell(
                house.clone(),
                handle.clone(),
                beats.one_more(),
            )));
            let (seeds, dht, beat) = (network.seeds.clone(), handle.clone(), beats.one_more());
            spawn(Box::pin(async move {
                future::or(seeds.look_up(&dht), turn(beat)).await;
            }));
            network.dht.put(handle);
            Ok(first_end(tasks, beats.one_more()).boxed())
        }
        .boxed()
    }

    fn stop(&self) -> Later<'_, ()> {
        async move {
            let house = &self.0;
            let network = &house.network;
            house.board.set_locate(None);
            network.presences.set_joined(false);
            house.clock.set_network(None);
            let Some(handle) = network.dht.clear() else {
                return;
            };
            remember(house, &handle, true);
            handle.close();
            if network.standing().end() {
                log::info!("left the network");
            }
        }
        .boxed()
    }
}

/// Addresses that are this machine's own: those of its interfaces, and those that
/// the sockets are bound to (all of 127.0.0.0/8 is one interface).
fn addresses(house: &House) -> Vec<IpAddr> {
    let mut found = interfaces();
    let bound = house.network.sockets.places.iter().map(SocketAddr::ip);
    found.extend(bound.filter(|ip| !ip.is_unspecified()));
    found.sort_unstable();
    found.dedup();
    found
}

/// Writes down whom this node knows.
fn remember(house: &House, handle: &Handle, ending: bool) {
    house.network.peers.merge(&handle.contacts(PEERS_MAX));
    if let Some(store) = house.store.get() {
        house.network.peers.flush(&store, ending);
    }
}

/// Signs and publishes the devices that are here, one after the other, for ever.
async fn tell(house: Arc<House>, handle: Handle, beat: Beat) {
    let presences = &house.network.presences;
    loop {
        while let Some(said) = presences.take() {
            task::spawn(
                &house.executor,
                tell_one(house.clone(), handle.clone(), said),
            )
            .detach();
        }
        let now = house.clock.now();
        let due = presences.wait().map(|due| {
            let wait = due.since(now).max(Duration::from_millis(1));
            if wait >= FAR {
                on_the_second(wait)
            } else {
                Instant::now() + wait
            }
        });
        let time = async {
            match due {
                Some(due) => drop(Timer::at(due).await),
                None => future::pending().await,
            }
        };
        let woken = future::or(presences.woken(), beat.asked());
        future::or(time, woken).await;
    }
}

async fn tell_one(house: Arc<House>, handle: Handle, said: DevicePresence) {
    // Without a clock that can be believed the device's own word is the best.
    let now = house.clock.best();
    let now = now.unwrap_or_else(|| said.t.max(house.clock.floor()));
    let until = now.saturating_add(UNTIL_MAX);
    let presence = said.countersign(until, |digest| house.key().sign(digest));
    let stored = match ValidRecord::presence(&presence, house.key()) {
        Ok(record) => match handle.store(record).await {
            Outcome::Stored { at, refused, cost } => {
                let device = said.device;
                log::debug!("device {device} told to {at} nodes, {refused} refused: {cost:?}");
                at > 0
            }
            _ => false,
        },
        Err(refusal) => {
            log::warn!("the presence of device {} is none: {refusal}", said.device);
            return;
        }
    };
    house.network.presences.done(&said, stored);
}

/// What the keeper is woken for.
enum Due {
    Event(Event),
    Tick,
    Clocks,
}

/// Does what is due from time to time, and what events ask for.
struct Keeper {
    house: Arc<House>,
    handle: Handle,
    joined: Option<Moment>,
    remembered: Moment,
    wait: Duration,
    looked: Moment,
    interfaces: Vec<IpAddr>,
}

impl Keeper {
    fn new(house: Arc<House>, handle: Handle) -> Keeper {
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

    async fn keep(mut self, beat: Beat) {
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
            match future::or(asked, future::or(event, clocks)).await {
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
            }
            Event::OutsideAddress(at) => {
                log::info!("others see this node at {at}");
                self.publish_own();
            }
            Event::Alive { id, at, rtt } => {
                house.clock.set_network(self.handle.network_time());
                let unix = house.clock.best();
                network.peers.answered(id, at, rtt, unix);
            }
            Event::Silent { id, at } => log::debug!("node {id} at {at} does not answer any more"),
        }
    }

    fn tick(&mut self) {
        let house = &self.house;
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
            self.looked = now;
            let found = addresses(house);
            if found != self.interfaces {
                log::info!("the machine's addresses have changed");
                self.interfaces.clone_from(&found);
                self.handle.set_interfaces(found);
                self.handle.woken();
            }
        }
        if now.since(self.remembered) >= self.wait {
            self.remembered = now;
            self.wait = REMEMBER_EVERY;
            remember(house, &self.handle, false);
        }
        self.serve();
        self.publish_own();
    }

    /// Other nodes hear by their links whether this one answers in the DHT.
    fn serve(&self) {
        if let Some(links) = self.house.network.links.get() {
            links.set_serving(self.handle.serving());
        }
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
            self.handle.outside(),
            &network.sockets.places,
            &house.edge_ports(),
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
