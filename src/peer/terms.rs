//! What links are held to, what nodes tell each other, what is told about them.

use crate::identity::{Address, SecretKey};
use crate::ports::{Budget, Refusal, Switchboard};
use crate::session::AdmissionLimits;
use crate::time::{Clock, Moment};
use crate::tls::{client_config, ServerConfigs, TlsError, Versions};
use crate::wire::code::Code;
use rustls::ClientConfig;
use smol::Executor;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The protocol's name in TLS.
pub const ALPN: &[u8] = b"chr-peer/1";

/// TLS of both roles.
#[derive(Clone, Debug)]
pub struct PeerTls {
    pub(super) server: Arc<ServerConfigs>,
    pub(super) client: Arc<ClientConfig>,
}

impl PeerTls {
    /// With the node's key and `security.tls_versions`.
    ///
    /// # Errors
    /// rustls refuses the configuration.
    pub fn new(key: &SecretKey, versions: Versions) -> Result<PeerTls, TlsError> {
        Ok(PeerTls {
            server: ServerConfigs::new(key, &[ALPN], versions)?,
            client: client_config(key, &[ALPN], versions)?,
        })
    }
}

/// What links are held to; may change while they stand.
#[derive(Clone, Debug)]
pub struct PeerTerms {
    /// Most links at once (`network.max_peers`). Strangers that dial this node
    /// get three quarters of them at most.
    pub max_links: usize,
    /// Who may connect from outside, how often. `sessions` is how many
    /// connections may be open, handshakes included.
    pub admission: AdmissionLimits,
    /// From the connection to the end of PeerWelcome.
    pub handshake_time: Duration,
    /// A link that this side dialled and that has carried no port for this long
    /// is closed, unless it is to be kept.
    pub idle_after: Duration,
    /// Unsent bytes that the kernel may hold for a connection.
    pub send_buffer: u32,
}

/// What a node gives its links.
pub struct PeerParts {
    /// The node's address.
    pub node: Address,
    /// Its key, for TLS.
    pub tls: PeerTls,
    /// Name and version, for the other node's log.
    pub agent: String,
    /// Where this node takes links; `None`: nowhere.
    pub peer_port: Option<u16>,
    /// What links are held to.
    pub terms: PeerTerms,
    /// The devices of this node.
    pub board: Arc<Switchboard>,
    /// Memory for grown windows.
    pub budget: Arc<Budget>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Runs the links.
    pub executor: Arc<Executor<'static>>,
}

/// A node that a link is to be kept to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its address.
    pub id: Address,
    /// Host name or IP address.
    pub host: String,
    /// Its peer port.
    pub port: u16,
}

/// What another node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerFacts {
    /// Name and version.
    pub agent: String,
    /// Capability bits that both know.
    pub capabilities: u64,
    /// Its clock, unix seconds, if it trusts it.
    pub unix_time: Option<u64>,
    /// Where it takes links, and packets of the DHT.
    pub peer_port: Option<u16>,
    /// Whether it answers in the DHT.
    pub serving: bool,
}

/// A link that stands.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// The other node.
    pub id: Address,
    /// Where the connection goes to, or came from.
    pub place: SocketAddr,
    /// This side dialled.
    pub dialled: bool,
    /// It is one of those that are to be kept.
    pub kept: bool,
    /// What the other node said.
    pub facts: PeerFacts,
    /// Since when.
    pub since: Moment,
    /// When something came last.
    pub heard: Moment,
    /// Ports, open and opening.
    pub ports: usize,
    /// Measured round trip.
    pub rtt: Option<Duration>,
    /// Port payload that arrived, in bytes.
    pub bytes_in: u64,
    /// Port payload that was sent, in bytes.
    pub bytes_out: u64,
}

/// What happened to links.
#[derive(Clone, Debug)]
pub enum PeerEvent {
    /// A link stands.
    Connected {
        /// The other node.
        id: Address,
        /// Where the connection goes to, or came from.
        place: SocketAddr,
        /// This side dialled.
        dialled: bool,
        /// How long the other node took to answer PeerHello; none where it dialled.
        rtt: Option<Duration>,
        /// What it said.
        facts: PeerFacts,
    },
    /// A link that stood has ended.
    Ended {
        /// The other node.
        id: Address,
        /// Where the connection went to, or came from.
        place: SocketAddr,
        /// This side dialled.
        dialled: bool,
        /// It broke; otherwise one of the two closed it.
        lost: bool,
        /// Why.
        reason: String,
        /// How long it stood.
        lasted: Duration,
    },
    /// A dial in vain.
    Failed {
        /// The node that was dialled.
        id: Address,
        /// Where, if it came to a connection.
        place: Option<SocketAddr>,
        /// Why.
        reason: String,
    },
}

/// Why there is no link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerError {
    /// None of its places took the connection, or no link came about there; the last one's words.
    Unreachable(String),
    /// Another node is where it should be.
    WrongNode(Address),
    /// The other node does not want a link.
    Refused(Code, String),
    /// As many links as allowed stand, and none of them can go.
    Full,
    /// Too many dials are in progress.
    Busy,
    /// That is this node.
    Itself,
    /// Links are being shut down.
    Stopped,
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerError::Unreachable(why) => write!(f, "the node cannot be reached: {why}"),
            PeerError::WrongNode(found) => write!(f, "another node answers there: {found}"),
            PeerError::Refused(code, text) => write!(f, "the node refused: {text} ({code})"),
            PeerError::Full => f.write_str(
                "this node has as many links to others as it may (network.max_peers); try again later",
            ),
            PeerError::Busy => f.write_str("this node dials many others at once; try again shortly"),
            PeerError::Itself => f.write_str("that is this node itself"),
            PeerError::Stopped => f.write_str("this node is stopping"),
        }
    }
}

impl std::error::Error for PeerError {}

impl PeerError {
    /// What an opener is told.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let retry_after_ms = match self {
            PeerError::Full | PeerError::Busy | PeerError::Refused(..) => Some(1_000),
            _ => None,
        };
        Refusal {
            code: Code::UNREACHABLE,
            text: self.to_string(),
            limit: None,
            retry_after_ms,
        }
    }
}
