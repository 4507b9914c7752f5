//! Accepts connections and starts their sessions.

use super::services::Services;
use super::session::ServerSession;
use crate::liveness::Beat;
use crate::platform::socket::Tuning;
use crate::session::Admission;
use crate::session::Tasks;
use crate::session::{Pump, Stop};
use crate::tls::{Channel, ServerConfigs};
use async_io::{Async, Timer};
use smol::{future, Executor};
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

/// What all listeners of a node share.
pub struct Server {
    /// Board, accounts, terms.
    pub services: Arc<Services>,
    /// Who may connect.
    pub admission: Arc<Admission>,
    /// TLS for both dialects.
    pub tls: Arc<ServerConfigs>,
    /// Connections that were not taken.
    pub denied: AtomicU64,
    /// Sessions that ended.
    pub ended: AtomicU64,
    /// Sessions that a defect of ours ended.
    pub panicked: AtomicU64,
    /// Who is connected.
    pub sessions: Arc<Tasks>,
}

/// Accepts for ever. Never ends by itself, whatever the network does; answers
/// when `beat` asks.
pub async fn listen(
    server: Arc<Server>,
    listener: Async<TcpListener>,
    executor: Arc<Executor<'static>>,
    beat: Beat,
) {
    loop {
        let accepted = async { Some(listener.accept().await) };
        let asked = async {
            beat.asked().await;
            None
        };
        match future::or(accepted, asked).await {
            None => {}
            Some(Ok((socket, from))) => {
                let taken = server.take(socket, from, &executor);
                while taken && !server.admission.pace(server.services.clock.now()) {
                    Timer::after(PACE).await;
                }
            }
            Some(Err(e)) => {
                log::warn!("cannot accept a connection: {e}; waiting a moment");
                Timer::after(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Server {
    /// With nobody connected.
    #[must_use]
    pub fn new(
        services: Arc<Services>,
        admission: Arc<Admission>,
        tls: Arc<ServerConfigs>,
    ) -> Server {
        Server {
            services,
            admission,
            tls,
            denied: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
            sessions: Arc::default(),
        }
    }

    fn take(
        self: &Arc<Self>,
        socket: Async<TcpStream>,
        from: SocketAddr,
        executor: &Arc<Executor<'static>>,
    ) -> bool {
        let now = self.services.clock.now();
        let slot = match self.admission.admit(from.ip(), now) {
            Ok(slot) => slot,
            Err(denied) => {
                // Closed without a word: TLS would cost what the bound protects.
                if self
                    .denied
                    .fetch_add(1, Ordering::Relaxed)
                    .is_multiple_of(1000)
                {
                    log::warn!("connection from {from} not taken: {denied}");
                }
                return false;
            }
        };
        let tuning = Tuning {
            unsent: Some(self.services.terms.get().send_buffer),
            ..Tuning::SESSION
        };
        if let Err(e) = tuning.apply(&socket) {
            log::debug!("socket options of {from}: {e}");
        }
        let clock = self.services.clock.clone();
        let session = ServerSession::new(self.services.clone(), slot);
        let pump = Pump::new(
            socket,
            Channel::server(&self.tls),
            Vec::new(),
            clock,
            session,
        );
        let server = self.clone();
        self.sessions.spawn(executor, pump, move |stop| {
            server.ended.fetch_add(1, Ordering::Relaxed);
            match stop {
                Some(Stop::Say(c)) => {
                    log::info!("session of {from} ended: {} ({})", c.text, c.code);
                }
                Some(stop) => log::debug!("session of {from}: {stop}"),
                None => {
                    server.panicked.fetch_add(1, Ordering::Relaxed);
                    log::error!("session of {from} ended by a defect of this program");
                }
            }
        });
        true
    }
}
