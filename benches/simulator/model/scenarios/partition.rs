//! `partition`: half the network is cut off for an hour.
//!
//! Records are presences (of devices with two nodes each on their side) and values. Some are published
//! before the cut, some on each side meanwhile. Minutes after healing every record is looked up
//! from both sides.

use super::tools;
use super::Options;
use crate::model::device;
use crate::model::fleet::Fleet;
use crate::model::report::{Report, Target};
use crate::model::world::World;
use chr_node::dht::Outcome;
use chr_node::identity::Address;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

struct Records {
    fleet: Fleet,
    /// Keys of values.
    values: Vec<Address>,
}

pub fn run(options: &Options) -> Report {
    let population = options.population(1000, 0.3, 0.01);
    let mut world = population.up();
    let mut report = Report::default();
    tools::describe(&world, &mut report);
    for machine in 0..world.machines.len() {
        let side = world.rng.u8(..2);
        world.net.set_side(machine, side);
    }
    let devices = options.devices.unwrap_or(300);
    let mut records = Records {
        fleet: Fleet::new(2),
        values: Vec::new(),
    };
    records.add(&mut world, devices, MINUTE * 5);
    world.net.divided = true;
    let minutes = options.minutes.unwrap_or(60) as u32;
    records.pass(&mut world, MINUTE * (minutes / 2));
    records.add(&mut world, devices / 2, MINUTE * 5);
    records.pass(&mut world, MINUTE * (minutes - minutes / 2 - 5));
    world.net.divided = false;
    let healed = world.now;
    let mut complete = f64::NAN;
    let keys = ["at_0", "at_1", "at_2", "at_3", "at_4", "at_5"];
    let texts = [
        "records found from both sides at once after healing",
        "… 1 min after",
        "… 2 min after",
        "… 3 min after",
        "… 4 min after",
        "… 5 min after",
    ];
    for (minute, (key, text)) in keys.into_iter().zip(texts).enumerate() {
        let at = healed + MINUTE * minute as u32;
        let rest = at.since(world.now);
        records.pass(&mut world, rest);
        let (from_a, from_b) = records.found(&mut world);
        let share = (from_a + from_b) / 2.0 * 100.0;
        let target = if minute == 5 {
            Target::AtLeast(100.0)
        } else {
            Target::None
        };
        if share >= 100.0 && complete.is_nan() {
            complete = minute as f64;
        }
        report.figure(key, text, "%", share, target);
    }
    report.figure(
        "complete",
        "first minute with all records",
        "min",
        complete,
        Target::AtMost(5.0),
    );
    tools::finish(&world, &mut report);
    report
}

impl Records {
    /// Devices on both sides in turn, and half as many values.
    fn add(&mut self, world: &mut World, count: usize, time: Duration) {
        for number in 0..count {
            self.pass(world, time / count as u32);
            self.fleet.add(world, Some((number % 2) as u8));
            if number % 2 == 0 {
                let places = tools::serving(world);
                let place = tools::choose(world, &places);
                let mut value = vec![0; 200];
                world.rng.fill(&mut value);
                let (record, key) = device::value(value, world.now);
                self.values.push(key);
                world.publish(place, record, tools::NOBODY);
            }
        }
    }

    fn pass(&mut self, world: &mut World, time: Duration) {
        let end = world.now + time;
        while !self.fleet.pass(world, end).0.is_empty() {}
    }

    /// Shares of all records that machines of either side find.
    fn found(&mut self, world: &mut World) -> (f64, f64) {
        let sides: Vec<Vec<usize>> = (0..2)
            .map(|side| {
                let mut on = tools::honest(world);
                on.retain(|n| world.net.side(*n) == side);
                on
            })
            .collect();
        let devices = self.fleet.devices.len();
        let all = devices + self.values.len();
        for which in 0..all {
            let key = match self.values.get(which.wrapping_sub(devices)) {
                Some(value) => *value,
                None => self.fleet.devices[which].key(),
            };
            for (side, machines) in sides.iter().enumerate() {
                let asker = tools::choose(world, machines);
                world.find_value(asker, key, (which * 2 + side) as u64);
            }
        }
        let mut found = [0.0; 2];
        let end = world.now + Duration::from_secs(30);
        loop {
            let (plans, over) = self.fleet.pass(world, end);
            for done in over.iter().filter(|d| d.tag != tools::NOBODY) {
                let (which, side) = (done.tag as usize / 2, done.tag as usize % 2);
                let good = if which < devices {
                    tools::leads_to(world, &done.outcome, &self.fleet.homes(which))
                } else {
                    matches!(done.outcome, Outcome::Found { .. })
                };
                found[side] += f64::from(u8::from(good));
            }
            if plans.is_empty() {
                break;
            }
        }
        (found[0] / all as f64, found[1] / all as f64)
    }
}
