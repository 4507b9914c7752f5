//! Simulates networks of chr-node's Kademlia in virtual time.
//!
//! ```text
//! cargo run --release --features simulator --bin simulate -- SCENARIO [--nodes N] [--seed S] [--json]
//! ```
//!
//! Every node is the real engine with real packets; the network between them is a model. The
//! same command gives the same run. docs/simulation.md has the model and the
//! results.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod args;
mod model;

use args::{Command, Run};
use model::report::{self, Report, Target};
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    match args::read(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            print!("{}", args::help());
            ExitCode::SUCCESS
        }
        Ok(Command::Run(run)) => simulate(&run),
        Err(error) => {
            eprintln!("simulate: {error}; see simulate --help");
            ExitCode::from(2)
        }
    }
}

/// Runs a scenario with each seed. 1 if a target is missed.
fn simulate(run: &Run) -> ExitCode {
    let mut reports = Vec::new();
    for seed in run.seeds() {
        let mut options = run.options.clone();
        options.seed = seed;
        let began = Instant::now();
        let report = (run.scenario.run)(&options);
        if run.json {
            println!("{}", json(run.scenario.name, seed, &report));
        } else {
            println!("{} with seed {seed}", run.scenario.name);
            for note in &report.notes {
                println!("  {note}");
            }
            println!("  {:.1} s on this machine\n", began.elapsed().as_secs_f64());
        }
        reports.push(report);
    }
    if !run.json {
        print!("{}", report::table(&reports));
    }
    if reports.iter().all(Report::good) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// One object a run.
fn json(scenario: &str, seed: u64, report: &Report) -> serde_json::Value {
    let figures: Vec<_> = report
        .figures
        .iter()
        .map(|figure| {
            let (at_most, at_least) = match figure.target {
                Target::AtMost(most) => (Some(most), None),
                Target::AtLeast(least) => (None, Some(least)),
                Target::None => (None, None),
            };
            serde_json::json!({
                "key": figure.key, "text": figure.text, "unit": figure.unit, "value": figure.value,
                "at_most": at_most, "at_least": at_least, "good": figure.good(),
            })
        })
        .collect();
    serde_json::json!({
        "scenario": scenario, "seed": seed, "good": report.good(), "figures": figures,
        "notes": report.notes,
    })
}
