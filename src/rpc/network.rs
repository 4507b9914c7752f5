//! What `peer_list` and `network_stats` return. As in [`super::view`], every
//! field is always there, `null` where the node does not know; bytes and times are
//! whole numbers, scores go from 0 to 1.

use super::chain::CacheStats;
use super::history::History;
use crate::sorted::{self, Map};
use serde::Serialize;

/// One known node, connected or not: an item of `peer_list`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeerInfo {
    /// Its address, `0x` and 40 lower-case digits.
    pub node_id: String,
    /// Where it was reached last, `ip:port` of its peer port.
    pub address: Option<String>,
    /// Whether a link to it stands.
    pub connected: bool,
    /// Who dialled that link: `out` this node, `in` the other one.
    pub direction: Option<&'static str>,
    /// When it was met first, in seconds since 1970.
    pub first_seen: Option<u64>,
    /// When it answered last.
    pub last_seen: Option<u64>,
    /// Links to it since it is known.
    pub connection_count: u64,
    /// How likely it answers.
    pub reliability_score: Option<f64>,
    /// Round trip in milliseconds, rounded up.
    pub rtt_ms: Option<u64>,
    /// Bytes of ports that came over links to it since the start.
    pub bytes_in: u64,
    /// Bytes of ports that went to it.
    pub bytes_out: u64,
}

/// The result of `network_stats`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NetworkStats {
    /// Devices and peers.
    pub connections: u64,
    /// Sessions of devices.
    pub devices: u64,
    /// Links to nodes; `None` without a peer port.
    pub peers: Option<u64>,
    /// Ports that are open, on sessions of devices.
    pub ports_open: u64,
    /// Payload bytes from devices in the latest second, on average over ten.
    pub bandwidth_in: Option<u64>,
    /// The same towards devices.
    pub bandwidth_out: Option<u64>,
    /// Payload bytes from devices since the start.
    pub bytes_in: u64,
    /// The same towards devices.
    pub bytes_out: u64,
    /// Round trips to those who are connected; `None` while none was measured.
    pub latency_ms: Option<Latency>,
    /// What went wrong since the start, by category.
    pub errors: Map<&'static str, u64>,
    /// Resident memory.
    pub memory_bytes: Option<u64>,
    /// Share of one core in the latest ten seconds.
    pub cpu_percent: Option<f64>,
    /// Answers that were given again.
    pub cache: Option<CacheStats>,
    /// The part in Kademlia; `None` without a peer port.
    pub dht: Option<DhtStats>,
    /// The latest ten minutes.
    pub history: Option<History>,
}

/// Percentiles of round trips in milliseconds, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Half of them take no longer.
    pub p50: u64,
    /// Nine of ten take no longer.
    pub p90: u64,
    /// All but one of a hundred take no longer.
    pub p99: u64,
}

impl Latency {
    /// Of round trips in microseconds, in any order; `None` without any.
    #[must_use]
    pub fn of(mut micros: Vec<u64>) -> Option<Latency> {
        sorted::sort(&mut micros);
        let last = micros.len().checked_sub(1)?;
        let at = |percent: usize| {
            let micros = micros.get(last * percent / 100).copied();
            micros.unwrap_or(0).div_ceil(1000)
        };
        Some(Latency {
            p50: at(50),
            p90: at(90),
            p99: at(99),
        })
    }
}

/// The node's part in Kademlia.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct DhtStats {
    /// Nodes in the routing table.
    pub nodes: u64,
    /// Records kept for others.
    pub values: u64,
    /// Lookups since the start.
    pub lookups: u64,
    /// Share of them that found what they were for; `None` without any.
    pub success_ratio: Option<f64>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn percentiles_of_few_round_trips_are_some_of_them() {
        assert_eq!(Latency::of(Vec::new()), None);
        let one = Latency::of(vec![1500]).unwrap();
        assert_eq!((one.p50, one.p90, one.p99), (2, 2, 2));
        let many = Latency::of((0..=100).rev().map(|n| n * 1000).collect()).unwrap();
        assert_eq!((many.p50, many.p90, many.p99), (50, 90, 99));
    }
}
