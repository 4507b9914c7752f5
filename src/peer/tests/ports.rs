//! Ports between devices of different nodes: how they come about, flow and go.

use super::net::{key, terms, Net};
use crate::edge::tests::raw::Raw;
use crate::edge::tests::world::{opened, read, write, Program, World};
use crate::ports::link::{NODE_SHARE, OPENINGS_MAX, OPEN_TIMEOUT};
use crate::ports::search::LOOKUPS_MAX;
use crate::ports::LocalPort;
use crate::wire::code::Code;
use crate::wire::control::Publish;
use std::time::Duration;

/// Two nodes with a device each; the table knows where both are.
fn two() -> (World, Net, Program, Program) {
    let (mut world, net) = Net::of(2, terms());
    let (a, b) = (Program::new(1), Program::new(2));
    world.connect_at(0, &a);
    world.connect_at(1, &b);
    net.tell(&a, &[0]);
    net.tell(&b, &[1]);
    (world, net, a, b)
}

/// A port between them that both have taken.
fn join(world: &mut World, a: &Program, b: &Program, name: &str) -> (LocalPort, LocalPort) {
    crate::edge::tests::world::join(world, a, b, name)
}

fn refused(world: &mut World, port: &LocalPort) -> Code {
    world.settle();
    opened(port).expect("an answer").unwrap_err().code
}

#[test]
fn devices_of_two_nodes_talk_from_the_first_byte_to_the_end_of_both_directions() {
    let (mut world, net, a, b) = two();
    let (from, to) = join(&mut world, &a, &b, "tcp:80");
    assert_eq!((to.peer(), to.name()), (a.address(), "tcp:80"));
    write(&from, b"question").unwrap();
    from.finish();
    world.settle();
    assert_eq!(read(&to, world.now()), (b"question".to_vec(), Some(Ok(()))));
    // The other direction goes on.
    write(&to, b"answer").unwrap();
    to.finish();
    world.settle();
    assert_eq!(read(&from, world.now()), (b"answer".to_vec(), Some(Ok(()))));
    drop((from, to));
    world.settle();
    for node in [0, 1] {
        let status = net.hub(node).pool().list();
        assert_eq!(status.len(), 1);
        assert_eq!(status[0].ports, 0);
        let carried = (status[0].bytes_in, status[0].bytes_out);
        assert_eq!(carried, if node == 0 { (6, 8) } else { (8, 6) });
    }
    assert_eq!(
        world
            .node(0)
            .board
            .opened
            .load(std::sync::atomic::Ordering::Relaxed),
        1
    );
    world.close();
}

#[test]
fn a_link_carries_ports_that_either_side_opened() {
    let (mut world, net, a, b) = two();
    let (one, other) = join(&mut world, &a, &b, "tcp:80");
    let (two, another) = join(&mut world, &b, &a, "udp:53");
    assert_eq!(net.count(0), 1, "a second link was dialled");
    two.send_datagram(b"ping").unwrap();
    write(&one, b"x").unwrap();
    world.settle();
    assert_eq!(read(&another, world.now()).0, b"ping");
    assert_eq!(read(&other, world.now()).0, b"x");
    drop((one, other, two, another));
    world.close();
}

#[test]
fn why_a_port_does_not_come_about_is_said_in_the_other_nodes_words() {
    let (mut world, _, a, b) = two();
    b.publish("tcp:80");
    b.link().request(&Publish {
        name: "tcp:81".into(),
        allow: Some(vec![key(77).address()]),
    });
    world.settle();
    let stranger = Program::new(9);
    for (peer, name, code) in [
        (&b, "tcp:22", Code::NOT_PUBLISHED),
        (&b, "tcp:81", Code::NOT_ALLOWED),
        (&stranger, "tcp:80", Code::NOT_FOUND),
    ] {
        let port = a.open(peer, name, world.now());
        assert_eq!(refused(&mut world, &port), code, "{name}");
    }
    let port = a.open(&b, "tcp:80", world.now());
    world.settle();
    b.offer()
        .unwrap()
        .refuse(Code::TARGET, "nothing listens there");
    world.settle();
    let end = opened(&port).unwrap().unwrap_err();
    assert_eq!(
        (end.code, &*end.text),
        (Code::TARGET, "nothing listens there")
    );
    drop(port);
    assert_eq!(a.link().port_count(), 0);
    world.close();
}

#[test]
fn a_node_that_no_longer_has_the_device_is_not_the_last_that_is_asked() {
    let (mut world, net) = Net::of(4, terms());
    let (a, b) = (Program::new(1), Program::new(2));
    world.connect_at(0, &a);
    world.connect_at(3, &b);
    net.lock().peers[1].down = true;
    net.tell(&b, &[1, 2, 3]);
    let (from, to) = join(&mut world, &a, &b, "tcp:80");
    let two = net.address(2);
    let asked: Vec<_> = net
        .lock()
        .asked
        .iter()
        .map(|(_, tried)| tried.clone())
        .collect();
    assert_eq!(asked, [vec![], vec![two]]);
    drop((from, to));
    world.close();
}

#[test]
fn a_node_never_passes_an_opening_on_to_a_third() {
    let (mut world, net) = Net::of(3, terms());
    let (a, b) = (Program::new(1), Program::new(2));
    world.connect_at(0, &a);
    world.connect_at(2, &b);
    b.publish("tcp:80");
    // Node 1 knows where the device is, and does not have it.
    net.tell(&b, &[1]);
    world.settle();
    let port = a.open(&b, "tcp:80", world.now());
    assert_eq!(refused(&mut world, &port), Code::NOT_FOUND);
    assert_eq!((net.count(1), net.count(2)), (1, 0));
    assert!(net
        .lock()
        .asked
        .iter()
        .all(|(device, _)| *device == b.address()));
    drop(port);
    world.close();
}

#[test]
fn a_link_that_is_lost_before_the_answer_is_made_up_for_by_the_next_node() {
    let (mut world, net) = Net::of(3, terms());
    let (a, b) = (Program::new(1), Program::new(2));
    world.connect_at(0, &a);
    // The device has a session at both, and at node 1 it does not answer.
    let silent = Program::new(2);
    world.connect_at(1, &silent);
    world.connect_at(2, &b);
    silent.publish("tcp:80");
    b.publish("tcp:80");
    net.tell(&b, &[1, 2]);
    world.settle();
    let port = a.open(&b, "tcp:80", world.now());
    world.settle();
    let unanswered = silent.offer().expect("an offer");
    assert_eq!(opened(&port), None);
    assert!(net.cut(0, 1));
    world.settle();
    let offer = b.offer().expect("an offer");
    offer.accept();
    world.settle();
    assert_eq!(opened(&port), Some(Ok(())));
    drop((port, offer, unanswered));
    world.close();
}

#[test]
fn a_link_that_is_cut_ends_its_ports_at_both_devices_and_says_so() {
    let (mut world, net, a, b) = two();
    let (from, to) = join(&mut world, &a, &b, "tcp:80");
    write(&from, b"before").unwrap();
    world.settle();
    assert!(net.cut(0, 1));
    world.settle();
    let (bytes, end) = read(&to, world.now());
    assert_eq!(bytes, b"before");
    assert_eq!(end.unwrap().unwrap_err().code, Code::PEER_LOST);
    assert_eq!(
        read(&from, world.now()).1.unwrap().unwrap_err().code,
        Code::PEER_LOST
    );
    // The next one finds its way again.
    let (from, to) = join(&mut world, &a, &b, "tcp:81");
    drop((from, to));
    world.close();
}

#[test]
fn an_opener_that_gives_up_while_it_waits_leaves_nothing_behind() {
    let (mut world, net, a, b) = two();
    b.publish("tcp:80");
    net.lock().answers = Some(false);
    world.settle();
    let port = a.open(&b, "tcp:80", world.now());
    world.settle();
    assert_eq!(world.node(0).board.lookups(), 1);
    drop(port);
    world.settle();
    assert_eq!(world.node(0).board.lookups(), 0);
    assert_eq!(world.node(0).board.ports(), 0);
    net.answer();
    world.settle();
    assert!(b.offer().is_none());
    world.close();
}

#[test]
fn an_opener_that_leaves_while_it_waits_takes_its_searches_along() {
    let (mut world, net, a, b) = two();
    net.lock().answers = Some(false);
    world.settle();
    let port = a.open(&b, "tcp:80", world.now());
    world.settle();
    assert_eq!(world.node(0).board.lookups(), 1);
    world.lines[0].break_off();
    world.settle();
    assert_eq!(world.node(0).board.lookups(), 0);
    drop(port);
    net.answer();
    world.close();
}

#[test]
fn a_search_that_never_ends_is_refused_in_time_and_a_late_find_does_no_harm() {
    let (mut world, net, a, b) = two();
    b.publish("tcp:80");
    net.lock().answers = Some(false);
    world.settle();
    let port = a.open(&b, "tcp:80", world.now());
    world.pass(OPEN_TIMEOUT - Duration::from_millis(1));
    assert_eq!(opened(&port), None);
    world.pass(Duration::from_millis(2));
    let end = opened(&port).unwrap().unwrap_err();
    assert_eq!(end.code, Code::NO_ANSWER);
    assert!(end.text.contains("found"), "{end}");
    assert_eq!(world.node(0).board.lookups(), 0);
    net.answer();
    world.settle();
    assert!(b.offer().is_none());
    drop(port);
    world.close();
}

#[test]
fn a_device_that_does_not_answer_is_given_up_on_both_nodes() {
    let (mut world, _, a, b) = two();
    b.publish("tcp:80");
    world.settle();
    let port = a.open(&b, "tcp:80", world.now());
    world.settle();
    let offer = b.offer().unwrap();
    world.pass(OPEN_TIMEOUT + Duration::from_millis(1));
    assert_eq!(opened(&port).unwrap().unwrap_err().code, Code::NO_ANSWER);
    drop((port, offer));
    world.settle();
    assert_eq!(
        (world.node(0).board.ports(), world.node(1).board.ports()),
        (0, 0)
    );
    world.close();
}

#[test]
fn many_ports_to_one_device_cost_one_lookup_and_to_many_no_more_than_allowed() {
    let (mut world, net, a, b) = two();
    net.lock().answers = Some(false);
    world.settle();
    let same: Vec<_> = (0..20).map(|_| a.open(&b, "tcp:80", world.now())).collect();
    world.settle();
    assert_eq!(world.node(0).board.lookups(), 1);
    let others: Vec<_> = (10..10 + LOOKUPS_MAX as u8 + 5)
        .map(|n| a.open(&Program::new(n), "tcp:80", world.now()))
        .collect();
    world.settle();
    assert_eq!(world.node(0).board.lookups(), LOOKUPS_MAX);
    net.answer();
    world.settle();
    for port in same {
        assert_eq!(refused(&mut world, &port), Code::NOT_PUBLISHED);
    }
    for port in others {
        assert_eq!(refused(&mut world, &port), Code::NOT_FOUND);
    }
    assert_eq!(world.node(0).board.lookups(), 0);
    world.close();
}

#[test]
fn openings_that_wait_at_other_nodes_are_bounded_like_any() {
    let (mut world, net, a, b) = two();
    net.lock().answers = Some(false);
    world.settle();
    let ports: Vec<_> = (0..=OPENINGS_MAX)
        .filter_map(|_| LocalPort::open(&a.link(), b.address(), "tcp:80", world.now()).ok())
        .collect();
    world.settle();
    let refused = ports.iter().filter(|p| opened(p).is_some()).count();
    assert_eq!(ports.len() - refused, OPENINGS_MAX);
    drop(ports);
    world.close();
}

#[test]
fn one_node_cannot_take_all_openings_of_a_device() {
    let (mut world, net, a, b) = two();
    let local = Program::new(3);
    world.connect_at(1, &local);
    b.publish("tcp:80");
    // It takes offers and never answers.
    world.settle();
    let ports: Vec<_> = (0..OPENINGS_MAX)
        .filter_map(|_| LocalPort::open(&a.link(), b.address(), "tcp:80", world.now()).ok())
        .collect();
    world.settle();
    let waiting = ports.iter().filter(|p| opened(p).is_none()).count();
    assert_eq!(waiting, NODE_SHARE);
    let refusal = opened(ports.last().unwrap()).unwrap().unwrap_err();
    assert_eq!(refusal.code, Code::TOO_MANY_OPENINGS);
    let port = local.open(&b, "tcp:80", world.now());
    world.settle();
    assert_eq!(opened(&port), None, "a device of the same node is kept out");
    let _ = net;
    drop((ports, port));
    world.close();
}

#[test]
fn an_end_that_comes_while_the_device_is_looked_for_is_not_lost() {
    let (mut world, net, a, b) = two();
    b.publish("tcp:80");
    net.lock().answers = Some(false);
    world.settle();
    let mut raw = Raw::greeted(&mut world, 7);
    raw.open(&mut world, 3, &b, "tcp:80");
    raw.finish(&mut world, 3);
    net.answer();
    world.settle();
    let offer = b.offer().expect("an offer");
    offer.accept();
    world.settle();
    assert_eq!(read(&offer, world.now()), (Vec::new(), Some(Ok(()))));
    drop((offer, a));
    world.close();
}

#[test]
fn credit_holds_back_the_sender_over_three_hops_and_lets_it_go_on() {
    let (mut world, net, a, b) = two();
    net.lock().delay = Duration::from_millis(10);
    world.pass(Duration::from_secs(1));
    b.publish("tcp:80");
    world.settle();
    let from = a.open(&b, "tcp:80", world.now());
    world.pass(Duration::from_secs(1));
    let to = b.offer().unwrap();
    to.accept();
    world.pass(Duration::from_secs(1));
    assert_eq!(opened(&from), Some(Ok(())));
    // Nobody reads: each hop holds its window and no more.
    let mut written = 0;
    for _ in 0..200 {
        written += write(&from, &[7; 50_000]).unwrap();
        world.pass(Duration::from_millis(50));
    }
    let held = world.node(0).budget.used() + world.node(1).budget.used();
    assert!(
        written < 256 * 1024 + 4 * 65_536 + held,
        "{written} with {held}"
    );
    let mut came = 0;
    for _ in 0..400 {
        came += read(&to, world.now()).0.len();
        written += write(&from, &[7; 50_000]).unwrap();
        world.pass(Duration::from_millis(20));
    }
    assert!(came > 8 << 20, "{came} of {written}");
    drop((from, to));
    world.pass(Duration::from_secs(1));
    world.close();
}

#[test]
fn a_device_that_does_not_read_holds_up_no_other_port_of_the_link() {
    let (mut world, _, a, b) = two();
    let (from, to) = join(&mut world, &a, &b, "tcp:80");
    for _ in 0..100 {
        write(&from, &[1; 60_000]).unwrap();
        world.settle();
    }
    let (one, other) = join(&mut world, &a, &b, "tcp:81");
    for _ in 0..100 {
        write(&one, &[2; 60_000]).unwrap();
        world.settle();
        let _ = read(&other, world.now());
    }
    write(&one, b"end").unwrap();
    one.finish();
    world.settle();
    let (bytes, end) = read(&other, world.now());
    assert!(bytes.ends_with(b"end"));
    assert_eq!(end, Some(Ok(())));
    drop((from, to, one, other));
    world.close();
}

#[test]
fn a_port_to_a_device_of_the_same_node_asks_nobody() {
    let (mut world, net, a, _b) = two();
    let c = Program::new(3);
    world.connect_at(0, &c);
    let (from, to) = join(&mut world, &a, &c, "tcp:80");
    assert!(net.lock().asked.is_empty());
    assert_eq!(net.count(0), 0);
    drop((from, to));
    world.close();
}

#[test]
fn without_anybody_who_finds_devices_the_answer_is_the_old_one() {
    let (mut world, net, a, b) = two();
    world.node(0).board.set_locate(None);
    let port = a.open(&b, "tcp:80", world.now());
    assert_eq!(refused(&mut world, &port), Code::NOT_FOUND);
    assert!(net.lock().asked.is_empty());
    drop(port);
    world.close();
}
