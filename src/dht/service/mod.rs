//! The UDP service: sockets, timers and a task around the [`Engine`].
//!
//! One task receives, ticks and carries out what the engine says; whoever asks
//! something does so by a [`Handle`], on his own task: the engine is behind a
//! lock that is held for one call at a time, and a datagram that the kernel does
//! not take is lost like any other.
//!
//! | file | what |
//! | --- | --- |
//! | `turn.rs` | the task: when it receives, ticks and rests |
//! | `pace.rs` | how much of the thread it may take, without I/O |

mod pace;
mod turn;

pub use turn::run;

use super::{
    Action, Config, Engine, Event, Kept, Known, Op, Outcome, Seal, SeenAt, Serve, Stats, ToSave,
    ValidRecord, Wall,
};
use crate::identity::Address;
use crate::platform::udp::Datagrams;
use crate::sorted::Map;
use crate::task::channel::{bounded, unbounded, Receiver, Sender};
use crate::time::{Clock, Moment};
use async_io::Async;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the service is made of.
pub struct Options {
    /// How the engine behaves.
    pub engine: Config,
    /// Nodes remembered from an earlier run.
    pub known: Vec<Known>,
    /// One socket for each address that this node is bound to.
    pub sockets: Vec<Datagrams>,
    /// The node's key.
    pub seal: Box<dyn Seal>,
    /// The node's clock.
    pub clock: Arc<dyn Clock>,
}

/// The node's hold on the DHT; clones share it. Without [`run`] nothing is
/// received.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    core: Mutex<Core>,
    sockets: Vec<Async<Datagrams>>,
    clock: Arc<dyn Clock>,
    /// Something was asked: the task's timer may be too late.
    asked: (Sender<()>, Receiver<()>),
    /// Taken by one reader, as they come: each needs an authenticated answer.
    events: (Sender<Event>, Receiver<Event>),
}

struct Core {
    engine: Engine,
    /// Who waits for which operation.
    waiting: Map<Op, Sender<Outcome>>,
    /// Who sent the datagram at hand, and at which of our addresses it came.
    arrival: Option<(SocketAddr, IpAddr)>,
    /// Datagrams that the system did not take.
    unsent: u64,
    closed: bool,
}

/// What can be asked of the engine.
enum Order {
    FindValue(Address),
    FindNewest(Address),
    FindNode(Address),
    Store(ValidRecord),
    Publish(ValidRecord),
}

/// An operation that somebody waits for; given up when it is dropped.
struct Waiting<'a> {
    shared: &'a Shared,
    op: Op,
    over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.over {
            let mut core = self.shared.lock();
            core.waiting.remove(&self.op);
            core.engine.cancel(self.op);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wall(&self) -> Wall {
        Wall::of(&*self.clock)
    }

    /// Does what the engine says.
    fn carry_out(&self, core: &mut Core) {
        while let Some(action) = core.engine.next_action() {
            match action {
                Action::Send { to, bytes } => {
                    let asked_at = core.arrival.filter(|(from, _)| *from == to);
                    let at = asked_at.map(|(_, at)| at);
                    if let Err(e) = self.send(to, &bytes, at) {
                        core.unsent = core.unsent.saturating_add(1);
                        log::debug!("a datagram to {to} was not sent: {e}");
                    }
                }
                Action::Done { op, outcome } => {
                    if let Some(waiting) = core.waiting.remove(&op) {
                        // It may have gone just now.
                        let _ = waiting.try_send(outcome);
                    }
                }
                Action::Event(event) => {
                    let _ = self.events.0.try_send(event);
                }
            }
        }
    }

    fn send(&self, to: SocketAddr, bytes: &[u8], at: Option<IpAddr>) -> io::Result<()> {
        let mut sockets = self.sockets.iter().map(Async::get_ref);
        let fits = |socket: &&Datagrams| {
            let ours = socket.place().ip();
            ours.is_ipv4() == to.is_ipv4() && ours.is_loopback() == to.ip().is_loopback()
        };
        // Of several the one that can reach it; bound to all addresses there is one a family.
        let socket = sockets.clone().find(fits);
        let family = |socket: &&Datagrams| socket.place().is_ipv4() == to.is_ipv4();
        let socket = socket.or_else(|| sockets.find(family));
        let socket = socket.ok_or(io::ErrorKind::AddrNotAvailable)?;
        socket.send(bytes, to, at)
    }

    /// One call of the engine, and what follows from it.
    fn with<T>(&self, call: impl FnOnce(&mut Engine, Moment, Wall) -> T) -> T {
        let mut core = self.lock();
        let result = call(&mut core.engine, self.clock.now(), self.wall());
        self.carry_out(&mut core);
        result
    }

    fn begin(&self, order: Order) -> Option<(Op, Receiver<Outcome>)> {
        let (now, wall) = (self.clock.now(), self.wall());
        let mut core = self.lock();
        if core.closed {
            return None;
        }
        let engine = &mut core.engine;
        let op = match order {
            Order::FindValue(key) => engine.find_value(now, key),
            Order::FindNewest(key) => engine.find_newest(now, key),
            Order::FindNode(target) => engine.find_node(now, target),
            Order::Store(record) => engine.store(now, wall, record),
            Order::Publish(record) => engine.publish(now, wall, record),
        };
        let (tell, told) = bounded(1);
        core.waiting.insert(op, tell);
        self.carry_out(&mut core);
        drop(core);
        self.wake();
        Some((op, told))
    }

    fn wake(&self) {
        // A question that was not taken yet is enough.
        let _ = self.asked.0.try_send(());
    }
}

impl Handle {
    /// Sets everything up; nobody is asked before [`run`].
    ///
    /// # Errors
    /// No descriptors are left, or the system has no randomness.
    pub fn open(options: Options) -> io::Result<Handle> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let now = options.clock.now();
        let seed = u64::from_be_bytes(seed);
        let mut engine = Engine::new(options.engine, options.seal, seed, now);
        for known in options.known {
            engine.add_known(now, known);
        }
        let sockets = options.sockets.into_iter().map(Async::new);
        Ok(Handle(Arc::new(Shared {
            core: Mutex::new(Core {
                engine,
                waiting: Map::new(),
                arrival: None,
                unsent: 0,
                closed: false,
            }),
            sockets: sockets.collect::<io::Result<_>>()?,
            clock: options.clock,
            asked: bounded(1),
            events: unbounded(),
        })))
    }

    async fn ask(&self, order: Order) -> Outcome {
        let Some((op, told)) = self.0.begin(order) else {
            return Outcome::Failed;
        };
        let mut waiting = Waiting {
            shared: &self.0,
            op,
            over: false,
        };
        let outcome = told.recv().await;
        waiting.over = true;
        // The service was closed.
        outcome.unwrap_or(Outcome::Failed)
    }

    /// Searches the records of `key`; see [`Engine::find_value`].
    pub async fn find_value(&self, key: Address) -> Outcome {
        self.ask(Order::FindValue(key)).await
    }

    /// Searches the newest records of `key`; see [`Engine::find_newest`].
    pub async fn find_newest(&self, key: Address) -> Outcome {
        self.ask(Order::FindNewest(key)).await
    }

    /// Searches the nodes closest to `target`.
    pub async fn find_node(&self, target: Address) -> Outcome {
        self.ask(Order::FindNode(target)).await
    }

    /// Stores a record at the nodes closest to its key, once.
    pub async fn store(&self, record: ValidRecord) -> Outcome {
        self.ask(Order::Store(record)).await
    }

    /// Stores a record and keeps it stored; see [`Engine::publish`].
    pub async fn publish(&self, record: ValidRecord) -> Outcome {
        self.ask(Order::Publish(record)).await
    }

    /// The places to ask when nobody else answers, in place of those before.
    pub fn set_seeds(&self, seeds: &[(SocketAddr, Option<Address>)]) {
        self.0.with(|engine, now, _| engine.set_seeds(now, seeds));
        self.0.wake();
    }

    /// Valid records of `key` that this node keeps itself.
    #[must_use]
    pub fn stored(&self, key: Address) -> Vec<ValidRecord> {
        let (now, wall) = (self.0.clock.now(), self.0.wall());
        self.0.lock().engine.stored(now, wall, key)
    }

    /// What is to be written of what is kept for others; see
    /// [`super::Storage::to_save`].
    #[must_use]
    pub fn to_save(&self, ending: bool) -> ToSave {
        let (now, wall) = (self.0.clock.now(), self.0.wall());
        self.0.lock().engine.to_save(now, wall, ending)
    }

    /// Takes back what an earlier run has kept, each unless there is something
    /// newer; which of them are kept.
    pub fn restore(&self, rows: Vec<Kept>) -> Vec<bool> {
        let (now, wall) = (self.0.clock.now(), self.0.wall());
        let mut core = self.0.lock();
        let rows = rows.into_iter();
        let kept = rows
            .map(|row| core.engine.restore(now, wall, row))
            .collect();
        drop(core);
        self.0.wake();
        kept
    }

    /// What the service knows of the time of day.
    #[must_use]
    pub fn wall(&self) -> Wall {
        self.0.wall()
    }

    /// Nodes worth remembering, the best first.
    #[must_use]
    pub fn contacts(&self, most: usize) -> Vec<Known> {
        let (now, wall) = (self.0.clock.now(), self.0.wall());
        self.0.lock().engine.contacts(now, wall, most)
    }

    /// Figures since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.lock().engine.stats()
    }

    /// Datagrams that the system did not take.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.0.lock().unsent
    }

    /// The median of other nodes' clocks, in unix seconds; see
    /// [`Engine::network_time`].
    #[must_use]
    pub fn network_time(&self) -> Option<u64> {
        let now = self.0.clock.now();
        self.0.lock().engine.network_time(now)
    }

    /// Where others see this node.
    #[must_use]
    pub fn outside(&self) -> Option<SocketAddr> {
        self.0.lock().engine.outside()
    }

    /// Whether others may put this node into their tables now.
    #[must_use]
    pub fn serving(&self) -> bool {
        self.0.lock().engine.serving()
    }

    /// Whether strangers can reach this node; `None`: not known yet.
    #[must_use]
    pub fn reachable(&self) -> Option<bool> {
        self.0.lock().engine.reachable()
    }

    /// The setting `network.serve` has changed.
    pub fn set_serve(&self, serve: Serve) {
        self.0.with(|engine, now, _| engine.set_serve(now, serve));
        self.0.wake();
    }

    /// The addresses of the machine, read anew.
    pub fn set_interfaces(&self, interfaces: Vec<IpAddr>) {
        self.0
            .with(|engine, now, _| engine.set_interfaces(now, interfaces));
        self.0.wake();
    }

    /// The routers say where the peer port leads from outside, by IPv4 and by IPv6;
    /// none: it does not any more.
    pub fn set_mapped(&self, mapped: [Option<SocketAddr>; 2]) {
        self.0.with(|engine, now, _| engine.set_mapped(now, mapped));
        self.0.wake();
    }

    /// Where others see this node, by IPv4 and by IPv6.
    #[must_use]
    pub fn places(&self) -> [Option<SeenAt>; 2] {
        self.0.lock().engine.places()
    }

    /// The device has slept, or its network is another: everybody is asked again.
    pub fn woken(&self) {
        self.0.with(|engine, now, _| engine.wake(now));
        self.0.wake();
    }

    /// The next thing that others may want to know; for one reader. Pending for
    /// ever once the service is closed.
    pub async fn next_event(&self) -> Event {
        match self.0.events.1.recv().await {
            Ok(event) => event,
            Err(_) => std::future::pending().await,
        }
    }

    /// Nothing is asked any more; who waits is told that it failed.
    pub fn close(&self) {
        let mut core = self.0.lock();
        core.closed = true;
        core.waiting = Map::new();
    }
}

#[cfg(test)]
mod tests;
