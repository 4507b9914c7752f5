//! Whether what must survive is kept.

use super::Findings;
use crate::node::house::{House, StoreFault};
use std::time::Duration;

/// A commit takes some ten milliseconds, on a bad SD card a second or two.
const STUCK: Duration = Duration::from_secs(4);

impl House {
    pub(super) fn disk(&self, found: &mut Findings) {
        match self.store_fault.get() {
            Some(StoreFault::Absent(error)) => found.degraded(
                format!("there is no store, nothing is kept: {error}"),
                "the node relays without it and tries again every minute",
            ),
            Some(StoreFault::Renewed(recovery)) => found.degraded(
                recovery.to_string(),
                "check the disk; this remark ends with the next start",
            ),
            None => {}
        }
        let Some(store) = self.store.get() else {
            return;
        };
        let seen = store.health();
        if let Some(error) = &seen.written.error {
            found.degraded(
                format!("tickets cannot be stored: {error}"),
                "free space on the disk or make the data folder writable; the node goes on and tries again",
            );
        }
        let waiting = seen.written.waiting();
        if waiting >= STUCK {
            found.degraded(
                format!(
                    "the disk has not finished a write for {} s",
                    waiting.as_secs()
                ),
                "check the disk; the node relays on, and tickets are kept when it answers",
            );
        }
        if seen.bad_rows > 0 {
            found.degraded(
                format!("{} damaged rows were skipped", seen.bad_rows),
                "check the disk; the rows are lost, everything else is in use",
            );
        }
    }
}
