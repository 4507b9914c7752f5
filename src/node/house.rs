//! What outlives the services of a node: its identity, its sockets, its
//! settings, and the places where services leave what those after them need.
//!
//! A restart of a service must not cost the node its port numbers or its key's
//! lock, so those are taken once, before the first service, and kept here.

use super::configuration::Configuration;
use super::earnings::Earnings;
use super::error::NodeError;
use super::https::Https;
use super::network::Network;
use super::pressure::Memory as Pressed;
use super::rates::Rates;
use super::runfile::RunFile;
use super::sockets::Sockets;
use super::statistics::Statistics;
use super::supervisor::Record;
use super::surroundings::Surroundings;
use super::thrift::Thrift;
use super::watch::Watch;
use super::{IdentityChoice, NodePlan};
use crate::cache::Cache;
use crate::chain::Chain;
use crate::config::Settings;
use crate::edge::server::{Announce, Server, Terms};
use crate::edge::ALPN;
use crate::identity::keyfile::{KeyFile, Origin};
use crate::identity::{Address, SecretKey, Signature};
use crate::peer::PeerTerms;
use crate::platform::clock::BootClock;
use crate::platform::limits::{connection_cap, raise_descriptors};
use crate::platform::memory::Memory;
use crate::platform::resolver;
use crate::ports::{Budget, Switchboard};
use crate::rpc::events::Hub;
use crate::rpc::{Calls, Door};
use crate::session::AdmissionLimits;
use crate::sorted;
use crate::store::{Recovery, Store, StoreError};
use crate::ticket::{Book, FleetRule, Policy, Rules};
use crate::time::{Clock, Moment};
use crate::tls::{ServerConfigs, Versions};
use smol::Executor;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// A link to another node that carries nothing for this long is closed: the next
/// port dials it again within milliseconds.
const LINK_IDLE: Duration = Duration::from_secs(600);

/// A place where a service leaves something for those after it. Empty while the
/// service does not run.
#[derive(Debug)]
pub struct Place<T>(Mutex<Option<T>>);

impl<T> Default for Place<T> {
    fn default() -> Place<T> {
        Place(Mutex::new(None))
    }
}

impl<T: Clone> Place<T> {
    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves it.
    pub fn put(&self, thing: T) {
        *self.lock() = Some(thing);
    }

    /// Takes it away.
    pub fn clear(&self) -> Option<T> {
        self.lock().take()
    }

    /// What lies there.
    pub fn get(&self) -> Option<T> {
        self.lock().clone()
    }
}

/// The node's key, and its file's lock while there is one.
enum Identity {
    File(KeyFile),
    Ephemeral(SecretKey),
}

impl Identity {
    fn open(choice: &IdentityChoice, data_dir: &Path) -> Result<Identity, NodeError> {
        let IdentityChoice::File(path) = choice else {
            let key = SecretKey::generate();
            log::info!("identity for this run only: {}", key.address());
            return Ok(Identity::Ephemeral(key));
        };
        std::fs::create_dir_all(data_dir).map_err(|e| NodeError::Folder(data_dir.to_owned(), e))?;
        let (file, origin) = KeyFile::open_or_create(path).map_err(NodeError::Key)?;
        if origin == Origin::Created {
            log::info!(
                "new identity {} in {} (keep a copy: it is the node's address and wallet)",
                file.address(),
                path.display()
            );
        }
        Ok(Identity::File(file))
    }

    fn key(&self) -> &SecretKey {
        match self {
            Identity::File(file) => file.key(),
            Identity::Ephemeral(key) => key,
        }
    }
}

/// See the module's text.
pub struct House {
    /// The node's address.
    pub node: Address,
    identity: Identity,
    /// The settings in force.
    pub configuration: Configuration,
    /// The clock of everything in the node.
    pub clock: Arc<BootClock>,
    /// When the node began.
    pub started: Moment,
    /// Open files that the process may have.
    descriptors: u64,
    /// Memory that the node may use, in bytes.
    memory: u64,
    /// What of it is not for answers that may be given again.
    for_traffic: u64,
    /// Memory for grown windows.
    pub budget: Arc<Budget>,
    /// TLS of the device ports.
    pub tls: Arc<ServerConfigs>,
    /// Who is online; counts what is carried.
    pub board: Arc<Switchboard>,
    /// Sockets for devices.
    pub edge: Sockets,
    /// Sockets for HTTP.
    pub rpc: Sockets,
    /// Sockets for HTTPS.
    pub rpcs: Sockets,
    /// The certificate of HTTPS.
    pub https: Https,
    /// This node among others.
    pub network: Network,
    /// Runs everything.
    pub executor: Arc<Executor<'static>>,
    /// Listeners stand and the node is not stopping.
    pub ready: AtomicBool,
    /// Left by the store. Empty while it cannot be opened, and for a node that
    /// keeps nothing.
    pub store: Place<Store>,
    /// Why there is no store, or what was wrong with the last one.
    pub store_fault: Place<StoreFault>,
    /// Left by the tickets.
    pub book: Place<Book>,
    /// Left by the edge.
    pub server: Place<Arc<Server>>,
    /// Answers that may be given again.
    pub cache: Cache,
    /// Left by the follower of the chain; empty without `chain.url`.
    pub chain: Place<Chain>,
    /// Left by the HTTP service.
    pub door: Place<Arc<Door>>,
    /// Tells what happens to those who listen. It outlives the HTTP service.
    pub hub: Arc<Hub>,
    /// What was carried.
    pub statistics: Arc<Mutex<Statistics>>,
    /// What was earned.
    pub earnings: Earnings,
    /// What is carried at present.
    pub rates: Mutex<Rates>,
    /// `run.json`, as long as the node serves.
    pub run_file: Mutex<Option<RunFile>>,
    /// The supervisor's failures.
    pub record: OnceLock<Arc<Mutex<Record>>>,
    /// What was asked by HTTP, through restarts of that service.
    pub calls: Arc<Calls>,
    /// What health remembers.
    pub watch: Watch,
    /// The device.
    pub surroundings: Surroundings,
    /// What its battery and heat ask for.
    pub thrift: Thrift,
    /// How its memory stands.
    pub pressure: Pressed,
}

/// What is wrong with the store while the node goes on.
#[derive(Clone, Debug)]
pub enum StoreFault {
    /// It cannot be opened; nothing is kept.
    Absent(StoreError),
    /// It was started anew.
    Renewed(Recovery),
}

impl House {
    /// Takes identity and sockets.
    ///
    /// # Errors
    /// What is missing, and what to do.
    pub fn open(plan: NodePlan, executor: &Arc<Executor<'static>>) -> Result<House, NodeError> {
        let settings = plan.loaded.settings.clone();
        resolver::configure(settings.network.dns.clone());
        let descriptors = raise_descriptors();
        let memory = settings.memory_budget(&Memory::read());
        let for_answers = settings.cache_memory(memory);
        let wanted = settings.performance.max_connections;
        let links = peer_links(&settings, descriptors.now);
        let for_traffic = memory - for_answers;
        let cap = connection_cap(wanted, descriptors.now - links, for_traffic);
        if cap.connections < wanted {
            log::warn!(
                "at most {} connections: {} allows no more",
                cap.connections,
                cap.bound
            );
        }
        let identity = Identity::open(&plan.identity, &settings.storage.data_dir)?;
        let key = identity.key();
        let network = &settings.network;
        // Wrong settings are told before anything is bound.
        let (_, _) = (
            terms(&settings, key.address())?,
            rules(&settings, key.address())?,
        );
        let clock = Arc::new(BootClock::new());
        let started = clock.now();
        let quarter = usize::try_from(for_traffic / 4).unwrap_or(usize::MAX);
        let budget = Budget::with_firsts(quarter, quarter);
        set_windows(&budget, &settings);
        Ok(House {
            node: key.address(),
            tls: ServerConfigs::new(key, &[ALPN], versions(&settings))?,
            edge: Sockets::open(&network.bind, network.edge_ports.iter().copied())?,
            rpc: Sockets::open(&network.rpc_bind, network.rpc_port)?,
            rpcs: Sockets::open(&network.rpc_bind, network.rpcs_port)?,
            https: Https::default(),
            network: Network::open(&settings, clock.clone())?,
            started,
            hub: Arc::new(Hub::new(clock.clone())),
            cache: Cache::new(for_answers, clock.clone(), executor),
            chain: Place::default(),
            clock,
            descriptors: descriptors.now,
            memory,
            for_traffic,
            budget,
            board: Switchboard::new(),
            executor: executor.clone(),
            earnings: Earnings::new(started, &settings),
            configuration: Configuration::new(plan.loaded),
            identity,
            ready: AtomicBool::new(false),
            store: Place::default(),
            store_fault: Place::default(),
            book: Place::default(),
            server: Place::default(),
            door: Place::default(),
            statistics: Arc::new(Mutex::new(Statistics::new(started))),
            rates: Mutex::default(),
            run_file: Mutex::new(None),
            record: OnceLock::new(),
            calls: Arc::default(),
            watch: Watch::new(started),
            surroundings: Surroundings::new(Path::new("/")),
            thrift: Thrift::default(),
            pressure: Pressed::default(),
        })
    }

    /// The node's signature of a digest.
    pub fn sign(&self, digest: &[u8; 32]) -> Signature {
        self.identity.key().sign(digest)
    }

    /// Whether nothing may be written.
    pub fn is_ephemeral(&self) -> bool {
        matches!(self.identity, Identity::Ephemeral(_))
    }

    /// The folder for everything that is kept; none for a node that keeps nothing.
    pub fn data_dir(&self) -> Option<PathBuf> {
        (!self.is_ephemeral()).then(|| self.settings().storage.data_dir.clone())
    }

    /// What sessions are told and held to.
    ///
    /// # Errors
    /// A setting that cannot be.
    pub fn terms(&self) -> Result<Terms, NodeError> {
        terms(&self.settings(), self.node)
    }

    /// How tickets are judged.
    ///
    /// # Errors
    /// A setting that cannot be.
    pub fn rules(&self) -> Result<Rules, NodeError> {
        rules(&self.settings(), self.node)
    }

    /// What tickets are for.
    pub fn policy(&self) -> Policy {
        let settings = self.settings();
        Policy {
            grace: settings.tickets.grace_bytes,
            required: settings.security.require_tickets,
        }
    }

    /// Who may connect.
    pub fn admission(&self) -> AdmissionLimits {
        let settings = self.settings();
        let security = &settings.security;
        let rate = |r: u32| if security.rate_limiting { r } else { 0 };
        let wanted = settings.performance.max_connections;
        let files = self.descriptors - peer_links(&settings, self.descriptors);
        AdmissionLimits {
            sessions: connection_cap(wanted, files, self.for_traffic).connections,
            sessions_per_address: security.max_sessions_per_address as usize,
            half_open: security.max_handshakes as usize,
            half_open_per_address: security.max_handshakes_per_address as usize,
            accepts_per_second: rate(security.accept_rate),
            accepts_per_second_per_address: rate(security.accept_rate_per_address),
        }
    }

    /// What links to other nodes are held to.
    pub fn peer_terms(&self) -> PeerTerms {
        let settings = self.settings();
        let links = peer_links(&settings, self.descriptors);
        let max_links = usize::try_from(links).unwrap_or(usize::MAX);
        let admission = self.admission();
        PeerTerms {
            max_links,
            admission: AdmissionLimits {
                // Handshakes come on top.
                sessions: max_links.saturating_add(admission.half_open),
                ..admission
            },
            handshake_time: settings.performance.connection_timeout,
            idle_after: LINK_IDLE,
            send_buffer: settings.performance.send_buffer,
        }
    }

    /// Memory that the node may use, in bytes.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Open files that the process may have.
    pub fn descriptors(&self) -> u64 {
        self.descriptors
    }

    /// Memory for records that are kept for others: of a small device's little.
    pub fn record_memory(&self, most: usize) -> usize {
        usize::try_from(self.memory / 16).map_or(most, |share| share.min(most))
    }

    /// The node's key.
    pub fn key(&self) -> &SecretKey {
        self.identity.key()
    }

    /// TLS versions that others may use.
    pub fn tls_versions(&self) -> Versions {
        versions(&self.settings())
    }

    /// Name and version, as others are told.
    pub fn agent(&self) -> String {
        agent()
    }

    /// The numbers of the ports for devices.
    pub fn edge_ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = self.edge.places.iter().map(SocketAddr::port).collect();
        sorted::sort_and_dedup(&mut ports);
        ports
    }

    /// The address that the operator has others told, where it is no name.
    pub fn told_ip(&self) -> Option<IpAddr> {
        self.settings().network.host.as_ref()?.parse().ok()
    }

    /// Who tells the network which devices are here; nobody while this node has
    /// no peer port.
    pub fn announce(&self) -> Option<Arc<dyn Announce>> {
        let presences = self.network.presences.clone();
        (!self.network.sockets.are_off()).then_some(presences)
    }

    /// What the operator calls a node of the fleet.
    pub fn fleet_name(&self, id: &Address) -> Option<String> {
        let settings = self.settings();
        let text = id.to_string();
        let mut nodes = settings.fleet.nodes.iter();
        let node = nodes.find(|node| node.place.address.as_ref() == Some(&text))?;
        Some(node.name.clone())
    }
}

/// Links to other nodes that the settings and the descriptors allow: devices have
/// most of these.
fn peer_links(settings: &Settings, descriptors: u64) -> u64 {
    match settings.network.peer_port {
        Some(_) => (settings.network.max_peers as u64).min(descriptors / 8),
        None => 0,
    }
}

fn agent() -> String {
    concat!("chr-node/", env!("CARGO_PKG_VERSION")).to_owned()
}

pub(super) fn set_windows(budget: &Budget, settings: &Settings) {
    let performance = &settings.performance;
    budget.set_windows(performance.max_window, performance.session_buffer);
}

pub(super) fn terms(settings: &Settings, node: Address) -> Result<Terms, NodeError> {
    Ok(Terms {
        node,
        agent: agent(),
        chain_id: settings.tickets.chain_id,
        fleet: settings
            .tickets
            .fleet
            .parse()
            .map_err(|e| NodeError::Setting(format!("tickets.fleet: {e}")))?,
        tickets_required: settings.security.require_tickets,
        grace_bytes: settings.tickets.grace_bytes,
        handshake_time: settings.performance.connection_timeout,
        idle_timeout: settings.performance.idle_timeout,
        max_ports: settings.performance.max_ports_per_session as usize,
        send_buffer: settings.performance.send_buffer,
    })
}

pub(super) fn rules(settings: &Settings, node: Address) -> Result<Rules, NodeError> {
    let allowed = settings
        .security
        .fleet_allowlist
        .iter()
        .map(|text| text.parse::<FleetRule>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| NodeError::Setting(format!("security.fleet_allowlist: {e}")))?;
    Ok(Rules {
        node,
        chain_id: settings.tickets.chain_id,
        fleets: allowed,
    })
}

fn versions(settings: &Settings) -> Versions {
    let v = settings.security.tls_versions;
    match (v.tls12, v.tls13) {
        (true, false) => Versions::Only12,
        (false, true) => Versions::Only13,
        _ => Versions::Both,
    }
}
