//! Greeting, quiet links, idle ones, those that are kept.

use super::net::{key, terms, Net};
use super::raw::{hello, RawPeer};
use crate::edge::tests::world::{join, opened, Program, World};
use crate::peer::terms::{PeerError, PeerEvent, Wanted};
use crate::session::Stop;
use crate::wire::code::Code;
use crate::wire::control::{encode, Hello, Ping, Pong};
use crate::wire::peer::{PeerHello, PeerWelcome};
use std::time::Duration;

fn second(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn both_nodes_learn_what_the_other_says_and_how_far_it_is() {
    let (mut world, net) = Net::of(2, terms());
    net.lock().delay = Duration::from_millis(15);
    net.hub(1)
        .serving
        .store(true, std::sync::atomic::Ordering::Relaxed);
    net.link(&mut world, 0, 1).unwrap();
    for node in [0, 1] {
        let status = net.hub(node).pool().list().remove(0);
        assert_eq!(status.rtt, Some(Duration::from_millis(30)));
        assert_eq!(status.facts.agent, format!("node/{}", 1 - node));
        assert_eq!(status.facts.serving, node == 0);
        assert_eq!(status.facts.peer_port, Some(51_055));
        assert!(status.facts.unix_time.is_some());
        assert_eq!(status.dialled, node == 0);
        let event = net.hub(node).events.1.try_recv().unwrap();
        let PeerEvent::Connected { id, rtt, .. } = event else {
            panic!("{event:?}");
        };
        assert_eq!(id, net.address(1 - node));
        assert_eq!(rtt.is_some(), node == 0);
    }
}

#[test]
fn a_node_that_says_nothing_after_tls_is_let_go() {
    let (mut world, net) = Net::of(1, terms());
    let mut silent = RawPeer::dialling(&net, 0, key(50).address(), 1);
    let mut mute = RawPeer::dialled(&net, 0, key(51).address());
    mute.expect::<PeerHello>(&mut world);
    world.pass(terms().handshake_time + second(1));
    silent.expect_end(&mut world, Code::TOO_SLOW);
    mute.expect_end(&mut world, Code::TOO_SLOW);
    assert_eq!(net.count(0), 0);
    assert_eq!(net.lock().peers[0].admission.half_open(), 0);
}

#[test]
fn an_idle_link_is_closed_by_the_node_that_dialled_it_and_by_no_other() {
    let (mut world, net) = Net::of(2, terms());
    net.link(&mut world, 0, 1).unwrap();
    world.pass(terms().idle_after - second(1));
    assert_eq!((net.count(0), net.count(1)), (1, 1));
    world.pass(second(2));
    assert_eq!((net.count(0), net.count(1)), (0, 0));
    let nodes = net.lock();
    let said = nodes.lines[0].stop(true);
    assert!(
        matches!(said, Some(Stop::Say(c)) if c.code == Code::IDLE),
        "{said:?}"
    );
}

#[test]
fn a_link_with_a_silent_port_is_not_idle_and_counts_from_its_end() {
    let (mut world, net) = Net::of(2, terms());
    let (a, b) = (Program::new(1), Program::new(2));
    world.connect_at(0, &a);
    world.connect_at(1, &b);
    net.tell(&b, &[1]);
    let (from, to) = join(&mut world, &a, &b, "tcp:80");
    world.pass(terms().idle_after * 3);
    assert_eq!(net.count(0), 1);
    drop((from, to));
    world.pass(terms().idle_after - second(1));
    assert_eq!(net.count(0), 1);
    world.pass(second(2));
    assert_eq!(net.count(0), 0);
    world.close();
}

#[test]
fn a_quiet_link_costs_a_question_now_and_then_and_no_more() {
    let (mut world, net) = Net::of(2, terms());
    net.link(&mut world, 0, 1).unwrap();
    world.settle();
    let carried = |net: &Net| {
        let nodes = net.lock();
        nodes.lines[0].up.carried + nodes.lines[0].down.carried
    };
    let before = carried(&net);
    world.pass(second(290));
    let bytes = carried(&net) - before;
    let question = 24;
    assert!(bytes > 0 && bytes <= 290 / 30 * question, "{bytes}");
}

#[test]
fn a_node_that_saves_power_asks_those_that_would_ask_it_and_not_those_that_may_save_too() {
    for serves in [true, false] {
        let (mut world, net) = Net::of(2, terms());
        let serving = &net.hub(0).serving;
        serving.store(serves, std::sync::atomic::Ordering::Relaxed);
        net.hub(1).board.set_saving(true);
        net.hub(0).pool().keep(
            vec![Wanted {
                id: net.address(1),
                host: "127.0.0.2".into(),
                port: 51_055,
            }],
            world.now(),
        );
        net.link(&mut world, 0, 1).unwrap();
        world.pass(second(1));
        let said = |net: &Net| {
            let nodes = net.lock();
            (nodes.lines[0].up.carried, nodes.lines[0].down.carried)
        };
        let before = said(&net);
        world.pass(second(62));
        let after = said(&net);
        // Both ways: a question and its answer.
        assert_eq!(after.0 > before.0 && after.1 > before.1, serves);
    }
}

#[test]
fn a_node_that_has_gone_without_a_word_is_noticed() {
    for dialler_goes in [true, false] {
        let (mut world, net) = Net::of(2, terms());
        net.link(&mut world, 0, 1).unwrap();
        {
            let mut nodes = net.lock();
            let line = &mut nodes.lines[0];
            // Nothing of it arrives any more.
            let pipe = if dialler_goes {
                &mut line.up
            } else {
                &mut line.down
            };
            pipe.frozen = true;
        }
        // Without a port nobody waits for it.
        world.pass(second(345));
        let nodes = net.lock();
        let stop = nodes.lines[0].stop(!dialler_goes);
        assert!(matches!(stop, Some(Stop::Lost(_))), "{stop:?}");
    }
}

#[test]
fn an_opening_over_a_link_that_is_dead_goes_to_the_next_node_in_time() {
    let (mut world, net) = Net::of(3, terms());
    let (a, b) = (Program::new(1), Program::new(2));
    world.connect_at(0, &a);
    world.connect_at(2, &b);
    b.publish("tcp:80");
    net.tell(&b, &[1, 2]);
    net.link(&mut world, 0, 1).unwrap();
    world.pass(second(10));
    net.lock().lines[0].down.frozen = true;
    let port = a.open(&b, "tcp:80", world.now());
    world.pass(second(6));
    let offer = b.offer().expect("the second node was not asked in time");
    offer.accept();
    world.settle();
    assert_eq!(opened(&port), Some(Ok(())));
    drop((port, offer));
    world.close();
}

#[test]
fn a_device_that_slept_finds_out_which_links_are_dead_and_keeps_the_others() {
    let (mut world, net) = Net::of(3, terms());
    net.link(&mut world, 0, 1).unwrap();
    net.link(&mut world, 0, 2).unwrap();
    world.settle();
    net.lock().lines[0].down.frozen = true;
    world.sleep(second(3600));
    for link in net.hub(0).pool().links() {
        link.wake();
    }
    // Of no use for an hour, but it was not asked: it is, and then closed as idle.
    net.hub(0).pool().keep(
        [1, 2]
            .map(|n| Wanted {
                id: net.address(n),
                host: "127.0.0.1".into(),
                port: 1,
            })
            .to_vec(),
        world.now(),
    );
    world.pass(second(15));
    let list = net.hub(0).pool().list();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].id, net.address(2));
}

#[test]
fn a_link_that_is_to_be_kept_is_not_recycled_and_comes_back_with_growing_pauses() {
    let (mut world, net) = Net::of(2, terms());
    let hub = net.hub(0);
    let wanted = Wanted {
        id: net.address(1),
        host: "127.0.0.2".into(),
        port: 51_055,
    };
    hub.pool().keep(vec![wanted.clone()], world.now());
    assert_eq!(hub.pool().due(world.now()).0, vec![wanted.clone()]);
    net.link(&mut world, 0, 1).unwrap();
    world.pass(terms().idle_after * 3);
    assert_eq!(net.count(0), 1);
    assert_eq!(hub.pool().due(world.now()), (vec![], None));
    assert!(net.cut(0, 1));
    net.lock().peers[1].down = true;
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let (due, next) = hub.pool().due(world.now());
        assert!(due.is_empty());
        pauses.push(next.unwrap().since(world.now()));
        world.pass(*pauses.last().unwrap());
        assert_eq!(hub.pool().due(world.now()).0, vec![wanted.clone()]);
        assert!(net.link(&mut world, 0, 1).is_err());
    }
    assert!(pauses[0] <= Duration::from_millis(1_500), "{pauses:?}");
    assert!(
        pauses[9] >= second(30) && pauses[9] <= second(90),
        "{pauses:?}"
    );
    // Named no more, it is let go when it is idle.
    net.lock().peers[1].down = false;
    net.link(&mut world, 0, 1).unwrap();
    hub.pool().keep(Vec::new(), world.now());
    world.pass(terms().idle_after + second(1));
    assert_eq!(net.count(0), 0);
}

#[test]
fn without_a_network_only_this_machine_is_dialled_and_with_one_all_are_at_once() {
    let (mut world, net) = Net::of(1, terms());
    let hub = net.hub(0);
    let [far, near] = [(9, "node.example"), (8, "127.0.0.2")].map(|(n, host)| Wanted {
        id: key(n).address(),
        host: host.into(),
        port: 51_055,
    });
    let due = |world: &World| hub.pool().due(world.now());
    hub.pool().set_away(true, world.now());
    hub.pool()
        .keep(vec![far.clone(), near.clone()], world.now());
    assert_eq!(due(&world).0, vec![near.clone()]);
    hub.pool().keep(vec![far.clone()], world.now());
    let (none, next) = due(&world);
    assert!(none.is_empty());
    assert_eq!(next, Some(world.now() + second(300)), "it may be mistaken");
    world.pass(second(299));
    // Said again: it is not for that longer ago, nor shorter.
    hub.pool().set_away(true, world.now());
    assert!(due(&world).0.is_empty());
    world.pass(second(1));
    assert_eq!(due(&world).0, vec![far.clone()]);
    assert!(hub.pool().ask(far.id, world.now()).is_ok());
    let why = PeerError::Unreachable("no route".into());
    hub.pool().dial_failed(&far.id, why, world.now());
    let (none, next) = due(&world);
    assert!(none.is_empty() && next.unwrap() >= world.now() + second(150));
    world.pass(second(20));
    // There it is.
    hub.pool().set_away(false, world.now());
    hub.pool().hurry(world.now());
    world.pass(second(1));
    assert_eq!(due(&world).0, vec![far]);
}

#[test]
fn what_does_not_belong_into_a_link_ends_it() {
    let (mut world, net) = Net::of(1, terms());
    let id = key(50).address();
    let hello_bytes = |greeting: bool| {
        let mut out = Vec::new();
        if greeting {
            encode(1, &hello(), &mut out);
        } else {
            let agent = String::new();
            let wrong = Hello {
                capabilities: 0,
                agent,
            };
            encode(1, &wrong, &mut out);
        }
        out
    };
    // Not a link's first frame.
    for first in [
        hello_bytes(false),
        vec![2, 0x10, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1],
    ] {
        let mut raw = RawPeer::dialling(&net, 0, id, 1);
        raw.bytes(&mut world, &first);
        raw.expect_end(&mut world, Code::PROTOCOL);
    }
    // The dialled node does not greet first, and answers with the right id.
    let mut raw = RawPeer::dialled(&net, 0, id);
    raw.bytes(&mut world, &hello_bytes(true));
    raw.expect_end(&mut world, Code::PROTOCOL);
    let mut raw = RawPeer::dialled(&net, 0, id);
    let (asked, _) = raw.expect::<PeerHello>(&mut world);
    let welcome = PeerWelcome {
        agent: String::new(),
        capabilities: 0,
        unix_time: 0,
        peer_port: 0,
        serving: false,
    };
    raw.say(&mut world, asked + 2, &welcome);
    raw.expect_end(&mut world, Code::PROTOCOL);
    // A second greeting, a device's frames, numbers of the wrong side, ports that never were.
    let a = key(1).address();
    type Wrong<'a> = &'a dyn Fn(&mut RawPeer, &mut World);
    let wrongs: [Wrong; 6] = [
        &|raw, world| raw.bytes(world, &hello_bytes(true)),
        &|raw, world| raw.bytes(world, &hello_bytes(false)),
        &|raw, world| raw.open(world, 2, a, id),
        &|raw, world| raw.open(world, 0, a, id),
        &|raw, world| raw.data(world, 7, b"x"),
        &|raw, world| raw.data(world, 200, b"x"),
    ];
    for wrong in wrongs {
        let mut raw = RawPeer::standing(&mut world, &net, 0, id);
        wrong(&mut raw, &mut world);
        raw.expect_end(&mut world, Code::PROTOCOL);
        assert_eq!(net.count(0), 0);
    }
    // Pings are answered, late frames ignored.
    let mut raw = RawPeer::standing(&mut world, &net, 0, id);
    raw.say(&mut world, 5, &Ping {});
    assert_eq!(raw.expect::<Pong>(&mut world).0, 5);
    raw.open(&mut world, 9, a, id);
    raw.data(&mut world, 9, b"late");
    assert_eq!(raw.stop(), None);
}

#[test]
fn a_port_gets_no_data_before_it_is_opened_and_none_beyond_its_credit() {
    let (mut world, net) = Net::of(1, terms());
    let b = Program::new(2);
    world.connect(&b);
    b.publish("tcp:80");
    world.settle();
    let opener = key(1).address();
    let mut raw = RawPeer::standing(&mut world, &net, 0, key(50).address());
    raw.open(&mut world, 3, opener, b.address());
    raw.data(&mut world, 3, b"early");
    raw.expect_end(&mut world, Code::FLOW_CONTROL);
    drop(b.offer());
    let mut raw = RawPeer::standing(&mut world, &net, 0, key(50).address());
    raw.open(&mut world, 3, opener, b.address());
    let offer = b.offer().unwrap();
    assert_eq!(offer.peer(), opener);
    offer.accept();
    world.settle();
    for _ in 0..20 {
        raw.data(&mut world, 3, &[0; 16_000]);
    }
    raw.expect_end(&mut world, Code::FLOW_CONTROL);
    drop(offer);
    world.close();
}
