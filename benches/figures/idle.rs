//! A node that nobody talks to: what it wakes up for, and what it writes.

use super::programs::{folder, Node};
use super::{machine, say, setting};
use std::path::Path;
use std::time::Duration;

/// What the start still has to do.
const SETTLE: Duration = Duration::from_secs(2);

/// Watches one for `IDLE` seconds. An hour shows what is written once an hour.
pub fn watch() -> Result<(), String> {
    let home = folder();
    let node = Node::start(home.path());
    let pid = node.program.pid();
    let store = home.path().join("store/data.mdb");
    std::thread::sleep(SETTLE);
    let seconds = setting("IDLE", 120).max(1);
    let (waits, written) = (machine::waits(pid), machine::written(pid));
    let commits = commits(&store);
    std::thread::sleep(Duration::from_secs(seconds));
    let woken: u64 = machine::waits(pid)
        .iter()
        .map(|(thread, count)| count.saturating_sub(*waits.get(thread).unwrap_or(&0)))
        .sum();
    say("idle_seconds", seconds as f64);
    say("idle_wakeups", woken as f64 / seconds as f64);
    if let (Some(before), Some(after)) = (written, machine::written(pid)) {
        say("idle_written", (after - before) as f64);
    }
    if let (Some(before), Some(after)) = (commits, self::commits(&store)) {
        say("idle_commits", (after - before) as f64);
    }
    Ok(())
}

/// Commits that an LMDB file has seen: the later of its two meta pages' numbers
/// of transactions. Its layout is that of 64-bit machines.
fn commits(file: &Path) -> Option<u64> {
    /// Where in a page things stand: a header of 16 bytes, then the meta data.
    const MAGIC: usize = 16;
    const PAGE_SIZE: usize = 16 + 4 + 4 + 8 + 8;
    const TRANSACTION: usize = PAGE_SIZE + 2 * 48 + 8;
    let bytes = std::fs::read(file).ok()?;
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    if word(MAGIC)? != 0xBEEF_C0DE {
        return None;
    }
    let second = usize::try_from(word(PAGE_SIZE)?).ok()?;
    Some(long(TRANSACTION)?.max(long(second + TRANSACTION)?))
}
