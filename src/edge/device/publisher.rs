//! What `chr-node publish` runs: offers ports and joins those who may to their targets.

use super::datagram::{carry, DatagramPort, LocalFlow};
use super::events::Offer;
use super::splice::Splice;
use super::tunnel::Tunnel;
use super::{is_news, Device, OpenGuard};
use crate::edge::port_name;
use crate::identity::Address;
use crate::platform::socket::Tuning;
use crate::ports::local::End;
use crate::session::dial::{addresses, dial};
use crate::sorted::Map;
use crate::task;
use crate::wire::code::Code;
use crate::wire::control::allow_list_fits;
use async_io::Async;
use smol::Executor;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

/// Who may open a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone.
    Public,
    /// The addresses listed for this port.
    Private(Vec<Address>),
    /// The devices of the fleet, as listed in a file.
    Protected(Vec<Address>),
}

impl Access {
    /// The word for it on the command line.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Access::Public => "public",
            Access::Private(_) => "private",
            Access::Protected(_) => "protected",
        }
    }

    pub(super) fn check(&self, opener: Address, name: &str) -> Result<(), End> {
        match self {
            Access::Public => Ok(()),
            Access::Private(list) | Access::Protected(list) if list.contains(&opener) => Ok(()),
            _ => Err(End::new(
                Code::NOT_ALLOWED,
                format!("the device does not allow {opener} to open {name}"),
            )),
        }
    }

    /// What the node is told, so that it can refuse strangers by itself.
    pub(super) fn list(&self) -> Option<Vec<Address>> {
        match self {
            Access::Public => None,
            Access::Private(list) | Access::Protected(list) => {
                allow_list_fits(list).then(|| list.clone())
            }
        }
    }
}

/// One published port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The port number that openers name.
    pub port: u16,
    /// UDP instead of TCP.
    pub udp: bool,
    /// Without end-to-end encryption.
    pub plain: bool,
    /// Where the service is: `HOST:PORT`.
    pub host: String,
    /// The service's port.
    pub target_port: u16,
    /// Who may open it.
    pub access: Access,
}

impl Publication {
    /// The name on the wire.
    #[must_use]
    pub fn name(&self) -> String {
        port_name(self.port, self.udp, self.plain)
    }

    /// The service, as people write it.
    #[must_use]
    pub fn target(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.target_port)
        } else {
            format!("{}:{}", self.host, self.target_port)
        }
    }
}

/// Hears of openings that fail: opener, port name and reason. Not generic: each
/// kind would bring a copy of all that follows.
pub type Failed = Arc<dyn Fn(Address, &str, &End) + Send + Sync>;

/// Publishes and serves until the device is over. Openings that fail are
/// reported to `failed`.
pub async fn serve(
    device: Device,
    publications: Vec<Publication>,
    executor: Arc<Executor<'static>>,
    failed: Failed,
) {
    let by_name: Map<String, Arc<Publication>> = publications
        .into_iter()
        .map(|p| (p.name(), Arc::new(p)))
        .collect();
    for (name, publication) in &by_name {
        device.publish(name, publication.access.list());
    }
    while let Some(offer) = device.accept().await {
        let Some(publication) = by_name.get(offer.name()).cloned() else {
            offer.refuse(Code::NOT_PUBLISHED, "the device does not publish this port");
            continue;
        };
        let (device, failed) = (device.clone(), failed.clone());
        task::spawn(&executor, async move {
            let (opener, name) = (offer.opener(), offer.name().to_owned());
            match join(&device, offer, &publication).await {
                Err(end) if is_news(&end) => failed(opener, &name, &end),
                Err(end) => log::debug!("{name} of {opener} ended: {end}"),
                Ok(()) => {}
            }
        })
        .detach();
    }
}

async fn join(device: &Device, offer: Offer, publication: &Publication) -> Result<(), End> {
    let name = offer.name().to_owned();
    let tunnel = offer
        .accept(|who| publication.access.check(who, &name))
        .await?;
    let _open = OpenGuard::new(device);
    if publication.udp {
        return join_udp(device, tunnel, publication).await;
    }
    let (host, port) = (&publication.host, publication.target_port);
    match dial(host, port, Tuning::LOCAL).await {
        Ok(socket) => Splice::new(socket, tunnel).await.map(|_| ()),
        Err(reason) => {
            let text = unreachable(publication, &reason);
            tunnel.give_up(Code::TARGET, &text);
            Err(End::new(Code::TARGET, text))
        }
    }
}

fn unreachable(publication: &Publication, reason: &str) -> String {
    format!("the target {} of the port: {reason}", publication.target())
}

async fn join_udp(device: &Device, tunnel: Tunnel, publication: &Publication) -> Result<(), End> {
    let socket = match bind_towards(publication).await {
        Ok(socket) => socket,
        Err(reason) => {
            let text = unreachable(publication, &reason);
            tunnel.give_up(Code::TARGET, &text);
            return Err(End::new(Code::TARGET, text));
        }
    };
    let port = if publication.plain {
        DatagramPort::Plain(tunnel.into_port())
    } else {
        DatagramPort::sealed(tunnel)
    };
    carry(LocalFlow::Connected(socket), port, device.clock()).await
}

async fn bind_towards(publication: &Publication) -> Result<Async<UdpSocket>, String> {
    let mut last = String::new();
    for address in addresses(&publication.host, publication.target_port).await? {
        let any: SocketAddr = if address.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            ([0u16; 8], 0).into()
        };
        let bound =
            Async::<UdpSocket>::bind(any).and_then(|s| s.get_ref().connect(address).map(|()| s));
        match bound {
            Ok(socket) => return Ok(socket),
            Err(e) => last = e.to_string(),
        }
    }
    Err(last)
}
