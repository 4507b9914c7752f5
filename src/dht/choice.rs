//! Which of several equally close nodes is asked first.
//!
//! Lookups need that at each step: all nodes near a key have its record, and of
//! twenty contacts in a bucket any will do for the first hop. [`Prefer`] names
//! the rules; [`cost`] is the one place where they differ.

use super::peer::Peer;
use super::rtt::{ContactEstimate, NetworkEstimate};

/// The rule by which equally close nodes are chosen among.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefer {
    /// Any of them.
    Random,
    /// The one with the shortest round trip, by the moving average over its answers
    /// (RFC 6298). A rule that weighed success, age and the price of a challenge as
    /// well was not better in the simulations (docs/simulation.md) and is gone.
    #[default]
    Nearest,
}

/// What is known of a candidate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen<'a> {
    /// It is in the routing table.
    pub peer: Option<&'a Peer>,
    /// It was met in a lookup.
    pub met: Option<ContactEstimate>,
}

/// How dear a candidate is, in microseconds or, for `Random`, whatever `noise`
/// says: the cheapest is asked first.
#[must_use]
pub fn cost(prefer: Prefer, seen: Seen<'_>, network: &NetworkEstimate, noise: u64) -> u64 {
    let measured = seen.peer.map(|peer| peer.rtt).or(seen.met);
    let rtt = measured.and_then(|rtt| rtt.round_trip());
    let rtt = rtt.or(network.round_trip()).unwrap_or_default();
    let rtt = rtt.as_micros() as u64;
    match prefer {
        Prefer::Random => noise,
        Prefer::Nearest => rtt,
    }
}
