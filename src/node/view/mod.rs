//! What the status interfaces see of the node: a file a subject, each with what
//! a [`House`] knows of it, all from memory.

mod health;
mod history;
mod info;
mod network;
mod store;

use super::house::House;
use crate::rpc::{
    Health, HistoryReply, HistorySpan, NetworkStats, NodeInfo, NodeView, PeerInfo, StoreInfo,
};
use std::sync::atomic::Ordering;

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

    fn store(&self) -> StoreInfo {
        self.stored()
    }

    fn history(&self, span: HistorySpan) -> HistoryReply {
        self.chart(span)
    }
}
