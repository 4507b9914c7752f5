#![allow(clippy::unwrap_used)]
use super::*;
use std::time::Duration;

fn limits() -> AdmissionLimits {
    AdmissionLimits {
        sessions: 4,
        sessions_per_address: 3,
        half_open: 3,
        half_open_per_address: 2,
        accepts_per_second: 10,
        accepts_per_second_per_address: 0,
    }
}

fn ip(n: u8) -> IpAddr {
    [10, 0, 0, n].into()
}

#[test]
fn one_address_cannot_take_all_handshakes_nor_all_sessions() {
    let a = Admission::new(limits());
    let mut one = a.admit(ip(1), Moment(0)).unwrap();
    let mut two = a.admit(ip(1), Moment(0)).unwrap();
    assert_eq!(
        a.admit(ip(1), Moment(0)).unwrap_err(),
        Denied::AddressHalfOpen
    );
    one.established();
    two.established();
    let mut three = a.admit(ip(1), Moment(0)).unwrap();
    three.established();
    assert_eq!(a.admit(ip(1), Moment(0)).unwrap_err(), Denied::AddressFull);
    let _other = a.admit(ip(2), Moment(0)).unwrap();
    assert_eq!(a.admit(ip(3), Moment(0)).unwrap_err(), Denied::Full);
    drop(three);
    assert_eq!((a.sessions(), a.half_open()), (3, 1));
}

#[test]
fn silent_connections_keep_nobody_out_for_longer_than_their_grace() {
    let a = Admission::new(limits());
    let cx = Context::from_waker(Waker::noop());
    let silent = a.admit(ip(1), Moment(0)).unwrap();
    let busy = a.admit(ip(1), Moment(1)).unwrap();
    let early = Moment(0) + (HANDSHAKE_GRACE - Duration::from_nanos(1));
    assert_eq!(a.admit(ip(1), early).unwrap_err(), Denied::AddressHalfOpen);
    assert!(!silent.poll_turned_out(&cx));
    let mut device = a.admit(ip(1), Moment(0) + HANDSHAKE_GRACE).unwrap();
    assert!(silent.poll_turned_out(&cx) && !busy.poll_turned_out(&cx));
    device.established();
    assert!(!device.poll_turned_out(&cx));
    drop((silent, busy, device));
    assert_eq!((a.sessions(), a.half_open()), (0, 0));
    assert_eq!(a.lock().waiting.len(), 0);
}

#[test]
fn silent_connections_of_many_addresses_keep_nobody_out_either() {
    let a = Admission::new(AdmissionLimits {
        sessions: 100,
        ..limits()
    });
    let cx = Context::from_waker(Waker::noop());
    let silent: Vec<_> = (0..3u8)
        .map(|i| a.admit(ip(i), Moment(u64::from(i))).unwrap())
        .collect();
    assert_eq!(a.admit(ip(9), Moment(5)).unwrap_err(), Denied::HalfOpen);
    let late = Moment(10) + HANDSHAKE_GRACE;
    let _device = a.admit(ip(9), late).unwrap();
    let out: Vec<_> = silent.iter().map(|s| s.poll_turned_out(&cx)).collect();
    assert_eq!(out, [true, false, false], "the oldest goes first");
}

#[test]
fn an_address_with_many_handshakes_gives_way_at_once_to_one_with_few() {
    let a = Admission::new(AdmissionLimits {
        sessions: 100,
        ..limits()
    });
    let cx = Context::from_waker(Waker::noop());
    let greedy = [(); 2].map(|()| a.admit(ip(1), Moment(0)).unwrap());
    let _one = a.admit(ip(2), Moment(0)).unwrap();
    let _device = a.admit(ip(3), Moment(1)).unwrap();
    let out = greedy.each_ref().map(|s| s.poll_turned_out(&cx));
    assert_eq!(out, [true, false], "its oldest, and one only");
    assert_eq!(a.admit(ip(4), Moment(2)).unwrap_err(), Denied::HalfOpen);
}

#[test]
fn addresses_that_came_once_are_forgotten() {
    let a = Admission::new(AdmissionLimits {
        sessions: 100,
        half_open: 100,
        accepts_per_second_per_address: 2,
        ..limits()
    });
    for i in 0..50 {
        drop(a.admit(ip(i), Moment(0)).unwrap());
    }
    a.tidy(Moment(0));
    assert_eq!(a.lock().rates.len(), 50, "each has taken one of two");
    a.tidy(Moment(0) + Duration::from_secs(1));
    let st = a.lock();
    assert_eq!((st.rates.len(), st.rates.capacity()), (0, 0));
}

#[test]
fn places_are_given_back_whatever_happens() {
    let a = Admission::new(limits());
    for _ in 0..1000 {
        let mut s = a.admit(ip(1), Moment(0)).unwrap();
        s.established();
    }
    assert_eq!(
        (a.sessions(), a.half_open(), a.lock().by_address.len()),
        (0, 0, 0)
    );
}

#[test]
fn a_customers_whole_v6_network_counts_as_one_address() {
    let a = Admission::new(limits());
    let _one = a.admit("2001:db8::1".parse().unwrap(), Moment(0)).unwrap();
    let _two = a
        .admit("2001:db8::ffff:2".parse().unwrap(), Moment(0))
        .unwrap();
    assert_eq!(
        a.admit("2001:db8::3".parse().unwrap(), Moment(0))
            .unwrap_err(),
        Denied::AddressHalfOpen
    );
}

#[test]
fn accepts_are_paced_to_the_rate() {
    let a = Admission::new(limits());
    let start = Moment(5_000_000_000);
    let burst = (0..50).filter(|_| a.pace(start)).count();
    assert_eq!(burst, 10);
    let at = |i: u64| start + Duration::from_millis(i * 20);
    let later = (1..=100u64).filter(|i| a.pace(at(*i))).count();
    assert_eq!(later, 20, "ten a second for two seconds");
}

#[test]
fn an_address_that_connects_too_often_does_not_use_up_the_others_rate() {
    let a = Admission::new(AdmissionLimits {
        accepts_per_second_per_address: 2,
        ..limits()
    });
    let took = (0..100)
        .filter(|_| a.admit(ip(1), Moment(1)).is_ok())
        .count();
    assert_eq!(took, 2);
    assert_eq!(a.admit(ip(1), Moment(1)).unwrap_err(), Denied::AddressRate);
    assert!(a.admit(ip(2), Moment(1)).is_ok());
}
