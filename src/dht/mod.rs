//! Kademlia (Maymounkov and Mazières 2002): nodes find devices and one another.
//!
//! Everything but the UDP service is without I/O: it takes datagrams, a clock and
//! randomness, and gives back datagrams and events.

pub mod cookie;
pub mod merkle;
pub mod record;
pub mod seal;
pub mod storage;

#[cfg(test)]
pub(crate) mod testing;

pub use cookie::Cookies;
pub use record::{Kind, Record, Refusal, ValidRecord};
pub use seal::{Curve, Seal, Verify, Wall};
pub use storage::{Source, Storage};
