//! How much memory there is, and how much of it the node may use.
//!
//! A container's or a service's limit (cgroup v2 or v1) is what the kernel
//! kills by, so it counts as much as the memory of the machine.

use super::limits::limit_of;
use super::{crew, sys};
use nix::sys::resource::{getrlimit, Resource, RLIM_INFINITY};
use std::fs;
use std::path::{Path, PathBuf};

/// The least budget: a node with a few dozen sessions. Below it nothing useful runs.
pub const MIN_BUDGET: u64 = 8 << 20;

/// The most that is taken without being asked for. A thousand sessions (the
/// default cap) with 256 KiB each in flight; `node.memory_limit` raises it.
#[cfg(target_pointer_width = "64")]
pub const MAX_BUDGET: u64 = 1 << 30;
/// As above; a 32-bit process has 2 to 3 GiB of addresses, and LMDB maps up to one.
#[cfg(not(target_pointer_width = "64"))]
pub const MAX_BUDGET: u64 = 256 << 20;

/// The budget when the machine does not say what it has (no `/proc`).
pub const UNKNOWN_BUDGET: u64 = 64 << 20;

/// Free bytes that stay with the process between bursts. The windows of a busy
/// stream fill and drain a thousand times a second, two of 2 MiB at most: below
/// that glibc returned and fetched the same pages each time, which was a quarter
/// of a relay's CPU time (100,000 page faults a second).
const KEPT: i32 = 4 << 20;

/// Sessions that ended after which [`Tidying`] waits only until no more do: they
/// held two MB.
const MANY_LEFT: u64 = 256;
/// Looks after which it is time in any case: bursts of traffic leave something, too.
const LOOKS: u32 = 6;
/// Free bytes that are left at the end of a heap, and asked for beyond what is
/// needed when it grows: glibc's own choice.
const PAD: i32 = 128 << 10;
/// Controller files above this depth are not looked for: real trees are a
/// handful deep, and the path comes from outside.
const CGROUP_DEPTH: usize = 32;

/// What the machine and its limits say, in bytes. `None`: it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Physical memory of the machine.
    pub total: Option<u64>,
    /// What programs could still take without swapping.
    pub available: Option<u64>,
    /// The smallest limit that applies to this process, of its cgroups or its own.
    pub limit: Option<u64>,
}

/// Where systemd keeps the processes of the package's service.
const UNIT: &str = "system.slice/chr-node.service";

/// Whose limits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This process's.
    Ours,
    /// Those of the process of this number.
    Node(u32),
    /// Those of `chr-node.service`, which runs.
    Service,
}

impl Whose {
    /// Those of the process `node` if there is one, else of the service if that runs.
    #[must_use]
    pub fn find(root: &Path, node: Option<u32>) -> Whose {
        let groups = ["sys/fs/cgroup", "sys/fs/cgroup/memory"];
        match node {
            Some(pid) => Whose::Node(pid),
            None if groups.iter().any(|at| root.join(at).join(UNIT).is_dir()) => Whose::Service,
            None => Whose::Ours,
        }
    }
}

impl Memory {
    /// Reads `/proc/meminfo` and the limits of this process's cgroups.
    #[must_use]
    pub fn read() -> Self {
        Self::read_below(Path::new("/"))
    }

    pub(super) fn read_below(root: &Path) -> Self {
        Self::read_of(root, Whose::Ours)
    }

    /// The same with the limits of another process or of a service.
    #[must_use]
    pub fn read_of(root: &Path, whose: Whose) -> Self {
        let groups = |of: &str| fs::read_to_string(root.join("proc").join(of).join("cgroup"));
        let (groups, own) = match whose {
            Whose::Ours => (groups("self").ok(), process_limit()),
            Whose::Node(pid) => (
                groups(&pid.to_string()).ok(),
                limit_of(root, pid, "Max data size"),
            ),
            Whose::Service => (Some(format!("0::/{UNIT}\n1:memory:/{UNIT}\n")), None),
        };
        let group = groups.and_then(|groups| cgroup_limit(root, &groups));
        Self {
            limit: [group, own].into_iter().flatten().min(),
            ..Self::of_machine(root)
        }
    }

    /// Without the limits, which are in many files.
    pub(super) fn of_machine(root: &Path) -> Self {
        let meminfo = fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
        Self {
            total: kilobytes(&meminfo, "MemTotal:"),
            // Kernels before 3.14 (old routers) have no MemAvailable.
            available: kilobytes(&meminfo, "MemAvailable:")
                .or_else(|| kilobytes(&meminfo, "MemFree:")),
            limit: None,
        }
    }

    /// The default of `node.memory_limit`, in bytes: half of what is available
    /// now, at most half of the limit, between [`MIN_BUDGET`] and [`MAX_BUDGET`].
    /// The other half is left to the kernel's socket buffers, the page cache of
    /// the store and the rest of the device.
    #[must_use]
    pub fn budget(&self) -> u64 {
        let available = self.available.or(self.total);
        let usable = match (available, self.limit) {
            (Some(a), Some(l)) => a.min(l),
            (Some(a), None) => a,
            (None, Some(l)) => l,
            (None, None) => return UNKNOWN_BUDGET,
        };
        (usable / 2).clamp(MIN_BUDGET, MAX_BUDGET)
    }
}

/// Sets the allocator up for carrying traffic. For a whole program to decide,
/// once, at its start.
pub fn prepare() {
    sys::keep_free(KEPT, PAD);
}

/// Gives back what is free: after a burst, or when many sessions have left. Does
/// `before` first, which should give back what other rooms keep.
///
/// Costs some microseconds for each MB that the program holds. In a program that
/// [`crew::run`] runs, all of it is soon done by its first thread, which does
/// nothing else and may block; in others, here and now.
pub fn give_back(before: impl FnOnce() + Send + 'static) {
    if let Err(before) = crew::give_back(Box::new(before)) {
        before();
        sys::trim_heaps();
    }
}

/// As [`crew`] does it: `release` ends threads, with which the ends of their heaps
/// go back, however small.
pub(super) fn give_back_with(release: impl FnOnce()) {
    sys::keep_free(0, 0);
    release();
    sys::trim_heaps();
    prepare();
}

/// Decides when to [`give_back`]: that takes some milliseconds of a program with
/// thousands of sessions, and while they come and go it would be in vain.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tidying {
    /// Sessions that had ended at the latest look.
    seen: u64,
    /// Sessions and bytes when it was done last.
    done: (u64, u64),
    /// Looks since it was done last.
    looks: u32,
}

impl Tidying {
    /// A look every ten seconds or so, with the sessions that have ended and the
    /// bytes that were carried since the program began. True: give back now.
    #[must_use]
    pub fn is_due(&mut self, ended: u64, carried: u64) -> bool {
        let still = ended == self.seen;
        self.seen = ended;
        self.looks = self.looks.saturating_add(1);
        let many = ended.saturating_sub(self.done.0) >= MANY_LEFT;
        let late = self.looks >= LOOKS && self.done != (ended, carried);
        let due = late || (many && still);
        if due {
            (self.done, self.looks) = ((ended, carried), 0);
        }
        due
    }
}

/// Memory of this process that is in RAM now (VmRSS), in bytes.
#[must_use]
pub fn resident() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// That part of the process's memory in RAM which lies in no file (RssAnon), in bytes.
#[must_use]
pub fn own() -> Option<u64> {
    own_of(&fs::read_to_string("/proc/self/status").ok()?)
}

/// The same of a text of `/proc/PID/status`. Kernels before 4.5 do not tell it apart.
pub(super) fn own_of(status: &str) -> Option<u64> {
    kilobytes(status, "RssAnon:").or_else(|| kilobytes(status, "VmRSS:"))
}

/// The value of a `Name:   123 kB` line, in bytes.
pub(super) fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number = line.trim().strip_suffix("kB")?.trim();
    number.parse::<u64>().ok()?.checked_mul(1024)
}

/// What the process's heap may have (`ulimit -d`, `LimitDATA=`): an allocation beyond
/// it fails, which no program survives.
fn process_limit() -> Option<u64> {
    let (soft, _) = getrlimit(Resource::RLIMIT_DATA).ok()?;
    // The types are narrower on some 32-bit systems.
    #[allow(clippy::useless_conversion)]
    (soft != RLIM_INFINITY).then(|| soft.into())
}

/// The smallest memory limit on the way from these cgroups, as `/proc/PID/cgroup` has
/// them, to the root.
fn cgroup_limit(root: &Path, groups: &str) -> Option<u64> {
    let mut least: Option<u64> = None;
    for line in groups.lines() {
        // `ID:CONTROLLERS:PATH`, where version 2 has ID 0 and no controllers.
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (mount, file) = if controllers.is_empty() {
            ("sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|c| c == "memory") {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        for folder in ancestors(&root.join(mount), path) {
            if let Some(limit) = read_limit(&folder.join(file)) {
                least = Some(least.map_or(limit, |l| l.min(limit)));
            }
        }
    }
    least
}

/// `base/a/b`, `base/a`, `base`. In a container the path may name folders that
/// are not mounted; then only `base`, which is the container's own, exists.
fn ancestors(base: &Path, path: &str) -> Vec<PathBuf> {
    let mut folders = vec![base.to_path_buf()];
    let mut folder = base.to_path_buf();
    let parts = path.split('/').filter(|p| !p.is_empty() && *p != "..");
    for part in parts.take(CGROUP_DEPTH) {
        folder.push(part);
        folders.push(folder.clone());
    }
    folders
}

/// A limit file; `max` and version 1's "no limit" (a page below 2^63) are none.
fn read_limit(file: &Path) -> Option<u64> {
    let limit: u64 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (limit < 1 << 62).then_some(limit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const MB: u64 = 1 << 20;

    fn machine(files: &[(&str, &str)]) -> Memory {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Memory::read_below(root.path())
    }

    fn meminfo(total_kb: u64, available_kb: u64) -> String {
        format!(
            "MemTotal:     {total_kb} kB\nMemFree:  1000 kB\nMemAvailable:  {available_kb} kB\n"
        )
    }

    #[test]
    fn a_router_of_64_mb_keeps_half_of_its_free_memory_for_the_kernel() {
        let router = machine(&[("proc/meminfo", &meminfo(59_000, 32_768))]);
        assert_eq!(router.budget(), 16 * MB);
        assert_eq!(router.limit, None);
    }

    #[test]
    fn a_kernel_without_mem_available_is_judged_by_free_memory() {
        let old = machine(&[("proc/meminfo", "MemTotal: 65536 kB\nMemFree: 40960 kB\n")]);
        assert_eq!(old.budget(), 20 * MB);
    }

    #[test]
    fn the_limit_of_a_service_counts_on_a_machine_with_much_memory() {
        let service = machine(&[
            ("proc/meminfo", &meminfo(16_000_000, 12_000_000)),
            ("proc/self/cgroup", "0::/system.slice/chr-node.service\n"),
            (
                "sys/fs/cgroup/system.slice/chr-node.service/memory.max",
                "max\n",
            ),
            ("sys/fs/cgroup/system.slice/memory.max", "67108864\n"),
        ]);
        assert_eq!(service.limit, Some(64 * MB));
        assert_eq!(service.budget(), 32 * MB);
    }

    #[test]
    fn a_container_that_sees_only_its_own_version_1_folder_has_its_limit_found() {
        let container = machine(&[
            ("proc/meminfo", &meminfo(16_000_000, 12_000_000)),
            (
                "proc/self/cgroup",
                "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/docker/abc\n",
            ),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n"),
        ]);
        assert_eq!(container.limit, Some(128 * MB));
    }

    #[test]
    fn version_1_without_a_limit_is_not_nine_exabytes() {
        let free = machine(&[
            ("proc/self/cgroup", "4:memory:/\n"),
            (
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
        ]);
        assert_eq!(free.limit, None);
    }

    #[test]
    fn a_machine_that_says_nothing_gets_a_modest_budget() {
        assert_eq!(machine(&[]).budget(), UNKNOWN_BUDGET);
        let garbled = machine(&[
            ("proc/meminfo", "MemTotal: many\nMemAvailable: 12\n"),
            ("proc/self/cgroup", "::::\nnonsense\n0::/../../..\n"),
        ]);
        assert_eq!(garbled.budget(), UNKNOWN_BUDGET);
    }

    #[test]
    fn the_budget_has_a_floor_and_a_ceiling() {
        let of = |available| {
            Memory {
                available: Some(available),
                ..Memory::default()
            }
            .budget()
        };
        assert_eq!(of(MB), MIN_BUDGET);
        assert_eq!(of(u64::MAX), MAX_BUDGET);
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn memory_of_sessions_that_left_does_not_stay_with_the_process() {
        prepare();
        let mut chunks: Vec<Vec<u8>> = (0..8192).map(|_| vec![1; 16 << 10]).collect();
        let full = resident().unwrap();
        // The last one pins the end of the heap: nothing goes back by itself.
        let last = chunks.pop();
        drop(chunks);
        give_back(|| ());
        let after = resident().unwrap();
        assert!(after + 64 * MB < full, "{full} before, {after} after");
        drop(last);
    }

    #[test]
    fn a_storm_is_waited_out_before_memory_is_given_back() {
        let mut tidying = Tidying::default();
        assert!(!tidying.is_due(100, 0));
        assert!(!tidying.is_due(4000, 0));
        assert!(!tidying.is_due(5000, 0), "they are still leaving");
        assert!(tidying.is_due(5000, 0));
        assert!(!tidying.is_due(5000, 0), "done once");
    }

    #[test]
    fn a_node_that_is_never_quiet_gives_back_now_and_then_all_the_same() {
        let mut tidying = Tidying::default();
        let due = (1..=60).filter(|n| tidying.is_due(n * 1000, 0)).count();
        assert_eq!(due, 60 / LOOKS as usize);
    }

    #[test]
    fn a_node_that_does_nothing_does_not_tidy_either() {
        let mut tidying = Tidying::default();
        let _ = (0..LOOKS).any(|_| tidying.is_due(3, 1 << 20));
        assert!((0..100).all(|_| !tidying.is_due(3, 1 << 20)));
        assert!(tidying.is_due(3, 2 << 20), "a burst of traffic");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_knows_its_own_resident_memory() {
        let bytes = resident().unwrap();
        assert!(bytes > 100 * 1024 && bytes < 1 << 33, "{bytes}");
        assert!(Memory::read().total.unwrap() > bytes);
    }
}
