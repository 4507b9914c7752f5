//! Every step, passed and failed.
#![allow(clippy::unwrap_used, clippy::panic)]
use super::super::testing::{terms, EPOCH, FLEET, NODE};
use super::super::TicketTerms;
use super::*;
use crate::identity::{SecretKey, Signature};

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32]).unwrap()
}

fn rules(fleets: &[&str]) -> Rules {
    Rules {
        node: NODE,
        chain_id: 1284,
        fleets: fleets.iter().map(|rule| rule.parse().unwrap()).collect(),
    }
}

fn signed(change: impl FnOnce(&mut TicketTerms)) -> Ticket {
    let mut terms = terms();
    change(&mut terms);
    Ticket::sign(&key(1), &NODE, terms)
}

fn check(rules: &Rules, ticket: Ticket, clock: EpochClock) -> Result<ValidTicket, Refusal> {
    rules.validate(ticket, key(1).address(), clock, |epoch, fleet| {
        assert_eq!(*fleet, FLEET);
        assert!(epoch > 0);
        Ok(Standing {
            usage: 600,
            last_total: 900,
        })
    })
}

fn refuse(ticket: Ticket) -> Refusal {
    check(&rules(&[]), ticket, EpochClock::Trusted(EPOCH)).unwrap_err()
}

#[test]
fn a_good_ticket_passes_with_what_was_found_out() {
    let ticket = signed(|_| {});
    let valid = check(&rules(&[]), ticket.clone(), EpochClock::Trusted(EPOCH)).unwrap();
    assert_eq!(valid.ticket(), &ticket);
    assert_eq!(valid.device(), key(1).address());
    assert_eq!(valid.node(), NODE);
    assert_eq!(valid.step(), 400);
}

#[test]
fn only_the_current_epoch_and_the_one_before_are_paid() {
    for (epoch, accepted) in [
        (EPOCH - 2, false),
        (EPOCH - 1, true),
        (EPOCH, true),
        (EPOCH + 1, false),
    ] {
        let ticket = signed(|terms| terms.epoch = epoch);
        let result = check(&rules(&[]), ticket, EpochClock::Trusted(EPOCH));
        assert_eq!(result.is_ok(), accepted, "{epoch}");
    }
    let refusal = refuse(signed(|terms| terms.epoch = 3));
    assert_eq!(refusal.code(), 100);
    assert!(refusal.to_string().contains("lowest accepted is 675"));
}

#[test]
fn a_node_that_does_not_know_the_time_takes_the_tickets_word_and_looks_again() {
    let clock = EpochClock::from_unix(0, false, 676 * super::super::EPOCH_SECONDS + 5);
    assert_eq!(clock, EpochClock::Untrusted { floor: 676 });
    assert_eq!(clock.current(), None);
    let below = signed(|terms| terms.epoch = 675);
    assert_eq!(
        check(&rules(&[]), below, clock),
        Err(Refusal::EpochTooLow {
            epoch: 675,
            lowest: 676
        })
    );
    let valid = check(&rules(&[]), signed(|terms| terms.epoch = 700), clock).unwrap();
    assert_eq!(valid.recheck(EpochClock::Trusted(701)), Ok(()));
    assert!(valid.recheck(EpochClock::Trusted(690)).is_err());
    assert!(valid.recheck(EpochClock::Trusted(702)).is_err());
}

#[test]
fn numbers_that_would_overflow_sums_are_refused() {
    let limit = |change: fn(&mut TicketTerms)| refuse(signed(change)).code();
    assert_eq!(limit(|terms| terms.total_bytes = (1 << 50) + 1), 103);
    assert_eq!(limit(|terms| terms.total_connections = (1 << 40) + 1), 104);
    assert_eq!(limit(|terms| terms.local_address = vec![0; 513]), 105);
    assert_eq!(limit(|terms| terms.chain_id = 15), 102);
    let most = signed(|terms| {
        terms.total_bytes = 1 << 50;
        terms.total_connections = 1 << 40;
        terms.local_address = vec![0; 512];
    });
    assert!(check(&rules(&[]), most, EpochClock::Trusted(EPOCH)).is_ok());
}

#[test]
fn a_ticket_of_another_key_node_or_content_is_refused() {
    let by_other = Ticket::sign(&key(2), &NODE, terms());
    let for_other = Ticket::sign(&key(1), &Address([8; 20]), terms());
    let mut changed = signed(|_| {});
    changed.total_bytes -= 1;
    let mut hints = signed(|_| {});
    hints.local_address.push(0);
    let mut wrong_id = signed(|_| {});
    wrong_id.signature = with_recovery_id(wrong_id.signature, 1);
    let mut high_id = signed(|_| {});
    high_id.signature = with_recovery_id(high_id.signature, 2);
    let mut empty = signed(|_| {});
    empty.signature = Signature([0; 65]);
    for ticket in [
        by_other, for_other, changed, hints, wrong_id, high_id, empty,
    ] {
        let refusal = refuse(ticket);
        assert_eq!(refusal.code(), 106);
        assert!(refusal.to_string().contains(&key(1).address().to_string()));
    }
}

fn with_recovery_id(signature: Signature, flip: u8) -> Signature {
    let mut bytes = signature.0;
    if let Some(id) = bytes.first_mut() {
        *id ^= flip;
    }
    Signature(bytes)
}

#[test]
fn a_stranger_who_claims_the_fleet_is_refused() {
    let fleet = FLEET.to_string();
    let me = key(1).address();
    let other = key(2).address();
    let trusted = EpochClock::Trusted(EPOCH);
    let code = |list: &[&str]| {
        check(&rules(list), signed(|_| {}), trusted).map_or_else(|refusal| refusal.code(), |_| 0)
    };
    assert_eq!(code(&[]), 0);
    assert_eq!(code(&[&fleet]), 0);
    assert_eq!(code(&[&Address([1; 20]).to_string()]), 107);
    assert_eq!(code(&[&format!("{fleet}/{other}")]), 108);
    assert_eq!(
        code(&[&format!("{fleet}/{other}"), &format!("{fleet}/{me}")]),
        0
    );
    assert_eq!(code(&[&format!("{}/{me}", Address([1; 20]))]), 107);
}

#[test]
fn a_fleet_rule_that_cannot_be_read_says_what_to_write() {
    let fleet = FLEET.to_string();
    let device = Address([1; 20]);
    for text in [fleet.clone(), format!("{fleet}/{device}")] {
        assert_eq!(text.parse::<FleetRule>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "/",
        "0x12",
        &format!("{fleet}/"),
        &format!("{fleet}/{device}/"),
    ] {
        let error = text.parse::<FleetRule>().unwrap_err().to_string();
        assert!(error.contains("0xFLEET/0xDEVICE"), "{error}");
    }
}

#[test]
fn less_than_was_used_or_signed_for_is_too_low_and_the_same_again_is_not() {
    for (total, accepted) in [(599, false), (899, false), (900, true), (901, true)] {
        let ticket = signed(|terms| terms.total_bytes = total);
        let result = check(&rules(&[]), ticket, EpochClock::Trusted(EPOCH));
        assert_eq!(result.is_ok(), accepted, "{total}");
    }
    let refusal = refuse(signed(|terms| terms.total_bytes = 0));
    assert_eq!(
        refusal,
        Refusal::TooLow {
            total_bytes: 0,
            usage: 600,
            last_total: 900
        }
    );
    assert!(refusal.can_retry());
    assert!(refusal.to_string().ends_with("sign for at least 900"));
}

#[test]
fn no_signature_work_is_done_for_a_ticket_of_another_time() {
    let mut ticket = signed(|terms| terms.epoch = 1);
    ticket.signature = Signature([0; 65]);
    assert_eq!(refuse(ticket).code(), 100);
}

#[test]
fn the_usage_of_a_device_is_not_looked_up_for_a_forger() {
    let forged = Ticket::sign(&key(2), &NODE, terms());
    let result = rules(&[]).validate(
        forged,
        key(1).address(),
        EpochClock::Trusted(EPOCH),
        |_, _| panic!("asked"),
    );
    assert!(result.is_err());
}

proptest::proptest! {
    #[test]
    fn every_entry_of_the_fleet_list_is_read_back(fleet: [u8; 20], device: Option<[u8; 20]>) {
        let rule = FleetRule {
            fleet: Address(fleet),
            device: device.map(Address),
        };
        proptest::prop_assert_eq!(rule.to_string().parse::<FleetRule>().unwrap(), rule);
    }

    #[test]
    fn what_stands_in_the_fleet_list_never_crashes(text in "\\PC{0,100}|0x[0-9a-f]{38,42}/?") {
        if let Ok(rule) = text.parse::<FleetRule>() {
            proptest::prop_assert_eq!(rule.to_string().parse::<FleetRule>().unwrap(), rule);
        }
    }
}
