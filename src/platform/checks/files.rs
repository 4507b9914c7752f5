//! Descriptors: one for each connection, and some for the program itself.

use super::{Finding, Report};
use crate::platform::limits::{limit_of, Descriptors, RESERVED_FILES, RESERVED_HTTP};
use std::path::Path;

/// What to do where there are too few.
const RAISE: &str = "raise the limit of open files (LimitNOFILE= of the service, `ulimit -n`)";
/// With fewer there is hardly room for devices: health and the program's own files
/// take these.
const FEW: u64 = RESERVED_FILES + RESERVED_HTTP;

/// Whether there are enough: `cap` connections come of them, `wanted` are set.
/// `node` is the process that serves, whose limit counts more than ours.
#[must_use]
pub fn files(
    root: &Path,
    ours: Descriptors,
    node: Option<u32>,
    (cap, wanted): (usize, usize),
) -> Vec<Finding> {
    let mut report = Report::new("files");
    let theirs = node.and_then(|pid| limit_of(root, pid, "Max open files"));
    let now = theirs.unwrap_or(ours.now);
    let whose = match theirs {
        Some(_) => "the running node may open",
        None => "a node may open",
    };
    let found = format!("{whose} {now} files and sockets");
    if now <= FEW {
        report.warn(
            &format_args!(
                "{found}: some {} devices, and the status may not answer",
                now / 4
            ),
            RAISE,
        );
    } else if cap < wanted / 2 && now < wanted as u64 {
        report.warn(
            &format_args!("{found}: {cap} connections, of {wanted} in performance.max_connections"),
            RAISE,
        );
    }
    report.fact(&found);
    report.fact(&format_args!("{cap} connections"));
    report.done()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{device, only};
    use super::super::State;
    use super::*;

    const LIMITS: &str = "Limit  Soft Limit  Hard Limit  Units\nMax open files            64                   4096                 files\n";

    #[test]
    fn too_few_for_devices_is_told_of_the_node_that_runs_and_not_of_this_program() {
        let root = device(&[("proc/77/limits", LIMITS)]);
        let many = Descriptors {
            before: 1024,
            now: 65_536,
        };
        let fine = only(files(root.path(), many, None, (1000, 1000)));
        assert_eq!(fine.state, State::Ok);
        let few = only(files(root.path(), many, Some(77), (1000, 1000)));
        assert_eq!(few.state, State::Warning);
        assert!(few.found.contains("64 files"), "{}", few.found);
        assert!(few.remedy.contains("LimitNOFILE"), "{}", few.remedy);
        let some = Descriptors {
            before: 300,
            now: 300,
        };
        let less = only(files(root.path(), some, None, (172, 1000)));
        assert_eq!(less.state, State::Warning);
        // A usual desktop has 1024: nothing to be done.
        let usual = Descriptors {
            before: 1024,
            now: 1024,
        };
        assert_eq!(
            only(files(root.path(), usual, None, (832, 1000))).state,
            State::Ok
        );
    }
}
