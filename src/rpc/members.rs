//! What `session_list` and `fleet_status` return. As in [`super::view`], every field
//! is always there, `null` where the node does not know.

use serde::Serialize;

/// Most sessions in a list: what a page shows and a person reads; a node has up to thousands, and
/// a list of all would be a megabyte on each call.
pub const SESSIONS_MAX: usize = 256;

/// One device session: an item of `session_list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionInfo {
    /// The device's address, `0x` and 40 lower-case digits.
    pub device: String,
    /// The IP address that it connects from.
    pub address: Option<String>,
    /// Since when, in seconds since 1970; `None` while the clock cannot be believed.
    pub since: Option<u64>,
    /// Ports that are open.
    pub ports: u64,
    /// Bytes of ports that came from it.
    pub bytes_in: u64,
    /// Bytes of ports that went to it.
    pub bytes_out: u64,
    /// Round trip in milliseconds, rounded up.
    pub rtt_ms: Option<u64>,
    /// What its program calls itself.
    pub agent: Option<String>,
}

/// The result of `fleet_status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FleetStatus {
    /// The nodes of `fleet.nodes`, in their order.
    pub nodes: Vec<FleetNode>,
    /// The contract of the fleet, once the chain has told of it.
    pub fleet_contract: Option<String>,
    /// `security.fleet_allowlist`: who may use this node; empty admits everyone.
    pub allowlist: Vec<String>,
}

/// A node of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FleetNode {
    /// What the operator calls it.
    pub name: String,
    /// Its place as it is set: `[0xADDRESS@]host:port`.
    pub address: String,
    /// Whether a link to it stands.
    pub reachable: bool,
    /// Round trip in milliseconds, rounded up.
    pub rtt_ms: Option<u64>,
    /// When a link to it stood last, in seconds since 1970.
    pub last_ok: Option<u64>,
    /// Why no link stands.
    pub error: Option<String>,
}
