//! Memory, and what the service or container may have of it.

use super::{size, text, Finding, Report};
use crate::platform::limits::limit_of;
use crate::platform::memory::{kilobytes, Memory, Whose, MIN_BUDGET};
use nix::sys::resource::{getrlimit, Resource, RLIM_INFINITY};
use std::path::Path;

/// Less than this for all of a device or service is hardly enough for a node: it
/// takes 4 to 6 MB itself, and the kernel as much for its sockets.
const LITTLE: u64 = 24 << 20;
/// Free memory below which the kernel soon kills something.
const SCARCE: u64 = 12 << 20;
/// Addresses that a program needs besides the store's map.
const ADDRESSES: u64 = 128 << 20;

/// Whether there is enough for a node with this budget, whose store maps so much, and
/// with these limits.
#[must_use]
pub fn memory(root: &Path, whose: Whose, budget: u64, set: bool, map: u64) -> Vec<Finding> {
    let mut report = Report::new("memory");
    let memory = Memory::read_of(root, whose);
    let owner = match whose {
        Whose::Ours => "this service or container".to_owned(),
        Whose::Node(pid) => format!("the running node (process {pid})"),
        Whose::Service => "chr-node.service".to_owned(),
    };
    let free = memory
        .available
        .map(|bytes| format!("{} free", size(bytes)));
    let total = memory.total.map(|bytes| format!("of {}", size(bytes)));
    report.fact(&match (free, total) {
        (Some(free), Some(total)) => format!("{free} {total}"),
        (free, total) => free
            .or(total)
            .unwrap_or_else(|| "the device does not say".to_owned()),
    });
    if let Some(limit) = memory.limit {
        report.fact(&format_args!("{} for {owner}", size(limit)));
    }
    let swap = kilobytes(&text(root, "proc/meminfo"), "SwapTotal:").unwrap_or(0);
    report.fact(&match swap {
        0 => "no swap".to_owned(),
        _ => format!("{} swap", size(swap)),
    });
    report.fact(&format_args!("the node takes up to {}", size(budget)));
    let reach = match (memory.total, memory.limit) {
        (Some(total), Some(limit)) => Some(total.min(limit)),
        (total, limit) => total.or(limit),
    };
    if let Some(reach) = reach.filter(|reach| *reach < LITTLE) {
        report.warn(
            &format_args!("{} in all, which is hardly enough for a node", size(reach)),
            "raise the limit of the service (MemoryMax=) or container, or take a device with 32 MB or more",
        );
    } else if let Some(reach) = reach.filter(|reach| set && budget > *reach) {
        report.warn(
            &format_args!(
                "node.memory_limit is {}, and there are {}: the kernel would end the node first",
                size(budget),
                size(reach)
            ),
            "lower node.memory_limit (MEMORY_LIMIT), or leave it to auto",
        );
    } else if let Some(free) = memory
        .available
        .filter(|free| *free < SCARCE.max(budget.min(MIN_BUDGET)))
    {
        report.warn(
            &format_args!(
                "{} free of all memory: the kernel may end the node",
                size(free)
            ),
            "end other programs, add swap (zram), or lower node.memory_limit",
        );
    }
    if let Some(most) = addresses(root, whose).filter(|most| *most < map.saturating_add(ADDRESSES))
    {
        report.fail(
            &format_args!(
                "{} may have {} of addresses (ulimit -v), and the store maps {}",
                match whose {
                    Whose::Node(_) => &owner,
                    _ => "this user's programs",
                },
                size(most),
                size(map)
            ),
            "raise that limit (`ulimit -v unlimited`, LimitAS=), or lower storage.map_size",
        );
    }
    report.done()
}

/// The most addresses that may be mapped; a service's are known of its processes alone.
fn addresses(root: &Path, whose: Whose) -> Option<u64> {
    match whose {
        Whose::Node(pid) => limit_of(root, pid, "Max address space"),
        Whose::Service => None,
        Whose::Ours => {
            let (soft, _) = getrlimit(Resource::RLIMIT_AS).ok()?;
            // Narrower on some 32-bit systems.
            #[allow(clippy::useless_conversion)]
            (soft != RLIM_INFINITY).then(|| u64::from(soft))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::super::tests::{device, only};
    use super::super::State;
    use super::*;

    const MB: u64 = 1 << 20;

    fn with(meminfo: &str, limit: &str, budget: u64, set: bool) -> Finding {
        let root = device(&[
            ("proc/meminfo", meminfo),
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", limit),
        ]);
        only(memory(root.path(), Whose::Ours, budget, set, 0))
    }

    const ROUTER: &str = "MemTotal: 61440 kB\nMemAvailable: 30720 kB\nSwapTotal: 0 kB\n";

    #[test]
    fn a_router_with_64_mb_is_well_and_one_whose_memory_is_gone_is_not() {
        let fine = with(ROUTER, "max\n", 15 * MB, false);
        assert_eq!(fine.state, State::Ok, "{fine:?}");
        assert!(fine.found.contains("30 MB free of 60 MB"), "{}", fine.found);
        let full = ROUTER.replace("30720", "5000");
        assert_eq!(with(&full, "max\n", 8 * MB, false).state, State::Warning);
    }

    #[test]
    fn a_limit_that_the_device_or_the_service_has_not_is_told() {
        let much = with(ROUTER, "max\n", 200 * MB, true);
        assert!(
            much.state == State::Warning && much.remedy.contains("node.memory_limit"),
            "{much:?}"
        );
        let small = with(ROUTER, "16777216\n", 8 * MB, false);
        assert!(
            small.state == State::Warning && small.remedy.contains("MemoryMax"),
            "{small:?}"
        );
    }

    #[test]
    fn the_limits_of_the_node_are_judged_and_not_those_of_whoever_asks() {
        let files = [
            ("proc/meminfo", ROUTER),
            ("proc/self/cgroup", "0::/user.slice\n"),
            ("sys/fs/cgroup/user.slice/memory.max", "8388608\n"),
            ("proc/7/cgroup", "0::/system.slice/my.service\n"),
            ("sys/fs/cgroup/system.slice/my.service/memory.max", "16777216\n"),
            ("proc/7/limits", "Max data size  12582912  12582912  bytes\nMax address space  1048576  1048576  bytes\n"),
            ("proc/8/cgroup", "0::/\n"),
        ];
        let root = device(&files);
        let told = |node, map| {
            let whose = Whose::find(root.path(), node);
            memory(root.path(), whose, 8 * MB, false, map)
        };
        let limited = told(Some(7), 0);
        let limited = limited.first().unwrap();
        assert!(limited.found.contains("12 MB in all"), "{limited:?}");
        assert!(limited.remedy.contains("MemoryMax"), "{limited:?}");
        assert!(told(Some(7), MB).iter().any(|f| f.state == State::Failure));
        assert_eq!(only(told(Some(8), 0)).state, State::Ok);
        assert_eq!(Whose::find(root.path(), None), Whose::Ours);
        let unit = "sys/fs/cgroup/system.slice/chr-node.service";
        for (path, limit) in [("memory.max", "33554432\n"), ("cgroup.procs", "")] {
            let file = root.path().join(unit).join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, limit).unwrap();
        }
        let service = only(told(None, 0));
        assert!(
            service.found.contains("32 MB for chr-node.service"),
            "{service:?}"
        );
        assert_eq!(service.state, State::Ok);
    }
}
