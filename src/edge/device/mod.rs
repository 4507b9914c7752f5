//! The device side: keep a session with a node, publish ports, open others'.
//!
//! ```no_run
//! use chr_node::edge::device::{Device, DeviceOptions};
//! use chr_node::identity::{Address, SecretKey};
//! use std::sync::Arc;
//!
//! let executor = Arc::new(smol::Executor::new());
//! smol::block_on(executor.run(async {
//!     let node = "127.0.0.1:41046".parse()?;
//!     let options = DeviceOptions::new(SecretKey::generate(), vec![node]);
//!     let device = Device::start(options, &executor)?;
//!     let peer: Address = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8".parse()?;
//!     let mut stream = device.connect(peer, 8080).await?;
//!     stream.write_all(b"hello").await?;
//!     let answer = stream.read().await?;
//!     println!("{} bytes", answer.len());
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! }))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | [`session`] | the device's state machine, without I/O |
//! | [`keeper`] | connects, fails over, reconnects for ever |
//! | `attempt.rs` | one session from dialling to its end |
//! | `state.rs` | which sessions stand, and what the program hears of it |
//! | [`events`] | what the program hears and is offered |
//! | `telling.rs` | the word that this device is here |
//! | `opening.rs` | opens ports, and looks for a device by the second session |
//! | [`messages`] | small messages from device to device |
//! | [`node_address`] | `[0xADDR@]HOST:PORT`, and which address was seen where |
//! | [`tunnel`] | a port as a stream, TLS end to end inside |
//! | [`stream`] | the same for library users, with `async` calls |
//! | [`splice`] | a local TCP connection joined to a tunnel |
//! | [`datagram`] | UDP flows over ports |
//! | [`publisher`], [`forwarder`] | what `chr-node publish` and `chr-node forward` run |

mod attempt;
pub mod datagram;
pub mod events;
pub mod forwarder;
pub mod keeper;
pub mod messages;
pub mod node_address;
mod opening;
pub(super) mod pace;
pub mod publisher;
pub mod session;
pub mod splice;
mod state;
pub mod stream;
mod telling;
pub mod tunnel;

pub use events::{DeviceEvent, Offer};
pub use messages::{Mailbox, Message, MESSAGE_MAX};
pub use node_address::{KnownNodes, NodeAddress};
pub use stream::Stream;

use crate::identity::{Address, SecretKey};
use crate::platform::clock::BootClock;
use crate::ports::local::End;
use crate::ports::{Budget, Link, LocalPort};
use crate::task;
use crate::task::channel::{bounded, Receiver, Sender};
use crate::ticket::Payer;
use crate::time::Clock;
use crate::tls::{client_config_with, Channel, CipherOrder, ServerConfigs, TlsError, Versions};
use crate::wire::code::Code;
use rustls::ClientConfig;
use smol::Executor;
use state::State;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tunnel::Tunnel;

/// Offered ports that may wait for the program: as many as a node lets wait for
/// our answer, so that a burst of connections is not refused half way.
const OFFERS_MAX: usize = crate::ports::link::OPENINGS_MAX;
/// Events that may wait for the program; the oldest go first.
const EVENTS_MAX: usize = 64;
/// Ports a device takes at once, its own and offered ones.
const PORTS_MAX: usize = 1024;
/// Grown windows of a device together: two full sessions' worth.
const BUDGET: usize = 8 * 1024 * 1024;

/// How long [`Device::leave`] waits at most.
const LEAVE_TIME: Duration = Duration::from_millis(500);

/// What a device is made of.
pub struct DeviceOptions {
    /// Its identity.
    pub key: SecretKey,
    /// Nodes to try, in order of preference.
    pub nodes: Vec<NodeAddress>,
    /// Fleet that tickets name; the node's when `None`.
    pub fleet: Option<Address>,
    /// Most bytes that this run will sign tickets for; `None`: no bound.
    pub max_bytes: Option<u64>,
    /// Which node address was seen behind which host; see [`KnownNodes`].
    pub known_nodes: KnownNodes,
    /// Name and version of the program, for the node's log.
    pub agent: String,
    /// With several nodes: keep a second session with the next one, which takes
    /// over at once. It costs a ping in 100 s and a ticket there.
    pub warm_second: bool,
    /// Which cipher to ask for, of the node and of the devices behind it.
    pub ciphers: CipherOrder,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl DeviceOptions {
    /// Options with defaults: no bounds, nodes are not remembered.
    #[must_use]
    pub fn new(key: SecretKey, nodes: Vec<NodeAddress>) -> DeviceOptions {
        DeviceOptions {
            key,
            nodes,
            fleet: None,
            max_bytes: None,
            known_nodes: KnownNodes::in_memory(),
            agent: concat!("chr-node/", env!("CARGO_PKG_VERSION")).into(),
            warm_second: true,
            ciphers: CipherOrder::ByCpu,
            clock: Arc::new(BootClock::new()),
        }
    }
}

/// Port payload carried by a device in this run.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes sent.
    pub sent: AtomicU64,
    /// Bytes received.
    pub received: AtomicU64,
    /// Connections (ports) open now.
    pub open: AtomicU64,
}

impl Traffic {
    /// Bytes sent and received.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.sent.load(Ordering::Relaxed) + self.received.load(Ordering::Relaxed)
    }
}

/// The shared half of a device: its keeper's task and all handles hold it.
pub(crate) struct Shared {
    key: Arc<SecretKey>,
    options: Options,
    state: Mutex<State>,
    offers: Sender<LocalPort>,
    letters: Sender<LocalPort>,
    edge_tls: Arc<ClientConfig>,
    inner_client: Arc<ClientConfig>,
    inner_server: Arc<ServerConfigs>,
    budget: Arc<Budget>,
    payer: Arc<Mutex<Payer>>,
    /// What was carried.
    pub traffic: Arc<Traffic>,
}

pub(crate) struct Options {
    nodes: Vec<NodeAddress>,
    fleet: Option<Address>,
    known_nodes: Arc<KnownNodes>,
    agent: String,
    warm_second: bool,
    clock: Arc<dyn Clock>,
}

/// A device: a session that is kept up, and what goes through it. Clones are
/// handles of the same device; when all are gone, it disconnects.
#[derive(Clone)]
pub struct Device {
    shared: Arc<Shared>,
    offers: Receiver<LocalPort>,
    letters: Receiver<LocalPort>,
    _keeper: Arc<smol::Task<()>>,
}

impl Device {
    /// Starts to connect. Returns at once; [`Device::next_event`] tells how it goes.
    ///
    /// # Errors
    /// TLS could not be configured.
    pub fn start(
        options: DeviceOptions,
        executor: &Arc<Executor<'static>>,
    ) -> Result<Device, TlsError> {
        let (offers, offered) = bounded(OFFERS_MAX);
        let (letters, delivered) = bounded(OFFERS_MAX);
        let key = options.key;
        let shared = Arc::new(Shared {
            edge_tls: client_config_with(&key, &[super::ALPN], Versions::Both, options.ciphers)?,
            inner_client: client_config_with(&key, &[], Versions::Both, options.ciphers)?,
            inner_server: ServerConfigs::new(&key, &[], Versions::Both)?,
            key: Arc::new(key),
            options: Options {
                nodes: options.nodes,
                fleet: options.fleet,
                known_nodes: Arc::new(options.known_nodes),
                agent: options.agent,
                warm_second: options.warm_second,
                clock: options.clock,
            },
            state: Mutex::default(),
            offers,
            letters,
            budget: Budget::new(BUDGET),
            payer: Arc::new(Mutex::new(Payer::new(options.max_bytes))),
            traffic: Arc::default(),
        });
        let keeper = task::spawn(executor, keeper::keep(shared.clone()));
        Ok(Device {
            shared,
            offers: offered,
            letters: delivered,
            _keeper: Arc::new(keeper),
        })
    }

    /// The device's own address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.shared.key.address()
    }

    /// What was carried so far.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.shared.traffic
    }

    /// The node that new ports go through.
    #[must_use]
    pub fn node(&self) -> Option<Address> {
        self.nodes().first().map(|(node, _)| *node)
    }

    /// The nodes that this device has sessions with and is admitted by, with
    /// the round trip (zero: not measured yet); new ports go through the first.
    #[must_use]
    pub fn nodes(&self) -> Vec<(Address, Duration)> {
        let st = self.shared.lock();
        st.links().map(|l| (l.remote(), l.rtt())).collect()
    }

    /// Offers `name` (`tls:N`, `tcp:N`, `udp:N`, `utls:N`) to others, now and
    /// after every reconnect. `allow`: who may open it, as far as the node is
    /// concerned; the program decides for itself in [`Device::accept`].
    pub fn publish(&self, name: &str, allow: Option<Vec<Address>>) {
        self.shared.lock().publish(name, allow);
    }

    /// The next event, in order.
    pub async fn next_event(&self) -> DeviceEvent {
        poll_fn(|cx| {
            let mut st = self.shared.lock();
            match st.events.pop_front() {
                Some(event) => Poll::Ready(event),
                None => st.wait(cx),
            }
        })
        .await
    }

    /// The next port that somebody wants to open.
    pub async fn accept(&self) -> Option<Offer> {
        let port = self.offers.recv().await.ok()?;
        Some(Offer {
            port,
            shared: self.shared.clone(),
        })
    }

    /// Tells the nodes that this device leaves, and waits until they have been
    /// told. It does not come back.
    pub async fn leave(&self) {
        let links: Vec<Arc<Link>> = {
            let mut st = self.shared.lock();
            st.leaving = true;
            st.links().cloned().collect()
        };
        for link in &links {
            link.leave(Code::LEAVING, "the device's program was stopped");
        }
        let told = poll_fn(|cx| {
            let mut st = self.shared.lock();
            if st.links().next().is_none() {
                Poll::Ready(())
            } else {
                st.wait(cx)
            }
        });
        let late = async {
            async_io::Timer::after(LEAVE_TIME).await;
        };
        smol::future::or(told, late).await;
    }

    /// Opens port `tls:N` of `peer`, encrypted end to end.
    ///
    /// # Errors
    /// As [`Device::open`], or the other device is not `peer`.
    pub async fn connect(&self, peer: Address, port: u16) -> Result<Stream, End> {
        let tunnel = self.tunnel(peer, &format!("tls:{port}")).await?;
        Ok(Stream::new(tunnel))
    }

    /// Opens a port as a tunnel: end to end for `tls:` and `utls:`, else plain.
    ///
    /// # Errors
    /// As [`Device::open`], or the other device is not `peer`.
    pub async fn tunnel(&self, peer: Address, name: &str) -> Result<Tunnel, End> {
        let port = self.open(peer, name).await?;
        let clock = self.shared.options.clock.clone();
        if !super::is_end_to_end(name) {
            return Ok(Tunnel::plain(port, clock));
        }
        let mut greeting = Vec::new();
        let channel = Channel::client(&self.shared.inner_client)
            .and_then(|mut c| c.start(&mut greeting).map(|()| c))
            .map_err(|e| End::new(Code::END_TO_END, e.to_string()))?;
        Tunnel::secured(port, channel, greeting, clock, |who| {
            if who == peer {
                Ok(())
            } else {
                let text =
                    format!("the other end is {who}, not {peer}: the node connected somebody else");
                Err(End::new(Code::END_TO_END, text))
            }
        })
        .await
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.shared.options.clock.clone()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the end of a connection that stood is worth telling: programs drop
/// connections every day, and a session that ends is told as such.
fn is_news(end: &End) -> bool {
    !matches!(end.code, Code::ABORTED | Code::PEER_LOST)
}

/// Keeps the number of open connections while it lives.
pub(crate) struct OpenGuard(Arc<Shared>);

impl OpenGuard {
    pub(crate) fn new(device: &Device) -> OpenGuard {
        device.shared.traffic.open.fetch_add(1, Ordering::Relaxed);
        OpenGuard(device.shared.clone())
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.traffic.open.fetch_sub(1, Ordering::Relaxed);
    }
}
