//! The device's side of a session, without I/O.
//!
//! It greets, signs tickets when the node asks for them, hands offered ports to
//! the program and pings. What the program asks of the node (publish, open) goes
//! through the [`Link`]; answers come back as [`Event`]s.

use super::pace::{capabilities, ping_interval, OVERSLEPT};
pub use super::pace::{ANSWER_TIME, PING_INTERVAL, WOKEN_TIME};
use super::telling::Telling;
use super::Traffic;
use crate::identity::{Address, SecretKey};
use crate::parts::POWER;
use crate::ports::{Budget, Link, LinkOptions, LocalPort};
use crate::session::{Protocol, Stop};
use crate::ticket::{Ask, Carried, PayRefusal, Payee, Payer, Ticket, TicketTerms};
use crate::time::{Clock, Moment};
use crate::wire::code::Code;
use crate::wire::control::{
    decode, Abort, Close, Credit, ErrorAnswer, Finish, Hello, Message, Open, Opened, Ping, Pong,
    Published, TicketAccepted, TicketAsk, TicketTooLow, Welcome,
};
use crate::wire::frame::{Decoder, Piece};
use crate::wire::notice::{Openings, NOTICES, ROUNDS};
use crate::wire::presence::{PresenceAsk, PresenceTaken, CAPABILITY};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Duration;

/// How far back the traffic rate looks that decides a ticket's size.
const RATE_SPAN: Duration = Duration::from_secs(2);

/// What the program learns from its session.
#[derive(Debug)]
pub enum Event {
    /// The node answered the greeting.
    Welcomed(Welcome),
    /// Ports may be published and opened from here on.
    Admitted,
    /// A ticket is on the node's disk (or not, when its disk failed).
    TicketStored {
        /// Bytes paid for in the epoch.
        total_bytes: u64,
        /// On disk.
        durable: bool,
    },
    /// The program will not or cannot pay what the node asks.
    WontPay(PayRefusal),
    /// The node refused a ticket.
    TicketRefused(ErrorAnswer),
    /// Somebody wants to open a published port.
    Offered(LocalPort),
    /// The node opens no more ports, or opens them again.
    Openings(Openings),
    /// The answer to a publish request.
    Published(u32, Result<(), ErrorAnswer>),
}

/// Where [`Event`]s go; returns false when the program cannot take more now.
pub type EventSink = Box<dyn FnMut(Event) -> bool + Send>;
/// Decides whether the node at the other end is the right one; the text says why not.
pub type NodeCheck = Box<dyn Fn(Address) -> Result<(), String> + Send>;

/// What a session is made of.
pub struct SessionParts {
    /// The device's key; it signs tickets.
    pub key: Arc<SecretKey>,
    /// Name and version of the program.
    pub agent: String,
    /// Checks the node's address.
    pub check_node: NodeCheck,
    /// Says what to sign, over all sessions of a run.
    pub payer: Arc<Mutex<Payer>>,
    /// Fleet that tickets name; the node's when `None`.
    pub fleet: Option<Address>,
    /// Where events go.
    pub events: EventSink,
    /// Most ports open at once that this program takes.
    pub max_ports: usize,
    /// Where what was carried is counted.
    pub traffic: Arc<Traffic>,
    /// Where the link is put once there is one, for the receiver of the events.
    pub link_slot: Arc<Mutex<Option<Arc<Link>>>>,
    /// Memory for grown windows.
    pub budget: Arc<Budget>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// See the module's text.
pub struct DeviceSession {
    decoder: Decoder,
    core: Core,
}

struct Core {
    parts: SessionParts,
    link: Option<Arc<Link>>,
    node: Address,
    welcomed: bool,
    admitted: bool,
    ticket_id: Option<u32>,
    /// The word that this device is here; `None`: the node does not ask for it.
    telling: Option<Telling>,
    /// Something must have come by then, else the node is gone.
    answer_due: Option<Moment>,
    /// A node that wants tickets must have asked for the first by then.
    ask_due: Option<Moment>,
    last_heard: Moment,
    ping: Option<(u32, Moment)>,
    next_ping: Moment,
    /// Capability bits that both sides know.
    known: u64,
    carried: u64,
    rate_mark: (Moment, u64),
    rate: u64,
}

impl DeviceSession {
    /// A session that is about to connect.
    #[must_use]
    pub fn new(parts: SessionParts) -> DeviceSession {
        let now = parts.clock.now();
        DeviceSession {
            decoder: Decoder::new(),
            core: Core {
                parts,
                link: None,
                node: Address::ZERO,
                welcomed: false,
                admitted: false,
                ticket_id: None,
                telling: None,
                answer_due: Some(now + ANSWER_TIME),
                ask_due: None,
                last_heard: now,
                ping: None,
                next_ping: now + PING_INTERVAL,
                known: 0,
                carried: 0,
                rate_mark: (now, 0),
                rate: 0,
            },
        }
    }
}

impl Drop for DeviceSession {
    fn drop(&mut self) {
        let core = &self.core;
        if core.welcomed {
            core.payer().end(core.node);
        }
        if let Some(link) = &core.link {
            link.dissolve(Code::PEER_LOST, "the session with the node ended");
        }
    }
}

impl Protocol for DeviceSession {
    fn secured(&mut self, peer: Address, _alpn: Option<&[u8]>, now: Moment) -> Result<(), Stop> {
        let core = &mut self.core;
        (core.parts.check_node)(peer).map_err(Stop::Lost)?;
        core.node = peer;
        let link = Link::new(LinkOptions {
            remote: peer,
            chooses_even: false,
            max_ports: core.parts.max_ports,
            budget: core.parts.budget.clone(),
        });
        link.request(&Hello {
            capabilities: capabilities(),
            agent: core.parts.agent.clone(),
        });
        *core
            .parts
            .link_slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(link.clone());
        core.link = Some(link);
        core.answer_due = Some(now + ANSWER_TIME);
        Ok(())
    }

    fn receive(&mut self, plain: &[u8], now: Moment) -> Result<(), Stop> {
        let DeviceSession { decoder, core } = self;
        core.last_heard = now;
        let mut input = plain;
        while let Some(piece) = decoder
            .next(&mut input)
            .map_err(|e| Stop::say(Code::PROTOCOL, &e.to_string()))?
        {
            core.take(piece, now)?;
        }
        Ok(())
    }

    fn sent(&mut self, bytes: usize) {
        self.core.carried += bytes as u64;
        let sent = &self.core.parts.traffic.sent;
        sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn tick(&mut self, _cx: &mut Context<'_>, now: Moment) -> Result<Option<Moment>, Stop> {
        let core = &mut self.core;
        if let Some(due) = core.answer_due {
            // An answer that came while the device slept has still to be read.
            if core.welcomed && now.since(due) >= OVERSLEPT {
                core.send_ping(now, WOKEN_TIME);
            } else if now >= due {
                let waited = if core.link.is_none() {
                    "the node did not finish the TLS handshake in time"
                } else if !core.welcomed {
                    "the node did not answer the greeting in time"
                } else {
                    "the node no longer answers"
                };
                return Err(Stop::Lost(waited.into()));
            }
        }
        if core.ask_due.is_some_and(|due| now >= due) {
            let text = "the node wants tickets and did not ask for one in time";
            return Err(Stop::Lost(text.into()));
        }
        let doubted = core.link.as_ref().is_some_and(|link| link.take_doubt());
        if core.welcomed && doubted {
            core.send_ping(now, WOKEN_TIME);
        }
        if core.welcomed && now >= core.next_ping {
            let overslept = now.since(core.next_ping) >= OVERSLEPT;
            core.send_ping(now, if overslept { WOKEN_TIME } else { ANSWER_TIME });
        }
        core.measure_rate(now);
        let tell = core.tell_presence(now);
        let wake = core.welcomed.then_some(core.next_ping);
        Ok([wake, core.answer_due, core.ask_due, tell]
            .into_iter()
            .flatten()
            .min())
    }

    fn link(&self) -> Option<&Arc<Link>> {
        self.core.link.as_ref()
    }
}

impl Core {
    fn take(&mut self, piece: Piece<'_>, now: Moment) -> Result<(), Stop> {
        let Some(link) = self.link.clone() else {
            return Ok(());
        };
        match piece {
            Piece::Data { .. } if !self.welcomed => Err(no_welcome()),
            Piece::Data {
                port,
                bytes,
                first,
                last,
            } => {
                let taken = link.receive(port, bytes, first, last, now)?;
                self.carried += taken as u64;
                let received = &self.parts.traffic.received;
                received.fetch_add(taken as u64, Ordering::Relaxed);
                Ok(())
            }
            Piece::Control { kind, id, body } => self.take_control(&link, kind, id, body, now),
        }
    }

    fn take_control(
        &mut self,
        link: &Arc<Link>,
        kind: u8,
        id: u32,
        body: &[u8],
        now: Moment,
    ) -> Result<(), Stop> {
        match kind {
            Welcome::KIND if !self.welcomed => {
                self.welcomed = true;
                self.answer_due = None;
                let welcome: Welcome = parse(body)?;
                self.payer().begin(Payee {
                    node: self.node,
                    chain_id: welcome.chain_id,
                    fleet: self.parts.fleet.unwrap_or(welcome.fleet),
                });
                let free = !welcome.tickets_required;
                self.known = welcome.capabilities & capabilities();
                if welcome.capabilities & CAPABILITY != 0 {
                    self.telling = Some(Telling::default());
                }
                self.tell(Event::Welcomed(welcome));
                if free {
                    self.admit(link);
                } else {
                    self.ask_due = Some(now + ANSWER_TIME);
                }
                self.send_ping(now, ANSWER_TIME);
            }
            _ if !self.welcomed => return Err(no_welcome()),
            TicketAsk::KIND => {
                let ask: TicketAsk = parse(body)?;
                self.ask_due = None;
                let ask = Ask {
                    epoch: ask.epoch,
                    epoch_known: ask.epoch_known,
                    usage: ask.usage,
                };
                let carried = self.carried(link, now);
                let answer = self.payer().answer(self.node, &ask, &carried);
                self.pay(link, answer);
            }
            TicketTooLow::KIND => {
                let low: TicketTooLow = parse(body)?;
                if self.ticket_id != Some(id) {
                    return Err(unasked());
                }
                let carried = self.carried(link, now);
                let answer = self
                    .payer()
                    .too_low(self.node, low.usage, low.last_total, &carried);
                self.pay(link, answer);
            }
            TicketAccepted::KIND => {
                let accepted: TicketAccepted = parse(body)?;
                self.ticket_id.take_if(|ticket| *ticket == id);
                self.payer().accepted(self.node);
                self.tell(Event::TicketStored {
                    total_bytes: accepted.total_bytes,
                    durable: accepted.durable,
                });
                self.admit(link);
            }
            Ping::KIND => {
                parse::<Ping>(body)?;
                link.push_control(id, &Pong {});
                if self.known & ROUNDS != 0 {
                    // The node is there, and knows that we are.
                    self.next_ping = self.next_ping.max(now + ping_interval());
                }
            }
            Pong::KIND => {
                parse::<Pong>(body)?;
                if let Some((_, at)) = self.ping.take_if(|(ping, _)| *ping == id) {
                    link.set_rtt(now.since(at));
                    self.answer_due = None;
                }
            }
            Open::KIND => {
                let open: Open = parse(body)?;
                match LocalPort::offered(link, id, &open, now)? {
                    // A program that takes no more offers drops the port, which refuses it.
                    Ok(port) => {
                        (self.parts.events)(Event::Offered(port));
                    }
                    Err(code) => link.push_control(
                        id,
                        &ErrorAnswer {
                            code,
                            text: "the device has as many ports open as it may".into(),
                            limit: Some(link.max_ports() as u64),
                            retry_after_ms: None,
                        },
                    ),
                }
            }
            Opened::KIND => {
                let opened: Opened = parse(body)?;
                if !link.answered(id, opened.credit, now) {
                    return Err(unasked());
                }
            }
            PresenceAsk::KIND if self.telling.is_some() => {
                let ask: PresenceAsk = parse(body)?;
                if let Some(telling) = &mut self.telling {
                    telling.asked(&ask, now);
                }
            }
            PresenceTaken::KIND if self.telling.is_some() => {
                parse::<PresenceTaken>(body)?;
                let telling = self.telling.as_mut();
                if !telling.is_some_and(|t| t.taken(id, now)) {
                    return Err(unasked());
                }
            }
            Openings::KIND if POWER.built && self.known & NOTICES != 0 => {
                self.tell(Event::Openings(parse(body)?));
            }
            Published::KIND => {
                parse::<Published>(body)?;
                self.tell(Event::Published(id, Ok(())));
            }
            ErrorAnswer::KIND => {
                let error: ErrorAnswer = parse(body)?;
                if self.ticket_id == Some(id) {
                    self.ticket_id = None;
                    self.tell(Event::TicketRefused(error));
                } else if self
                    .telling
                    .as_mut()
                    .is_some_and(|t| t.refused(id, &error, now))
                {
                    log::debug!("presence was refused: {}", error.text);
                } else if !link.answered_no(id, error.code, &error.text) {
                    self.tell(Event::Published(id, Err(error)));
                }
            }
            Credit::KIND => {
                let credit: Credit = parse(body)?;
                link.credit(credit.port, credit.bytes)?;
            }
            Finish::KIND => link.finish(parse::<Finish>(body)?.port)?,
            Abort::KIND => {
                let abort: Abort = parse(body)?;
                link.aborted(abort.port, abort.code, &abort.text)?;
            }
            Close::KIND => return Err(Stop::Told(parse(body)?)),
            other => {
                let text = format!("frame type 0x{other:02x} is not for a device");
                return Err(Stop::say(Code::PROTOCOL, &text));
            }
        }
        Ok(())
    }

    fn admit(&mut self, link: &Arc<Link>) {
        if !self.admitted {
            self.admitted = true;
            link.admit();
            self.tell(Event::Admitted);
        }
    }

    fn payer(&self) -> MutexGuard<'_, Payer> {
        let payer = &self.parts.payer;
        payer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the payer needs to know.
    fn carried(&mut self, link: &Link, now: Moment) -> Carried {
        self.measure_rate(now);
        let clock = &self.parts.clock;
        Carried {
            bytes: self.carried,
            rate: self.rate,
            ports: link.ports_opened(),
            unix: clock.unix(),
            clock_trusted: clock.trusted(),
        }
    }

    fn pay(&mut self, link: &Arc<Link>, answer: Option<Result<TicketTerms, PayRefusal>>) {
        match answer {
            Some(Ok(terms)) => {
                let ticket = Ticket::sign(&self.parts.key, &self.node, terms);
                self.ticket_id = Some(link.request(&ticket));
            }
            Some(Err(refusal)) => self.tell(Event::WontPay(refusal)),
            None => {}
        }
    }

    /// Says that this device is here when that is due: along with the first
    /// ticket, and again in time. When to look again.
    fn tell_presence(&mut self, now: Moment) -> Option<Moment> {
        let paid = self.admitted || self.ticket_id.is_some();
        let (Some(telling), Some(link), true) = (&mut self.telling, &self.link, paid) else {
            return None;
        };
        let (key, clock) = (&self.parts.key, &*self.parts.clock);
        if let Some(signed) = telling.sign(key, self.node, now, clock) {
            telling.sent(link.request(&signed));
        }
        telling.due()
    }

    fn send_ping(&mut self, now: Moment, answer_within: Duration) {
        if let Some(link) = &self.link {
            let id = link.request(&Ping {});
            self.ping = Some((id, now));
            self.next_ping = now + ping_interval();
            self.answer_due = Some(now + answer_within);
        }
    }

    fn measure_rate(&mut self, now: Moment) {
        let (mark, carried) = self.rate_mark;
        let passed = now.since(mark);
        let fresh = self.carried - carried;
        // Within the span the rate can only rise: a burst must be covered at once.
        let millis = u64::try_from(passed.as_millis())
            .unwrap_or(u64::MAX)
            .max(100);
        let rate = fresh.saturating_mul(1000) / millis;
        if passed >= RATE_SPAN {
            self.rate = rate;
            self.rate_mark = (now, self.carried);
        } else {
            self.rate = self.rate.max(rate);
        }
    }

    fn tell(&mut self, event: Event) {
        (self.parts.events)(event);
    }
}

fn parse<M: Message>(body: &[u8]) -> Result<M, Stop> {
    decode(body).map_err(Stop::malformed)
}

fn no_welcome() -> Stop {
    Stop::say(Code::PROTOCOL, "a node starts with Welcome")
}

fn unasked() -> Stop {
    Stop::say(Code::PROTOCOL, "an answer to a request that was never made")
}
