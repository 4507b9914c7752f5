//! How many links there may be, and who gives way.

use super::net::{key, terms, Net};
use super::raw::{hello, RawPeer};
use crate::edge::tests::world::{join, Program, World};
use crate::identity::Address;
use crate::peer::pool::{Asked, DIALS_MAX, QUIET};
use crate::peer::terms::{PeerError, Wanted};
use crate::ports::LocalPort;
use crate::wire::code::Code;
use crate::wire::control::Close;
use crate::wire::peer::PeerWelcome;
use std::time::Duration;

fn full(nodes: u8, max_links: usize) -> (World, Net) {
    let mut terms = terms();
    terms.max_links = max_links;
    Net::of(nodes, terms)
}

/// A device at each node, and a port from that of node 0 to those of `to`.
fn load(world: &mut World, net: &Net, to: &[usize]) -> Vec<(LocalPort, LocalPort)> {
    let a = Program::new(1);
    world.connect_at(0, &a);
    to.iter()
        .map(|node| {
            let b = Program::new(10 + u8::try_from(*node).unwrap());
            world.connect_at(*node, &b);
            net.tell(&b, &[*node]);
            join(world, &a, &b, "tcp:80")
        })
        .collect()
}

fn linked(net: &Net, node: usize) -> Vec<Address> {
    let list = net.hub(node).pool().list();
    list.iter().map(|s| s.id).collect()
}

#[test]
fn a_full_pool_gives_the_place_of_a_link_without_ports_to_who_needs_one() {
    let (mut world, net) = full(4, 2);
    let ports = load(&mut world, &net, &[1]);
    net.link(&mut world, 0, 2).unwrap();
    world.pass(Duration::from_secs(1));
    net.link(&mut world, 0, 3).unwrap();
    world.settle();
    let mut expected = [net.address(1), net.address(3)];
    expected.sort();
    assert_eq!(linked(&net, 0), expected);
    // What it carried goes on.
    assert_eq!(
        net.hub(0)
            .pool()
            .list()
            .iter()
            .map(|s| s.ports)
            .sum::<usize>(),
        1
    );
    drop(ports);
    world.close();
}

#[test]
fn a_link_that_carries_something_gives_its_place_to_nobody_and_one_that_is_silent_does() {
    let (mut world, net) = full(4, 2);
    let ports = load(&mut world, &net, &[1, 2]);
    assert_eq!(net.link(&mut world, 0, 3).unwrap_err(), PeerError::Full);
    world.pass(QUIET / 2);
    // One of the two carries something now and then.
    crate::edge::tests::world::write(&ports[0].0, b"x").unwrap();
    world.pass(QUIET / 2 + Duration::from_secs(1));
    net.link(&mut world, 0, 3).unwrap();
    world.settle();
    let mut expected = [net.address(1), net.address(3)];
    expected.sort();
    assert_eq!(linked(&net, 0), expected);
    let end = crate::edge::tests::world::read(&ports[1].1, world.now()).1;
    assert_eq!(end.unwrap().unwrap_err().code, Code::PEER_LOST);
    drop(ports);
    world.close();
}

#[test]
fn of_those_that_are_silent_the_least_loaded_goes() {
    let (mut world, net) = full(4, 2);
    let mut ports = load(&mut world, &net, &[1, 2]);
    let a = Program::new(3);
    world.connect_at(0, &a);
    let b = Program::new(20);
    world.connect_at(2, &b);
    net.tell(&b, &[2]);
    ports.push(join(&mut world, &a, &b, "tcp:81"));
    // The one with one port was of use later than the one with two.
    world.pass(Duration::from_secs(5));
    crate::edge::tests::world::write(&ports[0].0, b"x").unwrap();
    world.pass(QUIET + Duration::from_secs(1));
    net.link(&mut world, 0, 3).unwrap();
    assert!(!linked(&net, 0).contains(&net.address(1)));
    drop(ports);
    world.close();
}

#[test]
fn strangers_never_take_the_places_that_the_nodes_own_devices_need() {
    let (mut world, net) = full(2, 4);
    let mut strangers: Vec<_> = (0..3)
        .map(|n| RawPeer::standing(&mut world, &net, 0, key(50 + n).address()))
        .collect();
    // They were just here, so none goes for another.
    let mut late = RawPeer::dialling(&net, 0, key(60).address(), 9);
    late.say(&mut world, 1, &hello());
    let close = late.expect_end(&mut world, Code::TOO_MANY_LINKS);
    assert!(close.retry_after_ms.is_some());
    net.link(&mut world, 0, 1).unwrap();
    assert_eq!(net.count(0), 4);
    // One that was of no use for a while goes.
    for stranger in &mut strangers {
        assert_eq!(stranger.stop(), None);
    }
    for _ in 0..31 {
        world.pass(QUIET / 30);
        for stranger in &mut strangers {
            stranger.answer_pings(&mut world);
        }
    }
    let mut newcomer = RawPeer::dialling(&net, 0, key(61).address(), 9);
    newcomer.say(&mut world, 1, &hello());
    newcomer.expect::<PeerWelcome>(&mut world);
    let gone = strangers.iter().filter(|s| s.stop().is_some()).count();
    assert_eq!((gone, net.count(0)), (1, 4));
}

#[test]
fn strangers_of_one_network_take_a_part_of_the_places_and_no_more() {
    let (mut world, net) = full(1, 32);
    let mut greet = |n: u8, ip: [u8; 4]| {
        let mut raw = RawPeer::dialling_from(&net, 0, key(50 + n).address(), ip);
        raw.say(&mut world, 1, &hello());
        raw.heard(&mut world);
        raw
    };
    let same: Vec<_> = (0..6).map(|n| greet(n, [203, 0, 113, n])).collect();
    let refused = same.iter().filter(|raw| raw.stop().is_some()).count();
    assert_eq!(refused, 2);
    let other = greet(10, [198, 51, 100, 1]);
    assert_eq!(other.stop(), None);
    // In a house there may be many nodes.
    let house: Vec<_> = (20..26).map(|n| greet(n, [192, 168, 1, 1])).collect();
    assert!(house.iter().all(|raw| raw.stop().is_none()));
    assert_eq!(net.count(0), 4 + 1 + 6);
}

#[test]
fn a_node_that_is_wanted_finds_a_place_although_strangers_have_come_first() {
    let (mut world, net) = full(1, 4);
    let wanted = key(70).address();
    net.hub(0).pool().keep(
        vec![Wanted {
            id: wanted,
            host: "127.0.0.9".into(),
            port: 1,
        }],
        world.now(),
    );
    let strangers: Vec<_> = (0..3)
        .map(|n| RawPeer::standing(&mut world, &net, 0, key(50 + n).address()))
        .collect();
    RawPeer::standing(&mut world, &net, 0, wanted);
    assert!(strangers.iter().all(|s| s.stop().is_none()));
    let list = net.hub(0).pool().list();
    assert!(list.iter().any(|s| s.id == wanted && s.kept));
}

#[test]
fn dials_are_bounded_and_one_node_is_dialled_once_at_a_time() {
    let (world, net) = full(1, 1000);
    let hub = net.hub(0);
    for n in 0..DIALS_MAX {
        let mut id = [7; 20];
        id[0] = u8::try_from(n).unwrap();
        let asked = hub.pool().ask(Address(id), world.now());
        assert!(matches!(asked, Ok(Asked::Dial(_))));
        let asked = hub.pool().ask(Address(id), world.now());
        assert!(matches!(asked, Ok(Asked::Wait(_))));
    }
    let asked = hub.pool().ask(Address([9; 20]), world.now());
    assert!(matches!(asked, Err(PeerError::Busy)));
    let own = hub.pool().ask(hub.node, world.now());
    assert!(matches!(own, Err(PeerError::Itself)));
}

#[test]
fn everybody_who_waits_for_a_dial_hears_how_it_ends() {
    let (mut world, net) = full(2, 4);
    net.lock().peers[1].down = true;
    let now = world.now();
    let asked: Vec<_> = (0..3).map(|_| net.ask(0, 1, now).unwrap()).collect();
    world.settle();
    for asked in asked {
        let (Asked::Wait(told) | Asked::Dial(told)) = asked else {
            panic!("there is none");
        };
        assert!(matches!(
            told.try_recv(),
            Ok(Err(PeerError::Unreachable(_)))
        ));
    }
    net.lock().peers[1].down = false;
    net.link(&mut world, 0, 1).unwrap();
}

#[test]
fn a_node_that_stops_takes_no_link_and_tells_who_waits() {
    let (mut world, net) = full(2, 4);
    net.lock().delay = Duration::from_millis(20);
    let asked = net.ask(0, 1, world.now()).unwrap();
    net.hub(0).pool().stop();
    let Asked::Dial(told) = asked else {
        panic!("there is none");
    };
    assert_eq!(told.try_recv().unwrap().unwrap_err(), PeerError::Stopped);
    assert!(matches!(
        net.ask(0, 1, world.now()),
        Err(PeerError::Stopped)
    ));
    net.lock().delay = Duration::ZERO;
    let mut raw = RawPeer::dialling(&net, 0, key(50).address(), 9);
    raw.say(&mut world, 1, &hello());
    let (_, close) = raw.expect::<Close>(&mut world);
    assert_eq!(close.code, Code::SHUTTING_DOWN);
    world.pass(Duration::from_secs(1));
    assert_eq!((net.count(0), net.count(1)), (0, 0));
}
