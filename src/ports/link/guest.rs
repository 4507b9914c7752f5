//! Who is at the other end of a link and what it has carried, for those who watch the node.

use super::Link;
use crate::time::Moment;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;

/// What a session has told of its other end when it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Where it connects from.
    pub from: IpAddr,
    /// Since when.
    pub since: Moment,
    /// What its program calls itself.
    pub agent: Box<str>,
}

/// That, and port payload in bytes.
#[derive(Debug, Default)]
pub(super) struct Register {
    guest: OnceLock<Guest>,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Link {
    /// Says who is at the other end. Only the first word counts.
    pub fn introduce(&self, guest: Guest) {
        let _ = self.register.guest.set(guest);
    }

    /// Who is at the other end, if that was said.
    #[must_use]
    pub fn guest(&self) -> Option<&Guest> {
        self.register.guest.get()
    }

    /// Adds what was carried: from the other end, and to it. A session does so once a turn.
    pub fn carried(&self, received: u64, sent: u64) {
        let register = &self.register;
        register.received.fetch_add(received, Ordering::Relaxed);
        register.sent.fetch_add(sent, Ordering::Relaxed);
    }

    /// What was carried since the session began: from the other end, and to it.
    #[must_use]
    pub fn payload(&self) -> (u64, u64) {
        let register = &self.register;
        (
            register.received.load(Ordering::Relaxed),
            register.sent.load(Ordering::Relaxed),
        )
    }
}
