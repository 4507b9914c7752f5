//! Starting, and many idle sessions.

use super::endpoints::{ready, run, start as device};
use super::programs::{folder, Node};
use super::say;
use chr_node::tls::CipherOrder;
use std::time::Duration;

/// Devices that connect at the same time: their side of the handshakes is done
/// by this process.
const BATCH: usize = 50;

/// From so many sessions on it is worth waiting for what stays behind.
const LARGE: usize = 5_000;
/// The node gives memory back when it looks after its house, every ten seconds.
const HOUSEKEEPING: Duration = Duration::from_secs(12);

/// The first start makes an identity and a store, a later one finds them.
pub fn start() {
    let home = folder();
    for key in ["first_start", "later_start"] {
        let node = Node::start(home.path());
        say(key, node.started_in.as_secs_f64() * 1e3);
    }
}

pub fn thousand() {
    sessions(1_000);
}

pub fn five_thousand() {
    sessions(LARGE);
}

/// Memory and CPU of so many sessions whose tickets were accepted.
fn sessions(count: usize) {
    let home = folder();
    let node = Node::start(home.path());
    std::thread::sleep(Duration::from_millis(300));
    let idle = node.program.memory();
    say("idle_memory", idle as f64 / 1e6);
    let _ = chr_node::platform::limits::raise_descriptors();
    run(|executor| async move {
        let cpu = node.program.cpu();
        let mut devices = Vec::new();
        while devices.len() < count {
            let batch: Vec<_> = (0..BATCH.min(count - devices.len()))
                .map(|_| device(&node, CipherOrder::ByCpu, &executor))
                .collect();
            for d in &batch {
                ready(d).await;
            }
            devices.extend(batch);
        }
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
        let left = node.program.memory();
        say(&format!("left_memory_{count}"), left as f64 / 1e6);
    });
}
