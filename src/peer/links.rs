//! All links of a node: listens, dials, keeps.

use super::terms::{PeerError, PeerEvent, PeerParts, PeerStatus, PeerTerms, Wanted};
use crate::identity::Address;
use crate::liveness::Beat;
use crate::ports::Link;
use async_io::Async;
use smol::channel::{bounded, Receiver, Sender};
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// Events that wait for who watches; beyond that new ones are dropped ([`Links::list`] is right in any case).
const EVENTS_MAX: usize = 256;

/// See the module's text.
pub struct Links {
    parts: PeerParts,
    events: (Sender<PeerEvent>, Receiver<PeerEvent>),
}

impl Links {
    /// Without links.
    #[must_use]
    pub fn new(parts: PeerParts) -> Arc<Links> {
        Arc::new(Links {
            parts,
            events: bounded(EVENTS_MAX),
        })
    }

    /// The link to `peer`: the one that stands, or one dialled at the first of
    /// `places` that answers and is that node.
    ///
    /// May be dropped at any time: a dial in progress goes on for the others
    /// who wait for it.
    pub fn link_to(
        self: &Arc<Self>,
        peer: Address,
        places: &[SocketAddr],
    ) -> impl Future<Output = Result<Arc<Link>, PeerError>> + Send + 'static {
        let _ = (peer, places);
        async { Err(PeerError::Stopped) }
    }

    /// Takes links from `listener` for ever; answers when `beat` asks.
    pub async fn listen(self: Arc<Self>, listener: Async<TcpListener>, beat: Beat) {
        let _ = listener;
        loop {
            beat.asked().await;
        }
    }

    /// Keeps the links that are to be kept, for ever; answers when `beat` asks.
    pub async fn tend(self: Arc<Self>, beat: Beat) {
        loop {
            beat.asked().await;
        }
    }

    /// Names the nodes that links are to be kept to, in place of those named before.
    pub fn keep(&self, wanted: Vec<Wanted>) {
        let _ = wanted;
    }

    /// All links that stand.
    #[must_use]
    pub fn list(&self) -> Vec<PeerStatus> {
        Vec::new()
    }

    /// How many stand.
    #[must_use]
    pub fn count(&self) -> usize {
        0
    }

    /// What happens to links from here on. Each event goes to one receiver.
    #[must_use]
    pub fn events(&self) -> Receiver<PeerEvent> {
        self.events.1.clone()
    }

    /// What other nodes are told from here on: whether this one answers in the DHT.
    pub fn set_serving(&self, serving: bool) {
        let _ = serving;
    }

    /// Puts other terms in force for links to come.
    pub fn change(&self, terms: PeerTerms) {
        let _ = (&self.parts, terms);
    }

    /// Has all links look at the time: after a sleep of the device their timers are late.
    pub fn wake_all(&self) {}

    /// Takes no more links, tells all other nodes that this one stops, and waits until they have
    /// read it, `drain` at most.
    pub async fn stop(&self, drain: Duration) {
        let _ = drain;
    }
}
