//! The sockets that a node listens on.

use super::error::NodeError;
use crate::platform::listen::listen_all;
use async_io::Async;
use std::net::{IpAddr, SocketAddr, TcpListener};

/// Listening sockets, kept through restarts of what accepts from them: devices
/// that come meanwhile wait in the kernel's queue.
#[derive(Debug, Default)]
pub struct Sockets {
    listeners: Vec<TcpListener>,
    /// Where they listen.
    pub places: Vec<SocketAddr>,
}

impl Sockets {
    /// Binds these ports on these addresses.
    ///
    /// # Errors
    /// One of them cannot be had.
    pub fn open(
        addresses: &[IpAddr],
        ports: impl IntoIterator<Item = u16>,
    ) -> Result<Sockets, NodeError> {
        let mut sockets = Sockets::default();
        for port in ports {
            for listener in listen_all(addresses, port)? {
                let place = listener.local_addr().map_err(|e| broken(port, e))?;
                sockets.places.push(place);
                sockets.listeners.push(listener);
            }
        }
        Ok(sockets)
    }

    /// The sockets once more, for a service that begins to accept.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn accepting(&self) -> Result<Vec<Async<TcpListener>>, NodeError> {
        self.listeners
            .iter()
            .zip(&self.places)
            .map(|(listener, place)| {
                listener
                    .try_clone()
                    .and_then(Async::new)
                    .map_err(|e| broken(place.port(), e))
            })
            .collect()
    }
}

fn broken(port: u16, e: std::io::Error) -> NodeError {
    NodeError::System(format!("the listener of port {port}"), e)
}
