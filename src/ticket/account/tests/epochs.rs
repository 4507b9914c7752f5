//! The account while the epoch moves on, and while nobody knows it.

use super::*;

fn usages(world: &World) -> Vec<(u64, u64)> {
    let rows = world.stored.iter();
    rows.map(|row| (row.ticket.epoch, row.usage)).collect()
}

#[test]
fn the_new_epoch_is_asked_for_while_the_old_ticket_goes_on_paying() {
    let mut world = World::with_ticket(100 * MIB);
    world.use_up_to(10 * MIB);
    world.clock = EpochClock::Trusted(EPOCH + 1);
    let steps = world.wait(1);
    assert_eq!(
        steps.ask,
        Some(Ask {
            epoch: EPOCH + 1,
            epoch_known: true,
            usage: 0
        })
    );
    assert!(!steps.paused);
    // No answer: the old ticket pays, to its end and no further.
    assert!(!world.wait(60_000).cut_off);
    assert!(!world.use_up_to(100 * MIB + GRACE_BYTES - 1).paused);
    assert!(world.use_up_to(100 * MIB + GRACE_BYTES).cut_off);

    world.pay_for(EPOCH + 1, FLEET, 4 * MIB).unwrap();
    assert_eq!(world.account.usage(), 0);
    assert_eq!(world.account.next_mark(), 3 * MIB);
    let steps = world.wait(1000);
    assert!(steps.ask.is_none() && !steps.paused);
    assert_eq!(
        usages(&world),
        [(EPOCH, 100 * MIB + GRACE_BYTES), (EPOCH + 1, 0)]
    );
}

#[test]
fn a_device_that_signs_the_old_epoch_only_is_not_asked_in_circles() {
    let mut world = World::with_ticket(100 * MIB);
    world.clock = EpochClock::Trusted(EPOCH + 1);
    assert!(world.wait(1000).ask.is_some());
    assert_eq!(world.pay(200 * MIB).unwrap().ask, None);
    assert_eq!(world.wait(1000).ask, None);
    // At its next ticket it is asked again, for the new one.
    let ask = world.use_up_to(150 * MIB).ask.unwrap();
    assert_eq!((ask.epoch, ask.usage), (EPOCH + 1, 0));
}

#[test]
fn a_ticket_pays_for_one_epoch_more_and_not_for_two() {
    let mut world = World::with_ticket(100 * MIB);
    world.clock = EpochClock::Trusted(EPOCH + 2);
    let steps = world.wait(1);
    assert!(steps.paused && !steps.cut_off);
    assert_eq!(steps.ask.unwrap().epoch, EPOCH + 2);
    assert_eq!(world.pay(200 * MIB).unwrap_err().code(), 100);
    assert!(!world.pay_for(EPOCH + 2, FLEET, MIB).unwrap().paused);
}

#[test]
fn usage_is_remembered_from_before_the_restart() {
    let mut world = World::with_ticket(100 * MIB);
    world.use_up_to(9 * MIB);
    world.wait(1000);
    world.restart();
    world.advance();
    assert!(matches!(
        world.pay(9 * MIB),
        Err(Refusal::TooLow { usage, last_total, .. })
            if usage == 9 * MIB && last_total == 100 * MIB
    ));
    world.pay(100 * MIB).unwrap();
    assert_eq!(world.account.usage(), 9 * MIB);
}

#[test]
fn a_node_without_a_clock_takes_the_devices_epoch_and_keeps_it_if_it_was_right() {
    let mut world = World::new();
    world.clock = EpochClock::Untrusted { floor: EPOCH - 5 };
    let ask = world.advance().ask.unwrap();
    assert_eq!((ask.epoch, ask.epoch_known), (EPOCH - 5, false));
    let refusal = world.pay_for(EPOCH - 6, FLEET, MIB).unwrap_err();
    assert_eq!(refusal.code(), 100);
    assert!(!world.pay(4 * MIB).unwrap().paused);
    let ask = world.use_up_to(3 * MIB).ask.unwrap();
    assert_eq!((ask.epoch, ask.epoch_known), (EPOCH, false));
    world.pay(40 * MIB).unwrap();
    world.clock = EpochClock::Trusted(EPOCH);
    let steps = world.wait(1000);
    assert!(!steps.paused && steps.ask.is_none());
    assert_eq!(world.account.usage(), 3 * MIB);
}

#[test]
fn usage_that_was_counted_in_a_wrong_epoch_moves_to_the_right_one() {
    // What stands in the wrong epoch by right: from the time when it was current.
    let mut world = World::with_ticket(50 * MIB);
    world.use_up_to(20 * MIB);
    world.wait(1000);
    world.restart();

    world.clock = EpochClock::Untrusted { floor: EPOCH - 1 };
    world.advance();
    world.pay(50 * MIB).unwrap();
    world.use_up_to(25 * MIB);
    world.wait(1000);
    world.clock = EpochClock::Trusted(EPOCH + 7);
    let steps = world.wait(1000);
    assert!(steps.paused);
    assert_eq!(
        steps.ask,
        Some(Ask {
            epoch: EPOCH + 7,
            epoch_known: true,
            usage: 5 * MIB
        })
    );
    assert!(matches!(
        world.pay_for(EPOCH + 7, FLEET, 4 * MIB),
        Err(Refusal::TooLow { usage, .. }) if usage == 5 * MIB
    ));
    world.pay_for(EPOCH + 7, FLEET, 9 * MIB).unwrap();
    world.wait(1000);
    assert_eq!(usages(&world), [(EPOCH, 20 * MIB), (EPOCH + 7, 5 * MIB)]);
}

#[test]
fn a_clock_that_is_lost_again_does_not_disturb_a_session() {
    let mut world = World::with_ticket(50 * MIB);
    world.use_up_to(20 * MIB);
    world.clock = EpochClock::Untrusted { floor: EPOCH };
    assert!(!world.wait(1000).paused);
    world.use_up_to(30 * MIB);
    world.clock = EpochClock::Trusted(EPOCH + 1);
    let steps = world.wait(1000);
    assert!(!steps.paused);
    assert_eq!(world.account.usage(), 30 * MIB);
    assert_eq!(steps.ask.unwrap().usage, 0);
}

#[test]
fn a_device_that_invents_epochs_fills_neither_memory_nor_disk() {
    let mut world = World::new();
    world.clock = EpochClock::Untrusted { floor: 0 };
    world.advance();
    let mut refused = 0;
    for epoch in 0..200 {
        world.now = world.now + Duration::from_secs(1);
        match world.pay_for(epoch, FLEET, MIB) {
            Ok(_) => world.account.charge(10, 0),
            Err(refusal) => {
                assert_eq!(refusal.code(), 110);
                refused += 1;
            }
        }
    }
    assert!(refused > 150, "{refused}");
    // All of it is owed when the time is known.
    world.clock = EpochClock::Trusted(EPOCH);
    let ask = world.wait(1000).ask.unwrap();
    assert_eq!(ask.usage, (200 - refused) * 10);
}

#[test]
fn guessed_bytes_that_went_to_another_fleet_are_not_counted_twice() {
    let other = Address([5; 20]);
    let mut world = World::new();
    world.clock = EpochClock::Untrusted { floor: EPOCH };
    world.advance();
    world.pay(MIB).unwrap();
    world.use_up_to(3 * MIB);
    world.pay_for(EPOCH, other, 2 * MIB).unwrap();
    world.wait(1000);
    assert_eq!(usages(&world), [(EPOCH, MIB), (EPOCH, 2 * MIB)]);
    world.clock = EpochClock::Trusted(EPOCH + 3);
    assert_eq!(world.wait(1000).ask.unwrap().usage, 3 * MIB);
    world.pay_for(EPOCH + 3, other, 3 * MIB).unwrap();
    world.wait(1000);
    let all: u64 = usages(&world).iter().map(|(_, usage)| usage).sum();
    assert_eq!(all, 3 * MIB);
}
