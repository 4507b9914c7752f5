//! Small networks of the simulator (docs/simulation.md): what a lookup costs in counts, and that it
//! finds what is there. Seeded, in virtual time; nothing here depends on how fast
//! the machine is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../benches/simulator/model/mod.rs"]
mod model;

use model::report::Report;
use model::scenarios::{attack, clocks, partition, phone, standing, Options};

fn options(nodes: usize, lookups: usize) -> Options {
    Options {
        nodes: Some(nodes),
        devices: Some(lookups / 3),
        lookups: Some(lookups),
        seed: 7,
        ..Options::default()
    }
}

/// All targets of the scenario, as the program judges them.
fn assert_good(report: &Report) {
    assert!(
        report.good(),
        "{}",
        model::report::table(std::slice::from_ref(report))
    );
}

#[test]
fn lookups_among_a_hundred_nodes_ask_no_more_than_they_need() {
    let report = standing::run(&options(100, 150));
    assert_good(&report);
    assert!(report.value("value_rounds") <= 2.0);
    assert!(report.value("node_requests") <= 40.0);
    // What an engine says of its requests is what was on the line, but for those of others.
    let difference = report.value("node_asked") - report.value("node_requests");
    assert!((0.0..4.0).contains(&difference), "{difference}");
    assert!(report.value("overlap") > 98.0);
    assert!(report.value("taken") > 98.0);
}

#[test]
fn a_seed_that_is_replayed_gives_the_same_run() {
    let values = |report: Report| -> Vec<f64> { report.figures.iter().map(|f| f.value).collect() };
    let first = values(standing::run(&options(40, 60)));
    assert_eq!(first, values(standing::run(&options(40, 60))));
    let mut other = options(40, 60);
    other.seed = 8;
    assert_ne!(first, values(standing::run(&other)));
}

#[test]
fn a_fifth_of_liars_does_not_hide_what_is_there() {
    assert_good(&attack::random(&options(100, 150)));
}

#[test]
fn wrong_clocks_neither_hide_records_nor_are_believed() {
    assert_good(&clocks::run(&options(60, 120)));
}

#[test]
fn a_network_that_was_cut_in_half_has_all_records_on_both_sides_again() {
    let mut options = options(50, 60);
    options.minutes = Some(30);
    assert_good(&partition::run(&options));
}

#[test]
fn a_phone_that_dozes_and_moves_is_found_soon_and_costs_little() {
    let mut options = options(12, 0);
    // Two days; what they cost is counted up to a month.
    options.minutes = Some(2 * 24 * 60);
    let report = phone::run(&options);
    assert_good(&report);
    assert!(report.value("wakes") > 20.0);
}
