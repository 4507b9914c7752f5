//! One node of the Kademlia network, without I/O.
//!
//! The shell hands in datagrams ([`Engine::receive`]), the time
//! ([`Engine::tick`], at [`Engine::due`] or earlier) and orders
//! ([`Engine::find_value`], [`Engine::find_node`], [`Engine::store`],
//! [`Engine::publish`]), and after each of them takes what is to be done
//! ([`Engine::next_action`]) until there is nothing left. The same seed and the
//! same calls give the same actions.
//!
//! | file | what it does |
//! | --- | --- |
//! | `receive` | a datagram: cheap checks first, then the signature, then to whom it belongs |
//! | `gate` | how often strangers may cost a signature check |
//! | `serve` | answers requests |
//! | `requests`, `cookies` | own requests: numbers, cookies, time-outs |
//! | `search`, `publish` | lookups and what they are for; own records |
//! | `upkeep`, `fill`, `lost` | joining, isolation, living contacts, buckets, healing |
//! | `reach`, `hours` | our outside address, whether strangers reach it, the time |
//! | `sync` | comparing records with other replicas |

mod cookies;
mod fill;
mod gate;
mod hours;
mod lost;
mod numbers;
mod publish;
mod reach;
mod receive;
mod requests;
mod search;
mod serve;
mod status;
mod sync;
mod types;
mod upkeep;

pub use reach::SeenAt;
pub use types::{Action, Config, Cost, Event, Known, Op, Outcome, Serve, Stats};

use super::cookie::Cookies;
use super::record::ValidRecord;
use super::rtt::NetworkEstimate;
use super::seal::{Seal, Wall};
use super::storage::{Kept, Storage, ToSave};
use super::subnet::is_private;
use super::table::Table;
use crate::identity::Address;
use crate::time::Moment;
use crate::wire::dht::Contact;
use gate::Bucket;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// Seeds that are remembered: an operator lists a few.
const SEEDS_MAX: usize = 64;
/// Nodes a bucket of a client: it looks up little, and each costs traffic. Half the
/// buckets of a network of 10,000 are full of eight, too.
const CLIENT_BUCKET: usize = 8;

/// See the module's top.
pub struct Engine {
    config: Config,
    seal: Box<dyn Seal>,
    id: Address,
    /// What the clock said last.
    wall: Wall,
    numbers: numbers::Numbers,
    /// Changes the order of equally dear candidates from one choice to the next.
    noise: u64,
    actions: VecDeque<Action>,
    stats: Stats,
    round_trips: status::RoundTrips,

    cookies: Cookies,
    gate: gate::Gate,
    /// Looks at addresses for others.
    looks: Bucket,
    /// Comparisons of records.
    comparing: Bucket,
    /// Who has asked last to compare records, and when.
    compared: Option<(SocketAddr, Moment)>,

    table: Table,
    storage: Storage,
    network: NetworkEstimate,
    strangers: cookies::Strangers,
    pending: Vec<requests::Pending>,
    searches: Vec<search::Search>,
    next_search: u64,
    next_op: u64,
    own: Vec<publish::Own>,
    reach: reach::Reach,
    hours: hours::Hours,

    standing: upkeep::Standing,
    seeds: Vec<(SocketAddr, Option<Address>)>,
    /// When anybody was heard last.
    heard: Moment,
    /// Requests since then that nobody answered.
    unheard: u32,
    next_join: Moment,
    join_wait: Duration,
    /// How long a contact may be quiet before it is asked whether it lives.
    patience: Duration,
    next_check: Moment,
    hurry_until: Moment,
    /// Contacts that missed a request, and when they are asked again.
    doubts: Vec<(Moment, Contact)>,
    next_refresh: Moment,
    refresh_wait: Duration,
    /// Buckets to be filled, by shared bits, the last one first.
    fills: Vec<u8>,
    /// Buckets that are being filled.
    filling: Vec<fill::Fill>,
    lost: Vec<lost::Lost>,
    next_lost: Moment,
    returns: Vec<Moment>,
    rejoin: Vec<Moment>,
    next_sync: Moment,
    /// Newcomers with whom records are compared, and when.
    plans: Vec<(Moment, Contact)>,
}

impl Engine {
    /// A node that knows nobody. `seed` must be secret outside tests: request
    /// numbers and cookies come from it.
    #[must_use]
    pub fn new(config: Config, seal: Box<dyn Seal>, seed: u64, now: Moment) -> Engine {
        let id = seal.address();
        let mut numbers = numbers::Numbers::new(b"numbers", seed);
        let bucket = match config.serve {
            Serve::No => CLIENT_BUCKET.min(config.k),
            _ => config.k,
        };
        let wall = Wall {
            unix: 0,
            trusted: false,
        };
        Engine {
            id,
            wall,
            noise: numbers.next(),
            actions: VecDeque::new(),
            stats: Stats::default(),
            round_trips: status::RoundTrips::default(),
            cookies: Cookies::new(&seed.to_be_bytes()),
            gate: gate::Gate::new(now),
            looks: Bucket::full(serve::LOOK_BURST, now),
            comparing: Bucket::full(sync::SYNC_BURST, now),
            compared: None,
            table: Table::new(id, bucket),
            storage: Storage::new(id, config.quota_bytes),
            network: NetworkEstimate::default(),
            strangers: cookies::Strangers::default(),
            pending: Vec::new(),
            searches: Vec::new(),
            next_search: 0,
            next_op: 0,
            own: Vec::new(),
            reach: reach::Reach::new(config.outside, config.interfaces.clone(), now),
            hours: hours::Hours::default(),
            standing: upkeep::Standing::Apart,
            seeds: Vec::new(),
            heard: now,
            unheard: 0,
            next_join: now,
            join_wait: upkeep::JOIN_WAIT_MIN,
            patience: upkeep::PATIENCE_FIRST,
            next_check: now,
            hurry_until: now,
            doubts: Vec::new(),
            next_refresh: now,
            refresh_wait: Duration::ZERO,
            fills: Vec::new(),
            filling: Vec::new(),
            lost: Vec::new(),
            next_lost: now,
            returns: Vec::new(),
            rejoin: Vec::new(),
            next_sync: now + numbers.about(config.sync),
            plans: Vec::new(),
            numbers,
            seal,
            config,
        }
    }

    /// This node's id.
    #[must_use]
    pub fn id(&self) -> Address {
        self.id
    }

    /// A place to ask when nobody else answers; with an address only that node
    /// is accepted there. At most 64.
    pub fn add_seed(&mut self, now: Moment, at: SocketAddr, id: Option<Address>) {
        let at = SocketAddr::new(at.ip().to_canonical(), at.port());
        let known = self.seeds.iter().any(|(other, _)| *other == at);
        if !known && self.seeds.len() < SEEDS_MAX && id != Some(self.id) {
            self.seeds.push((at, id));
            self.next_join = self.next_join.min(now);
        }
    }

    /// Puts these seeds in place of those before. New ones are asked at once: they may
    /// lead to nodes that this one does not know.
    pub fn set_seeds(&mut self, now: Moment, seeds: &[(SocketAddr, Option<Address>)]) {
        let before = std::mem::take(&mut self.seeds);
        let next_join = self.next_join;
        for (at, id) in seeds {
            self.add_seed(now, *at, *id);
        }
        let new: Vec<_> = self
            .seeds
            .iter()
            .filter(|s| !before.contains(s))
            .copied()
            .collect();
        if new.is_empty() {
            self.next_join = next_join;
        } else if self.is_joined() {
            for (at, id) in new {
                let id = id.unwrap_or_default();
                self.ping(now, Contact { id, at }, requests::Why::Seek);
            }
        }
    }

    /// A node remembered from an earlier run, the best first. It is asked before it
    /// counts.
    pub fn add_known(&mut self, now: Moment, known: Known) {
        if known.contact.id != self.id {
            self.remember_known(now, &known);
            self.next_join = self.next_join.min(now);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Moment, wall: Wall) {
        self.wall = wall;
        self.look_at_requests(now);
        self.drive_blocked(now);
        self.upkeep(now);
        self.look_for_lost(now);
        self.republish(now);
        self.compare_records(now);
        self.look_outside(now);
        if self.storage.due().is_some_and(|at| at <= now) {
            self.storage.expire(now, wall);
        }
    }

    /// When [`Engine::tick`] wants to be called. Calls of anything else may change it.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        let outside = self.look_due();
        let parts = [
            self.requests_due(),
            self.upkeep_due(),
            self.lost_due(),
            self.own_due(),
            self.sync_due(),
            outside,
            self.storage.due(),
        ];
        parts.into_iter().flatten().min()
    }

    /// What is to be done next.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn event(&mut self, event: Event) {
        self.actions.push_back(Action::Event(event));
    }

    fn begin(&mut self) -> Op {
        self.next_op += 1;
        Op(self.next_op)
    }

    /// Searches the records of `key`; ends with the first answer that is enough.
    pub fn find_value(&mut self, now: Moment, key: Address) -> Op {
        let op = self.begin();
        self.search(now, Some(op), key, search::Purpose::Value);
        op
    }

    /// Like [`Engine::find_value`], but takes the newest that half of the replica set
    /// has: for callers whom the quick answer has misled.
    pub fn find_newest(&mut self, now: Moment, key: Address) -> Op {
        let op = self.begin();
        self.search(now, Some(op), key, search::Purpose::Newest);
        op
    }

    /// Searches the k nodes closest to `target`.
    pub fn find_node(&mut self, now: Moment, target: Address) -> Op {
        let op = self.begin();
        self.search(now, Some(op), target, search::Purpose::Nodes);
        op
    }

    /// Gives an operation up: no outcome will come of it.
    pub fn cancel(&mut self, op: Op) {
        self.drop_search(op);
        self.actions
            .retain(|a| !matches!(a, Action::Done { op: other, .. } if *other == op));
    }

    /// Valid records of `key` that are stored here, without a search.
    #[must_use]
    pub fn stored(&self, now: Moment, wall: Wall, key: Address) -> Vec<ValidRecord> {
        let found = self.storage.get(now, wall, &key);
        found.into_iter().cloned().collect()
    }

    /// What is to be written of what is kept for others; see [`Storage::to_save`].
    pub fn to_save(&mut self, now: Moment, wall: Wall, ending: bool) -> ToSave {
        self.storage.to_save(now, wall, ending)
    }

    /// Takes back what an earlier run has kept; see [`Storage::restore`].
    pub fn restore(&mut self, now: Moment, wall: Wall, kept: Kept) -> bool {
        self.storage.restore(now, wall, kept)
    }

    /// Whether private addresses are exempt from limits a subnet.
    fn exempt(&self) -> bool {
        let inside = self.reach.outside().is_none_or(|at| is_private(at.ip()));
        self.config.exempt_private && inside
    }
}
