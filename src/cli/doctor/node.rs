//! The node that runs with these settings, and what it knows.

use crate::cli::rpc::Endpoint;
use crate::cli::told::{list, said};
use crate::config::Settings;
use crate::platform::checks::ports::Own;
use crate::platform::checks::{within, Finding, Report, State};
use crate::store::glance;
use serde_json::Value;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// What to do where the node does not answer.
const ASK: &str = "look at its log, and start it again";

/// What there is besides the settings.
#[derive(Clone, Debug, Default)]
pub(super) struct Around {
    /// This user may not look whether one runs.
    hidden: bool,
    /// The node's process, if one runs.
    pub(super) own: Option<Own>,
    /// The time that the store remembers, in unix seconds.
    pub(super) floor: Option<u64>,
    /// Where it answers.
    endpoint: Option<Endpoint>,
    /// What it says of itself (`chr_node_info`).
    info: Option<Value>,
    /// How it is (`/health`), or why that is not known.
    health: Option<Result<Value, String>>,
}

/// Looks for a node, and asks it. Each takes `most` at the most.
pub(super) fn find(settings: &Settings, most: Duration) -> Around {
    let storage = &settings.storage;
    let (data_dir, store) = (storage.data_dir.clone(), storage.store());
    let found = within(most, move || {
        let seen = glance::glance(&store).ok().flatten();
        let mut around = run_file(Path::new(super::plan::ROOT), &data_dir);
        around.floor = seen.and_then(|seen| seen.floor);
        around
    });
    // A disk that does not answer is told by the folder's check.
    let mut around = found.unwrap_or_default();
    if let Some(endpoint) = around.endpoint.clone().filter(|_| around.own.is_some()) {
        let asked = within(most, move || {
            let info = endpoint.call("chr_node_info").ok();
            let health = endpoint.health().map_err(|failure| failure.to_string());
            (info, health)
        });
        let (info, health) = asked.unwrap_or_else(|| {
            let late = format!("it has not answered within {} ms", most.as_millis());
            (None, Err(late))
        });
        (around.info, around.health) = (info, Some(health));
    }
    around
}

/// What `run.json` says, if its process lives.
fn run_file(root: &Path, data_dir: &Path) -> Around {
    let read = fs::read_to_string(data_dir.join("run.json"));
    let hidden = (read.as_ref()).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied);
    let text = read.unwrap_or_default();
    let run: Value = serde_json::from_str(&text).unwrap_or_default();
    let pid = run.get("pid").and_then(Value::as_u64);
    let pid = pid.and_then(|pid| u32::try_from(pid).ok());
    // After a power cut the number may be another program's.
    let Some(pid) = pid.filter(|pid| is_ours(root, *pid)) else {
        return Around {
            hidden,
            ..Around::default()
        };
    };
    let edge = list(&run, "edge").iter();
    let others = ["peer", "rpc", "rpcs"].map(|name| run.get(name));
    let texts = edge.chain(others.into_iter().flatten());
    let places = texts.filter_map(|place| place.as_str()?.parse::<SocketAddr>().ok());
    Around {
        own: Some(Own {
            pid,
            places: places.collect(),
        }),
        endpoint: said(&run, "rpc").and_then(|place| Endpoint::parse(&place).ok()),
        ..Around::default()
    }
}

/// Whether a process is a chr-node, under the name of this program at least.
fn is_ours(root: &Path, pid: u32) -> bool {
    let name = |process: &str| fs::read_to_string(root.join("proc").join(process).join("comm"));
    match name(&pid.to_string()) {
        Ok(theirs) => {
            theirs.starts_with("chr-node") || name("self").is_ok_and(|ours| ours == theirs)
        }
        Err(_) => false,
    }
}

impl Around {
    /// Whether the node believes the clock.
    pub(super) fn trusted(&self) -> Option<bool> {
        self.info.as_ref()?.get("clock_trusted")?.as_bool()
    }

    /// Whether it is well, and of this version.
    pub(super) fn node(&self, root: &Path) -> Vec<Finding> {
        let mut report = Report::new("node");
        let Some(own) = &self.own else {
            let none = "none runs in the data folder";
            let hidden = "not known: this user may not look into the data folder";
            report.fact(&if self.hidden { hidden } else { none });
            return report.done();
        };
        if let Some(info) = &self.info {
            let ours = env!("CARGO_PKG_VERSION");
            let theirs = said(info, "version").unwrap_or_default();
            report.fact(&format_args!("version {theirs} runs (process {})", own.pid));
            if theirs != ours {
                report.warn(
                    &format_args!("version {theirs} runs, and this program is {ours}"),
                    "start the node again to have it run the version that is installed",
                );
            } else if is_replaced(root, own.pid) {
                report.warn(
                    &"the program of the running node has been replaced since it was started",
                    "start the node again to have it run the new one",
                );
            }
        }
        match &self.health {
            Some(Ok(health)) => {
                let status = said(health, "status").unwrap_or_default();
                report.fact(&format_args!("health {status}"));
                self.reasons(&mut report, |layer| layer != "network");
            }
            Some(Err(why)) => report.fail(
                &format_args!("process {} does not answer: {why}", own.pid),
                ASK,
            ),
            None => report.fact(&"it has no HTTP port, so it cannot be asked"),
        }
        report.done()
    }

    /// Whether devices and other nodes reach it, as far as it knows.
    pub(super) fn reach(&self) -> Vec<Finding> {
        let mut report = Report::new("reach");
        match (&self.own, &self.health) {
            (None, _) => report.fact(&"not known while no node runs"),
            (Some(_), Some(Ok(_))) => {
                let info = self.info.as_ref().unwrap_or(&Value::Null);
                let number = |name: &str| info.get(name).and_then(Value::as_u64).unwrap_or(0);
                report.fact(&format_args!(
                    "{} devices and {} nodes are connected",
                    number("devices"),
                    number("peers")
                ));
                if let Some(place) = said(info, "public_address") {
                    report.fact(&format_args!("others know it by {place}"));
                }
                self.reasons(&mut report, |layer| layer == "network");
            }
            (Some(_), _) => report.fact(&"not known: the node cannot be asked"),
        }
        report.done()
    }

    /// What the node has found wrong itself.
    fn reasons(&self, report: &mut Report, wanted: impl Fn(&str) -> bool) {
        let Some(Ok(health)) = &self.health else {
            return;
        };
        for reason in list(health, "reasons") {
            let text = |name| said(reason, name).unwrap_or_default();
            if wanted(&text("layer")) {
                let state = match text("state").as_str() {
                    "failing" => State::Failure,
                    _ => State::Warning,
                };
                report.add(state, &text("reason"), &text("remedy"));
            }
        }
    }
}

/// Whether the program's file is another one by now.
fn is_replaced(root: &Path, pid: u32) -> bool {
    let exe = fs::read_link(root.join(format!("proc/{pid}/exe")));
    exe.is_ok_and(|exe| exe.to_string_lossy().ends_with(" (deleted)"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_run_file_that_a_power_cut_has_left_is_no_node() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/7/comm", "nginx\n");
        write("proc/8/comm", "chr-node\n");
        for (pid, text) in [
            (None, ""),
            (None, "{\"pid\":9}"),
            (None, "{\"pid\":7}"),
            (
                Some(8),
                "{\"pid\":8,\"edge\":[\"127.0.0.1:5\",3],\"rpc\":null,\"peer\":\"[::1]:6\"}",
            ),
        ] {
            write("data/run.json", text);
            let found = run_file(root.path(), &root.path().join("data"));
            assert_eq!(found.own.as_ref().map(|own| own.pid), pid, "{text}");
            if let Some(own) = found.own {
                let ports: Vec<u16> = own.places.iter().map(SocketAddr::port).collect();
                assert_eq!(ports, [5, 6]);
                assert!(found.endpoint.is_none());
            }
        }
    }

    #[test]
    fn what_the_running_node_has_found_is_told_with_its_own_remedy() {
        let own = Some(Own::default());
        let health = json!({"status": "failing", "reasons": [
            {"layer": "network", "state": "degraded", "reason": "double NAT", "remedy": "open a port"},
            {"layer": "storage", "state": "failing", "reason": "no disk", "remedy": "get one"},
        ]});
        let around = Around {
            own,
            info: Some(json!({"version": "0.0.1", "clock_trusted": false})),
            health: Some(Ok(health)),
            ..Around::default()
        };
        let told = |found: Vec<Finding>| {
            found
                .into_iter()
                .map(|f| (f.state, f.found, f.remedy))
                .collect::<Vec<_>>()
        };
        let reach = told(around.reach());
        assert_eq!(
            reach,
            [(State::Warning, "double NAT".into(), "open a port".into())]
        );
        let node = told(around.node(Path::new("/missing")));
        assert!(
            node.iter()
                .any(|(_, found, _)| found.contains("version 0.0.1")),
            "{node:?}"
        );
        assert!(
            node.contains(&(State::Failure, "no disk".into(), "get one".into())),
            "{node:?}"
        );
        assert_eq!(around.trusted(), Some(false));
    }
}
