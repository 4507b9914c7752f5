//! One link between two nodes, without I/O; both roles.
//!
//! In order: TLS (done by the pump), PeerHello from the node that dialled,
//! PeerWelcome from the other, then ports, opened from either side. A link on
//! which nothing is heard is asked whether it still stands; one that is of no
//! use is closed by the node that dialled it.

use super::hub::Hub;
use super::member::Member;
use super::standing::Standing;
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
use std::sync::{Arc, OnceLock};
use std::task::Context;
use std::time::Duration;

/// Most ports of a link: eight devices that have as many as they may. Each
/// buffers its first credit, 16 KiB in a link with many.
pub const PORTS_MAX: usize = 8192;
/// How long TLS and the greeting of a node that is dialled may take at most:
/// whoever waits has 20 s, and the node's next place must have its turn in them.
const GREETING_TIME: Duration = Duration::from_secs(6);
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
            standing.sent(bytes);
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
                standing.received(link.receive(port, bytes, first, last, now)?, now);
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
            (Close::KIND, _) => Err(told(link, parse(body)?)),
            (PeerWelcome::KIND, true) if id == self.hello => {
                let welcome: PeerWelcome = parse(body)?;
                link.set_rtt(now.since(self.greeted));
                self.stand(link, PeerFacts::from(welcome), None, now)
            }
            (PeerHello::KIND, false) => {
                let hello: PeerHello = parse(body)?;
                self.stand(link, PeerFacts::from(hello), Some(id), now)?;
                if let Phase::Standing(standing) = &mut self.phase {
                    standing.measure(link, now);
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
        self.phase = Phase::Standing(Standing::new(&self.hub, member, now));
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
                standing.answered(link, id, now);
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
        let next = standing.tick(&self.hub, link, (dialled, self.heard), now)?;
        Ok(Some(next))
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
    decode(body).map_err(Stop::malformed)
}
