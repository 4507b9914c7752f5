//! How many bytes a thread gives to write calls, as the kernel counts them.
//!
//! LMDB writes whole pages, so what a commit costs is not what its rows weigh.
//! The kernel counts for each thread what it passes to write(2) and its relatives
//! (`wchar` of proc(5)), and the thread of the store writes nothing else. Where
//! the kernel does not tell (some containers, systems other than Linux) pages are
//! counted instead (`written.rs`).

use std::fs::File;
use std::os::unix::fs::FileExt;

/// The counter of the thread that has made it.
pub(super) struct Meter(Option<File>);

impl Meter {
    /// This thread's.
    pub(super) fn of_this_thread() -> Meter {
        Meter(File::open("/proc/thread-self/io").ok())
    }

    /// Bytes so far; `None` where nobody counts.
    pub(super) fn read(&self) -> Option<u64> {
        let mut text = [0; 256];
        let length = self.0.as_ref()?.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(text.get(..length)?).ok()?;
        let mut lines = text.lines();
        let count = lines.find_map(|line| line.strip_prefix("wchar: "))?;
        count.trim().parse().ok()
    }

    /// Bytes since a reading.
    pub(super) fn since(&self, before: Option<u64>) -> Option<u64> {
        Some(self.read()?.saturating_sub(before?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    #[test]
    fn only_what_this_thread_writes_is_counted_and_every_byte_of_it() {
        let meter = Meter::of_this_thread();
        let Some(before) = meter.read() else {
            return println!("skipped: this kernel does not count what a thread writes");
        };
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 12_345]).unwrap();
        let other = std::thread::spawn(|| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&[7; 1_000_000]).unwrap();
        });
        other.join().unwrap();
        assert_eq!(meter.read().unwrap() - before, 12_345);
    }
}
