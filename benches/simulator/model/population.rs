//! A network that has come up: machines join one after the other through the
//! same few seeds, then there is time to settle.

use super::machine::Role;
use super::stats::percentile;
use super::world::World;
use chr_node::dht::choice::Prefer;
use chr_node::time::Moment;
use std::time::Duration;

/// What a scenario starts from.
#[derive(Clone, Debug)]
pub struct Population {
    pub nodes: usize,
    pub seed: u64,
    /// Share of machines behind routers.
    pub nat: f64,
    /// Share of datagrams lost.
    pub loss: f64,
    /// Share of machines that lie (with random ids and public addresses).
    pub liars: f64,
    /// How long the machines take to come, and then to settle.
    pub join: Duration,
    pub settle: Duration,
    /// Which of equally close nodes is asked first.
    pub prefer: Prefer,
}

impl Population {
    /// The machines, all switched off.
    pub fn build(&self) -> World {
        let mut world = World::new(self.seed, self.loss);
        world.config.prefer = self.prefer;
        let liars = (self.nodes as f64 * self.liars) as usize;
        let behind = (self.nodes as f64 * self.nat) as usize;
        for number in 0..self.nodes {
            // Seeds are the first, and honest; the others are mixed.
            let role = if number >= self.nodes - liars {
                Role::Liar
            } else {
                Role::Node
            };
            if role == Role::Node && number >= self.nodes - liars - behind {
                world.add_behind_nat(Role::Node);
            } else {
                world.add_public(role);
            }
        }
        let liars = (0..self.nodes).filter(|n| world.machines[*n].role == Role::Liar);
        let contacts = liars.map(|n| world.contact(n)).collect();
        world.liars = super::liar::Liars::new(contacts);
        world
    }

    /// Switches all of them on, in an order of chance.
    pub fn join(&self, world: &mut World) {
        let mut order: Vec<usize> = (0..world.machines.len())
            .filter(|n| !world.is_seed(*n))
            .collect();
        world.rng.shuffle(&mut order);
        for number in 0..world.machines.len() {
            if world.is_seed(number) {
                world.start(number);
            }
        }
        let step = self.join / order.len().max(1) as u32;
        for number in order {
            world.pass(step);
            world.start(number);
        }
        world.pass(self.settle);
    }

    pub fn up(&self) -> World {
        let mut world = self.build();
        self.join(&mut world);
        world
    }
}

/// How the machines took part: share that did, and the seconds until then (p50, p99).
pub fn joined(world: &World) -> (f64, f64, f64) {
    let on: Vec<_> = world.machines.iter().filter(|m| m.is_up()).collect();
    let times: Vec<f64> = on
        .iter()
        .filter_map(|m| Some(m.joined?.since(m.started).as_secs_f64()))
        .collect();
    let share = times.len() as f64 / on.len() as f64;
    (share, percentile(&times, 0.5), percentile(&times, 0.99))
}

/// A moment chosen by chance between now and `later`.
pub fn moment(world: &mut World, later: Duration) -> Moment {
    world.now + later.mul_f64(world.rng.f64())
}
