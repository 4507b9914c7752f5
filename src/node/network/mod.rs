//! This node among others: what the services `peer` and `dht` share, and what
//! outlives them.
//!
//! | file | what |
//! | --- | --- |
//! | [`sockets`] | TCP and UDP on the peer port |
//! | [`seeds`] | where to begin: names of the settings become addresses |
//! | [`peers`] | other nodes: remembered, listed |
//! | [`fleet`] | how links to the operator's other nodes went |
//! | [`mapped`] | what the router has given |
//! | [`presence`] | the devices that are here, told to the network |
//! | [`record`] | this node's own record |
//! | [`locate`] | where a device is that is not here |
//! | [`standing`] | whether this node takes part, in one line each time |

pub mod fleet;
pub mod locate;
pub mod mapped;
pub mod peers;
pub mod presence;
pub mod record;
pub mod seeds;
pub mod sockets;
pub mod standing;

use super::error::NodeError;
use super::house::Place;
use crate::config::Settings;
use crate::dht::service::Handle;
use crate::peer::{Links, Wanted};
use crate::time::Clock;
use fleet::FleetLog;
use mapped::Mapped;
use peers::PeerBook;
use presence::Presences;
use record::OwnRecord;
use seeds::Seeds;
use sockets::PeerSockets;
use standing::Standing;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module's text.
pub struct Network {
    /// Empty where the peer port is off: then nothing here does anything.
    pub sockets: PeerSockets,
    /// Left by the service `peer`.
    pub links: Place<Arc<Links>>,
    /// Left by the service `dht`.
    pub dht: Place<Handle>,
    /// Which devices are here.
    pub presences: Arc<Presences>,
    /// Other nodes.
    pub peers: Arc<PeerBook>,
    /// Where to begin.
    pub seeds: Arc<Seeds>,
    /// What the router has given.
    pub mapped: Mapped,
    /// Whether this node takes part.
    standing: Mutex<Standing>,
    /// This node's own record.
    own: Mutex<OwnRecord>,
    /// Dials in vain since the start.
    pub failed_dials: AtomicU64,
    /// How links to the fleet went.
    pub fleet: FleetLog,
}

impl Network {
    /// Takes the peer port.
    ///
    /// # Errors
    /// An address that cannot be had.
    pub fn open(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Network, NodeError> {
        let network = &settings.network;
        Ok(Network {
            sockets: PeerSockets::open(&network.bind, network.peer_port)?,
            links: Place::default(),
            dht: Place::default(),
            presences: Presences::new(clock),
            peers: Arc::default(),
            seeds: Arc::new(Seeds::new(settings)),
            mapped: Mapped::default(),
            standing: Mutex::default(),
            own: Mutex::default(),
            failed_dials: AtomicU64::new(0),
            fleet: FleetLog::default(),
        })
    }

    /// Whether this node takes part.
    pub fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This node's own record.
    pub fn own(&self) -> MutexGuard<'_, OwnRecord> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts settings that can change in a running node in force.
    pub fn change(&self, settings: &Settings) {
        self.seeds.change(settings);
        let wanted = wanted(settings);
        self.fleet.retain(|id| wanted.iter().any(|w| w.id == *id));
        if let Some(links) = self.links.get() {
            links.keep(wanted);
        }
    }
}

/// The nodes of the fleet, the most important first.
#[must_use]
pub fn wanted(settings: &Settings) -> Vec<Wanted> {
    let nodes = settings.fleet.nodes.iter();
    nodes
        .filter_map(|node| {
            Some(Wanted {
                id: node.place.address.as_ref()?.parse().ok()?,
                host: node.place.host.clone(),
                port: node.place.port,
            })
        })
        .collect()
}
