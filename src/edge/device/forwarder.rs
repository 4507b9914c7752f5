//! What `chr-node forward` runs: a local listener whose connections go through
//! a port of another device.

use super::datagram::{carry, DatagramPort, LocalFlow, DATAGRAM_MAX};
use super::splice::{reset, Splice};
use super::tunnel::Tunnel;
use super::{is_news, Device, OpenGuard};
use crate::edge::port_name;
use crate::identity::Address;
use crate::platform::socket::Tuning;
use crate::ports::local::End;
use crate::sorted::Map;
use crate::task;
use crate::task::channel::{bounded, Sender, TrySendError};
use crate::wire::code::Code;
use async_io::{Async, Timer};
use smol::Executor;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

/// UDP senders at once behind one forwarded port. Each holds a port of the
/// session, of which there are 1,024.
const SENDERS_MAX: usize = 256;
/// Datagrams of one sender that may wait while its port opens.
const INBOX: usize = 64;
/// Pause after an accept that failed (out of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Pause before an opening is tried again that met the limit of openings at
/// once, and how often that is done: a burst of connections is spread over some
/// seconds, not refused.
const BURST_PAUSE: Duration = Duration::from_millis(100);
const BURST_TRIES: u32 = 50;

/// What is forwarded where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The publishing device.
    pub target: Address,
    /// The port number that it publishes.
    pub port: u16,
    /// UDP instead of TCP.
    pub udp: bool,
    /// Without end-to-end encryption.
    pub plain: bool,
}

impl Forward {
    /// The port's name on the wire.
    #[must_use]
    pub fn name(&self) -> String {
        port_name(self.port, self.udp, self.plain)
    }
}

/// A local socket that stands.
pub enum Listener {
    /// For TCP.
    Tcp(Async<TcpListener>),
    /// For UDP.
    Udp(Arc<Async<UdpSocket>>),
}

impl Listener {
    /// Binds `address`.
    ///
    /// # Errors
    /// What the system says, with the address and what to do.
    pub fn bind(address: SocketAddr, udp: bool) -> Result<Listener, String> {
        let bound = if udp {
            Async::<UdpSocket>::bind(address).map(|s| Listener::Udp(Arc::new(s)))
        } else {
            Async::<TcpListener>::bind(address).map(Listener::Tcp)
        };
        bound.map_err(|e| match e.kind() {
            std::io::ErrorKind::AddrInUse => format!(
                "cannot listen on {address}: the port is in use; choose another, or 0 for any"
            ),
            std::io::ErrorKind::PermissionDenied => format!(
                "cannot listen on {address}: ports below 1024 need more rights; choose another"
            ),
            _ => format!("cannot listen on {address}: {e}"),
        })
    }

    /// The address that was bound, with the real port number.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        match self {
            Listener::Tcp(l) => l.get_ref().local_addr(),
            Listener::Udp(s) => s.get_ref().local_addr(),
        }
    }
}

/// Hears of openings that fail. Not generic: each kind would bring a copy of
/// all that follows.
pub type Failed = Arc<dyn Fn(&End) + Send + Sync>;

/// Forwards for ever. Openings that fail are reported to `failed`.
pub async fn serve(
    device: Device,
    listener: Listener,
    forward: Forward,
    executor: Arc<Executor<'static>>,
    failed: Failed,
) {
    match listener {
        Listener::Tcp(listener) => serve_tcp(device, listener, forward, executor, failed).await,
        Listener::Udp(socket) => serve_udp(device, socket, forward, executor, failed).await,
    }
}

async fn serve_tcp(
    device: Device,
    listener: Async<TcpListener>,
    forward: Forward,
    executor: Arc<Executor<'static>>,
    failed: Failed,
) {
    let name = forward.name();
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(e) => {
                log::warn!("cannot accept a connection: {e}");
                Timer::after(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Err(e) = Tuning::LOCAL.apply(&socket) {
            log::debug!("socket options: {e}");
        }
        let (device, name, failed) = (device.clone(), name.clone(), failed.clone());
        let target = forward.target;
        task::spawn(&executor, async move {
            let tunnel = match open(&device, target, &name).await {
                Ok(tunnel) => tunnel,
                Err(end) => {
                    reset(&socket);
                    return failed(&end);
                }
            };
            let _open = OpenGuard::new(&device);
            match Splice::new(socket, tunnel).await {
                Err(end) if is_news(&end) => failed(&end),
                Err(end) => log::debug!("a connection ended: {end}"),
                Ok(_) => {}
            }
        })
        .detach();
    }
}

async fn open(device: &Device, target: Address, name: &str) -> Result<Tunnel, End> {
    let mut tries = 0;
    loop {
        match device.tunnel(target, name).await {
            Err(end) if end.code == Code::TOO_MANY_OPENINGS && tries < BURST_TRIES => {
                tries += 1;
                Timer::after(BURST_PAUSE.mul_f64(0.5 + fastrand::f64())).await;
            }
            outcome => return outcome,
        }
    }
}

async fn serve_udp(
    device: Device,
    socket: Arc<Async<UdpSocket>>,
    forward: Forward,
    executor: Arc<Executor<'static>>,
    failed: Failed,
) {
    let name = forward.name();
    let mut senders: Map<SocketAddr, Sender<Vec<u8>>> = Map::new();
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let Ok((n, from)) = socket.recv_from(&mut buffer).await else {
            Timer::after(ACCEPT_PAUSE).await;
            continue;
        };
        let mut datagram = buffer.get(..n).unwrap_or_default().to_vec();
        if let Some(sender) = senders.get(&from) {
            match sender.try_send(datagram) {
                Ok(()) | Err(TrySendError::Full(_)) => continue,
                // The flow has ended; this datagram starts a new one.
                Err(TrySendError::Closed(back)) => datagram = back,
            }
        }
        senders.retain(|_, s| !s.is_closed());
        if senders.len() >= SENDERS_MAX {
            continue;
        }
        let (inbox_in, inbox) = bounded(INBOX);
        let _ = inbox_in.try_send(datagram);
        senders.insert(from, inbox_in);
        let (device, name, failed) = (device.clone(), name.clone(), failed.clone());
        let (target, plain, socket) = (forward.target, forward.plain, socket.clone());
        task::spawn(&executor, async move {
            let local = LocalFlow::Sender {
                inbox,
                socket,
                to: from,
            };
            let port = if plain {
                device.open(target, &name).await.map(DatagramPort::Plain)
            } else {
                let tunnel = device.tunnel(target, &name).await;
                tunnel.map(DatagramPort::sealed)
            };
            let port = match port {
                Ok(port) => port,
                Err(end) => return failed(&end),
            };
            let _open = OpenGuard::new(&device);
            match carry(local, port, device.clock()).await {
                Err(end) if is_news(&end) => failed(&end),
                Err(end) => log::debug!("a UDP flow ended: {end}"),
                Ok(()) => {}
            }
        })
        .detach();
    }
}
