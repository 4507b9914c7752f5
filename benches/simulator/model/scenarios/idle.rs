//! `idle`: what the DHT costs when nobody asks for anything.
//!
//! Every serving node has one device, whose presence it keeps published: that belongs to
//! being idle. Bytes are those on the line, both ways together, headers of IPv4 and UDP included.

use super::tools;
use super::Options;
use crate::model::fleet::{Fleet, SIGN_AGAIN};
use crate::model::report::{Report, Target};
use crate::model::stats::{mean, percentile};
use std::time::Duration;

pub fn run(options: &Options) -> Report {
    let population = options.population(1000, 0.3, 0.01);
    let mut world = population.up();
    let mut report = Report::default();
    tools::describe(&world, &mut report);
    let serving = tools::serving(&world);
    let count = options.devices.unwrap_or(serving.len());
    let mut fleet = Fleet::new(1);
    // Presences come within half an hour, and so are signed anew evenly.
    for _ in 0..count {
        let end = world.now + SIGN_AGAIN / count as u32;
        fleet.pass(&mut world, end);
        fleet.add(&mut world, None);
    }
    let minutes = options.minutes.unwrap_or(60);
    let before: Vec<u64> = world.machines.iter().map(|m| m.traffic.bytes()).collect();
    let end = world.now + Duration::from_secs(60 * minutes);
    fleet.pass(&mut world, end);
    let (mut serve, mut client) = (Vec::new(), Vec::new());
    let (mut tables_serve, mut tables_client) = (Vec::new(), Vec::new());
    for (number, machine) in world.machines.iter().enumerate() {
        let bytes = (machine.traffic.bytes() - before[number]) as f64 / (60 * minutes) as f64;
        let table = world.table(number) as f64;
        if machine.serves() {
            serve.push(bytes);
            tables_serve.push(table);
        } else {
            client.push(bytes);
            tables_client.push(table);
        }
    }
    report.figure(
        "serving",
        "a serving node, mean",
        "B/s",
        mean(&serve),
        Target::AtMost(300.0),
    );
    report.figure(
        "serving_p99",
        "… p99 of nodes",
        "B/s",
        percentile(&serve, 0.99),
        Target::None,
    );
    let most = percentile(&serve, 1.0);
    report.figure("serving_most", "… the busiest", "B/s", most, Target::None);
    report.figure(
        "client",
        "a client-only node, mean",
        "B/s",
        mean(&client),
        Target::AtMost(15.0),
    );
    report.figure(
        "client_p99",
        "… p99 of nodes",
        "B/s",
        percentile(&client, 0.99),
        Target::None,
    );
    report.note(format!(
        "tables hold {:.1} nodes in the mean at a serving node, {:.1} at a client",
        mean(&tables_serve),
        mean(&tables_client)
    ));
    tools::finish(&world, &mut report);
    report
}
