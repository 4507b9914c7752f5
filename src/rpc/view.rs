//! What the HTTP service asks of the node, and the shapes it hands out.
//!
//! The field names are a contract with scripts and dashboards: every field is
//! always there, `null` where the node does not know.

use super::calls::Calls;
use super::chain::ChainInfo;
use super::device::DeviceInfo;
use super::events::Hub;
use super::fault::{Asked, RpcFault};
use super::history::{HistoryReply, HistorySpan};
use super::members::{FleetStatus, SessionInfo};
use super::methods::Params;
use super::metrics::Exposition;
use super::network::{NetworkStats, PeerInfo};
use super::rewards::{RewardStatus, TicketList};
use super::settings::{Changed, SettingInfo};
use super::status::Status;
use super::stored::StoreInfo;
use serde::Serialize;
use std::sync::Arc;

/// The node as the HTTP service sees it. Called on the executor, so it must
/// answer from memory: no disk, no network, no long locks.
pub trait NodeView: Send + Sync {
    /// What `chr_node_info` returns.
    fn info(&self) -> NodeInfo;
    /// What `/health` returns.
    fn health(&self) -> Health;
    /// Whether the node takes traffic: its listeners stand and it is not stopping.
    fn ready(&self) -> bool;
    /// What `peer_list` returns: every known node, connected ones first.
    fn peers(&self) -> Vec<PeerInfo>;
    /// What `network_stats` returns.
    fn network(&self) -> NetworkStats;
    /// What `session_list` returns: at most [`super::members::SESSIONS_MAX`] device sessions.
    fn sessions(&self) -> Vec<SessionInfo>;
    /// The first of [`NodeView::sessions`].
    fn first_sessions(&self, most: usize) -> Vec<SessionInfo> {
        let mut sessions = self.sessions();
        sessions.truncate(most);
        sessions
    }
    /// What `fleet_status` returns.
    fn fleet(&self) -> FleetStatus;
    /// What `config_show` returns: every setting.
    fn settings(&self) -> Vec<SettingInfo>;
    /// Puts other values in force, all or none. `source` is who asks for it, such as `POST /config`.
    ///
    /// # Errors
    /// Which value cannot be, and what is allowed, in one line.
    fn change(&self, values: &[(String, String)], source: &'static str) -> Result<Changed, String>;
    /// What is no secret of this node itself (its address, where it is reached) and is never shortened.
    fn names(&self) -> Vec<String>;
    /// The address of the node and its signature of a digest: 65 bytes, the recovery id first.
    fn sign_reply(&self, digest: &[u8; 32]) -> (String, [u8; 65]);
    /// Begins to answer a method that needs the chain or the disk. The method is one of the table,
    /// the parameters were checked against its row.
    fn ask(&self, method: &'static str, params: Params) -> Asked {
        let _ = params;
        let text = format!("{method} is not answered by this node");
        Box::pin(std::future::ready(Err(RpcFault::unavailable(text))))
    }
    /// Where the node tells what happens.
    fn events(&self) -> Arc<Hub>;
    /// How HTTPS is served; `None`: not at all.
    fn https(&self) -> Option<HttpsInfo> {
        None
    }
    /// The device and what the node takes of it.
    fn device(&self) -> DeviceInfo;
    /// What `reward_status` returns.
    fn rewards(&self) -> RewardStatus;
    /// What `ticket_list` returns.
    fn tickets(&self) -> TicketList;
    /// Writes what `/metrics` tells of the node.
    fn measure(&self, out: &mut Exposition) {
        let _ = out;
    }
    /// Where requests are counted.
    fn calls(&self) -> Arc<Calls> {
        Arc::default()
    }
    /// What `node_status` returns: all of it.
    fn status(&self) -> Status {
        Status::of(self)
    }
    /// How the store is doing.
    fn store(&self) -> StoreInfo;
    /// How the node stands with the chain that it asks; `None` if it asks none.
    fn chain(&self) -> Option<ChainInfo> {
        None
    }
    /// What `stats_history` returns; it may have to be read from the disk.
    fn history(&self, span: HistorySpan) -> HistoryReply;
}

/// The result of `chr_node_info`. `None` is written as `null`: not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeInfo {
    /// The node's address, `0x` and 40 lower-case hexadecimal digits.
    pub node_id: String,
    /// The operator's name for this node.
    pub name: Option<String>,
    /// Version of the program.
    pub version: String,
    /// Seconds since the node started.
    pub uptime_seconds: u64,
    /// The profile in force, such as `router`.
    pub profile: Option<String>,
    /// The ports on which devices are served.
    pub edge_ports: Vec<u16>,
    /// The port for other nodes.
    pub peer_port: Option<u16>,
    /// The address that others are told.
    pub public_address: Option<String>,
    /// Device sessions now.
    pub devices: Option<u64>,
    /// Peer links now.
    pub peers: Option<u64>,
    /// The ticket epoch by the node's clock.
    pub epoch: Option<u64>,
    /// Whether the wall clock can be believed.
    pub clock_trusted: Option<bool>,
    /// The state that `/health` explains.
    pub health: HealthState,
}

/// How the node is, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// Everything works.
    Ok,
    /// It relays, but something is missing.
    Degraded,
    /// It does not do its job.
    Failing,
}

impl HealthState {
    /// Its word in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            HealthState::Ok => "ok",
            HealthState::Degraded => "degraded",
            HealthState::Failing => "failing",
        }
    }
}

/// How HTTPS is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpsInfo {
    /// Where, `ip:port`.
    pub address: String,
    /// SHA-256 of the certificate in force, in pairs of upper-case digits.
    pub fingerprint: Option<String>,
    /// Whether the node has signed it itself.
    pub self_signed: bool,
    /// Why the files that were named are not in force.
    pub fault: Option<String>,
}

/// The answer of `/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The worst of the reasons' states, `ok` without any.
    pub status: HealthState,
    /// The node's parts, always all five and in this order: process, network,
    /// storage, performance, integration.
    pub layers: Vec<HealthLayer>,
    /// What is wrong, and what to do.
    pub reasons: Vec<HealthReason>,
}

/// A part of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthLayer {
    /// Its name: `process`, `network`, `storage`, `performance` or `integration`.
    pub layer: &'static str,
    /// The worst of its reasons' states.
    pub state: HealthState,
    /// Since when it is in that state, in seconds since 1970; `None` while the
    /// clock is not trusted.
    pub since: Option<u64>,
    /// How long it is in that state, in seconds, by a clock that nobody sets.
    pub seconds: u64,
    /// The worst thing that is wrong with it.
    pub reason: Option<String>,
    /// What to do about that.
    pub remedy: Option<String>,
}

impl Health {
    /// Nothing is wrong.
    #[must_use]
    pub fn ok() -> Health {
        Health {
            status: HealthState::Ok,
            layers: Vec::new(),
            reasons: Vec::new(),
        }
    }

    /// Adds a reason and lets the status follow.
    pub fn add(&mut self, reason: HealthReason) {
        self.status = self.status.max(reason.state);
        self.reasons.push(reason);
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthReason {
    /// The layer concerned, such as `storage` or `rpc`.
    pub layer: String,
    /// How bad it is.
    pub state: HealthState,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

#[cfg(test)]
pub(super) mod fake {
    #![allow(clippy::panic)]
    use super::*;
    use crate::rpc::History;

    /// A node that knows as little as a node can.
    pub struct Fake;

    impl NodeView for Fake {
        fn info(&self) -> NodeInfo {
            NodeInfo {
                node_id: "0x00".to_owned(),
                name: None,
                version: "0.1.0".to_owned(),
                uptime_seconds: 5,
                profile: None,
                edge_ports: vec![41046],
                peer_port: None,
                public_address: None,
                devices: Some(0),
                peers: None,
                epoch: None,
                clock_trusted: None,
                health: HealthState::Ok,
            }
        }
        fn health(&self) -> Health {
            Health::ok()
        }
        fn ready(&self) -> bool {
            true
        }
        fn peers(&self) -> Vec<PeerInfo> {
            vec![PeerInfo {
                node_id: "0x01".to_owned(),
                address: None,
                connected: false,
                direction: None,
                first_seen: None,
                last_seen: None,
                connection_count: 0,
                reliability_score: None,
                rtt_ms: None,
                bytes_in: 0,
                bytes_out: 0,
            }]
        }
        fn network(&self) -> NetworkStats {
            NetworkStats::default()
        }
        fn sessions(&self) -> Vec<SessionInfo> {
            let session = SessionInfo {
                device: format!("0x{}", "ab".repeat(20)),
                address: Some("192.0.2.17".to_owned()),
                since: None,
                ports: 0,
                bytes_in: 0,
                bytes_out: 0,
                rtt_ms: None,
                agent: None,
            };
            vec![session; super::super::members::SESSIONS_MAX]
        }
        fn fleet(&self) -> FleetStatus {
            FleetStatus::default()
        }
        fn settings(&self) -> Vec<SettingInfo> {
            Vec::new()
        }
        fn change(&self, _: &[(String, String)], _: &'static str) -> Result<Changed, String> {
            Err("nothing can be changed".to_owned())
        }
        fn names(&self) -> Vec<String> {
            vec!["0x00".to_owned()]
        }
        fn sign_reply(&self, _: &[u8; 32]) -> (String, [u8; 65]) {
            ("0x00".to_owned(), [0; 65])
        }
        fn events(&self) -> Arc<Hub> {
            crate::rpc::events::testing::hub()
        }
        fn device(&self) -> DeviceInfo {
            DeviceInfo::default()
        }
        fn rewards(&self) -> RewardStatus {
            RewardStatus::default()
        }
        fn tickets(&self) -> TicketList {
            TicketList::default()
        }
        fn store(&self) -> StoreInfo {
            StoreInfo::default()
        }
        fn history(&self, span: HistorySpan) -> HistoryReply {
            let (step_seconds, _) = span.steps();
            let history = History {
                step_seconds,
                ..History::default()
            };
            Box::pin(std::future::ready(Ok(history)))
        }
    }

    /// A node with a defect.
    pub struct Broken;

    impl NodeView for Broken {
        fn info(&self) -> NodeInfo {
            panic!("a defect, on purpose")
        }
        fn health(&self) -> Health {
            Health::ok()
        }
        fn ready(&self) -> bool {
            false
        }
        fn peers(&self) -> Vec<PeerInfo> {
            Vec::new()
        }
        fn network(&self) -> NetworkStats {
            NetworkStats::default()
        }
        fn sessions(&self) -> Vec<SessionInfo> {
            Vec::new()
        }
        fn fleet(&self) -> FleetStatus {
            FleetStatus::default()
        }
        fn settings(&self) -> Vec<SettingInfo> {
            Vec::new()
        }
        fn change(&self, _: &[(String, String)], _: &'static str) -> Result<Changed, String> {
            Err("nothing can be changed".to_owned())
        }
        fn names(&self) -> Vec<String> {
            vec!["0x00".to_owned()]
        }
        fn sign_reply(&self, _: &[u8; 32]) -> (String, [u8; 65]) {
            ("0x00".to_owned(), [0; 65])
        }
        fn events(&self) -> Arc<Hub> {
            crate::rpc::events::testing::hub()
        }
        fn device(&self) -> DeviceInfo {
            DeviceInfo::default()
        }
        fn rewards(&self) -> RewardStatus {
            RewardStatus::default()
        }
        fn tickets(&self) -> TicketList {
            TicketList::default()
        }
        fn store(&self) -> StoreInfo {
            StoreInfo::default()
        }
        fn history(&self, _: HistorySpan) -> HistoryReply {
            Box::pin(std::future::ready(Err("there is no store".to_owned())))
        }
    }
}
