//! The signed word that a device is here: asked, checked, handed on, renewed.

use super::raw::{hello, welcome, Raw};
use super::world::{node_key, Program, World, EPOCH};
use crate::edge::server::Announce;
use crate::identity::{Address, SecretKey};
use crate::session::Stop;
use crate::ticket::EPOCH_SECONDS;
use crate::wire::code::Code;
use crate::wire::control::{ErrorAnswer, Hello, Ping, Pong, TicketAccepted, TicketAsk, Welcome};
use crate::wire::presence::{
    recover, DevicePresence, PresenceAsk, PresenceSigned, PresenceTaken, AHEAD_MAX, CAPABILITY,
    VALID_MAX,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The wall clock of a world at its beginning.
const NOW: u64 = EPOCH * EPOCH_SECONDS + 1_001;

/// Notes what it is told.
#[derive(Default)]
struct Network {
    /// What the network knows of other nodes.
    known: Mutex<HashMap<Address, u64>>,
    came: Mutex<Vec<DevicePresence>>,
    left: Mutex<Vec<(Address, u64)>>,
}

impl Announce for Network {
    fn last(&self, device: Address) -> u64 {
        let here = self.came.lock().unwrap();
        let here = here.iter().filter(|p| p.device == device).map(|p| p.t);
        let known = self.known.lock().unwrap().get(&device).copied();
        here.chain(known).max().unwrap_or(0)
    }
    fn came(&self, presence: DevicePresence) {
        assert!(presence.t > self.last(presence.device));
        self.came.lock().unwrap().push(presence);
    }
    fn left(&self, device: Address, t: u64) {
        self.left.lock().unwrap().push((device, t));
    }
}

impl Network {
    fn came(&self) -> Vec<DevicePresence> {
        self.came.lock().unwrap().clone()
    }
    fn left(&self) -> Vec<(Address, u64)> {
        self.left.lock().unwrap().clone()
    }
}

fn world(paid: bool, trusted: bool) -> (World, Arc<Network>) {
    let network: Arc<Network> = Arc::default();
    let announce = network.clone();
    let world = World::with(move |plan| {
        plan.terms.tickets_required = paid;
        plan.clock_trusted = trusted;
        plan.presence = Some(announce);
    });
    (world, network)
}

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32]).unwrap()
}

fn signed(n: u8, t: u64, not_after: u64) -> PresenceSigned {
    let said = DevicePresence::sign(&key(n), node_key().address(), t, not_after);
    PresenceSigned {
        t,
        not_after,
        signature: said.device_sig,
    }
}

fn able() -> Hello {
    Hello {
        capabilities: CAPABILITY | 1 << 40,
        ..hello()
    }
}

/// A raw device that knows about presence, on a node without tickets.
fn raw_device(world: &mut World) -> (Raw, PresenceAsk) {
    let mut raw = Raw::device(world, 1, true);
    raw.say(world, 1, &able());
    let (_, welcome) = raw.expect::<Welcome>(world);
    assert_eq!(welcome.capabilities, CAPABILITY, "a bit that nobody knows");
    let (id, ask) = raw.expect::<PresenceAsk>(world);
    assert_eq!(id, 0);
    (raw, ask)
}

/// A raw node that asks `program` for its presence.
fn raw_node(world: &mut World, program: &Program, ask: &PresenceAsk) -> Raw {
    let mut raw = Raw::node(world, program);
    let (id, hello) = raw.expect::<Hello>(world);
    assert_eq!(hello.capabilities & CAPABILITY, CAPABILITY);
    let welcome = Welcome {
        capabilities: CAPABILITY,
        ..welcome(false)
    };
    raw.say(world, id, &welcome);
    raw.say(world, 0, ask);
    raw
}

fn ask(last_t: u64, unix_time: u64) -> PresenceAsk {
    PresenceAsk { last_t, unix_time }
}

fn refused(world: &mut World, raw: &mut Raw, id: u32, signed: &PresenceSigned) -> ErrorAnswer {
    raw.say(world, id, signed);
    let error = raw.refused(world, id);
    assert_eq!(error.code, Code::PRESENCE, "{}", error.text);
    error
}

#[test]
fn a_device_is_announced_with_its_first_ticket_and_leaves_with_its_session() {
    for paid in [true, false] {
        let (mut world, network) = world(paid, true);
        let a = Program::new(1);
        let line = world.connect(&a);
        // No time has passed at all.
        let came = network.came();
        assert_eq!(came.len(), 1, "paid: {paid}");
        assert_eq!(came[0].check(&recover), Ok(()));
        assert_eq!((came[0].t, came[0].not_after), (NOW, NOW + VALID_MAX));
        assert_eq!(came[0].device, a.address());
        assert_eq!(came[0].node, node_key().address());
        assert!(network.left().is_empty());
        world.lines[line].break_off();
        world.settle();
        assert_eq!(network.left(), [(a.address(), NOW)]);
        world.close();
    }
}

#[test]
fn a_device_is_not_announced_before_its_ticket_was_accepted() {
    let (mut world, network) = world(true, true);
    let mut raw = Raw::device(&mut world, 1, true);
    raw.say(&mut world, 1, &able());
    raw.expect::<TicketAsk>(&mut world);
    let word = signed(1, NOW, NOW + VALID_MAX);
    raw.say(&mut world, 3, &word);
    assert_eq!(raw.refused(&mut world, 3).code, Code::NO_TICKET);
    assert!(network.came().is_empty());
    let ticket = raw.ticket(&world, EPOCH, 4 << 20);
    raw.say(&mut world, 5, &ticket);
    raw.expect::<TicketAccepted>(&mut world);
    raw.say(&mut world, 7, &word);
    assert_eq!(raw.expect::<PresenceTaken>(&mut world).0, 7);
    assert_eq!(network.came().len(), 1);
}

#[test]
fn a_device_that_does_not_know_of_presence_is_served_and_not_asked() {
    let (mut world, network) = world(false, true);
    let mut raw = Raw::device(&mut world, 1, true);
    raw.say(&mut world, 1, &hello());
    let (_, welcome) = raw.expect::<Welcome>(&mut world);
    assert_eq!(welcome.capabilities, 0);
    raw.publish(&mut world, 3, "tcp:80");
    assert!(raw.all::<PresenceAsk>(&mut world).is_empty());
    raw.assert_alive(&world);
    assert!(network.came().is_empty());
    // It was agreed to do without.
    raw.say(&mut world, 5, &signed(1, NOW, NOW + 9));
    raw.expect_end(&mut world, Code::PROTOCOL);
    assert!(network.left().is_empty());
}

#[test]
fn a_node_that_tells_nobody_does_not_ask_and_its_devices_do_without() {
    let mut world = World::free();
    let mut raw = Raw::device(&mut world, 1, true);
    raw.say(&mut world, 1, &able());
    assert_eq!(raw.expect::<Welcome>(&mut world).1.capabilities, 0);
    assert!(raw.all::<PresenceAsk>(&mut world).is_empty());
    let a = Program::new(2);
    let line = world.connect(&a);
    assert_eq!(world.device_stop(line), None);
    // And a node that asks without having agreed breaks the rules.
    let b = Program::new(3);
    let mut raw = Raw::welcoming(&mut world, &b);
    raw.say(&mut world, 0, &ask(0, NOW));
    raw.expect_end(&mut world, Code::PROTOCOL);
}

#[test]
fn a_presence_that_is_old_forged_or_not_now_is_refused_and_not_handed_on() {
    let (mut world, network) = world(false, true);
    network
        .known
        .lock()
        .unwrap()
        .insert(key(1).address(), NOW - 50);
    let (mut raw, ask) = raw_device(&mut world);
    assert_eq!((ask.last_t, ask.unix_time), (NOW - 50, NOW));
    let day = NOW + VALID_MAX;
    // Old: what it must be newer than is said.
    for t in [0, NOW - 51, NOW - 50] {
        let error = refused(&mut world, &mut raw, 3, &signed(1, t, t + 60));
        assert_eq!(error.limit, Some(NOW - 50));
    }
    // Not now.
    for (t, not_after) in [
        (NOW - 49, NOW),
        (NOW + AHEAD_MAX + 1, day),
        (u64::MAX - 1, u64::MAX),
    ] {
        let error = refused(&mut world, &mut raw, 5, &signed(1, t, not_after));
        assert_eq!(error.limit, None, "{t}");
    }
    // Forged: another device's, another node's, other times.
    let other = DevicePresence::sign(&key(1), key(7).address(), NOW, day);
    let elsewhere = PresenceSigned {
        t: NOW,
        not_after: day,
        signature: other.device_sig,
    };
    let mut moved = signed(1, NOW, day);
    moved.t += 1;
    for word in [signed(2, NOW, day), elsewhere, moved] {
        refused(&mut world, &mut raw, 7, &word);
        world.pass(Duration::from_secs(60));
    }
    // Too long.
    refused(&mut world, &mut raw, 9, &signed(1, NOW, day + 1));
    assert!(network.came().is_empty());
    raw.say(&mut world, 11, &signed(1, NOW + 1, day + 1));
    raw.expect::<PresenceTaken>(&mut world);
    // The same once more is a replay.
    let error = refused(&mut world, &mut raw, 13, &signed(1, NOW + 1, day + 1));
    assert_eq!(error.limit, Some(NOW + 1));
    assert_eq!(network.came().len(), 1);
    raw.assert_alive(&world);
}

#[test]
fn signatures_of_a_session_are_checked_a_few_a_minute() {
    let (mut world, network) = world(false, true);
    let (mut raw, _) = raw_device(&mut world);
    let mut taken = 0;
    for i in 0..100 {
        let t = NOW + i;
        raw.say(&mut world, 3, &signed(1, t, t + 60));
        if raw.all::<PresenceTaken>(&mut world).len() == 1 {
            taken += 1;
        }
    }
    assert_eq!(taken, 4);
    let error = refused(&mut world, &mut raw, 5, &signed(1, NOW + 100, NOW + 160));
    let wait = Duration::from_millis(error.retry_after_ms.unwrap().into());
    assert!(wait <= Duration::from_secs(15), "{wait:?}");
    world.pass(wait - Duration::from_millis(1));
    refused(&mut world, &mut raw, 7, &signed(1, NOW + 100, NOW + 160));
    world.pass(Duration::from_millis(1));
    raw.say(&mut world, 9, &signed(1, NOW + 100, NOW + 160));
    raw.expect::<PresenceTaken>(&mut world);
    assert_eq!(network.came().len(), 5);
}

#[test]
fn a_device_says_again_that_it_is_here_before_its_word_runs_out() {
    let (mut world, network) = world(true, true);
    let a = Program::new(1);
    let line = world.connect(&a);
    for half_days in 1..5u64 {
        world.pass(Duration::from_secs(VALID_MAX / 2 + 1));
        let came = network.came();
        assert_eq!(came.len() as u64, 1 + half_days);
        let newest = came.last().unwrap();
        assert!(newest.t >= NOW + half_days * VALID_MAX / 2);
        assert_eq!(newest.check(&recover), Ok(()));
        // There was none of an hour in between.
        let before = &came[came.len() - 2];
        assert!(before.not_after > newest.t + 3600);
    }
    assert_eq!(world.device_stop(line), None);
    assert!(network.left().is_empty());
    world.lines[line].break_off();
    world.settle();
    let last = network.came().last().unwrap().t;
    assert_eq!(network.left(), [(a.address(), last)]);
    world.close();
}

#[test]
fn the_end_of_an_older_session_does_not_take_the_newer_ones_word_away() {
    let (mut world, network) = world(true, true);
    let first = Program::new(1);
    world.connect(&first);
    let second = Program::new(1);
    world.connect(&second);
    let came = network.came();
    assert_eq!(came.len(), 2);
    assert!(came[1].t > came[0].t);
    // The older one is named by its own word.
    assert_eq!(network.left(), [(first.address(), came[0].t)]);
    world.close();
}

#[test]
fn a_device_whose_time_is_known_elsewhere_signs_a_newer_one_at_once() {
    // The network knows of a time that lies a little ahead: two nodes, one second.
    let (mut world, network) = world(true, true);
    network
        .known
        .lock()
        .unwrap()
        .insert(key(1).address(), NOW + 5);
    world.connect(&Program::new(1));
    assert_eq!(network.came()[0].t, NOW + 6);
    // It learns of one between the ask and the answer.
    let a = Program::new(2);
    let mut raw = raw_node(&mut world, &a, &ask(3, NOW));
    let (id, word) = raw.expect::<PresenceSigned>(&mut world);
    assert_eq!(word.t, NOW);
    let error = ErrorAnswer {
        code: Code::PRESENCE,
        text: "newer".into(),
        limit: Some(NOW + 3),
        retry_after_ms: None,
    };
    raw.say(&mut world, id, &error);
    let (id, word) = raw.expect::<PresenceSigned>(&mut world);
    assert_eq!(word.t, NOW + 4);
    raw.say(&mut world, id, &PresenceTaken {});
    raw.assert_alive(&world);
}

#[test]
fn a_node_that_refuses_everything_does_not_make_a_device_sign_for_ever() {
    let (mut world, _) = world(false, true);
    let a = Program::new(2);
    let mut raw = raw_node(&mut world, &a, &ask(3, NOW));
    /// Refuses what came and answers pings; the number of words.
    fn refuse(world: &mut World, raw: &mut Raw, last: u64) -> usize {
        let mut words = 0;
        for heard in raw.heard(world) {
            if let Some((id, _)) = heard.is::<Ping>() {
                raw.say(world, id, &Pong {});
            }
            let Some((id, _)) = heard.is::<PresenceSigned>() else {
                continue;
            };
            words += 1;
            let error = ErrorAnswer {
                code: Code::PRESENCE,
                text: "no".into(),
                limit: Some(NOW + last),
                retry_after_ms: Some(0),
            };
            raw.say(world, id, &error);
        }
        words
    }
    let mut words = 0;
    for last in 0..50 {
        raw.say(&mut world, 0, &ask(last, NOW));
        words += refuse(&mut world, &mut raw, last);
    }
    assert_eq!(words, 3);
    // It tries again every ten minutes.
    let mut later = 0;
    for _ in 0..50 {
        world.pass(Duration::from_secs(20));
        later += refuse(&mut world, &mut raw, 0);
    }
    raw.assert_alive(&world);
    assert_eq!(later, 3);
}

#[test]
fn an_answer_to_a_presence_that_was_never_sent_ends_the_session() {
    let (mut world, _) = world(false, true);
    let a = Program::new(2);
    let mut raw = raw_node(&mut world, &a, &ask(0, NOW));
    let (id, _) = raw.expect::<PresenceSigned>(&mut world);
    raw.say(&mut world, id, &PresenceTaken {});
    raw.assert_alive(&world);
    raw.say(&mut world, id, &PresenceTaken {});
    raw.expect_end(&mut world, Code::PROTOCOL);
}

#[test]
fn clocks_that_are_wrong_do_not_keep_a_device_from_being_found() {
    // The device's clock of 1970 gives way to the node's.
    let (mut world, _) = world(false, false);
    let a = Program::new(2);
    let later = NOW + 9_000_000;
    let mut raw = raw_node(&mut world, &a, &ask(0, later));
    assert_eq!(raw.expect::<PresenceSigned>(&mut world).1.t, later);
    // So does one that is trusted and far from it.
    world.trust_clock(true);
    let a = Program::new(3);
    let mut raw = raw_node(&mut world, &a, &ask(0, later));
    assert_eq!(raw.expect::<PresenceSigned>(&mut world).1.t, later);
    // Small differences do not matter, nor does a node without the time.
    for unix_time in [NOW + AHEAD_MAX, NOW - AHEAD_MAX, 0] {
        let a = Program::new(4);
        let mut raw = raw_node(&mut world, &a, &ask(0, unix_time));
        assert_eq!(raw.expect::<PresenceSigned>(&mut world).1.t, NOW);
    }
}

#[test]
fn a_node_that_learns_the_time_asks_again_once() {
    let (mut world, network) = world(true, false);
    let a = Program::new(1);
    let line = world.connect(&a);
    assert_eq!(network.came().len(), 1);
    world.trust_clock(true);
    world.skip_wall_clock(1_000_000);
    world.pass(Duration::from_secs(120));
    let came = network.came();
    assert_eq!(came.len(), 2);
    assert!(came[1].t >= NOW + 1_000_000);
    world.pass(Duration::from_secs(3_000));
    assert_eq!(network.came().len(), 2);
    assert!(!matches!(world.device_stop(line), Some(Stop::Say(_))));
    assert_eq!(world.device_stop(line), None);
}
