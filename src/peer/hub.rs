//! What all links of a node share.

use super::member::Member;
use super::pool::{Pool, Rank};
use super::terms::{PeerEvent, PeerFacts, PeerTerms};
use crate::identity::Address;
use crate::ports::{Budget, Link, Switchboard};
use crate::task::channel::{bounded, Receiver, Sender};
use crate::time::Clock;
use crate::wire::control::Close;
use crate::wire::peer::{PeerHello, PeerWelcome};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Events that wait for who watches; beyond that new ones are dropped, the list
/// of links is right in any case.
const EVENTS_MAX: usize = 256;

/// See the module's text.
pub struct Hub {
    pub(super) node: Address,
    agent: String,
    peer_port: Option<u16>,
    pub(super) serving: AtomicBool,
    terms: Mutex<Arc<PeerTerms>>,
    pub(super) board: Arc<Switchboard>,
    pub(super) budget: Arc<Budget>,
    pub(super) clock: Arc<dyn Clock>,
    pool: Mutex<Pool>,
    /// Something has changed for the links that are to be kept.
    changed: (Sender<()>, Receiver<()>),
    /// What happens to links, for who watches.
    pub(super) events: (Sender<PeerEvent>, Receiver<PeerEvent>),
}

impl Hub {
    /// For the node with this address, name and version, and port for links.
    #[must_use]
    pub fn new(
        (node, agent, peer_port): (Address, String, Option<u16>),
        terms: PeerTerms,
        board: Arc<Switchboard>,
        budget: Arc<Budget>,
        clock: Arc<dyn Clock>,
    ) -> Hub {
        Hub {
            node,
            agent,
            peer_port,
            serving: AtomicBool::new(false),
            pool: Mutex::new(Pool::new(node, terms.max_links)),
            terms: Mutex::new(Arc::new(terms)),
            board,
            budget,
            clock,
            changed: bounded(1),
            events: bounded(EVENTS_MAX),
        }
    }

    pub(super) fn terms(&self) -> Arc<PeerTerms> {
        self.terms
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn change(&self, terms: PeerTerms) {
        self.pool().max = terms.max_links;
        *self.terms.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(terms);
    }

    pub(super) fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hello(&self) -> PeerHello {
        let trusted = self.clock.trusted();
        PeerHello {
            agent: self.agent.clone(),
            capabilities: 0,
            unix_time: if trusted { self.clock.unix() } else { 0 },
            peer_port: self.peer_port.unwrap_or(0),
            serving: self.serving.load(Ordering::Relaxed),
        }
    }

    pub(super) fn welcome(&self) -> PeerWelcome {
        let hello = self.hello();
        PeerWelcome {
            agent: hello.agent,
            capabilities: hello.capabilities,
            unix_time: hello.unix_time,
            peer_port: hello.peer_port,
            serving: hello.serving,
        }
    }

    /// The greeting of another node was heard. `answer` is sent before anybody
    /// can open a port over the link.
    pub(super) fn join(
        &self,
        who: (Address, SocketAddr, bool),
        link: &Arc<Link>,
        facts: PeerFacts,
        answer: Option<u32>,
    ) -> Result<Arc<Member>, Close> {
        let now = self.clock.now();
        let mut pool = self.pool();
        pool.admit(who, now)?;
        if let Some(id) = answer {
            link.push_control(id, &self.welcome());
        }
        Ok(pool.join(who, link, facts, now))
    }

    /// A link has ended.
    pub(super) fn leave(&self, member: &Arc<Member>) {
        self.pool().leave(member, self.clock.now());
        self.tell_changed();
    }

    pub(super) fn rank(&self, member: &Arc<Member>) -> Rank {
        self.pool().rank(member)
    }

    /// How many links stand.
    #[must_use]
    pub fn count(&self) -> usize {
        self.pool().count()
    }

    pub(super) fn closes_second(&self, member: &Member) -> bool {
        self.pool().closes_second(&member.id)
    }

    pub(super) fn tell(&self, event: PeerEvent) {
        let _ = self.events.0.try_send(event);
    }

    pub(super) fn tell_changed(&self) {
        // One word in the channel says it all.
        let _ = self.changed.0.try_send(());
    }

    /// Resolves when something has changed since the last time.
    pub(super) async fn changed(&self) {
        let _ = self.changed.1.recv().await;
    }
}
