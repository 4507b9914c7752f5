//! The result of `node_status`: everything that the page, `chr-node status` and
//! the event `status` show, in one object.
//!
//! It is made of what the other methods return, so a number that is in both is
//! the same, and its lists are bounded: it is made once a second while somebody
//! looks.

use super::chain::ChainInfo;
use super::device::DeviceInfo;
use super::members::{FleetStatus, SessionInfo};
use super::network::{NetworkStats, PeerInfo};
use super::rewards::{RewardStatus, TicketList};
use super::stored::StoreInfo;
use super::view::{Health, HttpsInfo, NodeInfo, NodeView};
use serde::Serialize;
use serde_json::value::RawValue;

/// Items of each list: what fits a screen twice. All are in the list's own method.
pub const LIST_MAX: usize = 50;

/// The node at a moment.
#[derive(Clone, Debug, Serialize)]
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
    /// How the store is doing.
    pub store: StoreInfo,
    /// `fleet_status`.
    pub fleet: FleetStatus,
    /// The chain that is asked; `None` without one.
    pub chain: Option<ChainInfo>,
    /// How HTTPS is served.
    pub https: Option<HttpsInfo>,
    /// The first of `session_list`.
    pub sessions: Vec<SessionInfo>,
    /// The first of `peer_list`: connected ones first.
    pub peers: Vec<PeerInfo>,
    /// What happened last, the newest first.
    pub events: Vec<EventInfo>,
}

/// Something that happened, as `/events` tells it.
#[derive(Clone, Debug, Serialize)]
pub struct EventInfo {
    /// Counts up from 1 since the node started.
    pub id: u64,
    /// What it is about.
    pub topic: &'static str,
    /// When, in seconds since 1970 by the node's clock.
    pub time: u64,
    /// What happened.
    pub data: Box<RawValue>,
}

/// The latest events that are kept.
fn latest<V: NodeView + ?Sized>(view: &V) -> Vec<EventInfo> {
    let recent = view.events().recent();
    let latest = recent.iter().rev().take(LIST_MAX);
    let told = latest.filter_map(|event| {
        Some(EventInfo {
            id: event.id,
            topic: event.topic.word(),
            time: event.time,
            // What is published is JSON.
            data: RawValue::from_string(event.data().to_owned()).ok()?,
        })
    });
    told.collect()
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
        let sessions = view.first_sessions(LIST_MAX);
        Status {
            time: u64::try_from(crate::time::wall().as_millis()).unwrap_or(u64::MAX),
            info,
            health,
            network: view.network(),
            device: view.device(),
            rewards: view.rewards(),
            tickets: view.tickets(),
            store: view.store(),
            fleet: view.fleet(),
            https: view.https(),
            chain: view.chain(),
            sessions,
            peers,
            events: latest(view),
        }
    }
}
