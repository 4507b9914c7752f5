//! Links to other nodes: takes them, keeps those to the fleet, remembers how
//! they went.

use crate::node::error::NodeError;
use crate::node::events;
use crate::node::house::House;
use crate::node::network::wanted;
use crate::node::supervisor::{Beats, End, Later, Restart, Running, Service};
use crate::parts::POWER;
use crate::peer::{Links, PeerEvent, PeerParts, PeerTls};
use crate::platform::links::Links as Watch;
use crate::task;
use crate::task::channel::Receiver;
use smol::future::{self, FutureExt};
use smol::Task;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

/// How long other nodes get to read why this one stops.
const DRAIN: Duration = Duration::from_millis(700);

/// See the module's text.
pub struct Peer(pub Arc<House>);

impl Service for Peer {
    fn name(&self) -> &'static str {
        "peer"
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
            let links = Links::new(PeerParts {
                node: house.node,
                tls: PeerTls::new(house.key(), house.tls_versions())?,
                agent: house.agent(),
                peer_port: network.sockets.port(),
                terms: house.peer_terms(),
                board: house.board.clone(),
                budget: house.budget.clone(),
                clock: house.clock.clone(),
                executor: house.executor.clone(),
            });
            if POWER.built {
                // Who watches the network comes later.
                let now = Watch::new();
                links.set_away(!now.is_up() && now.is_told());
            }
            links.keep(wanted(&house.settings()));
            let mut tasks: Vec<Task<()>> = Vec::new();
            for listener in network.sockets.listeners()? {
                let accepting = links.clone().listen(listener, beats.one_more());
                tasks.push(task::spawn(&house.executor, accepting));
            }
            let tending = links.clone().tend(beats.one_more());
            tasks.push(task::spawn(&house.executor, tending));
            let beat = beats.one_more();
            let (events, watcher) = (links.events(), house.clone());
            let watching = async move {
                future::or(watch(&watcher, &events), super::turn(beat)).await;
            };
            tasks.push(task::spawn(&house.executor, watching));
            network.links.put(links);
            Ok(super::first_end(tasks, beats.one_more()).boxed())
        }
        .boxed()
    }

    fn stop(&self) -> Later<'_, ()> {
        async move {
            if let Some(links) = self.0.network.links.clear() {
                links.stop(DRAIN).await;
            }
        }
        .boxed()
    }
}

/// Writes down how links go, for ever.
async fn watch(house: &House, events: &Receiver<PeerEvent>) {
    while let Ok(event) = events.recv().await {
        let network = &house.network;
        match event {
            PeerEvent::Connected {
                id,
                place,
                dialled,
                facts,
                ..
            } => {
                log::debug!("link to node {id} at {place} ({})", facts.agent);
                events::linked(&house.hub, id, dialled);
                let peer_port = facts.peer_port;
                let theirs = peer_port.map(|port| SocketAddr::new(place.ip(), port));
                let at = if dialled { Some(place) } else { theirs };
                let unix = house.clock.best();
                network.peers.connected(id, at, dialled, unix);
                if let Some(name) = house.fleet_name(&id) {
                    log::info!("fleet node {name} is connected, at {place}");
                    network.fleet.note(id, unix, None);
                }
            }
            PeerEvent::Ended {
                id, lost, reason, ..
            } => {
                log::debug!("link to node {id} ended: {reason}");
                if lost {
                    events::lost(&house.hub, id, &reason.to_string());
                }
                if let Some(name) = house.fleet_name(&id) {
                    if lost {
                        log::warn!("fleet node {name} was lost: {reason}; it is dialled again");
                    }
                    network.fleet.note(id, house.clock.best(), Some(reason));
                }
            }
            PeerEvent::Failed { id, reason, .. } => {
                log::debug!("node {id} was dialled in vain: {reason}");
                network.failed_dials.fetch_add(1, Ordering::Relaxed);
                network.peers.failed(id);
                if let Some(name) = house.fleet_name(&id) {
                    log::warn!("fleet node {name} cannot be reached: {reason}");
                    network.fleet.failed(id, reason);
                }
            }
        }
    }
    future::pending().await
}
