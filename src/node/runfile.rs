//! `DATA_DIR/run.json`: which process listens where, for scripts and tests.

use crate::identity::Address;
use serde::Serialize;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

#[derive(Serialize)]
struct Content {
    pid: u32,
    node_id: Address,
    edge: Vec<String>,
    peer: Option<String>,
    rpc: Option<String>,
    rpcs: Option<String>,
}

/// The file; removed when it is dropped.
#[derive(Debug)]
pub struct RunFile {
    path: PathBuf,
}

impl RunFile {
    /// Writes the file, replacing a stale one as a whole.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(
        data_dir: &Path,
        node: Address,
        edge: &[SocketAddr],
        peer: Option<SocketAddr>,
        rpc: Option<SocketAddr>,
        rpcs: Option<SocketAddr>,
    ) -> io::Result<RunFile> {
        let mut dialable: Vec<String> = Vec::new();
        for place in edge {
            let text = dial(*place).to_string();
            if !dialable.contains(&text) {
                dialable.push(text);
            }
        }
        let content = Content {
            pid: std::process::id(),
            node_id: node,
            edge: dialable,
            peer: peer.map(|p| dial(p).to_string()),
            rpc: rpc.map(|r| dial(r).to_string()),
            rpcs: rpcs.map(|r| dial(r).to_string()),
        };
        let path = data_dir.join("run.json");
        let fresh = data_dir.join("run.json.new");
        let mut text = serde_json::to_string(&content).map_err(io::Error::other)?;
        text.push('\n');
        // Not synced: the file only speaks of a process that a power cut ends.
        let written = fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &path));
        if let Err(error) = written {
            // On a full disk there may be half of one.
            let _ = fs::remove_file(&fresh);
            return Err(error);
        }
        Ok(RunFile { path })
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_file(&self.path) {
            log::warn!("cannot remove {}: {e}", self.path.display());
        }
    }
}

/// A wildcard cannot be dialled; loopback reaches the same listener.
#[must_use]
pub fn dial(place: SocketAddr) -> SocketAddr {
    let ip = match place.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, place.port())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_stale_file_is_replaced_and_ours_is_gone_when_we_stop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.json");
        fs::write(&path, "stale").unwrap();
        let edge = [
            "0.0.0.0:41046".parse().unwrap(),
            "[::]:41046".parse().unwrap(),
        ];
        let file = RunFile::write(dir.path(), Address([1; 20]), &edge, None, None, None).unwrap();
        let json: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let edge: Vec<_> = json["edge"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_str().unwrap())
            .collect();
        assert_eq!(edge, ["127.0.0.1:41046", "[::1]:41046"]);
        assert!(json["rpc"].is_null() && json["peer"].is_null() && json["rpcs"].is_null());
        drop(file);
        assert!(!path.exists());
    }
}
