//! What /proc says about a process, and where processes run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Ticks of /proc's CPU times: USER_HZ is 100 on every Linux that Rust runs on.
const TICKS_A_SECOND: f64 = 100.0;

/// `program`, on one CPU alone, with all that it starts.
pub fn on_core(core: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// Fields of /proc/PID/stat from the third on: the second, the name in brackets,
/// may contain anything.
fn stat(pid: u32) -> Option<Vec<u64>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields = stat.rsplit(')').next()?.split_whitespace();
    Some(fields.map(|text| text.parse().unwrap_or(0)).collect())
}

/// CPU seconds, user's and kernel's, that a process has used so far.
pub fn cpu(pid: u32) -> f64 {
    let fields = stat(pid).unwrap();
    (fields[11] + fields[12]) as f64 / TICKS_A_SECOND
}

/// The processes that a process has started, and theirs.
pub fn descendants(pid: u32) -> Vec<u32> {
    let all: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        // A process may end while we look.
        .filter_map(|child| Some((child, u32::try_from(*stat(child)?.get(1)?).ok()?)))
        .collect();
    let mut found = vec![pid];
    let mut looked = 0;
    while let Some(parent) = found.get(looked).copied() {
        looked += 1;
        found.extend(all.iter().filter(|(_, p)| *p == parent).map(|(c, _)| *c));
    }
    found.split_off(1)
}

/// The file of a process' program; none where it may not be seen.
pub fn program(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Bytes that a process has made the kernel write to a disk so far; none where
/// the kernel does not count them. (What it gave to write(2) would count what
/// wakes its own threads.)
pub fn written(pid: u32) -> Option<u64> {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let line = io.lines().find_map(|l| l.strip_prefix("write_bytes: "))?;
    line.trim().parse().ok()
}

/// Times that each thread of a process has given up its CPU to wait: so often it
/// has been woken.
pub fn waits(pid: u32) -> BTreeMap<String, u64> {
    let mut waits = BTreeMap::new();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let thread = thread.unwrap();
        // A thread may end while we look.
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
        if let Some(count) = line.and_then(|l| l.trim().parse().ok()) {
            waits.insert(thread.file_name().to_string_lossy().into_owned(), count);
        }
    }
    waits
}

/// Resident memory of a process in bytes.
pub fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// The value below which so many of a hundred lie, in microseconds.
pub fn percentile(times: &mut [std::time::Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6
}
