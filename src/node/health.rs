//! How each layer of the node is, and since when; without I/O.
//!
//! Whoever looks brings what is wrong at the moment ([`Finding`]s). A layer is at
//! once as bad as the worst of them, and better only when that was gone for
//! [`CALM`]: what comes and goes every second is one state and no flutter.

use crate::rpc::HealthState;
use crate::time::Moment;
use std::time::Duration;

/// How long what is wrong must be gone before the layer is called better.
pub const CALM: Duration = Duration::from_secs(5);

/// A part of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Its services run.
    Process,
    /// Devices and other nodes reach it.
    Network,
    /// What must survive is kept.
    Storage,
    /// It answers in time.
    Performance,
    /// What it needs of others is there: its fleet, the time, the chain.
    Integration,
}

impl Layer {
    /// All of them.
    pub const ALL: [Layer; 5] = [
        Layer::Process,
        Layer::Network,
        Layer::Storage,
        Layer::Performance,
        Layer::Integration,
    ];

    /// As operators read it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Layer::Process => "process",
            Layer::Network => "network",
            Layer::Storage => "storage",
            Layer::Performance => "performance",
            Layer::Integration => "integration",
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub layer: Layer,
    /// How bad it is.
    pub state: HealthState,
    /// What.
    pub reason: String,
    /// What to do.
    pub remedy: &'static str,
}

/// How one layer is.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its state.
    pub state: HealthState,
    /// Since when it is in that state.
    pub since: Moment,
    /// What is wrong, as seen when it was last as bad as `state` says.
    pub findings: Vec<Finding>,
    /// Since when it could be called better.
    better: Option<Moment>,
}

impl Standing {
    /// The worst thing that is wrong.
    #[must_use]
    pub fn worst(&self) -> Option<&Finding> {
        let mut findings = self.findings.iter();
        findings.find(|finding| finding.state == self.state)
    }

    fn look(&mut self, found: Vec<Finding>, now: Moment) -> bool {
        let states = found.iter().map(|finding| finding.state);
        let worst = states.max().unwrap_or(HealthState::Ok);
        if worst < self.state {
            let better = *self.better.get_or_insert(now);
            if now.since(better) < CALM {
                return false;
            }
        }
        self.better = None;
        self.findings = found;
        let changed = worst != self.state;
        if changed {
            (self.state, self.since) = (worst, now);
        }
        changed
    }
}

/// How all of them are.
#[derive(Clone, Debug)]
pub struct Layers([Standing; 5]);

impl Layers {
    /// Nothing is wrong at the start.
    #[must_use]
    pub fn new(now: Moment) -> Layers {
        Layers(Layer::ALL.map(|_| Standing {
            state: HealthState::Ok,
            since: now,
            findings: Vec::new(),
            better: None,
        }))
    }

    /// Takes what is wrong at the moment. True when a layer's state has changed.
    pub fn look(&mut self, mut findings: Vec<Finding>, now: Moment) -> bool {
        let mut changed = false;
        for (layer, standing) in Layer::ALL.into_iter().zip(&mut self.0) {
            let (here, rest) = findings.into_iter().partition(|f| f.layer == layer);
            findings = rest;
            changed |= standing.look(here, now);
        }
        changed
    }

    /// Each layer and how it is.
    pub fn iter(&self) -> impl Iterator<Item = (Layer, &Standing)> {
        Layer::ALL.into_iter().zip(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn second(n: u64) -> Moment {
        Moment(n * 1_000_000_000)
    }

    fn disk(state: HealthState) -> Vec<Finding> {
        vec![Finding {
            layer: Layer::Storage,
            state,
            reason: format!("the disk is {state:?}"),
            remedy: "free some space",
        }]
    }

    fn storage(layers: &Layers) -> Standing {
        let mut all = layers.iter();
        all.find(|(l, _)| *l == Layer::Storage).unwrap().1.clone()
    }

    #[test]
    fn a_fault_is_told_at_once_and_forgotten_only_when_it_was_gone_for_a_while() {
        let mut layers = Layers::new(second(1));
        assert!(!layers.look(Vec::new(), second(10)));
        assert!(layers.look(disk(HealthState::Degraded), second(11)));
        let seen = storage(&layers);
        assert_eq!(
            (seen.state, seen.since),
            (HealthState::Degraded, second(11))
        );
        assert_eq!(seen.worst().unwrap().remedy, "free some space");
        // The others are as they were, since the start.
        let ok = layers.iter().filter(|(_, s)| s.since == second(1)).count();
        assert_eq!(ok, 4);
        // It comes and goes: one state.
        for n in 12..60 {
            let found = match n % 3 {
                0 => disk(HealthState::Degraded),
                _ => Vec::new(),
            };
            assert!(!layers.look(found, second(n)), "flutter at {n}");
        }
        layers.look(disk(HealthState::Degraded), second(99));
        assert!(!layers.look(Vec::new(), second(100)));
        assert!(!layers.look(Vec::new(), second(104)));
        assert!(storage(&layers).worst().is_some());
        assert!(layers.look(Vec::new(), second(105)));
        let seen = storage(&layers);
        assert_eq!((seen.state, seen.since), (HealthState::Ok, second(105)));
        assert_eq!(seen.worst(), None);
    }

    #[test]
    fn what_gets_worse_is_told_at_once_and_what_is_half_mended_after_a_while() {
        let mut layers = Layers::new(second(1));
        layers.look(disk(HealthState::Degraded), second(2));
        assert!(layers.look(disk(HealthState::Failing), second(3)));
        assert_eq!(storage(&layers).since, second(3));
        assert!(!layers.look(disk(HealthState::Degraded), second(4)));
        assert_eq!(
            storage(&layers).worst().unwrap().state,
            HealthState::Failing
        );
        assert!(layers.look(disk(HealthState::Degraded), second(9)));
        let seen = storage(&layers);
        assert_eq!(seen.worst().unwrap().reason, "the disk is Degraded");
    }
}
