//! What is carried, and who else is there.

use super::super::house::House;
use super::super::network::peers::PEERS_MAX;
use crate::meter::Counter;
use crate::parts::HISTORY;
use crate::platform::memory;
use crate::rpc::{DhtStats, HistorySpan, Latency, NetworkStats, PeerInfo};
use crate::sorted::Map;
use std::sync::atomic::Ordering;
use std::sync::PoisonError;
use std::time::Duration;

impl House {
    /// What `peer_list` returns.
    pub(super) fn known_nodes(&self) -> Vec<PeerInfo> {
        if let Some(dht) = self.network.dht.get() {
            self.network.peers.merge(&dht.contacts(PEERS_MAX));
        }
        let links = self.network.links.get();
        let links = links.map_or_else(Vec::new, |links| links.list());
        self.network.peers.list(&links)
    }

    /// What `network_stats` returns.
    pub(super) fn traffic(&self) -> NetworkStats {
        let devices = self.board.devices() as u64;
        let peers = self.network.links.get();
        let peers = peers.map(|links| links.count() as u64);
        let rate = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = rate.latest();
        let dht = self.network.dht.get().map(|dht| dht.stats());
        NetworkStats {
            connections: devices + peers.unwrap_or(0),
            devices,
            peers,
            ports_open: self.board.ports() as u64,
            bandwidth_in: rate.map(|rate| rate.bytes_in),
            bandwidth_out: rate.map(|rate| rate.bytes_out),
            bytes_in: self.board.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.board.bytes_out.load(Ordering::Relaxed),
            latency_ms: self.latency(),
            errors: self.errors(),
            memory_bytes: memory::resident(),
            cpu_percent: rate.map(|rate| rate.cpu),
            cache: Some(self.cache_stats()),
            dht: dht.map(|stats| DhtStats {
                nodes: stats.nodes as u64,
                values: stats.values as u64,
                lookups: stats.lookups,
                success_ratio: (stats.lookups > 0).then(|| {
                    let ratio = stats.successes as f64 / stats.lookups as f64;
                    (ratio * 1000.0).round() / 1000.0
                }),
            }),
            history: HISTORY.built.then(|| self.latest(HistorySpan::TenMinutes)),
        }
    }

    /// Round trips to those who are connected, as far as they were measured.
    pub(super) fn round_trips(&self) -> Vec<Duration> {
        let links = self.network.links.get().map(|links| links.list());
        let theirs = links.iter().flatten().filter_map(|link| link.rtt);
        let ours = self.board.links();
        let ours = ours.iter().map(|link| link.rtt());
        let measured = |rtt: &Duration| *rtt > Duration::ZERO;
        theirs.chain(ours.filter(measured)).collect()
    }

    /// Percentiles of those.
    pub(in crate::node) fn latency(&self) -> Option<Latency> {
        let micros = |rtt: Duration| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
        Latency::of(self.round_trips().into_iter().map(micros).collect())
    }

    /// What went wrong since the start, by category.
    pub(in crate::node) fn errors(&self) -> Map<&'static str, u64> {
        let mut errors = Map::new();
        let record = self.record.get();
        let failures = record.map(|r| r.lock().unwrap_or_else(PoisonError::into_inner).failures);
        errors.insert("services_restarted", failures.unwrap_or(0));
        if let Some(server) = self.server.get() {
            let denied = server.denied.load(Ordering::Relaxed);
            errors.insert("connections_denied", denied);
            let panicked = server.panicked.load(Ordering::Relaxed);
            errors.insert("sessions_panicked", panicked);
            let failed = server.admission.tally.failed.get();
            errors.insert("handshakes_failed", failed);
        }
        if let Some(book) = self.book.get() {
            let refused = book.judged().refused.iter().map(Counter::get).sum();
            errors.insert("tickets_refused", refused);
        }
        if let Some(store) = self.store.get() {
            errors.insert("store_failures", store.health().written.failures);
        }
        let answers = &self.budget.answers;
        errors.insert("ports_refused", answers.refused.get());
        errors.insert("ports_no_answer", answers.overdue.get());
        errors.insert("http_refusals", self.calls.refusals());
        if let Some(dht) = self.network.dht.get() {
            let stats = dht.stats();
            let dials = self.network.failed_dials.load(Ordering::Relaxed);
            errors.insert("peer_dials_failed", dials);
            errors.insert("dht_timeouts", stats.timeouts);
            errors.insert("dht_packets_dropped", stats.dropped);
            errors.insert("dht_packets_forged", stats.forged);
            errors.insert("dht_packets_unsent", dht.unsent());
        }
        errors
    }
}
