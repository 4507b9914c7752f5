//! One session of a device, from dialling to its end.

use super::node_address::NodeAddress;
use super::session::{DeviceSession, Event, SessionParts};
use super::Shared;
use crate::identity::Address;
use crate::parts::POWER;
use crate::platform::socket::Tuning;
use crate::ports::local::End;
use crate::ports::Link;
use crate::session::dial::dial;
use crate::session::{Pump, Stop};
use crate::task;
use crate::ticket::PayRefusal;
use crate::tls::Channel;
use crate::wire::code::Code;
use crate::wire::control::MESSAGES;
use async_io::{Async, Timer};
use std::future::{poll_fn, Future};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

/// How long a port may be silent until the node's next one is dialled beside it: two
/// round trips of a bad mobile link.
const NEXT_PORT: Duration = Duration::from_secs(2);

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
pub(super) struct Outcome {
    pub stop: Stop,
    /// It stood: ports could be opened in it.
    pub was_admitted: bool,
    /// Somebody else than the node that it should be.
    pub wrong_node: bool,
    /// A node with which another session stands.
    pub same_node: bool,
    /// Why nothing is paid there, and whether that holds for all nodes.
    pub refusal: Option<(String, bool)>,
}

impl Outcome {
    fn lost(text: String) -> Outcome {
        Outcome {
            stop: Stop::Lost(text),
            was_admitted: false,
            wrong_node: false,
            same_node: false,
            refusal: None,
        }
    }

    /// Whether more attempts, at one of `nodes`, make no sense.
    pub fn is_final(&self, nodes: usize) -> bool {
        let replaced = matches!(&self.stop, Stop::Told(c) if c.code == Code::REPLACED);
        let alone = nodes == 1 && (self.wrong_node || self.refusal.is_some());
        replaced || self.is_spent() || (alone && !self.was_admitted)
    }

    /// `--max-bytes` is used up.
    pub fn is_spent(&self) -> bool {
        matches!(&self.refusal, Some((_, true)))
    }

    /// Why it ended, for the program's user.
    pub fn explain(&self, node: &NodeAddress) -> String {
        if let Some((refusal, _)) = &self.refusal {
            return refusal.clone();
        }
        match &self.stop {
            Stop::Told(c) if c.code == Code::REPLACED => c.text.clone(),
            Stop::Told(c) => format!("the node at {} ended the session: {}", node.place(), c.text),
            Stop::Lost(text) if self.wrong_node || self.same_node => text.clone(),
            stop => format!("node {}: {stop}", node.place()),
        }
    }
}

/// Connects to a node and runs the session to its end.
///
/// # Errors
/// It was not reached; the text says where and why.
pub(super) async fn attempt(
    shared: &Arc<Shared>,
    slot: usize,
    node: &NodeAddress,
) -> Result<Outcome, String> {
    let mut ports = vec![node.port];
    ports.extend(&node.others);
    match dial_any(&node.host, &ports).await {
        Ok(socket) => Ok(session(shared, slot, node, socket).await),
        Err(reason) => Err(format!(
            "cannot reach the node at {}: {reason} (is it running, is the port right?)",
            node.place()
        )),
    }
}

type Dialled<'a> = Pin<Box<dyn Future<Output = Result<Async<TcpStream>, String>> + Send + 'a>>;

/// Connects to the first port that answers. The next one is tried as soon as one
/// fails, and beside it when it says nothing for a while: firewalls drop in silence.
fn dial_any<'a>(host: &'a str, ports: &'a [u16]) -> Dialled<'a> {
    Box::pin(async move {
        let Some((first, rest)) = ports.split_first() else {
            return Err("it has no port".to_owned());
        };
        let mut first: Dialled<'a> = Box::pin(dial(host, *first, Tuning::SESSION));
        if rest.is_empty() {
            return first.await;
        }
        let early = smol::future::or(async { Some((&mut first).await) }, async {
            Timer::after(NEXT_PORT).await;
            None
        });
        let mut early = early.await;
        if let Some(Ok(socket)) = early {
            return Ok(socket);
        }
        let mut others = Some(dial_any(host, rest));
        poll_fn(|cx| {
            if early.is_none() {
                match first.as_mut().poll(cx) {
                    Poll::Ready(Ok(socket)) => return Poll::Ready(Ok(socket)),
                    Poll::Ready(error) => early = Some(error),
                    Poll::Pending => {}
                }
            }
            if let Some(more) = &mut others {
                match more.as_mut().poll(cx) {
                    Poll::Ready(Ok(socket)) => return Poll::Ready(Ok(socket)),
                    Poll::Ready(Err(_)) => others = None,
                    Poll::Pending => {}
                }
            }
            match (&others, early.take()) {
                // What the best port said is told; the others are there for it.
                (None, Some(error)) => Poll::Ready(error),
                (_, kept) => {
                    early = kept;
                    Poll::Pending
                }
            }
        })
        .await
    })
}

async fn session(
    shared: &Arc<Shared>,
    slot: usize,
    node: &NodeAddress,
    socket: Async<TcpStream>,
) -> Outcome {
    let options = &shared.options;
    let mut greeting = Vec::new();
    let channel =
        Channel::client(&shared.edge_tls).and_then(|mut c| c.start(&mut greeting).map(|()| c));
    let channel = match channel {
        Ok(channel) => channel,
        Err(e) => return Outcome::lost(e.to_string()),
    };
    let wrong_node = Arc::new(AtomicBool::new(false));
    let same_node = Arc::new(AtomicBool::new(false));
    let refusal: Arc<Unpaid> = Arc::default();
    let check_node = {
        let (wrong, same) = (wrong_node.clone(), same_node.clone());
        let (shared, node) = (shared.clone(), node.clone());
        Box::new(move |address: Address| {
            check(&shared, &node, address).inspect_err(|_| wrong.store(true, Ordering::Relaxed))?;
            if shared.lock().meet(slot, address) {
                return Ok(());
            }
            same.store(true, Ordering::Relaxed);
            Err(format!(
                "the node at {} is {address}, which this device has a session with: name another node to be kept connected with two",
                node.place()
            ))
        })
    };
    let link_slot: Arc<Mutex<Option<Arc<Link>>>> = Arc::default();
    let events = {
        let hearing = Hearing {
            shared: shared.clone(),
            slot,
            refusal: refusal.clone(),
            link: link_slot.clone(),
            place: node.place(),
        };
        Box::new(move |event: Event| hearing.hear(event))
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
        link_slot,
        clock: options.clock.clone(),
    };
    let clock = options.clock.clone();
    let pump = Pump::new(socket, channel, greeting, clock, DeviceSession::new(parts));
    let stop = Box::pin(pump).await;
    let mut outcome = Outcome {
        stop,
        was_admitted: false,
        wrong_node: wrong_node.load(Ordering::Relaxed),
        same_node: same_node.load(Ordering::Relaxed),
        refusal: refusal.take(),
    };
    let reason = outcome.explain(node);
    let now = options.clock.now();
    outcome.was_admitted = shared.lock().ended(slot, &reason, now);
    outcome
}

/// Whether the node is who it should be; remembers one that is new.
fn check(shared: &Shared, node: &NodeAddress, address: Address) -> Result<(), String> {
    let known = &shared.options.known_nodes;
    if known.check(node, address)? {
        let known = known.clone();
        // Writing the file may block on a slow card.
        task::unblock_boxed(Box::new(move || {
            if let Err(e) = known.save() {
                log::warn!("cannot remember the node: {e}");
            }
        }))
        .detach();
    }
    Ok(())
}

/// Where a session's events go.
struct Hearing {
    shared: Arc<Shared>,
    slot: usize,
    refusal: Arc<Unpaid>,
    link: Arc<Mutex<Option<Arc<Link>>>>,
    /// Where the node was reached.
    place: String,
}

impl Hearing {
    fn hear(&self, event: Event) -> bool {
        let link = self
            .link
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(link) = link else { return false };
        let (shared, slot) = (&self.shared, self.slot);
        let now = shared.options.clock.now();
        match event {
            Event::Welcomed(w) => log::debug!("the node is {} (epoch {})", w.agent, w.epoch),
            Event::Admitted => shared.lock().admitted(slot, &link, &self.place, now),
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
            Event::Offered(port) if port.name() == MESSAGES => {
                return shared.letters.try_send(port).is_ok()
            }
            Event::Offered(port) => return shared.offers.try_send(port).is_ok(),
            Event::Openings(_) if !POWER.built => {}
            Event::Openings(said) => shared.lock().openings(slot, link.remote(), said),
            Event::Published(id, result) => {
                let result = result.map_err(|e| End::new(e.code, e.text));
                shared.lock().published(slot, id, result, now);
            }
            Event::WontPay(why) => {
                let spent = matches!(why, PayRefusal::MaxBytes { .. });
                self.refusal.set(why.to_string(), spent);
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
                self.refusal.set(text, false);
                link.leave(Code::LEAVING, "the ticket was refused");
            }
        }
        true
    }
}
