//! Who starts the node, and with which rights.

use super::{text, word, Finding, Report};
use std::path::Path;

/// Whether the process `node`, if there is one, is looked after, and what it may do.
#[must_use]
pub fn service(root: &Path, node: Option<u32>) -> Vec<Finding> {
    let mut report = Report::new("service");
    let systemd = root.join("run/systemd/system").exists();
    let Some(pid) = node else {
        report.fact(&"no node runs with these settings");
        return report.done();
    };
    report.fact(&format_args!("process {pid}"));
    let status = text(root, &format!("proc/{pid}/status"));
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u32>().ok()
    };
    let starter = number("PPid:").and_then(|parent| match parent {
        0 => None,
        parent => word(root, &format!("proc/{parent}/comm")),
    });
    if let Some(starter) = &starter {
        report.fact(&format_args!("started by {starter}"));
    }
    // Readable for the same user and root alone.
    let environment = text(root, &format!("proc/{pid}/environ"));
    let watchdog = environment
        .split('\0')
        .find_map(|pair| pair.strip_prefix("WATCHDOG_USEC="));
    if let Some(micros) = watchdog.and_then(|micros| micros.parse::<u64>().ok()) {
        report.fact(&format_args!("watched every {} s", micros / 1_000_000));
    }
    match number("Uid:") {
        // Where there are services with users of their own, that is an oversight.
        Some(0) if systemd && starter.as_deref() == Some("systemd") => report.warn(
            &"the node runs as root, and needs none of root's rights",
            "give the service a user (User=, DynamicUser=yes), as the package's chr-node.service does, and that user the data folder (chown -R)",
        ),
        Some(0) => report.fact(&"as root, of whose rights it needs none"),
        Some(user) => report.fact(&format_args!("as user {user}")),
        None => {}
    }
    report.done()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{device, only};
    use super::super::State;
    use super::*;

    #[test]
    fn a_service_that_systemd_runs_as_root_is_told() {
        let files = [
            ("run/systemd/system/x", ""),
            ("proc/1/comm", "systemd\n"),
            (
                "proc/9/status",
                "Name:\tchr-node\nPPid:\t1\nUid:\t0\t0\t0\t0\n",
            ),
            ("proc/9/environ", "A=b\0WATCHDOG_USEC=30000000\0"),
        ];
        let told = only(service(device(&files).path(), Some(9)));
        assert!(
            told.state == State::Warning && told.remedy.contains("User="),
            "{told:?}"
        );
        let mut own = files;
        own[2].1 = "PPid:\t1\nUid:\t998\t998\n";
        let told = only(service(device(&own).path(), Some(9)));
        assert_eq!(told.state, State::Ok);
        assert_eq!(
            told.found,
            "process 9, started by systemd, watched every 30 s, as user 998"
        );
        assert_eq!(only(service(device(&[]).path(), None)).state, State::Ok);
    }
}
