//! Where a device is that has no session with this node.

use super::link::Link;
use super::switchboard::Refusal;
use crate::identity::Address;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A search for the node that has a device, in progress. It is polled by the
/// opener's session and dropped with it, so it must not count on being finished.
pub type Locating = Pin<Box<dyn Future<Output = Result<Arc<Link>, Refusal>> + Send>>;

/// Finds the nodes of devices, and links to them.
pub trait Locate: Send + Sync {
    /// The link to a node that has `device`; not one of those in `tried`, which
    /// did not have it or were lost before they answered.
    ///
    /// The refusal goes to the opener as it is: `NOT_FOUND` when no other node
    /// is known to have the device, `UNREACHABLE` when one is and cannot be
    /// reached.
    fn locate(&self, device: Address, tried: &[Address]) -> Locating;
}
