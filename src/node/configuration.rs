//! The settings in force, where each came from, and changing them in a running node.

use super::error::NodeError;
use super::house::{rules, set_windows, terms, House};
use crate::config::{Loaded, Settings};
use crate::parts::REWARDS;
use crate::platform::resolver;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Told of settings that were put in force, for what lies outside the node: the log.
pub type Adopted = Box<dyn Fn(&Settings) + Send + Sync>;

/// See the module's text.
pub struct Configuration {
    in_force: Mutex<InForce>,
    /// Held while settings are changed: two changes at once would undo each other.
    changing: Mutex<()>,
    adopted: OnceLock<Adopted>,
    /// Why there is no operator's token.
    token_fault: Mutex<Option<String>>,
}

#[derive(Clone)]
struct InForce {
    settings: Arc<Settings>,
    loaded: Arc<Loaded>,
}

impl InForce {
    fn new(loaded: Loaded) -> InForce {
        InForce {
            settings: Arc::new(loaded.settings.clone()),
            loaded: Arc::new(loaded),
        }
    }
}

impl Configuration {
    /// With these in force.
    #[must_use]
    pub fn new(loaded: Loaded) -> Configuration {
        Configuration {
            in_force: Mutex::new(InForce::new(loaded)),
            changing: Mutex::new(()),
            adopted: OnceLock::new(),
            token_fault: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, InForce> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The values.
    pub fn settings(&self) -> Arc<Settings> {
        self.lock().settings.clone()
    }

    /// The values and where they came from.
    pub fn loaded(&self) -> Arc<Loaded> {
        self.lock().loaded.clone()
    }

    /// Why there is no operator's token where there should be one.
    pub fn token_fault(&self) -> Option<String> {
        let fault = self.token_fault.lock();
        fault.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers that.
    pub fn set_token_fault(&self, fault: Option<String>) {
        let place = self.token_fault.lock();
        *place.unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Who is told of changes. Only the first one counts.
    pub fn tell(&self, adopted: Adopted) {
        let _ = self.adopted.set(adopted);
    }
}

impl House {
    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.configuration.settings()
    }

    /// Puts what `change` makes of the settings in force in their place; it may leave live ones
    /// otherwise, nothing else. Sessions that stand keep what they were told.
    ///
    /// # Errors
    /// What `change` says, or a setting that cannot be; then nothing has changed.
    pub fn change(
        &self,
        change: impl FnOnce(&Loaded) -> Result<Loaded, String>,
    ) -> Result<(), String> {
        let changing = &self.configuration.changing;
        let _one_at_a_time = changing.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = change(&self.configuration.loaded())?;
        self.put_in_force(loaded).map_err(|e| e.to_string())
    }

    fn put_in_force(&self, loaded: Loaded) -> Result<(), NodeError> {
        let settings = &loaded.settings;
        let (terms, rules) = (terms(settings, self.node)?, rules(settings, self.node)?);
        set_windows(&self.budget, settings);
        resolver::configure(settings.network.dns.clone());
        *self.configuration.lock() = InForce::new(loaded);
        let settings = self.settings();
        if let Some(book) = self.book.get() {
            book.change(rules, self.policy(), terms.fleet);
        }
        if let Some(server) = self.server.get() {
            server.services.terms.change(terms);
            server.admission.change(self.admission());
        }
        if REWARDS.built {
            self.earnings.change(&settings);
        }
        self.network.change(&settings);
        self.thrift.hurry();
        if let Some(links) = self.network.links.get() {
            links.change(self.peer_terms());
        }
        if let Some(door) = self.door.get() {
            door.change_hosts(settings.network.rpc_hosts.clone());
        }
        if let Some(adopted) = self.configuration.adopted.get() {
            adopted(&settings);
        }
        Ok(())
    }
}
