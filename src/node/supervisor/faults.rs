//! Faults on demand, in debug builds alone: how tests see that a service that
//! panics, hangs or does not start is restarted.
//!
//! `TEST_FAULT=SERVICE:KIND[:TIMES]`, where KIND is `panic`, `hang`, `start`,
//! `block` (the executor's thread stands still), `busy` (it has more to do than
//! it can for a while) or `pool` (the pool for blocking
//! work has more to do than it has threads) and TIMES is how often (1). A
//! running service meets its fault [`SOON`] after its start, so that what it does
//! until then is real. `store:writer` is a panic of the store's own thread.
#![allow(clippy::panic)]

use super::{End, Running};
use async_io::Timer;
use smol::future::{self, FutureExt};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::OnceLock;
use std::time::Duration;

/// From a service's start to its fault.
const SOON: Duration = Duration::from_millis(400);
/// How long a blocked executor stands still.
const STANDSTILL: Duration = Duration::from_secs(6);

/// One piece of work of a busy executor, and how many there are.
const PIECE: Duration = Duration::from_millis(300);
const PIECES: u32 = 24;

/// More jobs than any pool of a test has threads.
const POOL_JOBS: usize = 64;

struct Fault {
    service: String,
    kind: String,
    left: AtomicU32,
}

fn planned() -> Option<&'static Fault> {
    static FAULT: OnceLock<Option<Fault>> = OnceLock::new();
    FAULT
        .get_or_init(|| {
            let text = std::env::var("TEST_FAULT").ok()?;
            let mut words = text.split(':').map(str::to_owned);
            Some(Fault {
                service: words.next()?,
                kind: words.next()?,
                left: AtomicU32::new(words.next().and_then(|n| n.parse().ok()).unwrap_or(1)),
            })
        })
        .as_ref()
}

fn planned_for(service: &str) -> Option<&'static Fault> {
    planned().filter(|fault| fault.service == service && fault.left.load(Ordering::Relaxed) > 0)
}

/// Resolves when a fault is due that the service has to bring about itself.
pub async fn due(service: &str, kind: &str) {
    Timer::after(SOON).await;
    match planned_for(service).filter(|fault| fault.kind == kind) {
        Some(fault) => fault.left.fetch_sub(1, Ordering::Relaxed),
        None => future::pending().await,
    };
}

/// Why the service must not start now.
pub fn at_restart(service: &str) -> Option<String> {
    let fault = planned_for(service).filter(|fault| fault.kind == "start")?;
    fault.left.fetch_sub(1, Ordering::Relaxed);
    Some("a start that a test does not want".to_owned())
}

/// The running service with its fault.
pub fn while_running(service: &'static str, mut running: Running) -> Running {
    let fault = async move {
        Timer::after(SOON).await;
        let Some(fault) = planned_for(service).filter(|f| f.kind != "writer") else {
            return future::pending().await;
        };
        if fault.kind != "start" {
            fault.left.fetch_sub(1, Ordering::Relaxed);
        }
        match fault.kind.as_str() {
            "panic" => panic!("a panic that a test asked for"),
            // What is not to start again must end first.
            "start" => Some(End::Failed("an end that a test asked for".to_owned())),
            "block" => {
                std::thread::sleep(STANDSTILL);
                future::pending().await
            }
            "busy" => {
                for _ in 0..PIECES {
                    std::thread::sleep(PIECE);
                    future::yield_now().await;
                }
                future::pending().await
            }
            "pool" => {
                for _ in 0..POOL_JOBS {
                    let sleep = || std::thread::sleep(STANDSTILL);
                    crate::task::unblock_boxed(Box::new(sleep)).detach();
                }
                future::pending().await
            }
            _ => None,
        }
    };
    async move {
        let real = async { Some(running.as_mut().await) };
        match future::or(real, fault).await {
            Some(end) => end,
            // Alive, and never polled again: `running` stays where it is.
            None => future::pending().await,
        }
    }
    .boxed()
}
