//! `reconnect`: a thousand devices come to one node at once.
//!
//! The node publishes the first presence at once and then ten a second, as the house's queue
//! does. A presence is complete when an ordinary lookup finds it.

use super::tools;
use super::Options;
use crate::model::device::{self, Device};
use crate::model::report::{Report, Target};
use crate::model::stats::mean;
use chr_node::dht::Outcome;
use std::time::Duration;

/// Presences a second.
const RATE: u32 = 10;
/// When all have to be found.
const BOUND: Duration = Duration::from_secs(120);

pub fn run(options: &Options) -> Report {
    let population = options.population(1000, 0.3, 0.01);
    let mut world = population.up();
    let mut report = Report::default();
    tools::describe(&world, &mut report);
    let places = tools::serving(&world);
    let node = tools::choose(&mut world, &places);
    let count = options.devices.unwrap_or(1000);
    let began = world.now;
    let before = world.machines[node].traffic;
    let signed = signatures(&world, node);
    let mut devices = Vec::with_capacity(count);
    for tag in 0..count {
        let mut device = Device::new(world.random_id());
        device.attach(node, &mut world.machines[node], began);
        device::publish(&mut world, &device, node, tag as u64);
        devices.push(device);
        world.pass(Duration::from_secs(1) / RATE);
    }
    let mut stored = Vec::new();
    let mut last = Duration::ZERO;
    while stored.len() < count && world.now.since(began) < BOUND {
        world.pass(Duration::from_millis(100));
        for done in world.take_done() {
            if let Outcome::Stored { at, .. } = done.outcome {
                stored.push(at as f64 / world.config.k as f64);
                last = world.now.since(began);
            }
        }
    }
    let traffic = world.machines[node].traffic;
    let spent = signatures(&world, node) - signed;
    let rest = BOUND.saturating_sub(world.now.since(began));
    world.pass(rest);
    let others: Vec<usize> = tools::honest(&world)
        .into_iter()
        .filter(|n| *n != node)
        .collect();
    let mut found = tools::Lookups::default();
    for (tag, device) in devices.iter().enumerate() {
        let asker = tools::choose(&mut world, &others);
        found.begun += usize::from(world.find_value(asker, device.key(), tag as u64));
    }
    world.pass(Duration::from_secs(30));
    for done in world.take_done() {
        let good = tools::leads_to(&world, &done.outcome, &[node]);
        found.count(&done, good);
    }
    let seconds = last.as_secs_f64();
    report.figure(
        "last",
        "the last presence is stored after",
        "s",
        seconds,
        Target::AtMost(120.0),
    );
    report.figure(
        "stored",
        "STOREs that are over by then",
        "%",
        stored.len() as f64 / count as f64 * 100.0,
        Target::AtLeast(100.0),
    );
    report.figure(
        "taken",
        "… taken by, of k nodes, mean",
        "%",
        mean(&stored) * 100.0,
        Target::None,
    );
    report.figure(
        "found",
        "presences found 120 s after",
        "%",
        found.share() * 100.0,
        Target::AtLeast(100.0),
    );
    let bytes = (traffic.bytes() - before.bytes()) as f64;
    report.figure(
        "bytes",
        "the node's DHT traffic meanwhile",
        "kB/s",
        bytes / seconds / 1000.0,
        Target::None,
    );
    report.figure(
        "curve",
        "signatures that it makes or checks",
        "1/s",
        spent as f64 / seconds,
        Target::None,
    );
    tools::finish(&world, &mut report);
    report
}

/// Signatures of packets that a machine has made and checked.
fn signatures(world: &crate::model::world::World, machine: usize) -> u64 {
    let engine = world.machines[machine].engine.as_ref();
    engine.map_or(0, |e| {
        let stats = e.stats();
        stats.signed + stats.checked
    })
}
