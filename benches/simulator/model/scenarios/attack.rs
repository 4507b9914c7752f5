//! `attack-random` and `attack-victim`: some nodes lie (`liar.rs` says how).

use super::tools;
use super::Options;
use crate::model::liar::Liars;
use crate::model::machine::Role;
use crate::model::report::{Report, Target};
use crate::model::stats::mean;
use std::time::Duration;

/// A fifth of all nodes lie; their ids are of chance, and so are their addresses.
pub fn random(options: &Options) -> Report {
    let mut population = options.population(1000, 0.3, 0.01);
    population.liars = options.liars.unwrap_or(0.2);
    let mut world = population.up();
    let mut report = Report::default();
    tools::describe(&world, &mut report);
    let count = options.devices.unwrap_or(500);
    let (devices, taken) = tools::settle_devices(&mut world, count, 1, Duration::from_secs(120));
    let askers = tools::honest(&world);
    let count = options.lookups.unwrap_or(2000);
    let found = tools::look_up(
        &mut world,
        &devices,
        &askers,
        count,
        Duration::from_secs(300),
    );
    let share = found.share() * 100.0;
    report.figure(
        "found",
        "lookups that succeed",
        "%",
        share,
        Target::AtLeast(99.0),
    );
    report.figure(
        "requests",
        "… requests, mean",
        "",
        mean(&found.requests),
        Target::None,
    );
    tools::trips(&world, &found, &mut report, Target::None, Target::None);
    report.figure(
        "taken",
        "a STORE is taken (or said to be) by, of k nodes",
        "%",
        taken * 100.0,
        Target::None,
    );
    report.note(format!("{} lies were told", world.liars.told));
    tools::finish(&world, &mut report);
    report
}

/// How many attackers there are, and from how many networks of size /24.
const ATTACKERS: usize = 200;
const NETWORKS: usize = 4;
/// Bits that an attacker's id has in common with the key: more than any honest
/// node's in ten thousand, so that all attackers are closer than all of them.
const BITS: usize = 40;

/// 200 liars with ids closer to one key than anybody's, from four /24 networks. They join after the
/// honest nodes and before the device, which publishes in the middle of them.
pub fn victim(options: &Options) -> Report {
    let population = options.population(1000, 0.3, 0.01);
    let mut world = population.build();
    let (victim, rest) = {
        let mut devices = Vec::new();
        for _ in 0..options.devices.unwrap_or(20) {
            devices.push(crate::model::device::Device::new(world.random_id()));
        }
        let first = devices.remove(0);
        (first, devices)
    };
    let ids: Vec<_> = (0..ATTACKERS)
        .map(|_| tools::id_near(&mut world, &victim.key(), BITS))
        .collect();
    population.join(&mut world);
    let liars = world.add_rented(NETWORKS, &ids, Role::Liar);
    world.liars = Liars::new(liars.iter().map(|n| world.contact(*n)).collect());
    for liar in &liars {
        world.pass(Duration::from_millis(300));
        world.start(*liar);
    }
    world.pass(Duration::from_secs(1800));
    let mut report = Report::default();
    tools::describe(&world, &mut report);

    let mut devices = vec![victim];
    devices.extend(rest);
    let places = tools::serving(&world);
    for device in &mut devices {
        let place = tools::choose(&mut world, &places);
        let now = world.now;
        device.attach(place, &mut world.machines[place], now);
        crate::model::device::publish(&mut world, device, place, tools::NOBODY);
    }
    world.pass(Duration::from_secs(60));
    world.take_done();
    let askers = tools::honest(&world);
    let count = options.lookups.unwrap_or(1000);
    let time = Duration::from_secs(600);
    let found = tools::look_up(&mut world, &devices[..1], &askers, count, time);
    let others = tools::look_up(&mut world, &devices[1..], &askers, count, time);
    let share = found.share() * 100.0;
    report.figure(
        "found",
        "lookups of the victim that succeed",
        "%",
        share,
        Target::AtLeast(95.0),
    );
    report.figure(
        "requests",
        "… requests, mean",
        "",
        mean(&found.requests),
        Target::None,
    );
    tools::trips(&world, &found, &mut report, Target::None, Target::None);
    report.figure(
        "others",
        "lookups of others that succeed",
        "%",
        others.share() * 100.0,
        Target::None,
    );
    report.note(format!("{} lies were told", world.liars.told));
    tools::finish(&world, &mut report);
    report
}
