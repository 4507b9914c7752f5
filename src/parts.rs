//! Parts that a build may lack: what is named in `[features]` of Cargo.toml.
//!
//! A part is cut off at the border of its room: whoever would enter asks the
//! part's `built`, a constant, so the compiler throws away what nobody can
//! reach, and every build checks all of the code. What is not there says so, in
//! one form: `this build has no demonstration (built without the feature demo)`.

/// A part of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name in Cargo.toml.
    pub feature: &'static str,
    /// Whether this build has it.
    pub built: bool,
    /// What is said where somebody asks for it and it is not there.
    pub absent: &'static str,
}

/// One part.
macro_rules! part {
    ($feature:literal, $what:literal) => {
        Part {
            feature: $feature,
            built: cfg!(feature = $feature),
            absent: concat!(
                "this build has no ",
                $what,
                " (built without the feature ",
                $feature,
                ")"
            ),
        }
    };
}

/// Asking an EVM chain, and the JSON-RPC methods of Ethereum.
pub const CHAIN: Part = part!("chain", "chain client");
/// `chr-node demo`
pub const DEMO: Part = part!("demo", "demonstration");
/// `chr-node doctor`, and its checks at the start of a node.
pub const DOCTOR: Part = part!("doctor", "doctor");
/// `/events` and `/ws`
pub const EVENTS: Part = part!("events", "event streams");
/// Tables of secp256k1 in the crate k256; no code here asks for them.
pub const FAST_SIGNING: Part = part!("fast-signing", "tables for signing");
/// Statistics of the past.
pub const HISTORY: Part = part!("history", "statistics of the past");
/// The HTTPS port.
pub const HTTPS: Part = part!("https", "HTTPS port");
/// `status` that is drawn anew each second.
pub const LIVE_STATUS: Part = part!("live-status", "live status");
/// The log in a file.
pub const LOG_FILE: Part = part!("log-file", "log file");
/// `chr-node message`, `publish --messages`, and messages through this node.
pub const MESSAGES: Part = part!("messages", "messages between devices");
/// `/metrics`
pub const METRICS: Part = part!("metrics", "metrics");
/// Battery and heat: saving power, refusing relays.
pub const POWER: Part = part!("power", "power sense");
/// `rpc_discover`
pub const OPENRPC: Part = part!("openrpc", "OpenRPC document");
/// Asking the router for its ports.
pub const PORT_MAPPING: Part = part!("port-mapping", "port mapping");
/// Reward periods.
pub const REWARDS: Part = part!("rewards", "reward periods");
/// `GET /`
pub const STATUS_PAGE: Part = part!("status-page", "status page");
/// `chr-node store`
pub const STORE_TOOLS: Part = part!("store-tools", "store tools");

/// All of them, in the order of their names.
pub const ALL: [Part; 17] = [
    CHAIN,
    DEMO,
    DOCTOR,
    EVENTS,
    FAST_SIGNING,
    HISTORY,
    HTTPS,
    LIVE_STATUS,
    LOG_FILE,
    MESSAGES,
    METRICS,
    OPENRPC,
    PORT_MAPPING,
    POWER,
    REWARDS,
    STATUS_PAGE,
    STORE_TOOLS,
];

/// The features that this build is without.
pub fn left_out() -> impl Iterator<Item = &'static str> {
    ALL.iter()
        .filter(|part| !part.built)
        .map(|part| part.feature)
}

/// The part that alone a setting is for, where this build is without it.
#[must_use]
pub fn missing_for_setting(key: &str) -> Option<Part> {
    let part = match key {
        "network.port_mapping" => PORT_MAPPING,
        "storage.keep_minutes" | "storage.keep_hours" => HISTORY,
        "log.file" | "log.file_size" => LOG_FILE,
        "network.metered" => POWER,
        _ if key.starts_with("network.rpcs_") => HTTPS,
        _ if key.starts_with("chain.") => CHAIN,
        _ if key.starts_with("power.") => POWER,
        _ if key.starts_with("rewards.") => REWARDS,
        _ => return None,
    };
    (!part.built).then_some(part)
}

/// The part that answers a path of the HTTP port, where this build is without it.
#[must_use]
pub fn missing_for_path(path: &str) -> Option<Part> {
    let part = match path {
        "/" => STATUS_PAGE,
        "/metrics" => METRICS,
        "/events" | "/ws" => EVENTS,
        _ => return None,
    };
    (!part.built).then_some(part)
}

/// The part that answers a method, where this build is without it.
#[must_use]
pub fn missing_for_method(name: &str) -> Option<Part> {
    let part = match name {
        "rpc_discover" | "rpc.discover" => OPENRPC,
        "stats_history" => HISTORY,
        _ if ["eth_", "net_", "web3_"]
            .iter()
            .any(|p| name.starts_with(p)) =>
        {
            CHAIN
        }
        _ => return None,
    };
    (!part.built).then_some(part)
}

/// The part that a subcommand is, where this build is without it.
#[must_use]
pub fn missing_for_command(name: &str) -> Option<Part> {
    let part = match name {
        "demo" => DEMO,
        "doctor" => DOCTOR,
        "message" => MESSAGES,
        "rewards" => REWARDS,
        "store" => STORE_TOOLS,
        _ => return None,
    };
    (!part.built).then_some(part)
}
