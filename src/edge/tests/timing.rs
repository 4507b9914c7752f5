//! Pings, silence and round trips.

use super::raw::{hello, welcome, Raw};
use super::world::{pair, Program, World};
use crate::edge::device::session::{ANSWER_TIME, PING_INTERVAL, WOKEN_TIME};
use crate::session::Stop;
use crate::wire::code::Code;
use crate::wire::control::{Hello, Ping, Pong, Welcome};
use crate::wire::notice::ROUNDS;
use std::time::Duration;

#[test]
fn a_session_from_which_nothing_comes_is_closed_after_the_idle_time() {
    let mut world = World::free();
    let mut raw = Raw::greeted(&mut world, 1);
    world.pass(Duration::from_millis(299_900));
    raw.assert_alive(&world);
    raw.say(&mut world, 3, &Ping {});
    world.pass(Duration::from_millis(299_900));
    raw.assert_alive(&world);
    world.pass(Duration::from_millis(200));
    raw.expect_end(&mut world, Code::IDLE);
    world.close();
}

#[test]
fn quiet_devices_stay_connected_for_a_day() {
    let mut world = World::paid();
    let (a, _b) = pair(&mut world);
    world.pass(Duration::from_secs(24 * 3600));
    assert_eq!((world.node_stop(0), world.node_stop(1)), (None, None));
    // A ping and a pong each 100 s, the node's own at most each minute.
    let carried = world.lines[0].up.carried;
    assert!(carried < 24 * 36 * 60, "{carried} bytes");
    assert_eq!(a.link().port_count(), 0);
    world.close();
}

#[test]
fn a_node_that_no_longer_answers_is_given_up_after_20_s() {
    let mut world = World::free();
    let program = Program::new(1);
    let mut raw = Raw::welcoming(&mut world, &program);
    let (id, _) = raw.expect::<Ping>(&mut world);
    raw.say(&mut world, id, &Pong {});
    world.pass(PING_INTERVAL + ANSWER_TIME - Duration::from_millis(100));
    raw.assert_alive(&world);
    world.pass(Duration::from_millis(200));
    assert!(matches!(world.device_stop(raw.line), Some(Stop::Lost(_))));
}

#[test]
fn a_node_that_was_suspended_ends_dead_sessions_when_it_wakes_up() {
    let mut world = World::free();
    let mut raw = Raw::greeted(&mut world, 1);
    world.sleep(Duration::from_secs(3600));
    world.settle();
    raw.assert_alive(&world);
    world.services.board.wake_all();
    raw.expect_end(&mut world, Code::IDLE);
    world.close();
}

#[test]
fn devices_that_another_network_left_behind_are_found_out_in_seconds_and_no_others() {
    let mut world = World::free();
    let mut gone = Raw::greeted(&mut world, 1);
    let mut there = Raw::greeted(&mut world, 2);
    for raw in [&mut gone, &mut there] {
        world.lines[raw.line].up.delay = Duration::from_millis(30);
        raw.heard(&mut world);
    }
    world.pass(Duration::from_secs(10));
    world.services.board.doubt_all();
    gone.expect::<Ping>(&mut world);
    let (id, _) = there.expect::<Ping>(&mut world);
    there.say(&mut world, id, &Pong {});
    // The link flaps: nobody is asked twice for it, and nobody gets more time.
    world.pass(WOKEN_TIME - Duration::from_secs(1));
    world.services.board.doubt_all();
    world.settle();
    assert!(gone.heard(&mut world).is_empty());
    let (id, _) = there.expect::<Ping>(&mut world);
    // Whatever comes is a sign of life.
    there.say(&mut world, 4, &Ping {});
    world.pass(Duration::from_millis(1_001));
    let stop = world.node_stop(gone.line);
    assert!(matches!(stop, Some(Stop::Lost(_))), "{stop:?}");
    world.pass(WOKEN_TIME);
    there.say(&mut world, id, &Pong {});
    there.assert_alive(&world);
    world.close();
}

#[test]
fn a_doubt_that_a_sleep_of_the_node_held_up_is_asked_again_before_anybody_is_let_go() {
    let mut world = World::free();
    let mut raw = Raw::greeted(&mut world, 1);
    world.lines[raw.line].up.delay = Duration::from_millis(30);
    world.pass(Duration::from_secs(1));
    raw.heard(&mut world);
    world.services.board.doubt_all();
    raw.expect::<Ping>(&mut world);
    world.sleep(Duration::from_secs(120));
    world.services.board.wake_all();
    let (id, _) = raw.expect::<Ping>(&mut world);
    raw.say(&mut world, id, &Pong {});
    world.pass(WOKEN_TIME * 2);
    raw.assert_alive(&world);
    world.close();
}

#[test]
fn a_device_that_was_suspended_asks_its_node_when_it_wakes_up() {
    let mut world = World::free();
    let program = Program::new(1);
    let mut raw = Raw::welcoming(&mut world, &program);
    let (id, _) = raw.expect::<Ping>(&mut world);
    raw.say(&mut world, id, &Pong {});
    world.sleep(Duration::from_secs(3600));
    world.settle();
    program.slot.lock().unwrap().clone().unwrap().wake();
    raw.expect::<Ping>(&mut world);
    world.pass(WOKEN_TIME + Duration::from_millis(1));
    assert!(matches!(world.device_stop(raw.line), Some(Stop::Lost(_))));
}

#[test]
fn a_session_that_lives_is_not_ended_for_an_answer_that_a_sleep_held_up() {
    let mut world = World::free();
    let program = Program::new(1);
    let mut raw = Raw::welcoming(&mut world, &program);
    // The device asked right before it slept.
    raw.expect::<Ping>(&mut world);
    world.sleep(Duration::from_secs(3600));
    program.slot.lock().unwrap().clone().unwrap().wake();
    world.settle();
    let (id, _) = raw.expect::<Ping>(&mut world);
    raw.say(&mut world, id, &Pong {});
    world.pass(WOKEN_TIME + Duration::from_secs(1));
    raw.assert_alive(&world);
}

#[test]
fn each_step_before_welcome_has_20_s() {
    let mut world = World::free();
    let program = Program::new(1);
    let mut raw = Raw::node(&mut world, &program);
    raw.expect::<Hello>(&mut world);
    world.pass(ANSWER_TIME - Duration::from_millis(100));
    raw.assert_alive(&world);
    world.pass(Duration::from_millis(200));
    assert!(matches!(world.device_stop(raw.line), Some(Stop::Lost(_))));
}

#[test]
fn both_sides_measure_the_round_trip() {
    let mut world = World::free();
    let (a, _b) = pair(&mut world);
    world.lines[0].up.delay = Duration::from_millis(30);
    world.lines[0].down.delay = Duration::from_millis(10);
    // The node asks seldom while there are no ports.
    world.pass(Duration::from_secs(1901));
    assert_eq!(a.link().rtt(), Duration::from_millis(40));
    assert_eq!(world.node_link(0).rtt(), Duration::from_millis(40));
    assert_eq!(world.node_link(1).rtt(), Duration::ZERO);
}

#[test]
fn a_node_that_saves_power_asks_devices_before_they_would_wake_it_and_no_others() {
    let mut world = World::free();
    let mut knows = |n, capabilities| {
        let mut raw = Raw::device(&mut world, n, true);
        let hello = Hello {
            capabilities,
            ..hello()
        };
        raw.say(&mut world, 1, &hello);
        let (_, welcome) = raw.expect::<Welcome>(&mut world);
        assert_eq!(welcome.capabilities, capabilities);
        raw.heard(&mut world);
        raw
    };
    let (mut new, mut old) = (knows(1, ROUNDS), knows(2, 0));
    world.pass(Duration::from_secs(90));
    assert_eq!(new.all::<Ping>(&mut world), [], "power is not short");
    world.services.board.set_saving(true);
    world.services.board.wake_all();
    for _ in 0..3 {
        let (id, _) = new.expect::<Ping>(&mut world);
        new.say(&mut world, id, &Pong {});
        world.pass(Duration::from_secs(59));
        assert_eq!(new.all::<Ping>(&mut world), []);
        world.pass(Duration::from_secs(1));
    }
    // One that does not answer is not asked more often, and ends like others.
    world.pass(Duration::from_secs(235));
    assert_eq!(new.all::<Ping>(&mut world).len(), 4);
    new.assert_alive(&world);
    assert_eq!(old.all::<Ping>(&mut world), []);
    world.pass(Duration::from_secs(10));
    new.expect_end(&mut world, Code::IDLE);
    world.close();
}

#[test]
fn a_device_that_its_node_asks_does_not_ask_by_itself() {
    for (capabilities, pings) in [(ROUNDS, 1), (0, 10)] {
        let mut world = World::free();
        let program = Program::new(1);
        let mut raw = Raw::node(&mut world, &program);
        let (id, hello) = raw.expect::<Hello>(&mut world);
        assert_eq!(hello.capabilities & ROUNDS, ROUNDS);
        let welcome = Welcome {
            capabilities,
            ..welcome(false)
        };
        raw.say(&mut world, id, &welcome);
        let mut seen = 0;
        for step in 0..99 {
            if step % 9 == 0 {
                raw.say(&mut world, 1000 + step, &Ping {});
            }
            for (id, _) in raw.all::<Ping>(&mut world) {
                seen += 1;
                raw.say(&mut world, id, &Pong {});
            }
            world.pass(Duration::from_secs(10));
        }
        assert_eq!(seen, pings);
        // It still notices that the node is gone.
        world.pass(Duration::from_secs(135));
        let stop = world.device_stop(raw.line);
        assert!(matches!(stop, Some(Stop::Lost(_))), "{stop:?}");
    }
}

#[test]
fn a_device_that_pings_all_the_time_is_not_pinged_all_the_time() {
    let mut world = World::free();
    let mut raw = Raw::greeted(&mut world, 1);
    for _ in 0..600 {
        raw.say(&mut world, 3, &Ping {});
        world.pass(Duration::from_millis(100));
    }
    let heard = raw.heard(&mut world);
    assert_eq!(
        heard.iter().filter(|h| h.is::<Pong>().is_some()).count(),
        600
    );
    assert!(heard.iter().filter(|h| h.is::<Ping>().is_some()).count() <= 2);
}

#[test]
fn a_node_that_wants_tickets_and_asks_for_none_is_left() {
    let mut world = World::free();
    let program = Program::new(1);
    let mut raw = Raw::node(&mut world, &program);
    raw.say(&mut world, 1, &welcome(true));
    let (id, _) = raw.expect::<Ping>(&mut world);
    raw.say(&mut world, id, &Pong {});
    world.pass(Duration::from_secs(19));
    assert_eq!(world.device_stop(raw.line), None);
    world.pass(Duration::from_secs(2));
    assert!(matches!(world.device_stop(raw.line), Some(Stop::Lost(_))));
}

#[test]
fn a_device_that_slept_for_an_hour_notices_that_its_node_is_gone() {
    let mut world = World::free();
    let program = Program::new(1);
    let mut raw = Raw::node(&mut world, &program);
    raw.say(&mut world, 1, &welcome(false));
    let (id, _) = raw.expect::<Ping>(&mut world);
    raw.say(&mut world, id, &Pong {});
    world.pass(Duration::from_secs(3600));
    assert!(matches!(world.device_stop(raw.line), Some(Stop::Lost(_))));
}
