#![allow(clippy::unwrap_used)]
use super::*;
use crate::rpc::events::testing::hub;
use smol::future::block_on;
use std::future::Future;

fn peer(hub: &Hub, n: u64) {
    hub.publish(Topic::Peer, format!("{{\"n\":{n}}}"));
}

/// All that waits.
fn waiting(subscription: &Subscription) -> Vec<Next> {
    let mut context = Context::from_waker(Waker::noop());
    let mut all = Vec::new();
    while let Poll::Ready(next) = subscription.poll_next(&mut context) {
        all.push(next);
    }
    all
}

fn ids(all: &[Next]) -> Vec<u64> {
    let id = |next: &Next| match next {
        Next::Event(event) => Some(event.id),
        Next::Lost(_) => None,
    };
    all.iter().filter_map(id).collect()
}

#[test]
fn a_listener_hears_its_topics_in_order_and_no_others() {
    let hub = hub();
    let all = hub.subscribe(Topics::all(), None).unwrap();
    let only = hub.subscribe(Topics::default().with(Topic::Block), None);
    let only = only.unwrap();
    peer(&hub, 1);
    hub.publish(Topic::Block, "{}".to_owned());
    hub.publish(Topic::Status, "{}".to_owned());
    assert_eq!(ids(&waiting(&all)), [1, 2, 3]);
    assert_eq!(ids(&waiting(&only)), [2]);
    only.change(Topics::default().with(Topic::Peer));
    peer(&hub, 2);
    assert_eq!(ids(&waiting(&only)), [4]);
}

#[test]
fn who_may_not_see_addresses_gets_them_shortened() {
    let hub = hub();
    let id = "0x52908400098527886e0f7030069857d2e4169ee7";
    hub.publish(Topic::Session, format!("{{\"device\":\"{id}\"}}"));
    let recent = hub.recent();
    let event = recent.first().unwrap();
    assert!(event.data().contains(id));
    for _ in 0..2 {
        let short = event.shortened(&[]);
        assert_eq!(short, "{\"device\":\"0x5290\u{2026}9ee7\"}");
    }
    assert_eq!((event.id, event.time), (1, 43_200));
}

#[test]
fn who_does_not_read_loses_the_oldest_and_is_told_how_many() {
    let hub = hub();
    let slow = hub.subscribe(Topics::all(), None).unwrap();
    let more = 40;
    for n in 0..QUEUE as u64 + more {
        peer(&hub, n);
    }
    let heard = waiting(&slow);
    assert_eq!(heard.first(), Some(&Next::Lost(more)));
    let expected: Vec<u64> = (more + 1..=more + QUEUE as u64).collect();
    assert_eq!(ids(&heard), expected);
    peer(&hub, 0);
    assert_eq!(waiting(&slow).len(), 1, "told once");
}

#[test]
fn a_status_that_was_not_taken_gives_way_to_the_next_without_loss() {
    let hub = hub();
    let slow = hub.subscribe(Topics::all(), None).unwrap();
    peer(&hub, 0);
    for _ in 0..1_000 {
        hub.publish(Topic::Status, "{}".to_owned());
    }
    assert_eq!(ids(&waiting(&slow)), [1, 1_001]);
    assert_eq!(hub.recent().len(), 1, "a status is not kept");
}

#[test]
fn who_comes_back_hears_what_is_kept_since_then() {
    let hub = hub();
    for n in 0..RING as u64 + 10 {
        peer(&hub, n);
    }
    let last = RING as u64 + 10;
    let back = |after| {
        let subscription = hub.subscribe(Topics::all(), after).unwrap();
        ids(&waiting(&subscription))
    };
    assert_eq!(back(Some(last - 2)), [last - 1, last]);
    assert_eq!(back(Some(last)), Vec::<u64>::new());
    assert_eq!(back(None), Vec::<u64>::new());
    assert_eq!(back(Some(0)).len(), RING);
    // Of a node that ran before this one.
    assert_eq!(back(Some(last + 1)).len(), RING);
    assert_eq!(hub.recent().len(), RING);
}

#[test]
fn one_listener_too_many_is_refused_and_one_who_leaves_makes_room() {
    let hub = hub();
    let mut all: Vec<_> = (0..LISTENERS)
        .map(|_| hub.subscribe(Topics::all(), None).unwrap())
        .collect();
    assert!(hub.subscribe(Topics::all(), None).is_none());
    all.pop();
    assert!(hub.subscribe(Topics::all(), None).is_some());
}

#[test]
fn nothing_is_wanted_while_nobody_listens() {
    let hub = hub();
    assert!(!hub.wanted(Topic::Status));
    let mut context = Context::from_waker(Waker::noop());
    let mut waits = Box::pin(hub.until_wanted(Topic::Status));
    assert!(waits.as_mut().poll(&mut context).is_pending());
    let other = hub.subscribe(Topics::default().with(Topic::Peer), None);
    let other = other.unwrap();
    assert!(waits.as_mut().poll(&mut context).is_pending());
    other.change(Topics::all());
    assert!(waits.as_mut().poll(&mut context).is_ready());
    assert!(hub.wanted(Topic::Status));
    drop(other);
    assert!(!hub.wanted(Topic::Status));
    hub.publish(Topic::Status, "{}".to_owned());
    peer(&hub, 1);
    assert_eq!(
        hub.recent().first().map(|e| e.id),
        Some(1),
        "not even counted"
    );
}

#[test]
fn a_listener_that_waits_is_woken() {
    let hub = hub();
    let subscription = hub.subscribe(Topics::all(), None).unwrap();
    let publisher = hub.clone();
    let thread = std::thread::spawn(move || {
        for n in 0..1_000 {
            peer(&publisher, n);
            std::thread::yield_now();
        }
    });
    let mut heard = 0;
    while heard < 1_000 {
        heard += match block_on(subscription.next()) {
            Next::Lost(count) => count,
            Next::Event(_) => 1,
        };
    }
    thread.join().unwrap();
    assert!(waiting(&subscription).is_empty());
}

#[test]
fn tickets_do_not_push_out_who_came_and_went() {
    let hub = hub();
    for n in 0..10 {
        peer(&hub, n);
    }
    for _ in 0..500 {
        hub.publish(Topic::Ticket, "{}".to_owned());
    }
    let kept = |topic| hub.recent().iter().filter(|e| e.topic == topic).count();
    assert_eq!((kept(Topic::Peer), hub.recent().len()), (10, 10 + RING / 2));
    // Nor do those who come push out all tickets, and order stays.
    for n in 0..500 {
        peer(&hub, n);
        hub.publish(Topic::Ticket, "{}".to_owned());
    }
    assert_eq!((kept(Topic::Ticket), hub.recent().len()), (RING / 2, RING));
    let ids: Vec<u64> = hub.recent().iter().map(|e| e.id).collect();
    assert!(ids.is_sorted(), "{ids:?}");
}
