//! The payer against nodes that lie.
#![allow(clippy::unwrap_used, clippy::panic)]
use super::super::testing::{EPOCH, FLEET, NODE};
use super::super::EPOCH_SECONDS;
use super::*;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

fn payee() -> Payee {
    Payee {
        node: NODE,
        chain_id: 1284,
        fleet: FLEET,
    }
}

fn begun(limit: Option<u64>) -> Payer {
    let mut payer = Payer::new(limit);
    payer.begin(payee());
    payer
}

fn ask(usage: u64) -> Ask {
    Ask {
        epoch: EPOCH,
        epoch_known: true,
        usage,
    }
}

fn carried(bytes: u64, rate: u64) -> Carried {
    Carried {
        bytes,
        rate,
        ports: 1,
        unix: EPOCH * EPOCH_SECONDS + 9,
        clock_trusted: true,
    }
}

fn total(payer: &mut Payer, usage: u64, carried: Carried) -> u64 {
    payer
        .answer(NODE, &ask(usage), &carried)
        .unwrap()
        .unwrap()
        .total_bytes
}

fn refusal(payer: &mut Payer, usage: u64, carried: Carried) -> PayRefusal {
    payer
        .answer(NODE, &ask(usage), &carried)
        .unwrap()
        .unwrap_err()
}

#[test]
fn a_step_covers_two_seconds_within_its_bounds() {
    for (rate, step) in [
        (0, 4 * MIB),
        (MIB, 4 * MIB),
        (50 * MIB, 100 * MIB),
        (10_000 * MIB, 1024 * MIB),
        (u64::MAX, 1024 * MIB),
    ] {
        let mut payer = begun(None);
        assert_eq!(total(&mut payer, 7, carried(0, rate)), 7 + step);
        assert_eq!(payer.paid(), step);
    }
}

#[test]
fn a_transfer_that_slows_down_is_paid_for_all_the_same() {
    let mut payer = begun(None);
    let first = total(&mut payer, 0, carried(0, 50 * MIB));
    assert_eq!(first, 100 * MIB);
    payer.accepted(NODE);
    // Asked too early, or twice: nothing more is signed.
    for usage in [0, 50 * MIB, 74 * MIB] {
        assert_eq!(total(&mut payer, usage, carried(usage, MIB)), first);
    }
    // Three quarters are used; two seconds at the new rate are less than what is left.
    let second = total(&mut payer, 75 * MIB, carried(75 * MIB, MIB));
    assert_eq!(second, 104 * MIB);
    payer.accepted(NODE);
    assert_eq!(total(&mut payer, 75 * MIB, carried(75 * MIB, MIB)), second);
    // 29 MiB from 75: the next is due at three quarters of those.
    let third = total(&mut payer, 97 * MIB, carried(97 * MIB, MIB));
    assert_eq!(third, 108 * MIB);
}

#[test]
fn a_node_that_asks_all_the_time_gets_no_more_for_it() {
    let mut payer = begun(None);
    for _ in 0..1000 {
        assert_eq!(total(&mut payer, 3 * MIB, carried(0, 0)), 7 * MIB);
        payer.accepted(NODE);
    }
}

#[test]
fn the_terms_name_node_time_and_ports() {
    let mut payer = begun(None);
    let terms = payer
        .answer(NODE, &ask(0), &carried(0, 0))
        .unwrap()
        .unwrap();
    assert_eq!(
        (terms.chain_id, terms.epoch, terms.fleet),
        (1284, EPOCH, FLEET)
    );
    assert_eq!(terms.total_connections, 1);
    let wanted = Hints {
        relays: vec![NODE],
        time: Some(EPOCH * EPOCH_SECONDS + 9),
        ..Hints::default()
    };
    assert_eq!(terms.local_address, wanted.to_bytes().unwrap());
}

#[test]
fn nothing_is_signed_without_a_session() {
    let mut payer = Payer::new(None);
    assert!(payer.answer(NODE, &ask(0), &carried(0, 0)).is_none());
    assert!(payer.too_low(NODE, 0, 0, &carried(0, 0)).is_none());
    payer.accepted(NODE);
    payer.begin(payee());
    assert!(payer.too_low(NODE, 0, 0, &carried(0, 0)).is_none());
}

#[test]
fn a_node_that_claims_more_than_was_carried_is_not_paid() {
    let mut payer = begun(None);
    total(&mut payer, 5 * MIB, carried(0, 0));
    payer.accepted(NODE);
    let most = 5 * MIB + 10 * MIB + USAGE_SLACK;
    total(&mut payer, most, carried(10 * MIB, 0));
    let refusal = refusal(&mut payer, most + 1, carried(10 * MIB, 0));
    assert_eq!(
        refusal,
        PayRefusal::UsageTooHigh {
            claimed: most + 1,
            believed: most
        }
    );
    assert!(refusal.to_string().contains("use another node"));
    // Neither by way of a refusal.
    let answer = payer
        .too_low(NODE, most + 1, 0, &carried(10 * MIB, 0))
        .unwrap();
    assert_eq!(answer, Err(refusal));
}

#[test]
fn an_epoch_that_is_not_now_is_not_signed() {
    let answer = |epoch, epoch_known, clock_trusted| {
        let mut payer = begun(None);
        let ask = Ask {
            epoch,
            epoch_known,
            usage: 0,
        };
        let mut carried = carried(0, 0);
        carried.clock_trusted = clock_trusted;
        payer
            .answer(NODE, &ask, &carried)
            .unwrap()
            .map(|terms| terms.epoch)
    };
    for epoch in [EPOCH - 1, EPOCH, EPOCH + 1] {
        assert_eq!(answer(epoch, true, true), Ok(epoch));
    }
    for epoch in [EPOCH - 2, EPOCH + 2, 0, u64::MAX] {
        let refusal = answer(epoch, true, true).unwrap_err();
        assert!(refusal.to_string().contains("clock"), "{refusal}");
    }
    // A node without a clock, a device without, both.
    assert_eq!(answer(3, false, true), Ok(EPOCH));
    assert_eq!(answer(3, true, false), Ok(3));
    assert_eq!(answer(3, false, false), Ok(3));
}

#[test]
fn max_bytes_bounds_the_whole_run() {
    let mut payer = begun(Some(10 * MIB));
    assert_eq!(total(&mut payer, MIB, carried(0, 0)), 5 * MIB);
    payer.accepted(NODE);
    assert_eq!(total(&mut payer, 4 * MIB, carried(3 * MIB, 0)), 8 * MIB);
    payer.accepted(NODE);
    // What is left is less than a step.
    assert_eq!(total(&mut payer, 8 * MIB, carried(7 * MIB, 0)), 11 * MIB);
    payer.accepted(NODE);
    let refusal = refusal(&mut payer, 10 * MIB, carried(9 * MIB, 0));
    assert_eq!(refusal, PayRefusal::MaxBytes { limit: 10 * MIB });
    assert!(refusal.to_string().starts_with("--max-bytes is used up"));
    // What is signed for can still be used after a reconnect, and no more.
    payer.begin(payee());
    assert_eq!(total(&mut payer, 10 * MIB, carried(0, 0)), 11 * MIB);
    payer.accepted(NODE);
    // Neither by another node, another epoch or another fleet.
    let mut other = payee();
    other.node = Address([99; 20]);
    payer.begin(other);
    let answer = payer.answer(other.node, &ask(0), &carried(0, 0));
    assert!(answer.unwrap().is_err());
    assert_eq!(payer.paid(), 10 * MIB);
}

#[test]
fn grace_that_was_used_is_paid_within_max_bytes() {
    let mut payer = begun(Some(10 * MIB));
    assert_eq!(total(&mut payer, 0, carried(0, 0)), 4 * MIB);
    payer.accepted(NODE);
    // 9 MiB carried, 5 of them in advance of the ticket.
    assert_eq!(total(&mut payer, 9 * MIB, carried(9 * MIB, 0)), 10 * MIB);
    assert_eq!(payer.paid(), 10 * MIB);
}

#[test]
fn a_device_that_has_forgotten_its_tickets_gets_in_again() {
    // An earlier run has signed for 1 GiB and used 3 MiB.
    let gib = 1024 * MIB;
    let mut payer = begun(Some(10 * MIB));
    assert_eq!(total(&mut payer, 3 * MIB, carried(0, 0)), 7 * MIB);
    let terms = payer.too_low(NODE, 3 * MIB, gib, &carried(0, 0)).unwrap();
    assert_eq!(terms.unwrap().total_bytes, gib);
    // That was paid by the earlier run.
    assert_eq!(payer.paid(), 0);
    payer.accepted(NODE);
    assert_eq!(total(&mut payer, gib, carried(gib, 0)), gib + 4 * MIB);
    payer.accepted(NODE);
    // A second such claim is a lie.
    let lie = payer.too_low(NODE, gib, 9 * gib, &carried(gib, 0)).unwrap();
    assert_eq!(
        lie,
        Err(PayRefusal::NotOurTicket {
            claimed: 9 * gib,
            signed: gib + 4 * MIB
        })
    );
    payer.begin(payee());
    total(&mut payer, gib, carried(0, 0));
    assert!(payer
        .too_low(NODE, gib, 9 * gib, &carried(0, 0))
        .unwrap()
        .is_err());
}

#[test]
fn a_device_of_another_fleet_learns_its_usage_there() {
    let mut payer = begun(None);
    assert_eq!(total(&mut payer, 0, carried(0, 0)), 4 * MIB);
    let terms = payer.too_low(NODE, 900 * MIB, 900 * MIB, &carried(0, 0));
    assert_eq!(terms.unwrap().unwrap().total_bytes, 904 * MIB);
    assert_eq!(payer.paid(), 4 * MIB);
}

#[test]
fn more_than_a_ticket_may_say_is_not_signed() {
    let mut payer = begun(None);
    let refusal = refusal(&mut payer, MAX_TOTAL_BYTES, carried(0, 0));
    assert_eq!(refusal, PayRefusal::OutOfBounds);
    let mut payer = begun(None);
    assert!(payer
        .answer(NODE, &ask(u64::MAX), &carried(u64::MAX, u64::MAX))
        .unwrap()
        .is_err());
}

#[test]
fn a_node_that_is_dialled_again_and_again_does_not_fill_the_memory() {
    let mut payer = Payer::new(Some(u64::MAX));
    for node in 0..200u8 {
        let mut payee = payee();
        payee.node = Address([node; 20]);
        payer.begin(payee);
        let terms = payer.answer(payee.node, &ask(0), &carried(1, 0));
        assert_eq!(terms.unwrap().unwrap().total_bytes, 4 * MIB);
    }
    assert_eq!(payer.bills.len(), MAX_BILLS);
    assert_eq!(payer.sessions.len(), SESSIONS_MAX);
    assert_eq!(payer.paid(), 200 * 4 * MIB);
}

#[test]
fn a_session_that_is_kept_warm_is_told_of_and_does_not_use_up_max_bytes() {
    let other = Payee {
        node: Address([9; 20]),
        ..payee()
    };
    // Its tickets say where else the device is.
    let mut payer = begun(None);
    payer.begin(other);
    let terms = payer.answer(other.node, &ask(0), &carried(0, 0));
    let hints = Hints {
        relays: vec![other.node, NODE],
        time: Some(EPOCH * EPOCH_SECONDS + 9),
        ..Hints::default()
    };
    let said = terms.unwrap().unwrap().local_address;
    assert_eq!(said, hints.to_bytes().unwrap());
    for (limit, warm) in [
        (Some(16 * MIB), MIB / 4),
        (Some(MIB / 2), MIB / 16),
        (Some(1024 * MIB), 4 * MIB),
        (None, 4 * MIB),
    ] {
        let mut payer = begun(limit);
        let first = total(&mut payer, 0, carried(0, 0));
        assert_eq!(first, limit.unwrap_or(u64::MAX).min(4 * MIB));
        payer.accepted(NODE);
        payer.begin(other);
        let answer = payer.answer(other.node, &ask(0), &carried(0, 0)).unwrap();
        if first == limit.unwrap_or(0) {
            assert!(answer.is_err(), "nothing was left");
            continue;
        }
        assert_eq!(answer.unwrap().total_bytes, warm, "{limit:?}");
        payer.accepted(other.node);
        // It takes over: its steps are those of any other.
        payer.end(NODE);
        let answer = payer.answer(other.node, &ask(warm), &carried(warm, 0));
        assert_eq!(answer.unwrap().unwrap().total_bytes, warm + 4 * MIB);
    }
}

proptest! {
    #[test]
    fn whatever_nodes_say_max_bytes_holds_and_totals_never_fall(
        limit in 0u64..200 * MIB,
        events in proptest::collection::vec((0u8..4, 0u8..3, any::<u32>(), any::<u32>()), 1..60),
    ) {
        let mut payer = begun(Some(limit));
        let mut node = NODE;
        let mut accepted = std::collections::HashMap::new();
        for (event, to, a, b) in events {
            let (a, b) = (u64::from(a), u64::from(b));
            let answer = match event {
                0 => {
                    let mut payee = payee();
                    payee.node = Address([to; 20]);
                    node = payee.node;
                    payer.begin(payee);
                    continue;
                }
                1 => payer.too_low(node, a, b, &carried(b, a)),
                // Any of the sessions that stand.
                _ => {
                    node = if b % 2 == 0 { Address([to; 20]) } else { node };
                    payer.answer(node, &ask(a), &carried(b, a))
                }
            };
            if let Some(Ok(terms)) = answer {
                if event == 2 {
                    payer.accepted(node);
                    let last = accepted.insert(node, terms.total_bytes);
                    prop_assert!(last.is_none_or(|last| last <= terms.total_bytes));
                }
            }
            prop_assert!(payer.paid() <= limit);
        }
    }
}
