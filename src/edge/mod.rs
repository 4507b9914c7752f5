//! Device sessions: EdgeV2 in our dialect, both sides.
//!
//! | file | what |
//! | --- | --- |
//! | [`server`] | the node's side: listeners, admission, the session's state machine |
//! | [`device`] | the device's side: state machine, reconnecting, publish and forward |

pub mod device;
pub mod server;

use crate::wire::control::MESSAGES;

#[cfg(test)]
pub(crate) mod tests;

/// The protocol's name in ALPN. A client without ALPN is told by its first bytes.
pub const ALPN: &[u8] = b"chr-edge/2";

/// The name of a port on the wire.
#[must_use]
pub fn port_name(number: u16, udp: bool, plain: bool) -> String {
    let kind = match (udp, plain) {
        (false, false) => "tls",
        (false, true) => "tcp",
        (true, false) => "utls",
        (true, true) => "udp",
    };
    format!("{kind}:{number}")
}

/// Whether the stream inside this port is TLS between the two devices.
#[must_use]
pub fn is_end_to_end(name: &str) -> bool {
    name.starts_with("tls:") || name.starts_with("utls:") || name == MESSAGES
}
