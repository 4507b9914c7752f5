//! Which of several equally close nodes is asked first.
//!
//! Lookups need that at each step: all nodes near a key have its record, and of
//! twenty contacts in a bucket any will do for the first hop. [`Prefer`] names
//! the rules; [`cost`] is the one place where they differ.

use super::peer::Peer;
use super::rtt::{ContactEstimate, NetworkEstimate};
use crate::time::Moment;

/// The rule by which equally close nodes are chosen among.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefer {
    /// Any of them.
    Random,
    /// The one with the shortest round trip.
    Nearest,
    /// The one of which an answer is expected soonest: from its round trip, how
    /// often it has answered lately, how long it was there and how long it is
    /// quiet, and whether it will ask for a cookie first.
    #[default]
    Learned,
}

/// What is known of a candidate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen<'a> {
    /// It is in the routing table.
    pub peer: Option<&'a Peer>,
    /// It was met in a lookup.
    pub met: Option<ContactEstimate>,
    /// Whether we have a cookie of it.
    pub cookie: bool,
}

/// How dear a candidate is, in microseconds or, for `Random`, whatever `noise`
/// says: the cheapest is asked first.
#[must_use]
pub fn cost(
    prefer: Prefer,
    seen: Seen<'_>,
    network: &NetworkEstimate,
    now: Moment,
    noise: u64,
) -> u64 {
    let measured = seen.peer.map(|peer| peer.rtt).or(seen.met);
    let rtt = measured.and_then(|rtt| rtt.round_trip());
    let rtt = rtt.or(network.round_trip()).unwrap_or_default();
    let rtt = rtt.as_micros() as u64;
    match prefer {
        Prefer::Random => noise,
        Prefer::Nearest => rtt,
        Prefer::Learned => {
            let challenge = if seen.cookie { 0 } else { rtt };
            let there = seen
                .peer
                .map_or(STRANGER, |peer| f64::from(peer.luck) * peer.presence(now));
            // Who is silent costs the time until somebody else is asked; the number
            // of such times until an answer is geometric.
            let late = measured.map_or(network.late(), |rtt| rtt.late());
            let waits = (1.0 - there) / there.max(0.05);
            let silence = waits * late.as_micros() as f64;
            // Up to a quarter of chance: who was unlucky once is tried again now
            // and then (a randomised form of the optimism of UCB).
            let sum = rtt + challenge + silence as u64;
            sum + (sum / 4).saturating_mul(noise & 0xFF) / 256
        }
    }
}

/// Chance that a node of which another one has told is there.
const STRANGER: f64 = 0.85;
