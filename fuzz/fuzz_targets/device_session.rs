//! The device's side: the node is a stranger, the program opens, takes, reads,
//! writes and drops ports in any order.
#![no_main]

use chr_node::edge::device::session::{DeviceSession, Event, SessionParts};
use chr_node::edge::device::Traffic;
use chr_node::session::{Protocol, Stop};
use chr_node::identity::SecretKey;
use chr_node::identity::Address;
use chr_node::ports::link::Link;
use chr_node::ports::{Budget, LocalPort};
use chr_node::ticket::Payer;
use chr_node::time::Clock;
use chr_node::wire::code::Code;
use chr_node::wire::control::{encode, TicketAccepted, Welcome};
use chr_node::wire::notice::{NOTICES, ROUNDS};
use chr_node::wire::presence::{PresenceAsk, CAPABILITY};
use chr_node_fuzz::frames::{self, Spent, NAMES};
use chr_node_fuzz::witness::Witness;
use chr_node_fuzz::{key, node, Input, SetClock};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Longer inputs are slower and find nothing new.
const INPUT_MAX: usize = 2048;
/// Ports that the program holds at once.
const HELD_MAX: usize = 8;

struct World {
    clock: Arc<SetClock>,
    session: Option<DeviceSession>,
    link: Option<Arc<Link>>,
    witness: Witness,
    offers: Arc<Mutex<Vec<LocalPort>>>,
    held: Vec<LocalPort>,
    budget: Arc<Budget>,
    next: u32,
    split: usize,
    spent: Spent,
}

fn device_key() -> Arc<SecretKey> {
    static KEY: OnceLock<Arc<SecretKey>> = OnceLock::new();
    KEY.get_or_init(|| Arc::new(key(1))).clone()
}

impl World {
    fn new(trusted: bool, max_bytes: Option<u64>) -> World {
        let clock = Arc::new(SetClock::new(trusted));
        let offers: Arc<Mutex<Vec<LocalPort>>> = Arc::default();
        let budget = Budget::new(1 << 20);
        let sink = offers.clone();
        let mut session = DeviceSession::new(SessionParts {
            key: device_key(),
            agent: "fuzz".into(),
            check_node: Box::new(|_| Ok(())),
            payer: Arc::new(Mutex::new(Payer::new(max_bytes))),
            fleet: None,
            events: Box::new(move |event| match event {
                Event::Offered(port) => {
                    let mut offers = sink.lock().unwrap();
                    let room = offers.len() < HELD_MAX;
                    if room {
                        offers.push(port);
                    }
                    room
                }
                _ => true,
            }),
            max_ports: 8,
            traffic: Arc::new(Traffic::default()),
            link_slot: Arc::default(),
            budget: budget.clone(),
            clock: clock.clone(),
        });
        session.secured(node(), None, clock.now()).unwrap();
        World {
            link: session.link().cloned(),
            clock,
            session: Some(session),
            witness: Witness::new(false),
            offers,
            held: Vec::new(),
            budget,
            next: 2,
            split: 0,
            spent: Spent::default(),
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let split = if self.split == 0 { bytes.len().max(1) } else { self.split };
        for piece in bytes.chunks(split) {
            let Some(session) = &mut self.session else {
                return;
            };
            match session.receive(piece, self.clock.now()) {
                Ok(()) => self.witness.hear(piece),
                Err(stop) => return self.end(&stop),
            }
        }
    }

    fn turn(&mut self, most: usize) {
        let (Some(session), Some(link)) = (&mut self.session, &self.link) else {
            return;
        };
        let now = self.clock.now();
        match session.tick(&mut Context::from_waker(Waker::noop()), now) {
            Err(stop) => return self.end(&stop),
            Ok(next) => assert!(next.is_none_or(|due| due > now), "a timer in the past"),
        }
        if let Some(close) = link.ending() {
            return self.end(&Stop::Say(close));
        }
        for _ in 0..most {
            let mut staging = Vec::new();
            let output = link.poll_output(&mut staging, now);
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

    /// Something that a program does with its ports.
    fn program(&mut self, input: &mut Input) {
        let what = input.byte();
        let now = self.clock.now();
        if what % 12 < 2 {
            if let (Some(link), true) = (&self.link, self.held.len() < HELD_MAX) {
                let name = input.pick(&NAMES);
                self.held.extend(LocalPort::open(link, Address([5; 20]), name, now));
            }
            return;
        }
        if what % 12 < 4 {
            let offer = self.offers.lock().unwrap().pop();
            if let Some(port) = offer {
                match what >> 6 {
                    0 => port.refuse(Code::NOT_ALLOWED, "no"),
                    1 => drop(port),
                    _ => {
                        port.accept();
                        self.held.push(port);
                    }
                }
            }
            return;
        }
        if self.held.is_empty() {
            return;
        }
        let at = usize::from(what >> 4) % self.held.len();
        let port = &self.held[at];
        let mut cx = Context::from_waker(Waker::noop());
        match what % 12 {
            4 => {
                let _ = port.poll_opened(&mut cx);
            }
            5 | 6 => {
                while let Poll::Ready(Ok(Some(_))) = port.poll_read(&mut cx, now) {}
            }
            7 => {
                let _ = port.poll_read(&mut cx, now);
            }
            8 => {
                let len = input.pick(&[0, 1, 1_400, 16_372, 65_507]);
                if port.is_datagram() {
                    let _ = port.send_datagram(&vec![1; len]);
                } else {
                    let _ = port.poll_write(&mut cx, &vec![1; len]);
                }
            }
            9 => port.finish(),
            10 => drop(self.held.remove(at)),
            _ => self.held.remove(at).abort(Code::ABORTED, "enough"),
        }
    }
}

/// What has happened before the input begins.
fn prepare(world: &mut World, asks: bool) {
    let mut out = Vec::new();
    let welcome = Welcome {
        capabilities: if asks { CAPABILITY | NOTICES | ROUNDS } else { 0 },
        agent: String::new(),
        chain_id: 1284,
        epoch: 676,
        unix_time: world.clock.unix(),
        fleet: Address::ZERO,
        tickets_required: true,
        grace_bytes: 0,
        idle_timeout: 300,
        max_ports: 8,
    };
    encode(1, &welcome, &mut out);
    if asks {
        let unix_time = world.clock.unix();
        encode(0, &PresenceAsk { last_t: 7, unix_time }, &mut out);
    }
    let accepted = TicketAccepted {
        epoch: 676,
        total_bytes: 1 << 30,
        usage: 0,
        durable: true,
    };
    encode(3, &accepted, &mut out);
    world.feed(&out);
    world.turn(8);
}

fn act(input: &mut Input, world: &mut World) {
    let what = input.byte();
    let mut out = Vec::new();
    match what % 16 {
        0 => {
            let n = usize::from(input.byte());
            out.extend_from_slice(input.take(n));
        }
        1 => frames::node(input, &mut out),
        2 | 3 => frames::open(input, &mut world.next, Address([6; 20]), &mut out),
        4..=6 => frames::data(input, &mut world.spent, &mut out),
        7..=9 => frames::either(input, &mut out),
        10 | 11 => {
            let most = input.pick(&[1, 2, 8, 64]);
            return world.turn(most);
        }
        12 => {
            let milliseconds = input.pick(&[0, 1, 100, 1_001, 5_000, 20_000, 61_000, 101_000]);
            return world.clock.pass(Duration::from_millis(milliseconds));
        }
        13 if what > 0xd0 => {
            world.split = input.pick(&[0, 1, 5, 100]);
            return;
        }
        _ => return world.program(input),
    }
    world.feed(&out);
}

fuzz_target!(|data: &[u8]| {
    if data.len() > INPUT_MAX {
        return;
    }
    let mut input = Input(data);
    let how = input.byte();
    // Most runs sign nothing: a signature costs more than all the rest.
    let signs = how & 0x0f == 0;
    let limit = if signs { Some(100 << 20) } else { Some(0) };
    let mut world = World::new(how & 0x10 == 0, limit);
    if how & 0x80 == 0 {
        prepare(&mut world, signs);
    }
    while !input.is_empty() {
        act(&mut input, &mut world);
    }
    world.turn(64);
    // The program may outlive the session, and the other way round.
    if how & 0x40 == 0 {
        world.session = None;
    }
    world.held.clear();
    world.offers.lock().unwrap().clear();
    world.session = None;
    if let Some(link) = &world.link {
        assert_eq!(link.port_count(), 0, "a port stayed behind");
    }
    assert_eq!(world.budget.used(), 0, "a port left its memory behind");
});
