//! What the status interfaces see of the node.

use super::house::{House, StoreFault};
use super::network::peers::PEERS_MAX;
use super::network::seeds::PATIENCE;
use super::runfile::dial;
use crate::dht::Stats;
use crate::platform::memory;
use crate::rpc::{
    DhtStats, Health, HealthReason, HealthState, Latency, NetworkStats, NodeInfo, NodeView,
    PeerInfo,
};
use crate::sorted::Map;
use crate::ticket::epoch_of;
use crate::time::Clock;
use std::sync::atomic::Ordering;
use std::sync::PoisonError;
use std::time::Duration;

/// A commit takes some ten milliseconds, on a bad SD card a second or two.
const SLOW: Duration = Duration::from_secs(10);
/// How long a service that was restarted is worth a remark.
const RECENT: Duration = Duration::from_secs(600);

impl House {
    /// What an operator wants to read at start.
    #[must_use]
    pub fn greeting(&self) -> Vec<String> {
        let places: Vec<String> = self.edge.places.iter().map(ToString::to_string).collect();
        let mut lines = vec![if places.is_empty() {
            format!(
                "node {} has no device ports (network.edge_ports is off)",
                self.node
            )
        } else {
            format!("node {} serves devices on {}", self.node, places.join(", "))
        }];
        let peers: Vec<String> = self
            .network
            .sockets
            .places
            .iter()
            .map(ToString::to_string)
            .collect();
        if !peers.is_empty() {
            lines.push(format!("other nodes reach it on {}", peers.join(", ")));
        }
        if let Some(first) = self.rpc.places.first() {
            lines.push(format!("health: http://{}/health", dial(*first)));
        }
        if !self.clock.trusted() {
            lines.push("the clock is not set; epochs of tickets are taken as they come".into());
        }
        lines
    }

    fn network_troubles(&self, degraded: &mut impl FnMut(&str, String, &str)) {
        if self.edge.places.is_empty() {
            degraded(
                "network",
                "no device ports are open".into(),
                "set network.edge_ports",
            );
        }
        let alone = self.network.standing().alone(self.clock.now());
        if let Some(alone) = alone.filter(|alone| *alone >= PATIENCE) {
            if self.network.seeds.are_named() {
                degraded(
                    "network",
                    format!("no other node has answered for {} s", alone.as_secs()),
                    "correct network.seeds, or let UDP through to the peer port; devices of this node are served",
                );
            }
        }
    }

    fn storage_troubles(&self, degraded: &mut impl FnMut(&str, String, &str)) {
        match self.store_fault.get() {
            Some(StoreFault::Absent(error)) => degraded(
                "storage",
                format!("there is no store, nothing is kept: {error}"),
                "the node relays without it and tries again every minute",
            ),
            Some(StoreFault::Renewed(recovery)) => degraded(
                "storage",
                recovery.to_string(),
                "check the disk; this remark ends with the next start",
            ),
            None => {}
        }
        let Some(store) = self.store.get() else {
            return;
        };
        let seen = store.health();
        if let Some(error) = &seen.written.error {
            degraded(
                "storage",
                format!("tickets cannot be stored: {error}"),
                "free space on the disk or make the data folder writable; the node goes on and tries again",
            );
        }
        let waiting = seen.written.waiting();
        if waiting >= SLOW {
            degraded(
                "storage",
                format!(
                    "the disk has not finished a write for {} s",
                    waiting.as_secs()
                ),
                "check the disk; the node relays on, and tickets are kept when it answers",
            );
        }
        if seen.bad_rows > 0 {
            degraded(
                "storage",
                format!("{} damaged rows were skipped", seen.bad_rows),
                "check the disk; the rows are lost, everything else is in use",
            );
        }
    }
}

impl NodeView for House {
    fn info(&self) -> NodeInfo {
        let trusted = self.clock.trusted();
        let settings = self.settings();
        let links = self.network.links.get();
        let outside = self.network.dht.get().and_then(|dht| dht.outside());
        let outside = outside.map(|place| place.ip().to_string());
        NodeInfo {
            node_id: self.node.to_string(),
            name: Some(settings.node.name.clone()).filter(|n| !n.is_empty()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.clock.now().since(self.started).as_secs(),
            profile: Some(settings.node.profile.name().to_owned()),
            edge_ports: self.edge_ports(),
            peer_port: self.network.sockets.port(),
            public_address: settings.network.host.clone().or(outside),
            devices: Some(self.board.devices() as u64),
            peers: links.map(|links| links.count() as u64),
            epoch: trusted.then(|| epoch_of(self.clock.unix())),
            clock_trusted: Some(trusted),
            health: self.health().status,
        }
    }

    fn health(&self) -> Health {
        let mut health = Health::ok();
        let mut degraded = |layer: &str, reason: String, remedy: &str| {
            health.add(HealthReason {
                layer: layer.to_owned(),
                state: HealthState::Degraded,
                reason,
                remedy: remedy.to_owned(),
            });
        };
        self.storage_troubles(&mut degraded);
        let record = self.record.get();
        let record = record.map(|r| r.lock().unwrap_or_else(PoisonError::into_inner).clone());
        if let Some((service, why, at)) = record.and_then(|record| record.latest) {
            if self.clock.now().since(at) < RECENT {
                degraded(
                    "process",
                    format!("service {service} failed and was started again: {why}"),
                    "nothing, if it stays at that; else report it with the log",
                );
            }
        }
        let server = self.server.get();
        let panicked = server.map_or(0, |s| s.panicked.load(Ordering::Relaxed));
        if panicked > 0 {
            degraded(
                "process",
                format!("{panicked} sessions were ended by a defect of this program"),
                "report it with the log; everybody else is served",
            );
        }
        if let Some(fault) = self.door.get().and_then(|door| door.fault()) {
            degraded(
                "process",
                fault,
                "give the node a folder for its socket (RUNTIME_DIRECTORY or data_dir)",
            );
        }
        self.network_troubles(&mut degraded);
        health
    }

    fn ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    fn peers(&self) -> Vec<PeerInfo> {
        if let Some(dht) = self.network.dht.get() {
            self.network.peers.merge(&dht.contacts(PEERS_MAX));
        }
        let links = self.network.links.get();
        let links = links.map_or_else(Vec::new, |links| links.list());
        self.network.peers.list(&links)
    }

    fn network(&self) -> NetworkStats {
        let devices = self.board.devices() as u64;
        let links = self.network.links.get().map(|links| links.list());
        let peers = links.as_ref().map(|links| links.len() as u64);
        let rate = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = rate.latest();
        let theirs = links.iter().flatten().filter_map(|link| link.rtt);
        let ours = self.board.links();
        let measured = |rtt: &Duration| *rtt > Duration::ZERO;
        let ours = ours.iter().map(|link| link.rtt()).filter(measured);
        let micros = |rtt: Duration| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
        let dht = self
            .network
            .dht
            .get()
            .map(|dht| (dht.stats(), dht.unsent()));
        NetworkStats {
            connections: devices + peers.unwrap_or(0),
            devices,
            peers,
            ports_open: self.board.ports() as u64,
            bandwidth_in: rate.map(|rate| rate.bytes_in),
            bandwidth_out: rate.map(|rate| rate.bytes_out),
            bytes_in: self.board.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.board.bytes_out.load(Ordering::Relaxed),
            latency_ms: Latency::of(theirs.chain(ours).map(micros).collect()),
            errors: self.errors(dht.as_ref()),
            memory_bytes: memory::resident(),
            cpu_percent: rate.map(|rate| rate.cpu),
            cache: None,
            dht: dht.map(|(stats, _)| DhtStats {
                nodes: stats.nodes as u64,
                values: stats.values as u64,
                lookups: stats.lookups,
                success_ratio: (stats.lookups > 0).then(|| {
                    let ratio = stats.successes as f64 / stats.lookups as f64;
                    (ratio * 1000.0).round() / 1000.0
                }),
            }),
            history: None,
        }
    }
}

impl House {
    /// What went wrong since the start, by category.
    fn errors(&self, dht: Option<&(Stats, u64)>) -> Map<&'static str, u64> {
        let mut errors = Map::new();
        let record = self.record.get();
        let failures = record.map(|r| r.lock().unwrap_or_else(PoisonError::into_inner).failures);
        errors.insert("services_restarted", failures.unwrap_or(0));
        if let Some(server) = self.server.get() {
            let denied = server.denied.load(Ordering::Relaxed);
            errors.insert("connections_denied", denied);
            let panicked = server.panicked.load(Ordering::Relaxed);
            errors.insert("sessions_panicked", panicked);
        }
        if let Some((stats, unsent)) = dht {
            let dials = self.network.failed_dials.load(Ordering::Relaxed);
            errors.insert("peer_dials_failed", dials);
            errors.insert("dht_timeouts", stats.timeouts);
            errors.insert("dht_packets_dropped", stats.dropped);
            errors.insert("dht_packets_forged", stats.forged);
            errors.insert("dht_packets_unsent", *unsent);
        }
        errors
    }
}
