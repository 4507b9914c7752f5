//! Who is connected, and who belongs to the fleet.

use super::super::house::House;
use crate::identity::Address;
use crate::ports::Link;
use crate::rpc::{FleetNode, FleetStatus, SessionInfo};
use crate::time::Clock;
use std::time::Duration;

/// Milliseconds, rounded up, so that no round trip that was measured is 0.
fn millis(rtt: Duration) -> u64 {
    u64::try_from(rtt.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

impl House {
    /// What `session_list` returns, at most so many.
    pub(super) fn device_sessions(&self, most: usize) -> Vec<SessionInfo> {
        let mut links = self.board.links();
        links.truncate(most);
        links
            .iter()
            .map(|link| session(link, &*self.clock))
            .collect()
    }

    /// What `fleet_status` returns.
    pub(super) fn fleet_status(&self) -> FleetStatus {
        let settings = self.settings();
        let links = self.network.links.get().map(|links| links.list());
        let links = links.unwrap_or_default();
        let nodes = settings.fleet.nodes.iter().map(|node| {
            let id: Option<Address> = node.place.address.as_ref().and_then(|id| id.parse().ok());
            let link = links.iter().find(|link| Some(link.id) == id);
            let news = id.map(|id| self.network.fleet.of(&id)).unwrap_or_default();
            let now = self.clock.trusted().then(|| self.clock.unix());
            FleetNode {
                name: node.name.clone(),
                address: node.place.to_string(),
                reachable: link.is_some(),
                rtt_ms: link.and_then(|link| link.rtt).map(millis),
                last_ok: link.and(now).or(news.last_ok),
                error: news.error.filter(|_| link.is_none()),
            }
        });
        FleetStatus {
            nodes: nodes.collect(),
            fleet_contract: None,
            allowlist: settings.security.fleet_allowlist.clone(),
        }
    }
}

fn session(link: &Link, clock: &impl Clock) -> SessionInfo {
    let guest = link.guest();
    let (bytes_in, bytes_out) = link.payload();
    SessionInfo {
        device: link.remote().to_string(),
        address: guest.map(|guest| guest.from.to_canonical().to_string()),
        since: guest.and_then(|guest| clock.date(guest.since)),
        ports: link.port_count() as u64,
        bytes_in,
        bytes_out,
        rtt_ms: Some(link.rtt()).filter(|rtt| !rtt.is_zero()).map(millis),
        agent: guest.map(|guest| guest.agent.to_string()),
    }
}
