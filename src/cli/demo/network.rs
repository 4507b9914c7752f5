//! The node and the two devices, as three machines would have them.

use super::report::{Paid, Parties};
use super::Progress;
use crate::config::{Loaded, Settings};
use crate::edge::device::forwarder::{self, Forward, Listener};
use crate::edge::device::publisher::{self, Access, Publication};
use crate::edge::device::{Device, DeviceEvent, DeviceOptions, NodeAddress};
use crate::identity::{Address, SecretKey};
use crate::node::{IdentityChoice, Node, NodePlan};
use crate::task;
use crate::task::channel::{bounded, Receiver, Sender};
use async_io::Timer;
use smol::{future, Executor};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The port that is published: any number, it is a name on this node alone.
pub const PORT: u16 = 8080;

/// How often the accounts are looked at until all is counted.
const POLL: Duration = Duration::from_millis(10);

/// All that runs.
pub struct Network {
    node: Node,
    place: SocketAddr,
    server: Device,
    laptop: Device,
    listen: SocketAddr,
    /// Why a connection was refused or cut, when one is.
    trouble: Receiver<String>,
}

impl Network {
    /// Starts the node, then the devices, and waits until the port stands.
    /// `web` is the service that is published.
    ///
    /// # Errors
    /// Who could not start, and why.
    pub async fn start(
        web: SocketAddr,
        progress: &Progress,
        executor: &Arc<Executor<'static>>,
    ) -> Result<Network, String> {
        progress.at("the node");
        let node = Node::start(plan(), executor).await;
        let node = node.map_err(|e| e.to_string())?;
        let place = node.edge().first().copied();
        let place = place.ok_or("it listens nowhere")?;
        let (told, trouble) = bounded(1);
        let address = format!("{}@{place}", node.id());
        let at: NodeAddress = address.parse()?;
        progress.at("the server");
        let server = publish(&at, web, executor, told.clone()).await?;
        progress.at("the laptop");
        let (laptop, listen) = forward(&at, server.address(), executor, told).await?;
        Ok(Network {
            node,
            place,
            server,
            laptop,
            listen,
            trouble,
        })
    }

    /// Who takes part, and where.
    #[must_use]
    pub fn parties(&self, web: SocketAddr) -> Parties {
        Parties {
            node: self.node.id(),
            place: self.place,
            server: self.server.address(),
            web,
            laptop: self.laptop.address(),
            listen: self.listen,
        }
    }

    /// Keeps the node up while something is done with it.
    ///
    /// # Errors
    /// What that says, or why the network did not carry it.
    pub async fn serving<T>(
        &mut self,
        done: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        let node = async { Err(format!("the node failed: {}", self.node.watch().await)) };
        let cut = async {
            match self.trouble.recv().await {
                Ok(reason) => Err(reason),
                Err(_) => std::future::pending().await,
            }
        };
        // First, because it knows why a connection ended that `done` sees end.
        future::or(cut, future::or(node, done)).await
    }

    /// What each device has signed for, and what the node has counted, once that
    /// is `bytes` at least and stands: it counts behind the bytes, not before them.
    ///
    /// # Errors
    /// The node has no account of one of them.
    pub async fn paid(&self, bytes: u64) -> Result<[Paid; 2], String> {
        let mut before = self.accounts()?;
        loop {
            Timer::after(POLL).await;
            let now = self.accounts()?;
            if now == before && now.iter().all(|paid| paid.counted >= bytes) {
                return Ok(now);
            }
            before = now;
        }
    }

    fn accounts(&self) -> Result<[Paid; 2], String> {
        let of = |device: &Device, name: &str| {
            let account = self.node.account(device.address());
            let account =
                account.ok_or_else(|| format!("the node has no account of the {name}"))?;
            Ok::<_, String>(Paid {
                signed: account.total,
                counted: account.usage,
            })
        };
        Ok([of(&self.server, "server")?, of(&self.laptop, "laptop")?])
    }

    /// Takes it down in order.
    pub async fn stop(mut self) {
        self.laptop.leave().await;
        self.server.leave().await;
        self.node.stop().await;
    }
}

/// A node for devices of this machine alone. Settings of the environment are
/// not read: they are those of another node.
fn plan() -> NodePlan {
    let mut settings = Settings::default();
    settings.network.bind = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    settings.network.edge_ports = vec![0];
    settings.network.peer_port = None;
    settings.network.rpc_port = None;
    settings.network.rpcs_port = None;
    NodePlan {
        loaded: Loaded::of(settings),
        identity: IdentityChoice::Ephemeral,
    }
}

fn device(node: &NodeAddress, executor: &Arc<Executor<'static>>) -> Result<Device, String> {
    let options = DeviceOptions::new(SecretKey::generate(), vec![node.clone()]);
    Device::start(options, executor).map_err(|e| e.to_string())
}

/// As `chr-node publish` does it.
async fn publish(
    node: &NodeAddress,
    web: SocketAddr,
    executor: &Arc<Executor<'static>>,
    told: Sender<String>,
) -> Result<Device, String> {
    let server = device(node, executor)?;
    let publication = Publication {
        port: PORT,
        udp: false,
        plain: false,
        host: web.ip().to_string(),
        target_port: web.port(),
        access: Access::Public,
    };
    let serving = publisher::serve(
        server.clone(),
        vec![publication],
        executor.clone(),
        Arc::new(move |opener, name, end| {
            let _ = told.try_send(format!(
                "the server did not open {name} for {opener}: {end}"
            ));
        }),
    );
    task::spawn(executor, serving).detach();
    ready(&server).await?;
    Ok(server)
}

/// As `chr-node forward` does it.
async fn forward(
    node: &NodeAddress,
    target: Address,
    executor: &Arc<Executor<'static>>,
    told: Sender<String>,
) -> Result<(Device, SocketAddr), String> {
    let forward = Forward {
        target,
        port: PORT,
        udp: false,
        plain: false,
    };
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), false)?;
    let listen = listener.local_addr().map_err(|e| e.to_string())?;
    let laptop = device(node, executor)?;
    let name = forward.name();
    let serving = forwarder::serve(
        laptop.clone(),
        listener,
        forward,
        executor.clone(),
        Arc::new(move |end| {
            let _ = told.try_send(format!("the laptop cannot use {name} of the server: {end}"));
        }),
    );
    task::spawn(executor, serving).detach();
    ready(&laptop).await?;
    Ok((laptop, listen))
}

/// Waits until a ticket is accepted and the device's ports stand.
async fn ready(device: &Device) -> Result<(), String> {
    loop {
        match device.next_event().await {
            DeviceEvent::Ready { .. } => return Ok(()),
            // Others try again; here the node is in the same process.
            DeviceEvent::Trouble { reason }
            | DeviceEvent::Lost { reason }
            | DeviceEvent::Refused { reason, .. }
            | DeviceEvent::Over { reason } => return Err(reason),
            DeviceEvent::Back { .. } | DeviceEvent::Closed { .. } | DeviceEvent::Opens { .. } => {}
        }
    }
}
