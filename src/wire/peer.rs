//! What control frames of links between nodes carry (types 50 to 6F).
//!
//! The dialling node says [`PeerHello`], the other answers [`PeerWelcome`]; from
//! there on both may send [`PeerOpen`], which takes the place of `Open`: a node
//! has many devices, so both ends of the port are named. It is answered by
//! `Opened` or `ErrorAnswer`. Data, Credit, Finish, Abort, Ping, Pong and Close
//! are those of [`super::control`].
//!
//! A struct is frozen for its type number, as there.

use super::control::{messages, Message, AGENT_MAX, NAME_MAX};
use crate::identity::Address;
use serde::{Deserialize, Serialize};

messages! {
    /// Dialling node to the other, first frame of a link, request.
    0x50 PeerHello {
        /// Name and version of the node, for the log.
        agent: String, max AGENT_MAX;
        /// Capability bits; none is defined, so 0. The answer holds those that both sides know.
        capabilities: u64;
        /// The node's clock, unix seconds; 0 when not trusted.
        unix_time: u64;
        /// Where the node itself takes links (TCP, and UDP for the DHT); 0: nowhere.
        peer_port: u16;
        /// Whether it answers in the DHT.
        serving: bool;
    }
    /// The answer to [`PeerHello`]: the same of the other node.
    0x51 PeerWelcome {
        /// Name and version of the node, for the log.
        agent: String, max AGENT_MAX;
        /// Capability bits that both sides know.
        capabilities: u64;
        /// The node's clock, unix seconds; 0 when not trusted.
        unix_time: u64;
        /// Where the node itself takes links (TCP, and UDP for the DHT); 0: nowhere.
        peer_port: u16;
        /// Whether it answers in the DHT.
        serving: bool;
    }
    /// Either way, request: connect a device of mine to a port that a device of
    /// yours publishes. Answered by `Opened` or `ErrorAnswer`.
    0x52 PeerOpen {
        /// Port number for both directions: odd from the dialling node, even from the other.
        port: u32;
        /// The device that wants the port, as its node says.
        opener: Address;
        /// The publishing device.
        device: Address;
        /// `tls:N`, `tcp:N`, `udp:N` or `utls:N`.
        name: String, max NAME_MAX;
        /// Raw bytes that the sender takes before it grants more.
        credit: u32;
    }
}
