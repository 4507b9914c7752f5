//! Who the node is and where it serves.

use super::super::house::House;
use super::super::runfile::dial;
use crate::rpc::NodeInfo;
use crate::ticket::epoch_of;
use crate::time::Clock;

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
        if let (Some(first), Some(print)) = (self.rpcs.places.first(), self.https.fingerprint()) {
            let first = dial(*first);
            lines.push(format!(
                "https://{first}/ has the certificate with SHA-256 {print}"
            ));
        }
        if !self.clock.trusted() {
            lines.push("the clock is not set; epochs of tickets are taken as they come".into());
        }
        lines
    }

    /// The address that others are told: the operator's, or the one that other nodes see.
    pub(super) fn public_address(&self) -> Option<String> {
        let outside = || Some(self.network.dht.get()?.outside()?.ip().to_string());
        self.settings().network.host.clone().or_else(outside)
    }

    /// What `chr_node_info` returns.
    pub(super) fn describe(&self) -> NodeInfo {
        let trusted = self.clock.trusted();
        let settings = self.settings();
        let links = self.network.links.get();
        NodeInfo {
            node_id: self.node.to_string(),
            name: Some(settings.node.name.clone()).filter(|n| !n.is_empty()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.clock.now().since(self.started).as_secs(),
            profile: Some(settings.node.profile.name().to_owned()),
            edge_ports: self.edge_ports(),
            peer_port: self.network.sockets.port(),
            public_address: self.public_address(),
            devices: Some(self.board.devices() as u64),
            peers: links.map(|links| links.count() as u64),
            epoch: trusted.then(|| epoch_of(self.clock.unix())),
            clock_trusted: Some(trusted),
            health: self.state(),
        }
    }
}
