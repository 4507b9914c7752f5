//! Accepts connections and starts their sessions.

use super::services::Services;
use super::session::ServerSession;
use crate::liveness::Beat;
use crate::meter::Counter;
use crate::platform::socket::Tuning;
use crate::session::{accept, Admission, Gate, Pump, Slot, Stop, Tasks};
use crate::tls::{Channel, ServerConfigs};
use async_io::Async;
use smol::Executor;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

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
    /// Sessions that this node ended, that devices ended, and whose connection broke.
    pub ends: [Counter; 3],
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
    let gate = Gate {
        what: "a connection",
        admission: &server.admission,
        denied: &server.denied,
        clock: &*server.services.clock,
    };
    let take = |socket, from, slot| server.take(socket, from, slot, &executor);
    accept(&listener, &beat, &gate, &take).await;
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
            ends: Default::default(),
            sessions: Arc::default(),
        }
    }

    fn take(
        self: &Arc<Self>,
        socket: Async<TcpStream>,
        from: SocketAddr,
        slot: Slot,
        executor: &Arc<Executor<'static>>,
    ) {
        let tuning = Tuning {
            unsent: Some(self.services.terms.get().send_buffer),
            ..Tuning::SESSION
        };
        if let Err(e) = tuning.apply(&socket) {
            log::debug!("socket options of {from}: {e}");
        }
        let clock = self.services.clock.clone();
        let session = ServerSession::new(self.services.clone(), slot);
        let served = session.served();
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
            let [here, there, broken] = &server.ends;
            match &stop {
                Some(Stop::Say(_)) => here.one(),
                Some(Stop::Told(_)) => there.one(),
                Some(Stop::Lost(_) | Stop::Foreign(..)) => broken.one(),
                None => {}
            }
            if let (Some(device), Some(witness)) = (served.get(), &server.services.witness) {
                let reason = stop.as_ref().map(ToString::to_string);
                witness.closed(*device, &reason.unwrap_or_else(|| "a defect".to_owned()));
            }
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
    }
}
