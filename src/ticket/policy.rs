//! How much credit a device has, how it is asked to pay, and how often its usage
//! is saved.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bytes that a device may use beyond its ticket, unless the setting
/// `tickets.grace_bytes` says otherwise: what 100 Mbit/s carry in 3 s.
pub const GRACE_BYTES: u64 = 40 << 20;

/// How long a device has to answer an ask.
pub const ASK_DEADLINE: Duration = Duration::from_secs(20);

/// Usage that may be lost in a crash at rates below 8 MiB a second.
pub const CHECKPOINT_BYTES: u64 = 8 << 20;

/// Time between two checkpoints of a device: flash wears out by commits.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// Time until a checkpoint that has failed is tried again: a full disk lasts.
pub const CHECKPOINT_RETRY: Duration = Duration::from_secs(10);

/// How long the verdict about a ticket that pays holds: three quarters of an hour,
/// so that it is judged anew, by the rules of then, before an hour is over.
pub const JUDGE_EVERY: Duration = Duration::from_secs(45 * 60);

/// The smallest step that a fair device signs. After a smaller one the next ask
/// waits for [`TICKET_INTERVAL`]: else a device that adds a byte a ticket would
/// have us check signatures all day.
pub const FAIR_STEP: u64 = 4 << 20;

/// Tickets are looked at this often, with a burst of [`TICKET_BURST`] and one
/// for each ask.
pub const TICKET_INTERVAL: Duration = Duration::from_millis(50);

/// Tickets that may come at once: a new session finds its step in a few of them.
pub const TICKET_BURST: u32 = 20;

/// The settings that an account follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `tickets.grace_bytes`.
    pub grace: u64,
    /// `security.require_tickets`. If not, nothing is asked for, paused or cut
    /// off; tickets that come all the same count.
    pub required: bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            grace: GRACE_BYTES,
            required: true,
        }
    }
}

/// What the node asks of the device: a ticket of this epoch that covers more
/// than this usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The epoch.
    pub epoch: u64,
    /// Whether the node trusts its clock. If not, a device that trusts its own
    /// takes its own epoch.
    pub epoch_known: bool,
    /// Bytes used in that epoch, with what is owed.
    pub usage: u64,
}
