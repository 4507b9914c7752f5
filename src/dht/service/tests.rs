//! Tests of the service: real sockets on 127.x addresses.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
use super::*;
use crate::dht::record::{content_key, ContentValue};
use crate::identity::SecretKey;
use crate::liveness::{self, Beat};
use crate::platform::clock::BootClock;
use async_io::Timer;
use smol::{future, Executor};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);

fn handle(ip: impl Into<IpAddr>) -> (Handle, SocketAddr) {
    let socket = Datagrams::bind((ip.into(), 0).into()).unwrap();
    let place = socket.place();
    let clock: Arc<dyn Clock> = Arc::new(BootClock::new());
    let handle = Handle::open(Options {
        engine: Config {
            serve: Serve::Yes,
            ..Config::default()
        },
        known: Vec::new(),
        sockets: vec![socket],
        seal: Box::new(SecretKey::generate()),
        clock,
    });
    (handle.unwrap(), place)
}

fn run_all(work: impl std::future::Future<Output = ()>, handles: &[&Handle]) {
    let executor = Executor::new();
    let services: Vec<_> = handles
        .iter()
        .map(|handle| executor.spawn(run((*handle).clone(), Beat::unwatched())))
        .collect();
    let late = async {
        Timer::after(SOON).await;
        panic!("not within {SOON:?}");
    };
    smol::block_on(executor.run(future::or(work, late)));
    drop(services);
}

async fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        Timer::after(Duration::from_millis(5)).await;
    }
}

fn value() -> (Address, ValidRecord) {
    let unix = BootClock::new().unix();
    let value = ContentValue {
        value: b"a value".to_vec(),
        until: unix + 3600,
    };
    let key = content_key(&value.value);
    (key, ValidRecord::content_value(&value).unwrap())
}

#[test]
fn what_one_node_stores_another_finds() {
    let (first, place) = handle([127, 0, 0, 1]);
    let (second, _) = handle([127, 0, 0, 2]);
    let (third, _) = handle([127, 0, 0, 3]);
    run_all(
        async {
            assert_eq!(second.find_value(Address::ZERO).await, Outcome::Failed);
            second.set_seeds(&[(place, None)]);
            third.set_seeds(&[(place, None)]);
            let joined = |event| matches!(event, Event::Joined { .. });
            while !joined(second.next_event().await) {}
            while !joined(third.next_event().await) {}
            let (key, record) = value();
            let stored = second.store(record.clone()).await;
            let Outcome::Stored { at, .. } = stored else {
                panic!("{stored:?}");
            };
            assert!(at >= 1, "{stored:?}");
            let found = third.find_value(key).await;
            let Outcome::Found { records, .. } = found else {
                panic!("{found:?}");
            };
            assert_eq!(records, [record]);
            assert!(!first.contacts(10).is_empty() && first.stats().served > 0);
        },
        &[&first, &second, &third],
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_node_with_many_addresses_is_found_at_each_of_them() {
    let (first, place) = handle(Ipv4Addr::UNSPECIFIED);
    let (second, _) = handle([127, 0, 0, 2]);
    run_all(
        async {
            // Not the one that the kernel would answer from.
            second.set_seeds(&[(([127, 0, 0, 77], place.port()).into(), None)]);
            until(|| second.stats().nodes == 1).await;
        },
        &[&first, &second],
    );
}

#[test]
fn who_leaves_a_search_leaves_nothing_behind() {
    let (first, _) = handle([127, 0, 0, 1]);
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let nobody = Address([7; 20]);
    first.0.with(|engine, now, _| {
        engine.add_known(
            now,
            Known {
                contact: crate::dht::Contact {
                    id: nobody,
                    at: silent.local_addr().unwrap(),
                },
                first_seen: 1,
                last_seen: 1,
                successes: 1,
                failures: 0,
                rtt: Duration::ZERO,
                in_table: true,
            },
        );
    });
    run_all(
        async {
            let search = first.find_node(nobody);
            let gone = future::or(async { drop(search.await) }, future::yield_now());
            gone.await;
            assert_eq!(first.0.lock().waiting.len(), 0);
            // Who still waits when the service is closed is told so.
            let closing = async {
                future::yield_now().await;
                first.close();
                future::pending().await
            };
            let outcome = future::or(first.find_value(nobody), closing).await;
            assert_eq!(outcome, Outcome::Failed);
            assert_eq!(first.find_value(nobody).await, Outcome::Failed);
        },
        &[&first],
    );
}

#[test]
fn a_flood_of_datagrams_hides_no_sign_of_life() {
    let (first, place) = handle([127, 0, 0, 1]);
    let (watch, beat) = liveness::pair();
    let over = Arc::new(AtomicBool::new(false));
    let flooding: Vec<_> = (0..2)
        .map(|n| {
            let over = over.clone();
            std::thread::spawn(move || {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                let mut junk = [0xa5; 1300];
                junk[0] = 1;
                let lengths = [0, 59, 60, 200, 1200, 1300];
                while !over.load(Ordering::Relaxed) {
                    for len in lengths {
                        let _ = socket.send_to(&junk[..len], place);
                    }
                    junk[1] = junk[1].wrapping_add(1 + n);
                }
            })
        })
        .collect();
    let executor = Executor::new();
    let service = executor.spawn(run(first.clone(), beat));
    smol::block_on(executor.run(async {
        let mut answered = 0;
        let end = Instant::now() + SOON;
        while answered < 50 || first.stats().packets_in < 5000 {
            assert!(Instant::now() < end, "{answered}, {:?}", first.stats());
            if watch.ask() {
                answered += 1;
            }
            Timer::after(Duration::from_millis(10)).await;
        }
    }));
    over.store(true, Ordering::Relaxed);
    for thread in flooding {
        thread.join().unwrap();
    }
    let stats = first.stats();
    assert_eq!((stats.checked, stats.signed), (0, 0), "{stats:?}");
    drop(service);
}
