//! The task of the service.

use super::pace::Pace;
use super::{Handle, Shared};
use crate::liveness::Beat;
use crate::platform::clock::on_the_second;
use crate::time::Moment;
use crate::wire::dht::PACKET_MAX;
use async_io::Timer;
use smol::future;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Datagrams of one turn: a few milliseconds of a slow device, if each of them
/// has a signature to check.
const BATCH: usize = 16;

/// A time that is further away than this can wait for the next whole second, at
/// which other timers of the node fire.
const FAR: Duration = Duration::from_secs(5);

/// The least wait for the engine's clock, so that nothing can make us spin.
const LEAST: Duration = Duration::from_millis(1);

/// Receives and ticks for ever, whatever the network does; answers when `beat`
/// asks.
pub async fn run(handle: Handle, beat: Beat) {
    let shared = &*handle.0;
    let mut pace = Pace::new(shared.clock.now());
    // One byte more than a packet has: what is longer shows.
    let mut buffer = vec![0; PACKET_MAX + 1];
    loop {
        let began = shared.clock.now();
        let more = shared.take(&mut buffer);
        shared.tick();
        let asked = async {
            beat.asked().await;
        };
        match pace.worked(began, shared.clock.now()) {
            Some(rest) => {
                let rested = async {
                    Timer::after(rest).await;
                };
                future::or(asked, rested).await;
            }
            // The others first.
            None if more => future::yield_now().await,
            None => {
                let due = shared.due(began);
                let time = async {
                    match due {
                        Some(due) => drop(Timer::at(due).await),
                        None => future::pending().await,
                    }
                };
                let order = async {
                    let _ = shared.asked.1.recv().await;
                };
                let woken = future::or(time, order);
                future::or(asked, future::or(woken, shared.readable())).await;
            }
        }
    }
}

impl Shared {
    /// Takes datagrams, at most [`BATCH`]. True when there may be more.
    fn take(&self, buffer: &mut [u8]) -> bool {
        let mut left = BATCH;
        for socket in &self.sockets {
            while left > 0 {
                let arrival = match socket.get_ref().receive(buffer) {
                    Ok(arrival) => arrival,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    // What the kernel has heard about an earlier datagram of ours: nobody
                    // listens there. The engine finds that out by itself.
                    Err(e) => {
                        log::trace!("a socket for datagrams: {e}");
                        left -= 1;
                        continue;
                    }
                };
                left -= 1;
                let Some(datagram) = buffer.get(..arrival.len) else {
                    continue;
                };
                let (now, wall) = (self.clock.now(), self.wall());
                let mut core = self.lock();
                core.arrival = arrival.at.map(|at| (arrival.from, at));
                core.engine.receive(now, wall, arrival.from, datagram);
                self.carry_out(&mut core);
                core.arrival = None;
            }
        }
        left == 0
    }

    /// Gives the engine the time, if it wants it.
    fn tick(&self) {
        let (now, wall) = (self.clock.now(), self.wall());
        let mut core = self.lock();
        if core.engine.due().is_some_and(|due| due <= now) {
            core.engine.tick(now, wall);
            self.carry_out(&mut core);
        }
    }

    /// When the engine wants the time next.
    fn due(&self, now: Moment) -> Option<Instant> {
        let due = self.lock().engine.due()?;
        let wait = due.since(now).max(LEAST);
        Some(if wait >= FAR {
            on_the_second(wait)
        } else {
            Instant::now() + wait
        })
    }

    /// Resolves when a datagram may be there.
    async fn readable(&self) {
        poll_fn(|cx| {
            let mut sockets = self.sockets.iter();
            if sockets.any(|socket| socket.poll_readable(cx).is_ready()) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}
