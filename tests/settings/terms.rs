//! What devices are told, and which of them are served.

use super::{info, node_with};
use crate::common::raw::{key, Raw};
use crate::common::*;
use chr_node::edge::ALPN;
use chr_node::tls::{Version, Versions};
use chr_node::wire::control::{
    ErrorAnswer, Publish, Published, TicketAccepted, TicketAsk, Welcome,
};

fn welcome(node: &Node) -> Welcome {
    Raw::greeted(node, &key()).terms.take().unwrap()
}

pub fn profile() {
    let (_home, node) = node_with(&[("CHR_NODE__PROFILE", "router")]);
    assert_eq!(info(&node)["profile"], "router");
    assert_eq!(welcome(&node).max_ports, 256);
    drop(node);
    // One that was not asked for is named, too.
    let (_home, node) = node_with(&[]);
    let chosen = info(&node)["profile"].as_str().unwrap().to_owned();
    assert!(["raspberry-pi", "router", "android", "server"].contains(&&*chosen));
}

pub fn tls_versions() {
    let dial = |node: &Node, versions| {
        Raw::try_connect(node.edge(), &key(), &[ALPN], versions).map(|raw| raw.version())
    };
    let (_home, node) = node_with(&[("CHR_SECURITY__TLS_VERSIONS", "1.3")]);
    assert_eq!(dial(&node, Versions::Both), Ok(Some(Version::Tls13)));
    assert!(dial(&node, Versions::Only12).is_err());
    drop(node);
    let (_home, node) = node_with(&[("CHR_SECURITY__TLS_VERSIONS", "1.2")]);
    assert_eq!(dial(&node, Versions::Both), Ok(Some(Version::Tls12)));
}

pub fn require_tickets() {
    let (_home, node) = node_with(&[("CHR_SECURITY__REQUIRE_TICKETS", "false")]);
    let mut raw = Raw::greeted(&node, &key());
    assert!(!raw.terms.as_ref().unwrap().tickets_required);
    raw.request(&Publish {
        name: "tcp:80".into(),
        allow: None,
    });
    raw.expect::<Published>();
}

const FLEET: &str = "0x00000000000000000000000000000000000000f1";

/// The answer to a ticket for the fleet that the node names.
fn admission(settings: &[(&str, &str)]) -> Result<TicketAccepted, ErrorAnswer> {
    let (_home, node) = node_with(settings);
    let mut raw = Raw::greeted(&node, &key());
    let ask: TicketAsk = raw.expect();
    let ticket = raw.sign(ask.epoch, 1 << 30);
    raw.request(&ticket);
    let frame = raw.next().unwrap();
    match frame.kind == <ErrorAnswer as chr_node::wire::control::Message>::KIND {
        true => Err(frame.read()),
        false => Ok(frame.read()),
    }
}

pub fn fleet_allowlist() {
    let allow = ("CHR_SECURITY__FLEET_ALLOWLIST", FLEET);
    let refusal = admission(&[allow]).unwrap_err();
    assert!(refusal.text.contains("fleet"), "{}", refusal.text);
    admission(&[allow, ("CHR_TICKETS__FLEET", FLEET)]).unwrap();
}

pub fn chain_id() {
    let (_home, node) = node_with(&[("CHR_TICKETS__CHAIN_ID", "15")]);
    assert_eq!(welcome(&node).chain_id, 15);
    // It is also the one that tickets are judged by: `sign` takes it from there.
    Raw::admitted(&node, &key(), 1 << 30);
}

pub fn fleet() {
    let (_home, node) = node_with(&[("CHR_TICKETS__FLEET", FLEET)]);
    assert_eq!(welcome(&node).fleet.to_string(), FLEET);
}

pub fn grace_bytes() {
    let (_home, node) = node_with(&[("CHR_TICKETS__GRACE_BYTES", "3M")]);
    assert_eq!(welcome(&node).grace_bytes, 3 << 20);
}
