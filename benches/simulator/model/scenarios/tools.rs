//! What several scenarios do.

use crate::model::device::{self, Device};
use crate::model::machine::Role;
use crate::model::population;
use crate::model::report::{Report, Target};
use crate::model::stats::{mean, percentile};
use crate::model::world::{Done, World};
use chr_node::dht::Outcome;
use chr_node::identity::Address;
use std::time::Duration;

/// Tag of operations whose end nobody waits for.
pub const NOBODY: u64 = u64::MAX;

/// Machines that are on and honest.
pub fn honest(world: &World) -> Vec<usize> {
    let all = 0..world.machines.len();
    all.filter(|n| world.machines[*n].is_up() && world.machines[*n].role != Role::Liar)
        .collect()
}

/// Those of them that serve: a device can connect to them.
pub fn serving(world: &World) -> Vec<usize> {
    let mut found = honest(world);
    found.retain(|n| world.machines[*n].serves());
    found
}

pub fn choose(world: &mut World, from: &[usize]) -> usize {
    from[world.rng.usize(..from.len())]
}

/// New devices, each at `nodes` serving machines, and their presences
/// published within `time`; the share of the k closest that took each, in the mean.
pub fn settle_devices(
    world: &mut World,
    count: usize,
    nodes: usize,
    time: Duration,
) -> (Vec<Device>, f64) {
    let places = serving(world);
    let mut devices = Vec::with_capacity(count);
    let end = world.now + time;
    let mut taken = Vec::new();
    for tag in 0..count {
        world.pass(time / count as u32);
        let mut device = Device::new(world.random_id());
        while device.nodes.len() < nodes {
            let place = choose(world, &places);
            if !device.nodes.contains(&place) {
                let now = world.now;
                device.attach(place, &mut world.machines[place], now);
                device::publish(world, &device, place, tag as u64);
            }
        }
        devices.push(device);
    }
    let rest = end.since(world.now) + Duration::from_secs(30);
    world.pass(rest);
    for done in world.take_done() {
        if let Outcome::Stored { at, .. } = done.outcome {
            taken.push(at as f64 / world.config.k as f64);
        } else {
            taken.push(0.0);
        }
    }
    (devices, mean(&taken))
}

/// What lookups came to.
#[derive(Default)]
pub struct Lookups {
    pub begun: usize,
    pub ended: usize,
    pub good: usize,
    pub rounds: Vec<f64>,
    pub requests: Vec<f64>,
    /// Without challenges.
    pub hops: Vec<f64>,
    pub unchallenged: Vec<f64>,
    /// By count on the line.
    pub asked: Vec<f64>,
    /// Seconds, of those that were good.
    pub took: Vec<f64>,
}

impl Lookups {
    /// A lookup that is over, and whether it found what it should.
    pub fn count(&mut self, done: &Done, good: bool) {
        self.ended += 1;
        let cost = match &done.outcome {
            Outcome::Found { cost, .. }
            | Outcome::Missing { cost, .. }
            | Outcome::Nodes { cost, .. }
            | Outcome::Stored { cost, .. } => *cost,
            _ => return,
        };
        self.rounds.push(f64::from(cost.rounds));
        self.requests.push(f64::from(cost.requests));
        self.hops.push(f64::from(cost.hops));
        self.unchallenged
            .push(f64::from(cost.requests - cost.challenged));
        self.asked.push(done.asked as f64);
        if good {
            self.good += 1;
            self.took.push(done.took.as_secs_f64());
        }
    }

    /// Share of those begun.
    pub fn share(&self) -> f64 {
        self.good as f64 / self.begun as f64
    }

    /// Times in round trips of the network.
    pub fn trips(&self, world: &World, share: f64) -> f64 {
        percentile(&self.took, share) / world.net.round_trip().as_secs_f64()
    }
}

/// Whether records name one of these machines as the device's.
pub fn leads_to(world: &World, outcome: &Outcome, machines: &[usize]) -> bool {
    let Outcome::Found { records, .. } = outcome else {
        return false;
    };
    let named = device::nodes_of(records);
    let is_named = |n: &usize| named.contains(&world.machines[*n].id());
    machines
        .iter()
        .any(|n| world.machines[*n].is_up() && is_named(n))
}

/// `count` lookups of devices chosen by chance, by honest machines chosen by
/// chance, spread evenly over `time`.
pub fn look_up(
    world: &mut World,
    devices: &[Device],
    askers: &[usize],
    count: usize,
    time: Duration,
) -> Lookups {
    let mut lookups = Lookups::default();
    let mut wanted: Vec<usize> = Vec::with_capacity(count);
    for tag in 0..count {
        world.pass(time / count as u32);
        let which = world.rng.usize(..devices.len());
        let asker = choose(world, askers);
        wanted.push(which);
        if world.find_value(asker, devices[which].key(), tag as u64) {
            lookups.begun += 1;
        }
        tally(world, &mut lookups, devices, &wanted);
    }
    world.pass(Duration::from_secs(60));
    tally(world, &mut lookups, devices, &wanted);
    lookups
}

fn tally(world: &mut World, lookups: &mut Lookups, devices: &[Device], wanted: &[usize]) {
    for done in world.take_done() {
        if done.tag == NOBODY {
            continue;
        }
        let device = &devices[wanted[done.tag as usize]];
        let good = leads_to(world, &done.outcome, &device.nodes);
        lookups.count(&done, good);
    }
}

/// Lines that say what was simulated.
pub fn describe(world: &World, report: &mut Report) {
    let on = world.machines.iter().filter(|m| m.is_up()).count();
    let serve = serving(world).len();
    let liars = world.machines.iter().filter(|m| m.role == Role::Liar);
    let trip = world.net.round_trip().as_secs_f64() * 1000.0;
    report.note(format!(
        "{on} nodes are on, {serve} of them serve, {} lie; loss {} %; one round trip = {trip:.0} ms",
        liars.count(),
        world.net.loss * 100.0
    ));
    let (share, p50, p99) = population::joined(world);
    report.note(format!(
        "{:.2} % took part, after {p50:.2} s (p50) and {p99:.2} s (p99)",
        share * 100.0
    ));
}

/// How many events and how much virtual time that was, at the end.
pub fn finish(world: &World, report: &mut Report) {
    let tally = world.net.tally;
    report.note(format!(
        "{} events in {} s of virtual time; datagrams: {} sent, {} lost, {} not let in, {} cut off, {} to nobody",
        world.events,
        world.now.0 / 1_000_000_000,
        tally.sent,
        tally.lost,
        tally.filtered,
        tally.cut,
        tally.nowhere
    ));
}

/// Rows on how long good lookups took.
pub fn trips(world: &World, lookups: &Lookups, report: &mut Report, p50: Target, p99: Target) {
    let unit = "round trips";
    report.figure(
        "p50",
        "good lookups take, p50",
        unit,
        lookups.trips(world, 0.5),
        p50,
    );
    report.figure(
        "p99",
        "good lookups take, p99",
        unit,
        lookups.trips(world, 0.99),
        p99,
    );
}

/// The id `bits` of which are those of `near` and the rest of chance.
pub fn id_near(world: &mut World, near: &Address, bits: usize) -> Address {
    let mut id = world.random_id();
    for bit in 0..bits {
        let mask = 0x80 >> (bit % 8);
        id.0[bit / 8] = (id.0[bit / 8] & !mask) | (near.0[bit / 8] & mask);
    }
    id
}
