//! All links of a node: listens, dials, keeps.

use super::hub::Hub;
use super::pool::{Asked, Outcome};
use super::session::{Met, PeerSession, Role};
use super::terms::{PeerError, PeerEvent, PeerParts, PeerStatus, PeerTerms, PeerTls, Wanted};
use crate::identity::Address;
use crate::liveness::Beat;
use crate::platform::socket::Tuning;
use crate::session::dial::{addresses, connect};
use crate::session::{accept, Admission, Gate, Pump, Slot, Stop, Tasks};
use crate::task::channel::Receiver;
use crate::tls::Channel;
use crate::wire::code::Code;
use crate::wire::control::Close;
use async_io::{Async, Timer};
use smol::future::{self, FutureExt};
use smol::Executor;
use std::future::Future;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// Places of one node that are tried.
const PLACES_MAX: usize = 8;
/// How long a TCP connection to one of them may take: three of them fit in the
/// time that an opening waits.
const CONNECT_TIME: Duration = Duration::from_secs(4);
/// When nodes should come back after this one has stopped.
const COME_BACK_MS: u32 = 1_000;

/// See the module's text.
pub struct Links {
    hub: Arc<Hub>,
    tls: PeerTls,
    executor: Arc<Executor<'static>>,
    admission: Arc<Admission>,
    tasks: Arc<Tasks>,
    /// Connections that were not taken.
    pub denied: AtomicU64,
}

/// How a dial ended.
enum Dialled {
    /// A link stood; this ended it.
    Stood(Stop),
    Failed(Option<SocketAddr>, PeerError),
}

impl Links {
    /// Without links.
    #[must_use]
    pub fn new(parts: PeerParts) -> Arc<Links> {
        let who = (parts.node, parts.agent, parts.peer_port);
        let admission = Admission::new(parts.terms.admission);
        Arc::new(Links {
            hub: Arc::new(Hub::new(
                who,
                parts.terms,
                parts.board,
                parts.budget,
                parts.clock,
            )),
            tls: parts.tls,
            executor: parts.executor,
            admission,
            tasks: Arc::default(),
            denied: AtomicU64::new(0),
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
    ) -> impl Future<Output = Outcome> + Send + 'static {
        let asked = self.hub.pool().ask(peer, self.hub.clock.now());
        if matches!(asked, Ok(Asked::Dial(_))) {
            let places: Vec<_> = places.iter().copied().take(PLACES_MAX).collect();
            self.dial(peer, async { Ok(places) }.boxed());
        }
        async {
            match asked? {
                Asked::There(link) => Ok(link),
                Asked::Wait(told) | Asked::Dial(told) => {
                    told.recv().await.unwrap_or(Err(PeerError::Stopped))
                }
            }
        }
    }

    /// Dials `peer` and runs the link, in a task of its own.
    fn dial(
        self: &Arc<Self>,
        peer: Address,
        places: Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>, String>> + Send>>,
    ) {
        let (links, met) = (self.clone(), Arc::new(Met::default()));
        let dialling = {
            let (links, met) = (self.clone(), met.clone());
            async move { links.try_places(peer, places.await, &met).await }
        };
        self.tasks.spawn(&self.executor, dialling, move |ended| {
            let ended = ended.unwrap_or_else(|| {
                log::error!("the link to node {peer} ended by a defect of this program");
                Dialled::Stood(Stop::Lost("a defect of this program".into()))
            });
            match ended {
                Dialled::Failed(place, error) => links.failed(peer, place, error),
                Dialled::Stood(stop) if met.member.get().is_some() => links.ended(&met, &stop),
                Dialled::Stood(stop) => {
                    links.failed(peer, None, PeerError::Unreachable(stop.to_string()));
                }
            }
        });
    }

    async fn try_places(
        &self,
        peer: Address,
        places: Result<Vec<SocketAddr>, String>,
        met: &Arc<Met>,
    ) -> Dialled {
        let mut last = (None, "no place of it is known".to_owned());
        let mut error = None;
        let places = places.unwrap_or_else(|why| {
            last.1 = why;
            Vec::new()
        });
        for place in places {
            last = match connect(place, CONNECT_TIME, self.tuning()).await {
                Err(why) => (None, format!("{place}: {why}")),
                Ok(socket) => match self.run(socket, place, peer, met).await {
                    Err(why) => (Some(place), why),
                    Ok(stop) if met.member.get().is_some() => return Dialled::Stood(stop),
                    Ok(stop) => {
                        error = refusal(&stop);
                        (Some(place), format!("{place}: {stop}"))
                    }
                },
            };
        }
        let (place, why) = last;
        let wrong = met.wrong.get().copied().map(PeerError::WrongNode);
        let error = wrong.or(error).unwrap_or(PeerError::Unreachable(why));
        Dialled::Failed(place, error)
    }

    /// Runs a session over a connection that was made to `place`.
    async fn run(
        &self,
        socket: Async<TcpStream>,
        place: SocketAddr,
        peer: Address,
        met: &Arc<Met>,
    ) -> Result<Stop, String> {
        let mut greeting = Vec::new();
        let channel = Channel::client(&self.tls.client)
            .and_then(|mut c| c.start(&mut greeting).map(|()| c))
            .map_err(|e| e.to_string())?;
        let role = Role::Dialling(peer, met.clone());
        let session = PeerSession::new(self.hub.clone(), role, place);
        let clock = self.hub.clock.clone();
        Ok(Box::pin(Pump::new(socket, channel, greeting, clock, session)).await)
    }

    fn tuning(&self) -> Tuning {
        Tuning {
            unsent: Some(self.hub.terms().send_buffer),
            ..Tuning::SESSION
        }
    }

    fn failed(&self, peer: Address, place: Option<SocketAddr>, error: PeerError) {
        log::debug!("no link to node {peer}: {error}");
        let reason = error.to_string();
        let now = self.hub.clock.now();
        self.hub.pool().dial_failed(&peer, error, now);
        self.hub.tell_changed();
        self.hub.tell(PeerEvent::Failed {
            id: peer,
            place,
            reason,
        });
    }

    /// A link that stood has ended.
    fn ended(&self, met: &Met, stop: &Stop) {
        let Some(member) = met.member.get() else {
            return;
        };
        let reason = stop.to_string();
        log::debug!("link to node {}: {reason}", member.id);
        self.hub.tell(PeerEvent::Ended {
            id: member.id,
            place: member.place,
            dialled: member.dialled,
            lost: matches!(stop, Stop::Lost(_)),
            reason,
            lasted: self.hub.clock.now().since(member.since),
        });
    }

    /// Takes links from `listener` for ever; answers when `beat` asks.
    pub async fn listen(self: Arc<Self>, listener: Async<TcpListener>, beat: Beat) {
        let gate = Gate {
            what: "a connection of a node",
            admission: &self.admission,
            denied: &self.denied,
            clock: &*self.hub.clock,
        };
        let take = |socket, from, slot| self.take(socket, from, slot);
        accept(&listener, &beat, &gate, &take).await;
    }

    fn take(self: &Arc<Self>, socket: Async<TcpStream>, from: SocketAddr, slot: Slot) {
        if let Err(e) = self.tuning().apply(&socket) {
            log::debug!("socket options of {from}: {e}");
        }
        let met = Arc::new(Met::default());
        let role = Role::Listening(slot, met.clone());
        let session = PeerSession::new(self.hub.clone(), role, from);
        let channel = Channel::server(&self.tls.server);
        let clock = self.hub.clock.clone();
        let pump = Pump::new(socket, channel, Vec::new(), clock, session);
        let links = self.clone();
        self.tasks.spawn(&self.executor, pump, move |stop| {
            let stop = stop.unwrap_or_else(|| {
                log::error!("a link from {from} ended by a defect of this program");
                Stop::Lost("a defect of this program".into())
            });
            if met.member.get().is_none() {
                log::debug!("no link from {from}: {stop}");
            }
            links.ended(&met, &stop);
        });
    }

    /// Keeps the links that are to be kept, for ever; answers when `beat` asks.
    pub async fn tend(self: Arc<Self>, beat: Beat) {
        loop {
            let now = self.hub.clock.now();
            let (due, next) = self.hub.pool().due(now);
            for wanted in due {
                let asked = self.hub.pool().ask(wanted.id, now);
                match asked {
                    Ok(Asked::Dial(_)) => {
                        let Wanted { id, host, port } = wanted;
                        let places = async move { addresses(&host, port).await };
                        self.dial(id, places.boxed());
                    }
                    Ok(_) => {}
                    Err(e) => self.failed(wanted.id, None, e),
                }
            }
            let late = async {
                match next {
                    Some(at) => drop(Timer::after(at.since(now)).await),
                    None => future::pending().await,
                }
            };
            let asked = beat.asked();
            future::or(self.hub.changed(), future::or(late, asked)).await;
        }
    }

    /// Names the nodes that links are to be kept to, in place of those named before.
    pub fn keep(&self, wanted: Vec<Wanted>) {
        self.hub.pool().keep(wanted, self.hub.clock.now());
        self.hub.tell_changed();
    }

    /// All links that stand.
    #[must_use]
    pub fn list(&self) -> Vec<PeerStatus> {
        self.hub.pool().list()
    }

    /// How many stand.
    #[must_use]
    pub fn count(&self) -> usize {
        self.hub.pool().count()
    }

    /// What happens to links from here on. Each event goes to one receiver.
    #[must_use]
    pub fn events(&self) -> Receiver<PeerEvent> {
        self.hub.events.1.clone()
    }

    /// What other nodes are told from here on: whether this one answers in the DHT.
    pub fn set_serving(&self, serving: bool) {
        self.hub.serving.store(serving, Ordering::Relaxed);
    }

    /// Puts other terms in force for links to come.
    pub fn change(&self, terms: PeerTerms) {
        self.admission.change(terms.admission);
        self.hub.change(terms);
    }

    /// Has all links look at the time: after a sleep of the device their timers are late.
    pub fn wake_all(&self) {
        let links = self.hub.pool().links();
        for link in links {
            link.wake();
        }
        self.hub.tell_changed();
    }

    /// Has all links find out at once whether the other node is still there, and those
    /// that wait for their next attempt make it: the network is another one.
    pub fn doubt_all(&self) {
        let members = self.hub.pool().members();
        for member in members {
            member.doubt();
        }
        self.hub.pool().hurry(self.hub.clock.now());
        self.hub.tell_changed();
    }

    /// There is no network, or there is one again. While there is none, links that are
    /// to be kept are not dialled, unless to this machine.
    pub fn set_away(&self, away: bool) {
        let now = self.hub.clock.now();
        self.hub.pool().set_away(away, now);
        self.hub.tell_changed();
    }

    /// Forgets addresses whose rate of connections is as if they had never come.
    pub fn tidy(&self) {
        self.admission.tidy(self.hub.clock.now());
    }

    /// Takes no more links, tells all other nodes that this one stops, and waits until they have
    /// read it, `drain` at most.
    pub async fn stop(&self, drain: Duration) {
        let links = {
            let mut pool = self.hub.pool();
            pool.stop();
            pool.links()
        };
        for link in links {
            link.end(Close {
                code: Code::SHUTTING_DOWN,
                text: "the node is stopping; come back soon".into(),
                retry_after_ms: Some(COME_BACK_MS),
            });
        }
        let end = self.hub.clock.now() + drain;
        while self.count() > 0 && self.hub.clock.now() < end {
            Timer::after(Duration::from_millis(20)).await;
        }
        self.tasks.end().await;
    }
}

/// What the other node's last words mean for whoever wanted the link.
fn refusal(stop: &Stop) -> Option<PeerError> {
    match stop {
        Stop::Told(close) => Some(PeerError::Refused(close.code, close.text.clone())),
        _ => None,
    }
}
