//! Kademlia (Maymounkov and Mazières 2002): nodes find devices and one another.
//!
//! Everything but the UDP service is without I/O: it takes datagrams, a clock and
//! randomness, and gives back datagrams and events.

pub mod cookie;
pub mod engine;
pub mod id;
pub mod lookup;
pub mod peer;
pub mod record;
pub mod rtt;
pub mod seal;
pub mod subnet;
pub mod table;

pub use cookie::Cookies;
pub use engine::{Action, Config, Cost, Engine, Event, Known, Op, Outcome, Serve, Stats};
pub use record::{Kind, Record, Refusal, ValidRecord};
pub use seal::{Curve, Seal, Verify, Wall};
