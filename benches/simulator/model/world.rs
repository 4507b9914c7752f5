//! The machines and the network between them, in virtual time.
//!
//! A scenario makes a [`World`], plans moments of its own ([`World::plan`]) and
//! lets time pass ([`World::run`]), which comes back at each planned moment.
//! Operations carry a tag of the scenario's; when one is over it is in
//! [`World::done`]. One seed, one run: the order of events is total, and all
//! randomness comes from the seed.

use super::liar::Liars;
use super::machine::{Clock, Machine, Role};
use super::net::queue::{Event, Flight, Queue};
use super::net::Net;
use chr_node::dht::Event as Told;
use chr_node::dht::{Action, Config, Engine, Known, Op, Outcome, ValidRecord};
use chr_node::identity::Address;
use chr_node::time::Moment;
use chr_node::wire::dht::Contact;
use fastrand::Rng;
use std::collections::HashMap;
use std::time::Duration;

/// How many machines are everybody's seeds.
const SEEDS: usize = 5;

/// An operation that is over.
pub struct Done {
    pub machine: usize,
    pub tag: u64,
    pub outcome: Outcome,
    pub took: Duration,
    /// FIND_NODE and FIND_VALUE datagrams that the machine sent meanwhile, by count on the line.
    pub asked: u64,
}

struct Running {
    tag: u64,
    since: Moment,
    asked: u64,
}

/// See the module's top.
pub struct World {
    pub now: Moment,
    pub net: Net,
    pub machines: Vec<Machine>,
    pub config: Config,
    pub rng: Rng,
    pub done: Vec<Done>,
    /// Events handled, for the speed of the simulation.
    pub events: u64,
    pub liars: Liars,
    seeds: Vec<usize>,
    queue: Queue,
    running: HashMap<(usize, Op), Running>,
    /// Numbers of the plans that are made.
    plans: u32,
}

impl World {
    pub fn new(seed: u64, loss: f64) -> World {
        World {
            now: Moment(0),
            net: Net::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 1, loss),
            machines: Vec::new(),
            config: Config::default(),
            rng: Rng::with_seed(seed),
            done: Vec::new(),
            events: 0,
            liars: Liars::default(),
            seeds: Vec::new(),
            queue: Queue::default(),
            running: HashMap::new(),
            plans: 0,
        }
    }

    pub fn random_id(&mut self) -> Address {
        let mut id = [0; 20];
        self.rng.fill(&mut id);
        Address(id)
    }

    /// A machine with a public address, switched off. The first few are everybody's seeds.
    pub fn add_public(&mut self, role: Role) -> usize {
        let number = self.net.add_public();
        let id = self.random_id();
        self.machines.push(Machine::new(id, role));
        if self.seeds.len() < SEEDS && role == Role::Node {
            self.seeds.push(number);
        }
        number
    }

    /// A machine behind a router, switched off.
    pub fn add_behind_nat(&mut self, role: Role) -> usize {
        let id = self.random_id();
        self.machines.push(Machine::new(id, role));
        self.net.add_behind_nat()
    }

    /// Machines with the given ids in a few networks of size /24, switched off.
    pub fn add_rented(&mut self, networks: usize, ids: &[Address], role: Role) -> Vec<usize> {
        for id in ids {
            self.machines.push(Machine::new(*id, role));
        }
        self.net.add_rented(networks, ids.len())
    }

    pub fn is_seed(&self, machine: usize) -> bool {
        self.seeds.contains(&machine)
    }

    pub fn contact(&self, machine: usize) -> Contact {
        Contact {
            id: self.machines[machine].id(),
            at: self.net.inside(machine),
        }
    }

    /// Switches a machine on. It knows the seeds and what it remembers.
    pub fn start(&mut self, machine: usize) {
        let (now, inside) = (self.now, self.net.inside(machine));
        let seed = self.rng.u64(..);
        self.machines[machine].start(now, self.config.clone(), inside, seed);
        for index in 0..self.seeds.len() {
            let seed = self.seeds[index];
            if seed != machine {
                let at = self.net.inside(seed);
                self.with(machine, |engine, now| engine.add_seed(now, at, None));
            }
        }
        self.net.plug(machine, true);
        self.tick(machine);
    }

    /// Switches a machine off, without a word to anybody.
    pub fn stop(&mut self, machine: usize) {
        self.machines[machine].stop(self.now);
        self.net.plug(machine, false);
        self.running.retain(|(of, _), _| *of != machine);
    }

    /// A machine is suspended: no timer of its fires, and nothing reaches it.
    pub fn suspend(&mut self, machine: usize) {
        self.machines[machine].asleep = true;
        self.net.plug(machine, false);
    }

    /// It wakes up.
    pub fn resume(&mut self, machine: usize) {
        self.machines[machine].asleep = false;
        self.net.plug(machine, true);
        // As the program has it when it notices.
        self.with(machine, |engine, now| engine.wake(now));
        self.tick(machine);
    }

    /// Calls the scenario's attention at a moment.
    pub fn plan(&mut self, at: Moment) -> u32 {
        self.plans += 1;
        self.queue.plan(at, self.plans);
        self.plans
    }

    /// Lets time pass until the next planned moment, whose number comes back, or until `end`.
    pub fn run(&mut self, end: Moment) -> Option<u32> {
        while let Some((at, event)) = self.queue.pop(end) {
            self.now = at;
            self.events += 1;
            match event {
                Event::Arrival(flight) => self.arrive(flight),
                Event::Timer(machine) => {
                    if self.machines[machine].timer == Some(at) {
                        self.machines[machine].timer = None;
                        if !self.machines[machine].asleep {
                            self.tick(machine);
                        }
                    }
                }
                Event::Plan(number) => return Some(number),
            }
        }
        self.now = end;
        None
    }

    /// Lets time pass, in a scenario that has planned nothing.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.run(end).is_some() {}
    }

    fn arrive(&mut self, flight: Flight) {
        let machine = flight.receiver;
        if !self.net.admits(self.now, &flight) || !self.machines[machine].is_up() {
            return;
        }
        self.machines[machine].count_in(&flight.bytes);
        if self.machines[machine].role == Role::Liar {
            let seal = self.machines[machine].seal;
            if let Some(lie) = self.liars.answer(&seal, flight.from, &flight.bytes) {
                self.send(machine, flight.from, lie);
                return;
            }
        }
        let wall = self.machines[machine].wall(self.now);
        self.with(machine, |engine, now| {
            engine.receive(now, wall, flight.from, &flight.bytes);
        });
        self.drain(machine);
    }

    fn tick(&mut self, machine: usize) {
        let wall = self.machines[machine].wall(self.now);
        self.with(machine, |engine, now| engine.tick(now, wall));
        self.drain(machine);
    }

    /// How many nodes a machine has in its table.
    pub fn table(&self, machine: usize) -> usize {
        let engine = self.machines[machine].engine.as_ref();
        engine.map_or(0, |engine| engine.stats().nodes)
    }

    /// Something with the engine of a machine that is on.
    fn with<T>(
        &mut self,
        machine: usize,
        what: impl FnOnce(&mut Engine, Moment) -> T,
    ) -> Option<T> {
        let now = self.now;
        self.machines[machine].engine.as_mut().map(|e| what(e, now))
    }

    fn send(&mut self, machine: usize, to: std::net::SocketAddr, bytes: Vec<u8>) {
        self.machines[machine].count_out(&bytes);
        self.net.send(self.now, machine, to, bytes, &mut self.queue);
    }

    /// Does what the engine wants done.
    fn drain(&mut self, machine: usize) {
        while let Some(action) = self.machines[machine]
            .engine
            .as_mut()
            .and_then(Engine::next_action)
        {
            match action {
                Action::Send { to, bytes } => self.send(machine, to, bytes),
                Action::Done { op, outcome } => self.finish(machine, op, outcome),
                Action::Event(Told::Joined { .. }) => {
                    let now = self.now;
                    self.machines[machine].joined.get_or_insert(now);
                }
                Action::Event(_) => {}
            }
        }
        let due = self.machines[machine].engine.as_ref().and_then(Engine::due);
        let Some(due) = due else { return };
        let due = due.max(self.now);
        if self.machines[machine].timer.is_none_or(|timer| due < timer) {
            self.machines[machine].timer = Some(due);
            self.queue.timer(due, machine);
        }
    }

    fn finish(&mut self, machine: usize, op: Op, outcome: Outcome) {
        if let Some(running) = self.running.remove(&(machine, op)) {
            self.done.push(Done {
                machine,
                tag: running.tag,
                outcome,
                took: self.now.since(running.since),
                asked: self.machines[machine].traffic.asked - running.asked,
            });
        }
    }

    /// Starts an operation at a machine, if it is on.
    fn begin(
        &mut self,
        machine: usize,
        tag: u64,
        what: impl FnOnce(&mut Engine, Moment, chr_node::dht::Wall) -> Op,
    ) -> bool {
        let wall = self.machines[machine].wall(self.now);
        let asked = self.machines[machine].traffic.asked;
        let since = self.now;
        let Some(op) = self.with(machine, |engine, now| what(engine, now, wall)) else {
            return false;
        };
        self.running
            .insert((machine, op), Running { tag, since, asked });
        self.drain(machine);
        true
    }

    pub fn find_value(&mut self, machine: usize, key: Address, tag: u64) -> bool {
        self.begin(machine, tag, |engine, now, _| engine.find_value(now, key))
    }

    pub fn find_newest(&mut self, machine: usize, key: Address, tag: u64) -> bool {
        self.begin(machine, tag, |engine, now, _| engine.find_newest(now, key))
    }

    pub fn find_node(&mut self, machine: usize, target: Address, tag: u64) -> bool {
        self.begin(machine, tag, |engine, now, _| engine.find_node(now, target))
    }

    pub fn store(&mut self, machine: usize, record: ValidRecord, tag: u64) -> bool {
        self.begin(machine, tag, |engine, now, wall| {
            engine.store(now, wall, record)
        })
    }

    pub fn publish(&mut self, machine: usize, record: ValidRecord, tag: u64) -> bool {
        self.begin(machine, tag, |engine, now, wall| {
            engine.publish(now, wall, record)
        })
    }

    /// A machine gets to know another without asking anybody.
    pub fn introduce(&mut self, machine: usize, known: Known) {
        self.with(machine, |engine, now| engine.add_known(now, known));
    }

    pub fn set_clock(&mut self, machine: usize, clock: Clock) {
        self.machines[machine].clock = clock;
    }

    /// Operations that are over since the last call.
    pub fn take_done(&mut self) -> Vec<Done> {
        std::mem::take(&mut self.done)
    }
}
