//! This node among others: what the services `peer` and `dht` share, and what
//! outlives them.
//!
//! | file | what |
//! | --- | --- |
//! | [`sockets`] | TCP and UDP on the peer port |
//! | [`peers`] | other nodes: remembered, listed |
//! | [`presence`] | the devices that are here, told to the network |

pub mod locate;
pub mod peers;
pub mod presence;
pub mod record;
pub mod seeds;
pub mod sockets;
