//! The rows of `[node]`, `[network]`, `[storage]` and `[performance]`.

use super::{Key, Takes};
use crate::config::profile::Profile;
use crate::config::value::peers::{
    choice, name_servers, seeds, word, PORT_MAPPING, SERVE, SUBNET_LIMITS,
};
use crate::config::value::{
    addresses, auto, duration, host, list_of, number, port_or_off, ports, show_duration, show_size,
    size, within,
};
use crate::platform::memory::MIN_BUDGET;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

/// Longest name of a node in characters: what a table of peers still shows.
const MAX_NAME: usize = 64;

/// A store smaller than this cannot hold one full transaction.
const MIN_MAP: u64 = 1 << 20;
/// Largest map: what a 32-bit process can be sure of, or more than any disk that this runs on.
#[cfg(target_pointer_width = "64")]
const MAX_MAP: u64 = 1 << 40;
#[cfg(not(target_pointer_width = "64"))]
const MAX_MAP: u64 = 1 << 30;

/// Windows and what they grow by, in bytes. Below the first credit of a port a
/// window cannot be; above 64 MiB one port could take a small device's memory.
const WINDOWS: (u64, u64) = (64 << 10, 64 << 20);
/// Unsent bytes in the kernel: one TLS record at least.
const UNSENT: (u64, u64) = (16 << 10, 16 << 20);

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

fn span(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    within(duration(text)?, &least, &most, |d| show_duration(*d))
}

pub(super) fn bytes(text: &str, least: u64, most: u64) -> Result<u64, String> {
    within(size(text)?, &least, &most, |n| show_size(*n))
}

pub(super) fn joined<T: Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(", ")
}

fn auto_or(size: Option<u64>) -> String {
    size.map_or_else(|| "auto".to_owned(), show_size)
}

fn node_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.chars().count() > MAX_NAME {
        return Err(format!("it has more than {MAX_NAME} characters"));
    }
    if name.chars().any(char::is_control) {
        return Err("it has control characters".to_owned());
    }
    Ok(name.to_owned())
}

fn file_or_none(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

fn shown_file(path: &Option<PathBuf>) -> String {
    path.as_ref()
        .map_or_else(String::new, |path| path.display().to_string())
}

fn profile(text: &str) -> Result<Option<Profile>, String> {
    auto(text, |name| {
        Profile::find(name).ok_or_else(|| "there is no such profile".to_owned())
    })
}

/// A number of bytes that fits the field.
fn bytes_of<T: TryFrom<u64>>(text: &str, (least, most): (u64, u64)) -> Result<T, String> {
    T::try_from(bytes(text, least, most)?).map_err(|_| "the number is too large".to_owned())
}

/// Where the node is, and what it may take.
pub(super) const PLACES: &[Key] = &[
    Key {
        name: "node.name",
        takes: Takes::Text,
        live: true,
        env: Some("NAME"),
        doc: "A name for people, shown by chr_node_info and told to other nodes.",
        allowed: "up to 64 characters",
        set: set!(node.name, text => node_name(text)),
        get: |s| s.node.name.clone(),
    },
    Key {
        name: "node.memory_limit",
        takes: Takes::Number,
        live: false,
        env: Some("MEMORY_LIMIT"),
        doc: "Memory that the node may use: buffers and the number of connections follow from it. auto is half of what is free at the start, within the limit of the container or service.",
        allowed: "auto, or a size of at least 8M such as 64M or 1G",
        set: set!(node.memory_limit, text => auto(text, |t| bytes(t, MIN_BUDGET, 1 << 42))),
        get: |s| auto_or(s.node.memory_limit),
    },
    Key {
        name: "node.profile",
        takes: Takes::Text,
        live: false,
        env: None,
        doc: "Class of device whose values hold where nobody set others; the files are in configs/. auto chooses by memory, processor and system.",
        allowed: "auto, raspberry-pi, router, android or server",
        set: |settings, text| {
            settings.node.profile_wanted = profile(text)?;
            Ok(())
        },
        get: |s| match s.node.profile_wanted {
            Some(profile) => profile.name().to_owned(),
            None => "auto".to_owned(),
        },
    },
    Key {
        name: "network.edge_ports",
        takes: Takes::List,
        live: false,
        env: Some("EDGE2_PORT"),
        doc: "Ports that devices connect to.",
        allowed: "ports separated by commas or spaces, 0 for any free one, or off",
        set: set!(network.edge_ports, text => ports(text)),
        get: |s| match s.network.edge_ports.as_slice() {
            [] => "off".to_owned(),
            ports => joined(ports),
        },
    },
    Key {
        name: "network.peer_port",
        takes: Takes::Number,
        live: false,
        env: Some("PEER2_PORT"),
        doc: "Port for other nodes, the same number for UDP and TCP. Without it devices find those of this node alone.",
        allowed: "a port, 0 for any free one, or off",
        set: set!(network.peer_port, text => port_or_off(text)),
        get: |s| s.network.peer_port.map_or_else(|| "off".to_owned(), |p| p.to_string()),
    },
    Key {
        name: "network.rpc_port",
        takes: Takes::Number,
        live: false,
        env: Some("RPC_PORT"),
        doc: "Port of HTTP: the status page, JSON-RPC, /health, /metrics and /events.",
        allowed: "a port, 0 for any free one, or off",
        set: set!(network.rpc_port, text => port_or_off(text)),
        get: |s| s.network.rpc_port.map_or_else(|| "off".to_owned(), |p| p.to_string()),
    },
    Key {
        name: "network.rpcs_port",
        takes: Takes::Number,
        live: false,
        env: Some("RPCS_PORT"),
        doc: "Port of HTTPS: the same as by HTTP.",
        allowed: "a port, 0 for any free one, or off",
        set: set!(network.rpcs_port, text => port_or_off(text)),
        get: |s| s.network.rpcs_port.map_or_else(|| "off".to_owned(), |p| p.to_string()),
    },
    Key {
        name: "network.rpcs_certificate",
        takes: Takes::Text,
        live: true,
        env: None,
        doc: "PEM file with the certificate of HTTPS and those that vouch for it; read again when it changes. Without one the node signs its own and keeps it in DATA_DIR/https.pem.",
        allowed: "the path of a file with a certificate on P-256; empty for none",
        set: set!(network.rpcs_certificate, text => Ok::<_, String>(file_or_none(text))),
        get: |s| shown_file(&s.network.rpcs_certificate),
    },
    Key {
        name: "network.rpcs_key",
        takes: Takes::Text,
        live: true,
        env: None,
        doc: "PEM file with the private key of network.rpcs_certificate, if it is not in the same file.",
        allowed: "the path of a file; empty for none",
        set: set!(network.rpcs_key, text => Ok::<_, String>(file_or_none(text))),
        get: |s| shown_file(&s.network.rpcs_key),
    },
    Key {
        name: "network.bind",
        takes: Takes::List,
        live: false,
        env: None,
        doc: "Addresses that the device ports and the peer port listen on.",
        allowed: "IP addresses separated by commas or spaces",
        set: set!(network.bind, text => addresses(text)),
        get: |s| joined(&s.network.bind),
    },
    Key {
        name: "network.rpc_bind",
        takes: Takes::List,
        live: false,
        env: None,
        doc: "Addresses that the HTTP and HTTPS ports listen on. Whoever reaches it can read what the node reports.",
        allowed: "IP addresses separated by commas or spaces",
        set: set!(network.rpc_bind, text => addresses(text)),
        get: |s| joined(&s.network.rpc_bind),
    },
    Key {
        name: "network.rpc_hosts",
        takes: Takes::List,
        live: true,
        env: None,
        doc: "Names that a request's Host header may carry besides IP addresses and localhost (protection against DNS rebinding).",
        allowed: "host names separated by commas or spaces",
        set: set!(network.rpc_hosts, text => list_of(text, host)),
        get: |s| joined(&s.network.rpc_hosts),
    },
    Key {
        name: "network.host",
        takes: Takes::Text,
        live: true,
        env: Some("HOST"),
        doc: "The address that others are told to reach this node by; shown as public_address by chr_node_info.",
        allowed: "an IP address or a host name, without a port; empty for none",
        set: set!(network.host, text => if text.trim().is_empty() { Ok(None) } else { host(text).map(Some) }),
        get: |s| s.network.host.clone().unwrap_or_default(),
    },
    Key {
        name: "network.seeds",
        takes: Takes::List,
        live: true,
        env: Some("SEED_LIST"),
        doc: "Nodes that are asked for the network when no other is known, by their peer port. None is dialled that is not named here or was met before.",
        allowed: "HOST:PORT, 0xADDR@HOST:PORT or diode://0xADDR@HOST:PORT, separated by commas or spaces; none is ignored",
        set: set!(network.seeds, text => seeds(text)),
        get: |s| joined(&s.network.seeds),
    },
    Key {
        name: "network.dns",
        takes: Takes::List,
        live: true,
        env: None,
        doc: "Name servers that are asked where the system names none, as on a phone, or where its own do not know a name. The commands of devices take the variable, too.",
        allowed: "up to 4 of IP, IP:PORT or [IPv6]:PORT, separated by commas or spaces",
        set: set!(network.dns, text => name_servers(text)),
        get: |s| joined(&s.network.dns),
    },
    Key {
        name: "network.max_peers",
        takes: Takes::Number,
        live: false,
        env: None,
        doc: "Links to other nodes at once. Each costs about 11 KiB idle.",
        allowed: "a number from 1 to 4096",
        set: set!(network.max_peers, text => number(text, 1, 4096)),
        get: |s| s.network.max_peers.to_string(),
    },
    Key {
        name: "network.serve",
        takes: Takes::Text,
        live: false,
        env: None,
        doc: "Whether this node keeps records for others and answers their questions; auto does where others can reach it.",
        allowed: "auto, yes or no",
        set: set!(network.serve, text => choice(text, SERVE)),
        get: |s| word(&s.network.serve, SERVE),
    },
    Key {
        name: "network.refresh",
        takes: Takes::Number,
        live: false,
        env: None,
        doc: "How often this node looks anew for the nodes near it and for others that it lacks, and hears of each that it knows at the latest. A node that serves nobody does so half as often.",
        allowed: "a duration from 30s to 12h",
        set: set!(network.refresh, text => span(text, 30 * SECOND, 12 * HOUR)),
        get: |s| show_duration(s.network.refresh),
    },
    Key {
        name: "network.metered",
        takes: Takes::Text,
        live: true,
        env: None,
        doc: "Whether bytes cost money here: the node then answers no other nodes' questions in the DHT, asks quiet links less often and tells its record less often; it refuses nothing. auto: while the default route is mobile data.",
        allowed: "auto, yes or no",
        set: set!(network.metered, text => choice(text, SERVE)),
        get: |s| word(&s.network.metered, SERVE),
    },
    Key {
        name: "network.subnet_limits",
        takes: Takes::Text,
        live: false,
        env: None,
        doc: "Whether the limits on nodes of one subnet (a defence against floods of made-up nodes) hold for private address ranges; auto makes an exception while the node's own address is in one.",
        allowed: "auto or always",
        set: set!(network.subnet_limits, text => choice(text, SUBNET_LIMITS)),
        get: |s| word(&s.network.subnet_limits, SUBNET_LIMITS),
    },
    Key {
        name: "network.port_mapping",
        takes: Takes::Text,
        live: true,
        env: None,
        doc: "Whether the router is asked (PCP, NAT-PMP, UPnP) to let others through to the device ports and the peer port; auto does where the node's own address is a private one and for IPv6 (PCP), not on mobile data, and not with network.serve = no.",
        allowed: "auto or off",
        set: set!(network.port_mapping, text => choice(text, PORT_MAPPING)),
        get: |s| word(&s.network.port_mapping, PORT_MAPPING),
    },
    Key {
        name: "storage.data_dir",
        takes: Takes::Text,
        live: false,
        env: Some("DATA_DIR"),
        doc: "Folder of the node's key, its store and run.json; made when missing.",
        allowed: "the path of a folder",
        set: set!(storage.data_dir, text => if text.is_empty() { Err("it is empty".to_owned()) } else { Ok::<_, String>(PathBuf::from(text)) }),
        get: |s| s.storage.data_dir.display().to_string(),
    },
    Key {
        name: "storage.store_dir",
        takes: Takes::Text,
        live: false,
        env: None,
        doc: "Folder of the store alone, where the file system of the data folder cannot hold one (JFFS2); empty: the folder store in it.",
        allowed: "the path of a folder, or empty",
        set: set!(storage.store_dir, text => Ok::<_, String>((!text.is_empty()).then(|| PathBuf::from(text)))),
        get: |s| s.storage.store_dir.as_ref().map_or_else(String::new, |dir| dir.display().to_string()),
    },
    Key {
        name: "storage.map_size",
        takes: Takes::Number,
        live: false,
        env: None,
        doc: "First size of the store's memory map; it grows when it is full.",
        allowed: "auto, or a size from 1M to 1T (1G on 32-bit systems)",
        set: set!(storage.map_size, text => auto(text, |t| bytes(t, MIN_MAP, MAX_MAP))),
        get: |s| auto_or(s.storage.map_size),
    },
    Key {
        name: "storage.cache_size",
        takes: Takes::Number,
        live: false,
        env: None,
        doc: "Memory for answers that may be given again (of the chain, of other nodes); part of node.memory_limit. auto is a 64th of that, 4M at most.",
        allowed: "auto, or a size from 64K to 256M",
        set: set!(storage.cache_size, text => auto(text, |t| bytes(t, 64 << 10, 256 << 20))),
        get: |s| auto_or(s.storage.cache_size),
    },
    Key {
        name: "storage.flush_interval",
        takes: Takes::Number,
        live: false,
        env: None,
        doc: "How long rows that can wait (statistics) stay in memory before they are written by themselves. Each commit costs flash 20 KB.",
        allowed: "a duration from 1s to 1d",
        set: set!(storage.flush_interval, text => span(text, SECOND, DAY)),
        get: |s| show_duration(s.storage.flush_interval),
    },
    Key {
        name: "storage.keep_minutes",
        takes: Takes::Number,
        live: true,
        env: None,
        doc: "How long statistics by the minute are kept; off: only those by the hour are written. A week takes 1 MB on the disk.",
        allowed: "a duration from 1h to 31d, or off",
        set: set!(storage.keep_minutes, text => match text.trim() {
            "off" => Ok(Duration::ZERO),
            text => span(text, HOUR, 31 * DAY),
        }),
        get: |s| match s.storage.keep_minutes {
            Duration::ZERO => "off".to_owned(),
            kept => show_duration(kept),
        },
    },
    Key {
        name: "storage.keep_hours",
        takes: Takes::Number,
        live: true,
        env: None,
        doc: "How long statistics by the hour are kept. A year takes 1 MB on the disk.",
        allowed: "a duration from 1d to 3660d",
        set: set!(storage.keep_hours, text => span(text, DAY, 3660 * DAY)),
        get: |s| show_duration(s.storage.keep_hours),
    },
    Key {
        name: "performance.max_connections",
        takes: Takes::Number,
        live: true,
        env: None,
        doc: "Device connections at once. The limit of open files and the memory limit may lower it; the log says so at the start. Each costs about 11 KiB idle.",
        allowed: "a number from 1 to 1000000",
        set: set!(performance.max_connections, text => number(text, 1, 1_000_000)),
        get: |s| s.performance.max_connections.to_string(),
    },
    Key {
        name: "performance.connection_timeout",
        takes: Takes::Number,
        live: true,
        env: None,
        doc: "Time from accepting a connection to the end of TLS handshake and Hello.",
        allowed: "a duration from 1s to 10m",
        set: set!(performance.connection_timeout, text => span(text, SECOND, Duration::from_secs(600))),
        get: |s| show_duration(s.performance.connection_timeout),
    },
    Key {
        name: "performance.idle_timeout",
        takes: Takes::Number,
        live: true,
        env: None,
        doc: "A session without any frame for this long is closed. Devices ping every 100 s.",
        allowed: "a duration from 1s to 1d",
        set: set!(performance.idle_timeout, text => span(text, SECOND, DAY)),
        get: |s| show_duration(s.performance.idle_timeout),
    },
    Key {
        name: "performance.max_ports_per_session",
        takes: Takes::Number,
        live: true,
        env: None,
        doc: "Open ports that one session may have. Each may buffer its first credit of 16 to 64 KiB.",
        allowed: "a number from 1 to 65536",
        set: set!(performance.max_ports_per_session, text => number(text, 1, 65_536)),
        get: |s| s.performance.max_ports_per_session.to_string(),
    },
    Key {
        name: "performance.max_window",
        takes: Takes::Number,
        live: true,
        env: None,
        doc: "What one direction of a port may have on its way, and the node hold of it at worst: 2M carries 160 Mbit/s at 100 ms.",
        allowed: "a size from 64K to 64M",
        set: set!(performance.max_window, text => bytes_of(text, WINDOWS)),
        get: |s| show_size(s.performance.max_window.into()),
    },
    Key {
        name: "performance.session_buffer",
        takes: Takes::Number,
        live: true,
        env: None,
        doc: "What the ports of one session may hold together beyond their first credit. A quarter of the memory limit bounds all sessions.",
        allowed: "a size from 64K to 64M",
        set: set!(performance.session_buffer, text => bytes_of(text, WINDOWS)),
        get: |s| show_size(s.performance.session_buffer as u64),
    },
    Key {
        name: "performance.send_buffer",
        takes: Takes::Number,
        live: true,
        env: None,
        doc: "What the kernel may hold of a connection that is not on its way yet. Holds for connections that come after a change.",
        allowed: "a size from 16K to 16M",
        set: set!(performance.send_buffer, text => bytes_of(text, UNSENT)),
        get: |s| show_size(s.performance.send_buffer.into()),
    },
];
