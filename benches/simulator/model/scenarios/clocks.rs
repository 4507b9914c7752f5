//! `clocks`: a tenth of the machines believe that it is 1970, a tenth that it is ten years later.

use super::tools;
use super::Options;
use crate::model::machine::Clock;
use crate::model::report::{Report, Target};
use std::time::Duration;

pub fn run(options: &Options) -> Report {
    let population = options.population(1000, 0.3, 0.01);
    let mut world = population.build();
    for machine in 0..population.nodes {
        match machine % 10 {
            3 => world.set_clock(machine, Clock::Epoch),
            7 => world.set_clock(machine, Clock::Ahead),
            _ => {}
        }
    }
    population.join(&mut world);
    let mut report = Report::default();
    tools::describe(&world, &mut report);
    let count = options.devices.unwrap_or(500);
    let (devices, _) = tools::settle_devices(&mut world, count, 1, Duration::from_secs(120));
    let lookups = options.lookups.unwrap_or(2000) / 2;
    let time = Duration::from_secs(200);
    let (right, wrong): (Vec<_>, Vec<_>) = tools::honest(&world)
        .into_iter()
        .partition(|n| world.machines[*n].clock == Clock::Right);
    let (by_right, by_wrong): (Vec<_>, Vec<_>) = devices
        .into_iter()
        .partition(|d| world.machines[d.nodes[0]].clock == Clock::Right);
    let all = Target::AtLeast(99.5);
    let rows = [
        (
            "right_right",
            "asker's and publisher's clock right: found",
            &right,
            &by_right,
        ),
        (
            "wrong_right",
            "asker's clock wrong: found",
            &wrong,
            &by_right,
        ),
        (
            "right_wrong",
            "publisher's clock wrong: found",
            &right,
            &by_wrong,
        ),
        ("wrong_wrong", "both wrong: found", &wrong, &by_wrong),
    ];
    for (key, text, askers, devices) in rows {
        let found = tools::look_up(&mut world, devices, askers, lookups, time);
        report.figure(key, text, "%", found.share() * 100.0, all);
    }
    let now = world.now;
    let mut believe = [0.0; 2];
    for (side, machines) in [&right, &wrong].into_iter().enumerate() {
        let trusted = machines
            .iter()
            .filter(|n| world.machines[**n].wall(now).trusted);
        believe[side] = trusted.count() as f64 / machines.len() as f64 * 100.0;
    }
    report.figure(
        "believe_right",
        "right clocks that are believed",
        "%",
        believe[0],
        Target::AtLeast(100.0),
    );
    report.figure(
        "believe_wrong",
        "wrong clocks that are believed",
        "%",
        believe[1],
        Target::AtMost(0.0),
    );
    tools::finish(&world, &mut report);
    report
}
