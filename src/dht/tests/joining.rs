//! Coming in, finding each other, staying.

use super::world::{config, World};
use crate::dht::testing::{content, toy_presence, NOW};
use crate::dht::{Event, Outcome};
use std::time::Duration;

#[test]
fn a_node_that_knows_one_seed_takes_part_within_two_seconds() {
    let mut world = World::grown(1, 30);
    let node = world.add(config());
    let seed = world.hosts[0].at;
    world.order(node, |engine, now, _| engine.add_seed(now, seed, None));
    world.run(Duration::from_secs(2));
    let joined = |event: &Event| matches!(event, Event::Joined { .. });
    assert!(world.hosts[node].events.iter().any(joined));
    assert!(world.engine(node).serving());
    let record = content(1, 100, NOW + 3600);
    let stored = world.store(node, &record);
    assert!(
        matches!(stored, Outcome::Stored { at, .. } if at >= 18),
        "{stored:?}"
    );
    for host in [0, 7, 29, node] {
        assert!(world.has(host, &record), "host {host}");
    }
}

#[test]
fn what_one_node_stores_every_other_finds() {
    let mut world = World::grown(2, 100);
    for n in 0..40 {
        let record = toy_presence(n, n, NOW);
        let (from, to) = (world.rng.usize(..100), world.rng.usize(..100));
        world.store(from, &record);
        assert!(world.has(to, &record), "{n}: from {from} to {to}");
    }
    let stats = world.stats(0);
    assert!(stats.nodes >= 40 && stats.values > 0, "{stats:?}");
}

#[test]
fn nodes_of_a_small_network_go_on_serving_though_they_all_know_each_other() {
    for nodes in [3, 6] {
        let mut world = World::grown(77, nodes);
        world.run(Duration::from_secs(1200));
        for host in 0..nodes {
            assert_eq!(
                world.engine(host).reachable(),
                Some(true),
                "host {host} of {nodes}"
            );
            assert!(world.engine(host).serving(), "host {host} of {nodes}");
            // Asked again and again, the same acquaintances prove nothing.
            let knocks = world.stats(host).challenges;
            assert!(knocks < 30, "{knocks} at host {host} of {nodes}");
        }
    }
}
