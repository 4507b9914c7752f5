//! Links between the nodes of a world.

use crate::edge::tests::line::{Half, Pipe};
use crate::edge::tests::world::{node_key, Goings, Program, World};
use crate::identity::{Address, SecretKey};
use crate::peer::hub::Hub;
use crate::peer::pool::{Asked, Outcome};
use crate::peer::session::{Met, PeerSession, Role};
use crate::peer::terms::{PeerError, PeerTerms, ALPN};
use crate::ports::{Link, Locate, Locating, Refusal};
use crate::session::{Admission, AdmissionLimits, Protocol, Stop};
use crate::time::Moment;
use crate::wire::code::Code;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A node that others link to.
pub struct Peer {
    pub hub: Arc<Hub>,
    pub admission: Arc<Admission>,
    /// Nobody reaches it.
    pub down: bool,
}

/// One link: the half of the node that dialled, that of the other.
pub struct PeerLine {
    pub dialler: Option<Half<PeerSession>>,
    pub listener: Option<Half<PeerSession>>,
    pub up: Pipe,
    pub down: Pipe,
    /// The nodes' numbers.
    pub from: usize,
    pub to: usize,
    met: Arc<Met>,
    told: bool,
}

#[derive(Default)]
pub struct Nodes {
    pub peers: Vec<Peer>,
    pub lines: Vec<PeerLine>,
    /// Who dials whom, at the next opportunity.
    pub dials: Vec<(usize, Address)>,
    /// Where devices are, for who looks for them; best first.
    pub homes: HashMap<Address, Vec<usize>>,
    /// One way, for links that come about.
    pub delay: Duration,
    /// Lookups that were asked for, with what was tried before.
    pub asked: Vec<(Address, Vec<Address>)>,
    /// Lookups are answered when this is on.
    pub answers: Option<bool>,
    wakers: Vec<std::task::Waker>,
}

/// The nodes of a world, shared by all who deal with them.
#[derive(Clone, Default)]
pub struct Net(Arc<Mutex<Nodes>>);

pub fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32]).unwrap()
}

pub fn terms() -> PeerTerms {
    PeerTerms {
        max_links: 16,
        admission: AdmissionLimits {
            sessions: 100,
            sessions_per_address: 100,
            half_open: 100,
            half_open_per_address: 100,
            accepts_per_second: 0,
            accepts_per_second_per_address: 0,
        },
        handshake_time: Duration::from_secs(10),
        idle_after: Duration::from_secs(300),
        send_buffer: 128 << 10,
    }
}

fn place(node: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1 + u8::try_from(node).unwrap()], 51_055))
}

impl Net {
    pub fn lock(&self) -> MutexGuard<'_, Nodes> {
        self.0.lock().unwrap()
    }

    /// A world with so many nodes, all of which look for devices in one table.
    pub fn of(nodes: u8, plan: PeerTerms) -> (World, Net) {
        let mut world = World::free();
        let net = Net::over(&mut world, nodes, plan);
        (world, net)
    }

    /// Links the nodes of a world, and adds those that are missing.
    pub fn over(world: &mut World, nodes: u8, plan: PeerTerms) -> Net {
        let net = Net::default();
        for n in 0..nodes {
            let address = if n == 0 {
                node_key().address()
            } else {
                key(100 + n).address()
            };
            let services = if n == 0 {
                world.services.clone()
            } else {
                world.another_node(address)
            };
            let hub = Arc::new(Hub::new(
                (address, format!("node/{n}"), Some(51_055)),
                plan.clone(),
                services.board.clone(),
                services.budget.clone(),
                world.clock.clone(),
            ));
            services.board.set_locate(Some(Arc::new(Table {
                net: net.clone(),
                node: n.into(),
            })));
            net.lock().peers.push(Peer {
                hub,
                admission: Admission::new(plan.admission),
                down: false,
            });
        }
        world.more.push(Box::new(net.clone()));
        net
    }

    pub fn address(&self, node: usize) -> Address {
        self.lock().peers[node].hub.node
    }

    pub fn hub(&self, node: usize) -> Arc<Hub> {
        self.lock().peers[node].hub.clone()
    }

    /// Tells the table that a device is at these nodes.
    pub fn tell(&self, program: &Program, nodes: &[usize]) {
        self.lock().homes.insert(program.address(), nodes.to_vec());
    }

    /// As `Links::link_to`, for one that is polled by hand.
    pub fn ask(&self, from: usize, to: usize, now: Moment) -> Result<Asked, PeerError> {
        let (hub, peer) = (self.hub(from), self.address(to));
        let asked = hub.pool().ask(peer, now);
        if matches!(asked, Ok(Asked::Dial(_))) {
            self.lock().dials.push((from, peer));
        }
        asked
    }

    /// A link that is there when it returns.
    pub fn link(&self, world: &mut World, from: usize, to: usize) -> Outcome {
        let asked = self.ask(from, to, world.now())?;
        world.settle();
        if self.lock().delay > Duration::ZERO {
            world.pass(Duration::from_secs(1));
        }
        match asked {
            Asked::There(link) => Ok(link),
            Asked::Wait(told) | Asked::Dial(told) => told.try_recv().expect("an outcome"),
        }
    }

    /// Dials although there may be a link.
    pub fn dial(&self, from: usize, to: usize) {
        let peer = self.address(to);
        self.lock().dials.push((from, peer));
    }

    /// How many links stand at a node.
    pub fn count(&self, node: usize) -> usize {
        self.hub(node).pool().count()
    }

    /// Breaks all links between two nodes without a word; true if there was one.
    pub fn cut(&self, a: usize, b: usize) -> bool {
        let mut nodes = self.lock();
        let mut cut = false;
        for line in &mut nodes.lines {
            if (line.from, line.to) == (a, b) || (line.from, line.to) == (b, a) {
                cut |= line.break_off();
            }
        }
        cut
    }

    /// Answers the lookups that wait.
    pub fn answer(&self) {
        let wakers = {
            let mut nodes = self.lock();
            nodes.answers = None;
            std::mem::take(&mut nodes.wakers)
        };
        wakers.into_iter().for_each(std::task::Waker::wake);
    }
}

impl Nodes {
    /// A connection to node `to` whose dialling half is a test, after TLS.
    pub fn dialled_by_test(&mut self, to: usize, peer: Address, from: SocketAddr) -> usize {
        let hub = self.peers[to].hub.clone();
        let slot = self.peers[to].admission.admit(from.ip(), hub.clock.now());
        let role = Role::Listening(slot.unwrap(), Arc::default());
        let now = hub.clock.now();
        let mut session = PeerSession::new(hub, role, from);
        session.secured(peer, Some(ALPN), now).unwrap();
        self.add(None, Some(Half::new(session)), usize::MAX, to)
    }

    /// A connection that node `from` has made to a test, after TLS.
    pub fn taken_by_test(&mut self, from: usize, peer: Address) -> usize {
        let hub = self.peers[from].hub.clone();
        let now = hub.clock.now();
        let role = Role::Dialling(peer, Arc::default());
        let mut session = PeerSession::new(hub, role, SocketAddr::from(([10, 0, 0, 1], 1)));
        session.secured(peer, Some(ALPN), now).unwrap();
        self.add(Some(Half::new(session)), None, from, usize::MAX)
    }

    fn add(
        &mut self,
        dialler: Option<Half<PeerSession>>,
        listener: Option<Half<PeerSession>>,
        from: usize,
        to: usize,
    ) -> usize {
        let pipe = || {
            let mut pipe = Pipe::default();
            pipe.delay = self.delay;
            pipe
        };
        self.lines.push(PeerLine {
            dialler,
            listener,
            up: pipe(),
            down: pipe(),
            from,
            to,
            met: Arc::default(),
            told: false,
        });
        self.lines.len() - 1
    }

    fn connect(&mut self, from: usize, peer: Address) {
        let dialler = self.peers[from].hub.clone();
        let to = self.peers.iter().position(|p| p.hub.node == peer);
        let now = dialler.clock.now();
        let Some(to) = to.filter(|to| !self.peers[*to].down) else {
            let error = PeerError::Unreachable("down".into());
            return dialler.pool().dial_failed(&peer, error, now);
        };
        let met = Arc::new(Met::default());
        let role = Role::Dialling(peer, met.clone());
        let mut up = PeerSession::new(dialler.clone(), role, place(to));
        up.secured(peer, Some(ALPN), now).unwrap();
        let slot = self.peers[to].admission.admit(place(from).ip(), now);
        let role = Role::Listening(slot.unwrap(), Arc::default());
        let mut down = PeerSession::new(self.peers[to].hub.clone(), role, place(from));
        down.secured(dialler.node, Some(ALPN), now).unwrap();
        let line = self.add(Some(Half::new(up)), Some(Half::new(down)), from, to);
        self.lines[line].met = met;
    }
}

impl PeerLine {
    fn run(&mut self, now: Moment, random: &mut fastrand::Rng) -> bool {
        let (up, down) = (&mut self.up, &mut self.down);
        let mut ran = false;
        if let Some(half) = &mut self.dialler {
            ran |= half.run(down, up, now, random);
        }
        if let Some(half) = &mut self.listener {
            ran |= half.run(up, down, now, random);
        }
        ran
    }

    /// Whether it stood.
    fn break_off(&mut self) -> bool {
        let lost = || Stop::Lost("broken by the test".into());
        let mut stood = false;
        if let Some(half) = &mut self.dialler {
            stood |= half.stop.is_none();
            half.end(lost(), &mut self.down, &mut self.up);
        }
        if let Some(half) = &mut self.listener {
            stood |= half.stop.is_none();
            half.end(lost(), &mut self.up, &mut self.down);
        }
        stood
    }

    /// The connection has a half that a test plays.
    fn half(&self, dialler: bool) -> Option<&Half<PeerSession>> {
        if dialler {
            self.dialler.as_ref()
        } else {
            self.listener.as_ref()
        }
    }

    pub fn stop(&self, dialler: bool) -> Option<&Stop> {
        self.half(dialler)?.stop.as_ref()
    }

    pub fn links(&self) -> [Option<Arc<Link>>; 2] {
        [&self.dialler, &self.listener].map(|half| half.as_ref()?.link())
    }
}

impl Goings for Net {
    fn run(&mut self, now: Moment, random: &mut fastrand::Rng) -> bool {
        let dials = std::mem::take(&mut self.lock().dials);
        let mut ran = !dials.is_empty();
        for (from, peer) in dials {
            self.lock().connect(from, peer);
        }
        // Taken out: sessions may ask for links while they run.
        let mut lines = std::mem::take(&mut self.lock().lines);
        for line in &mut lines {
            ran |= line.run(now, random);
            let over = line
                .dialler
                .as_ref()
                .is_some_and(|half| half.stop.is_some());
            if over && !line.told && line.listener.is_some() && line.met.member.get().is_none() {
                line.told = true;
                let stop = line.stop(true).unwrap();
                let error = PeerError::Unreachable(stop.to_string());
                let (hub, peer) = (self.hub(line.from), self.address(line.to));
                hub.pool().dial_failed(&peer, error, now);
            }
        }
        let mut nodes = self.lock();
        lines.append(&mut nodes.lines);
        nodes.lines = lines;
        ran
    }

    fn due(&self) -> Option<Moment> {
        let nodes = self.lock();
        let due = nodes.lines.iter().filter_map(|line| {
            let halves = [
                (&line.dialler, &line.down, &line.up),
                (&line.listener, &line.up, &line.down),
            ];
            let due = halves
                .into_iter()
                .filter_map(|(half, input, output)| half.as_ref()?.next(input, output));
            due.min()
        });
        due.min()
    }

    fn assert_nothing_was_forgotten(&mut self, now: Moment, random: &mut fastrand::Rng) {
        let mut lines = std::mem::take(&mut self.lock().lines);
        for line in &mut lines {
            let (up, down) = (&mut line.up, &mut line.down);
            let before = (up.carried, down.carried);
            if let Some(half) = &mut line.dialler {
                half.turn(down, up, now, random);
            }
            if let Some(half) = &mut line.listener {
                half.turn(up, down, now, random);
            }
            assert_eq!(
                before,
                (up.carried, down.carried),
                "a link had something to send and was not woken"
            );
        }
        self.lock().lines = lines;
    }

    fn thaw(&mut self) {
        for line in &mut self.lock().lines {
            (line.up.frozen, line.down.frozen) = (false, false);
        }
    }

    fn break_off(&mut self) {
        let mut lines = std::mem::take(&mut self.lock().lines);
        for line in &mut lines {
            line.break_off();
        }
        for peer in &self.lock().peers {
            assert_eq!(peer.hub.pool().count(), 0, "a link stayed behind");
            assert_eq!(peer.admission.sessions(), 0);
        }
    }
}

/// Finds devices in the table, for one node.
struct Table {
    net: Net,
    node: usize,
}

impl Locate for Table {
    fn locate(&self, device: Address, tried: &[Address]) -> Locating {
        let (net, node, tried) = (self.net.clone(), self.node, tried.to_vec());
        net.lock().asked.push((device, tried.clone()));
        Box::pin(async move {
            std::future::poll_fn(|cx| {
                let mut nodes = net.lock();
                if nodes.answers == Some(false) {
                    nodes.wakers.push(cx.waker().clone());
                    return std::task::Poll::Pending;
                }
                std::task::Poll::Ready(())
            })
            .await;
            let homes = net.lock().homes.get(&device).cloned().unwrap_or_default();
            let mut refusal = Refusal::new(Code::NOT_FOUND, "no node has that device");
            for to in homes {
                if tried.contains(&net.address(to)) {
                    continue;
                }
                let now = net.hub(node).clock.now();
                let outcome = match net.ask(node, to, now) {
                    Ok(Asked::There(link)) => Ok(link),
                    Ok(Asked::Wait(told) | Asked::Dial(told)) => told.recv().await.unwrap(),
                    Err(e) => Err(e),
                };
                match outcome {
                    Ok(link) => return Ok(link),
                    Err(e) => refusal = e.refusal(),
                }
            }
            Err(refusal)
        })
    }
}
