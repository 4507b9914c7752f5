//! Puts the node together.

use super::runfile::RunFile;
use super::view::NodeState;
use crate::config::Settings;
use crate::edge::server::{Admission, AdmissionLimits, Server, Services, Terms};
use crate::edge::ALPN;
use crate::identity::keyfile::{KeyFile, KeyFileError, Origin};
use crate::identity::{Address, SecretKey};
use crate::platform::clock::BootClock;
use crate::platform::limits::{connection_cap, raise_descriptors};
use crate::platform::listen::{listen_all, ListenError};
use crate::platform::memory::Memory;
use crate::ports::{Budget, Switchboard};
use crate::rpc::{runtime_dirs, Door, DoorOptions, Limits};
use crate::store::{ClockFloor, Store, StoreError, StoreOptions};
use crate::ticket::{Book, FleetRule, Policy, Rules};
use crate::tls::{ServerConfigs, TlsError, Versions};
use async_io::Async;
use smol::Executor;
use std::fmt;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which identity the node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityChoice {
    /// The key in this file, made when it is missing.
    File(PathBuf),
    /// One for this run only; nothing is written.
    Ephemeral,
}

/// A node as it was asked for.
#[derive(Clone, Debug)]
pub struct NodePlan {
    /// The settings.
    pub settings: Settings,
    /// Who the node is.
    pub identity: IdentityChoice,
}

/// What kept the node from starting.
#[derive(Debug)]
#[non_exhaustive]
pub enum NodeError {
    /// The folder of the data cannot be made.
    Folder(PathBuf, std::io::Error),
    /// The key file.
    Key(KeyFileError),
    /// The store.
    Store(StoreError),
    /// A listener.
    Listen(ListenError),
    /// TLS.
    Tls(TlsError),
    /// A setting that its text alone did not show to be wrong.
    Setting(String),
    /// Something else of the system: what, and its words.
    System(String, std::io::Error),
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeError::Folder(dir, e) => write!(
                f,
                "cannot make the data folder {}: {e}; choose another with --data-dir DIR",
                dir.display()
            ),
            NodeError::Key(KeyFileError::InUse { path }) => write!(
                f,
                "the identity {} is in use: another node runs here; stop it, or give this one a folder of its own with --data-dir DIR",
                path.display()
            ),
            NodeError::Key(e) => e.fmt(f),
            NodeError::Store(e) => e.fmt(f),
            NodeError::Listen(e) => e.fmt(f),
            NodeError::Tls(e) => e.fmt(f),
            NodeError::Setting(text) => f.write_str(text),
            NodeError::System(what, e) => write!(f, "{what}: {e}"),
        }
    }
}

impl std::error::Error for NodeError {}

impl From<StoreError> for NodeError {
    fn from(e: StoreError) -> NodeError {
        NodeError::Store(e)
    }
}

impl From<ListenError> for NodeError {
    fn from(e: ListenError) -> NodeError {
        NodeError::Listen(e)
    }
}

impl From<TlsError> for NodeError {
    fn from(e: TlsError) -> NodeError {
        NodeError::Tls(e)
    }
}

/// A node that is about to serve.
pub(super) struct Built {
    pub server: Arc<Server>,
    pub edge_listeners: Vec<Async<TcpListener>>,
    pub door: Arc<Door>,
    pub rpc_listeners: Vec<Async<TcpListener>>,
    pub state: Arc<NodeState>,
    pub run_file: Option<RunFile>,
    pub store: Option<Store>,
}

/// The node's key, and its file's lock while there is one.
enum Identity {
    File(KeyFile),
    Ephemeral(SecretKey),
}

impl Identity {
    fn key(&self) -> &SecretKey {
        match self {
            Identity::File(file) => file.key(),
            Identity::Ephemeral(key) => key,
        }
    }
}

pub(super) fn build(plan: NodePlan, executor: &Arc<Executor<'static>>) -> Result<Built, NodeError> {
    let settings = plan.settings;
    let descriptors = raise_descriptors();
    let memory = settings.memory_budget(&Memory::read());
    let cap = connection_cap(
        settings.performance.max_connections,
        descriptors.now,
        memory,
    );
    if cap.connections < settings.performance.max_connections {
        log::warn!(
            "at most {} connections: {} allows no more",
            cap.connections,
            cap.bound
        );
    }
    let data_dir = settings.storage.data_dir.clone();
    let identity = open_identity(&plan.identity, &data_dir)?;
    let node = identity.key().address();
    let clock = Arc::new(BootClock::new());
    let store = match plan.identity {
        IdentityChoice::File(_) => open_store(&settings, &data_dir)?,
        IdentityChoice::Ephemeral => None,
    };
    if let Some(floor) = remembered_time(store.as_ref()) {
        clock.raise_floor(floor);
    }
    let rules = rules(&settings, node)?;
    let terms = terms(&settings, node)?;
    let policy = Policy {
        grace: settings.tickets.grace_bytes,
        required: settings.security.require_tickets,
    };
    let budget = Budget::new(usize::try_from(memory / 4).unwrap_or(usize::MAX));
    let services = Arc::new(Services {
        board: Switchboard::new(),
        book: Book::new(store.clone(), rules, policy, terms.fleet),
        terms,
        budget,
        clock: clock.clone(),
    });
    let server = Arc::new(Server::new(
        services,
        Admission::new(admission(&settings, cap.connections)),
        ServerConfigs::new(identity.key(), &[ALPN], versions(&settings))?,
    ));
    let (edge_listeners, edge) = open_listeners(
        &settings.network.bind,
        settings.network.edge_ports.iter().copied(),
    )?;
    let (rpc_listeners, rpc) =
        open_listeners(&settings.network.rpc_bind, settings.network.rpc_port)?;
    let state = Arc::new(NodeState::new(
        node,
        settings.clone(),
        server.clone(),
        clock,
        store.clone(),
        edge.clone(),
        rpc.clone(),
    ));
    let door = Arc::new(Door::new(
        DoorOptions {
            hosts: settings.network.rpc_hosts.clone(),
            runtime_dirs: door_folders(&plan.identity, &data_dir),
            limits: Limits::default(),
        },
        state.clone(),
        executor.clone(),
    ));
    if !rpc_listeners.is_empty() {
        if let Err(e) = door.start() {
            log::warn!("HTTP is degraded: {e}");
        }
        state.watch_door(&door);
    }
    let run_file = match plan.identity {
        IdentityChoice::File(_) => Some(
            RunFile::write(&data_dir, node, &edge, rpc.first().copied())
                .map_err(|e| NodeError::System("cannot write run.json".into(), e))?,
        ),
        IdentityChoice::Ephemeral => None,
    };
    state.hold(match identity {
        Identity::File(file) => Some(file),
        Identity::Ephemeral(_) => None,
    });
    Ok(Built {
        server,
        edge_listeners,
        door,
        rpc_listeners,
        state,
        run_file,
        store,
    })
}

fn open_identity(choice: &IdentityChoice, data_dir: &Path) -> Result<Identity, NodeError> {
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

/// The store's folder inside the data folder.
const STORE_DIR: &str = "store";

/// None: it cannot be had now, and the node goes on without it.
fn open_store(settings: &Settings, data_dir: &Path) -> Result<Option<Store>, StoreError> {
    let mut options = StoreOptions::default();
    if let Some(bytes) = settings.storage.map_size {
        options.map_size = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    match Store::open_or_recover(&data_dir.join(STORE_DIR), options) {
        Ok((store, recovery)) => {
            if let Some(recovery) = recovery {
                log::warn!("{recovery}");
            }
            Ok(Some(store))
        }
        Err(error) if error.is_passing() => {
            log::error!("tickets are not stored: {error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The time that an earlier run wrote down.
fn remembered_time(store: Option<&Store>) -> Option<u64> {
    match store?.get::<ClockFloor>(ClockFloor::KEY) {
        Ok(floor) => floor.map(|f| f.unix),
        Err(e) => {
            log::warn!("the remembered time cannot be read: {e}");
            None
        }
    }
}

fn terms(settings: &Settings, node: Address) -> Result<Terms, NodeError> {
    Ok(Terms {
        node,
        agent: concat!("chr-node/", env!("CARGO_PKG_VERSION")).to_owned(),
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
    })
}

fn rules(settings: &Settings, node: Address) -> Result<Rules, NodeError> {
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

fn admission(settings: &Settings, connections: usize) -> AdmissionLimits {
    let security = &settings.security;
    let rate = |r: u32| if security.rate_limiting { r } else { 0 };
    AdmissionLimits {
        sessions: connections,
        sessions_per_address: security.max_sessions_per_address as usize,
        half_open: security.max_handshakes as usize,
        half_open_per_address: security.max_handshakes_per_address as usize,
        accepts_per_second: rate(security.accept_rate),
        accepts_per_second_per_address: rate(security.accept_rate_per_address),
    }
}

fn versions(settings: &Settings) -> Versions {
    let v = settings.security.tls_versions;
    match (v.tls12, v.tls13) {
        (true, false) => Versions::Only12,
        (false, true) => Versions::Only13,
        _ => Versions::Both,
    }
}

fn door_folders(identity: &IdentityChoice, data_dir: &Path) -> Vec<PathBuf> {
    let given = std::env::var_os("RUNTIME_DIRECTORY");
    let mut folders = runtime_dirs(given.as_deref(), data_dir);
    if *identity == IdentityChoice::Ephemeral {
        // Nothing is written on disk.
        folders.retain(|f| f != data_dir);
    }
    folders
}

type Listeners = (Vec<Async<TcpListener>>, Vec<std::net::SocketAddr>);

fn open_listeners(
    addresses: &[std::net::IpAddr],
    ports: impl IntoIterator<Item = u16>,
) -> Result<Listeners, NodeError> {
    let mut listeners = Vec::new();
    let mut places = Vec::new();
    for port in ports {
        for listener in listen_all(addresses, port)? {
            let broken = |e| NodeError::System(format!("the listener of port {port}"), e);
            places.push(listener.local_addr().map_err(broken)?);
            listeners.push(Async::new(listener).map_err(broken)?);
        }
    }
    Ok((listeners, places))
}
