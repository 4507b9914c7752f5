//! Starting, and many idle sessions.

use super::endpoints::{ready, run, start as device};
use super::programs::{folder, Node};
use super::say;
use chr_node::edge::device::Device;
use chr_node::tls::CipherOrder;
use smol::Executor;
use std::sync::Arc;
use std::time::Duration;

/// Devices that connect at the same time: their side of the handshakes is done
/// by this process.
const BATCH: usize = 50;

/// Sessions at a time of those that come and go.
const WAVE: usize = 200;

/// From so many sessions on it is worth waiting for what stays behind.
const LARGE: usize = 5_000;
/// The node looks after its house every ten seconds, and gives memory back when
/// no session has left since it looked last.
const HOUSEKEEPING: Duration = Duration::from_secs(25);

/// The first start makes an identity and a store, a later one finds them.
pub fn start() -> Result<(), String> {
    let home = folder();
    for key in ["first_start", "later_start"] {
        let node = Node::start(home.path());
        say(key, node.started_in.as_secs_f64() * 1e3);
    }
    Ok(())
}

pub fn thousand() -> Result<(), String> {
    sessions(1_000)
}

pub fn five_thousand() -> Result<(), String> {
    sessions(LARGE)
}

/// So many devices whose tickets were accepted.
async fn devices(node: &Node, count: usize, executor: &Arc<Executor<'static>>) -> Vec<Device> {
    let mut devices = Vec::new();
    while devices.len() < count {
        let batch: Vec<_> = (0..BATCH.min(count - devices.len()))
            .map(|_| device(node, CipherOrder::ByCpu, executor))
            .collect();
        for d in &batch {
            ready(d).await;
        }
        devices.extend(batch);
    }
    devices
}

/// Memory of a node that serves nobody yet.
fn idle(node: &Node) -> u64 {
    std::thread::sleep(Duration::from_millis(300));
    let idle = node.program.memory();
    say("idle_memory", idle as f64 / 1e6);
    let _ = chr_node::platform::limits::raise_descriptors();
    idle
}

/// Memory and CPU of so many sessions whose tickets were accepted.
fn sessions(count: usize) -> Result<(), String> {
    let home = folder();
    let node = Node::start(home.path());
    let idle = idle(&node);
    let idle_own = node.program.own_memory() as f64;
    run(|executor| async move {
        let cpu = node.program.cpu();
        let devices = devices(&node, count, &executor).await;
        let each = (node.program.cpu() - cpu) / count as f64;
        say(&format!("handshake_cpu_{count}"), each * 1e6);
        // The last tickets are still being stored.
        smol::Timer::after(Duration::from_secs(1)).await;
        let each = node.program.memory().saturating_sub(idle) / count as u64;
        say(&format!("session_memory_{count}"), each as f64);
        if count < LARGE {
            return;
        }
        drop(devices);
        smol::Timer::after(HOUSEKEEPING).await;
        let left = node.program.memory() as f64;
        say(&format!("left_memory_{count}"), left / 1e6);
        say(&format!("left_ratio_{count}"), left / idle as f64);
        let own = node.program.own_memory() as f64 - idle_own;
        say(&format!("left_own_{count}"), own / 1e3);
    });
    Ok(())
}

/// Sessions that come and go, a few hundred at a time: what stays behind of
/// ten thousand, once as many as a fifth of them have been there before.
pub fn churn() -> Result<(), String> {
    let home = folder();
    let node = Node::start(home.path());
    idle(&node);
    let count = usize::try_from(super::setting("SESSIONS", 10_000)).unwrap();
    run(|executor| async move {
        let mut memory = Vec::new();
        for sessions in [count / 5, count] {
            let mut gone = 0;
            while gone < sessions {
                let wave = devices(&node, WAVE.min(sessions - gone), &executor).await;
                gone += wave.len();
                for device in &wave {
                    device.leave().await;
                }
            }
            smol::Timer::after(HOUSEKEEPING).await;
            let program = &node.program;
            memory.push((program.memory() as f64, program.own_memory() as f64));
        }
        say("churn_memory", memory[1].0 / 1e6);
        say("churn_growth", (memory[1].0 - memory[0].0) / 1e3);
        say("churn_own", (memory[1].1 - memory[0].1) / 1e3);
    });
    Ok(())
}
