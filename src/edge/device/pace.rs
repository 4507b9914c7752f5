//! How often a device asks its node whether it is there, and how long both wait.

use crate::parts::POWER;
use crate::platform::saver;
use crate::wire::notice::{NOTICES, ROUNDS};
use crate::wire::presence::CAPABILITY;
use std::time::Duration;

/// How often the device pings. Carrier NATs forget a silent TCP flow after about two minutes.
pub const PING_INTERVAL: Duration = Duration::from_secs(100);
/// The same while power is saved: a session that nobody pings ends after five
/// minutes, and TCP flows are promised more than two hours by the standards.
pub const PING_SAVING: Duration = Duration::from_secs(280);
/// How long the answer to a ping, and each step before the first ticket, may take.
pub const ANSWER_TIME: Duration = Duration::from_secs(20);
/// A timer that is later than this stood still: the device slept. (While power is
/// saved, timers are late by up to half a minute.)
pub const OVERSLEPT: Duration = Duration::from_secs(40);
/// How long the answer to the first ping after a sleep, or in another network, may take:
/// a radio that wakes up and a lost segment or two. What was forgotten on the way meanwhile never answers.
pub const WOKEN_TIME: Duration = Duration::from_secs(8);
/// How long this program waits from one ping to the next.
pub(super) fn ping_interval() -> Duration {
    if saver::is_on() {
        PING_SAVING
    } else {
        PING_INTERVAL
    }
}

/// The capability bits that this side knows.
pub(super) fn capabilities() -> u64 {
    let notices = if POWER.built { NOTICES } else { 0 };
    // Whoever saves power pings more seldom than the node would.
    let rounds = if saver::is_on() { 0 } else { ROUNDS };
    CAPABILITY | notices | rounds
}
