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
//! | `compare.rs` | the table of tunnels beside each other |
//! | `machine.rs` | this machine, and what /proc says about a process |
//! | `programs.rs` | `chr-node run`, `publish` and `forward` in a folder below target/ |
//! | `tunnels/` | ours, rathole's and ssh's, behind one trait |
//! | `jobs.rs` | what is asked of each of them |
//! | `endpoints.rs` | light endpoints: the library's devices in this process |
//! | `network.rs` | sixty nodes on loopback |
//! | `monitoring.rs` | what asking the node costs it |
//! | `mainline.rs` | our DHT beside the crate `mainline` |
//! | `relay.rs`, `sessions.rs`, `idle.rs`, `year.rs`, `loopback.rs` | the other samples |
//!
//! Names are those of samples: `start`, `rate:rathole`. What stands before or
//! behind the colon chooses all that have it: `rate`, `rathole`.
//!
//! Settings, by environment: `RUNS` (samples a figure, 5), `GIB` (bytes carried
//! a throughput sample, 2), `LONG_GIB` (bytes of the search for stalls, 10),
//! `ROUNDS` (round trips a sample, 10,000), `CONNECTS` (connections made one
//! after the other, 500), `CONNECTIONS` (those open at once, 500), `SESSIONS`
//! (those that come and go, 10,000), `IDLE` (seconds that an idle node is
//! watched, 120), `NODES` (nodes of a network, 60), `BENCH_NODE` (another program than this build's),
//! `BENCH_RATHOLE` (where rathole is), `BENCH_MAINLINE` (where the program of
//! benches/mainline is).
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod compare;
mod endpoints;
mod idle;
mod jobs;
mod loopback;
mod machine;
mod mainline;
mod monitoring;
mod network;
mod programs;
mod relay;
mod sessions;
mod table;
mod targets;
mod tunnels;
mod year;

use jobs::Job;
use std::collections::BTreeMap;
use std::process::{Command, ExitCode, Stdio};
use tunnels::Kind;

/// Where a sample runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Wherever the kernel puts it.
    Anywhere,
    /// All of its processes on the first CPU: no wake-up crosses cores.
    OneCore,
}

/// What makes a sample.
#[derive(Clone, Copy)]
enum Work {
    /// A figure of ours, or the reason why it cannot be taken here.
    Own(fn() -> Result<(), String>),
    /// A job, through one of the tunnels.
    Through(Job, Kind),
}

/// A sample: its name, what makes it, where it runs and how often it is needed
/// at most.
struct Sample {
    name: String,
    work: Work,
    place: Place,
    most: usize,
    /// It waits most of its time, so it is taken beside others that do.
    waits: bool,
}

impl Sample {
    /// Whether a word of the command line means it.
    fn is(&self, word: &str) -> bool {
        self.name == word || self.name.split(':').any(|part| part == word)
    }
}

const MANY: usize = usize::MAX;
use Place::{Anywhere, OneCore};

/// In the order in which they run; a round takes each once.
fn samples() -> Vec<Sample> {
    type Own = fn() -> Result<(), String>;
    const OWN: &[(&str, Own, Place, usize)] = &[
        ("start", sessions::start, Anywhere, MANY),
        ("year", year::start, Anywhere, MANY),
        ("charts", year::charts, Anywhere, MANY),
        ("build", programs::build, Anywhere, 1),
        ("relay_aes", relay::aes, Anywhere, MANY),
        ("relay_chacha", relay::chacha, Anywhere, MANY),
        ("threads", relay::threads, Anywhere, MANY),
        ("tcp_one_core", loopback::one_core, OneCore, MANY),
        ("tcp_two_cores", loopback::two_cores, OneCore, MANY),
        ("trip_one_core", relay::round_trip, OneCore, MANY),
        ("trip", relay::round_trip_free, Anywhere, MANY),
        ("across", relay::across, Anywhere, MANY),
        ("across_one_core", relay::trip_across, OneCore, MANY),
        ("across_free", relay::trip_across_free, Anywhere, MANY),
        ("network", network::meet, Anywhere, 3),
        ("sessions_1000", sessions::thousand, Anywhere, 3),
        ("sessions_5000", sessions::five_thousand, Anywhere, 3),
        ("sessions_churn", sessions::churn, Anywhere, 3),
        ("rpc", monitoring::rate, Anywhere, MANY),
        ("monitored", monitoring::relay_meanwhile, Anywhere, MANY),
        ("stall", relay::stall, Anywhere, 3),
        ("mainline", mainline::beside, Anywhere, 3),
    ];
    let own = OWN.iter().map(|(name, take, place, most)| Sample {
        name: (*name).to_owned(),
        work: Work::Own(*take),
        place: *place,
        most: *most,
        waits: false,
    });
    let idle = Sample {
        name: "idle".to_owned(),
        work: Work::Own(idle::watch),
        place: Anywhere,
        most: 1,
        waits: true,
    };
    let jobs = Job::ALL.into_iter().flat_map(|job| {
        Kind::ALL.into_iter().map(move |kind| Sample {
            name: format!("{}:{}", job.name(), kind.name()),
            work: Work::Through(job, kind),
            place: match job {
                Job::RoundTripOneCore => OneCore,
                _ => Anywhere,
            },
            most: match job {
                Job::Connections => 3,
                Job::Size => 1,
                _ => MANY,
            },
            waits: job == Job::Connections,
        })
    });
    own.chain(jobs).chain([idle]).collect()
}

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
    let samples = samples();
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    if let [word, rest @ ..] = &args[..] {
        match (word.as_str(), rest) {
            ("sample", [name]) => {
                let Some(sample) = samples.iter().find(|s| s.name == *name) else {
                    panic!("no sample {name}");
                };
                let taken = match sample.work {
                    Work::Own(take) => take(),
                    Work::Through(job, kind) => job.run(kind),
                };
                if let Err(reason) = taken {
                    println!("{SKIPPED} {}", reason.replace('\n', " "));
                }
                return ExitCode::SUCCESS;
            }
            ("echo", []) => {
                loopback::echo();
                return ExitCode::SUCCESS;
            }
            // What would be measured: scripts/bench asks whether it needs others' programs.
            ("list", words) => {
                for sample in wanted(&samples, words) {
                    println!("{}", sample.name);
                }
                return ExitCode::SUCCESS;
            }
            _ => {}
        }
    }
    for word in &args {
        if !samples.iter().any(|s| s.is(word)) {
            let known: Vec<_> = samples.iter().map(|s| s.name.as_str()).collect();
            eprintln!(
                "figures: there is no {word}; there are: {}",
                known.join(" ")
            );
            return ExitCode::from(2);
        }
    }
    let found = measure(&wanted(&samples, &args));
    table::print(&found.values);
    compare::print(&found.values);
    if !found.missing.is_empty() {
        println!();
    }
    for (name, reason) in &found.missing {
        println!("skipped: {name}: {reason}");
    }
    ExitCode::SUCCESS
}

/// All samples, or those that are named.
fn wanted<'a>(samples: &'a [Sample], words: &[String]) -> Vec<&'a Sample> {
    let all = words.is_empty();
    samples
        .iter()
        .filter(|sample| all || words.iter().any(|word| sample.is(word)))
        .collect()
}

/// What a sample that could not be taken says before the reason.
const SKIPPED: &str = "skipped:";

/// What came out of all samples.
#[derive(Default)]
struct Found {
    values: BTreeMap<String, Vec<f64>>,
    /// Samples that were not taken, and why.
    missing: BTreeMap<String, String>,
}

impl Found {
    fn add(&mut self, sample: &Sample, taken: Result<Vec<(String, f64)>, String>) {
        match taken {
            Ok(lines) => {
                for (key, value) in lines {
                    self.values.entry(key).or_default().push(value);
                }
            }
            Err(reason) => {
                eprintln!("figures: {} gave nothing: {reason}", sample.name);
                self.missing.insert(sample.name.clone(), reason);
            }
        }
    }
}

/// Takes all wanted samples, a round at a time: what disturbs the machine for a
/// while then spoils a sample of several figures instead of a figure.
fn measure(wanted: &[&Sample]) -> Found {
    let mut found = Found::default();
    let runs = usize::try_from(setting("RUNS", 5)).unwrap().max(1);
    for round in 0..runs {
        let due = wanted.iter().filter(|sample| round < sample.most);
        let (waiting, busy): (Vec<&Sample>, Vec<&Sample>) = due.partition(|sample| sample.waits);
        for sample in busy {
            eprintln!("round {} of {runs}: {}", round + 1, sample.name);
            found.add(sample, take(sample));
        }
        // What waits for a minute has the machine to itself, but for its like.
        let taken: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> = waiting
                .iter()
                .map(|sample| {
                    eprintln!("round {} of {runs}: {}", round + 1, sample.name);
                    scope.spawn(|| take(sample))
                })
                .collect();
            running.into_iter().map(|r| r.join().unwrap()).collect()
        });
        for (sample, taken) in waiting.into_iter().zip(taken) {
            found.add(sample, taken);
        }
    }
    found
}

/// Runs this program again for one sample.
fn take(sample: &Sample) -> Result<Vec<(String, f64)>, String> {
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = match sample.place {
        Anywhere => Command::new(me),
        OneCore => machine::on_core(0, &me),
    };
    let output = command
        .args(["sample", &sample.name])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| match sample.place {
            Anywhere => e.to_string(),
            OneCore => format!("taskset: {e} (util-linux has it)"),
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let skipped = text.lines().find_map(|line| line.strip_prefix(SKIPPED));
    if let Some(reason) = skipped {
        return Err(reason.trim().to_owned());
    }
    if !output.status.success() {
        return Err(output.status.to_string());
    }
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?)))
        .collect())
}
