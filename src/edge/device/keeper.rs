//! Keeps a device connected: tries the nodes in order, fails over, and comes
//! back for ever.

use super::node_address::NodeAddress;
use super::session::{DeviceSession, Event, SessionParts};
use super::tunnel::Tunnel;
use super::{Shared, State};
use crate::identity::Address;
use crate::platform::clock::{awake, on_the_second, SleepWatch};
use crate::platform::socket::Tuning;
use crate::ports::local::End;
use crate::ports::LocalPort;
use crate::session::dial::dial;
use crate::session::{Pump, Stop};
use crate::ticket::PayRefusal;
use crate::time::{Clock, Moment};
use crate::tls::Channel;
use crate::wire::code::Code;
use async_io::{Async, Timer};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// First pause after all nodes have failed; the first retry comes within 0.5 s.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause in the first minute after a loss: with the handshake that
/// follows, a device is back within 5 s of its node.
const EAGER_PAUSE: Duration = Duration::from_secs(4);
/// How long a device is eager after a loss.
const EAGER_TIME: Duration = Duration::from_secs(60);
/// Pause after that.
const PATIENT_PAUSE: Duration = Duration::from_secs(60);
/// A node may not send us away for longer than this.
const LONGEST_WISH: Duration = Duration::from_secs(300);

/// How often a device looks whether it has slept.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// What happens to a device, for its program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceEvent {
    /// A ticket was accepted and all published ports stand.
    Ready {
        /// The node.
        node: Address,
        /// Where it was reached.
        place: String,
    },
    /// The session ended; the device tries to come back.
    Lost {
        /// Why.
        reason: String,
    },
    /// A session stands again.
    Back {
        /// The node.
        node: Address,
        /// Milliseconds without a session.
        after_ms: u64,
    },
    /// A node could not be reached or refused the session; the device goes on trying.
    Trouble {
        /// Where, why and what to do.
        reason: String,
    },
    /// The node refused to publish a port.
    Refused {
        /// The port's name.
        name: String,
        /// Why.
        reason: String,
    },
    /// It makes no sense to go on; the device has stopped.
    Over {
        /// Why, and what to do.
        reason: String,
    },
}

/// A port that somebody wants to open.
pub struct Offer {
    pub(super) port: LocalPort,
    pub(super) shared: Arc<Shared>,
}

impl Offer {
    /// The opener as the node says; end to end, the handshake tells for sure.
    #[must_use]
    pub fn opener(&self) -> Address {
        self.port.peer()
    }

    /// The port's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.port.name()
    }

    /// Refuses the opening.
    pub fn refuse(self, code: Code, text: &str) {
        self.port.refuse(code, text);
    }

    /// Takes the port. For `tls:` and `utls:` the handshake is done first, and
    /// `allowed` judges the opener by its proven address.
    ///
    /// # Errors
    /// The handshake failed or the opener is not allowed; the opener is told.
    pub async fn accept(self, allowed: impl Fn(Address) -> Result<(), End>) -> Result<Tunnel, End> {
        let clock = self.shared.options.clock.clone();
        if !crate::edge::is_end_to_end(self.port.name()) {
            let verdict = allowed(self.port.peer());
            if let Err(end) = verdict {
                self.port.refuse(end.code, &end.text);
                return Err(end);
            }
            self.port.accept();
            return Ok(Tunnel::plain(self.port, clock));
        }
        self.port.accept();
        let channel = Channel::server(&self.shared.inner_server);
        Tunnel::secured(self.port, channel, Vec::new(), clock, allowed).await
    }
}

/// Why a session cannot go on because of tickets.
#[derive(Default)]
struct Unpaid(Mutex<Option<(String, bool)>>);

impl Unpaid {
    /// `for_good`: no other node would change it.
    fn set(&self, text: String, for_good: bool) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.get_or_insert((text, for_good));
    }

    fn take(&self) -> Option<(String, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What one session left behind.
struct Outcome {
    stop: Stop,
    was_admitted: bool,
    wrong_node: bool,
    refusal: Option<(String, bool)>,
}

/// Runs until the device is over.
pub(super) async fn keep(shared: Arc<Shared>) {
    let watching = async {
        loop {
            resumed(&*shared.options.clock).await;
            let link = shared.lock().link.clone();
            if let Some(link) = link {
                link.wake();
            }
        }
    };
    smol::future::or(connect(shared.clone()), watching).await;
}

/// Waits until the device has slept.
async fn resumed(clock: &dyn Clock) {
    let mut watch = SleepWatch::default();
    while watch.look(clock.now(), awake()).is_none() {
        Timer::at(on_the_second(LOOK_EVERY)).await;
    }
}

/// Tries the nodes, over and over.
async fn connect(shared: Arc<Shared>) {
    let mut lost_at: Option<Moment> = None;
    let mut pause = FIRST_PAUSE;
    let mut turn = 0;
    loop {
        let nodes = shared.options.nodes.clone();
        let mut wrong = 0;
        let mut progress = false;
        let mut wish = Duration::ZERO;
        for step in 0..nodes.len() {
            let at = (turn + step) % nodes.len();
            let Some(node) = nodes.get(at) else { continue };
            let outcome = match dial(&node.host, node.port, Tuning::SESSION).await {
                Ok(socket) => session(&shared, node, socket, lost_at).await,
                Err(reason) => {
                    let reason = format!(
                        "cannot reach the node at {}: {reason} (is it running, is the port right?)",
                        node.place()
                    );
                    shared.lock().tell(DeviceEvent::Trouble { reason });
                    continue;
                }
            };
            let reason = explain(&outcome, node);
            if is_final(&outcome, nodes.len()) {
                return shared.end(&reason);
            }
            if outcome.wrong_node {
                wrong += 1;
            }
            if let Stop::Told(close) = &outcome.stop {
                wish = Duration::from_millis(u64::from(close.retry_after_ms.unwrap_or(0)));
            }
            if outcome.was_admitted {
                lost_at = Some(shared.options.clock.now());
                pause = FIRST_PAUSE;
                progress = true;
                shared.lock().tell(DeviceEvent::Lost { reason });
                // The others first: this one has just failed.
                turn = at + 1;
                break;
            }
            shared.lock().tell(DeviceEvent::Trouble { reason });
        }
        if wrong == nodes.len() {
            return shared.end("no node is the one that it should be");
        }
        let now = shared.options.clock.now();
        let since = lost_at.get_or_insert(now);
        let eager = now.since(*since) < EAGER_TIME;
        if progress && nodes.len() > 1 && wish.is_zero() {
            continue;
        }
        let rest = async {
            Timer::after(jitter(pause).max(wish.min(LONGEST_WISH))).await;
        };
        // A device that was asleep has waited long enough.
        smol::future::or(rest, resumed(&*shared.options.clock)).await;
        pause = if eager {
            (pause * 2).min(EAGER_PAUSE)
        } else {
            PATIENT_PAUSE
        };
    }
}

/// Half to one and a half of `pause`: devices that lost the same node do not
/// all come back in the same instant. The longest stays below the promised one.
fn jitter(pause: Duration) -> Duration {
    let cap = if pause <= EAGER_PAUSE {
        EAGER_PAUSE
    } else {
        PATIENT_PAUSE
    };
    pause.mul_f64(0.5 + fastrand::f64()).min(cap)
}

fn is_final(outcome: &Outcome, nodes: usize) -> bool {
    let replaced = matches!(&outcome.stop, Stop::Told(c) if c.code == Code::REPLACED);
    let spent = matches!(&outcome.refusal, Some((_, true)));
    let alone = nodes == 1 && (outcome.wrong_node || outcome.refusal.is_some());
    replaced || spent || (alone && !outcome.was_admitted)
}

fn explain(outcome: &Outcome, node: &NodeAddress) -> String {
    if let Some((refusal, _)) = &outcome.refusal {
        return refusal.clone();
    }
    match &outcome.stop {
        Stop::Told(c) if c.code == Code::REPLACED => c.text.clone(),
        Stop::Told(c) => format!("the node at {} ended the session: {}", node.place(), c.text),
        Stop::Lost(text) if outcome.wrong_node => text.clone(),
        stop => format!("node {}: {stop}", node.place()),
    }
}

/// Runs one session to its end.
async fn session(
    shared: &Arc<Shared>,
    node: &NodeAddress,
    socket: Async<TcpStream>,
    lost_at: Option<Moment>,
) -> Outcome {
    let options = &shared.options;
    let mut greeting = Vec::new();
    let channel =
        Channel::client(&shared.edge_tls).and_then(|mut c| c.start(&mut greeting).map(|()| c));
    let channel = match channel {
        Ok(channel) => channel,
        Err(e) => {
            return Outcome {
                stop: Stop::Lost(e.to_string()),
                was_admitted: false,
                wrong_node: false,
                refusal: None,
            }
        }
    };
    let wrong_node = Arc::new(AtomicBool::new(false));
    let refusal: Arc<Unpaid> = Arc::default();
    let found: Arc<Mutex<Option<Address>>> = Arc::default();
    let check_node = {
        let (wrong, node, found) = (wrong_node.clone(), node.clone(), found.clone());
        let known = options.known_nodes.clone();
        Box::new(move |address: Address| match known.check(&node, address) {
            Ok(new) => {
                if new {
                    let known = known.clone();
                    // Writing the file may block on a slow card.
                    smol::unblock(move || {
                        if let Err(e) = known.save() {
                            log::warn!("cannot remember the node: {e}");
                        }
                    })
                    .detach();
                }
                *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
                Ok(())
            }
            Err(text) => {
                wrong.store(true, Ordering::Relaxed);
                Err(text)
            }
        })
    };
    let link_slot: Arc<Mutex<Option<Arc<crate::ports::Link>>>> = Arc::default();
    let events = {
        let (shared, refusal, slot) = (shared.clone(), refusal.clone(), link_slot.clone());
        let place = node.place();
        Box::new(move |event: Event| on_event(&shared, event, &refusal, &slot, &place, lost_at))
    };
    let parts = SessionParts {
        key: shared.key.clone(),
        agent: options.agent.clone(),
        check_node,
        payer: shared.payer.clone(),
        fleet: options.fleet,
        events,
        max_ports: super::PORTS_MAX,
        traffic: shared.traffic.clone(),
        budget: shared.budget.clone(),
        link_slot: link_slot.clone(),
        clock: options.clock.clone(),
    };
    let pump = Pump::new(
        socket,
        channel,
        greeting,
        options.clock.clone(),
        DeviceSession::new(parts),
    );
    let stop = Box::pin(pump).await;
    let was_admitted = {
        let mut st = shared.lock();
        st.asked.clear();
        st.wake();
        st.link.take().is_some()
    };
    let refusal = refusal.take();
    Outcome {
        stop,
        was_admitted,
        wrong_node: wrong_node.load(Ordering::Relaxed),
        refusal,
    }
}

fn on_event(
    shared: &Shared,
    event: Event,
    refusal: &Unpaid,
    link: &Mutex<Option<Arc<crate::ports::Link>>>,
    place: &str,
    lost_at: Option<Moment>,
) -> bool {
    let link = link.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(link) = link else { return false };
    match event {
        Event::Welcomed(w) => log::debug!("the node is {} (epoch {})", w.agent, w.epoch),
        Event::Admitted => {
            let mut st = shared.lock();
            st.link = Some(link.clone());
            st.settled = false;
            let names: Vec<String> = st.publications.keys().cloned().collect();
            for name in &names {
                st.announce(&link, name);
            }
            st.wake();
        }
        Event::TicketStored {
            total_bytes,
            durable,
        } => {
            if !durable {
                log::warn!(
                    "the node has not kept the ticket: its disk failed, or it is one that keeps nothing (--ephemeral)"
                );
            }
            log::debug!("ticket of {total_bytes} bytes accepted");
        }
        Event::Offered(port) => return shared.offers.try_send(port).is_ok(),
        Event::Published(id, result) => {
            let mut st = shared.lock();
            if let Some(name) = st.asked.remove(&id) {
                st.published(&name, result.map_err(|e| End::new(e.code, e.text)));
            }
        }
        Event::WontPay(why) => {
            let spent = matches!(why, PayRefusal::MaxBytes { .. });
            refusal.set(why.to_string(), spent);
            link.leave(Code::LEAVING, &why.to_string());
        }
        Event::TicketRefused(error) if error.retry_after_ms.is_some() => {
            // A clock that is wrong, or tickets too often: another session may
            // do better, and the keeper's pauses keep it from hammering.
            let text = format!("the node refused a ticket: {}", error.text);
            link.leave(Code::LEAVING, &text);
        }
        Event::TicketRefused(error) => {
            let text = format!("the node refused the ticket: {}", error.text);
            refusal.set(text, false);
            link.leave(Code::LEAVING, "the ticket was refused");
        }
    }
    let mut st = shared.lock();
    st.settle(
        place,
        lost_at.map(|at| shared.options.clock.now().since(at)),
    );
    true
}

impl State {
    fn published(&mut self, name: &str, result: Result<(), End>) {
        if let Err(end) = &result {
            self.tell(DeviceEvent::Refused {
                name: name.to_owned(),
                reason: end.text.clone(),
            });
        }
        if let Some(publication) = self.publications.get_mut(name) {
            publication.standing = Some(result);
        }
    }

    /// Tells Ready or Back once everything stands.
    fn settle(&mut self, place: &str, away: Option<Duration>) {
        let Some(link) = &self.link else { return };
        let node = link.remote();
        let stands = |p: &super::Publication| matches!(p.standing, Some(Ok(())));
        if !self.publications.values().all(stands) || self.settled {
            return;
        }
        self.settled = true;
        if self.ready_told {
            let after_ms = away.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
            self.tell(DeviceEvent::Back { node, after_ms });
        } else {
            self.ready_told = true;
            self.tell(DeviceEvent::Ready {
                node,
                place: place.to_owned(),
            });
        }
    }
}

impl Shared {
    fn end(&self, reason: &str) {
        let mut st = self.lock();
        st.over = Some(End::new(Code::LEAVING, reason));
        st.tell(DeviceEvent::Over {
            reason: reason.to_owned(),
        });
    }
}
