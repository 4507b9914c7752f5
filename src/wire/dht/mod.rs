//! Packets of the DHT.

use crate::identity::Address;
use std::net::SocketAddr;

/// A node and where it is reached over UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Its id.
    pub id: Address,
    /// Its address and port.
    pub at: SocketAddr,
}
