//! Where a device is that has no session here: its presences in the DHT, the
//! newest first, and a link to the node that they name.
//!
//! What was found is remembered for some seconds: a page opens a dozen ports at
//! once, and a program that is refused tries again at once. Who was misled by it
//! (the node does not have the device any more, or is gone) asks the whole
//! replica set for the newest word.

use super::peers::PeerBook;
use crate::cache::{Ask, Cache, Fault, Fetch, Fetched, Kind};
use crate::dht::record::{node_key, presence_key, Content};
use crate::dht::service::Handle;
use crate::dht::Outcome;
use crate::identity::Address;
use crate::peer::{Links, PeerError};
use crate::ports::{Link, Locate, Locating, Refusal};
use crate::sorted::{self, Map};
use crate::task;
use crate::task::channel::{bounded, Sender};
use crate::time::{Clock, Moment};
use crate::wire::code::Code;
use crate::wire::presence::Presence;
use async_io::Timer;
use smol::{future, Executor};
use std::future::{poll_fn, Future};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

/// How long an answer is used again: a device that moves is looked for anew as
/// soon as its old node says that it is not there.
const FOUND: Duration = Duration::from_secs(20);
/// How long "nobody knows" is: a device is findable within a second of its ticket.
const MISSING: Duration = Duration::from_millis(500);
/// Devices whose whereabouts are remembered, 250 bytes each.
const REMEMBERED_MAX: usize = 512;
/// A node that has not answered after this does not keep the device's second one
/// waiting.
const STAGGER: Duration = Duration::from_secs(1);

/// What came of a search.
#[derive(Debug, Default)]
struct Answer {
    /// Valid presences, the newest first.
    presences: Vec<Presence>,
    /// Nobody could be asked.
    alone: bool,
}

type Shared = Arc<Answer>;

/// What the search uses.
pub struct Parts {
    /// This node.
    pub node: Address,
    /// Knows where devices are.
    pub dht: Handle,
    /// Leads there.
    pub links: Arc<Links>,
    /// Remembers where nodes are.
    pub peers: Arc<PeerBook>,
    /// Remembers where nodes were found: five minutes.
    pub cache: Cache,
    /// The node's clock.
    pub clock: Arc<dyn Clock>,
    /// Runs searches.
    pub executor: Arc<Executor<'static>>,
}

/// See the module's text.
pub struct Locator(Arc<Inner>);

struct Inner {
    parts: Parts,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    known: Map<Address, (Moment, Shared)>,
    /// Searches under way, and who waits for them. A port each: the switchboard
    /// bounds them.
    asking: Map<(Address, bool), Vec<Sender<Shared>>>,
}

impl Memory {
    fn recall(&self, device: &Address, now: Moment) -> Option<Shared> {
        let (at, answer) = self.known.get(device)?;
        let missing = answer.presences.is_empty();
        let holds = if missing { MISSING } else { FOUND };
        (now.since(*at) < holds).then(|| answer.clone())
    }

    fn remember(&mut self, device: Address, answer: Shared, now: Moment) {
        if self.known.len() >= REMEMBERED_MAX && !self.known.contains_key(&device) {
            self.known.retain(|_, (at, _)| now.since(*at) < FOUND);
            let oldest = self.known.iter().min_by_key(|(_, (at, _))| *at);
            let oldest = oldest.map(|(device, _)| *device);
            if let Some(device) = oldest.filter(|_| self.known.len() >= REMEMBERED_MAX) {
                self.known.remove(&device);
            }
        }
        self.known.insert(device, (now, answer));
    }
}

impl Locator {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Locator> {
        Arc::new(Locator(Arc::new(Inner {
            parts,
            memory: Mutex::default(),
        })))
    }
}

impl Locate for Locator {
    fn locate(&self, device: Address, tried: &[Address]) -> Locating {
        let inner = self.0.clone();
        let tried = tried.to_vec();
        Box::pin(async move {
            let answer = inner.presences(device, !tried.is_empty()).await;
            let mut nodes: Vec<Address> = Vec::new();
            for presence in &answer.presences {
                let node = presence.node;
                let fit = node != inner.parts.node && !tried.contains(&node);
                if fit && !nodes.contains(&node) {
                    nodes.push(node);
                }
            }
            if nodes.is_empty() {
                return Err(not_found(device, &answer, !tried.is_empty()));
            }
            inner.reach(device, nodes).await
        })
    }
}

fn not_found(device: Address, answer: &Answer, had_been: bool) -> Refusal {
    Refusal::new(
        Code::NOT_FOUND,
        if answer.alone {
            format!("device {device} is not connected to this node, and no other node answers: start its program, or correct the address")
        } else if had_been {
            format!(
                "device {device} was at a node that does not have it any more: start its program"
            )
        } else {
            format!("device {device} is nowhere in the network: start its program, or correct the address")
        },
    )
}

type Attempt = Pin<Box<dyn Future<Output = Result<Arc<Link>, PeerError>> + Send>>;

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Valid presences of a device, the newest first. `fresh`: what is
    /// remembered was wrong.
    async fn presences(self: &Arc<Self>, device: Address, fresh: bool) -> Shared {
        let now = self.parts.clock.now();
        let (tell, told) = bounded(1);
        {
            let mut memory = self.lock();
            if !fresh {
                if let Some(known) = memory.recall(&device, now) {
                    return known;
                }
            }
            let waiting = memory.asking.get_or_insert_with((device, fresh), Vec::new);
            waiting.push(tell);
            if waiting.len() == 1 {
                let inner = self.clone();
                let search = async move { inner.search(device, fresh).await };
                // Whoever asked may leave; the others wait on.
                task::spawn(&self.parts.executor, search).detach();
            }
        }
        told.recv().await.unwrap_or_default()
    }

    async fn search(&self, device: Address, fresh: bool) {
        let key = presence_key(&device);
        let dht = &self.parts.dht;
        let outcome = if fresh {
            dht.find_newest(key).await
        } else {
            dht.find_value(key).await
        };
        let mut found = Vec::new();
        if let Outcome::Found { records, cost } = &outcome {
            log::debug!("device {device} found: {cost:?}");
            for record in records {
                if let Ok(Content::Presence(presence)) = record.content() {
                    found.push(presence);
                }
            }
        }
        sorted::sort_by(&mut found, |a, b| b.t.cmp(&a.t));
        let found = Arc::new(Answer {
            presences: found,
            alone: outcome == Outcome::Failed,
        });
        let mut memory = self.lock();
        memory.remember(device, found.clone(), self.parts.clock.now());
        for waiting in memory.asking.remove(&(device, fresh)).unwrap_or_default() {
            let _ = waiting.try_send(found.clone());
        }
    }

    /// A link to the first of the nodes that answers.
    async fn reach(
        self: &Arc<Self>,
        device: Address,
        nodes: Vec<Address>,
    ) -> Result<Arc<Link>, Refusal> {
        let mut nodes = nodes.into_iter();
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut last = PeerError::Stopped;
        loop {
            if let Some(node) = nodes.next() {
                let inner = self.clone();
                attempts.push(Box::pin(async move { inner.attempt(node).await }));
            } else if attempts.is_empty() {
                let mut refusal = last.refusal();
                refusal.text =
                    format!("device {device} is at a node that is not to be had: {last}");
                return Err(refusal);
            }
            let more = nodes.len() > 0;
            let late = async {
                if more {
                    Timer::after(STAGGER).await;
                    None
                } else {
                    future::pending().await
                }
            };
            match future::or(async { Some(first(&mut attempts).await) }, late).await {
                Some(Ok(link)) => return Ok(link),
                Some(Err(error)) => last = error,
                None => {}
            }
        }
    }

    async fn attempt(&self, node: Address) -> Result<Arc<Link>, PeerError> {
        let places: Vec<SocketAddr> = self.parts.peers.place(&node).into_iter().collect();
        let error = match self.parts.links.link_to(node, &places).await {
            Ok(link) => return Ok(link),
            Err(error @ (PeerError::Unreachable(_) | PeerError::WrongNode(_))) => error,
            Err(error) => return Err(error),
        };
        let (mut others, old) = self.places(node, false).await;
        others.retain(|place| !places.contains(place));
        let mut last = error;
        if !others.is_empty() {
            match self.parts.links.link_to(node, &others).await {
                Err(error @ (PeerError::Unreachable(_) | PeerError::WrongNode(_))) => last = error,
                outcome => return outcome,
            }
        }
        if !old {
            return Err(last);
        }
        // What was remembered leads nowhere: it may have moved.
        let (mut newer, _) = self.places(node, true).await;
        newer.retain(|place| !places.contains(place) && !others.contains(place));
        if newer.is_empty() {
            return Err(last);
        }
        self.parts.links.link_to(node, &newer).await
    }

    /// Where a node is, and whether that was only remembered. `anew`: what is
    /// remembered was wrong.
    async fn places(&self, node: Address, anew: bool) -> (Vec<SocketAddr>, bool) {
        let ask = Ask::new(Kind::Peers, &node.0);
        let ask = if anew { ask.anew() } else { ask };
        let dht = self.parts.dht.clone();
        let fetch: Fetch = Box::new(move || Box::pin(seek(dht, node)));
        match self.parts.cache.get(ask, fetch).await {
            Ok(found) => {
                let text = String::from_utf8_lossy(&found.value);
                let places = text.split(' ').filter_map(|place| place.parse().ok());
                (places.collect(), found.age > Duration::ZERO)
            }
            Err(why) => {
                log::debug!("node {node}: {why}");
                (Vec::new(), false)
            }
        }
    }
}

/// Where a node says that it is, or where others reach it; for the cache.
async fn seek(dht: Handle, node: Address) -> Result<Fetched, Fault> {
    let places = search(&dht, node).await;
    if places.is_empty() {
        return Err(Fault::Down("nobody knows where it is".to_owned()));
    }
    let texts: Vec<String> = places.iter().map(ToString::to_string).collect();
    Ok(Fetched::from(texts.join(" ").into_bytes()))
}

async fn search(dht: &Handle, node: Address) -> Vec<SocketAddr> {
    if let Outcome::Found { records, .. } = dht.find_value(node_key(&node)).await {
        for record in &records {
            if let Ok(Content::Node(said)) = record.content() {
                return said.places;
            }
        }
    }
    match dht.find_node(node).await {
        Outcome::Nodes { contacts, .. } => contacts
            .iter()
            .filter(|contact| contact.id == node)
            .map(|contact| contact.at)
            .collect(),
        _ => Vec::new(),
    }
}

/// What comes of the first attempt that is over; it is taken out.
async fn first(attempts: &mut Vec<Attempt>) -> Result<Arc<Link>, PeerError> {
    poll_fn(|cx| {
        for index in 0..attempts.len() {
            let polled = attempts.get_mut(index).map(|a| a.as_mut().poll(cx));
            if let Some(Poll::Ready(result)) = polled {
                drop(attempts.swap_remove(index));
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn device(n: u16) -> Address {
        let mut bytes = [9; 20];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        Address(bytes)
    }

    #[test]
    fn what_is_remembered_is_bounded_and_does_not_last() {
        let mut memory = Memory::default();
        let mut now = Moment(1_000_000_000);
        let some = Arc::new(Answer {
            presences: vec![Presence {
                device: device(0),
                node: device(1),
                t: 1,
                not_after: 2,
                device_sig: crate::identity::Signature([0; 65]),
                until: 2,
                node_sig: crate::identity::Signature([0; 65]),
            }],
            alone: false,
        });
        for n in 0..2000 {
            memory.remember(device(n), some.clone(), now);
            now = now + Duration::from_millis(1);
            assert!(memory.known.len() <= REMEMBERED_MAX);
        }
        assert!(memory.recall(&device(1999), now).is_some());
        assert!(memory.recall(&device(0), now).is_none());
        assert!(memory.recall(&device(1999), now + FOUND).is_none());
        memory.remember(device(1), Shared::default(), now);
        assert!(memory.recall(&device(1), now).is_some());
        assert!(memory.recall(&device(1), now + MISSING).is_none());
    }
}
