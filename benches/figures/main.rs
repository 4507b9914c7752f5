//! What chr-node costs: a relayed byte, a round trip, a handshake, an idle session.
//!
//! ```text
//! cargo bench --bench figures -- [NAME…]      scripts/bench does this and more
//! ```
//!
//! Without names every figure is measured. Each sample runs in a process of its
//! own (this program again, as `figures sample NAME`), so that none profits from
//! what another left in memory, and prints `KEY VALUE` lines; this process
//! collects them and prints the table. What is measured is always the release
//! build's own process, by /proc: the endpoints that drive it are here.
//!
//! | file | what |
//! | --- | --- |
//! | `targets.rs` | every figure with its target |
//! | `table.rs` | samples to minimum, median, maximum and verdict |
//! | `machine.rs` | this machine, and what /proc says about a process |
//! | `programs.rs` | `chr-node run`, `publish` and `forward` in a folder below target/ |
//! | `endpoints.rs` | light endpoints: the library's devices in this process |
//! | `relay.rs`, `sessions.rs`, `end_to_end.rs`, `loopback.rs` | the samples |
//!
//! Settings, by environment: `RUNS` (samples a figure, 5), `GIB` (bytes carried
//! a throughput sample, 2), `LONG_GIB` (bytes of the search for stalls, 10),
//! `ROUNDS` (round trips a sample, 10,000), `BENCH_NODE` (another program than
//! this build's).
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod end_to_end;
mod endpoints;
mod loopback;
mod machine;
mod programs;
mod relay;
mod sessions;
mod table;
mod targets;

use std::collections::BTreeMap;
use std::process::{Command, ExitCode, Stdio};

/// Where a sample runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Wherever the kernel puts it.
    Anywhere,
    /// All of its processes on the first CPU: no wake-up crosses cores.
    OneCore,
}

/// A sample: its name, what makes it, where it runs and how often it is needed
/// at most.
struct Sample {
    name: &'static str,
    take: fn(),
    place: Place,
    most: usize,
}

const fn sample(name: &'static str, take: fn(), place: Place, most: usize) -> Sample {
    Sample {
        name,
        take,
        place,
        most,
    }
}

const MANY: usize = usize::MAX;

/// In the order in which they run; a round takes each once.
const SAMPLES: &[Sample] = &[
    sample("start", sessions::start, Place::Anywhere, MANY),
    sample("build", programs::build, Place::Anywhere, 1),
    sample("relay_aes", relay::aes, Place::Anywhere, MANY),
    sample("relay_chacha", relay::chacha, Place::Anywhere, MANY),
    sample("end_to_end", end_to_end::throughput, Place::Anywhere, MANY),
    sample("tcp_one_core", loopback::one_core, Place::OneCore, MANY),
    sample("tcp_two_cores", loopback::two_cores, Place::OneCore, MANY),
    sample("trip_one_core", relay::round_trip, Place::OneCore, MANY),
    sample("trip", relay::round_trip_free, Place::Anywhere, MANY),
    sample(
        "trip_end_to_end_one_core",
        end_to_end::round_trip,
        Place::OneCore,
        MANY,
    ),
    sample(
        "trip_end_to_end",
        end_to_end::round_trip_free,
        Place::Anywhere,
        MANY,
    ),
    sample("sessions_1000", sessions::thousand, Place::Anywhere, 3),
    sample("sessions_5000", sessions::five_thousand, Place::Anywhere, 3),
    sample("stall", relay::stall, Place::Anywhere, 3),
];

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// A line of a sample's answer.
fn say(key: &str, value: f64) {
    println!("{key} {value}");
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    if let [word, rest @ ..] = &args[..] {
        match (word.as_str(), rest) {
            ("sample", [name]) => {
                let Some(sample) = SAMPLES.iter().find(|s| s.name == name) else {
                    panic!("no sample {name}");
                };
                (sample.take)();
                return ExitCode::SUCCESS;
            }
            ("echo", []) => {
                loopback::echo();
                return ExitCode::SUCCESS;
            }
            _ => {}
        }
    }
    for name in &args {
        if !SAMPLES.iter().any(|s| s.name == name) {
            let known: Vec<_> = SAMPLES.iter().map(|s| s.name).collect();
            eprintln!(
                "figures: there is no {name}; there are: {}",
                known.join(" ")
            );
            return ExitCode::from(2);
        }
    }
    let results = measure(|sample| args.is_empty() || args.iter().any(|a| a == sample.name));
    table::print(&results);
    ExitCode::SUCCESS
}

/// Takes all wanted samples, a round at a time: what disturbs the machine for a
/// while then spoils a sample of several figures instead of a figure.
fn measure(wanted: impl Fn(&Sample) -> bool) -> BTreeMap<String, Vec<f64>> {
    let mut results: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let runs = usize::try_from(setting("RUNS", 5)).unwrap().max(1);
    for round in 0..runs {
        for sample in SAMPLES.iter().filter(|s| wanted(s)) {
            if round >= sample.most {
                continue;
            }
            eprintln!("round {} of {runs}: {}", round + 1, sample.name);
            match take(sample) {
                Ok(lines) => {
                    for (key, value) in lines {
                        results.entry(key).or_default().push(value);
                    }
                }
                Err(reason) => eprintln!("figures: {} gave nothing: {reason}", sample.name),
            }
        }
    }
    results
}

/// Runs this program again for one sample.
fn take(sample: &Sample) -> Result<Vec<(String, f64)>, String> {
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = match sample.place {
        Place::Anywhere => Command::new(me),
        Place::OneCore => machine::on_core(0, &me),
    };
    let output = command
        .args(["sample", sample.name])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| match sample.place {
            Place::Anywhere => e.to_string(),
            Place::OneCore => format!("taskset: {e} (util-linux has it)"),
        })?;
    if !output.status.success() {
        return Err(output.status.to_string());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?)))
        .collect())
}
