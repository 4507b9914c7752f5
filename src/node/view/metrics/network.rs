//! Who is connected, what is carried, and the part in Kademlia.

use crate::meter::Counter;
use crate::node::house::House;
use crate::rpc::Exposition;
use crate::session::admission::DENIED;
use crate::sorted;
use crate::time::Clock;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Round trips are told as three of them.
const PERCENTILES: [(&str, usize); 3] = [("50", 50), ("90", 90), ("99", 99)];

impl House {
    pub(super) fn traffic_metrics(&self, out: &mut Exposition) {
        let devices = self.board.devices() as f64;
        let links = self.network.links.get();
        let peers = links.as_ref().map(|links| ("peer", links.count() as f64));
        out.gauges(
            "chr_connections",
            "Sessions of devices and links to other nodes.",
            "kind",
            &mut [("device", devices)].into_iter().chain(peers),
        );
        out.number(
            "chr_connections_limit",
            "Sessions of devices that settings, descriptors and memory allow.",
            Some(self.admission().sessions as u64),
        );
        if let Some(server) = self.server.get() {
            let admission = &server.admission;
            out.number(
                "chr_handshakes_in_progress",
                "Connections of devices before their first ticket.",
                Some(admission.half_open() as u64),
            );
            let tally = &admission.tally;
            let ends = [
                ("established", tally.established.get()),
                ("failed", tally.failed.get()),
            ];
            out.counters(
                "chr_handshakes_total",
                "Connections of devices that were taken, by what became of them.",
                "outcome",
                &mut ends.into_iter(),
            );
            let denied = DENIED
                .into_iter()
                .zip(tally.denied.iter().map(Counter::get));
            out.counters(
                "chr_connections_denied_total",
                "Connections of devices that were not taken.",
                "reason",
                &mut { denied },
            );
            let [node, device, lost] = server.ends.each_ref().map(Counter::get);
            let defect = server.panicked.load(Ordering::Relaxed);
            let ends = [
                ("node", node),
                ("device", device),
                ("lost", lost),
                ("defect", defect),
            ];
            out.counters(
                "chr_sessions_ended_total",
                "Connections of devices that ended, by who ended them.",
                "by",
                &mut ends.into_iter(),
            );
        }
        out.number(
            "chr_ports_open",
            "Ports on sessions of devices, open and opening.",
            Some(self.board.ports() as u64),
        );
        out.counter(
            "chr_ports_requested_total",
            "Ports that devices were asked to open.",
            self.board.opened.load(Ordering::Relaxed),
        );
        let answers = &self.budget.answers;
        out.histogram(
            "chr_port_open_duration_seconds",
            "From the request for a port to the answer of the device that offers it.",
            &answers.opened.read(),
        );
        let failed = [
            ("refused", answers.refused.get()),
            ("no_answer", answers.overdue.get()),
            (
                "turned_away",
                self.board.turned_away.load(Ordering::Relaxed),
            ),
        ];
        out.counters(
            "chr_ports_failed_total",
            "Ports that did not come about: refused by the device, not answered, turned away by this node.",
            "reason",
            &mut failed.into_iter(),
        );
        let bytes = [
            ("in", self.board.bytes_in.load(Ordering::Relaxed)),
            ("out", self.board.bytes_out.load(Ordering::Relaxed)),
        ];
        out.counters(
            "chr_relay_bytes_total",
            "Payload of ports, from devices (in) and to devices (out).",
            "direction",
            &mut bytes.into_iter(),
        );
        out.number(
            "chr_device_lookups",
            "Devices that are looked for at other nodes now.",
            Some(self.board.lookups() as u64),
        );
        let mut trips = self.round_trips();
        if !trips.is_empty() {
            sorted::sort(&mut trips);
            let last = trips.len() - 1;
            out.gauges(
                "chr_round_trip_seconds",
                "Round trips to those who are connected, by percentile.",
                "percentile",
                &mut PERCENTILES.into_iter().map(|(name, percent)| {
                    let trip = trips.get(last * percent / 100);
                    (name, trip.map_or(0.0, Duration::as_secs_f64))
                }),
            );
        }
    }

    pub(super) fn dht_metrics(&self, out: &mut Exposition) {
        let Some(dht) = self.network.dht.get() else {
            return;
        };
        let stats = dht.stats();
        let alone = self.network.standing().alone(self.clock.now());
        out.gauge(
            "chr_dht_joined",
            "1 while other nodes answer.",
            Some(if alone.is_none() { 1.0 } else { 0.0 }),
        );
        let reachable = dht.reachable();
        out.gauge(
            "chr_dht_reachable",
            "1 if strangers can reach the peer port; left out while that is not known.",
            reachable.map(|reached| if reached { 1.0 } else { 0.0 }),
        );
        out.number(
            "chr_dht_nodes",
            "Nodes in the routing table.",
            Some(stats.nodes as u64),
        );
        out.number(
            "chr_dht_records",
            "Records that are kept for others.",
            Some(stats.values as u64),
        );
        out.number(
            "chr_dht_record_bytes",
            "What they take.",
            Some(stats.value_bytes as u64),
        );
        let failed = stats.lookups.saturating_sub(stats.successes);
        let lookups = [("success", stats.successes), ("failure", failed)];
        out.counters(
            "chr_dht_lookups_total",
            "Searches and stores that are over.",
            "result",
            &mut lookups.into_iter(),
        );
        let packets = [("in", stats.packets_in), ("out", stats.packets_out)];
        out.counters(
            "chr_dht_packets_total",
            "Datagrams.",
            "direction",
            &mut packets.into_iter(),
        );
        let bytes = [("in", stats.bytes_in), ("out", stats.bytes_out)];
        out.counters(
            "chr_dht_bytes_total",
            "Payload of datagrams.",
            "direction",
            &mut bytes.into_iter(),
        );
        let lost = [
            ("dropped", stats.dropped),
            ("forged", stats.forged),
            ("unsent", dht.unsent()),
        ];
        out.counters(
            "chr_dht_packets_lost_total",
            "Datagrams that were dropped unread, forged, or not taken by the system.",
            "reason",
            &mut lost.into_iter(),
        );
        out.counter(
            "chr_dht_requests_total",
            "Requests to other nodes, repeated ones included.",
            stats.requests,
        );
        out.counter(
            "chr_dht_timeouts_total",
            "Requests that nobody answered in time.",
            stats.timeouts,
        );
        out.counter(
            "chr_dht_served_total",
            "Requests of other nodes that were served.",
            stats.served,
        );
        let work = [("checked", stats.checked), ("made", stats.signed)];
        out.counters(
            "chr_dht_signatures_total",
            "Signatures of packets.",
            "work",
            &mut work.into_iter(),
        );
        let names = PERCENTILES.iter().map(|(name, _)| *name);
        out.gauges(
            "chr_dht_round_trip_seconds",
            "Round trips of the latest answers, by percentile.",
            "percentile",
            &mut names.zip(stats.rtt.iter().map(Duration::as_secs_f64)),
        );
    }
}
