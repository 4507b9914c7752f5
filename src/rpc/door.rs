//! The public face of the HTTP service, and its accept loop.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::Instant;

use async_io::{Async, Timer};
use smol::io::{AsyncRead, AsyncWrite};
use smol::{channel, future, Executor, Task};

use super::asker::Origin;
use super::connection::{converse, House};
use super::dispatch::Dispatch;
use super::error::RpcError;
use super::https::{Purse, TlsStream, PURSE_PAUSE};
use super::limits::{Limits, ACCEPT_PAUSE, COMPLAINT_PAUSE, FAREWELL, ROOM_LIMIT, ROOM_PAUSE};
use super::reply::{Framing, Refusal};
use super::seal::Seals;
use super::slots::{Slot, Slots};
use super::stream::Stream;
use super::token::{Guard, TokenState};
use super::view::NodeView;
use crate::liveness::Beat;
use crate::parts::HTTPS;
use crate::task;
use crate::tls::WebConfig;

/// What a [`Door`] is told.
#[derive(Clone, Debug, Default)]
pub struct DoorOptions {
    /// Names, besides IP literals and `localhost`, under which this service may
    /// be asked (`network.rpc_hosts`).
    pub hosts: Vec<String>,
    /// Where the worker's socket may go, best first; see [`super::runtime_dirs`].
    pub runtime_dirs: Vec<PathBuf>,
    /// Bounds and time limits.
    pub limits: Limits,
    /// What writing calls are allowed by.
    pub token: TokenState,
}

/// The HTTP service: strict at the front, tiny_http at the back.
///
/// It serves any number of listeners and streams. Dropping it ends its
/// connections, its threads and its folder.
pub struct Door {
    house: Arc<House>,
    slots: Arc<Slots>,
    executor: Arc<Executor<'static>>,
    stop: (channel::Sender<()>, channel::Receiver<()>),
    https: Mutex<Option<WebConfig>>,
    purse: Arc<Purse>,
    _jobs: Task<()>,
}

impl Door {
    /// A door whose connections run on `executor`. Nothing listens yet, and
    /// until [`Door::start`] succeeds every call is refused with the reason.
    #[must_use]
    pub fn new(
        options: DoorOptions,
        view: Arc<dyn NodeView>,
        executor: Arc<Executor<'static>>,
    ) -> Door {
        let DoorOptions {
            hosts,
            runtime_dirs,
            limits,
            token,
        } = options;
        let seals = Seals::new(view.clone());
        let stop = channel::bounded(1);
        let dispatch = Arc::new(Dispatch::new(runtime_dirs, limits.requests, view.clone()));
        let jobs = task::spawn(&executor, dispatch.clone().serve_jobs());
        Door {
            slots: Slots::new(limits.connections),
            house: Arc::new(House {
                view,
                stopping: stop.1.clone(),
                dispatch,
                hosts: Mutex::new(Arc::new(hosts)),
                limits,
                bodies: AtomicUsize::new(0),
                guard: Guard::new(token),
                seals,
            }),
            executor,
            stop,
            https: Mutex::new(None),
            purse: Arc::new(Purse::new(Instant::now())),
            _jobs: jobs,
        }
    }

    /// Starts tiny_http: a folder, a socket, its threads. Short, but it
    /// touches files, so it belongs to the start of the program.
    ///
    /// # Errors
    /// When no folder can hold the socket, or the system lacks threads or
    /// descriptors. The door can be run all the same: calls are refused with
    /// this reason, health and readiness are answered, and the start is tried
    /// again from time to time.
    pub fn start(&self) -> Result<(), RpcError> {
        self.house.dispatch.start()
    }

    /// What is wrong with the service; `None` while calls are answered.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.house.dispatch.fault()
    }

    /// Accepts from `listener` until [`Door::stop`]; `secure`: it is the HTTPS port. An accept
    /// error, such as the end of the descriptors, is waited out.
    /// Answers when `beat` asks.
    pub async fn run(self: Arc<Self>, listener: Async<TcpListener>, secure: bool, beat: Beat) {
        let mut complained: Option<Instant> = None;
        loop {
            let stopped = async {
                let _ = self.stop.1.recv().await;
                Next::Stop
            };
            let asked = async {
                beat.asked().await;
                Next::Again
            };
            let accepted = async {
                while secure && !self.purse.has_time(Instant::now()) {
                    Timer::after(PURSE_PAUSE).await;
                }
                Next::Came(listener.accept().await)
            };
            match future::or(accepted, future::or(stopped, asked)).await {
                Next::Stop => return,
                Next::Again => {}
                Next::Came(Ok((stream, from))) => {
                    // Each answer is one write; it must not wait for the acknowledgement of the last.
                    let _ = stream.get_ref().set_nodelay(true);
                    let origin = Origin {
                        ip: Some(from.ip()),
                        tls: secure,
                    };
                    self.take(Box::new(stream), origin).await;
                }
                // The client gave up in the queue: nothing is wrong here.
                Next::Came(Err(error)) if error.kind() == ErrorKind::ConnectionAborted => {}
                Next::Came(Err(error)) => {
                    if complained.is_none_or(|at| at.elapsed() >= COMPLAINT_PAUSE) {
                        complained = Some(Instant::now());
                        log::warn!("rpc: accept failed: {error}; trying again every 100 ms");
                    }
                    Timer::after(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Puts another certificate in force for connections that come from now on.
    pub fn change_https(&self, config: WebConfig) {
        *self.https.lock().unwrap_or_else(PoisonError::into_inner) = Some(config);
    }

    /// Event streams and WebSockets that stand.
    #[must_use]
    pub fn staying(&self) -> usize {
        self.slots.staying()
    }

    /// Puts other names in force under which this service may be asked.
    pub fn change_hosts(&self, hosts: Vec<String>) {
        *self
            .house
            .hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(hosts);
    }

    /// Puts another operator's token in force.
    pub fn change_token(&self, token: TokenState) {
        self.house.guard.change(token);
    }

    /// Serves a stream that was accepted elsewhere, under the same bounds. Over TLS, if its
    /// origin says so. Returns once it has its place, or was turned away with 503.
    pub async fn admit<S>(&self, stream: S, origin: Origin)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.take(Box::new(stream), origin).await;
    }

    async fn take(&self, mut stream: Box<dyn Stream>, origin: Origin) {
        let Some(slot) = self.find_place().await else {
            // Over TLS nothing can be said before the handshake.
            if !origin.tls {
                turn_away(&mut stream);
            }
            return;
        };
        if origin.tls && HTTPS.built {
            let config = self.https.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(config) = config.clone() else {
                return;
            };
            match TlsStream::new(stream, &config, &self.purse) {
                Ok(secure) => stream = Box::new(secure),
                Err(error) => return log::warn!("rpc: {error}"),
            }
        }
        let id = slot.id();
        let house = self.house.clone();
        let task = task::spawn(&self.executor, async move {
            converse(&house, &slot, stream, origin).await;
        });
        self.slots.attach(id, task);
    }

    async fn find_place(&self) -> Option<Slot> {
        let begin = Instant::now();
        loop {
            let now = Instant::now();
            let slot = self.slots.claim(now);
            let over = now.saturating_duration_since(begin) >= ROOM_LIMIT;
            if slot.is_some() || over || self.stop.1.is_closed() {
                return slot;
            }
            Timer::after(ROOM_PAUSE).await;
        }
    }

    /// Ends every [`Door::run`] and tells those who listen, who get [`FAREWELL`] to hear it;
    /// then as [`Door::stop`].
    pub async fn leave(&self) {
        self.stop.0.close();
        let end = Instant::now() + FAREWELL;
        while self.slots.staying() > 0 && Instant::now() < end {
            Timer::after(ROOM_PAUSE).await;
        }
        self.stop();
    }

    /// Ends every [`Door::run`], all connections and the worker.
    pub fn stop(&self) {
        self.stop.0.close();
        self.slots.close();
        self.house.dispatch.stop();
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the accept loop heard of.
enum Next {
    Came(io::Result<(Async<TcpStream>, SocketAddr)>),
    Again,
    Stop,
}

/// Says 503, as far as that is possible without waiting, and hangs up.
fn turn_away(stream: &mut Box<dyn Stream>) {
    let framing = Framing {
        head_only: false,
        keep_alive: false,
    };
    let refusal = Refusal::unavailable("all connections are busy; ask again");
    let mut context = Context::from_waker(Waker::noop());
    let _ = Pin::new(&mut *stream).poll_write(&mut context, &refusal.encode(framing, ""));
    let _ = Pin::new(&mut *stream).poll_close(&mut context);
}
