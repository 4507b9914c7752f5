//! Without the feature `chain-https`: nobody is believed, so no TLS is ever spoken.
//! Settings that need it are refused before it comes to this.

use crate::time::Clock;
use crate::tls::Channel;
use async_io::Async;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

/// There is none.
#[derive(Clone)]
pub(super) enum Trust {}

impl Trust {
    /// Says why not.
    pub async fn read(_: Option<PathBuf>, _: Arc<dyn Clock>) -> Result<Trust, String> {
        Err("this build speaks no https to a chain (feature chain-https)".to_owned())
    }

    /// Cannot be called.
    pub async fn shake(self, _: &mut Async<TcpStream>, _: &str) -> Result<Channel, String> {
        match self {}
    }
}
