//! Whether devices can come and other nodes answer.

use super::Findings;
use crate::config::value::Serve;
use crate::node::house::House;
use crate::node::network::mapped::trouble;
use crate::parts::PORT_MAPPING;
use crate::reach::Family;
use crate::time::Moment;
use std::time::Duration;

/// A node that starts has asked its seeds twice by then.
const ALONE: Duration = Duration::from_secs(4);

impl House {
    pub(super) fn reach(&self, now: Moment, found: &mut Findings) {
        if self.edge.places.is_empty() {
            found.degraded("no device ports are open".into(), "set network.edge_ports");
        }
        let alone = self.network.standing().alone(now);
        if let Some(alone) = alone.filter(|alone| *alone >= ALONE) {
            if self.network.seeds.are_named() {
                found.degraded(
                    format!("no other node has answered for {} s", alone.as_secs()),
                    "correct network.seeds, or let UDP through to the peer port; devices of this node are served",
                );
            }
        }
        let dht = self.network.dht.get();
        let reached = dht.as_ref().and_then(|dht| dht.reachable());
        if PORT_MAPPING.built && reached != Some(true) && self.settings().network.host.is_none() {
            let [outside, v6] = dht.map_or([None; 2], |dht| dht.places());
            let seen = outside.map(|seen| seen.at.ip().to_canonical());
            // In a small network everybody is an acquaintance, and nobody can tell
            // whether strangers get in; the router says that they do.
            let by_v6 = v6.is_some_and(|seen| seen.confirmed && seen.reachable != Some(false));
            let v4 = self.network.mapped.get(Family::V4);
            if let Some((reason, remedy)) = trouble(&v4, seen).filter(|_| !by_v6) {
                found.degraded(reason, remedy);
            }
        }
        // Behind a NAT that is usual; who promises to serve must be reached.
        let serves = self.settings().network.serve == Serve::Yes;
        if serves && reached == Some(false) {
            found.degraded(
                "strangers cannot reach the peer port, though network.serve says that it serves"
                    .into(),
                "let UDP and TCP through to network.peer_port, or set network.serve = \"auto\"",
            );
        }
    }
}
