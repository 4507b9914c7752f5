//! Who is connected, and who belongs to the fleet.

use super::super::house::House;
use crate::rpc::{FleetNode, FleetStatus, SessionInfo, SESSIONS_MAX};
use std::time::Duration;

/// Milliseconds, rounded up, so that no round trip that was measured is 0.
fn millis(rtt: Duration) -> u64 {
    u64::try_from(rtt.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

impl House {
    /// What `session_list` returns.
    pub(super) fn device_sessions(&self) -> Vec<SessionInfo> {
        let links = self.board.links();
        let told = links.iter().take(SESSIONS_MAX).map(|link| SessionInfo {
            device: link.remote().to_string(),
            address: None,
            since: None,
            ports: link.port_count() as u64,
            bytes_in: 0,
            bytes_out: 0,
            rtt_ms: Some(link.rtt()).filter(|rtt| !rtt.is_zero()).map(millis),
            agent: None,
        });
        told.collect()
    }

    /// What `fleet_status` returns.
    pub(super) fn fleet_status(&self) -> FleetStatus {
        let settings = self.settings();
        let links = self.network.links.get().map(|links| links.list());
        let links = links.unwrap_or_default();
        let nodes = settings.fleet.nodes.iter().map(|node| {
            let mut links = links.iter();
            let link = links.find(|link| Some(link.id.to_string()) == node.place.address);
            FleetNode {
                name: node.name.clone(),
                address: node.place.to_string(),
                reachable: link.is_some(),
                rtt_ms: link.and_then(|link| link.rtt).map(millis),
                last_ok: None,
                error: None,
            }
        });
        FleetStatus {
            nodes: nodes.collect(),
            fleet_contract: None,
            allowlist: settings.security.fleet_allowlist.clone(),
        }
    }
}
