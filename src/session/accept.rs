//! Takes connections from a listener, as fast as they may come.

use super::{Admission, Slot};
use crate::liveness::Beat;
use crate::time::Clock;
use async_io::{Async, Timer};
use smol::future;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// Pause after an accept that failed: out of descriptors or memory, spinning
/// would make it worse.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often a listener above its rate looks again; several connections go
/// through each time.
const PACE: Duration = Duration::from_millis(20);

/// Who may come in.
pub struct Gate<'a> {
    /// What comes, for the log: `a connection`.
    pub what: &'static str,
    /// How many, how fast, from where.
    pub admission: &'a Arc<Admission>,
    /// Counts those that were not taken.
    pub denied: &'a AtomicU64,
    /// For the rates.
    pub clock: &'a dyn Clock,
}

/// Has `take` take what comes to `listener`, for ever: never ends by itself,
/// whatever the network does. Answers when `beat` asks.
pub async fn accept(
    listener: &Async<TcpListener>,
    beat: &Beat,
    gate: &Gate<'_>,
    take: &(dyn Fn(Async<TcpStream>, SocketAddr, Slot) + Send + Sync),
) {
    let what = gate.what;
    loop {
        let accepted = async { Some(listener.accept().await) };
        let asked = async {
            beat.asked().await;
            None
        };
        match future::or(accepted, asked).await {
            None => {}
            Some(Ok((socket, from))) => {
                if let Some(slot) = gate.admit(from) {
                    take(socket, from, slot);
                    while !gate.admission.pace(gate.clock.now()) {
                        Timer::after(PACE).await;
                    }
                }
            }
            Some(Err(e)) => {
                log::warn!("cannot accept {what}: {e}; waiting a moment");
                Timer::after(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Gate<'_> {
    fn admit(&self, from: SocketAddr) -> Option<Slot> {
        match self.admission.admit(from.ip(), self.clock.now()) {
            Ok(slot) => Some(slot),
            Err(denied) => {
                let before = self.denied.fetch_add(1, Ordering::Relaxed);
                if before.is_multiple_of(1000) {
                    log::warn!("{} from {from} not taken: {denied}", self.what);
                }
                None
            }
        }
    }
}
