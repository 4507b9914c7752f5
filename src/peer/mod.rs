//! Links between nodes: TLS with ALPN `chr-peer/1`, over which ports and messages
//! of devices on different nodes run.
//!
//! | file | what |
//! | --- | --- |
//! | [`terms`] | what links are held to, what nodes tell each other |
//! | [`links`] | all links of a node: listens, dials, keeps |
//! | [`session`] | the state machine of one link, without I/O |
//! | `standing.rs` | the same after the greeting: is the other still there, is it of use |
//! | `pool.rs` | which links there are, which of two stays, who has to go; without I/O |
//! | `member.rs` | a link that stands, as the pool knows it |
//! | [`hub`] | what all links share |

pub mod hub;
pub mod links;
mod member;
mod pool;
pub mod session;
mod standing;
pub mod terms;

#[cfg(test)]
mod tests;

pub use links::Links;
pub use terms::{
    PeerError, PeerEvent, PeerFacts, PeerParts, PeerStatus, PeerTerms, PeerTls, Wanted, ALPN,
};
