//! How ports come about, or not.

use super::raw::{Heard, Raw};
use super::world::{join, opened, pair, read, write, Program, World};
use crate::ports::link::{OPENINGS_MAX, PUBLISHED_MAX};
use crate::ports::window::{CROWDED, INITIAL, INITIAL_CROWDED};
use crate::ports::LocalPort;
use crate::wire::code::Code;
use crate::wire::control::{
    encode, Abort, ErrorAnswer, Open, Opened, Publish, Published, Welcome, ALLOW_MAX,
};
use std::sync::atomic::Ordering;
use std::time::Duration;

#[test]
fn a_port_goes_both_ways_from_the_first_byte_to_the_end() {
    let mut world = World::paid();
    let (a, b) = pair(&mut world);
    let (from, to) = join(&mut world, &a, &b, "tcp:80");
    assert_eq!((to.peer(), to.name()), (a.address(), "tcp:80"));
    write(&from, b"question").unwrap();
    write(&to, b"answer").unwrap();
    world.settle();
    assert_eq!(read(&to, world.now()).0, b"question");
    assert_eq!(read(&from, world.now()).0, b"answer");
    from.finish();
    to.finish();
    world.settle();
    assert_eq!(read(&to, world.now()), (Vec::new(), Some(Ok(()))));
    assert_eq!(read(&from, world.now()), (Vec::new(), Some(Ok(()))));
    drop((from, to));
    world.settle();
    assert_eq!((a.link().port_count(), b.link().port_count()), (0, 0));
    assert_eq!(world.services.board.ports(), 0);
    world.close();
}

#[test]
fn who_cannot_be_reached_is_said_at_once_and_why() {
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    let stranger = Program::new(7);
    b.publish("tcp:80");
    b.link().request(&Publish {
        name: "tcp:81".into(),
        allow: Some(vec![stranger.address()]),
    });
    world.settle();
    for (peer, name, code) in [
        (&stranger, "tcp:80", Code::NOT_FOUND),
        (&b, "tcp:22", Code::NOT_PUBLISHED),
        (&b, "tls:80", Code::NOT_PUBLISHED),
        (&b, "tcp:81", Code::NOT_ALLOWED),
        (&a, "tcp:80", Code::OWN_PORT),
    ] {
        let port = a.open(peer, name, world.now());
        world.settle();
        let end = opened(&port).unwrap().unwrap_err();
        assert_eq!(end.code, code, "{name}: {end}");
        drop(port);
    }
    assert!(b.offer().is_none(), "the device was asked all the same");
    assert_eq!(a.link().port_count(), 0);
    world.close();
}

#[test]
fn a_list_of_openers_lets_its_own_in() {
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    b.link().request(&Publish {
        name: "tcp:80".into(),
        allow: Some(vec![Program::new(9).address(), a.address()]),
    });
    world.settle();
    let port = a.open(&b, "tcp:80", world.now());
    world.settle();
    let offer = b.offer().unwrap();
    offer.accept();
    world.settle();
    assert_eq!(opened(&port), Some(Ok(())));
}

#[test]
fn the_publishers_refusal_reaches_the_opener_as_it_is() {
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    b.publish("tcp:80");
    world.settle();
    let port = a.open(&b, "tcp:80", world.now());
    world.settle();
    b.offer().unwrap().refuse(Code::TARGET, "nobody listens");
    world.settle();
    let end = opened(&port).unwrap().unwrap_err();
    assert_eq!(
        (end.code, end.text.as_str()),
        (Code::TARGET, "nobody listens")
    );
    drop(port);
    assert_eq!(world.services.board.ports(), 0);
    world.close();
}

#[test]
fn a_program_that_takes_no_more_offers_refuses_them() {
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    b.publish("tcp:80");
    b.takes.store(false, Ordering::Relaxed);
    world.settle();
    let port = a.open(&b, "tcp:80", world.now());
    world.settle();
    assert!(opened(&port).unwrap().is_err());
    drop(port);
    assert_eq!(world.services.board.ports(), 0);
}

#[test]
fn a_publisher_that_hangs_costs_its_opener_20_seconds_and_no_more() {
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    b.publish("tcp:80");
    world.settle();
    let port = a.open(&b, "tcp:80", world.now());
    world.pass(Duration::from_millis(19_900));
    assert_eq!(opened(&port), None);
    world.pass(Duration::from_millis(200));
    assert_eq!(opened(&port).unwrap().unwrap_err().code, Code::NO_ANSWER);
    let offer = b.offer().unwrap();
    let end = read(&offer, world.now()).1.unwrap().unwrap_err();
    assert_eq!(end.code, Code::NO_ANSWER);
    // Its late answer is ignored.
    offer.accept();
    world.settle();
    drop((port, offer));
    world.settle();
    assert_eq!(world.services.board.ports(), 0);
    assert_eq!(world.services.board.devices(), 2);
    world.close();
}

#[test]
fn an_opener_that_leaves_while_it_opens_leaves_nothing_behind() {
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    b.publish("tcp:80");
    world.settle();
    // Gives up by itself.
    let port = a.open(&b, "tcp:80", world.now());
    world.settle();
    let offer = b.offer().unwrap();
    drop(port);
    world.settle();
    assert!(read(&offer, world.now()).1.unwrap().is_err());
    offer.accept();
    world.settle();
    drop(offer);
    world.settle();
    assert_eq!(world.services.board.ports(), 0);
    assert_eq!(b.link().port_count(), 0);
    // Loses its session.
    let port = a.open(&b, "tcp:80", world.now());
    world.settle();
    let offer = b.offer().unwrap();
    world.lines[0].break_off();
    world.settle();
    let end = read(&offer, world.now()).1.unwrap().unwrap_err();
    assert_eq!(end.code, Code::PEER_LOST);
    drop((port, offer));
    world.settle();
    assert_eq!(world.services.board.ports(), 0);
    world.close();
}

#[test]
fn a_publisher_that_leaves_while_it_is_asked_is_told_to_the_opener() {
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    b.publish("tcp:80");
    world.settle();
    let port = a.open(&b, "tcp:80", world.now());
    world.settle();
    world.lines[1].break_off();
    world.settle();
    assert_eq!(opened(&port).unwrap().unwrap_err().code, Code::PEER_LOST);
}

#[test]
fn port_numbers_that_are_not_the_next_end_the_session() {
    for (first, second) in [(7, 7), (7, 5), (7, 8), (7, 0), (2, 0)] {
        let mut world = World::free();
        let b = Program::new(2);
        world.connect(&b);
        let mut raw = Raw::greeted(&mut world, 1);
        raw.open(&mut world, first, &b, "tcp:80");
        if second > 0 || first == 7 {
            raw.refused(&mut world, first);
            raw.open(&mut world, second, &b, "tcp:80");
        }
        raw.expect_end(&mut world, Code::PROTOCOL);
    }
}

#[test]
fn a_node_cannot_use_a_devices_numbers_nor_one_twice() {
    for (first, second) in [(2, 2), (4, 2), (2, 3)] {
        let mut world = World::free();
        let (program, peer) = (Program::new(1), Program::new(2));
        let mut raw = Raw::welcoming(&mut world, &program);
        raw.open(&mut world, first, &peer, "tcp:80");
        raw.assert_alive(&world);
        raw.open(&mut world, second, &peer, "tcp:80");
        raw.expect_end(&mut world, Code::PROTOCOL);
    }
}

#[test]
fn a_port_name_that_is_none_ends_the_session() {
    let mut world = World::free();
    let b = Program::new(2);
    world.connect(&b);
    let mut raw = Raw::greeted(&mut world, 1);
    raw.open(&mut world, 3, &b, "http:80");
    raw.expect_end(&mut world, Code::PROTOCOL);
    let mut raw = Raw::greeted(&mut world, 3);
    raw.publish(&mut world, 3, "tcp:080");
    raw.expect_end(&mut world, Code::PROTOCOL);
}

#[test]
fn one_device_cannot_publish_without_end() {
    let mut world = World::free();
    let mut raw = Raw::greeted(&mut world, 1);
    for n in 0..PUBLISHED_MAX {
        raw.publish(&mut world, 3, &format!("tcp:{}", n + 1));
        raw.expect::<Published>(&mut world);
    }
    raw.publish(&mut world, 5, "tcp:60000");
    let error = raw.refused(&mut world, 5);
    assert_eq!(error.limit, Some(PUBLISHED_MAX as u64));
    // A name that stands can get another list.
    raw.publish(&mut world, 7, "tcp:1");
    raw.expect::<Published>(&mut world);
    raw.say(
        &mut world,
        9,
        &Publish {
            name: "tcp:1".into(),
            allow: Some(vec![crate::identity::Address::ZERO; ALLOW_MAX + 1]),
        },
    );
    raw.expect_end(&mut world, Code::PROTOCOL);
}

#[test]
fn a_session_has_at_most_1024_ports() {
    let mut world = World::free();
    let b = Program::new(2);
    world.connect(&b);
    b.publish("tcp:80");
    let mut raw = Raw::greeted(&mut world, 1);
    let mut held = Vec::new();
    let mut number = 1;
    for _ in 0..1024 {
        number += 2;
        raw.open(&mut world, number, &b, "tcp:80");
        let offer = b.offer().unwrap();
        offer.accept();
        held.push(offer);
    }
    assert_eq!(raw.all::<Opened>(&mut world).len(), 1024);
    number += 2;
    raw.open(&mut world, number, &b, "tcp:80");
    let error = raw.refused(&mut world, number);
    assert_eq!(
        (error.code, error.limit),
        (Code::TOO_MANY_PORTS, Some(1024))
    );
    // One less, and one more has room.
    drop(held.pop());
    world.settle();
    number += 2;
    raw.open(&mut world, number, &b, "tcp:80");
    b.offer().unwrap().accept();
    raw.expect::<Opened>(&mut world);
    drop(held);
    world.settle();
    world.close();
}

#[test]
fn a_publishers_limit_is_said_to_the_opener() {
    let mut world = World::with(|plan| plan.terms.max_ports = 2);
    let (a, b) = pair(&mut world);
    let c = Program::new(3);
    world.connect(&c);
    let (x, y) = (
        join(&mut world, &a, &b, "tcp:80"),
        join(&mut world, &a, &b, "tcp:80"),
    );
    let port = c.open(&b, "tcp:80", world.now());
    world.settle();
    let end = opened(&port).unwrap().unwrap_err();
    assert_eq!(end.code, Code::TOO_MANY_PORTS);
    drop((x, y, port));
    world.close();
}

#[test]
fn openings_that_nobody_answers_are_bounded_and_answered_ones_do_not_count() {
    let mut world = World::free();
    let (b, c) = (Program::new(2), Program::new(3));
    for program in [&b, &c] {
        world.connect(program);
        program.publish("tcp:80");
    }
    let mut raw = Raw::greeted(&mut world, 1);
    // One hangs, more than the limit are answered.
    raw.open(&mut world, 3, &b, "tcp:80");
    let mut number = 3;
    for _ in 0..OPENINGS_MAX + 10 {
        number += 2;
        raw.open(&mut world, number, &c, "tcp:80");
        c.offer().unwrap().accept();
        raw.expect::<Opened>(&mut world);
        raw.abort(&mut world, number);
    }
    // Now all hang.
    for _ in 1..OPENINGS_MAX {
        number += 2;
        raw.open(&mut world, number, &b, "tcp:80");
    }
    assert!(raw.all::<ErrorAnswer>(&mut world).is_empty());
    number += 2;
    raw.open(&mut world, number, &c, "tcp:80");
    let error = raw.refused(&mut world, number);
    assert_eq!(error.code, Code::TOO_MANY_OPENINGS);
    assert!(error.retry_after_ms.is_some());
    // The deadline frees them.
    world.pass(Duration::from_secs(20));
    assert_eq!(raw.all::<ErrorAnswer>(&mut world).len(), OPENINGS_MAX);
    number += 2;
    raw.open(&mut world, number, &c, "tcp:80");
    c.offer().unwrap().accept();
    raw.expect::<Opened>(&mut world);
    world.close();
}

#[test]
fn ports_that_would_not_fit_into_the_memory_get_less_credit_and_then_a_refusal() {
    let most = 1 << 20;
    let mut world = World::with(|plan| plan.firsts = most);
    let b = Program::new(2);
    world.connect(&b);
    b.publish("tcp:80");
    let mut raw = Raw::greeted(&mut world, 1);
    let (mut number, mut credits) = (1, Vec::new());
    let no = loop {
        number += 2;
        raw.open(&mut world, number, &b, "tcp:80");
        let Some(offer) = b.offer() else {
            break raw.refused(&mut world, number);
        };
        offer.accept();
        credits.push(raw.expect::<Opened>(&mut world).1.credit);
        // Stays open.
        std::mem::forget(offer);
        assert!(world.services.budget.firsts() <= most);
    };
    assert_eq!(no.code, Code::TOO_MANY_PORTS);
    assert!(no.text.contains("memory") && no.retry_after_ms.is_some());
    assert!(credits.is_sorted_by(|a, b| a >= b), "{credits:?}");
    assert_eq!((credits[0], credits[credits.len() - 1]), (65_536, 4_096));
    assert!(credits.len() > 50, "{} ports", credits.len());
    // One that closes makes room for another.
    raw.abort(&mut world, 3);
    number += 2;
    raw.open(&mut world, number, &b, "tcp:80");
    b.offer().unwrap().accept();
    raw.expect::<Opened>(&mut world);
    world.close();
}

#[test]
fn a_crowded_session_gets_less_first_credit_but_datagrams_still_fit() {
    let mut world = World::free();
    let b = Program::new(2);
    world.connect(&b);
    b.publish("tcp:80");
    b.publish("udp:80");
    let mut raw = Raw::greeted(&mut world, 1);
    let mut number = 1;
    let mut open = |world: &mut World, name: &str| {
        number += 2;
        raw.open(world, number, &b, name);
        let offer = b.offer().unwrap();
        offer.accept();
        // Stays open.
        std::mem::forget(offer);
        raw.expect::<Opened>(world).1.credit
    };
    for _ in 0..CROWDED {
        assert_eq!(open(&mut world, "tcp:80"), INITIAL);
    }
    assert_eq!(open(&mut world, "tcp:80"), INITIAL_CROWDED);
    assert!(open(&mut world, "udp:80") >= 65_507);
    world.close();
}

#[test]
fn ports_before_a_ticket_are_refused_and_not_passed_on() {
    let mut world = World::paid();
    let b = Program::new(2);
    world.connect(&b);
    b.publish("tcp:80");
    let mut raw = Raw::greeted(&mut world, 1);
    raw.open(&mut world, 3, &b, "tcp:80");
    assert_eq!(raw.refused(&mut world, 3).code, Code::NO_TICKET);
    raw.publish(&mut world, 5, "tcp:1");
    assert_eq!(raw.refused(&mut world, 5).code, Code::NO_TICKET);
    assert!(b.offer().is_none());
    // Nor is what it would have published found.
    let port = b.open(&Program::new(1), "tcp:1", world.now());
    world.settle();
    assert_eq!(
        opened(&port).unwrap().unwrap_err().code,
        Code::NOT_PUBLISHED
    );
}

#[test]
fn everything_from_hello_to_open_may_come_in_one_go() {
    let mut world = World::paid();
    let b = Program::new(2);
    world.connect(&b);
    b.publish("tcp:80");
    world.settle();
    let mut raw = Raw::device(&mut world, 1, true);
    let mut bytes = Vec::new();
    encode(1, &super::raw::hello(), &mut bytes);
    encode(
        3,
        &raw.ticket(&world, super::world::EPOCH, 1 << 20),
        &mut bytes,
    );
    let open = Open {
        port: 5,
        peer: b.address(),
        name: "tcp:80".into(),
        credit: 1000,
    };
    encode(5, &open, &mut bytes);
    raw.bytes(&mut world, &bytes);
    b.offer().unwrap().accept();
    raw.expect::<Welcome>(&mut world);
    raw.expect::<Opened>(&mut world);
}

#[test]
fn a_refused_port_can_be_held_and_dropped_at_leisure() {
    // The program holds the refused port while its number's late frames come.
    let mut world = World::free();
    let (program, peer) = (Program::new(1), Program::new(2));
    let mut raw = Raw::welcoming(&mut world, &program);
    let port = LocalPort::open(&program.link(), peer.address(), "tcp:80", world.now()).unwrap();
    let (id, _) = raw.expect::<Open>(&mut world);
    let error = ErrorAnswer {
        code: Code::NOT_FOUND,
        text: "no".into(),
        limit: None,
        retry_after_ms: None,
    };
    raw.say(&mut world, id, &error);
    raw.abort(&mut world, id);
    raw.say(&mut world, id, &Opened { credit: 5 });
    raw.data(&mut world, id, b"late");
    raw.finish(&mut world, id);
    raw.assert_alive(&world);
    assert_eq!(opened(&port).unwrap().unwrap_err().code, Code::NOT_FOUND);
    drop(port);
    let after = raw.heard(&mut world);
    assert!(
        after
            .iter()
            .all(|h| h.is::<Abort>().is_none() && !matches!(h, Heard::Data { .. })),
        "{after:?}"
    );
    assert_eq!(program.link().port_count(), 0);
}
