//! A TLS session over TCP, whatever is spoken in it: the shell around a state
//! machine, who may connect, how sessions end.
//!
//! | file | what |
//! | --- | --- |
//! | [`pump`] | the shell: one socket, TLS and a state machine in one future |
//! | [`stop`] | how sessions end |
//! | [`tasks`] | the tasks of all connections |
//! | [`accept`] | takes connections from a listener |
//! | [`admission`] | how many may connect, how fast, from where |
//! | [`rate`] | how often |
//! | [`dial`] | finds a host and connects to it |
//!
//! Devices' sessions ([`crate::edge`]) and links between nodes are
//! made of these.

pub mod accept;
pub mod admission;
pub mod dial;
pub mod pump;
pub mod rate;
pub mod stop;
pub mod tasks;

pub use accept::{accept, Gate};
pub use admission::{Admission, AdmissionLimits, Slot};
pub use pump::{Protocol, Pump};
pub use rate::Bucket;
pub use stop::Stop;
pub use tasks::Tasks;
