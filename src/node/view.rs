//! What the status interfaces see of the node.

use super::runfile::dial;
use crate::config::Settings;
use crate::edge::server::Server;
use crate::identity::keyfile::KeyFile;
use crate::identity::Address;
use crate::platform::clock::BootClock;
use crate::rpc::{Door, Health, HealthReason, HealthState, NodeInfo, NodeView};
use crate::store::Store;
use crate::ticket::epoch_of;
use crate::time::{Clock, Moment};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// The node's parts that can be asked how they are.
pub struct NodeState {
    node: Address,
    settings: Settings,
    server: Arc<Server>,
    clock: Arc<BootClock>,
    store: Option<Store>,
    edge: Vec<SocketAddr>,
    rpc: Vec<SocketAddr>,
    started: Moment,
    door: OnceLock<Weak<Door>>,
    /// Keeps the key file locked as long as the node lives.
    key_file: Mutex<Option<KeyFile>>,
    /// Listeners stand and the node is not stopping.
    pub ready: AtomicBool,
}

impl NodeState {
    /// A node whose parts stand and which does not serve yet.
    #[must_use]
    pub fn new(
        node: Address,
        settings: Settings,
        server: Arc<Server>,
        clock: Arc<BootClock>,
        store: Option<Store>,
        edge: Vec<SocketAddr>,
        rpc: Vec<SocketAddr>,
    ) -> NodeState {
        NodeState {
            node,
            settings,
            server,
            started: clock.now(),
            clock,
            store,
            edge,
            rpc,
            door: OnceLock::new(),
            key_file: Mutex::new(None),
            ready: AtomicBool::new(false),
        }
    }

    /// The HTTP door reports its own faults from now on.
    pub fn watch_door(&self, door: &Arc<Door>) {
        let _ = self.door.set(Arc::downgrade(door));
    }

    /// Keeps the key file, and with it its lock.
    pub fn hold(&self, file: Option<KeyFile>) {
        *self.key_file.lock().unwrap_or_else(PoisonError::into_inner) = file;
    }

    /// What an operator wants to read at start.
    #[must_use]
    pub fn greeting(&self) -> Vec<String> {
        let places = |list: &[SocketAddr]| {
            let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
            texts.join(", ")
        };
        let mut lines = vec![if self.edge.is_empty() {
            format!(
                "node {} has no device ports (network.edge_ports is off)",
                self.node
            )
        } else {
            format!(
                "node {} serves devices on {}",
                self.node,
                places(&self.edge)
            )
        }];
        if let Some(first) = self.rpc.first() {
            lines.push(format!("health: http://{}/health", dial(*first)));
        }
        if !self.clock.trusted() {
            lines.push("the clock is not set; epochs of tickets are taken as they come".into());
        }
        lines
    }
}

impl NodeView for NodeState {
    fn info(&self) -> NodeInfo {
        let trusted = self.clock.trusted();
        let mut edge_ports: Vec<u16> = self.edge.iter().map(SocketAddr::port).collect();
        edge_ports.dedup();
        NodeInfo {
            node_id: self.node.to_string(),
            name: Some(self.settings.node.name.clone()).filter(|n| !n.is_empty()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.clock.now().since(self.started).as_secs(),
            profile: Some(self.settings.node.profile.name().to_owned()),
            edge_ports,
            peer_port: None,
            public_address: self.settings.network.host.clone(),
            devices: Some(self.server.services.board.devices() as u64),
            peers: None,
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
        if let Some(store) = &self.store {
            let seen = store.health();
            if let Some(error) = seen.written.error {
                degraded(
                    "storage",
                    format!("tickets cannot be stored: {error}"),
                    "free space on the disk or make the data folder writable; the node goes on and tries again",
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
        if let Some(fault) = self
            .door
            .get()
            .and_then(Weak::upgrade)
            .and_then(|d| d.fault())
        {
            degraded(
                "process",
                fault,
                "give the node a folder for its socket (RUNTIME_DIRECTORY or data_dir)",
            );
        }
        if self.edge.is_empty() {
            degraded(
                "network",
                "no device ports are open".into(),
                "set network.edge_ports",
            );
        }
        health
    }

    fn ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}
