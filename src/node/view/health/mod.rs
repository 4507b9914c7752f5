//! What is wrong, and what to do: a file a layer.
//!
//! Each file looks at the house and names what it finds; what comes of that, and
//! since when, is [`crate::node::health`].

mod integration;
mod network;
mod performance;
mod process;
mod storage;

use super::super::health::{Finding, Layer};
use super::super::house::House;
use super::super::watch::Notes;
use crate::rpc::{Health, HealthLayer, HealthReason, HealthState};
use crate::time::{Clock, Moment};
use std::time::Duration;

/// Health is looked at once in this time, however many ask.
const REFRESH: Duration = Duration::from_millis(250);

/// Takes what is found in one layer.
struct Findings {
    layer: Layer,
    all: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, state: HealthState, reason: String, remedy: &'static str) {
        self.all.push(Finding {
            layer: self.layer,
            state,
            reason,
            remedy,
        });
    }

    /// It relays, but something is missing.
    fn degraded(&mut self, reason: String, remedy: &'static str) {
        self.add(HealthState::Degraded, reason, remedy);
    }

    /// It does not do its job.
    fn failing(&mut self, reason: String, remedy: &'static str) {
        self.add(HealthState::Failing, reason, remedy);
    }
}

impl House {
    /// What `/health` returns.
    pub fn examine(&self) -> Health {
        self.looked(|health| health.clone())
    }

    /// The state alone.
    pub(super) fn state(&self) -> HealthState {
        self.looked(|health| health.status)
    }

    fn looked<T>(&self, tell: impl FnOnce(&Health) -> T) -> T {
        let now = self.clock.now();
        let mut notes = self.watch.notes();
        if let Some((at, health)) = &notes.latest {
            if now.since(*at) < REFRESH {
                return tell(health);
            }
        }
        let health = self.look(&mut notes, now);
        let told = tell(&health);
        notes.latest = Some((now, health));
        told
    }

    fn look(&self, notes: &mut Notes, now: Moment) -> Health {
        self.watch.lag.ask(&self.executor, self.clock.clone());
        let mut findings = Findings {
            layer: Layer::Process,
            all: Vec::new(),
        };
        for layer in Layer::ALL {
            findings.layer = layer;
            match layer {
                Layer::Process => self.process(notes, now, &mut findings),
                Layer::Network => self.reach(now, &mut findings),
                Layer::Storage => self.disk(&mut findings),
                Layer::Performance => self.pace(notes, now, &mut findings),
                Layer::Integration => self.others(notes, now, &mut findings),
            }
        }
        if notes.layers.look(findings.all, now) {
            for (layer, standing) in notes.layers.iter() {
                if standing.since == now {
                    let why = standing.worst().map_or("", |worst| worst.reason.as_str());
                    log::debug!("health: {} is {:?} {why}", layer.name(), standing.state);
                }
            }
        }
        self.tell(notes, now)
    }

    fn tell(&self, notes: &Notes, now: Moment) -> Health {
        let unix = self.clock.best();
        let mut health = Health::ok();
        for (layer, standing) in notes.layers.iter() {
            let lasted = now.since(standing.since).as_secs();
            let worst = standing.worst();
            health.layers.push(HealthLayer {
                layer: layer.name(),
                state: standing.state,
                since: (self.clock.date(standing.since))
                    .or_else(|| Some(unix?.saturating_sub(lasted))),
                seconds: lasted,
                reason: worst.map(|worst| worst.reason.clone()),
                remedy: worst.map(|worst| worst.remedy.to_owned()),
            });
            for finding in &standing.findings {
                health.add(HealthReason {
                    layer: layer.name().to_owned(),
                    state: finding.state,
                    reason: finding.reason.clone(),
                    remedy: finding.remedy.to_owned(),
                });
            }
        }
        health
    }
}
