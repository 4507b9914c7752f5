//! What is measured of a DHT, and how it is told.

use std::time::{Duration, Instant};

/// Nodes of either network.
pub const NODES: usize = 100;
/// Values that are put, one after the other.
pub const PUTS: usize = 100;
/// Values that are got, one after the other, by a node that did not put them.
pub const GETS: usize = 500;

/// A network whose nodes put and get values of their own making.
pub trait Network {
    /// What a value is found by.
    type Key: Clone;
    /// Puts a value at a node; its key once the nodes that should have it have answered.
    fn put(&mut self, node: usize, value: Vec<u8>) -> Option<Self::Key>;
    /// Gets a value at a node.
    fn get(&mut self, node: usize, key: &Self::Key) -> Option<Vec<u8>>;
}

/// How long they took, in milliseconds.
pub struct Figures {
    puts: Vec<f64>,
    gets: Vec<f64>,
    missed: usize,
}

/// Puts and gets, by nodes chosen by chance, the same for either network.
pub fn measure(network: &mut impl Network) -> Figures {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut figures = Figures {
        puts: Vec::new(),
        gets: Vec::new(),
        missed: 0,
    };
    let mut values = Vec::new();
    for _ in 0..PUTS {
        let node = rng.usize(..NODES);
        let value: Vec<u8> = (0..200).map(|_| rng.u8(..)).collect();
        let began = Instant::now();
        match network.put(node, value.clone()) {
            Some(key) => values.push((node, key, value)),
            None => figures.missed += 1,
        }
        figures.puts.push(milliseconds(began.elapsed()));
    }
    for _ in 0..GETS {
        let (by, key, value) = &values[rng.usize(..values.len())];
        let node = (by + rng.usize(1..NODES)) % NODES;
        let began = Instant::now();
        let found = network.get(node, key);
        figures.gets.push(milliseconds(began.elapsed()));
        figures.missed += usize::from(found.as_ref() != Some(value));
    }
    figures.puts.sort_by(f64::total_cmp);
    figures.gets.sort_by(f64::total_cmp);
    figures
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Nearest rank of sorted values.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.max(1) - 1]
}

/// A row: for programs, for people, target of ours, value.
type Row = (&'static str, &'static str, Option<f64>, f64);

impl Figures {
    fn rows(&self) -> [Row; 6] {
        let mean = self.puts.iter().sum::<f64>() / self.puts.len() as f64;
        let (gets, puts) = (&self.gets, &self.puts);
        [
            ("get_p50", "get, p50, ms", Some(4.0), percentile(gets, 0.5)),
            (
                "get_p99",
                "get, p99, ms",
                Some(20.0),
                percentile(gets, 0.99),
            ),
            ("put_mean", "put, mean, ms", Some(60.0), mean),
            ("put_p50", "put, p50, ms", None, percentile(puts, 0.5)),
            ("put_p99", "put, p99, ms", None, percentile(puts, 0.99)),
            (
                "missed",
                "not found or not put",
                Some(0.0),
                self.missed as f64,
            ),
        ]
    }

    /// Lines for programs.
    pub fn say(&self, name: &str) {
        for (key, _, _, value) in self.rows() {
            println!("{name}_{key} {value}");
        }
    }
}

/// A table of both; whether ours reaches its targets.
pub fn print(ours: &Figures, theirs: &Figures) -> bool {
    println!("| figure | target | chr-node | mainline | |");
    println!("| --- | ---: | ---: | ---: | --- |");
    let mut good = true;
    for ((_, name, target, mine), (_, _, _, other)) in ours.rows().into_iter().zip(theirs.rows()) {
        let reached = target.is_none_or(|target| mine <= target);
        good &= reached;
        let (target, verdict) = match target {
            Some(target) => (format!("<= {target}"), if reached { "ok" } else { "OVER" }),
            None => (String::new(), ""),
        };
        println!("| {name} | {target} | {mine:.2} | {other:.2} | {verdict} |");
    }
    good
}
