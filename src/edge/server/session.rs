//! The node's side of a session, without I/O.
//!
//! In order: TLS (done by the pump), the choice of the dialect, Hello, Ticket,
//! ports. Each step before the first ticket has a deadline; afterwards the
//! session lives as long as frames come and tickets pay.

use super::finding::Finding;
use super::services::{Services, Terms};
use super::serving::{refuse_ticket, Serving, Storing, ANSWERS_MAX, DISK_TIME, RETRY_MS};
use crate::edge::ALPN;
use crate::identity::Address;
use crate::parts::POWER;
use crate::ports::link::Guest;
use crate::ports::{Link, LinkOptions};
use crate::session::Slot;
use crate::session::{Protocol, Stop};
use crate::ticket::{Durability, Ticket};
use crate::time::Moment;
use crate::wire::code::Code;
use crate::wire::control::{
    decode, is_port_name, Close, ErrorAnswer, Hello, Message, Open, Ping, Pong, Publish, Published,
    TicketAccepted, Welcome, ALLOW_MAX, PORT_NAMES,
};
use crate::wire::frame::{starts_our_dialect, Decoder, Piece, HEADER_LEN};
use crate::wire::notice::{NOTICES, ROUNDS};
use crate::wire::presence::{PresenceSigned, PresenceTaken, CAPABILITY};
use std::sync::{Arc, OnceLock};
use std::task::Context;
use std::time::Duration;

/// How long the first bytes may take after TLS.
pub const FIRST_BYTES: Duration = Duration::from_secs(5);
/// How often the node measures the round trip while ports are open: windows grow by it.
const RTT_EVERY: Duration = Duration::from_secs(60);
/// The same without ports, when the device pings: a figure for people, which costs
/// both sides a wake-up.
const RTT_SELDOM: Duration = Duration::from_secs(1800);

/// While power is saved, a device that was not heard for so long is pinged at the
/// next half minute, together with the others: before the 100 s are over after which
/// it would ping by itself, at a time of its own.
const ROUND: Duration = Duration::from_secs(60);

/// See the module's text.
pub struct ServerSession {
    decoder: Decoder,
    core: Core,
}

enum Phase {
    /// TLS and the dialect; the bytes seen so far.
    Meeting(Vec<u8>),
    /// Our dialect, before Hello.
    Greeting,
    /// After Hello.
    Serving(Box<Serving>),
}

struct Core {
    services: Arc<Services>,
    /// As they were when the session began: it was told so.
    terms: Arc<Terms>,
    slot: Slot,
    phase: Phase,
    link: Option<Arc<Link>>,
    device: Address,
    /// The same for whoever is left when the session is over; empty until it is served.
    served: Arc<OnceLock<Address>>,
    /// The step before Hello must be done by then.
    due: Moment,
    last_heard: Moment,
}

impl ServerSession {
    /// A session whose connection was just accepted.
    #[must_use]
    pub fn new(services: Arc<Services>, slot: Slot) -> ServerSession {
        let now = services.clock.now();
        let terms = services.terms.get();
        ServerSession {
            decoder: Decoder::new(),
            core: Core {
                due: now + terms.handshake_time,
                last_heard: now,
                services,
                terms,
                slot,
                phase: Phase::Meeting(Vec::new()),
                link: None,
                device: Address::ZERO,
                served: Arc::default(),
            },
        }
    }

    /// Which device is served, as soon as one is; outlives the session.
    #[must_use]
    pub fn served(&self) -> Arc<OnceLock<Address>> {
        self.core.served.clone()
    }
}

impl Protocol for ServerSession {
    fn secured(&mut self, peer: Address, alpn: Option<&[u8]>, now: Moment) -> Result<(), Stop> {
        let core = &mut self.core;
        core.device = peer;
        if alpn == Some(ALPN) {
            core.phase = Phase::Greeting;
        }
        core.due = core.due.min(now + FIRST_BYTES);
        Ok(())
    }

    fn receive(&mut self, plain: &[u8], now: Moment) -> Result<(), Stop> {
        let ServerSession { decoder, core } = self;
        core.last_heard = now;
        let mut met = Vec::new();
        let mut input = plain;
        if let Phase::Meeting(seen) = &mut core.phase {
            seen.extend_from_slice(plain);
            if !is_our_dialect(seen)? {
                return Ok(());
            }
            met = std::mem::take(seen);
            core.phase = Phase::Greeting;
        }
        if !met.is_empty() {
            input = &met;
        }
        while let Some(piece) = decoder
            .next(&mut input)
            .map_err(|e| Stop::say(Code::PROTOCOL, &e.to_string()))?
        {
            core.take(piece, now)?;
        }
        Ok(())
    }

    fn sent(&mut self, bytes: usize) {
        if let Phase::Serving(serving) = &mut self.core.phase {
            serving.sent += bytes as u64;
        }
    }

    /// The next turn may be minutes away, and what left is to be charged before.
    fn left(&mut self, now: Moment) -> bool {
        let Phase::Serving(serving) = &mut self.core.phase else {
            return false;
        };
        let look = serving.sent > 0 && serving.settle();
        if look {
            serving.look_at = now;
        }
        look
    }

    fn tick(&mut self, cx: &mut Context<'_>, now: Moment) -> Result<Option<Moment>, Stop> {
        self.core.tick(cx, now)
    }

    fn link(&self) -> Option<&Arc<Link>> {
        self.core.link.as_ref()
    }
}

/// Decides by the first bytes. False: more are needed.
fn is_our_dialect(seen: &[u8]) -> Result<bool, Stop> {
    if let [_, _, third, ..] = seen {
        if *third >= 0xc0 {
            // What the Go client understands as an end with a reason.
            let words = crate::wire::diode::goodbye(
                "dialect",
                "this node does not speak Diode's EdgeV2 yet",
            );
            return Err(Stop::Foreign(
                words,
                "a Diode client: this node speaks the chr-edge/2 dialect only".into(),
            ));
        }
    }
    match seen.first_chunk::<HEADER_LEN>() {
        None => Ok(false),
        Some(first) if starts_our_dialect(first) => Ok(true),
        Some(_) => Err(Stop::Lost(
            "the first bytes are neither EdgeV2 nor Diode's".into(),
        )),
    }
}

impl Core {
    fn take(&mut self, piece: Piece<'_>, now: Moment) -> Result<(), Stop> {
        match piece {
            Piece::Data {
                port,
                bytes,
                first,
                last,
            } => self.take_data(port, bytes, first, last, now),
            Piece::Control { kind, id, body } => match &self.phase {
                Phase::Serving(_) => self.take_control(kind, id, body, now),
                _ if kind == Hello::KIND => self.greet(id, &parse(body)?, now),
                _ => Err(Stop::say(Code::PROTOCOL, "a session starts with Hello")),
            },
        }
    }

    fn take_data(
        &mut self,
        port: u32,
        bytes: &[u8],
        first: bool,
        last: bool,
        now: Moment,
    ) -> Result<(), Stop> {
        let (Phase::Serving(serving), Some(link)) = (&mut self.phase, &self.link) else {
            return Err(Stop::say(Code::PROTOCOL, "a session starts with Hello"));
        };
        serving.received += link.receive(port, bytes, first, last, now)? as u64;
        Ok(())
    }

    fn greet(&mut self, id: u32, hello: &Hello, now: Moment) -> Result<(), Stop> {
        let services = &self.services;
        let terms = &self.terms;
        let link = Link::new(LinkOptions {
            remote: self.device,
            chooses_even: true,
            max_ports: terms.max_ports,
            budget: services.budget.clone(),
        });
        link.introduce(Guest {
            from: self.slot.address(),
            since: now,
            agent: hello.agent.as_str().into(),
        });
        let trusted = services.clock.trusted();
        let presence = hello.capabilities & CAPABILITY != 0;
        let known = if POWER.built { ROUNDS | NOTICES } else { 0 };
        let known = hello.capabilities & known;
        let finding = services.presence.as_ref().filter(|_| presence);
        let finding = finding.map(|announce| Finding::new(announce, self.device, terms.node, now));
        link.push_control(
            id,
            &Welcome {
                capabilities: known | if finding.is_some() { CAPABILITY } else { 0 },
                agent: terms.agent.clone(),
                chain_id: terms.chain_id,
                epoch: services.epoch().current().unwrap_or(0),
                unix_time: if trusted { services.clock.unix() } else { 0 },
                fleet: terms.fleet,
                tickets_required: terms.tickets_required,
                grace_bytes: terms.grace_bytes,
                idle_timeout: u32::try_from(terms.idle_timeout.as_secs()).unwrap_or(u32::MAX),
                max_ports: u32::try_from(terms.max_ports).unwrap_or(u32::MAX),
            },
        );
        log::debug!("device {} says hello ({})", self.device, hello.agent);
        let tab = services.book.open(self.device, None);
        self.phase = Phase::Serving(Box::new(Serving {
            registration: services.board.register(&link),
            tab,
            finding,
            admitted: false,
            paused: false,
            storing: Vec::new(),
            look_at: now,
            deadline: None,
            ping: None,
            doubted: None,
            measured: now,
            notices: known & NOTICES != 0,
            closed: false,
            rounds: known & ROUNDS != 0,
            asked: now,
            received: 0,
            sent: 0,
            ports: 0,
        }));
        self.link = Some(link);
        if !terms.tickets_required {
            self.admit(now);
        }
        self.ask_for_presence();
        Ok(())
    }

    fn take_control(&mut self, kind: u8, id: u32, body: &[u8], now: Moment) -> Result<(), Stop> {
        let (Phase::Serving(serving), Some(link)) = (&mut self.phase, &self.link) else {
            return Ok(());
        };
        match kind {
            Ticket::KIND => self.take_ticket(id, parse(body)?, now)?,
            Ping::KIND => {
                parse::<Ping>(body)?;
                link.push_control(id, &Pong {});
                if now.since(serving.measured) >= RTT_SELDOM {
                    serving.ask(link, now);
                }
            }
            Pong::KIND => {
                parse::<Pong>(body)?;
                if let Some((_, at)) = serving.ping.take_if(|(ping, _)| *ping == id) {
                    link.set_rtt(now.since(at));
                }
            }
            Open::KIND => {
                let open: Open = parse(body)?;
                if !serving.admitted {
                    // Refused, and used up like any other: an Abort may follow.
                    let _ = link.claim_remote_number(open.port)?;
                    link.push_control(id, &no_ticket());
                    return Ok(());
                }
                match self.services.board.open(link, id, &open, now)? {
                    None => serving.ports += 1,
                    Some(no) => link.push_control(id, &no.into_answer()),
                }
            }
            Publish::KIND => {
                let publish: Publish = parse(body)?;
                if !serving.admitted {
                    link.push_control(id, &no_ticket());
                    return Ok(());
                }
                if !is_port_name(&publish.name) {
                    return Err(Stop::say(Code::PROTOCOL, PORT_NAMES));
                }
                if publish.allow.as_ref().is_some_and(|a| a.len() > ALLOW_MAX) {
                    let text = format!("a list of openers has at most {ALLOW_MAX} addresses");
                    return Err(Stop::say(Code::PROTOCOL, &text));
                }
                match link.publish(&publish.name, publish.allow) {
                    Ok(()) => link.push_control(id, &Published {}),
                    Err(no) => link.push_control(id, &no.into_answer()),
                }
            }
            PresenceSigned::KIND if serving.finding.is_some() => {
                let signed: PresenceSigned = parse(body)?;
                let Some(finding) = serving.finding.as_mut().filter(|_| serving.admitted) else {
                    link.push_control(id, &no_ticket());
                    return Ok(());
                };
                match finding.take(&signed, now, &*self.services.clock) {
                    Ok(()) => link.push_control(id, &PresenceTaken {}),
                    Err(no) => link.push_control(id, &no),
                }
            }
            Close::KIND => return Err(Stop::Told(parse(body)?)),
            Hello::KIND => return Err(Stop::say(Code::PROTOCOL, "a second Hello")),
            other if !link.take_port_frame(other, id, body, now)? => {
                let text = format!("frame type 0x{other:02x} is not for a node");
                return Err(Stop::say(Code::PROTOCOL, &text));
            }
            _ => {}
        }
        Ok(())
    }

    /// Asks the device to sign that it is here, if that is due.
    fn ask_for_presence(&mut self) {
        if let (Phase::Serving(serving), Some(link)) = (&mut self.phase, &self.link) {
            let finding = serving.finding.as_mut();
            if let Some(ask) = finding.and_then(|f| f.ask(&*self.services.clock)) {
                link.push_control(0, &ask);
            }
        }
    }

    fn take_ticket(&mut self, id: u32, ticket: Ticket, now: Moment) -> Result<(), Stop> {
        let (Phase::Serving(serving), Some(link)) = (&mut self.phase, &self.link) else {
            return Ok(());
        };
        if serving.storing.len() >= ANSWERS_MAX {
            let text = "too many tickets wait for the disk";
            return Err(Stop::say(Code::OVERFLOW, text));
        }
        serving.settle();
        let epoch = ticket.epoch;
        let accepted = match serving.tab.submit(ticket, now, self.services.epoch()) {
            Ok(accepted) => accepted,
            Err(refusal) => {
                refuse_ticket(link, id, self.device, &refusal);
                return Ok(());
            }
        };
        if let Some(witness) = &self.services.witness {
            witness.paid(self.device, accepted.total, epoch);
        }
        let mut answer = TicketAccepted {
            epoch,
            total_bytes: accepted.total,
            usage: accepted.usage,
            durable: true,
        };
        match accepted.durability {
            Durability::Stored => link.push_control(id, &answer),
            Durability::Waiting(receipt) => serving.storing.push(Storing {
                id,
                receipt,
                answer,
                due: now + DISK_TIME,
            }),
            Durability::Never => {
                answer.durable = false;
                link.push_control(id, &answer);
            }
        }
        serving.follow(accepted.todo, link, now)?;
        // Relaying does not wait for the disk.
        self.admit(now);
        Ok(())
    }

    /// Ports may be published and opened from here on.
    fn admit(&mut self, now: Moment) {
        let (Phase::Serving(serving), Some(link)) = (&mut self.phase, &self.link) else {
            return;
        };
        self.slot.established();
        if serving.admitted {
            return;
        }
        serving.admitted = true;
        let _ = self.served.set(self.device);
        if let Some(witness) = &self.services.witness {
            witness.opened(self.device);
        }
        link.admit();
        serving.ask(link, now);
    }

    fn tick(&mut self, cx: &mut Context<'_>, now: Moment) -> Result<Option<Moment>, Stop> {
        self.ask_for_presence();
        if self.slot.poll_turned_out(cx) {
            let text = "others wait for this place and no ticket came; try again";
            return Err(Stop::say(Code::TOO_SLOW, text));
        }
        let (Phase::Serving(serving), Some(link)) = (&mut self.phase, &self.link) else {
            if now >= self.due {
                let text = "TLS and Hello took longer than allowed";
                return Err(Stop::say(Code::TOO_SLOW, text));
            }
            return Ok(Some(self.due));
        };
        let terms = &self.terms;
        let idle = self.last_heard + terms.idle_timeout;
        if now >= idle {
            let text = format!("nothing was heard for {} s", terms.idle_timeout.as_secs());
            return Err(Stop::say(Code::IDLE, &text));
        }
        let mut next = idle;
        if POWER.built {
            let due = serving.find_out(link, self.last_heard, now)?;
            next = due.map_or(next, |due| next.min(due));
        }
        if link.port_count() > 0 && now.since(serving.measured) >= RTT_EVERY {
            serving.ask(link, now);
        }
        if serving.rounds && self.services.board.saves() {
            let mut due = self.last_heard.max(serving.asked) + ROUND;
            if now >= due {
                serving.ping = Some((link.request(&Ping {}), now));
                serving.asked = now;
                due = now + ROUND;
            }
            next = next.min(due);
        }
        if let Some(due) = link.expire(now) {
            next = next.min(due);
        }
        self.services.board.pursue(link, cx, now);
        if serving.notices && serving.admitted {
            serving.closed = self.services.board.notice(link, serving.closed);
        }
        if let Some(due) = serving.await_disk(cx, link, now) {
            next = next.min(due);
        }
        if serving.settle() || now >= serving.look_at {
            let todo = serving.tab.advance(now, self.services.epoch());
            serving.follow(todo, link, now)?;
        }
        if let Some(due) = serving.deadline {
            next = next.min(due);
        }
        Ok(Some(next))
    }
}

fn no_ticket() -> ErrorAnswer {
    ErrorAnswer {
        code: Code::NO_TICKET,
        text: "send a ticket first; the node asked for one after Hello".into(),
        limit: None,
        retry_after_ms: Some(RETRY_MS),
    }
}

fn parse<M: Message>(body: &[u8]) -> Result<M, Stop> {
    decode(body).map_err(Stop::malformed)
}
