//! Nodes come and go, networks tear and heal.

use super::world::{config, World};
use crate::dht::testing::{address, content, toy_presence, NOW, WALL};
use crate::dht::{Event, Outcome};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_restarted_node_is_back_without_its_seeds() {
    let mut world = World::grown(1, 30);
    let known = world.engine(9).contacts(world.now, WALL, 200);
    assert!(known.len() > 15 && known.iter().all(|k| k.in_table && k.successes > 0));
    world.stop(0);
    let node = world.add(config());
    for known in known {
        world.order(node, |engine, now, _| engine.add_known(now, known));
    }
    world.run(Duration::from_secs(3));
    let joined = |event: &Event| matches!(event, Event::Joined { .. });
    assert!(world.hosts[node].events.iter().any(joined));
    let record = content(1, 100, NOW + 3600);
    world.store(5, &record);
    assert!(world.has(node, &record));
}

#[test]
fn a_node_that_is_cut_off_says_so_and_is_back_within_two_minutes() {
    let mut world = World::grown(2, 30);
    let before = world.stats(4).nodes;
    world.island.insert(4);
    world.run(10 * MINUTE);
    assert!(world.told(4, &Event::Isolated));
    assert_eq!(world.stats(4).nodes, before, "it has forgotten others");
    let sent = world.stats(4).packets_out;
    world.run(60 * MINUTE);
    let sent = world.stats(4).packets_out - sent;
    assert!(sent < 60 * 40, "{sent} packets into the void in an hour");
    world.hosts[4].events.clear();
    world.island.clear();
    world.run(2 * MINUTE);
    let joined = |event: &Event| matches!(event, Event::Joined { .. });
    assert!(world.hosts[4].events.iter().any(joined));
    let record = content(2, 100, NOW + 36_000);
    world.store(8, &record);
    assert!(world.has(4, &record));
}

#[test]
fn two_halves_find_each_others_records_after_they_were_torn_for_an_hour() {
    let mut world = World::grown(3, 60);
    world.island = (0..30).collect();
    world.run(10 * MINUTE);
    let mut records = Vec::new();
    for n in 0..20u64 {
        let record = content(100 + n, 100, NOW + 80_000);
        world.publish(3 * n as usize, &record);
        records.push(record);
    }
    world.run(50 * MINUTE);
    world.island.clear();
    world.run(5 * MINUTE);
    let mut missing = 0;
    for (n, record) in records.iter().enumerate() {
        for asker in [n, 30 + n] {
            missing += usize::from(!world.has(asker, record));
        }
    }
    assert_eq!(missing, 0, "of 40");
}

#[test]
fn a_record_outlives_the_nodes_that_had_it_first() {
    let mut world = World::grown(4, 60);
    let record = content(1, 100, NOW + 80_000);
    world.publish(0, &record);
    // Two thirds of all are replaced by others, one after the other.
    for n in 1..40 {
        world.stop(n);
        let node = world.add(config());
        let seed = world.hosts[0].at;
        world.order(node, |engine, now, _| engine.add_seed(now, seed, None));
        world.run(3 * MINUTE);
    }
    for asker in [45, 55, 65, 75, 95] {
        assert!(world.has(asker, &record), "{asker}");
    }
}

#[test]
fn who_comes_is_given_what_it_should_have() {
    let mut world = World::grown(5, 15);
    let record = content(1, 100, NOW + 80_000);
    // Stored once, by nobody who would do it again.
    world.store(0, &record);
    let node = world.add(config());
    let seed = world.hosts[3].at;
    world.order(node, |engine, now, _| engine.add_seed(now, seed, None));
    world.run(MINUTE);
    let kept = world.engine(node).stored(world.now, WALL, record.key());
    assert_eq!(kept, std::slice::from_ref(&record));
    // All fifteen who had it may go now.
    for host in 0..15 {
        world.stop(host);
    }
    assert!(
        world.has(node, &record)
            || world
                .engine(node)
                .stored(world.now, WALL, record.key())
                .len()
                == 1
    );
}

#[test]
fn what_nobody_took_is_published_when_the_network_is_there() {
    let mut world = World::new(6);
    world.add(config());
    let record = toy_presence(1, 1, NOW + 60);
    assert_eq!(world.publish(0, &record), Outcome::Failed);
    let other = world.add(config());
    let seed = world.hosts[0].at;
    world.order(other, |engine, now, _| engine.add_seed(now, seed, None));
    world.run(MINUTE);
    assert!(world.has(other, &record));
    // Withdrawn, it ends with its time.
    world.order(0, |engine, _, _| {
        assert_eq!(engine.withdraw(record.key()), 1)
    });
    world.run(120 * MINUTE);
    assert!(matches!(
        world.find(other, record.key()),
        Outcome::Missing { .. }
    ));
}

#[test]
fn five_per_cent_of_lost_packets_lose_no_lookup() {
    let mut world = World::grown(7, 60);
    world.loss = 0.05;
    let mut rounds = Vec::new();
    for n in 0..60u64 {
        let record = toy_presence(200 + n, n, NOW);
        world.store(n as usize, &record);
        let found = world.find(59 - n as usize, record.key());
        let Outcome::Found { records, cost } = found else {
            panic!("{n}: {found:?}");
        };
        assert_eq!(records, [record]);
        rounds.push(cost.rounds);
    }
    rounds.sort_unstable();
    assert!(rounds[30] <= 3 && rounds[58] <= 8, "{rounds:?}");
}

#[test]
fn clocks_that_are_wrong_do_not_move_the_network_nor_lock_a_node_out() {
    let mut world = World::grown(8, 30);
    // One in 1970, one ten years ahead that believes it.
    world.hosts[3].wall.unix = 0;
    world.hosts[3].wall.trusted = false;
    world.hosts[4].wall.unix = NOW + 315_000_000;
    world.run(30 * MINUTE);
    let passed = world
        .now
        .since(crate::time::Moment(1_000_000_000))
        .as_secs();
    for host in [0, 3, 4, 20] {
        let told = world.engine(host).network_time(world.now).unwrap();
        assert!(told.abs_diff(NOW + passed) <= 2, "host {host}: {told}");
    }
    let record = toy_presence(1, 1, NOW + passed);
    world.store(3, &record);
    assert!(world.has(9, &record) && world.has(3, &record));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut world = World::grown(9, 20);
        world.loss = 0.1;
        world.store(3, &toy_presence(1, 1, NOW));
        world.find(7, address(77));
        world.run(60 * MINUTE);
        (world.sent, world.stats(5))
    };
    assert_eq!(run(), run());
}

#[test]
fn an_idle_node_costs_little_and_does_not_wake_up_often() {
    let mut world = World::grown(10, 100);
    world.run(30 * MINUTE);
    let before: Vec<_> = (0..100).map(|n| world.stats(n)).collect();
    let ticks = world.ticks;
    world.run(60 * MINUTE);
    for (n, before) in before.iter().enumerate() {
        let after = world.stats(n);
        let packets = after.packets_in + after.packets_out - before.packets_in - before.packets_out;
        let bytes = after.bytes_in + after.bytes_out - before.bytes_in - before.bytes_out;
        // With the headers of IP and UDP.
        let rate = (bytes + packets * 28) / 3600;
        assert!(rate < 150, "host {n}: {rate} bytes a second");
    }
    let wakes = (world.ticks - ticks) / 100;
    assert!(wakes < 3600, "{wakes} wake-ups an hour");
}
