//! Sessions that come, go and replace each other.

use super::raw::Raw;
use super::world::{join, node_key, opened, pair, read, write, Program, World};
use crate::edge::device::session::{DeviceSession, Event};
use crate::ports::LocalPort;
use crate::session::{Protocol, Stop};
use crate::wire::code::Code;
use crate::wire::control::{Abort, ErrorAnswer, Open, Opened, Ping, Pong, Published};
use std::time::Duration;

#[test]
fn the_newest_session_of_a_device_wins_and_the_older_one_learns_why() {
    let mut world = World::paid();
    let (a, b) = pair(&mut world);
    let (old, _to) = join(&mut world, &a, &b, "tcp:80");
    let second = Program::new(1);
    let line = world.connect(&second);
    let stop = world.device_stop(0);
    assert!(
        matches!(stop, Some(Stop::Told(c)) if c.code == Code::REPLACED),
        "{stop:?}"
    );
    assert!(read(&old, world.now()).1.unwrap().is_err());
    // The new one works, and is found.
    let (from, to) = join(&mut world, &second, &b, "tcp:81");
    write(&from, b"new").unwrap();
    world.settle();
    assert_eq!(read(&to, world.now()).0, b"new");
    second.publish("tcp:22");
    world.settle();
    let back = b.open(&second, "tcp:22", world.now());
    world.settle();
    second.offer().unwrap().accept();
    assert_eq!(world.services.board.devices(), 2);
    assert_eq!(world.node_stop(line), None);
    drop((from, to, back, old));
    world.close();
}

#[test]
fn a_session_that_breaks_takes_its_ports_with_it_at_the_other_devices() {
    let mut world = World::paid();
    let (a, b) = pair(&mut world);
    let (from, to) = join(&mut world, &a, &b, "tcp:80");
    write(&from, b"before").unwrap();
    world.settle();
    world.lines[0].break_off();
    world.settle();
    let (bytes, end) = read(&to, world.now());
    assert_eq!(bytes, b"before");
    assert_eq!(end.unwrap().unwrap_err().code, Code::PEER_LOST);
    assert_eq!(opened(&from).unwrap().unwrap_err().code, Code::PEER_LOST);
    assert!(write(&from, b"x").is_err());
    drop((from, to));
    // And it comes back.
    world.connect(&a);
    let (from, _to) = join(&mut world, &a, &b, "tcp:80");
    assert_eq!(opened(&from), Some(Ok(())));
    world.settle();
}

#[test]
fn a_publisher_that_leaves_is_told_to_its_openers_and_no_longer_found() {
    let mut world = World::paid();
    let (a, b) = pair(&mut world);
    let (from, _to) = join(&mut world, &a, &b, "tcp:80");
    b.link().leave(Code::LEAVING, "stopped");
    world.settle();
    assert!(matches!(world.node_stop(1), Some(Stop::Told(c)) if c.code == Code::LEAVING));
    assert_eq!(
        read(&from, world.now()).1.unwrap().unwrap_err().code,
        Code::PEER_LOST
    );
    let port = a.open(&b, "tcp:80", world.now());
    world.settle();
    assert_eq!(opened(&port).unwrap().unwrap_err().code, Code::NOT_FOUND);
}

#[test]
fn a_thousand_sessions_that_came_and_went_leave_nothing() {
    let mut world = World::free();
    let b = Program::new(2);
    world.connect(&b);
    b.publish("tcp:80");
    for _ in 0..1_000 {
        let a = Program::new(1);
        let line = world.connect(&a);
        let (from, to) = join(&mut world, &a, &b, "tcp:80");
        from.write_all_now(&[0; 100_000]).unwrap();
        world.settle();
        world.lines[line].break_off();
        world.settle();
        assert!(read(&to, world.now()).1.unwrap().is_err());
        drop((from, to));
        assert_eq!(a.budget.used(), 0);
        world.lines.pop();
        world.settle();
    }
    assert_eq!(world.services.board.devices(), 1);
    assert_eq!(world.services.board.ports(), 0);
    assert_eq!(world.services.budget.used(), 0);
    assert_eq!((b.link().port_count(), b.budget.used()), (0, 0));
    world.close();
}

#[test]
fn a_node_that_is_somebody_else_is_told_nothing() {
    let world = World::free();
    let program = Program::new(1);
    let mut parts = program.parts(world.clock.clone());
    parts.check_node = Box::new(|found| Err(format!("that is {found}")));
    let mut session = DeviceSession::new(parts);
    let stop = session.secured(node_key().address(), None, world.now());
    assert!(matches!(stop, Err(Stop::Lost(text)) if text.contains("that is 0x")));
    assert!(session.link().is_none(), "not even Hello");
}

#[test]
fn a_devices_own_limit_of_ports_is_said_to_the_node() {
    let mut world = World::free();
    let mut program = Program::new(1);
    program.max_ports = 2;
    let peer = Program::new(2);
    let mut raw = Raw::welcoming(&mut world, &program);
    for port in [2, 4, 6] {
        raw.open(&mut world, port, &peer, "tcp:80");
    }
    let error = raw.refused(&mut world, 6);
    assert_eq!((error.code, error.limit), (Code::TOO_MANY_PORTS, Some(2)));
    let own = LocalPort::open(&program.link(), peer.address(), "tcp:1", world.now());
    assert_eq!(own.unwrap_err().code, Code::TOO_MANY_PORTS);
    // Both that wait are answered when the program lets go.
    drop((program.offer(), program.offer()));
    let refused: Vec<u32> = raw
        .all::<ErrorAnswer>(&mut world)
        .iter()
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(refused, [2, 4]);
    assert_eq!(program.link().port_count(), 0);
}

#[test]
fn an_opener_that_drops_its_port_before_the_answer_ignores_the_answer() {
    let mut world = World::free();
    let (program, peer) = (Program::new(1), Program::new(2));
    let mut raw = Raw::welcoming(&mut world, &program);
    let port = LocalPort::open(&program.link(), peer.address(), "tcp:80", world.now()).unwrap();
    world.settle();
    let (id, _) = raw.expect::<Open>(&mut world);
    drop(port);
    assert_eq!(raw.expect::<Abort>(&mut world).1.port, id);
    raw.say(&mut world, id, &Opened { credit: 1000 });
    raw.data(&mut world, id, b"x");
    raw.assert_alive(&world);
    assert_eq!(program.link().port_count(), 0);
}

#[test]
fn the_answer_to_publish_comes_with_its_id() {
    let mut world = World::free();
    let program = Program::new(1);
    let mut raw = Raw::welcoming(&mut world, &program);
    program.publish("tcp:80");
    let (id, publish) = raw.expect::<crate::wire::control::Publish>(&mut world);
    assert_eq!(publish.name, "tcp:80");
    raw.say(&mut world, id, &Published {});
    let told = program.told();
    assert!(told
        .iter()
        .any(|e| matches!(e, Event::Published(i, Ok(())) if *i == id)));
    raw.say(&mut world, 2, &Ping {});
    assert_eq!(raw.expect::<Pong>(&mut world).0, 2);
}

#[test]
fn frames_cut_anywhere_are_put_together_again() {
    for seed in 0..50 {
        let mut world = World::with(|plan| plan.seed = seed);
        let (a, b) = pair(&mut world);
        for line in 0..2 {
            world.lines[line].up.delay = Duration::from_micros(100);
            world.lines[line].up.rate = 10_000_000;
            world.lines[line].down.rate = 1_000_000;
        }
        b.publish("tcp:80");
        world.pass(Duration::from_millis(5));
        let from = a.open(&b, "tcp:80", world.now());
        world.pass(Duration::from_millis(5));
        let to = b.offer().unwrap();
        to.accept();
        let bytes: Vec<u8> = (0..150_000u32).map(|i| (i / 7 * 3) as u8).collect();
        from.write_all_now(&bytes).unwrap();
        from.finish();
        let mut got = Vec::new();
        for _ in 0..1_000 {
            world.pass(Duration::from_millis(1));
            let (more, end) = read(&to, world.now());
            got.extend(more);
            if end.is_some() {
                break;
            }
        }
        assert!(got == bytes, "{} bytes", got.len());
    }
}
