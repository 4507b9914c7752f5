//! What the status interfaces see of the node: a file a subject, each with what
//! a [`House`] knows of it, all from memory.

mod device;
mod health;
mod info;
mod network;
mod rewards;

use super::house::House;
use crate::rpc::events::Hub;
use crate::rpc::{
    DeviceInfo, Health, NetworkStats, NodeInfo, NodeView, PeerInfo, RewardStatus, TicketList,
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

    fn events(&self) -> Arc<Hub> {
        self.hub.clone()
    }
    fn device(&self) -> DeviceInfo {
        self.surroundings()
    }

    fn rewards(&self) -> RewardStatus {
        self.earnings()
    }

    fn tickets(&self) -> TicketList {
        self.held_tickets()
    }
}
