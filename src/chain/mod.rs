//! # An EVM chain, as far as a node asks one
//!
//! A client of the chain's JSON-RPC (`chain.url`; off without it): it follows the
//! chain's head, and answers the reading methods that [`methods`] lists, through
//! the cache. Nothing is dialled before somebody asks or the follower's turn comes,
//! so a chain that is away never holds up the start.
//!
//! ```text
//! method, parameters -> checked and written in one form (methods.rs)
//!                    -> tags such as "latest" become numbers (head.rs), so a key is of one block
//!                    -> the cache: an answer, or
//!                    -> the gate: at most so many at once and a second (gate.rs)
//!                    -> a connection: HTTP/1.1, TLS (http.rs, connection.rs)
//! ```
//!
//! | file | what it owns |
//! | --- | --- |
//! | `methods.rs`, `params.rs` | what may be asked, how parameters are checked, which answers are kept: without I/O |
//! | `head.rs` | the newest block, when to look again, whether the chain is in step: without I/O |
//! | `gate.rs` | how much may be asked for others: without I/O |
//! | `http.rs` | requests and answers of HTTP/1.1: without I/O |
//! | `place.rs` | where the chain is |
//! | `trust.rs` | TLS towards it; certificates of authorities (feature `chain-https`; `no_trust.rs` without) |
//! | `connection.rs` | one connection |
//! | `client.rs` | connections, time limits, back-off |
//! | `follow.rs` | the loop that follows the head |
//!
//! **Why not a library.** The smallest that is well kept (ureq) would cost eight
//! crates and 250 KB, blocks a thread a call, and brings a second way to set up TLS.
//! What is needed of HTTP here is one kind of request and two kinds of body;
//! `httparse` reads the head, as it does for the HTTP port.
//!
//! What this client cannot do: prove that an answer is true. It asks one place,
//! which the operator has chosen, and believes it.

mod client;
mod connection;
mod follow;
mod gate;
mod head;
pub mod http;
pub mod methods;
mod params;
mod place;
#[cfg(feature = "chain-https")]
mod trust;
#[cfg(not(feature = "chain-https"))]
#[path = "no_trust.rs"]
mod trust;

pub use client::{Chain, Options};
pub use gate::{CALLS_A_SECOND, CALLS_MAX};
pub use head::{Block, State};
pub use place::Place;

use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// An answer of the chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The result.
    pub value: Value,
    /// How old it is, if it has outlived its time and the chain does not answer.
    pub stale: Option<Duration>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ChainError {
    /// A parameter is not as the method takes it.
    Params(String),
    /// The chain cannot be asked; it is tried again at the earliest in this time.
    Down(String, Duration),
    /// The chain refused, with this error object.
    Refused(Value),
    /// This node asks no more for others now; in this time it does.
    Busy(Duration),
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChainError::Params(why) => f.write_str(why),
            ChainError::Down(why, _) => write!(f, "the chain (chain.url) does not answer: {why}"),
            ChainError::Refused(error) => write!(f, "the chain refused: {error}"),
            ChainError::Busy(wait) => write!(
                f,
                "this node asks its chain at most {CALLS_A_SECOND} times a second for others; ask again in {} ms",
                wait.as_millis()
            ),
        }
    }
}

impl std::error::Error for ChainError {}
