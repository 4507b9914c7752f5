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
