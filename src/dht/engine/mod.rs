//! One node of the Kademlia network, without I/O.
//!
//! The shell hands in datagrams ([`Engine::receive`]), the time
//! ([`Engine::tick`], at [`Engine::due`] or earlier) and orders
//! ([`Engine::find_value`], [`Engine::find_node`], [`Engine::store`],
//! [`Engine::publish`]), and after each of them takes what is to be done
//! ([`Engine::next_action`]) until there is nothing left. The same seed and the
//! same calls give the same actions.

mod types;

pub use types::{Action, Config, Cost, Event, Known, Op, Outcome, Serve, Stats};

use crate::dht::record::ValidRecord;
use crate::dht::seal::{Seal, Wall};
use crate::identity::Address;
use crate::time::Moment;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// See the module's top.
pub struct Engine {
    config: Config,
    seal: Box<dyn Seal>,
    actions: VecDeque<Action>,
    own: Vec<ValidRecord>,
    next_op: u64,
}

impl Engine {
    /// A node that knows nobody. `seed` must be secret outside tests: request
    /// numbers and cookies come from it.
    pub fn new(config: Config, seal: Box<dyn Seal>, seed: u64, now: Moment) -> Engine {
        let _ = (seed, now);
        Engine {
            config,
            seal,
            actions: VecDeque::new(),
            own: Vec::new(),
            next_op: 0,
        }
    }

    /// This node's id.
    pub fn id(&self) -> Address {
        self.seal.address()
    }

    /// A place to ask when nobody else answers; with an address only that node
    /// is accepted there.
    pub fn add_seed(&mut self, now: Moment, at: SocketAddr, id: Option<Address>) {
        let _ = (now, at, id);
    }

    /// A node remembered from an earlier run. It is asked before it counts.
    pub fn add_known(&mut self, now: Moment, known: Known) {
        let _ = (now, known);
    }

    /// A datagram has arrived.
    pub fn receive(&mut self, now: Moment, wall: Wall, from: SocketAddr, datagram: &[u8]) {
        let _ = (now, wall, from, datagram);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Moment, wall: Wall) {
        let _ = (now, wall);
    }

    /// When [`Engine::tick`] wants to be called.
    pub fn due(&self) -> Option<Moment> {
        None
    }

    /// What is to be done next.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn begin(&mut self) -> Op {
        self.next_op += 1;
        let op = Op(self.next_op);
        self.actions.push_back(Action::Done {
            op,
            outcome: Outcome::Failed,
        });
        op
    }

    /// Searches the records of `key`; ends with the first answer that is enough.
    pub fn find_value(&mut self, now: Moment, key: Address) -> Op {
        let _ = (now, key);
        self.begin()
    }

    /// Like [`Engine::find_value`], but asks the whole replica set and takes the
    /// newest of all answers: for callers whom the quick answer has misled.
    pub fn find_newest(&mut self, now: Moment, key: Address) -> Op {
        let _ = (now, key);
        self.begin()
    }

    /// Searches the k nodes closest to `target`.
    pub fn find_node(&mut self, now: Moment, target: Address) -> Op {
        let _ = (now, target);
        self.begin()
    }

    /// Stores a record at the k nodes closest to its key, once.
    pub fn store(&mut self, now: Moment, wall: Wall, record: ValidRecord) -> Op {
        let _ = (now, wall, record);
        self.begin()
    }

    /// [`Engine::store`], and again every [`Config::republish`] until it is
    /// withdrawn, has run out, or is replaced by a newer record of the same subject
    /// and author.
    pub fn publish(&mut self, now: Moment, wall: Wall, record: ValidRecord) -> Op {
        self.own.push(record.clone());
        self.store(now, wall, record)
    }

    /// Republishes nothing of `key` any more; how many records that were. What
    /// others have of it runs out.
    pub fn withdraw(&mut self, key: Address) -> usize {
        let _ = key;
        std::mem::take(&mut self.own).len()
    }

    /// Gives an operation up: no outcome will come of it.
    pub fn cancel(&mut self, op: Op) {
        self.actions
            .retain(|a| !matches!(a, Action::Done { op: other, .. } if *other == op));
    }

    /// Records that this node republishes.
    pub fn own_records(&self) -> impl Iterator<Item = &ValidRecord> {
        self.own.iter()
    }

    /// Valid records of `key` that are stored here, without a search.
    pub fn stored(&self, wall: Wall, key: Address) -> Vec<ValidRecord> {
        let _ = (wall, key);
        Vec::new()
    }

    /// Nodes worth remembering, the best first; at most `most`.
    pub fn contacts(&self, now: Moment, wall: Wall, most: usize) -> Vec<Known> {
        let _ = (now, wall, most);
        Vec::new()
    }

    /// Whether others may put this node into their tables at the moment.
    pub fn serving(&self) -> bool {
        self.config.serve == Serve::Yes
    }

    /// Whether strangers can reach this node; none: not known yet.
    pub fn reachable(&self) -> Option<bool> {
        None
    }

    /// Where others see this node.
    pub fn outside(&self) -> Option<SocketAddr> {
        self.config.outside
    }

    /// A setting has changed.
    pub fn set_serve(&mut self, now: Moment, serve: Serve) {
        let _ = now;
        self.config.serve = serve;
    }

    /// The machine's interfaces have changed.
    pub fn set_interfaces(&mut self, now: Moment, interfaces: Vec<IpAddr>) {
        let _ = now;
        self.config.interfaces = interfaces;
    }

    /// Median of the unix times of at least five authenticated nodes of different
    /// subnets, brought forward to `now`.
    pub fn network_time(&self, now: Moment) -> Option<u64> {
        let _ = now;
        None
    }

    /// Figures since the beginning.
    pub fn stats(&self, now: Moment) -> Stats {
        let _ = now;
        Stats::default()
    }

    /// The device slept or its network has changed: everybody is asked again.
    pub fn wake(&mut self, now: Moment) {
        let _ = now;
    }
}
