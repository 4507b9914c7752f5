//! The settings: their types, their defaults, and where each value came from.
//!
//! A setting is one row of [`KEYS`]; everything else here works on rows. Text
//! becomes a typed value in [`value`], sources are put on top of each other in
//! [`sources`] (command line over environment over [`file`] over [`profile`] over
//! default), and a value that cannot be is an error that names key, value, source
//! and what is allowed. A [`Request`] can be loaded again; [`changes`] says what
//! has become another.
//!
//! A key is here because something acts on it.

pub mod changes;
mod error;
pub mod file;
mod fit;
mod keys;
pub mod profile;
pub mod slip;
pub mod sources;
pub mod value;

pub use changes::Change;
pub use error::ConfigError;
pub use keys::{Key, Takes, KEYS};
pub use profile::Profile;
pub use sources::{Assignment, Loaded, Request, Source};
pub use value::power::SaverWish;

use crate::parts::{HTTPS, PORT_MAPPING};
use crate::platform::memory::Memory;
use crate::tokens::Tokens;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use value::rewards::Rates;
use value::web::HttpUrl;
use value::{FleetNode, Format, Levels, Metered, PeerPlace, Serve, SubnetLimits, TlsVersions};

/// Every setting, valid as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `[node]`
    pub node: Node,
    /// `[network]`
    pub network: Network,
    /// `[storage]`
    pub storage: Storage,
    /// `[performance]`
    pub performance: Performance,
    /// `[security]`
    pub security: Security,
    /// `[tickets]`
    pub tickets: Tickets,
    /// `[rewards]`
    pub rewards: Rewards,
    /// `[fleet]`
    pub fleet: Fleet,
    /// `[chain]`
    pub chain: Chain,
    /// `[power]`
    pub power: Power,
    /// `[runtime]`
    pub runtime: Runtime,
    /// `[log]`
    pub log: Log,
}

impl Settings {
    /// The memory that the node may use, in bytes: the setting, else what fits
    /// the machine.
    #[must_use]
    pub fn memory_budget(&self, machine: &Memory) -> u64 {
        self.node.memory_limit.unwrap_or_else(|| machine.budget())
    }

    /// The memory that answers may take which are given again, in bytes; it is part
    /// of `budget`.
    #[must_use]
    pub fn cache_memory(&self, budget: u64) -> u64 {
        // A 64th: 1 MiB of 64, and a small device's connections do not feel it.
        let usual = (budget / 64).clamp(64 << 10, 4 << 20);
        self.storage.cache_size.unwrap_or(usual).min(budget / 2)
    }
}

/// `[node]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// A name for people, shown by `chr_node_info`; empty when there is none.
    pub name: String,
    /// Memory in bytes; `None` fits it to the machine.
    pub memory_limit: Option<u64>,
    /// The class of device that was asked for; `None` chooses by the machine.
    pub profile_wanted: Option<Profile>,
    /// The one that holds: the loader fills it in.
    pub profile: Profile,
}

/// `[network]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Ports for devices; 0 is any free one, empty is none at all.
    pub edge_ports: Vec<u16>,
    /// Port for other nodes, UDP and TCP; 0 is any number that is free for
    /// both, `None` is off.
    pub peer_port: Option<u16>,
    /// Port for HTTP; 0 is any free one, `None` is off.
    pub rpc_port: Option<u16>,
    /// Port for HTTPS; 0 is any free one, `None` is off.
    pub rpcs_port: Option<u16>,
    /// PEM file of the HTTPS certificate; `None`: one that is made at the first start.
    pub rpcs_certificate: Option<PathBuf>,
    /// PEM file of its key.
    pub rpcs_key: Option<PathBuf>,
    /// Addresses that the device and peer ports listen on.
    pub bind: Vec<IpAddr>,
    /// Addresses that the HTTP port listens on.
    pub rpc_bind: Vec<IpAddr>,
    /// Names (lower case) that the Host header may carry besides IP addresses
    /// and `localhost`.
    pub rpc_hosts: Vec<String>,
    /// Address or name that others are told to reach this node by.
    pub host: Option<String>,
    /// Nodes that are asked for the network when none is known.
    pub seeds: Vec<PeerPlace>,
    /// Name servers that are asked where the system names none.
    pub dns: Vec<SocketAddr>,
    /// Links to other nodes at once.
    pub max_peers: usize,
    /// Whether this node keeps and finds things for others.
    pub serve: Serve,
    /// How often contacts and the neighbourhood are looked after.
    pub refresh: Duration,
    /// Whether bytes are to be spared.
    pub metered: Metered,
    /// Whether limits on nodes of one subnet hold for private ranges.
    pub subnet_limits: SubnetLimits,
    /// Whether the router is asked to let others through to the ports.
    pub port_mapping: bool,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            edge_ports: vec![41046, 41047],
            peer_port: Some(51055),
            rpc_port: Some(8545),
            rpcs_port: HTTPS.built.then_some(8443),
            rpcs_certificate: None,
            rpcs_key: None,
            bind: vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            rpc_bind: vec![Ipv4Addr::LOCALHOST.into()],
            rpc_hosts: Vec::new(),
            host: None,
            seeds: Vec::new(),
            dns: Vec::new(),
            max_peers: 64,
            serve: Serve::Auto,
            refresh: Duration::from_secs(3600),
            metered: Metered::Auto,
            subnet_limits: SubnetLimits::Auto,
            port_mapping: PORT_MAPPING.built,
        }
    }
}

/// `[fleet]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// Nodes that are kept connected, the most important first.
    pub nodes: Vec<FleetNode>,
}

/// `[chain]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// JSON-RPC of the chain that is asked; `None` is off.
    pub url: Option<HttpUrl>,
    /// Certificates of authorities for it; `None` are the system's.
    pub ca_file: Option<PathBuf>,
}

/// `[storage]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Folder of everything that the node keeps.
    pub data_dir: PathBuf,
    /// Folder of the store alone; `None` is `store` in the data folder.
    pub store_dir: Option<PathBuf>,
    /// First size of the store's map in bytes; `None` fits it to the device.
    pub map_size: Option<u64>,
    /// Memory for answers that may be given again, in bytes; `None` fits it to the
    /// memory limit.
    pub cache_size: Option<u64>,
    /// How long rows that can wait stay in memory.
    pub flush_interval: Duration,
    /// How long statistics by the minute are kept; zero: none are.
    pub keep_minutes: Duration,
    /// How long those by the hour are.
    pub keep_hours: Duration,
}

impl Storage {
    /// The store's folder.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        let beside = || self.data_dir.join("store");
        self.store_dir.clone().unwrap_or_else(beside)
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            store_dir: None,
            map_size: None,
            cache_size: None,
            flush_interval: Duration::from_secs(3600),
            keep_minutes: Duration::from_secs(7 * 86_400),
            keep_hours: Duration::from_secs(366 * 86_400),
        }
    }
}

/// `[performance]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Performance {
    /// Device connections at once, before descriptors and memory lower it.
    pub max_connections: usize,
    /// From accept to the end of TLS handshake and Hello.
    pub connection_timeout: Duration,
    /// A session without a frame for this long is closed.
    pub idle_timeout: Duration,
    /// Open ports that one session may have.
    pub max_ports_per_session: u32,
    /// Largest window of one direction of a port, in bytes.
    pub max_window: u32,
    /// What the ports of a session may grow by together, in bytes.
    pub session_buffer: usize,
    /// Unsent bytes that the kernel may hold for a connection.
    pub send_buffer: u32,
}

impl Default for Performance {
    fn default() -> Self {
        Self {
            max_connections: 1000,
            connection_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            max_ports_per_session: 1024,
            max_window: 2 << 20,
            session_buffer: 4 << 20,
            send_buffer: 128 << 10,
        }
    }
}

/// `[security]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// TLS versions that devices may use.
    pub tls_versions: TlsVersions,
    /// Whether a device must pay with tickets.
    pub require_tickets: bool,
    /// Whether the two accept rates hold.
    pub rate_limiting: bool,
    /// `0xFLEET` or `0xFLEET/0xDEVICE` in lower case; empty admits everyone.
    pub fleet_allowlist: Vec<String>,
    /// Sessions that one IPv4 address or IPv6 /64 may hold.
    pub max_sessions_per_address: u32,
    /// Connections that may be in the handshake at once.
    pub max_handshakes: u32,
    /// The same for one IPv4 address or IPv6 /64.
    pub max_handshakes_per_address: u32,
    /// New connections a second.
    pub accept_rate: u32,
    /// The same for one IPv4 address or IPv6 /64.
    pub accept_rate_per_address: u32,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            tls_versions: TlsVersions {
                tls12: true,
                tls13: true,
            },
            require_tickets: true,
            rate_limiting: true,
            fleet_allowlist: Vec::new(),
            max_sessions_per_address: 250,
            max_handshakes: 64,
            max_handshakes_per_address: 16,
            accept_rate: 200,
            accept_rate_per_address: 50,
        }
    }
}

/// `[tickets]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tickets {
    /// Chain that tickets are written for.
    pub chain_id: u64,
    /// Fleet contract that tickets are written for, `0x` and 40 lower-case digits.
    pub fleet: String,
    /// Bytes that a device may use beyond its ticket before its ports pause.
    pub grace_bytes: u64,
}

impl Default for Tickets {
    fn default() -> Self {
        Self {
            chain_id: 1284,
            fleet: value::ZERO_ADDRESS.to_owned(),
            grace_bytes: 40 << 20,
        }
    }
}

/// `[rewards]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewards {
    /// Where earnings are to go, `0x` and 40 lower-case digits.
    pub address: Option<String>,
    /// Length of a period: a multiple of ten minutes.
    pub period: Duration,
    /// What is earned by what.
    pub rates: Rates,
    /// From how many tokens on a payout is worth it.
    pub payout_threshold: Option<Tokens>,
}

impl Default for Rewards {
    fn default() -> Self {
        Self {
            address: None,
            period: Duration::from_secs(3600),
            rates: Rates::default(),
            payout_threshold: None,
        }
    }
}

/// `[power]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Power {
    /// Whether power is saved.
    pub saver: SaverWish,
    /// Below so many percent of a battery that empties.
    pub saver_below: u8,
    /// New relays are refused below so many percent; 0: never for that reason.
    pub refuse_below: u8,
    /// And above so many degrees Celsius; `None`: never.
    pub refuse_above: Option<u8>,
}

impl Default for Power {
    fn default() -> Self {
        Self {
            saver: SaverWish::Auto,
            // What phones themselves begin to save at.
            saver_below: 20,
            refuse_below: 10,
            refuse_above: None,
        }
    }
}

/// `[runtime]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Threads that carry traffic.
    pub threads: usize,
    /// Most threads for work that blocks.
    pub worker_pool_size: usize,
}

impl Default for Runtime {
    fn default() -> Self {
        Self {
            threads: 1,
            // Two commits and two name lookups at once; each thread costs some 50 KB.
            worker_pool_size: 4,
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least important messages that are written.
    pub level: Levels,
    /// How lines look.
    pub format: Format,
    /// A file that the log goes to as well.
    pub file: Option<PathBuf>,
    /// Bytes that it and the one before may have together.
    pub file_size: u64,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: Levels::default(),
            format: Format::default(),
            file: None,
            file_size: 1 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_limit_that_was_set_is_not_overruled_by_the_machine() {
        let machine = Memory {
            available: Some(1 << 34),
            ..Memory::default()
        };
        let mut settings = Settings::default();
        assert_eq!(settings.memory_budget(&machine), machine.budget());
        settings.node.memory_limit = Some(48 << 20);
        assert_eq!(settings.memory_budget(&machine), 48 << 20);
    }
}
