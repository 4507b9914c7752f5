//! What all sessions of a node share, and what they are held to.

use super::announce::{Announce, Witness};
use crate::identity::Address;
use crate::ports::{Budget, Switchboard};
use crate::ticket::{Book, EpochClock};
use crate::time::Clock;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What every session of a node is told or held to.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The node's address.
    pub node: Address,
    /// Name and version, for the device's log.
    pub agent: String,
    /// Chain that tickets name.
    pub chain_id: u64,
    /// Fleet that tickets name unless the device has its own.
    pub fleet: Address,
    /// Whether ports need a ticket.
    pub tickets_required: bool,
    /// Bytes beyond a ticket's total.
    pub grace_bytes: u64,
    /// From accept to the end of Hello.
    pub handshake_time: Duration,
    /// Without a frame for this long a session is closed.
    pub idle_timeout: Duration,
    /// Most ports of a session.
    pub max_ports: usize,
    /// Unsent bytes that the kernel may hold for a connection.
    pub send_buffer: u32,
}

/// A value that can be replaced while sessions go on with the one they began with.
#[derive(Debug)]
pub struct Current<T>(Mutex<Arc<T>>);

impl<T> From<T> for Current<T> {
    fn from(value: T) -> Current<T> {
        Current(Mutex::new(Arc::new(value)))
    }
}

impl<T> Current<T> {
    /// The value for those who begin now.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Replaces it.
    pub fn change(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

/// What all sessions of a node share.
pub struct Services {
    /// What sessions are held to.
    pub terms: Current<Terms>,
    /// Who is online.
    pub board: Arc<Switchboard>,
    /// Whose traffic is paid.
    pub book: Book,
    /// Memory for grown windows.
    pub budget: Arc<Budget>,
    /// Who tells the network which devices are here; `None`: nobody does, and
    /// devices are not asked for their presence.
    pub presence: Option<Arc<dyn Announce>>,
    /// Who hears what becomes of sessions.
    pub witness: Option<Arc<dyn Witness>>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl Services {
    /// The present epoch, as far as the clock can be believed.
    pub(super) fn epoch(&self) -> EpochClock {
        let clock = &self.clock;
        EpochClock::from_unix(clock.unix(), clock.trusted(), clock.floor())
    }
}
