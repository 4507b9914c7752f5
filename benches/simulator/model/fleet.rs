//! Devices that stay findable: their nodes sign them anew, and a device whose
//! node is gone goes to another.
//!
//! A device has as many nodes as it wants, usually two. When one of them is switched off
//! the device needs some seconds to see it (a reset comes at once, silence takes
//! the 20 s of TCP_USER_TIMEOUT), then it connects to another serving node, which publishes it.

use super::device::{self, Device};
use super::world::{Done, World};
use chr_node::time::Moment;
use std::collections::HashMap;
use std::time::Duration;

/// How often a node signs the presence of a device that is still there: half the time for which
/// it holds.
pub const SIGN_AGAIN: Duration = Duration::from_secs(1800);
/// A device is somewhere else after this, less up to nine tenths.
const MOVES: f64 = 25.0;
/// Marks the tags of a fleet's operations.
const OURS: u64 = 1 << 63;

enum Todo {
    Sign { device: usize, machine: usize },
    Move { device: usize },
}

/// All devices.
#[derive(Default)]
pub struct Fleet {
    pub devices: Vec<Device>,
    /// Which machines have published which device.
    ready: HashMap<(usize, usize), bool>,
    agenda: HashMap<u32, Todo>,
    /// On which side of a divided network a device is.
    sides: Vec<Option<u8>>,
    /// Shares of the k nodes that took a store.
    pub taken: Vec<f64>,
    wants: usize,
}

impl Fleet {
    pub fn new(wants: usize) -> Fleet {
        Fleet {
            wants,
            ..Fleet::default()
        }
    }

    /// A new device goes to its nodes, on one side if it is to be there.
    pub fn add(&mut self, world: &mut World, side: Option<u8>) -> usize {
        let number = self.devices.len();
        self.devices.push(Device::new(world.random_id()));
        self.sides.push(side);
        for _ in 0..self.wants {
            self.attach(world, number);
        }
        number
    }

    fn attach(&mut self, world: &mut World, number: usize) {
        for _ in 0..10_000 {
            let machine = world.rng.usize(..world.machines.len());
            let side = self.sides[number];
            let fits = world.machines[machine].is_home()
                && !self.devices[number].nodes.contains(&machine)
                && side.is_none_or(|side| world.net.side(machine) == side);
            if fits {
                let now = world.now;
                self.devices[number].attach(machine, &mut world.machines[machine], now);
                self.ready.insert((number, machine), false);
                self.publish(world, number, machine);
                return;
            }
        }
        self.move_later(world, number);
    }

    fn publish(&mut self, world: &mut World, number: usize, machine: usize) {
        let tag = OURS | (number as u64) << 24 | machine as u64;
        if device::publish(world, &self.devices[number], machine, tag) {
            let todo = Todo::Sign {
                device: number,
                machine,
            };
            self.agenda.insert(world.plan(world.now + SIGN_AGAIN), todo);
        }
    }

    fn move_later(&mut self, world: &mut World, device: usize) {
        let seconds = MOVES * (0.1 + 0.9 * world.rng.f64());
        let at = world.now + Duration::from_secs_f64(seconds);
        self.agenda.insert(world.plan(at), Todo::Move { device });
    }

    /// A machine has been switched off.
    pub fn lost(&mut self, world: &mut World, machine: usize) {
        for number in 0..self.devices.len() {
            if self.devices[number].nodes.contains(&machine) {
                self.devices[number].detach(machine);
                self.ready.remove(&(number, machine));
                self.move_later(world, number);
            }
        }
    }

    /// Does what was planned; whether the plan was ours.
    pub fn act(&mut self, world: &mut World, plan: u32) -> bool {
        match self.agenda.remove(&plan) {
            None => return false,
            Some(Todo::Move { device }) => self.attach(world, device),
            Some(Todo::Sign { device, machine }) => {
                if self.devices[device].nodes.contains(&machine) {
                    self.publish(world, device, machine);
                }
            }
        }
        true
    }

    /// Takes the end of an operation; whether it was ours.
    pub fn done(&mut self, world: &World, done: &Done) -> bool {
        if done.tag & OURS == 0 {
            return false;
        }
        let number = ((done.tag & !OURS) >> 24) as usize;
        let stored = match done.outcome {
            chr_node::dht::Outcome::Stored { at, .. } => at,
            _ => 0,
        };
        self.taken.push(stored as f64 / world.config.k as f64);
        if let Some(ready) = self.ready.get_mut(&(number, done.machine)) {
            *ready |= stored > 0;
        }
        true
    }

    /// Nodes at which the device is and which have published it.
    pub fn homes(&self, number: usize) -> Vec<usize> {
        let nodes = self.devices[number].nodes.iter();
        nodes
            .filter(|n| self.ready.get(&(number, **n)) == Some(&true))
            .copied()
            .collect()
    }

    /// Lets time pass; other plans than the fleet's and ends of other operations come back.
    pub fn pass(&mut self, world: &mut World, end: Moment) -> (Vec<u32>, Vec<Done>) {
        let mut plans = Vec::new();
        let mut others = Vec::new();
        loop {
            let plan = world.run(end);
            for done in world.take_done() {
                if !self.done(world, &done) {
                    others.push(done);
                }
            }
            match plan {
                None => return (plans, others),
                Some(plan) if self.act(world, plan) => {}
                Some(plan) => {
                    plans.push(plan);
                    return (plans, others);
                }
            }
        }
    }
}
