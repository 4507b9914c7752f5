//! Links between nodes: TLS with ALPN `chr-peer/1`, over which ports and messages
//! of devices on different nodes run.
//!
//! | file | what |
//! | --- | --- |
//! | [`terms`] | what links are held to, what nodes tell each other |
//! | [`links`] | all links of a node: listens, dials, keeps |

pub mod links;
pub mod terms;

pub use links::Links;
pub use terms::{
    PeerError, PeerEvent, PeerFacts, PeerParts, PeerStatus, PeerTerms, PeerTls, Wanted, ALPN,
};
