//! Links between nodes over real sockets and TLS: devices of different nodes
//! talk, links come and go. Where devices are is told by a table.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "peer_links/nodes.rs"]
mod nodes;

use async_io::{Async, Timer};
use chr_node::identity::SecretKey;
use chr_node::peer::{PeerError, PeerEvent, ALPN};
use chr_node::tls::{client_config, Channel, Versions};
use chr_node::wire::code::Code;
use nodes::*;
use sha2::{Digest, Sha256};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

#[test]
fn a_transfer_between_devices_of_two_nodes_changes_no_byte() {
    run(|executor| async move {
        let homes = Homes::default();
        let (x, y) = (
            Node::start(&executor, &homes),
            Node::start(&executor, &homes),
        );
        let a = x.device(&executor, &homes).await;
        let b = y.device(&executor, &homes).await;
        let (mut from, mut to) = stream(&a, &b).await;
        assert_eq!((from.peer(), to.peer()), (b.address(), a.address()));
        const LEN: usize = 24 << 20;
        let sending = executor.spawn(async move {
            let mut random = fastrand::Rng::with_seed(7);
            let mut hash = Sha256::new();
            let mut left = LEN;
            while left > 0 {
                let mut block = vec![0; random.usize(1..200_000).min(left)];
                random.fill(&mut block);
                hash.update(&block);
                from.write_all(&block).await.unwrap();
                left -= block.len();
            }
            from.finish().await.unwrap();
            // The other direction is still there.
            let answer = from.read_to_end(100).await.unwrap();
            assert_eq!(answer, b"all of it");
            hash.finalize()
        });
        let (mut hash, mut came) = (Sha256::new(), 0);
        loop {
            let bytes = to.read().await.unwrap();
            if bytes.is_empty() {
                break;
            }
            came += bytes.len();
            hash.update(&bytes);
        }
        assert_eq!(came, LEN);
        to.write_all(b"all of it").await.unwrap();
        to.finish().await.unwrap();
        assert_eq!(sending.await, hash.finalize());
        let (at_x, at_y) = (x.links.list().remove(0), y.links.list().remove(0));
        assert!(at_x.bytes_out > LEN as u64 && at_y.bytes_in > LEN as u64);
        assert!(at_x.rtt.is_some() && at_x.dialled && !at_y.dialled);
        until("its port is gone", || {
            x.board.ports() + y.board.ports() == 0
        })
        .await;
    });
}

#[test]
fn a_hundred_ports_share_one_link() {
    run(|executor| async move {
        let homes = Homes::default();
        let (x, y) = (
            Node::start(&executor, &homes),
            Node::start(&executor, &homes),
        );
        let a = std::sync::Arc::new(x.device(&executor, &homes).await);
        let b = y.device(&executor, &homes).await;
        b.publish("tls:80", None);
        drop(stream(&a, &b).await);
        let echoing = executor.spawn(async move {
            let mut all = Vec::new();
            for _ in 0..100 {
                let offer = b.accept().await.unwrap();
                let tunnel = offer.accept(|_| Ok(())).await.unwrap();
                let mut stream = chr_node::edge::device::Stream::new(tunnel);
                let bytes = stream.read_to_end(8).await.unwrap();
                stream.write_all(&bytes).await.unwrap();
                all.push(stream);
            }
            (b, all)
        });
        let openings: Vec<_> = (0..100u64)
            .map(|n| {
                let a = a.clone();
                let peer = homes
                    .lock()
                    .unwrap()
                    .keys()
                    .copied()
                    .find(|k| *k != a.address());
                executor.spawn(async move {
                    let mut stream = a.connect(peer.unwrap(), 80).await.unwrap();
                    stream.write_all(&n.to_be_bytes()).await.unwrap();
                    assert_eq!(stream.read_to_end(8).await.unwrap(), n.to_be_bytes());
                    stream
                })
            })
            .collect();
        let mut streams = Vec::new();
        for opening in openings {
            streams.push(opening.await);
        }
        let list = x.links.list();
        assert_eq!((list.len(), list[0].ports), (1, 100));
        assert_eq!(y.links.count(), 1);
        let (b, others) = echoing.await;
        drop((streams, others));
        until("the ports are gone", || x.links.list()[0].ports == 0).await;
        drop(b);
    });
}

/// Carries bytes to `target` until it is dropped.
fn proxy(
    executor: &std::sync::Arc<smol::Executor<'static>>,
    target: SocketAddr,
) -> (SocketAddr, smol::Task<()>) {
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
    let place = listener.get_ref().local_addr().unwrap();
    let task = executor.spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = Async::<TcpStream>::connect(target).await.unwrap();
        let up = smol::io::copy(&near, &far);
        let down = smol::io::copy(&far, &near);
        let _ = smol::future::or(up, down).await;
    });
    (place, task)
}

#[test]
fn a_link_cut_in_a_transfer_ends_its_ports_at_both_devices() {
    run(|executor| async move {
        let homes = Homes::default();
        let (x, y) = (
            Node::start(&executor, &homes),
            Node::start(&executor, &homes),
        );
        let a = x.device(&executor, &homes).await;
        let b = y.device(&executor, &homes).await;
        let (place, cut) = proxy(&executor, y.peer);
        homes.lock().unwrap().insert(b.address(), vec![y.at(place)]);
        let (mut from, mut to) = stream(&a, &b).await;
        let sending = executor.spawn(async move {
            loop {
                if let Err(end) = from.write_all(&[7; 50_000]).await {
                    return end;
                }
            }
        });
        let mut came = 0;
        while came < 1 << 20 {
            came += to.read().await.unwrap().len();
        }
        drop(cut);
        let end = loop {
            if let Err(end) = to.read().await {
                break end;
            }
        };
        assert_eq!(end.code, Code::PEER_LOST, "{end}");
        let end = sending.await;
        assert_eq!(end.code, Code::PEER_LOST, "{end}");
        until("the link is gone", || {
            x.links.count() + y.links.count() == 0
        })
        .await;
        let lost = |e| match e {
            PeerEvent::Ended { id, lost, .. } => Some((id, lost)),
            _ => None,
        };
        assert_eq!(event(&x, lost).await, (y.address(), true));
        assert_eq!(event(&y, lost).await, (x.address(), true));
        // There is another way.
        homes
            .lock()
            .unwrap()
            .insert(b.address(), vec![y.at(y.peer)]);
        drop(stream(&a, &b).await);
    });
}

#[test]
fn nodes_that_dial_each_other_at_once_end_up_with_one_link() {
    run(|executor| async move {
        for _ in 0..10 {
            let homes = Homes::default();
            let (x, y) = (
                Node::start(&executor, &homes),
                Node::start(&executor, &homes),
            );
            let both = smol::future::zip(x.link_to(&y), y.link_to(&x)).await;
            assert!(both.0.is_ok() && both.1.is_ok());
            let lower_dialled = |n: &Node, other: &Node| {
                let list = n.links.list();
                list.len() == 1 && list[0].dialled == (n.address() < other.address())
            };
            // Where one came long before the other it was not at once, and there is one.
            until("one link is left", || {
                (lower_dialled(&x, &y) && lower_dialled(&y, &x))
                    || (x.links.count() == 1 && y.links.count() == 1)
            })
            .await;
        }
    });
}

#[test]
fn another_node_than_the_one_that_was_dialled_gets_no_link() {
    run(|executor| async move {
        let homes = Homes::default();
        let (x, y) = (
            Node::start(&executor, &homes),
            Node::start(&executor, &homes),
        );
        let expected = SecretKey::generate().address();
        let error = x.links.link_to(expected, &[y.peer]).await.unwrap_err();
        assert_eq!(error, PeerError::WrongNode(y.address()));
        assert_eq!(x.links.count(), 0);
        let failed = |e| match e {
            PeerEvent::Failed { id, place, .. } => Some((id, place)),
            _ => None,
        };
        assert_eq!(event(&x, failed).await, (expected, Some(y.peer)));
        until("the other has given up, too", || y.links.count() == 0).await;
        // Its own address is nobody to dial, and the next place is tried.
        let own = x.link_to(&x).await.unwrap_err();
        assert_eq!(own, PeerError::Itself);
        let closed = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let places = [closed, x.peer, y.peer];
        x.links.link_to(y.address(), &places).await.unwrap();
        let none = x.links.link_to(expected, &[closed]).await.unwrap_err();
        assert!(matches!(none, PeerError::Unreachable(_)), "{none}");
    });
}

/// What a client with this ALPN gets to read after TLS, up to the end, and
/// whether TLS came about.
async fn knock(place: SocketAddr, alpn: &[&[u8]]) -> (bool, Vec<u8>) {
    let config = client_config(&SecretKey::generate(), alpn, Versions::Both).unwrap();
    let mut channel = Channel::client(&config).unwrap();
    let mut out = Vec::new();
    channel.start(&mut out).unwrap();
    let mut socket = Async::<TcpStream>::connect(place).await.unwrap();
    let (mut plain, mut stood) = (Vec::new(), false);
    loop {
        if socket.write_all(&out).await.is_err() {
            return (stood, plain);
        }
        out.clear();
        let mut bytes = vec![0; 20_000];
        let Ok(n @ 1..) = socket.read(&mut bytes).await else {
            return (stood, plain);
        };
        let got = channel.receive(&mut bytes[..n], &mut out, &mut |p| {
            plain.extend_from_slice(p)
        });
        if got.is_err() {
            return (stood, plain);
        }
        stood |= !channel.is_handshaking();
    }
}

#[test]
fn who_does_not_ask_for_the_protocol_of_nodes_is_refused() {
    run(|executor| async move {
        let homes = Homes::default();
        let x = Node::start(&executor, &homes);
        // Without ALPN: not a word. With another: an alert of TLS.
        let (_, plain) = knock(x.peer, &[]).await;
        assert_eq!(plain, b"");
        let (stood, plain) = knock(x.peer, &[chr_node::edge::ALPN]).await;
        assert_eq!((stood, plain), (false, Vec::new()));
        // And nodes are no devices.
        let (stood, _) = knock(x.edge, &[ALPN]).await;
        assert!(!stood);
        assert_eq!(x.links.count(), 0);
    });
}

#[test]
fn a_connection_that_says_nothing_does_not_stay() {
    run(|executor| async move {
        let homes = Homes::default();
        let mut short = terms();
        short.handshake_time = Duration::from_millis(300);
        let x = Node::with(&executor, &homes, SecretKey::generate(), short);
        let mut silent = Async::<TcpStream>::connect(x.peer).await.unwrap();
        let mut byte = [0];
        let read = silent.read(&mut byte).await;
        assert!(matches!(read, Ok(0) | Err(_)));
        let (stood, plain) = knock(x.peer, &[ALPN]).await;
        // Close with its reason.
        assert!(stood && plain.get(1) == Some(&8), "{plain:?}");
    });
}

#[test]
fn an_idle_link_is_recycled_and_the_next_opening_makes_another() {
    run(|executor| async move {
        let homes = Homes::default();
        let mut hasty = terms();
        hasty.idle_after = Duration::from_millis(200);
        let x = Node::with(&executor, &homes, SecretKey::generate(), hasty);
        let y = Node::start(&executor, &homes);
        let a = x.device(&executor, &homes).await;
        let b = y.device(&executor, &homes).await;
        for _ in 0..3 {
            let (mut from, mut to) = stream(&a, &b).await;
            from.write_all(b"hello").await.unwrap();
            assert_eq!(to.read().await.unwrap(), b"hello");
            // Not idle as long as there is a port.
            Timer::after(Duration::from_millis(300)).await;
            assert_eq!(x.links.count(), 1);
            drop((from, to));
            until("the link is closed", || x.links.count() == 0).await;
        }
        until("the other node knows it", || y.links.count() == 0).await;
    });
}

#[test]
fn a_full_pool_closes_a_link_without_ports_for_a_new_one() {
    run(|executor| async move {
        let homes = Homes::default();
        let mut two = terms();
        two.max_links = 2;
        let x = Node::with(&executor, &homes, SecretKey::generate(), two);
        let others: Vec<_> = (0..3).map(|_| Node::start(&executor, &homes)).collect();
        let a = x.device(&executor, &homes).await;
        let b = others[0].device(&executor, &homes).await;
        let ports = stream(&a, &b).await;
        x.link_to(&others[1]).await.unwrap();
        x.link_to(&others[2]).await.unwrap();
        until("there are two", || x.links.count() == 2).await;
        let list = x.links.list();
        assert!(list
            .iter()
            .any(|s| s.id == others[0].address() && s.ports == 1));
        assert!(list.iter().any(|s| s.id == others[2].address()));
        let c = others[1].device(&executor, &homes).await;
        let more = stream(&a, &c).await;
        let error = x.link_to(&others[2]).await.unwrap_err();
        assert_eq!(error, PeerError::Full);
        drop((ports, more));
    });
}

#[test]
fn a_link_that_is_to_be_kept_comes_back_when_its_node_does() {
    run(|executor| async move {
        let homes = Homes::default();
        let mut hasty = terms();
        hasty.idle_after = Duration::from_millis(100);
        let x = Node::with(&executor, &homes, SecretKey::generate(), hasty);
        let y = Node::start(&executor, &homes);
        let (place, cut) = proxy(&executor, y.peer);
        let mut wanted = x.wants(&y);
        wanted.port = place.port();
        x.links.keep(vec![wanted.clone()]);
        until("it is dialled", || x.links.count() == 1).await;
        assert!(x.links.list()[0].kept);
        Timer::after(Duration::from_millis(300)).await;
        assert_eq!(x.links.count(), 1, "a kept link was recycled");
        drop(cut);
        until("it is lost", || x.links.count() == 0).await;
        let (back, _cut) = proxy(&executor, y.peer);
        wanted.port = back.port();
        x.links.keep(vec![wanted]);
        until("it is back", || x.links.count() == 1).await;
        x.links.keep(Vec::new());
        until("it is let go", || x.links.count() == 0).await;
    });
}

#[test]
fn a_node_that_stops_says_so_and_leaves_no_link() {
    run(|executor| async move {
        let homes = Homes::default();
        let (x, y) = (
            Node::start(&executor, &homes),
            Node::start(&executor, &homes),
        );
        x.link_to(&y).await.unwrap();
        x.links.stop(SOON).await;
        assert_eq!(x.links.count(), 0);
        until("the other node knows it", || y.links.count() == 0).await;
        let reason = event(&y, |e| match e {
            PeerEvent::Ended { lost, reason, .. } => Some((lost, reason)),
            _ => None,
        });
        let (lost, reason) = reason.await;
        assert!(!lost && reason.contains("stopping"), "{reason}");
        assert_eq!(x.link_to(&y).await.unwrap_err(), PeerError::Stopped);
        assert!(y.link_to(&x).await.is_err());
    });
}
