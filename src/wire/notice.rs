//! What a node that saves power and its devices agree on in Hello and Welcome.
//!
//! **Rounds** ([`ROUNDS`]). A device pings when its own time has come, so five
//! devices wake their node up five times. A node that saves power pings all of
//! its devices together instead, at most 100 s after it has heard of each; a
//! device that knows this bit takes such a Ping for its own: it waits anew before
//! it pings. A device that saves power itself pings more seldom than the node
//! would, and does not offer the bit.

/// The bit of Hello and Welcome that says: a Ping of the node puts off the device's.
pub const ROUNDS: u64 = 4;
