//! Sockets for other nodes, kept through restarts of what reads them.

use crate::node::error::NodeError;
use crate::platform::listen::listen_both;
use crate::platform::udp::Datagrams;
use async_io::Async;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

/// TCP and UDP on one port; empty where that is off.
#[derive(Debug, Default)]
pub struct PeerSockets {
    pairs: Vec<(TcpListener, Datagrams)>,
    /// Where they listen.
    pub places: Vec<SocketAddr>,
}

impl PeerSockets {
    /// Takes the port of `network.peer_port` on all addresses.
    ///
    /// # Errors
    /// The first address that cannot be had.
    pub fn open(addresses: &[IpAddr], port: Option<u16>) -> Result<PeerSockets, NodeError> {
        let Some(port) = port else {
            return Ok(PeerSockets::default());
        };
        let pairs = listen_both(addresses, port)?;
        let places = pairs.iter().map(|(_, datagrams)| datagrams.place());
        Ok(PeerSockets {
            places: places.collect(),
            pairs,
        })
    }

    /// Whether this node talks to others at all.
    #[must_use]
    pub fn are_off(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The one port number.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.places.first().map(SocketAddr::port)
    }

    /// The listeners once more, for a service that begins to accept.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn listeners(&self) -> Result<Vec<Async<TcpListener>>, NodeError> {
        let listeners = self.pairs.iter().map(|(listener, _)| listener);
        let again = listeners.map(|listener| listener.try_clone().and_then(Async::new));
        self.or_broken(again.collect())
    }

    /// The sockets for datagrams once more.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn datagrams(&self) -> Result<Vec<Datagrams>, NodeError> {
        let sockets = self.pairs.iter().map(|(_, datagrams)| datagrams);
        self.or_broken(sockets.map(Datagrams::try_clone).collect())
    }

    fn or_broken<T>(&self, result: io::Result<T>) -> Result<T, NodeError> {
        let port = self.port().unwrap_or(0);
        result.map_err(|e| NodeError::System(format!("the sockets of port {port}"), e))
    }
}
