//! The node's part in Kademlia: the UDP service, the devices that are told to the
//! network, this node's own record, what is remembered for the next start.

mod keeper;
mod kept;
mod tell;

use super::{first_end, missing, turn};
use crate::config::value::SubnetLimits;
use crate::dht::service::{self, Handle, Options};
use crate::dht::Config;
use crate::node::error::NodeError;
use crate::node::house::House;
use crate::node::network::locate::{Locator, Parts};
use crate::node::network::peers::PEERS_MAX;
use crate::node::supervisor::{Beats, End, Later, Restart, Running, Service};
use crate::parts::{PORT_MAPPING, POWER};
use crate::platform::udp::interfaces;
use crate::sorted;
use crate::task;
use crate::time::Clock;
use keeper::Keeper;
use smol::future::{self, FutureExt};
use smol::Task;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tell::tell;

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
        let usual = Config::default();
        Config {
            quota_bytes: house.record_memory(usual.quota_bytes),
            serve: house.serve_wish(),
            exempt_private: network.subnet_limits != SubnetLimits::Always,
            outside,
            interfaces: addresses(house),
            refresh: network.refresh,
            ..usual
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
                if POWER.built {
                    let watching = house.clone().follow_network(beats.one_more());
                    return Ok(watching.boxed());
                }
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
                cache: house.cache.clone(),
                clock: house.clock.clone(),
                executor: house.executor.clone(),
            });
            house.board.set_locate(Some(locator));
            network.own().forget();
            network.presences.set_dht(Some(handle.clone()));
            let mut tasks: Vec<Task<()>> = Vec::new();
            let mut spawn = |work| tasks.push(task::spawn_boxed(&house.executor, work));
            let keeper = Keeper::new(house.clone(), handle.clone());
            let restoring = kept::load(house.clone(), handle.clone());
            let beat = beats.one_more();
            spawn(Box::pin(async move {
                let restored = async {
                    restoring.await;
                    future::pending().await
                };
                future::or(restored, turn(beat)).await
            }));
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
            // The router outlives this service.
            if PORT_MAPPING.built {
                handle.set_mapped(network.mapped.peer(network.sockets.port()));
            }
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
            network.presences.set_dht(None);
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
    sorted::sort_and_dedup(&mut found);
    found
}

/// Writes down whom this node knows, and what it keeps for others.
fn remember(house: &House, handle: &Handle, ending: bool) {
    house.network.peers.merge(&handle.contacts(PEERS_MAX));
    if let Some(store) = house.store.get() {
        house.network.peers.flush(&store, ending);
    }
    kept::save(house, handle, ending);
}
