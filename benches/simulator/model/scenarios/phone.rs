//! `phone`: a month of a phone that publishes a port and runs a node beside it.
//!
//! Its node is a client of the DHT. Its device has sessions with two nodes, which publish its
//! presence. The phone sleeps (Doze) for one to three hours at a time by night and up to
//! two by day, moves between networks, asleep and awake, and its owner opens ports of others now
//! and then. After each wake the others look for it once a second, until what they find names a
//! node that has a session with it. Nothing tells the phone that its old connections are dead.

use super::tools;
use super::Options;
use crate::model::device::{self, Device};
use crate::model::machine::Role;
use crate::model::report::{Report, Target};
use crate::model::session::{Home, Line, Program, SharedClock};
use crate::model::stats::{mean, percentile};
use crate::model::world::World;
use chr_node::identity::SecretKey;
use chr_node::time::Moment;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
/// In minutes.
const DAY: u64 = 24 * 60;
/// In minutes.
const MONTH: u64 = 30 * DAY;
/// One way between the phone and a node: a mobile network at its ordinary.
const ONE_WAY: Duration = Duration::from_millis(60);
/// From nothing to TLS: the radio, TCP, two round trips of TLS.
const CONNECT: Duration = Duration::from_millis(1_500);
/// The pause before the first attempt after an end, and the head start that the first node has.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(3)];
/// How long routers remember a connection over which nothing goes; the shortest that RFC 5382
/// allows is two hours, mobile networks have a few minutes.
const REMEMBERED: Duration = Duration::from_secs(600);
/// How often a node signs a presence anew.
const SIGN_AGAIN: Duration = Duration::from_secs(1800);
/// After that the others give up looking.
const PATIENCE: Duration = Duration::from_secs(300);
/// Tags of lookups: those of the others, those of the phone's owner.
const LOOKING: u64 = 1;
const OWNER: u64 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happening {
    Sleep,
    Wake,
    /// Another network, without sleep.
    Move,
    /// Its owner opens a port of somebody.
    Use,
}

/// What happens to the phone, in order.
fn script(world: &mut World, minutes: u64) -> VecDeque<(Moment, Happening)> {
    let begin = world.now;
    let mut list = Vec::new();
    let at = |minute: f64| begin + MINUTE.mul_f64(minute);
    let rng = &mut world.rng;
    let mut minute = 5.0;
    while minute < minutes as f64 {
        // Seven hours of night: Doze with windows of five minutes.
        let night = minute % DAY as f64 <= 7.0 * 60.0;
        let (sleep, awake) = if night {
            (60.0 + 120.0 * rng.f64(), 5.0)
        } else {
            (10.0 + 110.0 * rng.f64(), 10.0 + 50.0 * rng.f64())
        };
        list.push((at(minute), Happening::Sleep));
        minute += sleep;
        list.push((at(minute), Happening::Wake));
        for what in [Happening::Move, Happening::Use] {
            if !night && rng.u8(..3) == 0 {
                list.push((at(minute + awake * (0.1 + 0.8 * rng.f64())), what));
            }
        }
        minute += awake;
    }
    let end = at(minutes as f64);
    list.retain(|(at, _)| *at < end);
    list.sort_by_key(|(at, _)| *at);
    list.into()
}

/// A session with one of the two nodes, or the next attempt.
struct Place {
    node: usize,
    home: Home,
    line: Option<Line>,
    connect: Option<Moment>,
    /// The node has told the network; when it signs anew.
    published: Option<Moment>,
    /// Bytes of sessions that are over.
    bytes: u64,
    connections: u64,
}

impl Place {
    /// What the device and the node do by themselves at this moment.
    fn run(&mut self, phone: &Program, asleep: bool, which: usize, now: Moment) {
        if let Some(line) = &mut self.line {
            line.run(now, !asleep);
            let over = !line.is_at_device() && !line.is_at_node();
            if !line.is_at_device() && self.connect.is_none() {
                self.connect = Some(now + PAUSES[which] + CONNECT);
            }
            if over {
                self.bytes += line.bytes;
                self.line = None;
            }
        }
        if !asleep && self.connect.is_some_and(|at| at <= now) {
            self.connect = None;
            // A node replaces the older session of a device.
            self.bytes += self.line.take().map_or(0, |line| line.bytes);
            self.line = Some(Line::new(phone, &self.home, ONE_WAY, now));
            self.connections += 1;
        }
    }

    fn next(&self, asleep: bool, now: Moment) -> Option<Moment> {
        let line = self.line.as_ref().and_then(|line| line.next(now, !asleep));
        let connect = self.connect.filter(|_| !asleep).map(|at| at.max(now));
        [line, connect, self.published].into_iter().flatten().min()
    }

    fn carries(&self) -> bool {
        self.line.as_ref().is_some_and(Line::carries)
    }

    fn bytes(&self) -> u64 {
        self.bytes + self.line.as_ref().map_or(0, |line| line.bytes)
    }
}

pub fn run(options: &Options) -> Report {
    let minutes = options.minutes.unwrap_or(MONTH);
    let population = options.population(24, 0.0, 0.01);
    let mut world = population.up();
    let mut report = Report::default();
    tools::describe(&world, &mut report);
    let places = tools::serving(&world);
    let phone = world.add_behind_nat(Role::Client);
    world.start(phone);
    world.pass(MINUTE);

    let clock = Arc::new(SharedClock::default());
    clock.set(world.now);
    let key = SecretKey::from_bytes(&[5; 32]).expect("a key");
    let mut device = Device::new(key.address());
    let program = Program::new(key, clock.clone());
    let mut homes: Vec<Place> = [places[0], places[1]]
        .into_iter()
        .map(|node| Place {
            node,
            home: Home::new(world.machines[node].id(), clock.clone()),
            line: None,
            connect: Some(world.now),
            published: None,
            bytes: 0,
            connections: 0,
        })
        .collect();
    let mut script = script(&mut world, minutes);
    let end = world.now + MINUTE * minutes as u32;
    let before = world.machines[phone].traffic;
    let (mut asleep, mut slept_at) = (false, world.now);
    let (mut slept, mut wakes, mut moves) = (Duration::ZERO, 0u64, 0u64);
    // Since when the others look, and when they look next.
    let mut looking: Option<(Moment, Moment)> = None;
    let (mut found, mut missed, mut uses) = (Vec::new(), 0u64, (0u64, 0u64));

    while world.now < end {
        let now = world.now;
        let next = homes.iter().filter_map(|h| h.next(asleep, now)).min();
        let happens = script.front().map(|(at, _)| *at);
        let look = looking.map(|(_, at)| at);
        let next = [next, happens, look].into_iter().flatten().min();
        let next = next.unwrap_or(end).min(end);
        world.pass(next.since(now));
        let now = world.now;
        clock.set(now);

        for done in world.take_done() {
            match done.tag {
                LOOKING => {
                    let live: Vec<usize> = homes
                        .iter()
                        .filter(|home| home.carries())
                        .map(|home| home.node)
                        .collect();
                    if let Some((since, _)) = looking {
                        if tools::leads_to(&world, &done.outcome, &live) {
                            found.push(now.since(since).as_secs_f64());
                            looking = None;
                        }
                    }
                }
                OWNER => {
                    uses.0 += 1;
                    uses.1 += u64::from(tools::leads_to(&world, &done.outcome, &[homes[0].node]));
                }
                _ => {}
            }
        }
        while script.front().is_some_and(|(at, _)| *at <= now) {
            let (_, what) = script.pop_front().expect("it was looked at");
            match what {
                Happening::Sleep => {
                    (asleep, slept_at) = (true, now);
                    world.suspend(phone);
                    looking = None;
                }
                Happening::Wake => {
                    asleep = false;
                    slept += now.since(slept_at);
                    wakes += 1;
                    let moved = world.rng.bool();
                    if moved {
                        world.net.move_elsewhere(phone);
                    }
                    world.resume(phone);
                    for home in &mut homes {
                        if let Some(line) = &mut home.line {
                            if moved || now.since(slept_at) > REMEMBERED {
                                line.break_off();
                            }
                            line.wake();
                        }
                    }
                    looking = Some((now, now));
                }
                Happening::Move => {
                    moves += 1;
                    world.net.move_elsewhere(phone);
                    for line in homes.iter_mut().filter_map(|home| home.line.as_mut()) {
                        line.break_off();
                        line.wake();
                    }
                }
                Happening::Use => {
                    let key = device.key();
                    world.find_newest(phone, key, OWNER);
                }
            }
        }
        for (which, home) in homes.iter_mut().enumerate() {
            home.run(&program, asleep, which, now);
            let there = home.line.as_ref().is_some_and(Line::is_at_node);
            if !there && home.published.take().is_some() {
                device.detach(home.node);
            }
            if there && home.published.is_none_or(|at| at <= now) {
                if home.published.is_none() {
                    device.attach(home.node, &mut world.machines[home.node], now);
                }
                home.published = Some(now + SIGN_AGAIN);
                let node = home.node;
                device::publish(&mut world, &device, node, tools::NOBODY);
            }
        }
        if let Some((since, at)) = looking {
            if now.since(since) > PATIENCE {
                missed += 1;
                looking = None;
            } else if at <= now {
                let asker = tools::choose(&mut world, &places[2..]);
                world.find_newest(asker, device.key(), LOOKING);
                looking = Some((since, now + Duration::from_secs(1)));
            }
        }
    }

    let traffic = world.machines[phone].traffic;
    let dht = traffic.bytes() - before.bytes();
    let sessions: u64 = homes.iter().map(Place::bytes).sum();
    let connections: u64 = homes.iter().map(|home| home.connections).sum();
    let month = MONTH as f64 / minutes as f64;
    report.note(format!(
        "{wakes} wakes, {:.0} % of the time asleep, {moves} other networks while awake, {connections} connections; {} of {} of the owner's lookups led to the node",
        slept.as_secs_f64() / (minutes * 60) as f64 * 100.0,
        uses.1,
        uses.0
    ));
    report.figure(
        "control",
        "control traffic of a month, both ways",
        "MB",
        (dht + sessions) as f64 * month / 1e6,
        Target::AtMost(100.0),
    );
    report.figure(
        "dht",
        "… of the DHT",
        "MB",
        dht as f64 * month / 1e6,
        Target::None,
    );
    report.figure(
        "sessions",
        "… of both sessions",
        "MB",
        sessions as f64 * month / 1e6,
        Target::None,
    );
    report.figure(
        "wakes",
        "wakes after which it was looked for",
        "",
        wakes as f64,
        Target::None,
    );
    let all = found.len() as f64 / wakes.max(1) as f64 * 100.0;
    report.figure(
        "found",
        "… and found before it slept again",
        "%",
        all,
        Target::AtLeast(100.0),
    );
    report.figure(
        "missed",
        "… and not found in five minutes",
        "",
        missed as f64,
        Target::AtMost(0.0),
    );
    report.figure(
        "found_mean",
        "found again after, mean",
        "s",
        mean(&found),
        Target::None,
    );
    report.figure(
        "found_last",
        "… at the latest",
        "s",
        percentile(&found, 1.0),
        Target::AtMost(30.0),
    );
    tools::finish(&world, &mut report);
    report
}
