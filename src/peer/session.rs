//! One link between two nodes, without I/O; both roles.
//!
//! In order: TLS (done by the pump), PeerHello from the node that dialled,
//! PeerWelcome from the other, then ports, opened from either side. A link on
//! which nothing is heard is asked whether it still stands; one that is of no
//! use is closed by the node that dialled it.

use super::hub::Hub;
use super::member::Member;
use super::pool::Rank;
use super::terms::{PeerEvent, PeerFacts, ALPN};
use crate::identity::Address;
use crate::ports::{Link, LinkOptions};
use crate::session::{Protocol, Slot, Stop};
use crate::time::Moment;
use crate::wire::code::Code;
use crate::wire::control::{decode, Close, Message, Ping, Pong};
use crate::wire::frame::{Decoder, Piece};
use crate::wire::peer::{PeerHello, PeerOpen, PeerWelcome};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::Context;
use std::time::Duration;

/// Most ports of a link: eight devices that have as many as they may. Each
/// buffers its first credit, 16 KiB in a link with many.
pub const PORTS_MAX: usize = 8192;
/// How long TLS and the greeting of a node that is dialled may take at most:
/// whoever waits has 20 s, and the node's next place must have its turn in them.
const GREETING_TIME: Duration = Duration::from_secs(6);
/// A link on which nothing was heard for so long is asked, by the node that
/// dialled it: 160 bytes in five minutes of silence.
const QUIET_DIALLED: Duration = Duration::from_secs(30);
/// And by the other, which usually hears the first one's question before.
const QUIET_TAKEN: Duration = Duration::from_secs(45);
/// How long the answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How long it may take when a port is about to be opened over a link that was
/// quiet: openings wait 20 s, and the next node must have its turn in that time.
const DOUBT_TIME: Duration = Duration::from_secs(5);
/// How often the round trip of a busy link is measured.
const RTT_EVERY: Duration = Duration::from_secs(60);
/// A second link to the same node is closed when it has had no port for so
/// long: the other node may have sent PeerOpen before it knew that it is one.
const SECOND_GRACE: Duration = Duration::from_secs(2);
/// How often it is looked whether it is the second one, until that is settled.
const UNCLEAR_EVERY: Duration = Duration::from_secs(1);

/// How the session came about.
pub enum Role {
    /// This node has dialled that one, and wants no other.
    Dialling(Address, Arc<Met>),
    /// Somebody has dialled this node, and has this place among connections.
    Listening(Slot, Arc<Met>),
}

/// What whoever started a session learns of it.
#[derive(Debug, Default)]
pub struct Met {
    /// The link stands, or stood.
    pub(super) member: OnceLock<Arc<Member>>,
    /// Another node answered than the one that was dialled.
    pub(super) wrong: OnceLock<Address>,
}

/// See the module's text.
pub struct PeerSession {
    decoder: Decoder,
    core: Core,
}

enum Phase {
    /// Until PeerHello or PeerWelcome has come.
    Greeting,
    Standing(Standing),
}

/// What a link holds once it stands.
struct Standing {
    member: Arc<Member>,
    /// Leaves the pool with the session.
    _place: Place,
    /// The question that waits for its answer: its id, when it was asked, and by
    /// when something has to be heard.
    ping: Option<(u32, Moment, Moment)>,
    measured: Moment,
    had_ports: bool,
    /// Something was carried since the last tick.
    carried: bool,
}

struct Core {
    hub: Arc<Hub>,
    role: Role,
    place: SocketAddr,
    phase: Phase,
    link: Option<Arc<Link>>,
    peer: Address,
    /// Greeting must be done by then.
    due: Moment,
    greeted: Moment,
    /// The id of our PeerHello.
    hello: u32,
    heard: Moment,
}

/// A link's place in the pool; leaving scope takes it off and ends its ports.
struct Place(Arc<Hub>, Arc<Member>);

impl Drop for Place {
    fn drop(&mut self) {
        let Place(hub, member) = self;
        hub.leave(member);
        // Closed in good order, or lost.
        let code = member.link.ending().map_or(Code::PEER_LOST, |c| c.code);
        member
            .link
            .dissolve(code, "the link to the other device's node ended");
    }
}

impl PeerSession {
    /// Over a connection to or from `place` that has just been made.
    #[must_use]
    pub fn new(hub: Arc<Hub>, role: Role, place: SocketAddr) -> PeerSession {
        let now = hub.clock.now();
        let time = match &role {
            Role::Dialling(..) => hub.terms().handshake_time.min(GREETING_TIME),
            Role::Listening(..) => hub.terms().handshake_time,
        };
        PeerSession {
            decoder: Decoder::new(),
            core: Core {
                due: now + time,
                hub,
                role,
                place,
                phase: Phase::Greeting,
                link: None,
                peer: Address::ZERO,
                greeted: now,
                hello: 0,
                heard: now,
            },
        }
    }
}

impl Protocol for PeerSession {
    fn secured(&mut self, peer: Address, alpn: Option<&[u8]>, now: Moment) -> Result<(), Stop> {
        let core = &mut self.core;
        if alpn != Some(ALPN) {
            let text = "the other side does not speak chr-peer/1: it is no peer port of a node";
            return Err(Stop::Lost(text.into()));
        }
        let dialled = match &core.role {
            Role::Dialling(expected, met) if *expected != peer => {
                let _ = met.wrong.set(peer);
                let text = format!("{expected} was dialled, and this is {peer}");
                return Err(Stop::say(Code::WRONG_NODE, &text));
            }
            Role::Dialling(..) => true,
            Role::Listening(..) => false,
        };
        if peer == core.hub.node {
            return Err(Stop::Lost("that is this node itself".into()));
        }
        let link = Link::between_nodes(LinkOptions {
            remote: peer,
            chooses_even: !dialled,
            max_ports: PORTS_MAX,
            budget: core.hub.budget.clone(),
        });
        if dialled {
            core.hello = link.request(&core.hub.hello());
            core.greeted = now;
        }
        core.peer = peer;
        core.link = Some(link);
        Ok(())
    }

    fn receive(&mut self, plain: &[u8], now: Moment) -> Result<(), Stop> {
        let PeerSession { decoder, core } = self;
        core.heard = now;
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
        if let Phase::Standing(standing) = &mut self.core.phase {
            standing.member.count_out(bytes);
            standing.carried = true;
        }
    }

    fn tick(&mut self, cx: &mut Context<'_>, now: Moment) -> Result<Option<Moment>, Stop> {
        self.core.tick(cx, now)
    }

    fn link(&self) -> Option<&Arc<Link>> {
        self.core.link.as_ref()
    }
}

impl Core {
    fn dialled(&self) -> bool {
        matches!(self.role, Role::Dialling(..))
    }

    fn take(&mut self, piece: Piece<'_>, now: Moment) -> Result<(), Stop> {
        let Some(link) = self.link.clone() else {
            return Ok(());
        };
        match (piece, &mut self.phase) {
            (
                Piece::Data {
                    port,
                    bytes,
                    first,
                    last,
                },
                Phase::Standing(standing),
            ) => {
                let taken = link.receive(port, bytes, first, last, now)?;
                standing.member.count_in(taken);
                standing.carried = true;
                Ok(())
            }
            (Piece::Control { kind, id, body }, Phase::Standing(_)) => {
                self.take_control(&link, kind, id, body, now)
            }
            (Piece::Control { kind, id, body }, Phase::Greeting) => {
                self.greet(&link, kind, id, body, now)
            }
            (Piece::Data { .. }, Phase::Greeting) => Err(unexpected()),
        }
    }

    fn greet(
        &mut self,
        link: &Arc<Link>,
        kind: u8,
        id: u32,
        body: &[u8],
        now: Moment,
    ) -> Result<(), Stop> {
        match (kind, self.dialled()) {
            (Close::KIND, _) => return Err(told(link, parse(body)?)),
            (PeerWelcome::KIND, true) if id == self.hello => {
                let welcome: PeerWelcome = parse(body)?;
                link.set_rtt(now.since(self.greeted));
                self.stand(link, PeerFacts::from(welcome), None, now)
            }
            (PeerHello::KIND, false) => {
                let hello: PeerHello = parse(body)?;
                self.stand(link, PeerFacts::from(hello), Some(id), now)?;
                if let Phase::Standing(standing) = &mut self.phase {
                    standing.ask(link, now, ANSWER_TIME);
                }
                Ok(())
            }
            _ => Err(unexpected()),
        }
    }

    fn stand(
        &mut self,
        link: &Arc<Link>,
        facts: PeerFacts,
        answer: Option<u32>,
        now: Moment,
    ) -> Result<(), Stop> {
        let (dialled, met) = match &mut self.role {
            Role::Dialling(_, met) => (true, met),
            Role::Listening(slot, met) => {
                slot.established();
                (false, met)
            }
        };
        let who = (self.peer, self.place, dialled);
        let member = self
            .hub
            .join(who, link, facts.clone(), answer)
            .map_err(Stop::Say)?;
        let _ = met.member.set(member.clone());
        self.hub.tell(PeerEvent::Connected {
            id: self.peer,
            place: self.place,
            dialled,
            rtt: dialled.then(|| link.rtt()),
            facts,
        });
        self.phase = Phase::Standing(Standing {
            _place: Place(self.hub.clone(), member.clone()),
            member,
            ping: None,
            measured: now,
            had_ports: false,
            carried: false,
        });
        Ok(())
    }

    fn take_control(
        &mut self,
        link: &Arc<Link>,
        kind: u8,
        id: u32,
        body: &[u8],
        now: Moment,
    ) -> Result<(), Stop> {
        let Phase::Standing(standing) = &mut self.phase else {
            return Ok(());
        };
        match kind {
            PeerOpen::KIND => {
                let open: PeerOpen = parse(body)?;
                if let Some(no) = self.hub.board.open_from_peer(link, id, open, now)? {
                    link.push_control(id, &no.into_answer());
                }
            }
            Ping::KIND => {
                parse::<Ping>(body)?;
                link.push_control(id, &Pong {});
            }
            Pong::KIND => {
                parse::<Pong>(body)?;
                if let Some((_, at, _)) = standing.ping.take_if(|(ping, ..)| *ping == id) {
                    link.set_rtt(now.since(at));
                }
            }
            Close::KIND => return Err(told(link, parse(body)?)),
            other if !link.take_port_frame(other, id, body, now)? => {
                let text = format!("frame type 0x{other:02x} is not for a link that stands");
                return Err(Stop::say(Code::PROTOCOL, &text));
            }
            _ => {}
        }
        Ok(())
    }

    fn tick(&mut self, cx: &mut Context<'_>, now: Moment) -> Result<Option<Moment>, Stop> {
        if let Role::Listening(slot, _) = &self.role {
            if slot.poll_turned_out(cx) {
                let text = "others wait for this place and no PeerHello came; try again";
                return Err(Stop::say(Code::TOO_SLOW, text));
            }
        }
        let dialled = self.dialled();
        let (Phase::Standing(standing), Some(link)) = (&mut self.phase, &self.link) else {
            if now >= self.due {
                let text = "TLS and PeerHello took longer than allowed";
                return Err(Stop::say(Code::TOO_SLOW, text));
            }
            return Ok(Some(self.due));
        };
        standing.settle(link, self.heard, now);
        let quiet = if dialled { QUIET_DIALLED } else { QUIET_TAKEN };
        let mut next = standing.look_after(link, self.heard, quiet, now)?;
        if let Some(due) = link.expire(now) {
            next = next.min(due);
        }
        if let Some(due) = standing.end_if_useless(&self.hub, link, dialled, now) {
            next = next.min(due);
        }
        Ok(Some(next))
    }
}

impl Standing {
    /// Tells the pool whether it is of use, and when it was heard from.
    fn settle(&mut self, link: &Link, heard: Moment, now: Moment) {
        self.member.hear(heard);
        let has_ports = link.port_count() > 0;
        if std::mem::take(&mut self.carried) || has_ports != self.had_ports {
            self.member.mark_used(now);
        }
        self.had_ports = has_ports;
    }

    fn ask(&mut self, link: &Link, now: Moment, time: Duration) {
        self.ping = Some((link.request(&Ping {}), now, now + time));
        self.measured = now;
    }

    /// Finds out whether the other node is still there; when to look again.
    fn look_after(
        &mut self,
        link: &Link,
        heard: Moment,
        quiet: Duration,
        now: Moment,
    ) -> Result<Moment, Stop> {
        let doubted = self.member.check.swap(false, Ordering::Relaxed);
        let waits = self.ping.filter(|(_, asked, _)| heard <= *asked);
        if let Some((id, asked, due)) = waits {
            let due = if doubted {
                due.min(now + DOUBT_TIME)
            } else {
                due
            };
            if now >= due {
                return Err(Stop::Lost("the other node no longer answers".into()));
            }
            self.ping = Some((id, asked, due));
            return Ok(due);
        }
        let busy = self.had_ports && self.ping.is_none();
        if doubted {
            self.ask(link, now, DOUBT_TIME);
        } else if now >= heard + quiet || (busy && now.since(self.measured) >= RTT_EVERY) {
            self.ask(link, now, ANSWER_TIME);
        } else {
            return Ok(heard + quiet);
        }
        Ok(self.ping.map_or(now + quiet, |(.., due)| due))
    }

    /// Closes a link that nobody needs; when to look again.
    fn end_if_useless(&self, hub: &Hub, link: &Link, dialled: bool, now: Moment) -> Option<Moment> {
        let mut next = None;
        let used = self.member.used();
        if self.member.paired.load(Ordering::Relaxed) {
            match hub.rank(&self.member) {
                Rank::Second if hub.closes_second(&self.member) && !self.had_ports => {
                    let due = used.max(self.member.heard()) + SECOND_GRACE;
                    if now >= due {
                        link.leave(Code::SECOND_LINK, "another link to this node stays");
                        return None;
                    }
                    next = Some(due);
                }
                Rank::Unclear => next = Some(now + UNCLEAR_EVERY),
                _ => {}
            }
        }
        if dialled && !self.had_ports && !self.member.is_kept() {
            let idle_after = hub.terms().idle_after;
            let due = used + idle_after;
            if now >= due {
                let text = format!("no port was on it for {} s", idle_after.as_secs());
                link.leave(Code::IDLE, &text);
                return None;
            }
            next = Some(next.map_or(due, |n: Moment| n.min(due)));
        }
        next
    }
}

impl From<PeerHello> for PeerFacts {
    fn from(hello: PeerHello) -> PeerFacts {
        PeerFacts {
            agent: hello.agent,
            // None is defined, so none is known to both.
            capabilities: 0,
            unix_time: (hello.unix_time > 0).then_some(hello.unix_time),
            peer_port: (hello.peer_port > 0).then_some(hello.peer_port),
            serving: hello.serving,
        }
    }
}

impl From<PeerWelcome> for PeerFacts {
    fn from(welcome: PeerWelcome) -> PeerFacts {
        PeerFacts::from(PeerHello {
            agent: welcome.agent,
            capabilities: welcome.capabilities,
            unix_time: welcome.unix_time,
            peer_port: welcome.peer_port,
            serving: welcome.serving,
        })
    }
}

/// The other node ends the link: no new port goes over it.
fn told(link: &Link, close: Close) -> Stop {
    link.end(close.clone());
    Stop::Told(close)
}

fn unexpected() -> Stop {
    Stop::say(
        Code::PROTOCOL,
        "a link starts with PeerHello by the node that dialled, and PeerWelcome by the other",
    )
}

fn parse<M: Message>(body: &[u8]) -> Result<M, Stop> {
    decode(body).map_err(|e| Stop::say(Code::PROTOCOL, &e.to_string()))
}
