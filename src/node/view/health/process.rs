//! Whether all services run.

use super::Findings;
use crate::node::house::House;
use crate::node::watch::Notes;
use crate::parts::HTTPS;
use crate::time::Moment;
use std::sync::atomic::Ordering;
use std::sync::PoisonError;
use std::time::Duration;

/// How long what failed and was mended is worth a remark: two looks of a monitor
/// that comes twice a minute. The log and the metrics have it for longer.
const RECENT: Duration = Duration::from_secs(60);

/// Services without which no device is served.
const VITAL: [&str; 3] = ["store", "tickets", "edge"];

impl House {
    pub(super) fn process(&self, notes: &mut Notes, now: Moment, found: &mut Findings) {
        let record = self.record.get();
        let record = record.map(|r| r.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let record = record.unwrap_or_default();
        if let Some(service) = record.down {
            let remedy =
                "it is started again; if it stays away, restart the node and report the log";
            let reason = format!("service {service} does not run");
            match VITAL.contains(&service) {
                true => found.failing(reason, remedy),
                false => found.degraded(reason, remedy),
            }
        }
        if let Some((service, why, at)) = record.latest {
            if now.since(at) < RECENT {
                found.degraded(
                    format!("service {service} failed and was started again: {why}"),
                    "nothing, if it stays at that; else report it with the log",
                );
            }
        }
        let server = self.server.get();
        let panicked = server.map_or(0, |s| s.panicked.load(Ordering::Relaxed));
        if panicked > notes.panicked.0 {
            notes.panicked.1 = Some(now);
        }
        notes.panicked.0 = panicked;
        if notes.panicked.1.is_some_and(|at| now.since(at) < RECENT) {
            found.degraded(
                format!("{panicked} sessions were ended by a defect of this program"),
                "report it with the log; everybody else is served",
            );
        }
        if let Some(fault) = self.configuration.token_fault() {
            found.degraded(
                fault,
                "mend or remove that file and send SIGHUP; until then settings cannot be changed by calls",
            );
        }
        if let Some(fault) = self.https.fault().filter(|_| HTTPS.built) {
            found.degraded(
                format!("HTTPS: {fault}"),
                "mend the files; they are read again within ten seconds, or at once at SIGHUP",
            );
        }
        if let Some(fault) = self.door.get().and_then(|door| door.fault()) {
            found.degraded(
                fault,
                "give the node a folder for its socket (RUNTIME_DIRECTORY or data_dir)",
            );
        }
    }
}
