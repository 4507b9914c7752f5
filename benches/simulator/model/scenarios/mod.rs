//! What is measured.

pub mod attack;
pub mod churning;
pub mod clocks;
pub mod idle;
pub mod partition;
pub mod phone;
pub mod reconnect;
pub mod standing;
pub mod tools;

use super::churn::Sessions;
use super::population::Population;
use super::report::Report;
use chr_node::dht::choice::Prefer;
use std::time::Duration;

/// What the command line may change; none: the scenario's own.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub nodes: Option<usize>,
    pub seed: u64,
    pub nat: Option<f64>,
    pub loss: Option<f64>,
    pub liars: Option<f64>,
    pub lookups: Option<usize>,
    pub devices: Option<usize>,
    /// Minutes of virtual time that are measured.
    pub minutes: Option<u64>,
    pub sessions: Option<Sessions>,
    pub prefer: Prefer,
}

impl Options {
    /// The network of a scenario with these defaults.
    fn population(&self, nodes: usize, nat: f64, loss: f64) -> Population {
        let nodes = self.nodes.unwrap_or(nodes);
        Population {
            nodes,
            seed: self.seed,
            nat: self.nat.unwrap_or(nat),
            loss: self.loss.unwrap_or(loss),
            liars: 0.0,
            // 50 newcomers a second in large networks.
            join: Duration::from_secs(60).max(Duration::from_millis(20) * nodes as u32),
            settle: Duration::from_secs(300),
            prefer: self.prefer,
        }
    }
}

/// One scenario.
pub struct Scenario {
    pub name: &'static str,
    pub about: &'static str,
    pub run: fn(&Options) -> Report,
}

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "static",
        about: "nobody comes or goes: what lookups cost",
        run: standing::run,
    },
    Scenario {
        name: "churn",
        about: "sessions with a median of 60 min, 5 % loss: lookups of live devices",
        run: churning::run,
    },
    Scenario {
        name: "attack-random",
        about: "20 % of all nodes lie",
        run: attack::random,
    },
    Scenario {
        name: "attack-victim",
        about: "200 liars with the ids closest to one key, from 4 networks",
        run: attack::victim,
    },
    Scenario {
        name: "partition",
        about: "half the network is cut off for an hour",
        run: partition::run,
    },
    Scenario {
        name: "clocks",
        about: "a tenth of the clocks at 1970, a tenth ten years ahead",
        run: clocks::run,
    },
    Scenario {
        name: "idle",
        about: "bytes a second when nobody asks for anything",
        run: idle::run,
    },
    Scenario {
        name: "reconnect",
        about: "1,000 devices come to one node at once",
        run: reconnect::run,
    },
    Scenario {
        name: "phone",
        about: "a month of a phone: Doze, other networks; what it costs, when it is found again",
        run: phone::run,
    },
];
