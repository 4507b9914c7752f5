//! How it goes with the links to the nodes of the fleet, for `fleet_status`.

use crate::identity::Address;
use crate::sorted::Map;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Links to the fleet, as they came and went. Holds only what the settings name.
#[derive(Debug, Default)]
pub struct FleetLog(Mutex<Map<Address, FleetNews>>);

/// The latest of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetNews {
    /// When a link stood last, in unix seconds; while one stands, when it came about.
    pub last_ok: Option<u64>,
    /// Why none stands.
    pub error: Option<String>,
}

impl FleetLog {
    fn lock(&self) -> MutexGuard<'_, Map<Address, FleetNews>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A link to that node came about (`error` is `None`) or ended.
    pub fn note(&self, node: Address, unix: Option<u64>, error: Option<String>) {
        let mut log = self.lock();
        let mut news = log.get(&node).cloned().unwrap_or_default();
        news.last_ok = unix.or(news.last_ok);
        news.error = error;
        log.insert(node, news);
    }

    /// A dial in vain.
    pub fn failed(&self, node: Address, why: String) {
        self.note(node, None, Some(why));
    }

    /// What is known of that node.
    pub fn of(&self, node: &Address) -> FleetNews {
        self.lock().get(node).cloned().unwrap_or_default()
    }

    /// Forgets all but these.
    pub fn retain(&self, keep: impl Fn(&Address) -> bool) {
        let mut log = self.lock();
        let gone: Vec<Address> = log.keys().filter(|id| !keep(id)).copied().collect();
        for id in gone {
            log.remove(&id);
        }
    }
}
