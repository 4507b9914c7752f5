//! What is wrong, and what to do.

use super::super::house::{House, StoreFault};
use super::super::network::seeds::PATIENCE;
use crate::rpc::{Health, HealthReason, HealthState};
use crate::time::Clock;
use std::sync::atomic::Ordering;
use std::sync::PoisonError;
use std::time::Duration;

/// A commit takes some ten milliseconds, on a bad SD card a second or two.
const SLOW: Duration = Duration::from_secs(10);
/// How long a service that was restarted is worth a remark.
const RECENT: Duration = Duration::from_secs(600);

impl House {
    /// What `/health` returns.
    pub(super) fn examine(&self) -> Health {
        let mut health = Health::ok();
        let mut degraded = |layer: &str, reason: String, remedy: &str| {
            health.add(HealthReason {
                layer: layer.to_owned(),
                state: HealthState::Degraded,
                reason,
                remedy: remedy.to_owned(),
            });
        };
        self.storage_troubles(&mut degraded);
        let record = self.record.get();
        let record = record.map(|r| r.lock().unwrap_or_else(PoisonError::into_inner).clone());
        if let Some((service, why, at)) = record.and_then(|record| record.latest) {
            if self.clock.now().since(at) < RECENT {
                degraded(
                    "process",
                    format!("service {service} failed and was started again: {why}"),
                    "nothing, if it stays at that; else report it with the log",
                );
            }
        }
        let server = self.server.get();
        let panicked = server.map_or(0, |s| s.panicked.load(Ordering::Relaxed));
        if panicked > 0 {
            degraded(
                "process",
                format!("{panicked} sessions were ended by a defect of this program"),
                "report it with the log; everybody else is served",
            );
        }
        if let Some(fault) = self.door.get().and_then(|door| door.fault()) {
            degraded(
                "process",
                fault,
                "give the node a folder for its socket (RUNTIME_DIRECTORY or data_dir)",
            );
        }
        self.network_troubles(&mut degraded);
        health
    }

    fn network_troubles(&self, degraded: &mut impl FnMut(&str, String, &str)) {
        if self.edge.places.is_empty() {
            degraded(
                "network",
                "no device ports are open".into(),
                "set network.edge_ports",
            );
        }
        let alone = self.network.standing().alone(self.clock.now());
        if let Some(alone) = alone.filter(|alone| *alone >= PATIENCE) {
            if self.network.seeds.are_named() {
                degraded(
                    "network",
                    format!("no other node has answered for {} s", alone.as_secs()),
                    "correct network.seeds, or let UDP through to the peer port; devices of this node are served",
                );
            }
        }
    }

    fn storage_troubles(&self, degraded: &mut impl FnMut(&str, String, &str)) {
        match self.store_fault.get() {
            Some(StoreFault::Absent(error)) => degraded(
                "storage",
                format!("there is no store, nothing is kept: {error}"),
                "the node relays without it and tries again every minute",
            ),
            Some(StoreFault::Renewed(recovery)) => degraded(
                "storage",
                recovery.to_string(),
                "check the disk; this remark ends with the next start",
            ),
            None => {}
        }
        let Some(store) = self.store.get() else {
            return;
        };
        let seen = store.health();
        if let Some(error) = &seen.written.error {
            degraded(
                "storage",
                format!("tickets cannot be stored: {error}"),
                "free space on the disk or make the data folder writable; the node goes on and tries again",
            );
        }
        let waiting = seen.written.waiting();
        if waiting >= SLOW {
            degraded(
                "storage",
                format!(
                    "the disk has not finished a write for {} s",
                    waiting.as_secs()
                ),
                "check the disk; the node relays on, and tickets are kept when it answers",
            );
        }
        if seen.bad_rows > 0 {
            degraded(
                "storage",
                format!("{} damaged rows were skipped", seen.bad_rows),
                "check the disk; the rows are lost, everything else is in use",
            );
        }
    }
}
