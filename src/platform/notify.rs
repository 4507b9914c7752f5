//! What init wants to hear (sd_notify(3)): systemd, and everything that speaks
//! its protocol. Without `NOTIFY_SOCKET` all of this does nothing.

use sd_notify::NotifyState;
use std::time::Duration;

/// The node listens.
pub fn ready() {
    say(&[NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] follows.
pub fn reloading() {
    // systemd wants to know when, to tell this reload from an older one.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => say(&[NotifyState::Reloading, now]),
        Err(e) => log::debug!("init is not told of the reload: {e}"),
    }
}

/// The node stops.
pub fn stopping() {
    say(&[NotifyState::Stopping]);
}

/// The executor turns.
pub fn watchdog() {
    say(&[NotifyState::Watchdog]);
}

/// Within which time init wants a [`watchdog`] call, if it watches at all.
#[must_use]
pub fn watchdog_time() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|time| !time.is_zero())
}

fn say(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        log::debug!("init cannot be told: {e}");
    }
}
