//! Whom to believe that the chain is there: TLS with the authorities of the web.

use crate::task;
use crate::time::Clock;
use crate::tls::{web_client, Channel, TlsError, WebClient};
use async_io::Async;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where systems keep the certificates of authorities: Debian and Alpine and
/// OpenWrt, Red Hat, SUSE, FreeBSD, Termux, macOS.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
    "/data/data/com.termux/files/usr/etc/tls/cert.pem",
];

/// Longest bundle in bytes; the usual one has 220,000.
const BUNDLE_MAX: u64 = 4 << 20;

/// Bytes that are read at a time.
const CHUNK: usize = 4 * 1024;

/// Makes TLS towards the chain. Clones share it.
#[derive(Clone)]
pub(super) struct Trust(WebClient);

impl Trust {
    /// With the authorities of `file` or of the system, read where it may block.
    pub async fn read(file: Option<PathBuf>, clock: Arc<dyn Clock>) -> Result<Trust, String> {
        let (path, pem) = task::unblock(move || read(file.as_deref())).await?;
        let client = web_client(&pem, clock).map_err(|error| match error {
            TlsError::NoCertificate => format!(
                "{} holds no certificate of an authority; name another file by chain.ca_file",
                path.display()
            ),
            error => error.to_string(),
        });
        client.map(Trust)
    }

    /// Shakes hands with `host`, which `socket` leads to.
    pub async fn shake(self, socket: &mut Async<TcpStream>, host: &str) -> Result<Channel, String> {
        let words = |e: &dyn std::fmt::Display| e.to_string();
        let mut channel = self.0.channel(host).map_err(|e| words(&e))?;
        let mut out = Vec::new();
        channel.start(&mut out).map_err(|e| words(&e))?;
        let mut buffer = vec![0; CHUNK];
        loop {
            let sent = socket.write_all(&out).await;
            sent.map_err(|e| words(&e))?;
            out.clear();
            if !channel.is_handshaking() {
                return Ok(channel);
            }
            let length = socket.read(&mut buffer).await.map_err(|e| words(&e))?;
            if length == 0 {
                return Err("it closed the connection during the TLS handshake".to_owned());
            }
            let input = buffer.get_mut(..length).unwrap_or_default();
            // Nothing of use comes before the question.
            let received = channel.receive(input, &mut out, &mut |_| ());
            if let Err(error) = received {
                let _ = socket.write_all(&out).await;
                let why = words(&error);
                return Err(if why.contains("UnknownIssuer") {
                    format!("{why}: name the file of its authority by chain.ca_file")
                } else {
                    why
                });
            }
        }
    }
}

fn read(file: Option<&Path>) -> Result<(PathBuf, Vec<u8>), String> {
    use std::io::Read;
    let open = |path: &Path| {
        let mut pem = Vec::new();
        let mut bounded = std::fs::File::open(path)?.take(BUNDLE_MAX);
        bounded.read_to_end(&mut pem).map(|_| pem)
    };
    if let Some(path) = file {
        return match open(path) {
            Ok(pem) => Ok((path.to_owned(), pem)),
            Err(e) => Err(format!("chain.ca_file: {}: {e}", path.display())),
        };
    }
    let mut found = BUNDLES.iter().map(Path::new);
    found
        .find_map(|path| open(path).ok().map(|pem| (path.to_owned(), pem)))
        .ok_or_else(|| {
            format!(
                "this system has no certificates of authorities ({} and others were tried); install its package ca-certificates, or name a file by chain.ca_file",
                BUNDLES[0]
            )
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_of_authorities_that_is_missing_is_named() {
        let missing = Path::new("/nonexistent/ca.pem");
        let error = read(Some(missing)).unwrap_err();
        assert!(error.contains("chain.ca_file") && error.contains("/nonexistent/ca.pem"));
    }
}
