//! The node between two light endpoints, on a plain port.

use super::endpoints::{clock, echo, pair, pair_of, read_some, run, write_all, Pair};
use super::programs::{folder, Node};
use super::{machine, say, setting};
use chr_node::tls::CipherOrder;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

pub fn aes() -> Result<(), String> {
    throughput("aes", CipherOrder::Aes, setting("GIB", 2), &[])?;
    Ok(())
}

pub fn chacha() -> Result<(), String> {
    throughput("chacha", CipherOrder::ChaCha20, setting("GIB", 2), &[])?;
    Ok(())
}

/// Enough that the device has to sign many tickets on the way.
pub fn stall() -> Result<(), String> {
    throughput("long", CipherOrder::ByCpu, setting("LONG_GIB", 10), &[])?;
    Ok(())
}

/// What a second thread costs: one after the other, so that both meet the
/// machine in the same mood.
pub fn threads() -> Result<(), String> {
    let cpu = |name, threads| {
        throughput(
            name,
            CipherOrder::Aes,
            setting("GIB", 2),
            &["--set", threads],
        )
    };
    let two = cpu("threads_2", "runtime.threads=2")?;
    let one = cpu("threads_1", "runtime.threads=1")?;
    say("threads_ratio", two / one);
    Ok(())
}

/// One stream: rate, the node's CPU (which is returned), and the longest time
/// in which the reader got nothing.
fn throughput(
    name: &'static str,
    ciphers: CipherOrder,
    gib: u64,
    args: &[&str],
) -> Result<f64, String> {
    let home = folder();
    let node = Node::start_with(home.path(), args)?;
    let (_, cpu) = stream(name, ciphers, gib, node);
    Ok(cpu)
}

/// The same through a node that runs: the rate in MB/s and the CPU seconds a GB.
pub fn stream(name: &'static str, ciphers: CipherOrder, gib: u64, node: Node) -> (f64, f64) {
    // Nothing would be divided by nothing.
    let total = (gib << 30).max(64 << 20);
    let (told, asked) = channel();
    run(|executor| async move {
        let Pair {
            near,
            far,
            devices: _devices,
        } = pair(&node, ciphers, &executor).await;
        let (cpu, begun) = (node.program.cpu(), Instant::now());
        let reading = executor.spawn(async move {
            let clock = clock();
            let (mut got, mut worst, mut last) = (0u64, Duration::ZERO, Instant::now());
            loop {
                let n = read_some(&far, &clock).await;
                let now = Instant::now();
                worst = worst.max(now - last);
                last = now;
                if n == 0 {
                    return (got, worst);
                }
                got += n as u64;
            }
        });
        let block = vec![7u8; 128 * 1024];
        for _ in 0..total / block.len() as u64 {
            write_all(&near, &block).await;
        }
        near.finish();
        let (got, worst) = reading.await;
        assert_eq!(got, total);
        let took = begun.elapsed().as_secs_f64();
        let gb = total as f64 / 1e9;
        let rate = gb * 1e3 / took;
        say(&format!("{name}_rate"), rate);
        let cpu = (node.program.cpu() - cpu) / gb;
        say(&format!("{name}_cpu"), cpu);
        say(&format!("{name}_stall"), worst.as_secs_f64() * 1e3);
        let _ = told.send((rate, cpu));
    });
    asked.recv().unwrap()
}

pub fn round_trip() -> Result<(), String> {
    trip("trip_one_core");
    Ok(())
}

pub fn round_trip_free() -> Result<(), String> {
    trip("trip_free");
    Ok(())
}

/// 64 bytes there and back.
fn trip(name: &'static str) {
    let home = folder();
    let node = Node::start(home.path());
    run(|executor| async move {
        let pair = pair(&node, CipherOrder::ByCpu, &executor).await;
        trips(name, pair, &executor).await;
    });
}

async fn trips(name: &str, pair: Pair, executor: &smol::Executor<'static>) {
    let Pair {
        near,
        far,
        devices: _devices,
    } = pair;
    let echoing = executor.spawn(echo(far));
    let clock = clock();
    let rounds = setting("ROUNDS", 10_000);
    let mut times = Vec::new();
    for _ in 0..rounds {
        let begun = Instant::now();
        write_all(&near, &[9; 64]).await;
        let mut got = 0;
        while got < 64 {
            got += read_some(&near, &clock).await;
        }
        times.push(begun.elapsed());
    }
    say(&format!("{name}_p50"), machine::percentile(&mut times, 50));
    say(&format!("{name}_p99"), machine::percentile(&mut times, 99));
    drop(echoing);
}

/// Two nodes that know each other.
fn two_nodes(home: &std::path::Path) -> Result<(Node, Node), String> {
    let start = |name: &str, args: &[&str]| {
        let data = home.join(name);
        std::fs::create_dir(&data).unwrap();
        Node::start_with(&data, args)
    };
    let first = start("first", &[])?;
    let seed = format!("network.seeds={}", first.peer);
    let second = start(
        "second",
        &["--set", &seed, "--set", "network.bind=127.0.0.2"],
    )?;
    let begun = Instant::now();
    while first.known() == 0 || second.known() == 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "they do not meet"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok((first, second))
}

/// One stream between devices on two nodes: what each of the nodes spends.
pub fn across() -> Result<(), String> {
    let total = (setting("GIB", 2) << 30).max(64 << 20);
    let home = folder();
    let (first, second) = two_nodes(home.path())?;
    run(|executor| async move {
        let Pair {
            near,
            far,
            devices: _devices,
        } = pair_of(&first, &second, CipherOrder::Aes, &executor).await;
        let before = (first.program.cpu(), second.program.cpu());
        let begun = Instant::now();
        let reading = executor.spawn(async move {
            let clock = clock();
            let mut got = 0u64;
            loop {
                match read_some(&far, &clock).await {
                    0 => return got,
                    n => got += n as u64,
                }
            }
        });
        let block = vec![7u8; 128 * 1024];
        for _ in 0..total / block.len() as u64 {
            write_all(&near, &block).await;
        }
        near.finish();
        assert_eq!(reading.await, total);
        let gb = total as f64 / 1e9;
        say("across_rate", gb * 1e3 / begun.elapsed().as_secs_f64());
        let spent = [
            first.program.cpu() - before.0,
            second.program.cpu() - before.1,
        ];
        say("across_cpu", spent[0].max(spent[1]) / gb);
    });
    Ok(())
}

/// 64 bytes there and back, across two nodes.
pub fn trip_across() -> Result<(), String> {
    trip_between("across_one_core")
}

pub fn trip_across_free() -> Result<(), String> {
    trip_between("across_free")
}

fn trip_between(name: &'static str) -> Result<(), String> {
    let home = folder();
    let (first, second) = two_nodes(home.path())?;
    run(|executor| async move {
        let pair = pair_of(&first, &second, CipherOrder::ByCpu, &executor).await;
        trips(name, pair, &executor).await;
    });
    Ok(())
}
