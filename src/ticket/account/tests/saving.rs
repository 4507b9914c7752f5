//! When the account is saved.

use super::*;

#[test]
fn usage_is_saved_every_8_mib_but_at_most_once_a_second() {
    let mut world = World::with_ticket(1 << 40);
    assert_eq!(world.commits, 1);
    assert_eq!(world.stored[0].ticket.total_bytes, 1 << 40);
    assert_eq!(world.account.next_mark(), CHECKPOINT_BYTES);
    world.use_up_to(CHECKPOINT_BYTES);
    assert_eq!(world.commits, 1);
    // Not by usage any more: by time.
    assert!(world.account.next_mark() > 1 << 30);
    assert_eq!(
        world.account.deadline(),
        Some(world.now + CHECKPOINT_INTERVAL)
    );
    world.use_up_to(20 * MIB);
    world.wait(1000);
    assert_eq!(world.commits, 2);
    assert_eq!(world.stored[0].usage, 20 * MIB);
    assert_eq!(world.account.deadline(), None);
    // Less than 8 MiB wait until the end of the session.
    world.use_up_to(20 * MIB + 5);
    world.wait(60_000);
    assert_eq!(world.commits, 2);
    let rest = world.account.flush(world.now);
    assert_eq!(rest[0].usage, 20 * MIB + 5);
    assert!(!world.account.is_saved());
    world.account.saved(true, world.now);
    assert!(world.account.is_saved());
    assert!(world.account.flush(world.now).is_empty());
}

#[test]
fn tickets_within_a_second_share_a_commit() {
    let mut world = World::with_ticket(MIB);
    for total in 2..10 {
        world.pay(total * MIB).unwrap();
    }
    assert_eq!(world.commits, 1);
    world.wait(1000);
    assert_eq!(world.commits, 2);
    assert_eq!(world.stored[0].ticket.total_bytes, 9 * MIB);
}

#[test]
fn a_broken_disk_stops_neither_relaying_nor_trying_and_is_not_hammered() {
    let mut world = World::new();
    world.disk = false;
    world.advance();
    assert!(!world.pay(100 * MIB).unwrap().paused);
    assert_eq!(world.commits, 1);
    for second in 1..=30 {
        assert!(!world.use_up_to(second * MIB).paused);
        world.wait(1000);
    }
    assert_eq!(world.commits, 4);
    assert!(!world.account.is_saved());
    world.disk = true;
    world.wait(10_000);
    assert_eq!(world.stored[0].usage, 30 * MIB);
    assert!(world.account.is_saved());
}

#[test]
fn one_slow_checkpoint_is_not_joined_by_another() {
    let mut world = World::new();
    world.advance();
    // By hand: the disk takes its time.
    let ticket = Ticket::sign(&world.key, &NODE, terms());
    let mut account = world.account.clone();
    let valid = world
        .rules
        .validate(ticket, world.key.address(), world.clock, |epoch, fleet| {
            account.standing(epoch, fleet)
        })
        .unwrap();
    account.accept(valid);
    let mut now = world.now;
    assert_eq!(account.advance(now, world.clock).checkpoint.len(), 1);
    account.charge(100 * MIB, 0);
    for _ in 0..5 {
        now = now + Duration::from_secs(2);
        assert!(account.advance(now, world.clock).checkpoint.is_empty());
        assert_eq!(account.deadline(), Some(now + CHECKPOINT_INTERVAL));
    }
    account.saved(true, now);
    let rows = account.advance(now, world.clock).checkpoint;
    assert_eq!(rows[0].usage, 100 * MIB);
}
