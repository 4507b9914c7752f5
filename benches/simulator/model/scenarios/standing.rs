//! `static`: nobody comes or goes.
//!
//! Devices' presences are published, then looked up; and nodes are searched as
//! before a STORE. Every datagram counts, challenged ones too.

use super::tools::{self, Lookups};
use super::Options;
use crate::model::closest::Ring;
use crate::model::report::{Report, Target};
use crate::model::stats::mean;
use crate::model::world::World;
use chr_node::dht::Outcome;
use std::time::Duration;

pub fn run(options: &Options) -> Report {
    let population = options.population(10_000, 0.0, 0.0);
    let mut world = population.up();
    let mut report = Report::default();
    tools::describe(&world, &mut report);

    let count = options.devices.unwrap_or(1000);
    let (devices, taken) = tools::settle_devices(&mut world, count, 1, Duration::from_secs(120));
    let askers = tools::honest(&world);
    let lookups = options.lookups.unwrap_or(3000);
    let found = tools::look_up(
        &mut world,
        &devices,
        &askers,
        lookups,
        Duration::from_secs(300),
    );
    let known: Vec<f64> = askers.iter().map(|n| world.table(*n) as f64).collect();
    report.note(format!("tables hold {:.1} nodes in the mean", mean(&known)));
    let (nodes, overlap) = search(&mut world, lookups / 3);

    let small = Target::AtMost;
    report.figure(
        "found",
        "FIND_VALUE: found",
        "%",
        found.share() * 100.0,
        Target::AtLeast(100.0),
    );
    report.figure(
        "value_rounds",
        "… rounds, mean",
        "",
        mean(&found.rounds),
        small(3.0),
    );
    report.figure(
        "value_requests",
        "… requests, mean",
        "",
        mean(&found.requests),
        small(12.0),
    );
    report.figure(
        "value_asked",
        "… request datagrams on the line, mean",
        "",
        mean(&found.asked),
        small(12.0),
    );
    report.figure(
        "value_hops",
        "… rounds without challenges, mean",
        "",
        mean(&found.hops),
        Target::None,
    );
    report.figure(
        "value_mean",
        "… takes, mean",
        "round trips",
        mean(&found.took) / world.net.round_trip().as_secs_f64(),
        Target::None,
    );
    tools::trips(&world, &found, &mut report, Target::None, Target::None);
    report.figure(
        "node_rounds",
        "FIND_NODE: rounds, mean",
        "",
        mean(&nodes.rounds),
        small(16.0),
    );
    report.figure(
        "node_requests",
        "… requests, mean",
        "",
        mean(&nodes.requests),
        small(50.0),
    );
    report.figure(
        "node_asked",
        "… request datagrams on the line, mean",
        "",
        mean(&nodes.asked),
        small(50.0),
    );
    report.figure(
        "node_hops",
        "… rounds without challenges, mean",
        "",
        mean(&nodes.hops),
        small(9.0),
    );
    report.figure(
        "node_unchallenged",
        "… requests without challenged ones, mean",
        "",
        mean(&nodes.unchallenged),
        small(28.0),
    );
    report.figure(
        "node_p50",
        "… takes, p50",
        "round trips",
        nodes.trips(&world, 0.5),
        Target::None,
    );
    report.figure(
        "overlap",
        "… finds of the k closest that serve",
        "%",
        overlap * 100.0,
        Target::None,
    );
    report.figure(
        "taken",
        "a STORE is taken by, of k nodes",
        "%",
        taken * 100.0,
        Target::None,
    );
    tools::finish(&world, &mut report);
    report
}

/// Searches the nodes closest to targets of chance; how much of the truth was found.
fn search(world: &mut World, count: usize) -> (Lookups, f64) {
    let serving = tools::serving(world);
    let ids = serving.iter().map(|n| (world.machines[*n].id(), *n));
    let ring = Ring::new(ids.collect());
    let askers = tools::honest(world);
    let mut lookups = Lookups::default();
    let mut overlaps = Vec::new();
    let mut targets = Vec::with_capacity(count);
    let end = world.now + Duration::from_secs(60);
    for tag in 0..=count {
        if tag < count {
            world.pass(Duration::from_secs(100) / count as u32);
            let target = world.random_id();
            targets.push(target);
            let asker = tools::choose(world, &askers);
            lookups.begun += usize::from(world.find_node(asker, target, tag as u64));
        } else {
            let rest = end.since(world.now).max(Duration::from_secs(60));
            world.pass(rest);
        }
        for done in world.take_done() {
            let Outcome::Nodes { contacts, .. } = &done.outcome else {
                lookups.count(&done, false);
                continue;
            };
            let truth = ring.closest(&targets[done.tag as usize], world.config.k);
            let truth: Vec<_> = truth.iter().map(|n| world.machines[*n].id()).collect();
            let hits = contacts.iter().filter(|c| truth.contains(&c.id)).count();
            overlaps.push(hits as f64 / truth.len() as f64);
            lookups.count(&done, true);
        }
    }
    (lookups, mean(&overlaps))
}
