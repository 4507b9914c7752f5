//! Links between nodes: two of them at one node, one that it has dialled and one
//! that has dialled it, and two devices, all in a stranger's hands. Frames, raw
//! bytes, time, lost connections and lookups that find something or not, in any
//! order.
#![no_main]

use chr_node::edge::server::{ServerSession, Services, Terms};
use chr_node::edge::ALPN;
use chr_node::identity::Address;
use chr_node::peer::hub::Hub;
use chr_node::peer::session::{Met, PeerSession, Role};
use chr_node::peer::{PeerTerms, ALPN as PEER_ALPN};
use chr_node::ports::link::NODE_CONTROL_QUEUE_MAX;
use chr_node::ports::{Budget, Link, Locate, Locating, Refusal, Switchboard};
use chr_node::session::{Admission, AdmissionLimits, Protocol, Stop};
use chr_node::ticket::{Book, Policy, Rules};
use chr_node::time::Clock;
use chr_node::wire::code::Code;
use chr_node::wire::control::{encode, Hello, Publish};
use chr_node::wire::peer::{PeerHello, PeerOpen, PeerWelcome};
use chr_node_fuzz::frames::{self, Spent, NAMES};
use chr_node_fuzz::witness::Witness;
use chr_node_fuzz::{key, node, Input, SetClock};
use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

/// Longer inputs are slower and find nothing new.
const INPUT_MAX: usize = 2048;
/// Two devices, then the node that was dialled, then the one that has dialled.
const PARTIES: usize = 4;
const DIALLED: usize = 2;

fn addresses() -> &'static [Address; PARTIES] {
    static ADDRESSES: OnceLock<[Address; PARTIES]> = OnceLock::new();
    ADDRESSES.get_or_init(|| [1, 2, 3, 4].map(|n| key(n).address()))
}

/// What lookups find: links that may be dead by now, or nothing, or never anything.
#[derive(Default)]
struct Table {
    links: [Option<Arc<Link>>; 2],
    how: u8,
}

struct Finder(Arc<Mutex<Table>>);

impl Locate for Finder {
    fn locate(&self, _: Address, tried: &[Address]) -> Locating {
        let table = self.0.clone();
        let tried = tried.to_vec();
        Box::pin(async move {
            if table.lock().unwrap().how & 3 == 3 {
                std::future::pending::<()>().await;
            }
            let table = table.lock().unwrap();
            let links = table.links.iter().flatten();
            let mut fit = links.filter(|link| !tried.contains(&link.remote()));
            let found = if table.how & 4 == 0 { fit.next() } else { fit.last() };
            found
                .filter(|_| table.how & 3 != 2)
                .cloned()
                .ok_or_else(|| Refusal::new(Code::NOT_FOUND, "nowhere"))
        })
    }
}

struct World {
    clock: Arc<SetClock>,
    services: Arc<Services>,
    hub: Arc<Hub>,
    admission: Arc<Admission>,
    table: Arc<Mutex<Table>>,
    spent: Spent,
}

/// A session at the node whose other end is the input.
struct Party {
    index: usize,
    session: Option<Box<dyn Protocol>>,
    witness: Witness,
    next: u32,
    /// Bytes reach the session in pieces of this size; 0: as they come.
    split: usize,
}

fn limits() -> AdmissionLimits {
    AdmissionLimits {
        sessions: 16,
        sessions_per_address: 16,
        half_open: 16,
        half_open_per_address: 16,
        accepts_per_second: 0,
        accepts_per_second_per_address: 0,
    }
}

impl World {
    fn new(how: u8) -> World {
        let clock = Arc::new(SetClock::new(true));
        let (board, budget) = (Switchboard::new(), Budget::new(1 << 20));
        let terms = Terms {
            node: node(),
            agent: "fuzz".into(),
            chain_id: 1284,
            fleet: Address::ZERO,
            tickets_required: false,
            grace_bytes: 0,
            handshake_time: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            max_ports: 8,
            send_buffer: 128 << 10,
        };
        let rules = Rules {
            node: node(),
            chain_id: 1284,
            fleets: Vec::new(),
        };
        let policy = Policy {
            grace: 0,
            required: false,
        };
        let peer_terms = PeerTerms {
            // Sometimes there is room for one of the two.
            max_links: 1 + usize::from(how & 1),
            admission: limits(),
            handshake_time: Duration::from_secs(10),
            idle_after: Duration::from_secs(300),
            send_buffer: 128 << 10,
        };
        let hub = Arc::new(Hub::new(
            (node(), "fuzz".into(), None),
            peer_terms,
            board.clone(),
            budget.clone(),
            clock.clone(),
        ));
        let table: Arc<Mutex<Table>> = Arc::default();
        board.set_locate(Some(Arc::new(Finder(table.clone()))));
        World {
            services: Arc::new(Services {
                board,
                book: Book::new(None, rules, policy, Address::ZERO),
                terms: terms.into(),
                budget,
                witness: None,
                presence: None,
                clock: clock.clone(),
            }),
            hub,
            admission: Admission::new(limits()),
            clock,
            table,
            spent: Spent::default(),
        }
    }

    fn connect(&self, index: usize) -> Party {
        let now = self.clock.now();
        let peer = addresses()[index];
        let slot = || self.admission.admit([10, 0, 0, 1].into(), now).unwrap();
        let place = SocketAddr::from(([10, 0, 0, 1], 1));
        let mut session: Box<dyn Protocol> = if index < DIALLED {
            Box::new(ServerSession::new(self.services.clone(), slot()))
        } else {
            let met = Arc::new(Met::default());
            let role = if index == DIALLED {
                Role::Dialling(peer, met)
            } else {
                Role::Listening(slot(), met)
            };
            Box::new(PeerSession::new(self.hub.clone(), role, place))
        };
        let alpn = if index < DIALLED { ALPN } else { PEER_ALPN };
        session.secured(peer, Some(alpn), now).unwrap();
        if index >= DIALLED {
            self.table.lock().unwrap().links[index - DIALLED] = session.link().cloned();
        }
        Party {
            index,
            session: Some(session),
            witness: match index {
                0 | 1 => Witness::new(true),
                _ => Witness::between_nodes(index != DIALLED),
            },
            next: if index == DIALLED { 2 } else { 1 },
            split: 0,
        }
    }
}

impl Party {
    fn is_peer(&self) -> bool {
        self.index >= DIALLED
    }

    fn feed(&mut self, bytes: &[u8], world: &World) {
        let split = if self.split == 0 { bytes.len().max(1) } else { self.split };
        for piece in bytes.chunks(split) {
            let Some(session) = &mut self.session else {
                return;
            };
            match session.receive(piece, world.clock.now()) {
                Ok(()) => self.witness.hear(piece),
                Err(stop) => return self.end(&stop),
            }
        }
    }

    /// One turn of the pump, with at most `most` data frames.
    fn turn(&mut self, most: usize, world: &World) {
        let Some(session) = &mut self.session else {
            return;
        };
        let now = world.clock.now();
        match session.tick(&mut Context::from_waker(Waker::noop()), now) {
            Err(stop) => return self.end(&stop),
            Ok(next) => assert!(next.is_none_or(|due| due > now), "a timer in the past"),
        }
        let Some(link) = session.link().cloned() else {
            return;
        };
        assert!(link.port_count() <= link.max_ports());
        if let Some(close) = link.ending() {
            return self.end(&Stop::Say(close));
        }
        for _ in 0..most {
            let mut staging = Vec::new();
            let output = link.poll_output(&mut staging, now);
            assert!(staging.len() <= 2 * NODE_CONTROL_QUEUE_MAX);
            self.witness.say(&staging);
            let Some(mut output) = output else { break };
            session.sent(output.chunk.len());
            self.witness.say(output.chunk.frame(output.port));
        }
    }

    fn end(&mut self, stop: &Stop) {
        let _ = stop.to_string();
        self.session = None;
    }

    /// What a well-behaved other end says first.
    fn greet(&mut self, world: &World) {
        let mut out = Vec::new();
        let agent = "a".to_owned();
        match self.index {
            0 | 1 => {
                encode(1, &Hello { capabilities: 0, agent }, &mut out);
                for name in NAMES {
                    let publish = Publish {
                        name: name.to_owned(),
                        allow: None,
                    };
                    encode(5, &publish, &mut out);
                }
                self.next = 7;
            }
            DIALLED => {
                let welcome = PeerWelcome {
                    agent,
                    capabilities: 0,
                    unix_time: 0,
                    peer_port: 0,
                    serving: false,
                };
                encode(1, &welcome, &mut out);
            }
            _ => {
                let hello = PeerHello {
                    agent,
                    capabilities: 0,
                    unix_time: 0,
                    peer_port: 0,
                    serving: true,
                };
                encode(1, &hello, &mut out);
                self.next = 3;
            }
        }
        self.feed(&out, world);
        self.turn(8, world);
    }
}

fn peer_open(input: &mut Input, party: &mut Party, out: &mut Vec<u8>) {
    let choice = input.byte();
    let port = if choice < 240 { party.next } else { u32::from(choice) };
    let known = addresses();
    let open = PeerOpen {
        port,
        opener: input.pick(&[known[3], known[1], known[0], node()]),
        device: input.pick(&[known[0], known[1], known[0], known[2]]),
        name: NAMES[usize::from(choice) % NAMES.len()].to_owned(),
        credit: input.pick(&[0, 1, 1000, 16_384, 65_536, u32::MAX]),
    };
    party.next = party.next.wrapping_add(2);
    encode(port, &open, out);
}

fn act(input: &mut Input, parties: &mut [Party; PARTIES], world: &mut World) {
    let what = input.byte();
    let who = usize::from(what >> 6);
    let party = &mut parties[who];
    let mut out = Vec::new();
    match what % 16 {
        0 => {
            let n = usize::from(input.byte());
            out.extend_from_slice(input.take(n));
        }
        1 if party.is_peer() => party.greet(world),
        1 => frames::device(input, addresses(), &mut out),
        2..=4 if party.is_peer() => peer_open(input, party, &mut out),
        2..=4 => {
            // One that has no session here is looked for.
            let stranger = Address([9; 20]);
            let peer = input.pick(&[stranger, stranger, addresses()[1 - who], addresses()[3]]);
            frames::open(input, &mut party.next, peer, &mut out);
        }
        5 | 6 => frames::data(input, &mut world.spent, &mut out),
        7..=9 => frames::either(input, &mut out),
        10 | 11 => {
            let most = input.pick(&[1, 2, 8, 64]);
            return party.turn(most, world);
        }
        12 => {
            let milliseconds = input.pick(&[0, 1, 100, 2_001, 5_000, 20_000, 61_000, 299_000]);
            return world.clock.pass(Duration::from_millis(milliseconds));
        }
        13 => {
            party.split = input.pick(&[0, 1, 5, 100]);
            return;
        }
        14 => {
            // The new one stands beside the older before that one is gone.
            let mut new = world.connect(who);
            if input.byte() & 1 == 0 {
                new.greet(world);
            }
            party.turn(8, world);
            *party = new;
            return;
        }
        _ => {
            world.table.lock().unwrap().how = input.byte();
            return;
        }
    }
    party.feed(&out, world);
}

fuzz_target!(|data: &[u8]| {
    if data.len() > INPUT_MAX {
        return;
    }
    let mut input = Input(data);
    let how = input.byte();
    let mut world = World::new(how);
    let mut parties = [0, 1, 2, 3].map(|index| world.connect(index));
    if how & 0x80 == 0 {
        for party in &mut parties {
            party.greet(&world);
        }
    }
    while !input.is_empty() {
        act(&mut input, &mut parties, &mut world);
    }
    for party in &mut parties {
        party.turn(64, &world);
    }
    let (services, hub) = (world.services.clone(), world.hub.clone());
    drop(parties);
    assert_eq!(hub.count(), 0, "a link stayed behind");
    assert_eq!(services.board.devices(), 0, "a session left its place behind");
    assert_eq!(services.board.lookups(), 0, "a search stayed behind");
    assert_eq!(services.budget.used(), 0, "a port left its memory behind");
    assert_eq!(world.admission.sessions(), 0);
});
