//! The result of `node_status`: everything that the page, `chr-node status` and
//! the event `status` show, in one object.
//!
//! It is made of what the other methods return, so a number that is in both is
//! the same, and its lists are bounded: it is made once a second while somebody
//! looks.

use super::device::DeviceInfo;
use super::network::{NetworkStats, PeerInfo};
use super::rewards::{RewardStatus, TicketList};
use super::view::{Health, NodeInfo, NodeView};
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

/// Items of each list: what fits a screen twice. All are in the list's own method.
pub const LIST_MAX: usize = 50;

/// The node at a moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Milliseconds since 1970 by the device's clock, right or wrong.
    pub time: u64,
    /// `chr_node_info`.
    pub info: NodeInfo,
    /// `/health`.
    pub health: Health,
    /// `network_stats`.
    pub network: NetworkStats,
    /// The device.
    pub device: DeviceInfo,
    /// `reward_status`.
    pub rewards: RewardStatus,
    /// `ticket_list`.
    pub tickets: TicketList,
    /// The first of `peer_list`: connected ones first.
    pub peers: Vec<PeerInfo>,
}

impl Status {
    /// Asks the node once for each part.
    pub fn of<V: NodeView + ?Sized>(view: &V) -> Status {
        let health = view.health();
        let mut info = view.info();
        // Both are of the same moment.
        info.health = health.status;
        let mut peers = view.peers();
        peers.truncate(LIST_MAX);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Status {
            time: since.map_or(0, |t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
            info,
            health,
            network: view.network(),
            device: view.device(),
            rewards: view.rewards(),
            tickets: view.tickets(),
            peers,
        }
    }
}
