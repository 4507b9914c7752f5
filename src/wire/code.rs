//! The numbers by which a refusal or the end of a session is named on the wire.
//!
//! Programs decide by the number, people read the text that goes with it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A refusal's or an end's number. Unknown numbers are legal: a newer peer may
/// have more of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Code(pub u16);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $word:literal;)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Code = Code($value);)*

            /// One word for logs and `--json`.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self.0 {
                    $($value => $word,)*
                    100..=199 => "ticket-refused",
                    _ => "unknown",
                }
            }
        }
    };
}

codes! {
    /// Bytes or an order of frames that the protocol does not allow.
    PROTOCOL = 1, "protocol";
    /// More data than the credit granted.
    FLOW_CONTROL = 2, "flow-control";
    /// Nothing was heard for the idle time-out.
    IDLE = 3, "idle";
    /// A newer connection of the same device took over. Final.
    REPLACED = 4, "replaced";
    /// The other side is stopping; it says when to come back.
    SHUTTING_DOWN = 5, "shutting-down";
    /// TLS, Hello and ticket took longer than allowed.
    TOO_SLOW = 6, "too-slow";
    /// No acceptable ticket came in time and the grace is used up.
    UNPAID = 7, "unpaid";
    /// The other side asked for more answers than it reads.
    OVERFLOW = 10, "overflow";
    /// The program at the other side ended the session.
    LEAVING = 11, "leaving";
    /// Another link between the same two nodes stays.
    SECOND_LINK = 12, "second-link";
    /// The node has as many links as it may and none of them can go.
    TOO_MANY_LINKS = 13, "too-many-links";
    /// Who answered is not the node that was dialled.
    WRONG_NODE = 14, "wrong-node";
    /// The node has no memory for what waits for the device.
    NO_MEMORY = 15, "no-memory";

    /// The device is not connected to this node, nor found at another.
    NOT_FOUND = 32, "not-found";
    /// The device is connected and does not publish this port.
    NOT_PUBLISHED = 33, "not-published";
    /// The port is published, but not for this opener.
    NOT_ALLOWED = 34, "not-allowed";
    /// As many ports as allowed are open.
    TOO_MANY_PORTS = 35, "too-many-ports";
    /// As many openings as allowed wait for their answer.
    TOO_MANY_OPENINGS = 36, "too-many-openings";
    /// The publishing device did not answer in time.
    NO_ANSWER = 37, "no-answer";
    /// The publishing device could not reach the target of the port.
    TARGET = 38, "target-unreachable";
    /// The other device's session ended, or the link between the two nodes.
    PEER_LOST = 39, "peer-lost";
    /// A request came before a ticket was accepted.
    NO_TICKET = 40, "no-ticket";
    /// The program at the other end gave the port up.
    ABORTED = 41, "aborted";
    /// A device cannot open its own port through the node.
    OWN_PORT = 42, "own-port";
    /// The end-to-end TLS did not come about.
    END_TO_END = 43, "end-to-end";
    /// The UDP flow was silent for too long.
    SILENT = 44, "silent";
    /// The node of the device cannot be reached.
    UNREACHABLE = 45, "unreachable";
    /// The device's presence cannot be told to the network.
    PRESENCE = 46, "presence-refused";
    /// The device did not take the message.
    MESSAGE = 47, "message-refused";
    /// The node's battery is too low, or the node too hot, for more ports.
    LOW_POWER = 48, "low-power";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.word(), self.0)
    }
}
