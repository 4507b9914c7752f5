//! Where the chain is, and whom to believe that it is there.

use crate::task;
use crate::time::Clock;
use crate::tls::{web_client, TlsError, WebClient};
use std::fmt;
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

/// A place of HTTP. Its path may hold the key of a provider's customer, so it is
/// never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// Over TLS.
    pub https: bool,
    /// Name or address, in lower case, without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
    /// Begins with `/`; the query is part of it.
    pub path: String,
}

impl Place {
    /// What a request's Host says.
    pub(super) fn authority(&self) -> String {
        let usual = if self.https { 443 } else { 80 };
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == usual {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

/// Without the path.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// TLS towards the chain, with the authorities of `file` or of the system. Read
/// where it may block.
pub(super) async fn trust(
    file: Option<PathBuf>,
    clock: Arc<dyn Clock>,
) -> Result<WebClient, String> {
    let (path, pem) = task::unblock(move || read(file.as_deref())).await?;
    web_client(&pem, clock).map_err(|error| match error {
        TlsError::NoCertificate => format!(
            "{} holds no certificate of an authority; name another file by chain.ca_file",
            path.display()
        ),
        error => error.to_string(),
    })
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
    fn the_key_in_a_providers_path_is_never_shown() {
        let mut place = Place {
            https: true,
            host: "rpc.example".into(),
            port: 443,
            path: "/v2/secret".into(),
        };
        assert_eq!(place.to_string(), "https://rpc.example");
        place.port = 8545;
        assert_eq!(format!("{place:?}"), "https://rpc.example:8545");
        place.host = "::1".into();
        assert_eq!(place.authority(), "[::1]:8545");
    }

    #[test]
    fn a_file_of_authorities_that_is_missing_is_named() {
        let missing = Path::new("/nonexistent/ca.pem");
        let error = read(Some(missing)).unwrap_err();
        assert!(error.contains("chain.ca_file") && error.contains("/nonexistent/ca.pem"));
    }
}
