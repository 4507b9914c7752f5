//! Descriptors, and how many connections they and the memory allow.

use nix::sys::resource::{getrlimit, setrlimit, Resource};
use std::path::Path;
use std::{fmt, fs};

/// Descriptors above this are not asked for: every connection costs one, and a
/// million connections need more memory than this program is made for. (Some
/// systems offer 2^30, for which the kernel sizes tables.)
pub const MAX_DESCRIPTORS: u64 = 1 << 20;

/// Descriptors for the program itself: standard streams, epoll, event and timer
/// (6), signals (2), the store (4), the key's lock, files being written (3),
/// listeners of two families (8), and as many again for name lookups.
pub const RESERVED_FILES: u64 = 48;

/// Descriptors for HTTP: its connections, and both ends of those to the worker
/// behind the door. `/health` must answer when the edge is full.
pub const RESERVED_HTTP: u64 = 80;

/// What one idle, ticketed session costs: 11 KiB of ours and some of the
/// kernel's, in bytes.
pub const SESSION_MEMORY: u64 = 16 << 10;

/// The process's limit of open descriptors after [`raise_descriptors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// The limit that the process started with.
    pub before: u64,
    /// The limit that holds now.
    pub now: u64,
}

impl fmt::Display for Descriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.now == self.before {
            write!(f, "{} descriptors", self.now)
        } else {
            write!(f, "{} descriptors (raised from {})", self.now, self.before)
        }
    }
}

/// Raises the soft limit of descriptors to the hard one, at most to
/// [`MAX_DESCRIPTORS`]. Where that is refused, the old limit stays and is
/// reported: a node with fewer connections is better than none.
#[must_use]
pub fn raise_descriptors() -> Descriptors {
    // 256 is the smallest default of the systems that we know.
    let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((256, 256));
    // The types are narrower on some 32-bit systems.
    #[allow(clippy::useless_conversion)]
    let (before, hard) = (u64::from(before), u64::from(hard));
    let wanted = hard.min(MAX_DESCRIPTORS);
    let mut now = before;
    if wanted > before && set_soft(wanted, hard) {
        now = wanted;
    }
    Descriptors { before, now }
}

#[allow(clippy::useless_conversion)]
fn set_soft(soft: u64, hard: u64) -> bool {
    match (soft.try_into(), hard.try_into()) {
        (Ok(soft), Ok(hard)) => setrlimit(Resource::RLIMIT_NOFILE, soft, hard).is_ok(),
        _ => false,
    }
}

/// What holds the number of connections down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// `performance.max_connections`.
    Setting,
    /// The limit of open descriptors (`ulimit -n`, systemd's `LimitNOFILE=`).
    Descriptors,
    /// `node.memory_limit`.
    Memory,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Bound::Setting => "performance.max_connections",
            Bound::Descriptors => "the limit of open files (ulimit -n, LimitNOFILE=)",
            Bound::Memory => "node.memory_limit",
        })
    }
}

/// How many device connections may be open at once, and why not more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionCap {
    /// The number, at least 1.
    pub connections: usize,
    /// The bound that gave it.
    pub bound: Bound,
}

/// Derives the cap from the setting, the descriptor limit and the memory budget
/// in bytes: the least of the setting, the descriptors that are not reserved,
/// and what half of the budget holds at [`SESSION_MEMORY`] each. (A quarter of
/// the budget belongs to ports' buffers, the rest to the node itself.)
#[must_use]
pub fn connection_cap(setting: usize, descriptors: u64, memory_budget: u64) -> ConnectionCap {
    // With very few descriptors a quarter still serves; the reserve then shrinks.
    let by_descriptors = descriptors
        .saturating_sub(RESERVED_FILES + RESERVED_HTTP)
        .max(descriptors / 4);
    let by_memory = memory_budget / 2 / SESSION_MEMORY;
    let setting = u64::try_from(setting).unwrap_or(u64::MAX);
    let (least, bound) = [
        (setting, Bound::Setting),
        (by_descriptors, Bound::Descriptors),
        (by_memory, Bound::Memory),
    ]
    .into_iter()
    .fold((u64::MAX, Bound::Setting), |best, next| {
        if next.0 < best.0 {
            next
        } else {
            best
        }
    });
    ConnectionCap {
        connections: usize::try_from(least.max(1)).unwrap_or(usize::MAX),
        bound,
    }
}

/// The limit of this name ("Max open files") that holds for another process; None
/// without one, or where it may not be read.
#[must_use]
pub fn limit_of(root: &Path, pid: u32, name: &str) -> Option<u64> {
    let limits = fs::read_to_string(root.join(format!("proc/{pid}/limits"))).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::memory::MIN_BUDGET;
    use proptest::prelude::*;

    #[test]
    fn raising_twice_changes_nothing_and_never_lowers() {
        let first = raise_descriptors();
        let second = raise_descriptors();
        assert!(first.now >= first.before);
        assert_eq!(second.before, first.now);
        assert_eq!(second.now, first.now);
        assert_eq!(second.to_string(), format!("{} descriptors", second.now));
    }

    #[test]
    fn the_edge_never_takes_the_descriptors_of_health() {
        let cap = connection_cap(1000, 1024, 1 << 30);
        assert_eq!(cap.bound, Bound::Descriptors);
        assert_eq!(
            u64::try_from(cap.connections).unwrap_or(0),
            1024 - RESERVED_FILES - RESERVED_HTTP
        );
    }

    #[test]
    fn with_room_for_all_the_setting_decides() {
        let cap = connection_cap(5000, 65_536, 1 << 30);
        assert_eq!((cap.connections, cap.bound), (5000, Bound::Setting));
    }

    #[test]
    fn a_small_device_gets_fewer_sessions_and_not_the_out_of_memory_killer() {
        let cap = connection_cap(1000, 65_536, MIN_BUDGET);
        assert_eq!((cap.connections, cap.bound), (256, Bound::Memory));
    }

    proptest! {
        #[test]
        fn the_cap_is_never_zero_nor_above_the_setting(
            setting in 1usize..2_000_000, descriptors: u64, memory: u64,
        ) {
            let cap = connection_cap(setting, descriptors, memory);
            prop_assert!(cap.connections >= 1 && cap.connections <= setting);
        }
    }
}
