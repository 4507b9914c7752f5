//! HTTPS: its port, and the files of its certificate.

use super::node_with;
use crate::common::secure::{fingerprint, secure};
use crate::common::tools::*;
use crate::common::*;
use chr_node::tls::WebPair;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

/// The answer of `/ready` by HTTPS.
fn ready(node: &Node) -> String {
    let mut connection = secure(node.rpcs(), &crate::common::secure::config());
    let request = b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    connection.write_all(request).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

pub fn rpcs_port() {
    let (_home, node) = node_with(&[("RPCS_PORT", "off")]);
    assert!(node.run["rpcs"].is_null());
    drop(node);
    // HTTPS alone, and the same certificate after a restart.
    let (home, node) = node_with(&[("RPCS_PORT", "0"), ("RPC_PORT", "off")]);
    assert!(ready(&node).ends_with("{\"ready\":true}"));
    let first = fingerprint(node.rpcs());
    until(SOON, "the fingerprint is told", || {
        node.program.stderr().contains(&first).then_some(())
    });
    drop(node);
    let node = Node::start_with(home.path(), &[("RPCS_PORT", "0")]);
    assert_eq!(fingerprint(node.rpcs()), first);
    let told = node.ask("node_status");
    assert_eq!(told["https"]["fingerprint"], first);
    assert_eq!(told["https"]["self_signed"], true);
}

/// A new certificate and its key, in these files.
fn write_pair(certificate: &Path, key: &Path) -> String {
    let pair = WebPair::self_signed("test", &["localhost".to_owned()], &[]).unwrap();
    fs::write(certificate, pair.certificates_pem()).unwrap();
    fs::write(key, pair.key_pem().as_str()).unwrap();
    pair.fingerprint()
}

pub fn rpcs_certificate() {
    // Both in one file.
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("both.pem");
    let pair = WebPair::self_signed("test", &[], &[]).unwrap();
    let text = format!("{}{}", pair.certificates_pem(), pair.key_pem().as_str());
    fs::write(&file, text).unwrap();
    let settings = [
        ("RPCS_PORT", "0"),
        ("CHR_NETWORK__RPCS_CERTIFICATE", file.to_str().unwrap()),
    ];
    let node = Node::start_with(&home.path().join("data"), &settings);
    assert_eq!(fingerprint(node.rpcs()), pair.fingerprint());
    assert_eq!(node.ask("node_status")["https"]["self_signed"], false);
    assert!(!home.path().join("data/https.pem").exists());
}

pub fn rpcs_key() {
    let home = tempfile::tempdir().unwrap();
    let (certificate, key) = (home.path().join("a.crt"), home.path().join("a.key"));
    let first = write_pair(&certificate, &key);
    let settings = [
        ("RPCS_PORT", "0"),
        (
            "CHR_NETWORK__RPCS_CERTIFICATE",
            certificate.to_str().unwrap(),
        ),
        ("CHR_NETWORK__RPCS_KEY", key.to_str().unwrap()),
    ];
    let node = Node::start_with(&home.path().join("data"), &settings);
    assert_eq!(fingerprint(node.rpcs()), first);
    // Half of a renewal: the old one stays, and the reason is told.
    let other = WebPair::self_signed("test", &[], &[]).unwrap();
    fs::write(&certificate, other.certificates_pem()).unwrap();
    node.program.signal("-HUP");
    until(SOON, "health tells of the broken pair", || {
        let health = node.ask("node_status")["health"].to_string();
        (health.contains("belong together") && health.contains("degraded")).then_some(())
    });
    assert_eq!(fingerprint(node.rpcs()), first);
    assert!(ready(&node).contains("200"));
    assert!(node.program.stderr().contains("from before stays in force"));
    // The other half; found without a signal, on the node's tick.
    fs::write(&key, other.key_pem().as_str()).unwrap();
    until(SOON * 3, "the new certificate is shown", || {
        (fingerprint(node.rpcs()) == other.fingerprint()).then_some(())
    });
    until(SOON, "health is well again", || {
        (node.ask("node_status")["health"]["status"] == "ok").then_some(())
    });
}
