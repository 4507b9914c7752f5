//! A node, its sessions and the programs at their other ends.

use super::line::{Half, Line, Pipe};
use crate::edge::device::session::{DeviceSession, Event, SessionParts};
use crate::edge::device::Traffic;
use crate::edge::server::{Announce, ServerSession, Services, Terms};
use crate::edge::ALPN;
use crate::identity::{Address, SecretKey};
use crate::ports::local::End;
use crate::ports::{Budget, Link, LocalPort, Switchboard};
use crate::session::{Admission, AdmissionLimits};
use crate::session::{Protocol, Stop};
use crate::ticket::{Book, Payer, Policy, Rules, EPOCH_SECONDS};
use crate::time::{Clock, Moment};
use crate::wire::control::Publish;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The epoch that tests begin in.
pub const EPOCH: u64 = 676;

/// A clock that stands until it is moved.
pub struct TestClock {
    nanos: AtomicU64,
    /// What the wall clock is ahead of [`EPOCH`]'s beginning and the moments.
    ahead: AtomicU64,
    trusted: AtomicBool,
}

impl Clock for TestClock {
    fn now(&self) -> Moment {
        Moment(self.nanos.load(Ordering::Relaxed))
    }
    fn unix(&self) -> u64 {
        let ahead = self.ahead.load(Ordering::Relaxed);
        EPOCH * EPOCH_SECONDS + ahead + self.now().0 / 1_000_000_000
    }
    fn trusted(&self) -> bool {
        self.trusted.load(Ordering::Relaxed)
    }
    fn floor(&self) -> u64 {
        EPOCH * EPOCH_SECONDS
    }
}

/// What a test wants to be different.
pub struct Plan {
    pub seed: u64,
    pub terms: Terms,
    pub budget: usize,
    /// For the first credits of ports.
    pub firsts: usize,
    pub clock_trusted: bool,
    pub presence: Option<Arc<dyn Announce>>,
}

pub struct World {
    pub clock: Arc<TestClock>,
    pub services: Arc<Services>,
    pub admission: Arc<Admission>,
    pub random: fastrand::Rng,
    pub lines: Vec<Line>,
    /// Further nodes; the first is `services`.
    pub others: Vec<Arc<Services>>,
    /// What else goes on, between nodes for instance.
    pub more: Vec<Box<dyn Goings>>,
    plan: Plan,
}

/// Something that happens beside the sessions of devices.
pub trait Goings {
    /// What is called for at this moment; whether there was anything.
    fn run(&mut self, now: Moment, random: &mut fastrand::Rng) -> bool;
    /// When something happens next without anybody's doing.
    fn due(&self) -> Option<Moment>;
    /// Turns that nobody called for must change nothing.
    fn assert_nothing_was_forgotten(&mut self, now: Moment, random: &mut fastrand::Rng);
    /// Everybody reads again.
    fn thaw(&mut self);
    /// All of it ends without a word.
    fn break_off(&mut self);
}

/// What runs on a device: it outlives sessions.
pub struct Program {
    pub key: Arc<SecretKey>,
    pub events: Arc<Mutex<VecDeque<Event>>>,
    pub offers: Arc<Mutex<VecDeque<LocalPort>>>,
    /// Takes no more offers when false.
    pub takes: Arc<AtomicBool>,
    pub slot: Arc<Mutex<Option<Arc<Link>>>>,
    pub payer: Arc<Mutex<Payer>>,
    pub traffic: Arc<Traffic>,
    pub budget: Arc<Budget>,
    pub max_ports: usize,
}

impl World {
    /// A node that asks for no tickets.
    pub fn free() -> World {
        World::with(|_| {})
    }

    /// A node that does.
    pub fn paid() -> World {
        World::with(|plan| plan.terms.tickets_required = true)
    }

    pub fn with(change: impl FnOnce(&mut Plan)) -> World {
        let node = node_key().address();
        let mut plan = Plan {
            seed: 1,
            terms: Terms {
                node,
                agent: "node".into(),
                chain_id: 1284,
                fleet: Address::ZERO,
                tickets_required: false,
                grace_bytes: 40 << 20,
                handshake_time: Duration::from_secs(30),
                idle_timeout: Duration::from_secs(300),
                max_ports: 1024,
                send_buffer: 128 << 10,
            },
            budget: 64 << 20,
            firsts: usize::MAX,
            clock_trusted: true,
            presence: None,
        };
        change(&mut plan);
        let clock = Arc::new(TestClock {
            nanos: AtomicU64::new(1_000_000_000),
            ahead: AtomicU64::new(1_000),
            trusted: AtomicBool::new(plan.clock_trusted),
        });
        World {
            services: plan.services(node, &clock),
            others: Vec::new(),
            more: Vec::new(),
            admission: Admission::new(AdmissionLimits {
                sessions: 100,
                sessions_per_address: 100,
                half_open: 100,
                half_open_per_address: 100,
                accepts_per_second: 0,
                accepts_per_second_per_address: 0,
            }),
            clock,
            random: fastrand::Rng::with_seed(plan.seed),
            lines: Vec::new(),
            plan,
        }
    }

    /// One more node, with terms like the first one's.
    pub fn another_node(&mut self, address: Address) -> Arc<Services> {
        let services = self.plan.services(address, &self.clock);
        self.others.push(services.clone());
        services
    }

    /// The services of a node by its number.
    pub fn node(&self, number: usize) -> &Arc<Services> {
        match number {
            0 => &self.services,
            n => &self.others[n - 1],
        }
    }

    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// The wall clock jumps ahead.
    pub fn skip_wall_clock(&self, seconds: u64) {
        self.clock.ahead.fetch_add(seconds, Ordering::Relaxed);
    }

    /// The node learns that its clock is right, or that it is not.
    pub fn trust_clock(&self, trusted: bool) {
        self.clock.trusted.store(trusted, Ordering::Relaxed);
    }

    fn node_half(&self, node: usize) -> ServerSession {
        let slot = self.admission.admit([10, 0, 0, 1].into(), self.now());
        ServerSession::new(self.node(node).clone(), slot.unwrap())
    }

    /// A session whose device is in the hands of the test, after TLS.
    pub fn node_only(&mut self, peer: Address, alpn: bool) -> usize {
        self.node_only_at(0, peer, alpn)
    }

    fn node_only_at(&mut self, node: usize, peer: Address, alpn: bool) -> usize {
        let mut session = self.node_half(node);
        let alpn = alpn.then_some(ALPN);
        session.secured(peer, alpn, self.now()).unwrap();
        self.add(None, Some(Half::new(session)))
    }

    /// A session whose node is in the hands of the test.
    pub fn device_only(&mut self, program: &Program) -> usize {
        let half = self.device_half(program, 0);
        self.add(Some(half), None)
    }

    /// A session of `program`, from TLS to what both say by themselves.
    pub fn connect(&mut self, program: &Program) -> usize {
        let line = self.begin(program);
        self.settle();
        line
    }

    /// The same, before either has said a word.
    pub fn begin(&mut self, program: &Program) -> usize {
        self.begin_at(0, program)
    }

    /// As [`World::connect`] at another node.
    pub fn connect_at(&mut self, node: usize, program: &Program) -> usize {
        let line = self.begin_at(node, program);
        self.settle();
        line
    }

    /// As [`World::begin`] at another node.
    pub fn begin_at(&mut self, node: usize, program: &Program) -> usize {
        let device = self.device_half(program, node);
        let line = self.node_only_at(node, program.address(), true);
        self.lines[line].device = Some(device);
        line
    }

    fn device_half(&self, program: &Program, node: usize) -> Half<DeviceSession> {
        let mut session = DeviceSession::new(program.parts(self.clock.clone()));
        let node = self.node(node).terms.get().node;
        session.secured(node, Some(ALPN), self.now()).unwrap();
        Half::new(session)
    }

    fn add(
        &mut self,
        device: Option<Half<DeviceSession>>,
        node: Option<Half<ServerSession>>,
    ) -> usize {
        self.lines.push(Line {
            device,
            node,
            up: Pipe::default(),
            down: Pipe::default(),
        });
        self.lines.len() - 1
    }

    /// Lets happen what happens at this moment.
    pub fn settle(&mut self) {
        let now = self.now();
        for _ in 0..1_000_000 {
            let mut ran = false;
            let start = self.random.usize(..self.lines.len().max(1));
            for i in 0..self.lines.len() {
                let at = (start + i) % self.lines.len();
                ran |= self.lines[at].run(now, &mut self.random);
            }
            for more in &mut self.more {
                ran |= more.run(now, &mut self.random);
            }
            if !ran {
                return;
            }
        }
        panic!("the sessions never come to rest");
    }

    /// Lets `time` pass, with all that happens in it.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        self.settle();
        loop {
            let due = self.lines.iter().filter_map(Line::due);
            let due = due.chain(self.more.iter().filter_map(|m| m.due())).min();
            let next = due.filter(|at| *at <= end).unwrap_or(end);
            self.clock.nanos.fetch_max(next.0, Ordering::Relaxed);
            self.settle();
            if due.is_none_or(|at| at > end) {
                return;
            }
        }
    }

    /// The machine is suspended, with all that runs on it.
    pub fn sleep(&mut self, time: Duration) {
        self.settle();
        let nanos = u64::try_from(time.as_nanos()).unwrap();
        self.clock.nanos.fetch_add(nanos, Ordering::Relaxed);
        for line in &mut self.lines {
            let halves = (line.device.as_mut(), line.node.as_mut());
            halves.0.into_iter().for_each(|half| half.oversleep(time));
            halves.1.into_iter().for_each(|half| half.oversleep(time));
        }
    }

    /// A turn that nobody called for must change nothing.
    pub fn assert_nothing_was_forgotten(&mut self) {
        self.settle();
        let now = self.now();
        for line in &mut self.lines {
            line.assert_nothing_was_forgotten(now, &mut self.random);
        }
        for more in &mut self.more {
            more.assert_nothing_was_forgotten(now, &mut self.random);
        }
    }

    /// Why the node ended a session.
    pub fn node_stop(&self, line: usize) -> Option<&Stop> {
        self.lines[line].node.as_ref()?.stop.as_ref()
    }

    /// Why the device ended a session.
    pub fn device_stop(&self, line: usize) -> Option<&Stop> {
        self.lines[line].device.as_ref()?.stop.as_ref()
    }

    /// The node's link of a session.
    pub fn node_link(&self, line: usize) -> Arc<Link> {
        let half = self.lines[line].node.as_ref().unwrap();
        half.link().expect("a session that has said Hello")
    }

    /// Everybody leaves: nothing may stay behind.
    pub fn close(mut self) {
        self.settle();
        let links: Vec<_> = self
            .lines
            .iter()
            .filter_map(|line| line.node.as_ref()?.link())
            .collect();
        for line in &mut self.lines {
            line.break_off();
        }
        for more in &mut self.more {
            more.break_off();
        }
        for link in links {
            assert_eq!(link.port_count(), 0, "a port stayed behind");
        }
        for services in self.others.iter().chain([&self.services]) {
            assert_eq!(services.budget.used(), 0, "memory stayed behind");
            assert_eq!(services.budget.firsts(), 0, "a first credit stayed behind");
            assert_eq!(services.board.devices(), 0);
            assert_eq!(services.board.lookups(), 0, "a search stayed behind");
        }
        assert_eq!(self.admission.sessions(), 0);
    }
}

impl Plan {
    fn services(&self, node: Address, clock: &Arc<TestClock>) -> Arc<Services> {
        let rules = Rules {
            node,
            chain_id: self.terms.chain_id,
            fleets: Vec::new(),
        };
        let policy = Policy {
            grace: self.terms.grace_bytes,
            required: self.terms.tickets_required,
        };
        let terms = Terms {
            node,
            ..self.terms.clone()
        };
        Arc::new(Services {
            board: Switchboard::new(),
            book: Book::new(None, rules, policy, self.terms.fleet),
            terms: terms.into(),
            budget: Budget::with_firsts(self.budget, self.firsts),
            witness: None,
            presence: self.presence.clone(),
            clock: clock.clone(),
        })
    }
}

/// The node's key.
pub fn node_key() -> SecretKey {
    SecretKey::from_bytes(&[99; 32]).unwrap()
}

impl Program {
    pub fn new(n: u8) -> Program {
        Program::that_pays(n, None)
    }

    /// With `--max-bytes`.
    pub fn that_pays(n: u8, limit: Option<u64>) -> Program {
        Program {
            key: Arc::new(SecretKey::from_bytes(&[n; 32]).unwrap()),
            events: Arc::default(),
            offers: Arc::default(),
            takes: Arc::new(AtomicBool::new(true)),
            slot: Arc::default(),
            payer: Arc::new(Mutex::new(Payer::new(limit))),
            traffic: Arc::default(),
            budget: Budget::new(8 << 20),
            max_ports: 1024,
        }
    }

    pub fn address(&self) -> Address {
        self.key.address()
    }

    pub fn parts(&self, clock: Arc<TestClock>) -> SessionParts {
        let (events, offers) = (self.events.clone(), self.offers.clone());
        let takes = self.takes.clone();
        SessionParts {
            key: self.key.clone(),
            agent: "program".into(),
            check_node: Box::new(|_| Ok(())),
            payer: self.payer.clone(),
            fleet: None,
            events: Box::new(move |event| {
                match event {
                    Event::Offered(_) if !takes.load(Ordering::Relaxed) => return false,
                    Event::Offered(port) => offers.lock().unwrap().push_back(port),
                    event => events.lock().unwrap().push_back(event),
                }
                true
            }),
            max_ports: self.max_ports,
            traffic: self.traffic.clone(),
            link_slot: self.slot.clone(),
            budget: self.budget.clone(),
            clock,
        }
    }

    /// The link of the latest session.
    pub fn link(&self) -> Arc<Link> {
        self.slot.lock().unwrap().clone().unwrap()
    }

    pub fn publish(&self, name: &str) {
        self.link().request(&Publish {
            name: name.to_owned(),
            allow: None,
        });
    }

    pub fn open(&self, peer: &Program, name: &str, now: Moment) -> LocalPort {
        LocalPort::open(&self.link(), peer.address(), name, now).unwrap()
    }

    /// The next port that somebody wants to open.
    pub fn offer(&self) -> Option<LocalPort> {
        self.offers.lock().unwrap().pop_front()
    }

    /// What was told since the last time.
    pub fn told(&self) -> Vec<Event> {
        self.events.lock().unwrap().drain(..).collect()
    }
}

/// Whether the port stands, or why not; `None`: not known yet.
pub fn opened(port: &LocalPort) -> Option<Result<(), End>> {
    match port.poll_opened(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// What can be read now, and how the direction ended if it has.
pub fn read(port: &LocalPort, now: Moment) -> (Vec<u8>, Option<Result<(), End>>) {
    let mut bytes = Vec::new();
    loop {
        match read_one(port, now) {
            Poll::Pending => return (bytes, None),
            Poll::Ready(Ok(Some(chunk))) => bytes.extend(chunk),
            Poll::Ready(Ok(None)) => return (bytes, Some(Ok(()))),
            Poll::Ready(Err(end)) => return (bytes, Some(Err(end))),
        }
    }
}

/// One chunk or datagram.
pub fn read_one(port: &LocalPort, now: Moment) -> Poll<Result<Option<Vec<u8>>, End>> {
    let chunk = port.poll_read(&mut Context::from_waker(Waker::noop()), now);
    chunk.map_ok(|chunk| chunk.map(|c| c.bytes().to_vec()))
}

/// Writes what there is room for; the number of bytes.
pub fn write(port: &LocalPort, bytes: &[u8]) -> Result<usize, End> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut written = 0;
    while written < bytes.len() {
        match port.poll_write(&mut cx, &bytes[written..])? {
            Poll::Ready(n) => written += n,
            Poll::Pending => break,
        }
    }
    Ok(written)
}

/// Two programs with a port between them that both have taken.
pub fn join(world: &mut World, a: &Program, b: &Program, name: &str) -> (LocalPort, LocalPort) {
    b.publish(name);
    world.settle();
    let from = a.open(b, name, world.now());
    world.settle();
    let to = b.offer().expect("an offer");
    to.accept();
    world.settle();
    assert_eq!(opened(&from), Some(Ok(())));
    (from, to)
}

/// Two connected programs.
pub fn pair(world: &mut World) -> (Program, Program) {
    let (a, b) = (Program::new(1), Program::new(2));
    world.connect(&a);
    world.connect(&b);
    (a, b)
}
