//! Nodes and devices of the library in this process, over real sockets and TLS.

use async_io::{Async, Timer};
use chr_node::edge::device::{Device, DeviceEvent, DeviceOptions, NodeAddress, Stream};
use chr_node::edge::server::{self, Server, Services, Terms};
use chr_node::identity::{Address, SecretKey};
use chr_node::liveness::Beat;
use chr_node::peer::{Links, PeerError, PeerEvent, PeerParts, PeerTerms, PeerTls, Wanted};
use chr_node::platform::clock::BootClock;
use chr_node::ports::{Budget, Link, Locate, Locating, Refusal, Switchboard};
use chr_node::session::{Admission, AdmissionLimits};
use chr_node::ticket::{Book, Policy, Rules};
use chr_node::tls::{ServerConfigs, Versions};
use chr_node::wire::code::Code;
use smol::{Executor, Task};
use std::collections::HashMap;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take that should happen at once.
pub const SOON: Duration = Duration::from_secs(30);

/// Where devices are: node by node, its address and its peer port.
pub type Homes = Arc<Mutex<HashMap<Address, Vec<(Address, SocketAddr)>>>>;

pub struct Node {
    pub key: SecretKey,
    pub links: Arc<Links>,
    pub board: Arc<Switchboard>,
    pub edge: SocketAddr,
    pub peer: SocketAddr,
    _tasks: Vec<Task<()>>,
}

/// Runs `work` with the executor that everything of a test shares.
pub fn run<F>(work: impl FnOnce(Arc<Executor<'static>>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let executor = Arc::new(Executor::new());
    let task = executor.spawn(work(executor.clone()));
    smol::block_on(executor.run(task));
}

pub fn terms() -> PeerTerms {
    PeerTerms {
        max_links: 16,
        admission: limits(),
        handshake_time: Duration::from_secs(10),
        idle_after: Duration::from_secs(300),
        send_buffer: 128 << 10,
    }
}

fn limits() -> AdmissionLimits {
    AdmissionLimits {
        sessions: 1000,
        sessions_per_address: 1000,
        half_open: 64,
        half_open_per_address: 64,
        accepts_per_second: 0,
        accepts_per_second_per_address: 0,
    }
}

fn listener() -> (Async<TcpListener>, SocketAddr) {
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
    let place = listener.get_ref().local_addr().unwrap();
    (listener, place)
}

impl Node {
    pub fn start(executor: &Arc<Executor<'static>>, homes: &Homes) -> Node {
        Node::with(executor, homes, SecretKey::generate(), terms())
    }

    pub fn with(
        executor: &Arc<Executor<'static>>,
        homes: &Homes,
        key: SecretKey,
        terms: PeerTerms,
    ) -> Node {
        let clock = Arc::new(BootClock::new());
        let (board, budget) = (Switchboard::new(), Budget::new(64 << 20));
        let node = key.address();
        let services = Services {
            terms: edge_terms(node).into(),
            board: board.clone(),
            book: Book::new(
                None,
                Rules {
                    node,
                    chain_id: 1284,
                    fleets: Vec::new(),
                },
                Policy {
                    grace: 0,
                    required: false,
                },
                Address::ZERO,
            ),
            budget: budget.clone(),
            witness: None,
            presence: None,
            clock: clock.clone(),
        };
        let edge_tls = ServerConfigs::new(&key, &[chr_node::edge::ALPN], Versions::Both);
        let server = Server::new(
            Arc::new(services),
            Admission::new(limits()),
            edge_tls.unwrap(),
        );
        let (edge_listener, edge) = listener();
        let (peer_listener, peer) = listener();
        let links = Links::new(PeerParts {
            node,
            tls: PeerTls::new(&key, Versions::Both).unwrap(),
            agent: "test".into(),
            peer_port: Some(peer.port()),
            terms,
            board: board.clone(),
            budget,
            clock,
            executor: executor.clone(),
        });
        board.set_locate(Some(Arc::new(Table {
            homes: homes.clone(),
            links: links.clone(),
        })));
        let edge_loop = server::listen(
            Arc::new(server),
            edge_listener,
            executor.clone(),
            Beat::unwatched(),
        );
        let peer_loop = links.clone().listen(peer_listener, Beat::unwatched());
        let tending = links.clone().tend(Beat::unwatched());
        let tasks = vec![
            executor.spawn(edge_loop),
            executor.spawn(peer_loop),
            executor.spawn(tending),
        ];
        Node {
            key,
            links,
            board,
            edge,
            peer,
            _tasks: tasks,
        }
    }

    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// What others need to dial it, through `place`.
    pub fn at(&self, place: SocketAddr) -> (Address, SocketAddr) {
        (self.address(), place)
    }

    pub async fn link_to(&self, other: &Node) -> Result<Arc<Link>, PeerError> {
        self.links.link_to(other.address(), &[other.peer]).await
    }

    pub fn wants(&self, other: &Node) -> Wanted {
        Wanted {
            id: other.address(),
            host: other.peer.ip().to_string(),
            port: other.peer.port(),
        }
    }

    /// A device with a session here, known to all.
    pub async fn device(&self, executor: &Arc<Executor<'static>>, homes: &Homes) -> Device {
        let node: NodeAddress = format!("{}@{}", self.address(), self.edge).parse().unwrap();
        let options = DeviceOptions::new(SecretKey::generate(), vec![node]);
        let device = Device::start(options, executor).unwrap();
        match device.next_event().await {
            DeviceEvent::Ready { .. } => {}
            other => panic!("{other:?}"),
        }
        homes
            .lock()
            .unwrap()
            .insert(device.address(), vec![self.at(self.peer)]);
        device
    }
}

fn edge_terms(node: Address) -> Terms {
    Terms {
        node,
        agent: "test".into(),
        chain_id: 1284,
        fleet: Address::ZERO,
        tickets_required: false,
        grace_bytes: 0,
        handshake_time: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(300),
        max_ports: 1024,
        send_buffer: 128 << 10,
    }
}

/// Looks devices up in the table.
struct Table {
    homes: Homes,
    links: Arc<Links>,
}

impl Locate for Table {
    fn locate(&self, device: Address, tried: &[Address]) -> Locating {
        let homes = self.homes.lock().unwrap().get(&device).cloned();
        let (links, tried) = (self.links.clone(), tried.to_vec());
        Box::pin(async move {
            let mut last = Refusal::new(Code::NOT_FOUND, "no node has that device");
            for (node, place) in homes.unwrap_or_default() {
                if tried.contains(&node) {
                    continue;
                }
                match links.link_to(node, &[place]).await {
                    Ok(link) => return Ok(link),
                    Err(e) => last = e.refusal(),
                }
            }
            Err(last)
        })
    }
}

/// A stream from `a` to the port `tls:80` of `b`, and `b`'s end of it.
pub async fn stream(a: &Device, b: &Device) -> (Stream, Stream) {
    b.publish("tls:80", None);
    let end = Instant::now() + SOON;
    let opening = async {
        loop {
            // The publication may still be on its way.
            match a.connect(b.address(), 80).await {
                Ok(stream) => return stream,
                Err(e) => assert!(Instant::now() < end, "{e}"),
            }
            Timer::after(Duration::from_millis(5)).await;
        }
    };
    let accepting = async {
        let offer = b.accept().await.unwrap();
        Stream::new(offer.accept(|_| Ok(())).await.unwrap())
    };
    smol::future::zip(opening, accepting).await
}

/// Waits until `is` true.
pub async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is() {
        assert!(Instant::now() < end, "not in time: {what}");
        Timer::after(Duration::from_millis(5)).await;
    }
}

/// The next event of this kind at a node.
pub async fn event<T>(node: &Node, pick: impl Fn(PeerEvent) -> Option<T>) -> T {
    let events = node.links.events();
    let next = async {
        loop {
            if let Some(found) = pick(events.recv().await.unwrap()) {
                return Some(found);
            }
        }
    };
    let late = async {
        Timer::after(SOON).await;
        None
    };
    smol::future::or(next, late).await.expect("an event")
}
