//! What happens in the node, told to those who listen: `/events` and `/ws`.
//!
//! The node publishes to the [`Hub`]; the door has a [`Subscription`] for each
//! listener. A publisher never waits: each listener has a queue of its own, and
//! one who does not read loses the oldest and is told how many. What was
//! published last is kept for those who come back and for the status page.

mod hub;
pub(super) mod sse;
pub(super) mod stream;
mod topic;

pub use hub::{Event, Hub, Next, Subscription, EVENT_BYTES};
pub use topic::{Topic, Topics};

#[cfg(test)]
pub(in crate::rpc) mod testing {
    use super::Hub;
    use crate::time::{Clock, Moment};
    use std::sync::Arc;

    /// A clock that stands at noon.
    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Moment {
            Moment(0)
        }
        fn unix(&self) -> u64 {
            43_200
        }
        fn trusted(&self) -> bool {
            true
        }
        fn floor(&self) -> u64 {
            0
        }
    }

    pub fn hub() -> Arc<Hub> {
        Arc::new(Hub::new(Arc::new(Noon)))
    }
}
