//! Where a node begins that knows nobody: the seeds and fleet nodes of the
//! settings, whose names become addresses here, as often as it takes.
//!
//! A name server may be down when a router starts, and a seed may move. So a name
//! that is not found is asked for again with longer and longer pauses, and all of
//! them are while no other node answers. Once the node takes part and every name
//! was found, nothing is asked any more.

use crate::config::value::PeerPlace;
use crate::config::Settings;
use crate::dht::service::Handle;
use crate::identity::Address;
use crate::platform::clock::on_the_second;
use crate::session::dial;
use async_io::Timer;
use smol::channel::{bounded, Receiver, Sender};
use smol::future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The first pause after a name was not found, doubled up to [`RETRY_MOST`].
const RETRY: Duration = Duration::from_secs(5);
const RETRY_MOST: Duration = Duration::from_secs(600);

/// How long seeds have to answer before their silence is told.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// A place where somebody should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    id: Option<Address>,
    host: String,
    port: u16,
    /// As the settings have it.
    text: String,
}

impl Seed {
    fn of(place: &PeerPlace) -> Seed {
        Seed {
            // The settings have checked it.
            id: place.address.as_ref().and_then(|id| id.parse().ok()),
            host: place.host.clone(),
            port: place.port,
            text: place.to_string(),
        }
    }
}

/// Everybody whom the settings name.
#[must_use]
pub fn named(settings: &Settings) -> Vec<Seed> {
    let fleet = settings.fleet.nodes.iter().map(|node| &node.place);
    let places = settings.network.seeds.iter().chain(fleet);
    places.map(Seed::of).collect()
}

/// The list, and when it has to be gone through.
pub struct Seeds {
    list: Mutex<Vec<Seed>>,
    /// This node takes part: nothing has to be asked.
    joined: AtomicBool,
    changed: (Sender<()>, Receiver<()>),
}

impl Seeds {
    /// Those of the settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Seeds {
        Seeds {
            list: Mutex::new(named(settings)),
            joined: AtomicBool::new(false),
            changed: bounded(1),
        }
    }

    /// The settings have changed.
    pub fn change(&self, settings: &Settings) {
        let named = named(settings);
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if *list != named {
            *list = named;
            let _ = self.changed.0.try_send(());
        }
    }

    /// Whether this node takes part in the network.
    pub fn set_joined(&self, joined: bool) {
        // At the start it does not take part, and everybody is asked for anyway.
        let joined_before = self.joined.swap(joined, Ordering::Relaxed);
        if joined_before && !joined {
            let _ = self.changed.0.try_send(());
        }
    }

    fn list(&self) -> Vec<Seed> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.clone()
    }

    /// Whether there are any.
    #[must_use]
    pub fn are_named(&self) -> bool {
        !self.list().is_empty()
    }

    /// As the settings have them, for people.
    #[must_use]
    pub fn names(&self) -> String {
        let names: Vec<String> = self.list().into_iter().map(|seed| seed.text).collect();
        names.join(", ")
    }

    /// Tells the engine where they are, for ever.
    pub async fn look_up(&self, dht: &Handle) {
        let mut pause = RETRY;
        loop {
            let all_found = self.round(dht).await;
            let changed = async {
                let _ = self.changed.1.recv().await;
                true
            };
            let quiet = all_found && self.joined.load(Ordering::Relaxed);
            let again = if quiet || self.list().is_empty() {
                changed.await
            } else {
                let time = async {
                    Timer::at(on_the_second(jittered(pause))).await;
                    false
                };
                future::or(changed, time).await
            };
            pause = if again {
                RETRY
            } else {
                pause.saturating_mul(2).min(RETRY_MOST)
            };
        }
    }

    async fn round(&self, dht: &Handle) -> bool {
        let mut all_found = true;
        let mut found = Vec::new();
        for seed in self.list() {
            match dial::addresses(&seed.host, seed.port).await {
                Ok(places) => found.extend(places.into_iter().map(|place| (place, seed.id))),
                Err(why) => {
                    all_found = false;
                    log::warn!(
                        "seed {}: {why}; correct network.seeds or the name server; it is tried again",
                        seed.text
                    );
                }
            }
        }
        // A name that is not found keeps the places of the others, and no old ones of
        // its own: they are tried again with it.
        dht.set_seeds(&found);
        all_found
    }
}

/// A tenth more at most: nodes that lost their network together come back one by
/// one.
fn jittered(pause: Duration) -> Duration {
    let tenth = u64::try_from(pause.as_millis() / 10).unwrap_or(0);
    pause.saturating_add(Duration::from_millis(fastrand::u64(..=tenth)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::config::Key;

    #[test]
    fn fleet_nodes_are_seeds_too_and_an_address_is_kept() {
        let mut settings = Settings::default();
        assert!(!Seeds::new(&settings).are_named());
        let id = "0x00112233445566778899aabbccddeeff00112233";
        for (key, value) in [
            ("network.seeds", "a.example:7, none".to_owned()),
            ("fleet.nodes", format!("attic={id}@b.example:8")),
        ] {
            (Key::find(key).unwrap().set)(&mut settings, &value).unwrap();
        }
        let seeds = Seeds::new(&settings);
        let list = seeds.list();
        assert_eq!((list.len(), list[0].id), (2, None));
        assert_eq!(list[1].id, Some(id.parse().unwrap()));
        assert_eq!(seeds.names(), format!("a.example:7, {id}@b.example:8"));
        // Nor is what was so before.
        seeds.set_joined(false);
        assert!(seeds.changed.1.is_empty());
        seeds.set_joined(true);
        seeds.set_joined(false);
        assert!(seeds.changed.1.try_recv().is_ok());
        // The same settings once more are no reason to ask again.
        seeds.change(&settings);
        assert!(seeds.changed.1.is_empty());
        seeds.change(&Settings::default());
        assert!(!seeds.changed.1.is_empty() && !seeds.are_named());
    }
}
