//! What health remembers from one look to the next.

use super::health::Layers;
use super::lag::Lag;
use crate::identity::Address;
use crate::rpc::Health;
use crate::sorted::Map;
use crate::time::Moment;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module's text.
pub struct Watch {
    notes: Mutex<Notes>,
    /// How long tasks wait.
    pub lag: Arc<Lag>,
}

/// What was seen.
pub struct Notes {
    /// How each layer is.
    pub layers: Layers,
    /// When that was looked at last, and what is told of it until the next look.
    pub latest: Option<(Moment, Health)>,
    /// Sessions that a defect has ended, and when the latest was seen.
    pub panicked: (u64, Option<Moment>),
    /// Nodes of the fleet, and when a link to each was seen last.
    pub fleet: Map<Address, Moment>,
    /// Since when the node takes all the processors that it may use.
    pub busy: Option<Moment>,
}

impl Watch {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new(now: Moment) -> Watch {
        Watch {
            notes: Mutex::new(Notes {
                layers: Layers::new(now),
                latest: None,
                panicked: (0, None),
                fleet: Map::new(),
                busy: None,
            }),
            lag: Arc::default(),
        }
    }

    /// The notes, for one look.
    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
