//! A link that stands, as the pool knows it.

use super::terms::{PeerFacts, PeerStatus};
use crate::identity::Address;
use crate::ports::Link;
use crate::time::Moment;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// What the session of a link and the pool tell each other, without a lock.
#[derive(Debug)]
pub(super) struct Member {
    /// The row of links; a later one has a higher number.
    pub number: u64,
    pub id: Address,
    pub place: SocketAddr,
    /// This side dialled.
    pub dialled: bool,
    pub link: Arc<Link>,
    pub facts: PeerFacts,
    pub since: Moment,
    heard: AtomicU64,
    /// When there was a port, or bytes for one, last.
    used: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// It is to be kept.
    pub kept: AtomicBool,
    /// There is, or was, another link to the same node.
    pub paired: AtomicBool,
    /// The other node is to prove that it is there.
    pub check: AtomicBool,
}

impl Member {
    pub fn new(
        number: u64,
        (id, place, dialled): (Address, SocketAddr, bool),
        link: &Arc<Link>,
        facts: PeerFacts,
        now: Moment,
    ) -> Member {
        Member {
            number,
            id,
            place,
            dialled,
            link: link.clone(),
            facts,
            since: now,
            heard: AtomicU64::new(now.0),
            used: AtomicU64::new(now.0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            kept: AtomicBool::new(false),
            paired: AtomicBool::new(false),
            check: AtomicBool::new(false),
        }
    }

    pub fn heard(&self) -> Moment {
        Moment(self.heard.load(Ordering::Relaxed))
    }

    pub fn hear(&self, now: Moment) {
        self.heard.store(now.0, Ordering::Relaxed);
    }

    pub fn used(&self) -> Moment {
        Moment(self.used.load(Ordering::Relaxed))
    }

    pub fn mark_used(&self, now: Moment) {
        self.used.store(now.0, Ordering::Relaxed);
    }

    pub fn count_in(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn count_out(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// New ports may go over it.
    pub fn is_live(&self) -> bool {
        self.link.ending().is_none()
    }

    /// Has the session find out whether the other node is still there.
    pub fn doubt(&self) {
        self.check.store(true, Ordering::Relaxed);
        self.link.wake();
    }

    pub fn status(&self) -> PeerStatus {
        let rtt = self.link.rtt();
        PeerStatus {
            id: self.id,
            place: self.place,
            dialled: self.dialled,
            kept: self.is_kept(),
            facts: self.facts.clone(),
            since: self.since,
            heard: self.heard(),
            ports: self.link.port_count(),
            rtt: (rtt > Duration::ZERO).then_some(rtt),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
        }
    }
}
