//! Devices' programs that are expected to fail, and what they say.

use super::tools::run;
use super::{chr_node, Device, Node, SOON};
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An identity file; path and address.
pub fn identity(home: &Path, name: &str) -> (PathBuf, String) {
    let file = home.join(name);
    let made = run(
        chr_node()
            .args(["identity", "new", "--identity"])
            .arg(&file),
        SOON,
    );
    assert_eq!(made.code, 0, "{}", made.err);
    (file, made.out.trim().to_owned())
}

/// `chr-node publish` with an identity that exists, so that nothing but errors
/// is said.
pub fn publish(home: &Path, name: &str, spec: &str, more: &[&str]) -> Command {
    let file = home.join(format!("{name}.key"));
    if !file.exists() {
        identity(home, &format!("{name}.key"));
    }
    let mut command = chr_node();
    command.args(["publish", spec]).args(more);
    command.arg("--identity").arg(file);
    command
}

/// Connects to a forwarded port that must not work; the reason that the
/// program tells, and what the local program sees.
pub fn refusal(forwarder: &Device, listen: SocketAddr) -> String {
    let mut stream = TcpStream::connect(listen).unwrap();
    let seen = stream.read(&mut [0]).map_err(|e| e.kind());
    assert_eq!(seen, Err(ErrorKind::ConnectionReset));
    let event = forwarder.expect("refused");
    event["reason"].as_str().unwrap().to_owned()
}

/// The refusal that a forward to this target meets.
pub fn refused_at(home: &Path, node: &Node, target: &str, more: &[&str]) -> String {
    let (forwarder, listen) =
        Device::forward(home, "f", &node.address(), "127.0.0.1:0", target, more);
    refusal(&forwarder, listen)
}
