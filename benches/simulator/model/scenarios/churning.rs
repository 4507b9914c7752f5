//! `churn`: machines come and go; are devices that are there found?
//!
//! A device is *live* while it is at a node that is on and has published it. A
//! lookup succeeds when its records name such a node. Where the quick answer names
//! none (all of them left in the meantime), the asker looks for the newest, as a node does that
//! could not reach the places it was told; the time of both counts.

use super::tools::{self, Lookups};
use super::Options;
use crate::model::churn::{Churn, Sessions};
use crate::model::fleet::Fleet;
use crate::model::report::{Report, Target};
use crate::model::stats::mean;
use crate::model::world::{Done, World};
use std::collections::HashMap;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

enum Todo {
    Leave(usize),
    Return(usize),
    Ask,
}

struct Asked {
    device: usize,
    /// What the quick answer took that was of no use.
    spent: Duration,
    again: bool,
}

pub fn run(options: &Options) -> Report {
    let population = options.population(1000, 0.3, 0.05);
    let churn = Churn {
        sessions: options.sessions.unwrap_or(Sessions::Exponential),
        median: MINUTE * 60,
        away: MINUTE * 30,
    };
    // As many more machines as are away at a time, so that `nodes` are on in the mean.
    let mean_session = match churn.sessions {
        Sessions::Exponential => 86.6,
        Sessions::Weibull => 249.7,
    };
    let on = mean_session / (mean_session + 30.0);
    let wanted = population.nodes;
    let all = (wanted as f64 / on) as usize;
    let mut population = population;
    population.nodes = all;
    let mut world = population.build();
    let mut rng = fastrand::Rng::with_seed(options.seed ^ 0xc4);
    let mut report = Report::default();
    let mut agenda = HashMap::new();
    let mut fleet = Fleet::new(2);

    // The network comes up with all machines; those that are away in a balance leave first.
    population.join(&mut world);
    let devices = options.devices.unwrap_or(wanted / 2);
    for _ in 0..devices {
        let end = world.now + MINUTE * 2 / devices as u32;
        fleet.pass(&mut world, end);
        fleet.add(&mut world, None);
    }
    for machine in 0..all {
        if world.is_seed(machine) {
            continue;
        }
        let at = if rng.f64() < on {
            churn.remaining(&mut rng)
        } else {
            Duration::from_secs(60).mul_f64(rng.f64())
        };
        agenda.insert(world.plan(world.now + at), Todo::Leave(machine));
    }
    // Tables get old for an hour before anything is measured.
    let minutes = options.minutes.unwrap_or(60);
    let measured = options.lookups.unwrap_or(5000);
    let start = world.now + MINUTE * 60;
    for lookup in 0..measured {
        let at = start + (MINUTE * minutes as u32).mul_f64(lookup as f64 / measured as f64);
        agenda.insert(world.plan(at), Todo::Ask);
    }
    let end = start + MINUTE * (minutes as u32 + 1);
    let mut state = State::default();
    loop {
        let (plans, done) = fleet.pass(&mut world, end);
        for done in done {
            state.judge(&mut world, &fleet, &done);
        }
        if plans.is_empty() {
            break;
        }
        for plan in plans {
            match agenda.remove(&plan) {
                Some(Todo::Leave(machine)) => {
                    world.stop(machine);
                    fleet.lost(&mut world, machine);
                    let back = world.now + churn.absence(&mut rng);
                    agenda.insert(world.plan(back), Todo::Return(machine));
                    state.left += 1;
                }
                Some(Todo::Return(machine)) => {
                    world.start(machine);
                    let gone = world.now + churn.session(&mut rng);
                    agenda.insert(world.plan(gone), Todo::Leave(machine));
                }
                Some(Todo::Ask) => state.ask(&mut world, &fleet),
                None => {}
            }
        }
    }
    tools::describe(&world, &mut report);
    report.note(format!(
        "sessions {:?} with a median of 60 min, mean absence 30 min: {} times a machine left in {} min; {} lookups of devices that were not live by their end are left out",
        churn.sessions,
        state.left,
        world.now.0 / 60_000_000_000,
        state.void
    ));
    let found = &state.lookups;
    let again = state.again as f64 / found.begun as f64 * 100.0;
    report.figure(
        "found",
        "lookups of live devices that succeed",
        "%",
        found.share() * 100.0,
        Target::AtLeast(99.5),
    );
    tools::trips(
        &world,
        found,
        &mut report,
        Target::AtMost(3.0),
        Target::AtMost(8.0),
    );
    report.figure(
        "requests",
        "… requests, mean",
        "",
        mean(&found.requests),
        Target::None,
    );
    report.figure(
        "again",
        "… that had to look for the newest",
        "%",
        again,
        Target::None,
    );
    report.figure(
        "taken",
        "a STORE is taken by, of k nodes",
        "%",
        mean(&fleet.taken) * 100.0,
        Target::None,
    );
    tools::finish(&world, &mut report);
    report
}

#[derive(Default)]
struct State {
    lookups: Lookups,
    asked: HashMap<u64, Asked>,
    next: u64,
    left: usize,
    /// Lookups whose device was not live any more when they ended.
    void: usize,
    again: usize,
}

impl State {
    /// A node that takes part asks for a device that is live.
    fn ask(&mut self, world: &mut World, fleet: &Fleet) {
        let on = tools::honest(world);
        let asker = loop {
            let asker = tools::choose(world, &on);
            if world.machines[asker].joined.is_some() {
                break asker;
            }
        };
        let device = loop {
            let device = world.rng.usize(..fleet.devices.len());
            if !fleet.homes(device).is_empty() {
                break device;
            }
        };
        self.next += 1;
        let asked = Asked {
            device,
            spent: Duration::ZERO,
            again: false,
        };
        self.asked.insert(self.next, asked);
        self.lookups.begun += 1;
        world.find_value(asker, fleet.devices[device].key(), self.next);
    }

    fn judge(&mut self, world: &mut World, fleet: &Fleet, done: &Done) {
        let Some(mut asked) = self.asked.remove(&done.tag) else {
            return;
        };
        let homes = fleet.homes(asked.device);
        if homes.is_empty() {
            self.void += 1;
            self.lookups.begun -= 1;
            return;
        }
        let good = tools::leads_to(world, &done.outcome, &homes);
        if !good && !asked.again && world.machines[done.machine].is_up() {
            asked.again = true;
            asked.spent = done.took;
            self.again += 1;
            self.next += 1;
            self.asked.insert(self.next, asked);
            let device = self.asked[&self.next].device;
            world.find_newest(done.machine, fleet.devices[device].key(), self.next);
            return;
        }
        let done = Done {
            machine: done.machine,
            tag: done.tag,
            outcome: done.outcome.clone(),
            took: asked.spent + done.took,
            asked: done.asked,
        };
        self.lookups.count(&done, good);
    }
}
