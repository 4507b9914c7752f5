//! A node that opens no more ports tells its devices.

use super::raw::{hello, welcome, Raw};
use super::world::{Program, World};
use crate::edge::device::session::Event;
use crate::ports::Refusal;
use crate::wire::code::Code;
use crate::wire::control::{Hello, Welcome};
use crate::wire::notice::{Openings, NOTICES};

fn empty(percent: u8) -> Option<Refusal> {
    Some(Refusal {
        retry_after_ms: Some(300_000),
        ..Refusal::new(Code::LOW_POWER, format!("{percent} % left"))
    })
}

fn closed(percent: u8) -> Openings {
    Openings {
        open: false,
        code: Code::LOW_POWER,
        text: format!("{percent} % left"),
        retry_after_ms: Some(300_000),
    }
}

/// A raw device that says these bits; it hears of those that both know.
fn device(world: &mut World, n: u8, capabilities: u64) -> Raw {
    let mut raw = Raw::device(world, n, true);
    let hello = Hello {
        capabilities,
        ..hello()
    };
    raw.say(world, 1, &hello);
    let (_, welcome) = raw.expect::<Welcome>(world);
    assert_eq!(welcome.capabilities, capabilities);
    raw
}

#[test]
fn devices_are_told_when_it_begins_and_ends_and_older_ones_hear_nothing() {
    let mut world = World::free();
    let mut new = device(&mut world, 1, NOTICES);
    let mut old = device(&mut world, 2, 0);
    assert_eq!(new.all::<Openings>(&mut world), []);
    let board = world.services.board.clone();
    board.close_openings(empty(9));
    assert_eq!(new.all::<Openings>(&mut world), [(0, closed(9))]);
    // The number changes, the state does not.
    board.close_openings(empty(8));
    assert_eq!(new.all::<Openings>(&mut world), []);
    // Whoever comes meanwhile hears of it at once.
    let mut late = device(&mut world, 3, NOTICES);
    assert_eq!(late.all::<Openings>(&mut world), [(0, closed(8))]);
    board.close_openings(None);
    for raw in [&mut new, &mut late] {
        let (id, said) = raw.expect::<Openings>(&mut world);
        assert_eq!((id, said.open), (0, true));
        raw.assert_alive(&world);
    }
    assert_eq!(old.all::<Openings>(&mut world), []);
    old.assert_alive(&world);
    world.close();
}

#[test]
fn a_device_that_has_not_paid_is_told_nothing_until_it_has() {
    let mut world = World::paid();
    world.services.board.close_openings(empty(9));
    let mut raw = device(&mut world, 1, NOTICES);
    let epoch = raw.asked(&mut world).epoch;
    assert_eq!(raw.all::<Openings>(&mut world), []);
    let ticket = raw.ticket(&world, epoch, 1 << 30);
    raw.say(&mut world, 3, &ticket);
    assert_eq!(raw.all::<Openings>(&mut world), [(0, closed(9))]);
}

#[test]
fn the_program_hears_of_it_and_takes_it_of_no_node_that_did_not_offer_it() {
    for capabilities in [NOTICES, 0] {
        let mut world = World::free();
        let program = Program::new(1);
        let mut raw = Raw::node(&mut world, &program);
        let (id, hello) = raw.expect::<Hello>(&mut world);
        assert_eq!(hello.capabilities & NOTICES, NOTICES);
        let welcome = Welcome {
            capabilities,
            ..welcome(false)
        };
        raw.say(&mut world, id, &welcome);
        raw.say(&mut world, 0, &closed(9));
        if capabilities == 0 {
            raw.expect_end(&mut world, Code::PROTOCOL);
            continue;
        }
        let told = program.told();
        let heard = |event: &Event| matches!(event, Event::Openings(said) if *said == closed(9));
        assert!(told.iter().any(heard), "{told:?}");
        raw.assert_alive(&world);
    }
}
