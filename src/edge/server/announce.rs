//! Who tells the network which devices are at this node.

use crate::identity::Address;
use crate::wire::presence::DevicePresence;

/// Hears which devices are here, by their own signed word. Called by sessions
/// while they turn: what takes time is queued by whoever implements it.
pub trait Announce: Send + Sync {
    /// The newest `t` of `device` that this node knows of, its own and what it
    /// has seen of other nodes; 0: none.
    fn last(&self, device: Address) -> u64;

    /// The device is here: its signature, span and time were checked, and its
    /// `t` is newer than [`Announce::last`] was. Comes again with a newer one
    /// before `not_after`.
    fn came(&self, presence: DevicePresence);

    /// The session ended in which the presence with this `t` came. One with a
    /// newer `t` stays: the device has come again in another session, and the
    /// end of the older may be heard after that.
    fn left(&self, device: Address, t: u64);
}

/// Hears what becomes of sessions, for those who watch the node. Called by sessions
/// while they turn: it must take no time.
pub trait Witness: Send + Sync {
    /// The device is served: it has said hello and, where that is wanted, paid.
    fn opened(&self, device: Address);

    /// The session of which [`Witness::opened`] told is over, and why.
    fn closed(&self, device: Address, reason: &str);

    /// A ticket of the device was accepted: it covers so many bytes in this epoch.
    fn paid(&self, device: Address, total_bytes: u64, epoch: u64);
}
