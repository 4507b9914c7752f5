//! A network of nodes on loopback, each with an address of its own: how fast
//! devices of different nodes find each other, and what a node costs then.

use super::endpoints::{ready, run};
use super::programs::{folder, Node};
use super::{machine, say, setting};
use chr_node::edge::device::{Device, DeviceOptions};
use chr_node::identity::SecretKey;
use std::time::{Duration, Instant};

/// Devices that each device opens a port on.
const OTHERS: usize = 10;
/// How long anything in it may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts `count` nodes that know the first one; the last of them is started
/// when the others stand, and its folder's time until it takes part is told.
fn nodes(home: &std::path::Path, count: usize) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for n in 0..count {
        let seed = nodes
            .first()
            .map_or("none".to_owned(), |first| first.peer.clone());
        let data = home.join(format!("node{n}"));
        std::fs::create_dir(&data).unwrap();
        let place = format!("network.bind=127.78.{}.{}", n / 200, n % 200 + 1);
        let seed = format!("network.seeds={seed}");
        let args = ["--set", &place, "--set", &seed];
        nodes.push(Node::start_with(&data, &args).unwrap());
    }
    nodes
}

pub fn meet() -> Result<(), String> {
    let count = setting("NODES", 60) as usize;
    let home = folder();
    let mut nodes = nodes(home.path(), count);
    // One more, that a stranger has just seeded: it takes part when it answers
    // with a device of another node.
    let settled = Instant::now();
    while nodes
        .iter()
        .any(|node| node.known() < count.min(20) as u64 - 1)
    {
        assert!(
            settled.elapsed() < PATIENCE,
            "the nodes do not know each other"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let begun = Instant::now();
    let data = home.path().join("fresh");
    std::fs::create_dir(&data).unwrap();
    let seed = format!("network.seeds={}", nodes[0].peer);
    let fresh = Node::start_with(&data, &["--set", "network.bind=127.78.9.9", "--set", &seed])?;
    while fresh.known() < 5 {
        assert!(
            begun.elapsed() < PATIENCE,
            "a fresh node does not take part"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    say("join", begun.elapsed().as_secs_f64() * 1e3);
    nodes.push(fresh);
    let places: Vec<_> = nodes.iter().map(|node| node.address.clone()).collect();
    run(|executor| async move {
        let mut devices = Vec::new();
        for place in &places {
            let options = DeviceOptions::new(SecretKey::generate(), vec![place.clone()]);
            let device = Device::start(options, &executor).unwrap();
            device.publish("tcp:1", None);
            ready(&device).await;
            devices.push(device);
        }
        // Found within: from the ticket of a further device to its first port.
        let late = Device::start(
            DeviceOptions::new(SecretKey::generate(), vec![places[1].clone()]),
            &executor,
        )
        .unwrap();
        late.publish("tcp:1", None);
        let answering = executor.spawn(answer(late.clone()));
        ready(&late).await;
        let begun = Instant::now();
        let last = devices.last().unwrap();
        while last.open(late.address(), "tcp:1").await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "a device is not found");
            smol::Timer::after(Duration::from_millis(5)).await;
        }
        say("findable", begun.elapsed().as_secs_f64() * 1e3);
        drop(answering);
        let answering: Vec<_> = devices
            .iter()
            .map(|device| executor.spawn(answer(device.clone())))
            .collect();
        let mut random = fastrand::Rng::with_seed(7);
        let (mut times, mut failed) = (Vec::new(), 0);
        for (n, device) in devices.iter().enumerate() {
            for _ in 0..OTHERS {
                let other = (n + 1 + random.usize(..devices.len() - 1)) % devices.len();
                let begun = Instant::now();
                match device.open(devices[other].address(), "tcp:1").await {
                    Ok(_port) => times.push(begun.elapsed()),
                    Err(e) => {
                        eprintln!("{n} to {other}: {e}");
                        failed += 1;
                    }
                }
            }
        }
        drop(answering);
        say("meet_failed", f64::from(failed));
        say("meet_p50", machine::percentile(&mut times, 50) / 1e3);
        say("meet_p99", machine::percentile(&mut times, 99) / 1e3);
        let most = nodes.iter().map(|node| node.program.memory()).max();
        say("network_memory", most.unwrap() as f64 / 1e6);
    });
    Ok(())
}

/// Takes every port that is asked for, for ever.
async fn answer(device: Device) {
    let mut held = Vec::new();
    while let Some(offer) = device.accept().await {
        if let Ok(tunnel) = offer.accept(|_| Ok(())).await {
            held.push(tunnel);
            if held.len() > OTHERS {
                held.remove(0);
            }
        }
    }
}
