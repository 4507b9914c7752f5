//! How ports end, and what they leave behind.

use super::raw::{Heard, Raw};
use super::world::{join, pair, read, write, Program, World};
use crate::ports::local::WRITE_AHEAD;
use crate::wire::code::Code;
use crate::wire::control::{Abort, Credit, Finish, Opened, Pong};

/// A raw opener with port 3 to `b`, and the port at the other end.
pub fn raw_port(world: &mut World, name: &str) -> (Raw, Program, crate::ports::LocalPort) {
    let b = Program::new(2);
    world.connect(&b);
    b.publish(name);
    world.settle();
    let mut raw = Raw::greeted(world, 1);
    raw.open(world, 3, &b, name);
    let port = b.offer().unwrap();
    port.accept();
    raw.expect::<Opened>(world);
    (raw, b, port)
}

#[test]
fn the_end_of_one_direction_leaves_the_other_open() {
    for name in ["tcp:80", "udp:80"] {
        let mut world = World::free();
        let (a, b) = pair(&mut world);
        let (from, to) = join(&mut world, &a, &b, name);
        // Some time apart: a finish by itself must wake the sessions.
        from.finish();
        world.settle();
        assert_eq!(read(&to, world.now()), (Vec::new(), Some(Ok(()))));
        for _ in 0..3 {
            to.write_all_now(b"still here").unwrap();
            world.settle();
            assert_eq!(read(&from, world.now()).0, b"still here");
        }
        assert!(write(&from, b"after the end").is_err());
        assert!(from.send_datagram(b"after the end").is_err());
        to.finish();
        world.settle();
        assert_eq!(read(&from, world.now()), (Vec::new(), Some(Ok(()))));
        assert_eq!(world.services.board.ports(), 0, "gone for the node");
        drop((from, to));
        assert_eq!((a.link().port_count(), b.link().port_count()), (0, 0));
        world.close();
    }
}

#[test]
fn what_was_written_before_the_end_arrives_after_the_program_has_left() {
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    let (from, to) = join(&mut world, &a, &b, "tcp:80");
    from.finish();
    world.settle();
    let bytes = vec![7; WRITE_AHEAD];
    assert_eq!(write(&to, &bytes).unwrap(), bytes.len());
    to.finish();
    drop(to);
    world.settle();
    let mut got = Vec::new();
    let mut ended = None;
    for _ in 0..100 {
        world.settle();
        let (more, end) = read(&from, world.now());
        got.extend(more);
        ended = ended.or(end);
    }
    assert_eq!(ended, Some(Ok(())));
    assert!(got == bytes);
    drop(from);
    assert_eq!(b.link().port_count(), 0);
    world.close();
}

#[test]
fn a_port_that_was_let_go_and_then_given_up_by_the_other_side_is_forgotten() {
    // A server has answered and closed; the client resets before it has read all.
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    let (from, to) = join(&mut world, &a, &b, "tcp:80");
    from.finish();
    world.settle();
    write(&to, &vec![7; WRITE_AHEAD]).unwrap();
    to.finish();
    drop(to);
    world.settle();
    assert_eq!(b.link().port_count(), 1, "it waits for credit");
    from.abort(Code::ABORTED, "reset");
    world.settle();
    assert_eq!(b.link().port_count(), 0);
    world.close();
}

#[test]
fn a_port_that_was_let_go_ends_with_its_session() {
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    let (from, to) = join(&mut world, &a, &b, "tcp:80");
    from.finish();
    world.settle();
    write(&to, &vec![7; WRITE_AHEAD]).unwrap();
    to.finish();
    drop(to);
    let link = b.link();
    world.lines[1].break_off();
    assert_eq!(link.port_count(), 0);
    world.settle();
    let end = read(&from, world.now()).1;
    assert_eq!(end.unwrap().unwrap_err().code, Code::PEER_LOST);
}

#[test]
fn an_abort_ends_both_directions_with_its_reason() {
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    let (from, to) = join(&mut world, &a, &b, "tcp:80");
    write(&from, b"last").unwrap();
    world.settle();
    from.abort(Code::TARGET, "the disk is full");
    world.settle();
    let (bytes, end) = read(&to, world.now());
    assert_eq!(bytes, b"last", "what has arrived can be read");
    let end = end.unwrap().unwrap_err();
    assert_eq!(
        (end.code, end.text.as_str()),
        (Code::TARGET, "the disk is full")
    );
    assert!(write(&to, b"more").is_err());
    assert_eq!(world.services.board.ports(), 0);
    drop(to);
    world.close();
}

#[test]
fn nothing_is_sent_on_a_port_that_the_other_side_gave_up() {
    let mut world = World::free();
    let (program, peer) = (Program::new(1), Program::new(2));
    let mut raw = Raw::welcoming(&mut world, &program);
    raw.open(&mut world, 2, &peer, "tcp:80");
    let port = program.offer().unwrap();
    port.accept();
    // More than the credit, so that some of it waits.
    write(&port, &[1; 100_000]).unwrap();
    raw.abort(&mut world, 2);
    raw.heard(&mut world);
    raw.say(
        &mut world,
        0,
        &Credit {
            port: 2,
            bytes: 65_536,
        },
    );
    raw.data(&mut world, 2, b"late");
    raw.finish(&mut world, 2);
    raw.finish(&mut world, 2);
    drop(port);
    assert_eq!(raw.heard(&mut world), []);
    raw.assert_alive(&world);
    assert_eq!(program.link().port_count(), 0);
}

#[test]
fn frames_for_a_port_that_is_gone_are_late_and_free() {
    let mut world = World::free();
    let (mut raw, b, port) = raw_port(&mut world, "tcp:80");
    drop(port);
    world.settle();
    raw.expect::<Abort>(&mut world);
    let before = world
        .services
        .board
        .bytes_in
        .load(std::sync::atomic::Ordering::Relaxed);
    // More than any credit.
    for _ in 0..4 {
        raw.data(&mut world, 3, &[0; 60_000]);
    }
    raw.say(&mut world, 0, &Credit { port: 3, bytes: 5 });
    raw.finish(&mut world, 3);
    raw.finish(&mut world, 3);
    raw.abort(&mut world, 3);
    raw.assert_alive(&world);
    let after = world
        .services
        .board
        .bytes_in
        .load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(before, after);
    assert!(b.offer().is_none());
    world.close();
}

#[test]
fn frames_for_a_port_that_never_was_end_the_session() {
    type Frame<'a> = &'a dyn Fn(&mut World, &mut Raw, u32);
    let frames: [Frame<'_>; 4] = [
        &|world, raw, port| raw.data(world, port, b"x"),
        &|world, raw, port| raw.say(world, 0, &Credit { port, bytes: 1 }),
        &|world, raw, port| raw.finish(world, port),
        &|world, raw, port| raw.abort(world, port),
    ];
    for frame in frames {
        for port in [0, 5, 4, u32::MAX] {
            let mut world = World::free();
            let (mut raw, _b, _port) = raw_port(&mut world, "tcp:80");
            frame(&mut world, &mut raw, port);
            raw.expect_end(&mut world, Code::PROTOCOL);
        }
    }
}

#[test]
fn data_or_a_finish_after_finish_ends_the_session() {
    for data in [true, false] {
        let mut world = World::free();
        let (mut raw, _b, _port) = raw_port(&mut world, "tcp:80");
        raw.finish(&mut world, 3);
        raw.assert_alive(&world);
        if data {
            raw.data(&mut world, 3, b"x");
        } else {
            raw.finish(&mut world, 3);
        }
        raw.expect_end(&mut world, Code::PROTOCOL);
    }
}

#[test]
fn a_thousand_ports_that_came_and_went_leave_nothing() {
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    for round in 0..3_000usize {
        let (from, to) = join(&mut world, &a, &b, ["tcp:80", "udp:80"][round % 2]);
        for _ in 0..round % 4 {
            from.write_all_now(&[0; 40_000]).unwrap();
            to.write_all_now(&[0; 70_000 % 65_507]).unwrap();
            world.settle();
            read(&to, world.now());
        }
        match round % 5 {
            0 => from.abort(Code::ABORTED, "x"),
            1 => {
                from.finish();
                to.finish();
                world.settle();
            }
            2 => drop(to),
            _ => {}
        }
        world.settle();
    }
    world.settle();
    assert_eq!(world.services.board.ports(), 0);
    assert_eq!(world.services.budget.used(), 0);
    for program in [&a, &b] {
        assert_eq!(program.link().port_count(), 0);
        assert_eq!(program.budget.used(), 0);
    }
    world.close();
}

#[test]
fn a_relay_passes_a_finish_on_behind_all_data() {
    let mut world = World::free();
    let (mut raw, b, port) = raw_port(&mut world, "tcp:80");
    raw.data(&mut world, 3, &[1; 30_000]);
    raw.data(&mut world, 3, &[1; 30_000]);
    raw.finish(&mut world, 3);
    assert_eq!(read(&port, world.now()), (vec![1; 60_000], Some(Ok(()))));
    drop((port, b));
    // Both sides' end is one Abort, not two.
    let ends: Vec<Heard> = raw.heard(&mut world);
    assert_eq!(ends.iter().filter(|h| h.is::<Abort>().is_some()).count(), 1);
    assert_eq!(
        ends.iter().filter(|h| h.is::<Finish>().is_some()).count(),
        0
    );
    raw.say(&mut world, 9, &crate::wire::control::Ping {});
    raw.expect::<Pong>(&mut world);
}
