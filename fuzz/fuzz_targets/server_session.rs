//! The node's side: two sessions of one node, both in a stranger's hands. Frames,
//! raw bytes, time and lost connections in any order.
#![no_main]

use chr_node::session::{Protocol, Stop};
use chr_node::edge::server::{Announce, ServerSession, Services, Terms};
use chr_node::session::{Admission, AdmissionLimits};
use chr_node::edge::ALPN;
use chr_node::identity::Address;
use chr_node::ports::link::CONTROL_QUEUE_MAX;
use chr_node::ports::{Budget, Switchboard};
use chr_node::ticket::{Book, Policy, Rules, Ticket, TicketTerms};
use chr_node::time::Clock;
use chr_node::wire::control::{encode, Hello, Publish};
use chr_node_fuzz::frames::{self, Spent, NAMES};
use chr_node_fuzz::witness::Witness;
use chr_node::wire::notice::{NOTICES, ROUNDS};
use chr_node::wire::presence::{DevicePresence, PresenceSigned, CAPABILITY};
use chr_node_fuzz::{key, node, Input, SetClock, UNIX};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

/// Longer inputs are slower and find nothing new.
const INPUT_MAX: usize = 2048;

/// What the two devices are, and what they have signed for.
struct Known {
    addresses: [Address; 2],
    tickets: [[Ticket; 2]; 2],
    words: [[PresenceSigned; 2]; 2],
}

/// Knows what a network may be told.
#[derive(Default)]
struct Network(Mutex<BTreeMap<Address, u64>>);

impl Announce for Network {
    fn last(&self, device: Address) -> u64 {
        self.0.lock().unwrap().get(&device).copied().unwrap_or(0)
    }
    fn came(&self, presence: DevicePresence) {
        let older = self.0.lock().unwrap().insert(presence.device, presence.t);
        assert!(older.is_none_or(|t| t < presence.t), "an old presence");
        // Only those of `known` are signed.
        let (index, t) = (usize::from(presence.device == known().addresses[1]), presence.t);
        assert!(known().words[index].iter().any(|w| w.t == t), "a forged presence");
    }
    fn left(&self, device: Address, t: u64) {
        assert!(t <= self.last(device) && t > 0, "left without having come");
    }
}

fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let sign = |n: u8, total_bytes: u64| {
            let terms = TicketTerms {
                chain_id: 1284,
                epoch: 676,
                fleet: Address::ZERO,
                total_connections: 0,
                total_bytes,
                local_address: Vec::new(),
            };
            Ticket::sign(&key(n), &node(), terms)
        };
        Known {
            addresses: [key(1).address(), key(2).address()],
            tickets: [1, 2].map(|n| [sign(n, 50_000), sign(n, 1 << 30)]),
            words: [1, 2].map(|n| {
                [UNIX + 1, UNIX + 300].map(|t| {
                    let said = DevicePresence::sign(&key(n), node(), t, t + 86_400);
                    PresenceSigned {
                        t,
                        not_after: said.not_after,
                        signature: said.device_sig,
                    }
                })
            }),
        }
    })
}

struct World {
    clock: Arc<SetClock>,
    services: Arc<Services>,
    admission: Arc<Admission>,
    spent: Spent,
}

struct Device {
    index: usize,
    session: Option<ServerSession>,
    witness: Witness,
    next: u32,
    /// Bytes reach the session in pieces of this size; 0: as they come.
    split: usize,
}

impl World {
    fn new(tickets_required: bool, trusted: bool) -> World {
        let clock = Arc::new(SetClock::new(trusted));
        let grace = 100_000;
        let terms = Terms {
            node: node(),
            agent: "fuzz".into(),
            chain_id: 1284,
            fleet: Address::ZERO,
            tickets_required,
            grace_bytes: grace,
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
            grace,
            required: tickets_required,
        };
        World {
            services: Arc::new(Services {
                board: Switchboard::new(),
                book: Book::new(None, rules, policy, Address::ZERO),
                terms: terms.into(),
                budget: Budget::new(1 << 20),
                witness: None,
                presence: Some(Arc::new(Network::default())),
                clock: clock.clone(),
            }),
            admission: Admission::new(AdmissionLimits {
                sessions: 8,
                sessions_per_address: 8,
                half_open: 8,
                half_open_per_address: 8,
                accepts_per_second: 0,
                accepts_per_second_per_address: 0,
            }),
            clock,
            spent: Spent::default(),
        }
    }

    fn connect(&self, index: usize, alpn: bool) -> Device {
        let now = self.clock.now();
        let slot = self.admission.admit([10, 0, 0, 1].into(), now).unwrap();
        let mut session = ServerSession::new(self.services.clone(), slot);
        let peer = known().addresses[index];
        session.secured(peer, alpn.then_some(ALPN), now).unwrap();
        Device {
            index,
            session: Some(session),
            witness: Witness::new(true),
            next: 1,
            split: 0,
        }
    }
}

impl Device {
    fn feed(&mut self, bytes: &[u8], world: &World) {
        let split = if self.split == 0 { bytes.len().max(1) } else { self.split };
        for piece in bytes.chunks(split) {
            let Some(session) = &mut self.session else {
                return;
            };
            let outcome = session.receive(piece, world.clock.now());
            match outcome {
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
            // One frame can be above the bound, and what one piece of input asks for.
            assert!(staging.len() <= 2 * CONTROL_QUEUE_MAX);
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
}

/// What both have done before the input begins.
fn prepare(devices: &mut [Device; 2], ticketed: bool, world: &World) {
    for device in devices.iter_mut() {
        let mut out = Vec::new();
        let agent = "a".to_owned();
        let capabilities = CAPABILITY | NOTICES | ROUNDS;
        encode(1, &Hello { capabilities, agent }, &mut out);
        if ticketed {
            encode(3, &known().tickets[device.index][1], &mut out);
        }
        for name in NAMES {
            let publish = Publish {
                name: name.to_owned(),
                allow: None,
            };
            encode(5, &publish, &mut out);
        }
        device.next = 7;
        device.feed(&out, world);
        device.turn(8, world);
    }
}

fn act(input: &mut Input, device: &mut Device, world: &mut World) {
    let what = input.byte();
    let mut out = Vec::new();
    match what % 16 {
        0 => {
            let n = usize::from(input.byte());
            out.extend_from_slice(input.take(n));
        }
        1 => frames::device(input, &known().addresses, &mut out),
        2 | 3 => {
            let other = known().addresses[1 - device.index];
            let peer = input.pick(&[other, other, other, known().addresses[device.index], node()]);
            frames::open(input, &mut device.next, peer, &mut out);
        }
        4..=6 => frames::data(input, &mut world.spent, &mut out),
        7..=9 => frames::either(input, &mut out),
        10 | 11 => {
            let most = input.pick(&[1, 2, 8, 64]);
            return device.turn(most, world);
        }
        12 => {
            let milliseconds = input.pick(&[0, 1, 100, 1_001, 5_000, 20_000, 61_000, 299_000]);
            return world.clock.pass(Duration::from_millis(milliseconds));
        }
        13 => {
            device.split = input.pick(&[0, 1, 5, 100]);
            return;
        }
        14 => {
            let index = device.index;
            // The newer one replaces the older, which may still be there.
            let older = std::mem::replace(device, world.connect(index, input.byte() & 1 == 0));
            if input.byte() & 1 == 0 {
                drop(older);
                return;
            }
            let mut older = older;
            let agent = String::new();
            encode(1, &Hello { capabilities: 0, agent }, &mut out);
            device.feed(&out, world);
            older.turn(8, world);
            return;
        }
        _ => {
            // A recovery costs more than all the rest; the same ticket opens a session each time.
            let rare = input.byte();
            if (8..12).contains(&rare) {
                let word = &known().words[device.index][usize::from(what >> 7)];
                encode(5, word, &mut out);
            } else if rare < 8 {
                let ticket = &known().tickets[device.index][usize::from(what >> 7)];
                encode(3, ticket, &mut out);
            } else {
                let trusted = input.byte() & 1 == 1;
                return world.clock.trust(trusted);
            }
        }
    }
    device.feed(&out, world);
}

fuzz_target!(|data: &[u8]| {
    if data.len() > INPUT_MAX {
        return;
    }
    let mut input = Input(data);
    let how = input.byte();
    // Most runs need no ticket: what a ticket costs is a thousand frames' worth.
    let required = how & 0x1f == 0;
    let mut world = World::new(required, how & 0x20 == 0);
    let mut devices = [0, 1].map(|index| world.connect(index, how & 0x40 == 0));
    if how & 0x80 == 0 {
        prepare(&mut devices, required, &world);
    }
    while !input.is_empty() {
        let who = usize::from(input.0[0] >> 7);
        act(&mut input, &mut devices[who], &mut world);
    }
    for device in &mut devices {
        device.turn(64, &world);
    }
    let services = world.services.clone();
    drop(devices);
    assert_eq!(services.board.devices(), 0, "a session left its place behind");
    assert_eq!(services.budget.used(), 0, "a port left its memory behind");
    assert_eq!(world.admission.sessions(), 0);
});
