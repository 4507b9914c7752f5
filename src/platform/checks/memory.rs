//! Memory, and what the service or container may have of it.

use super::{size, text, Finding, Report};
use crate::platform::memory::{kilobytes, Memory, MIN_BUDGET};
use nix::sys::resource::{getrlimit, Resource, RLIM_INFINITY};
use std::path::Path;

/// Less than this for all of a device or service is hardly enough for a node: it
/// takes 4 to 6 MB itself, and the kernel as much for its sockets.
const LITTLE: u64 = 24 << 20;
/// Free memory below which the kernel soon kills something.
const SCARCE: u64 = 12 << 20;
/// Addresses that a program needs besides the store's map.
const ADDRESSES: u64 = 128 << 20;

/// Whether there is enough for a node with this budget, whose store maps so much.
#[must_use]
pub fn memory(root: &Path, budget: u64, set: bool, map: u64) -> Vec<Finding> {
    let mut report = Report::new("memory");
    let memory = Memory::read_below(root);
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
        report.fact(&format_args!(
            "{} for this service or container",
            size(limit)
        ));
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
    if let Some(most) = addresses().filter(|most| *most < map.saturating_add(ADDRESSES)) {
        report.fail(
            &format_args!(
                "this user's programs may have {} of addresses (ulimit -v), and the store maps {}",
                size(most),
                size(map)
            ),
            "raise that limit (`ulimit -v unlimited`, LimitAS=), or lower storage.map_size",
        );
    }
    report.done()
}

/// The most addresses that this process may map.
fn addresses() -> Option<u64> {
    let (soft, _) = getrlimit(Resource::RLIMIT_AS).ok()?;
    // Narrower on some 32-bit systems.
    #[allow(clippy::useless_conversion)]
    (soft != RLIM_INFINITY).then(|| u64::from(soft))
}

#[cfg(test)]
mod tests {
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
        only(memory(root.path(), budget, set, 0))
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
}
