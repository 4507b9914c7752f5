//! Credit, windows and queues: who waits for whom, and for how long.

use super::line::Alarm;
use super::ports::raw_port;
use super::raw::Raw;
use super::world::{join, opened, pair, read, read_one, write, Program, World};
use crate::ports::local::WRITE_AHEAD;
use crate::ports::queue::DATAGRAMS_MAX;
use crate::ports::window::{INITIAL, LARGEST};
use crate::wire::code::Code;
use crate::wire::control::Credit;
use crate::wire::frame::data_header;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

#[test]
fn a_byte_beyond_the_credit_ends_the_session() {
    for name in ["tcp:80", "udp:80"] {
        let mut world = World::free();
        let (mut raw, b, port) = raw_port(&mut world, name);
        // The publisher's device does not read: nothing comes back after a second window.
        world.lines[0].up.frozen = true;
        raw.data(&mut world, 3, &[0; 65_532]);
        raw.data(&mut world, 3, &[0; 4]);
        raw.assert_alive(&world);
        let granted: u32 = raw
            .all::<Credit>(&mut world)
            .iter()
            .map(|(_, credit)| credit.bytes)
            .sum();
        let mut left = granted as usize;
        // What the node holds is bounded, so this comes to an end.
        for _ in 0..100 {
            if left == 0 {
                break;
            }
            let n = left.min(65_532);
            raw.data(&mut world, 3, &vec![0; n]);
            left -= n;
            let more: u32 = raw
                .all::<Credit>(&mut world)
                .iter()
                .map(|(_, credit)| credit.bytes)
                .sum();
            left += more as usize;
        }
        raw.assert_alive(&world);
        raw.data(&mut world, 3, b"x");
        raw.expect_end(&mut world, Code::FLOW_CONTROL);
        drop((port, b));
        world.close();
    }
}

#[test]
fn empty_data_frames_cost_no_credit_and_mean_nothing_in_a_stream() {
    let mut world = World::free();
    let (mut raw, _b, port) = raw_port(&mut world, "tcp:80");
    let mut bytes = Vec::new();
    for _ in 0..1000 {
        bytes.extend(data_header(3, 0));
    }
    bytes.extend(data_header(3, 1));
    bytes.push(b'x');
    raw.bytes(&mut world, &bytes);
    assert_eq!(read(&port, world.now()), (b"x".to_vec(), None));
}

#[test]
fn a_path_of_100_mbit_and_100_ms_is_filled() {
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    for line in 0..2 {
        let line = &mut world.lines[line];
        for pipe in [&mut line.up, &mut line.down] {
            pipe.delay = Duration::from_millis(50);
            pipe.rate = 12_500_000;
        }
    }
    // The round trip is measured by pings.
    world.pass(Duration::from_secs(101));
    let (from, to) = {
        b.publish("tcp:80");
        world.pass(Duration::from_millis(200));
        let from = a.open(&b, "tcp:80", world.now());
        world.pass(Duration::from_millis(400));
        let to = b.offer().unwrap();
        to.accept();
        world.pass(Duration::from_millis(400));
        (from, to)
    };
    assert_eq!(opened(&from), Some(Ok(())));
    let bytes = vec![3; WRITE_AHEAD];
    let mut rates = Vec::new();
    for _ in 0..10 {
        let mut got = 0;
        for _ in 0..1000 {
            let _ = write(&from, &bytes).unwrap();
            world.pass(Duration::from_millis(1));
            got += read(&to, world.now()).0.len();
        }
        rates.push(got);
    }
    let last = rates.iter().rev().take(5).sum::<usize>() / 5;
    assert!(last > 10_000_000, "{rates:?}");
    let used = world.services.budget.used();
    assert!(used > 0 && used <= LARGEST as usize, "{used}");
    drop((from, to));
    world.pass(Duration::from_millis(1000));
    assert_eq!(world.services.budget.used(), 0);
    assert_eq!((a.budget.used(), b.budget.used()), (0, 0));
    world.close();
}

#[test]
fn growth_stops_where_the_nodes_memory_does() {
    let mut world = World::with(|plan| plan.budget = 100_000);
    let (a, b) = pair(&mut world);
    let ports: Vec<_> = (0..4).map(|_| join(&mut world, &a, &b, "tcp:80")).collect();
    for _ in 0..100 {
        for (from, to) in &ports {
            let _ = write(from, &[0; 65_536]).unwrap();
            world.settle();
            read(to, world.now());
            assert!(world.services.budget.used() <= 100_000);
        }
        world.pass(Duration::from_millis(1));
    }
    assert!(world.services.budget.used() > 0);
    drop(ports);
    world.close();
}

#[test]
fn a_reader_that_stalls_does_not_stop_the_other_ports() {
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    let (stalled, _unread) = join(&mut world, &a, &b, "tcp:80");
    let (from, to) = join(&mut world, &a, &b, "tcp:80");
    let mut got = 0;
    for _ in 0..2_000 {
        let _ = write(&stalled, &[1; 16_384]).unwrap();
        let _ = write(&from, &[2; 16_384]).unwrap();
        world.pass(Duration::from_millis(1));
        got += read(&to, world.now()).0.len();
    }
    assert_eq!(got, 2_000 * 16_384);
    // The stalled port holds a window on each hop, and no more.
    assert!(world.node_link(1).queued() <= 2 * INITIAL as usize);
    assert_eq!(stalled.unsent(), WRITE_AHEAD);
    world.assert_nothing_was_forgotten();
    world.close();
}

#[test]
fn a_session_that_is_not_read_does_not_stop_the_others() {
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    let c = Program::new(3);
    world.connect(&c);
    let (stalled, _unread) = join(&mut world, &a, &b, "tcp:80");
    let (from, to) = join(&mut world, &a, &c, "tcp:80");
    // The device b has stopped: its socket takes what fits.
    world.lines[1].down.frozen = true;
    let mut got = 0;
    for _ in 0..1_000 {
        let _ = write(&stalled, &[1; 16_384]).unwrap();
        let _ = write(&from, &[2; 16_384]).unwrap();
        world.pass(Duration::from_millis(1));
        got += read(&to, world.now()).0.len();
    }
    assert_eq!(got, 1_000 * 16_384);
    assert!(world.node_link(1).queued() <= LARGEST as usize);
    world.close();
}

#[test]
fn answers_that_nobody_reads_end_the_session_before_they_fill_the_node() {
    let mut world = World::free();
    let b = Program::new(2);
    world.connect(&b);
    b.publish("tcp:80");
    let mut raw = Raw::greeted(&mut world, 1);
    world.lines[raw.line].down.frozen = true;
    let mut pings = Vec::new();
    for _ in 0..5_000 {
        crate::wire::control::encode(9, &crate::wire::control::Ping {}, &mut pings);
    }
    for _ in 0..20 {
        raw.bytes(&mut world, &pings);
    }
    let stop = world.node_stop(raw.line);
    assert!(
        matches!(stop, Some(crate::session::Stop::Say(c)) if c.code == Code::OVERFLOW),
        "{stop:?}"
    );
    world.close();
}

#[test]
fn a_device_that_does_not_read_is_ended_even_if_others_fill_its_queue() {
    // The device sleeps with its socket full: only the end may wake its task.
    let mut world = World::free();
    let victim = Program::new(2);
    world.connect(&victim);
    victim.publish("tcp:80");
    let mut raw = Raw::greeted(&mut world, 1);
    let mut number = 1;
    let mut attack = |world: &mut World, times: usize| {
        for _ in 0..times {
            number += 2;
            raw.open(world, number, &victim, "tcp:80");
            raw.abort(world, number);
        }
        raw.heard(world);
    };
    world.lines[0].down.frozen = true;
    // The socket first, then the queue.
    attack(&mut world, 14_000);
    let stop = world.node_stop(0);
    assert!(
        matches!(stop, Some(crate::session::Stop::Say(c)) if c.code == Code::OVERFLOW),
        "{stop:?}"
    );
    world.close();
}

#[test]
fn datagrams_keep_their_edges_and_order_and_the_oldest_is_lost() {
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    let (from, to) = join(&mut world, &a, &b, "udp:53");
    for len in [0, 1, 1_400, 65_507, 1_000, 65_507, 0, 50_000] {
        from.send_datagram(&vec![len as u8; len]).unwrap();
        world.settle();
        let got = read_one(&to, world.now());
        assert_eq!(got, Poll::Ready(Ok(Some(vec![len as u8; len]))));
    }
    for n in 0..1_000u32 {
        from.send_datagram(&n.to_be_bytes()).unwrap();
        world.settle();
    }
    let mut last = None;
    let mut count = 0;
    while let Poll::Ready(Ok(Some(bytes))) = read_one(&to, world.now()) {
        let n = u32::from_be_bytes(bytes.try_into().unwrap());
        assert!(last.is_none_or(|last| n > last));
        last = Some(n);
        count += 1;
        world.settle();
    }
    assert_eq!(last, Some(999));
    assert_eq!(count, DATAGRAMS_MAX);
    world.close();
}

#[test]
fn the_longest_datagrams_never_wait_for_ever() {
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    let (from, to) = join(&mut world, &a, &b, "udp:53");
    for round in 0..200usize {
        let len = if round % 3 == 0 {
            65_507
        } else {
            round * 97 % 5_000
        };
        from.send_datagram(&vec![1; len]).unwrap();
        world.settle();
        let Poll::Ready(Ok(Some(got))) = read_one(&to, world.now()) else {
            panic!("datagram {round} of {len} bytes did not come");
        };
        assert_eq!(got.len(), len);
        world.settle();
    }
}

#[test]
fn a_datagram_that_comes_in_pieces_is_passed_on_whole() {
    let mut world = World::free();
    let (mut raw, _b, port) = raw_port(&mut world, "udp:53");
    let frame = [&data_header(3, 5_000)[..], &[9; 5_000]].concat();
    for piece in frame.chunks(7) {
        raw.bytes(&mut world, piece);
    }
    assert_eq!(
        read_one(&port, world.now()),
        Poll::Ready(Ok(Some(vec![9; 5_000])))
    );
    assert_eq!(read_one(&port, world.now()), Poll::Pending);
}

#[test]
fn a_writer_is_woken_when_there_is_room_and_a_reader_when_there_are_bytes() {
    let mut world = World::free();
    let (a, b) = pair(&mut world);
    let (from, to) = join(&mut world, &a, &b, "tcp:80");
    let (writer, reader) = (Arc::new(Alarm::default()), Arc::new(Alarm::default()));
    let (w, r) = (Waker::from(writer.clone()), Waker::from(reader.clone()));
    assert!(to
        .poll_read(&mut Context::from_waker(&r), world.now())
        .is_pending());
    let write = || from.poll_write(&mut Context::from_waker(&w), &[0; 65_536]);
    assert!((0..10).any(|_| write().is_pending()));
    assert!(!reader.rang() && !writer.rang());
    world.settle();
    assert!(reader.rang());
    for _ in 0..20 {
        read(&to, world.now());
        world.settle();
    }
    assert!(writer.rang());
    // Both learn of the end.
    while to
        .poll_read(&mut Context::from_waker(&r), world.now())
        .is_ready()
    {}
    reader.rang();
    from.finish();
    world.settle();
    assert!(reader.rang());
}

#[test]
fn datagrams_that_a_full_hop_drops_give_their_credit_back() {
    // Without room to grow, what is lost would show in the first credit.
    let mut world = World::with(|plan| plan.budget = 0);
    let (a, b) = pair(&mut world);
    let (from, to) = join(&mut world, &a, &b, "udp:53");
    for _ in 0..5 {
        world.lines[1].down.frozen = true;
        for _ in 0..5_000 {
            from.send_datagram(&[1; 100]).unwrap();
            world.settle();
        }
        assert!(world.node_link(1).queued() <= DATAGRAMS_MAX * 100);
        world.lines[1].down.frozen = false;
        world.settle();
        for _ in 0..1_000 {
            read(&to, world.now());
            world.settle();
        }
    }
    // The longest needs all of the first credit.
    from.send_datagram(&[2; 65_507]).unwrap();
    world.settle();
    assert_eq!(
        read_one(&to, world.now()),
        Poll::Ready(Ok(Some(vec![2; 65_507])))
    );
    world.close();
}
