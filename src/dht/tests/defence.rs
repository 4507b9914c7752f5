//! What strangers, liars and floods may do to a node: little.

use super::world::{config, public, World};
use crate::dht::testing::{address, content, toy_presence, Toy, NOW};
use crate::dht::{Cost, Event, Outcome, Seal, Serve};
use crate::identity::Address;
use crate::wire::dht::{decode, encode, peek, Body, Contact, Packet, Type};
use std::net::SocketAddr;
use std::time::Duration;

/// A packet of node `from`, as it signs it.
fn packet(from: u64, to: Address, txid: u64, cookie: u64, body: Body) -> Vec<u8> {
    let seal = Toy(address(from));
    let packet = Packet {
        txid,
        cookie,
        from: seal.address(),
        to,
        body,
    };
    encode(&packet, &|digest| seal.sign(digest)).unwrap()
}

fn find(target: Address) -> Body {
    let serving = true;
    Body::FindNode { serving, target }
}

/// Asks node 0 from `at` like a node of number `n`: with a cookie, if it wants one.
fn ask(world: &mut World, at: SocketAddr, n: u64, body: &Body) -> Option<Body> {
    ask_for_cookie(world, at, n, body).map(|(body, _)| body)
}

/// The same, with the cookie for the next request.
fn ask_for_cookie(world: &mut World, at: SocketAddr, n: u64, body: &Body) -> Option<(Body, u64)> {
    let host = match world.hosts.iter().position(|host| host.at == at) {
        Some(host) => host,
        None => world.listen(at),
    };
    let (to, id) = (world.hosts[0].at, world.id(0));
    let mut cookie = 0;
    for txid in 1..4 {
        world.hosts[host].heard.clear();
        world.inject(at, to, packet(n, id, txid, cookie, body.clone()));
        world.run(Duration::from_millis(200));
        let answers = world.hosts[host].heard.clone();
        let answer = answers.iter().find_map(|(_, bytes)| {
            let header = peek(bytes).unwrap();
            (header.txid == txid).then_some((header, bytes))
        });
        let (header, bytes) = answer?;
        if header.kind == Type::Challenge {
            cookie = header.cookie;
            continue;
        }
        let verify = Toy(address(n));
        let recover = |d: &[u8; 32], s: &[u8; 64]| crate::dht::Verify::recover(&verify, d, s);
        let packet = decode(bytes, &recover).unwrap();
        return Some((packet.body, packet.cookie));
    }
    None
}

#[test]
fn a_flood_from_spoofed_addresses_costs_no_signature_check_and_is_not_amplified() {
    let mut world = World::grown(1, 10);
    let (to, id) = (world.hosts[0].at, world.id(0));
    let before = world.stats(0);
    let mut bytes_in = 0;
    for n in 0..20_000u64 {
        // Nobody is there to read what comes back.
        let from = public(1000 + n as usize);
        let body = match n % 4 {
            0 => find(address(n)),
            1 => Body::Ping {
                serving: true,
                check: None,
            },
            2 => Body::FindValue {
                serving: true,
                key: address(n),
            },
            _ => Body::Store {
                serving: true,
                records: vec![vec![7; 900]],
            },
        };
        // A cookie that was guessed is none.
        let bytes = packet(500 + n, id, n, n, body);
        bytes_in += bytes.len() as u64;
        world.inject(from, to, bytes);
        if n % 10 == 0 {
            world.run(Duration::from_millis(1));
        }
    }
    world.run(Duration::from_millis(200));
    let after = world.stats(0);
    // What it does for itself meanwhile.
    assert!(after.signed - before.signed < 20, "{after:?}");
    assert!(after.checked - before.checked < 20, "{after:?}");
    assert!(
        after.challenges - before.challenges > 1000,
        "it answers none"
    );
    let out = after.bytes_out - before.bytes_out;
    assert!(out <= bytes_in / 2, "{out} of {bytes_in} bytes");
    assert_eq!(after.nodes, before.nodes);
    // Packet by packet, too.
    let (victim, request) = (public(40_000), packet(9, id, 1, 0, find(id)));
    let host = world.listen(victim);
    world.inject(victim, to, request.clone());
    world.run(Duration::from_secs(2));
    let answers = &world.hosts[host].heard;
    assert!(answers.len() == 1 && answers[0].1.len() < request.len());
}

#[test]
fn who_has_a_cookie_cannot_make_a_node_check_without_end() {
    let mut world = World::grown(2, 10);
    let at = public(900);
    let id = world.id(0);
    let (_, cookie) = ask_for_cookie(&mut world, at, 900, &find(id)).unwrap();
    let before = world.stats(0);
    let to = world.hosts[0].at;
    for n in 0..10_000 {
        // Well formed, and signed by nobody.
        let mut bytes = packet(900, id, n, cookie, find(address(n)));
        let last = bytes.len() - 20;
        bytes[last] ^= 1;
        world.inject(at, to, bytes);
    }
    world.run(Duration::from_secs(1));
    let checked = world.stats(0).checked - before.checked;
    assert!((50..500).contains(&checked), "{checked}");
    assert!(world.stats(0).forged >= checked);
    // Others are served meanwhile.
    assert!(ask(&mut world, public(901), 901, &find(id)).is_some());
}

#[test]
fn a_cookie_is_good_for_the_address_it_was_made_for() {
    let mut world = World::grown(3, 5);
    let id = world.id(0);
    let (_, cookie) = ask_for_cookie(&mut world, public(900), 900, &find(id)).unwrap();
    let elsewhere = world.listen(public(901));
    let (to, checked) = (world.hosts[0].at, world.stats(0).checked);
    world.inject(public(901), to, packet(900, id, 7, cookie, find(id)));
    world.run(Duration::from_secs(1));
    let answer = peek(&world.hosts[elsewhere].heard[0].1).unwrap();
    assert_eq!(answer.kind, Type::Challenge);
    assert!(world.stats(0).checked <= checked + 2);
}

/// A host that is asked by node 0 (which has it for a seed), and what it was asked.
fn asked(seed: u64) -> (World, usize, SocketAddr, Vec<u8>) {
    let mut world = World::new(seed);
    world.add(config());
    let at = public(500);
    let host = world.listen(at);
    world.order(0, |engine, now, _| {
        engine.add_seed(now, at, Some(address(500)))
    });
    world.run(Duration::from_millis(100));
    let (_, request) = world.hosts[host].heard.remove(0);
    (world, host, at, request)
}

#[test]
fn an_answer_from_another_place_or_node_or_to_another_request_is_not_taken() {
    let (mut world, _, at, request) = asked(4);
    let header = peek(&request).unwrap();
    let (to, id) = (world.hosts[0].at, world.id(0));
    let pong = |n, txid| {
        let seen = to;
        let body = Body::Pong {
            serving: true,
            unix: NOW,
            seen,
        };
        packet(n, id, txid, 1, body)
    };
    let wrong = [
        (public(501), pong(500, header.txid)),
        (at, pong(500, header.txid ^ 1)),
        (at, pong(501, header.txid)),
        // The right one, but an answer to another question.
        (
            at,
            packet(500, id, header.txid, 1, Body::Stored { codes: vec![0] }),
        ),
    ];
    for (from, bytes) in wrong {
        world.inject(from, to, bytes);
        world.run(Duration::from_millis(1));
        assert_eq!(world.stats(0).nodes, 0);
    }
    world.inject(at, to, pong(500, header.txid));
    world.run(Duration::from_millis(1));
    assert_eq!(world.stats(0).nodes, 1);
}

#[test]
fn who_answers_with_challenges_for_ever_gets_three_packets() {
    let (mut world, host, at, request) = asked(5);
    let (to, id) = (world.hosts[0].at, world.id(0));
    let mut request = request;
    let mut count = 1;
    for cookie in 1..100 {
        let header = peek(&request).unwrap();
        let bare = crate::wire::dht::challenge(&header, address(500), cookie);
        world.inject(at, to, bare.to_vec());
        world.run(Duration::from_millis(100));
        match world.hosts[host].heard.pop() {
            Some((_, bytes)) => request = bytes,
            None => break,
        }
        count += 1;
    }
    assert_eq!(count, 3);
    assert!(peek(&request).unwrap().to == address(500) && id != address(500));
}

#[test]
fn names_alone_get_nobody_into_a_table() {
    let mut world = World::grown(6, 3);
    let before = world.stats(0).nodes;
    // A member names a thousand nodes that do not exist.
    let (at, id) = (public(700), world.id(0));
    ask(&mut world, at, 700, &find(id)).unwrap();
    let host = world.hosts.len() - 1;
    let asked = world.hosts[0].at;
    for round in 0..50 {
        let op = world.order(0, |engine, now, _| {
            engine.find_node(now, address(9000 + round))
        });
        for _ in 0..40 {
            world.run(Duration::from_millis(50));
            let requests: Vec<_> = world.hosts[host].heard.drain(..).collect();
            for (_, bytes) in requests {
                let header = peek(&bytes).unwrap();
                let contacts = (0..20).map(|n| Contact {
                    id: address(100_000 + round * 20 + n),
                    at: public(5000 + (round * 20 + n) as usize),
                });
                let body = match header.kind {
                    Type::Ping => Body::Pong {
                        serving: true,
                        unix: NOW,
                        seen: asked,
                    },
                    Type::FindNode => Body::Nodes {
                        contacts: contacts.collect(),
                    },
                    _ => continue,
                };
                let answer = packet(700, header.from, header.txid, 5, body);
                world.inject(at, asked, answer);
            }
        }
        world.outcome(0, op);
    }
    assert!(world.stats(0).nodes <= before + 1, "{:?}", world.stats(0));
}

#[test]
fn rented_networks_get_few_places_in_tables_and_answers() {
    let rented = |c: &&Contact| c.at.ip().to_string().starts_with("198.51.");
    let mut world = World::grown(7, 30);
    let id = world.id(0);
    // 100 nodes in four networks, all alive; each asks node 0.
    for n in 0..100u64 {
        let at = SocketAddr::from(([198, 51, (n % 4) as u8, 1 + n as u8], 51055));
        world.add_at(config(), at, Box::new(Toy(address(3000 + n))));
        let seed = world.hosts[0].at;
        let host = world.hosts.len() - 1;
        world.order(host, |engine, now, _| engine.add_seed(now, seed, None));
        world.run(Duration::from_millis(100));
    }
    world.run(Duration::from_secs(60));
    // Two of each of four networks a bucket; ids are random, so they spread over
    // five or six buckets.
    let known = world
        .engine(0)
        .contacts(world.now, crate::dht::testing::WALL, 500);
    let known = known
        .iter()
        .filter(|known| known.in_table && rented(&&known.contact));
    assert!((1..48).contains(&known.count()));
    let Some(Body::Nodes { contacts }) = ask(&mut world, public(800), 800, &find(id)) else {
        panic!("no answer");
    };
    assert!(contacts.iter().filter(rented).count() <= 8);
}

#[test]
fn ids_placed_around_a_key_do_not_hide_its_record() {
    let mut world = World::grown(8, 100);
    let record = toy_presence(1, 1, NOW);
    let key = record.key();
    // 60 nodes that share 100 bits with the key, in four networks. They answer
    // everything, name each other, take records and have none.
    for n in 0..60u8 {
        let mut id = key;
        id.0[13] ^= 1 + n;
        let at = SocketAddr::from(([198, 51, n % 4, 1 + n], 51055));
        let host = world.add_at(config(), at, Box::new(Toy(id)));
        let seed = world.hosts[usize::from(n)].at;
        world.order(host, |engine, now, _| engine.add_seed(now, seed, None));
    }
    world.run(Duration::from_secs(60));
    let stored = world.store(3, &record);
    assert!(
        matches!(stored, Outcome::Stored { at, .. } if at >= 18),
        "{stored:?}"
    );
    // Whatever they have taken is gone.
    for host in 100..160 {
        world.stop(host);
    }
    let mut found = 0;
    for host in 10..60 {
        found += usize::from(world.has(host, &record));
    }
    assert!(found >= 49, "{found} of 50");
}

#[test]
fn a_stranger_is_not_told_private_addresses_nor_believed_when_it_tells_some() {
    let mut world = World::new(9);
    world.add(config());
    // A neighbour at home and one in the world.
    let home: SocketAddr = "192.168.7.7:51055".parse().unwrap();
    for (n, at) in [(1, home), (2, public(2))] {
        let config = crate::dht::Config {
            serve: Serve::Yes,
            ..config()
        };
        let host = world.add_at(config, at, Box::new(Toy(address(600 + n))));
        let seed = world.hosts[0].at;
        world.order(host, |engine, now, _| engine.add_seed(now, seed, None));
    }
    world.run(Duration::from_secs(30));
    assert_eq!(world.stats(0).nodes, 2);
    let target = world.id(0);
    let Some(Body::Nodes { contacts }) = ask(&mut world, public(801), 801, &find(target)) else {
        panic!("no answer");
    };
    assert!(contacts.iter().all(|c| c.at != home), "{contacts:?}");
    let (at, id) = ("192.168.9.9:7".parse().unwrap(), world.id(1));
    let Some(Body::Nodes { contacts }) = ask(&mut world, at, 802, &find(id)) else {
        panic!("no answer");
    };
    assert!(contacts.iter().any(|c| c.at == home), "{contacts:?}");
}

#[test]
fn an_old_presence_that_somebody_keeps_does_not_win_for_long() {
    let mut world = World::grown(10, 40);
    let (old, new) = (toy_presence(5, 1, NOW - 100), toy_presence(5, 1, NOW));
    world.store(0, &old);
    // The new one reaches half of the replicas only.
    for host in 0..20 {
        world.hosts[host].behind_nat = true;
    }
    world.store(30, &new);
    for host in 0..20 {
        world.hosts[host].behind_nat = false;
    }
    world.run(Duration::from_secs(5));
    for host in [3, 13, 23, 33] {
        let op = world.order(host, |engine, now, _| engine.find_newest(now, new.key()));
        let found = world.outcome(host, op);
        let Outcome::Found { records, .. } = found else {
            panic!("{found:?}");
        };
        assert_eq!(records, std::slice::from_ref(&new));
    }
}

#[test]
fn a_client_is_in_nobodys_table_and_uses_the_network_all_the_same() {
    let mut world = World::grown(11, 25);
    let client = world.add(crate::dht::Config {
        serve: Serve::No,
        ..config()
    });
    let seed = world.hosts[0].at;
    world.order(client, |engine, now, _| engine.add_seed(now, seed, None));
    world.run(Duration::from_secs(10));
    let record = content(1, 100, NOW + 3600);
    world.store(client, &record);
    assert!(world.has(7, &record) && world.has(client, &record));
    let id = world.id(client);
    for host in 0..25 {
        let known = world
            .engine(host)
            .contacts(world.now, crate::dht::testing::WALL, 500);
        assert!(
            known.iter().all(|known| known.contact.id != id),
            "host {host}"
        );
    }
    assert_eq!(world.stats(client).values, 0);
    // Who asks it is told so.
    let now = world.now;
    let _ = now;
    let answer = world.order(client, |engine, _, _| engine.serving());
    assert!(!answer);
}

#[test]
fn a_node_behind_a_nat_that_lets_nobody_in_serves_nobody() {
    let mut world = World::grown(12, 25);
    let inside = crate::dht::Config {
        interfaces: vec!["192.168.1.5".parse().unwrap()],
        ..config()
    };
    let node = world.add(inside);
    world.hosts[node].behind_nat = true;
    let seed = world.hosts[0].at;
    world.order(node, |engine, now, _| engine.add_seed(now, seed, None));
    world.run(Duration::from_secs(120));
    let outside = world.hosts[node].at;
    assert!(
        world.told(node, &Event::OutsideAddress(outside)),
        "{:?}",
        world.hosts[node].events
    );
    // Where everybody is an acquaintance, a check proves nothing; nothing proves
    // that strangers get in, either.
    assert!(!world.told(node, &Event::Reachable(true)));
    assert!(!world.engine(node).serving());
    // The operator opens the router's port.
    world.hosts[node].behind_nat = false;
    world.run(Duration::from_secs(2 * 3600));
    assert!(world.engine(node).serving());
    let record = content(2, 100, NOW + 36_000);
    world.store(3, &record);
    assert!(world.has(node, &record));
}

#[test]
fn nobody_can_be_made_to_knock_at_many_doors() {
    let mut world = World::grown(13, 10);
    let at = public(900);
    let id = world.id(0);
    let (_, cookie) = ask_for_cookie(&mut world, at, 900, &find(id)).unwrap();
    let victim = world.listen(public(20_000));
    let to = world.hosts[0].at;
    for n in 0..1000 {
        let check = Some(public(20_000));
        let body = Body::Ping {
            serving: false,
            check,
        };
        world.inject(at, to, packet(900, id, 5000 + n, cookie, body));
        world.run(Duration::from_millis(10));
    }
    let knocks = world.hosts[victim].heard.len();
    assert!((1..=45).contains(&knocks), "{knocks} in ten seconds");
    // And never at a door inside a house.
    let inside = world.listen("192.168.1.1:80".parse().unwrap());
    let check = Some("192.168.1.1:80".parse().unwrap());
    let body = Body::Ping {
        serving: false,
        check,
    };
    world.run(Duration::from_secs(60));
    world.inject(at, to, packet(900, id, 9999, cookie, body));
    world.run(Duration::from_secs(1));
    assert!(world.hosts[inside].heard.is_empty());
}

#[test]
fn costs_are_counted() {
    let mut world = World::grown(14, 60);
    let record = content(3, 50, NOW + 3600);
    let Outcome::Stored { cost, at, .. } = world.store(1, &record) else {
        panic!("not stored");
    };
    let Cost {
        rounds,
        hops,
        requests,
        challenged,
        took,
    } = cost;
    assert!(hops <= rounds && challenged < requests, "{cost:?}");
    assert!(
        requests as usize >= at && took > Duration::from_millis(80),
        "{cost:?}"
    );
}
