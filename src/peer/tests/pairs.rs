//! Two links between the same two nodes: which stays, and what becomes of the
//! ports on the other.

use super::net::{terms, Net, PeerLine};
use crate::edge::tests::world::{opened, read, write, Program, World};
use crate::peer::pool::Rank;
use crate::session::Stop;
use crate::wire::code::Code;
use std::time::Duration;

/// Two nodes; the first number is the one with the lower address.
fn two() -> (World, Net, usize, usize) {
    let (world, net) = Net::of(2, terms());
    if net.address(0) < net.address(1) {
        (world, net, 0, 1)
    } else {
        (world, net, 1, 0)
    }
}

/// Those that stand, by who dialled.
fn standing(net: &Net) -> Vec<usize> {
    let nodes = net.lock();
    let stands = |line: &&PeerLine| line.stop(true).is_none() && line.stop(false).is_none();
    nodes.lines.iter().filter(stands).map(|l| l.from).collect()
}

#[test]
fn of_two_links_dialled_at_once_both_nodes_keep_that_of_the_lower_address() {
    for seed in 0..20 {
        let (mut world, net, low, high) = two();
        world.random.seed(seed);
        net.lock().delay = Duration::from_millis(seed % 5 * 20);
        let one = net.ask(low, high, world.now());
        let other = net.ask(high, low, world.now());
        assert!(one.is_ok() && other.is_ok());
        world.pass(Duration::from_secs(10));
        assert_eq!(standing(&net), [low], "seed {seed}");
        assert_eq!((net.count(0), net.count(1)), (1, 1));
        let lines = &net.lock().lines;
        let second = lines.iter().find(|line| line.from == high).unwrap();
        let Some(Stop::Told(close)) = second.stop(true) else {
            panic!("{:?}", second.stop(true));
        };
        assert_eq!(close.code, Code::SECOND_LINK);
    }
}

#[test]
fn ports_on_the_link_that_goes_are_carried_to_their_end() {
    let (mut world, net, low, high) = two();
    let (a, b) = (Program::new(1), Program::new(2));
    world.connect_at(low, &a);
    world.connect_at(high, &b);
    net.tell(&a, &[low]);
    net.tell(&b, &[high]);
    a.publish("tcp:80");
    b.publish("tcp:80");
    // The higher node has a link with a port on it when the lower one dials, too.
    world.settle();
    let from = b.open(&a, "tcp:80", world.now());
    world.settle();
    let to = a.offer().unwrap();
    to.accept();
    world.settle();
    assert_eq!(opened(&from), Some(Ok(())));
    net.dial(low, high);
    world.pass(Duration::from_secs(60));
    assert_eq!(standing(&net), [high, low], "a link with a port was closed");
    // New ports go over the one that stays, from either side.
    let more = [(&a, &b), (&b, &a)].map(|(x, y)| {
        let from = x.open(y, "tcp:80", world.now());
        world.settle();
        let to = y.offer().unwrap();
        to.accept();
        world.settle();
        (from, to)
    });
    let ports: Vec<_> = net
        .hub(low)
        .pool()
        .list()
        .iter()
        .map(|s| (s.dialled, s.ports))
        .collect();
    assert_eq!(ports, [(false, 1), (true, 2)]);
    write(&from, b"to the end").unwrap();
    world.settle();
    assert_eq!(read(&to, world.now()).0, b"to the end");
    drop((from, to));
    world.pass(Duration::from_secs(10));
    assert_eq!(standing(&net), [low]);
    drop(more);
    world.close();
}

#[test]
fn a_node_that_has_lost_its_link_without_a_word_gets_another_at_once() {
    // The one whose dialled links stay has the dead one, or the other.
    for lower_is_back in [true, false] {
        let (mut world, net, low, high) = two();
        let (back, other) = if lower_is_back {
            (low, high)
        } else {
            (high, low)
        };
        let first = (other, back);
        net.link(&mut world, first.0, first.1).unwrap();
        {
            // Its half is gone, and nothing arrives on the other any more.
            let mut nodes = net.lock();
            let line = &mut nodes.lines[0];
            let (input, output) = (&mut line.up, &mut line.down);
            let lost = Stop::Lost("power".into());
            line.listener.as_mut().unwrap().end(lost, input, output);
            *output = crate::edge::tests::line::Pipe::default();
            output.frozen = true;
        }
        world.pass(Duration::from_secs(3));
        assert_eq!((net.count(back), net.count(other)), (0, 1));
        let new = net.link(&mut world, back, other).unwrap();
        assert_eq!(new.remote(), net.address(other));
        // Ports of both go over the new one, at once.
        let asked = net.ask(other, back, world.now()).unwrap();
        let crate::peer::pool::Asked::There(link) = asked else {
            panic!("it dials");
        };
        let nodes = net.lock();
        let [_, taken] = nodes.lines[1].links();
        assert!(std::sync::Arc::ptr_eq(&link, &taken.unwrap()));
        drop(nodes);
        world.pass(Duration::from_secs(30));
        assert_eq!(standing(&net), [back], "lower is back: {lower_is_back}");
        assert_eq!((net.count(0), net.count(1)), (1, 1));
    }
}

#[test]
fn a_node_that_dials_again_and_again_has_two_links_at_most() {
    let (mut world, net, low, high) = two();
    for (from, to) in [(low, high), (high, low)] {
        for _ in 0..10 {
            net.dial(from, to);
            world.settle();
            assert!(net.count(low) <= 2, "{}", net.count(low));
        }
    }
    world.pass(Duration::from_secs(10));
    assert_eq!(net.count(low), 1);
    assert_eq!(net.count(high), 1);
}

#[test]
fn what_one_node_takes_for_the_first_link_is_not_the_second_of_the_other() {
    let (mut world, net, low, high) = two();
    net.dial(low, high);
    net.dial(high, low);
    world.settle();
    for node in [low, high] {
        let hub = net.hub(node);
        let pool = hub.pool();
        let ranks = pool.members_of(&net.address(low + high - node));
        let ranks: Vec<_> = ranks.iter().map(|m| (m.dialled, pool.rank(m))).collect();
        let first = (node == low, Rank::First);
        assert!(ranks.contains(&first), "{ranks:?}");
        assert!(ranks.contains(&(node != low, Rank::Second)), "{ranks:?}");
    }
}
