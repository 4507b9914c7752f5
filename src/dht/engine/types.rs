//! What goes into the engine and what comes out of it.

use crate::dht::choice::Prefer;
use crate::dht::record::ValidRecord;
use crate::dht::storage::STORAGE_BYTES;
use crate::identity::Address;
use crate::wire::dht::Contact;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A search or a store that is under way; never used twice by one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Op(pub u64);

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this datagram.
    Send {
        /// Where to.
        to: SocketAddr,
        /// The whole packet, at most [`crate::wire::dht::PACKET_MAX`] bytes.
        bytes: Vec<u8>,
    },
    /// An operation is over.
    Done {
        /// Which one.
        op: Op,
        /// How it ended.
        outcome: Outcome,
    },
    /// Something that others may want to know.
    Event(Event),
}

/// What an operation cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The longest chain of requests in which each one needed the answer before
    /// it; a challenge is an answer, a time-out is one, too.
    pub rounds: u32,
    /// [`Cost::rounds`] without those that ended with a challenge.
    pub hops: u32,
    /// Request datagrams sent, challenged and repeated ones included.
    pub requests: u32,
    /// Those that were answered by a challenge.
    pub challenged: u32,
    /// From the beginning to the end.
    pub took: Duration,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The value is there: valid records of one key, the newest first (of a device's
    /// presence up to three, otherwise one).
    Found {
        /// Checked by the rules of their kind.
        records: Vec<ValidRecord>,
        /// What it cost.
        cost: Cost,
    },
    /// The nodes closest to the key were asked and have no valid record of it.
    Missing {
        /// What it cost.
        cost: Cost,
    },
    /// The closest nodes that answered, the closest first.
    Nodes {
        /// At most k.
        contacts: Vec<Contact>,
        /// What it cost.
        cost: Cost,
    },
    /// A record was offered to the nodes closest to its key.
    Stored {
        /// How many have it now.
        at: usize,
        /// How many refused it or did not answer.
        refused: usize,
        /// What it cost.
        cost: Cost,
    },
    /// No other node is known, or none of them answers.
    Failed,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This node takes part: its own neighbourhood has answered. Told once until
    /// the next [`Event::Isolated`].
    Joined {
        /// Contacts in the routing table.
        nodes: usize,
    },
    /// Nobody answers any more. Remembered contacts and seeds are tried again.
    Isolated,
    /// Whether strangers can reach this node; before the first of these, unknown.
    Reachable(bool),
    /// Several independent nodes see this node's packets come from here.
    OutsideAddress(SocketAddr),
    /// A node has answered for the first time, or again after [`Event::Silent`].
    Alive {
        /// Who.
        id: Address,
        /// From where.
        at: SocketAddr,
        /// Measured by the answer.
        rtt: Duration,
    },
    /// A node that had answered does not any more.
    Silent {
        /// Who.
        id: Address,
        /// From where it had answered.
        at: SocketAddr,
    },
}

/// When a node lets others put it into their tables (setting `network.serve`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Serve {
    /// While strangers can reach it.
    #[default]
    Auto,
    /// Always: the operator knows better.
    Yes,
    /// Never: a phone, or a device that saves power.
    No,
}

/// A node that somebody remembers: rows of `peer_history`, [`super::Engine::add_known`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Who and where.
    pub contact: Contact,
    /// Unix seconds of the first answer, as far as the clock was right; 0: never.
    pub first_seen: u64,
    /// Unix seconds of the latest answer; 0: never.
    pub last_seen: u64,
    /// Answers received.
    pub successes: u32,
    /// Requests that nobody answered.
    pub failures: u32,
    /// Smoothed; zero: not measured.
    pub rtt: Duration,
    /// Whether it is in the routing table (serves and answers).
    pub in_table: bool,
}

impl Known {
    /// Share of requests that were answered, from 0 to 1, one of each kind added
    /// so that a node asked once is not perfect (Laplace's rule of succession).
    #[must_use]
    pub fn reliability(&self) -> f64 {
        (f64::from(self.successes) + 1.0)
            / (f64::from(self.successes) + f64::from(self.failures) + 2.0)
    }
}

/// Figures since the engine began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Contacts in the routing table.
    pub nodes: usize,
    /// Records stored for others.
    pub values: usize,
    /// Their bytes.
    pub value_bytes: usize,
    /// Searches and stores that are over.
    pub lookups: u64,
    /// Those that found or stored something.
    pub successes: u64,
    /// Datagrams received.
    pub packets_in: u64,
    /// Datagrams sent.
    pub packets_out: u64,
    /// Bytes of UDP payload received.
    pub bytes_in: u64,
    /// Bytes of UDP payload sent.
    pub bytes_out: u64,
    /// Requests sent, repeated ones included.
    pub requests: u64,
    /// Requests that nobody answered in time.
    pub timeouts: u64,
    /// Requests answered with a challenge.
    pub challenged: u64,
    /// Challenges sent.
    pub challenges: u64,
    /// Requests of others that were served.
    pub served: u64,
    /// Signatures of packets that were checked, right or wrong.
    pub checked: u64,
    /// Signatures of packets that were made.
    pub signed: u64,
    /// Packets dropped before any signature work: malformed, for others, unasked,
    /// or too many from one place.
    pub dropped: u64,
    /// Packets with a signature that is not their sender's.
    pub forged: u64,
    /// Round trips of the latest answers: the median, the 90th and the 99th percentile.
    pub rtt: [Duration; 3],
}

/// How the engine behaves. [`Config::default`] is what the network runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Size of buckets, answers and replica sets.
    pub k: usize,
    /// Requests of one lookup under way at a time, over all its paths.
    pub alpha: usize,
    /// Disjoint paths of one lookup.
    pub paths: usize,
    /// How equally close nodes are chosen among.
    pub prefer: Prefer,
    /// Whether others may put this node into their tables.
    pub serve: Serve,
    /// Loopback and private addresses do not count towards the limits a subnet while
    /// this node's own address is one of them.
    pub exempt_private: bool,
    /// The address that others are told, if the operator said so (`HOST`).
    pub outside: Option<SocketAddr>,
    /// Addresses of this machine's interfaces: an outside address that is one of them
    /// has no NAT in front of it.
    pub interfaces: Vec<IpAddr>,
    /// How often own records are stored anew.
    pub republish: Duration,
    /// How often a contact has to be heard of; a bucket is looked after as often.
    pub refresh: Duration,
    /// How often a serving node compares its records with another replica.
    pub sync: Duration,
    /// Bytes of records kept for others.
    pub quota_bytes: usize,
}

impl Default for Config {
    fn default() -> Config {
        let minute = Duration::from_secs(60);
        Config {
            k: 20,
            alpha: 3,
            paths: 3,
            prefer: Prefer::default(),
            serve: Serve::Auto,
            exempt_private: true,
            outside: None,
            interfaces: Vec::new(),
            republish: minute.saturating_mul(60),
            refresh: minute.saturating_mul(60),
            sync: minute.saturating_mul(60),
            quota_bytes: STORAGE_BYTES,
        }
    }
}
