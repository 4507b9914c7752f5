//! The node: takes what outlives its services, starts them in order, serves
//! until it is told to stop, and takes them down in the opposite order.
//!
//! | file | what |
//! | --- | --- |
//! | [`house`] | identity, sockets, settings: what outlives the services, and where they leave things for each other |
//! | [`configuration`] | the settings in force, and changing them |
//! | [`token`] | the operator's token and its file |
//! | [`network`] | the node among others: what `peer` and `dht` share |
//! | [`services`] | one file a service |
//! | [`supervisor`] | restarts services that fail, and those after them |
//! | [`program`] | `chr-node run`: threads, signals, the end |
//! | [`verdicts`] | signers of tickets that come again |
//! | [`view`] | what the status interfaces see |
//! | [`health`], [`watch`] | how each layer is, since when, and what is remembered for that |
//! | [`lag`] | how long the executor lets tasks wait |
//! | [`surroundings`] | what the device says of itself |
//! | [`power`], [`thrift`] | what battery and heat ask for, and what the node does about it |
//! | [`moved`] | what happens when the network comes, goes, or is another one |
//! | [`statistics`] | what was carried, by the minute and by the hour |
//! | [`earnings`] | reward periods: what they are made of, and their rows |
//! | [`rates`] | what is carried at present |
//! | [`events`] | what it tells those who listen |
//! | [`https`] | the certificate of HTTPS |
//! | [`runfile`] | `run.json`: which process listens where |
//! | [`error`] | what keeps a node from serving |
//!
//! The order is: descriptors, identity, sockets, store, tickets, edge, links to
//! other nodes, DHT, HTTP, cron, `run.json`.

pub mod configuration;
pub mod earnings;
pub mod error;
pub mod events;
pub mod health;
pub mod house;
pub mod https;
pub mod lag;
pub mod moved;
pub mod network;
pub mod power;
mod pressure;
pub mod program;
pub mod rates;
pub mod runfile;
pub mod services;
mod sockets;
pub mod statistics;
pub mod supervisor;
pub mod surroundings;
pub mod thrift;
pub mod token;
pub mod verdicts;
pub mod view;
pub mod watch;

pub use error::NodeError;
pub use program::run;

use crate::config::Loaded;
use crate::identity::Address;
use crate::platform::notify;
use crate::ticket::Balance;
use house::House;
use smol::Executor;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use supervisor::Supervisor;

/// How often services are asked for a sign of life: the tick of the house.
const TICK: Duration = Duration::from_secs(10);
/// The same while power or bytes are saved.
const TICK_SAVING: Duration = Duration::from_secs(60);

/// Which identity the node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityChoice {
    /// The key in this file, made when it is missing.
    File(PathBuf),
    /// One for this run only; nothing is written.
    Ephemeral,
}

/// A node as it was asked for.
#[derive(Clone, Debug)]
pub struct NodePlan {
    /// The settings, and where they came from.
    pub loaded: Loaded,
    /// Who the node is.
    pub identity: IdentityChoice,
}

/// A node that serves, in this process.
pub struct Node {
    house: Arc<House>,
    supervisor: Supervisor,
}

impl Node {
    /// Starts a node; its tasks run on `executor`. Call [`Node::watch`] to have
    /// services restarted that fail.
    ///
    /// # Errors
    /// What kept it from starting, with what to do.
    pub async fn start(
        plan: NodePlan,
        executor: &Arc<Executor<'static>>,
    ) -> Result<Node, NodeError> {
        let house = Arc::new(House::open(plan, executor)?);
        // systemd counts from the last word; half of its patience is customary.
        let patience = notify::watchdog_time().map(|time| time / 2);
        let every = patience.map_or(TICK, |time| time.min(TICK));
        // The half minute at which a long round ends may come that much later.
        let seldom = match patience {
            Some(time) if time < TICK_SAVING * 3 / 2 => time.min(Duration::from_secs(29)),
            _ => TICK_SAVING,
        };
        let all = services::all(&house);
        let supervisor =
            Supervisor::start(all, (every, seldom), executor, house.clock.clone()).await?;
        let _ = house.record.set(supervisor.record());
        Ok(Node { house, supervisor })
    }

    /// The node's address.
    #[must_use]
    pub fn id(&self) -> Address {
        self.house.node
    }

    /// Where it serves devices.
    #[must_use]
    pub fn edge(&self) -> &[SocketAddr] {
        &self.house.edge.places
    }

    /// Where it talks to other nodes, by TCP and UDP.
    #[must_use]
    pub fn peer(&self) -> &[SocketAddr] {
        &self.house.network.sockets.places
    }

    /// Where it answers HTTP.
    #[must_use]
    pub fn rpc(&self) -> &[SocketAddr] {
        &self.house.rpc.places
    }

    /// Where it answers HTTPS.
    #[must_use]
    pub fn rpcs(&self) -> &[SocketAddr] {
        &self.house.rpcs.places
    }

    /// Port payload bytes that came from devices since the start.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.house.board.bytes_in.load(Ordering::Relaxed)
    }

    /// How a connected device's account stands.
    #[must_use]
    pub fn account(&self, device: Address) -> Option<Balance> {
        self.house.book.get()?.balance(&device)
    }

    /// What the node is made of.
    #[must_use]
    pub fn house(&self) -> &Arc<House> {
        &self.house
    }

    /// Restarts services that fail; resolves when they fail too often. May be
    /// dropped at any time, then [`Node::stop`] is due.
    pub async fn watch(&mut self) -> NodeError {
        self.supervisor.watch(notify::watchdog).await
    }

    /// Stops all services in order: devices are told when to come back, what
    /// waits is committed. Takes two seconds at most, unless the disk hangs.
    pub async fn stop(&mut self) {
        self.house.ready.store(false, Ordering::Relaxed);
        self.supervisor.stop().await;
        let file = self.house.run_file.lock();
        drop(file.unwrap_or_else(PoisonError::into_inner).take());
    }
}
