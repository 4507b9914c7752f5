//! What `/metrics` tells of the node: a file a subject. The HTTP service adds its
//! own counts.
//!
//! To add one: a line here, a row in docs/rpc.md; a test compares the two, and
//! another one looks whether it moves.

mod chain;
mod network;
mod process;
mod storage;

use super::super::house::House;
use crate::rpc::Exposition;

impl House {
    /// All of it.
    pub(super) fn write_metrics(&self, out: &mut Exposition) {
        self.process_metrics(out);
        self.device_metrics(out);
        self.traffic_metrics(out);
        self.dht_metrics(out);
        self.store_metrics(out);
        self.cache_metrics(out);
        self.chain_metrics(out);
        self.ticket_metrics(out);
        self.reward_metrics(out);
        let (events, listeners) = self.hub.counts();
        out.counter("chr_events_total", "Events that were told.", events);
        out.number(
            "chr_event_listeners",
            "Who listens to events now.",
            Some(listeners as u64),
        );
    }
}
