//! Kademlia (Maymounkov and Mazières 2002): nodes find devices and one another.
//!
//! Everything but the UDP service is without I/O: it takes datagrams, a clock and
//! randomness, and gives back datagrams and events.
//!
//! | file | what it is |
//! | --- | --- |
//! | [`engine`] | a node: what goes in, what comes out |
//! | [`id`], [`subnet`], [`rtt`] | distances, networks, time-outs |
//! | [`table`], [`peer`] | who is known, and who gets a place |
//! | [`lookup`], [`choice`] | whom to ask next |
//! | [`record`] | what is stored, and who may say it |
//! | [`storage`], [`merkle`] | what is kept for others, and comparing it |
//! | [`cookie`], [`seal`] | proofs of address and of identity |
//! | [`service`] | sockets, timers and a task around all that |

pub mod choice;
pub mod cookie;
pub mod engine;
pub mod id;
pub mod lookup;
pub mod merkle;
pub mod peer;
pub mod record;
pub mod rtt;
pub mod seal;
pub mod service;
pub mod storage;
pub mod subnet;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;

pub use crate::wire::dht::Contact;
pub use choice::Prefer;
pub use cookie::Cookies;
pub use engine::{Action, Config, Cost, Engine, Event, Known, Op, Outcome, SeenAt, Serve, Stats};
pub use record::{Kind, Record, Refusal, ValidRecord};
pub use seal::{Curve, Seal, Verify, Wall};
pub use storage::{Kept, KeptRow, Source, Storage, ToSave};

#[cfg(test)]
mod tests;
