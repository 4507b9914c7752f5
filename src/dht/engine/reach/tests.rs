//! What is believed of what others see, and what proves that strangers get in.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn seconds(n: u64) -> Moment {
    Moment(n * 1_000_000_000)
}

fn behind_nat() -> Reach {
    Reach::new(None, vec![ip("192.168.1.2")], seconds(0))
}

#[test]
fn two_liars_do_not_move_us_to_another_address() {
    let mut reach = behind_nat();
    let nat = at("203.0.113.5:7000");
    for n in [1, 2, 3] {
        let from = ip(&format!("198.51.{n}.1"));
        assert_eq!(reach.outside(), None);
        reach.seen(seconds(1), from, nat, true);
    }
    assert_eq!(reach.take_change(), Some(Change::Outside(nat)));
    let lie = at("192.0.2.66:53");
    for n in [4, 5] {
        reach.seen(seconds(1), ip(&format!("198.51.{n}.1")), lie, true);
    }
    // A hundred voices of one network are one.
    for n in 0..100 {
        reach.seen(seconds(1), ip(&format!("198.51.5.{n}")), lie, true);
    }
    assert_eq!(reach.outside(), Some(nat));
    assert_eq!(reach.take_change(), None);
}

#[test]
fn a_node_without_nat_serves_at_once_until_three_checks_fail() {
    let own = at("203.0.113.5:7000");
    let mut reach = Reach::new(None, vec![own.ip()], seconds(0));
    let mut numbers = Numbers::new(b"test", 1);
    reach.seen(seconds(0), ip("198.51.100.1"), own, true);
    assert_eq!(reach.reachable(), Some(true));
    let mut now = seconds(1);
    let mut checks = 0;
    while reach.reachable() == Some(true) {
        if reach.check(now, &mut numbers).is_some() {
            checks += 1;
            reach.promised(now, ip("198.51.100.1"), true);
        }
        now = now + Duration::from_secs(1);
        assert!(now < seconds(200), "never given up");
    }
    assert_eq!(checks, 3);
    // A packet from a stranger proves the opposite.
    reach.asked(now, ip("192.0.2.1"), false);
    assert_eq!(reach.reachable(), Some(true));
}

#[test]
fn an_answer_in_the_clothes_of_a_request_does_not_prove_that_strangers_get_in() {
    let mut reach = behind_nat();
    reach.sent(seconds(10), ip("198.51.100.1"));
    reach.asked(seconds(11), ip("198.51.100.1"), false);
    // Within five to ten minutes the NAT may still let it in.
    reach.asked(seconds(309), ip("198.51.100.1"), true);
    assert_eq!(reach.reachable(), None);
    reach.asked(seconds(611), ip("198.51.100.1"), true);
    assert_eq!(reach.reachable(), Some(true));
}

#[test]
fn a_neighbour_at_home_does_not_prove_that_strangers_get_in() {
    let mut reach = behind_nat();
    for n in [1, 2, 3] {
        let from = ip(&format!("198.51.{n}.1"));
        reach.seen(seconds(1), from, at("203.0.113.5:7000"), true);
    }
    reach.asked(seconds(2), ip("192.168.1.77"), false);
    assert_eq!(reach.reachable(), None);
    // Nor does it know what the world sees.
    reach.seen(seconds(3), ip("192.168.1.77"), at("192.168.1.2:7000"), true);
    assert_eq!(reach.outside(), Some(at("203.0.113.5:7000")));
}

#[test]
fn a_check_by_an_acquaintance_is_not_held_against_us() {
    let own = at("203.0.113.5:7000");
    let mut reach = Reach::new(None, vec![own.ip()], seconds(0));
    let mut numbers = Numbers::new(b"test", 1);
    reach.seen(seconds(0), ip("198.51.100.1"), own, true);
    let mut now = seconds(1);
    while now < seconds(3600) {
        reach.sent(now, ip("198.51.100.7"));
        if reach.check(now, &mut numbers).is_some() {
            // On a short way it comes before the promise.
            if now < seconds(1800) {
                reach.promised(now, ip("198.51.100.1"), true);
                reach.asked(now, ip("198.51.100.7"), false);
            } else {
                reach.asked(now, ip("198.51.100.7"), false);
                reach.promised(now, ip("198.51.100.1"), true);
            }
        }
        now = now + Duration::from_secs(1);
    }
    assert_eq!(reach.reachable(), Some(true));
}

#[test]
fn the_filter_forgets_and_mixes_up_few() {
    let mut sent = SentTo::new(seconds(0));
    let of = |n: u32| IpAddr::V4((0x0A00_0000 + n * 7919).into());
    (0..300).for_each(|n| sent.add(seconds(1), of(n)));
    assert!((0..300).all(|n| sent.has(seconds(2), of(n))));
    let wrong = (300..5300).filter(|n| sent.has(seconds(2), of(*n))).count();
    assert!(wrong < 250, "{wrong} of 5,000");
    assert!((0..300).all(|n| sent.has(seconds(301), of(n))));
    assert!(!(0..300).any(|n| sent.has(seconds(602), of(n))));
}

#[test]
fn what_the_router_says_is_told_when_others_see_it_and_until_strangers_fail() {
    let mut reach = behind_nat();
    let mapped = at("203.0.113.5:7001");
    reach.set_mapped([Some(mapped), None], seconds(0));
    let place = |reach: &Reach| reach.places()[0].unwrap();
    assert_eq!(place(&reach).at, mapped);
    assert!(!place(&reach).confirmed && !place(&reach).own);
    // A neighbour behind the same router sees nothing of it.
    reach.seen(seconds(1), ip("192.168.1.9"), at("192.168.1.2:7000"), true);
    assert!(!place(&reach).confirmed);
    reach.seen(seconds(1), ip("198.51.1.1"), at("203.0.113.5:7777"), true);
    assert!(place(&reach).confirmed);
    assert_eq!(reach.take_change(), Some(Change::Outside(mapped)));
    assert_eq!(reach.reachable(), None);
    // Three promised checks that never come.
    let mut numbers = Numbers::new(b"test", 1);
    let mut now = seconds(2);
    while reach.reachable().is_none() {
        if reach.check(now, &mut numbers) == Some(mapped) {
            reach.promised(now, ip("198.51.100.1"), true);
        }
        now = now + Duration::from_secs(1);
        assert!(now < seconds(200), "never given up");
    }
    assert_eq!(reach.reachable(), Some(false));
    reach.set_mapped([None, None], now);
    assert_eq!(reach.outside(), None, "the mapping is gone");
}

#[test]
fn who_failed_before_the_firewall_was_opened_does_not_count_after() {
    let own = at("[2001:db8:1::7]:51055");
    let mut reach = Reach::new(None, vec![own.ip()], seconds(0));
    reach.seen(seconds(0), ip("2001:db8:2::1"), own, true);
    let mut numbers = Numbers::new(b"test", 1);
    let mut now = seconds(1);
    while reach.reachable() != Some(false) {
        if reach.check(now, &mut numbers).is_some() {
            reach.promised(now, ip("2001:db8:2::1"), true);
        }
        now = now + Duration::from_secs(1);
        assert!(now < seconds(200), "never given up");
    }
    reach.set_mapped([None, Some(own)], now);
    let [_, place] = reach.places();
    assert_eq!(place.unwrap().reachable, None);
    assert!(place.unwrap().confirmed, "it was seen there");
    // It is looked at again at once, and not in an hour.
    assert_eq!(reach.check(now, &mut numbers), Some(own));
    reach.asked(now, ip("2001:db8:3::1"), false);
    assert_eq!(reach.reachable(), Some(true));
    // Said again, it changes nothing.
    reach.set_mapped([None, Some(own)], now);
    assert_eq!(reach.reachable(), Some(true));
}

#[test]
fn a_router_that_is_wrong_about_its_address_is_outvoted() {
    let mut reach = behind_nat();
    reach.set_mapped([Some(at("203.0.113.5:7001")), None], seconds(0));
    let seen = at("198.18.0.9:7000");
    for n in [1, 2, 3] {
        let from = ip(&format!("198.51.{n}.1"));
        reach.seen(seconds(1), from, seen, true);
    }
    assert_eq!(reach.outside(), Some(seen));
    assert!(!reach.places()[0].unwrap().confirmed);
}

#[test]
fn each_family_is_seen_and_proven_by_itself() {
    let own = ip("2001:db8::7");
    let mut reach = Reach::new(None, vec![ip("192.168.1.2"), own], seconds(0));
    let v6 = SocketAddr::new(own, 7000);
    reach.seen(seconds(1), ip("2001:db8:1::1"), v6, true);
    assert_eq!(reach.outside(), Some(v6));
    assert_eq!(reach.reachable(), Some(true));
    // Whoever came by IPv6 proves nothing about IPv4.
    for n in [1, 2, 3] {
        let from = ip(&format!("198.51.{n}.1"));
        reach.seen(seconds(1), from, at("203.0.113.5:7000"), true);
    }
    reach.asked(seconds(2), ip("2001:db8:2::1"), false);
    let [v4, six] = reach.places();
    assert_eq!(v4.unwrap().reachable, None);
    assert_eq!(six.unwrap().reachable, Some(true));
    reach.asked(seconds(2), ip("198.51.9.1"), false);
    assert_eq!(reach.places()[0].unwrap().reachable, Some(true));
    assert_eq!(reach.outside(), Some(at("203.0.113.5:7000")));
}
