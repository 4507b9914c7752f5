//! A device's session with its node, both state machines of the program, over a line of a
//! given round trip. What TLS, TCP and IP add to the bytes is counted, the TLS
//! handshake as measured once with the real one.

use super::machine::unix;
use chr_node::edge::device::session::{DeviceSession, Event, SessionParts};
use chr_node::edge::device::Traffic;
use chr_node::edge::server::{ServerSession, Services, Terms};
use chr_node::edge::ALPN;
use chr_node::identity::{Address, SecretKey};
use chr_node::platform::clock::RELEASED;
use chr_node::ports::{Budget, Switchboard};
use chr_node::session::{Admission, AdmissionLimits, Protocol, Stop};
use chr_node::ticket::{Book, Payer, Policy, Rules};
use chr_node::time::{Clock, Moment};
use chr_node::tls::{client_config_with, Channel, CipherOrder, ServerConfigs, Versions};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

/// IPv4 and TCP headers with the timestamps that Linux puts there.
const HEADERS: u64 = 52;
/// A record of TLS 1.3: header, type and tag.
const RECORD: u64 = 22;
/// Segments that carry no bytes of ours in a connection's beginning and end.
const BARE_SEGMENTS: u64 = 6;

/// The clock that all sessions share: it stands until it is set.
#[derive(Default)]
pub struct SharedClock(AtomicU64);

impl SharedClock {
    pub fn set(&self, now: Moment) {
        self.0.store(now.0, Ordering::Relaxed);
    }
}

impl Clock for SharedClock {
    fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::Relaxed))
    }
    fn unix(&self) -> u64 {
        unix(self.now())
    }
    fn trusted(&self) -> bool {
        true
    }
    fn floor(&self) -> u64 {
        RELEASED
    }
}

#[derive(Default)]
struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One end: what the pump is in the program.
struct End<P> {
    session: P,
    alarm: Arc<Alarm>,
    due: Option<Moment>,
    inbox: VecDeque<(Moment, Vec<u8>)>,
}

impl<P: Protocol> End<P> {
    fn new(session: P) -> End<P> {
        let end = End {
            session,
            alarm: Arc::default(),
            due: None,
            inbox: VecDeque::new(),
        };
        end.alarm.0.store(true, Ordering::Relaxed);
        end
    }

    fn next(&self, now: Moment) -> Option<Moment> {
        let called = self.alarm.0.load(Ordering::Relaxed).then_some(now);
        let arrival = self.inbox.front().map(|(at, _)| *at);
        [called, arrival, self.due].into_iter().flatten().min()
    }

    /// A turn; what it sends.
    fn turn(&mut self, now: Moment) -> Result<Vec<u8>, Stop> {
        self.alarm.0.store(false, Ordering::Relaxed);
        while self.inbox.front().is_some_and(|(at, _)| *at <= now) {
            let (_, bytes) = self.inbox.pop_front().expect("it was looked at");
            self.session.receive(&bytes, now)?;
        }
        let waker = Waker::from(self.alarm.clone());
        let mut out = Vec::new();
        loop {
            self.due = self.session.tick(&mut Context::from_waker(&waker), now)?;
            let Some(link) = self.session.link().cloned() else {
                return Ok(out);
            };
            if let Some(close) = link.ending() {
                return Err(Stop::Say(close));
            }
            while let Some(mut chunk) = link.poll_output(&mut out, now) {
                self.session.sent(chunk.chunk.len());
                out.extend_from_slice(chunk.chunk.frame(chunk.port));
            }
            if !link.attend(&waker, true) {
                return Ok(out);
            }
        }
    }
}

/// A node as its sessions see it.
pub struct Home {
    services: Arc<Services>,
    admission: Arc<Admission>,
}

impl Home {
    pub fn new(node: Address, clock: Arc<SharedClock>) -> Home {
        let terms = Terms {
            node,
            agent: "chr-node".into(),
            chain_id: 1284,
            fleet: Address::ZERO,
            tickets_required: true,
            grace_bytes: 40 << 20,
            handshake_time: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            max_ports: 1024,
            send_buffer: 128 << 10,
        };
        let rules = Rules {
            node,
            chain_id: terms.chain_id,
            fleets: Vec::new(),
        };
        let policy = Policy {
            grace: terms.grace_bytes,
            required: true,
        };
        Home {
            services: Arc::new(Services {
                board: Switchboard::new(),
                book: Book::new(None, rules, policy, Address::ZERO),
                terms: terms.into(),
                budget: Budget::new(16 << 20),
                witness: None,
                presence: None,
                clock,
            }),
            admission: Admission::new(AdmissionLimits {
                sessions: 100,
                sessions_per_address: 100,
                half_open: 100,
                half_open_per_address: 100,
                accepts_per_second: 0,
                accepts_per_second_per_address: 0,
            }),
        }
    }
}

/// The program on the device.
pub struct Program {
    pub key: Arc<SecretKey>,
    clock: Arc<SharedClock>,
    payer: Arc<Mutex<Payer>>,
    /// Bytes of a TLS handshake, both ways, with its headers.
    handshake: u64,
}

impl Program {
    pub fn new(key: SecretKey, clock: Arc<SharedClock>) -> Program {
        Program {
            handshake: handshake_bytes(&key),
            key: Arc::new(key),
            clock,
            payer: Arc::new(Mutex::new(Payer::new(None))),
        }
    }
}

/// A session. Bytes on their way are lost when the line breaks, as is all that follows.
pub struct Line {
    device: Option<End<DeviceSession>>,
    node: Option<End<ServerSession>>,
    one_way: Duration,
    admitted: Arc<AtomicBool>,
    /// Nothing gets through any more, and nobody says so.
    broken: bool,
    /// Bytes on the device's line, both ways.
    pub bytes: u64,
}

impl Line {
    /// TLS stands from here on; the round trips until then are the caller's.
    pub fn new(program: &Program, home: &Home, one_way: Duration, now: Moment) -> Line {
        let node = home.services.terms.get().node;
        let admitted = Arc::new(AtomicBool::new(false));
        let told = admitted.clone();
        let mut device = DeviceSession::new(SessionParts {
            key: program.key.clone(),
            agent: "phone".into(),
            check_node: Box::new(|_| Ok(())),
            payer: program.payer.clone(),
            fleet: None,
            events: Box::new(move |event| {
                if matches!(event, Event::Admitted) {
                    told.store(true, Ordering::Relaxed);
                }
                true
            }),
            max_ports: 128,
            traffic: Arc::new(Traffic::default()),
            link_slot: Arc::default(),
            budget: Budget::new(4 << 20),
            clock: program.clock.clone(),
        });
        let slot = home.admission.admit([10, 0, 0, 1].into(), now);
        let mut server = ServerSession::new(home.services.clone(), slot.expect("a place"));
        device.secured(node, Some(ALPN), now).expect("our node");
        let address = program.key.address();
        server.secured(address, Some(ALPN), now).expect("a device");
        Line {
            device: Some(End::new(device)),
            node: Some(End::new(server)),
            one_way,
            admitted,
            broken: false,
            bytes: program.handshake,
        }
    }

    /// Ports go through it.
    pub fn carries(&self) -> bool {
        let both = self.device.is_some() && self.node.is_some();
        both && !self.broken && self.admitted.load(Ordering::Relaxed)
    }

    /// The node has the device in its table.
    pub fn is_at_node(&self) -> bool {
        self.node.is_some() && self.admitted.load(Ordering::Relaxed)
    }

    /// The device's program believes in it.
    pub fn is_at_device(&self) -> bool {
        self.device.is_some()
    }

    pub fn break_off(&mut self) {
        self.broken = true;
    }

    /// The device has woken up: its timers have not fired meanwhile.
    pub fn wake(&mut self) {
        if let Some(end) = &self.device {
            if let Some(link) = end.session.link() {
                link.wake();
            }
            end.alarm.0.store(true, Ordering::Relaxed);
        }
    }

    /// When something happens next.
    pub fn next(&self, now: Moment, awake: bool) -> Option<Moment> {
        let device = self.device.as_ref().filter(|_| awake);
        let device = device.and_then(|end| end.next(now));
        let node = self.node.as_ref().and_then(|end| end.next(now));
        [device, node].into_iter().flatten().min()
    }

    /// Turns of both ends.
    pub fn run(&mut self, now: Moment, awake: bool) {
        let arrives = now + self.one_way;
        let due = |next: Option<Moment>| next.is_some_and(|at| at <= now);
        if awake && due(self.device.as_ref().and_then(|end| end.next(now))) {
            let out = self.device.as_mut().map(|end| end.turn(now));
            match out {
                Some(Ok(bytes)) if !bytes.is_empty() => {
                    self.bytes += on_the_line(&bytes);
                    match (&mut self.node, self.broken) {
                        (_, true) => {}
                        (Some(node), _) => node.inbox.push_back((arrives, bytes)),
                        // Its kernel answers for a connection that it no longer has.
                        (None, _) => {
                            self.bytes += HEADERS;
                            self.device = None;
                        }
                    }
                }
                Some(Err(_)) => {
                    self.device = None;
                    if !self.broken {
                        self.node = None;
                    }
                }
                _ => {}
            }
        }
        if due(self.node.as_ref().and_then(|end| end.next(now))) {
            let out = self.node.as_mut().map(|end| end.turn(now));
            match out {
                Some(Ok(bytes)) if !bytes.is_empty() && !self.broken => {
                    // To a device that sleeps it comes when it wakes up, at the node's cost.
                    if awake {
                        self.bytes += on_the_line(&bytes);
                    }
                    if let Some(device) = &mut self.device {
                        device.inbox.push_back((arrives, bytes));
                    }
                }
                Some(Err(_)) => {
                    self.node = None;
                    if awake && !self.broken {
                        self.device = None;
                    }
                }
                _ => {}
            }
        }
    }
}

/// Bytes with what carries them, and the acknowledgement.
fn on_the_line(bytes: &[u8]) -> u64 {
    let length = bytes.len() as u64;
    length + (length / 16_384 + 1) * RECORD + (length / 1_400 + 1) * HEADERS + HEADERS
}

/// What a connection costs until both know each other.
fn handshake_bytes(key: &SecretKey) -> u64 {
    let server_key = SecretKey::from_bytes(&[7; 32]).expect("a key");
    let config = client_config_with(key, &[ALPN], Versions::Both, CipherOrder::ChaCha20);
    let configs = ServerConfigs::new(&server_key, &[ALPN], Versions::Both);
    let mut client = Channel::client(&config.expect("a configuration")).expect("a client");
    let mut server = Channel::server(&configs.expect("a configuration"));
    let (mut up, mut down) = (Vec::new(), Vec::new());
    client.start(&mut up).expect("a hello");
    let mut bytes = BARE_SEGMENTS * HEADERS;
    while !up.is_empty() || !down.is_empty() {
        bytes += [&up, &down]
            .iter()
            .filter(|part| !part.is_empty())
            .map(|part| on_the_line(part))
            .sum::<u64>();
        let (mut to_server, mut to_client) = (std::mem::take(&mut up), std::mem::take(&mut down));
        let progress = server.receive(&mut to_server, &mut down, &mut |_| {});
        let _ = progress.expect("the server takes it");
        let progress = client.receive(&mut to_client, &mut up, &mut |_| {});
        let _ = progress.expect("the client takes it");
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    bytes
}
