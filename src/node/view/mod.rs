//! What the status interfaces see of the node: a file a subject, each with what
//! a [`House`] knows of it, all from memory.

mod chain;
mod config;
mod device;
mod health;
mod history;
mod info;
mod members;
mod metrics;
mod network;
mod rewards;
mod store;

use super::house::House;
use crate::parts::{CHAIN, HISTORY, HTTPS, METRICS, REWARDS};
use crate::rpc::events::Hub;
use crate::rpc::{
    Asked, Calls, ChainInfo, Changed, DeviceInfo, Exposition, FleetStatus, Health, HistoryReply,
    HistorySpan, HttpsInfo, NetworkStats, NodeInfo, NodeView, Params, PeerInfo, RewardStatus,
    RpcFault, SessionInfo, SettingInfo, StoreInfo, TicketList, SESSIONS_MAX,
};
use std::sync::atomic::Ordering;
use std::sync::Arc;

impl NodeView for House {
    fn info(&self) -> NodeInfo {
        self.describe()
    }

    fn health(&self) -> Health {
        self.examine()
    }

    fn ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    fn peers(&self) -> Vec<PeerInfo> {
        self.known_nodes()
    }

    fn network(&self) -> NetworkStats {
        self.traffic()
    }

    fn sessions(&self) -> Vec<SessionInfo> {
        self.device_sessions(SESSIONS_MAX)
    }

    fn first_sessions(&self, most: usize) -> Vec<SessionInfo> {
        self.device_sessions(most)
    }

    fn fleet(&self) -> FleetStatus {
        self.fleet_status()
    }

    fn settings(&self) -> Vec<SettingInfo> {
        self.settings_in_force()
    }

    fn change(&self, values: &[(String, String)], source: &'static str) -> Result<Changed, String> {
        self.change_settings(values, source)
    }

    fn names(&self) -> Vec<String> {
        let mut names = vec![self.node.to_string()];
        names.extend(self.public_address());
        names
    }

    fn sign_reply(&self, digest: &[u8; 32]) -> (String, [u8; 65]) {
        (self.node.to_string(), self.sign(digest).0)
    }

    fn events(&self) -> Arc<Hub> {
        self.hub.clone()
    }

    fn https(&self) -> Option<HttpsInfo> {
        HTTPS.built.then(|| self.https_info()).flatten()
    }

    fn device(&self) -> DeviceInfo {
        self.describe_device()
    }

    fn rewards(&self) -> RewardStatus {
        match REWARDS.built {
            true => self.reward_status(),
            false => RewardStatus {
                notes: vec![REWARDS.absent],
                ..RewardStatus::default()
            },
        }
    }

    fn tickets(&self) -> TicketList {
        self.held_tickets()
    }
    fn store(&self) -> StoreInfo {
        self.stored()
    }

    fn chain(&self) -> Option<ChainInfo> {
        CHAIN.built.then(|| self.chain_info()).flatten()
    }

    fn ask(&self, method: &'static str, params: Params) -> Asked {
        match method {
            "stats_history" if HISTORY.built => self.ask_history(&params),
            _ if CHAIN.built => self.ask_chain(method, &params),
            _ => Box::pin(std::future::ready(Err(RpcFault::unavailable(method)))),
        }
    }

    fn history(&self, span: HistorySpan) -> HistoryReply {
        match HISTORY.built {
            true => self.chart(span),
            false => Box::pin(std::future::ready(Err(HISTORY.absent.to_owned()))),
        }
    }

    fn measure(&self, out: &mut Exposition) {
        if METRICS.built {
            self.write_metrics(out);
        }
    }

    fn calls(&self) -> Arc<Calls> {
        self.calls.clone()
    }
}
