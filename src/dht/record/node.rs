//! Kind 1: where a node is and what it can do, signed by itself.
//!
//! ```text
//! record    RLP([node, seq, until, [[ip, port]…], [edge port…], capabilities, name, sig])
//! signed    keccak256("chr-node-record/1" || RLP of the list without sig)
//! ```

use super::Refusal;
use crate::dht::seal::{Seal, Verify};
use crate::identity::{keccak256, Address, Signature};
use crate::wire::dht::{read_place, write_place};
use crate::wire::rlp::{Encoder, Item};
use std::net::SocketAddr;

/// Most addresses, and most edge ports: both families on a few lines. More would
/// let one record send an asker to many places.
pub const PLACES_MAX: usize = 8;
/// Longest name in bytes: a line in a list.
pub const NODE_NAME_MAX: usize = 64;

const DOMAIN: &[u8] = b"chr-node-record/1";

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// Who.
    pub node: Address,
    /// The higher number is the newer record: `max(last + 1, network time)`.
    pub seq: u64,
    /// Unix seconds at which it ends; at most a day after signing.
    pub until: u64,
    /// The peer port, UDP and TCP, at each outside address; one to eight.
    pub places: Vec<SocketAddr>,
    /// Ports for devices at the same addresses; at most eight.
    pub edge_ports: Vec<u16>,
    /// Bits; none is defined.
    pub capabilities: u64,
    /// The operator's name for it, at most 64 bytes; may be empty.
    pub name: String,
}

impl NodeRecord {
    fn write(&self, out: &mut Encoder) {
        out.bytes(&self.node.0).u64(self.seq).u64(self.until);
        out.list(|out| self.places.iter().for_each(|at| write_place(out, at)));
        out.list(|out| {
            for port in &self.edge_ports {
                out.u64(u64::from(*port));
            }
        });
        out.u64(self.capabilities).bytes(self.name.as_bytes());
    }

    fn digest(&self) -> [u8; 32] {
        let mut out = Encoder::new();
        out.list(|out| self.write(out));
        keccak256(&[DOMAIN, &out.finish()])
    }

    /// Signs it. What lies beyond the bounds of the fields makes a record that
    /// nobody takes, us included.
    pub(super) fn sign(&self, seal: &dyn Seal) -> Vec<u8> {
        let signature = seal.sign65(&self.digest());
        let mut out = Encoder::new();
        out.list(|out| {
            self.write(out);
            out.bytes(&signature.0);
        });
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<(NodeRecord, Signature), Refusal> {
        let form = |_| Refusal::Form;
        let [node, seq, until, places, edge_ports, capabilities, name, signature] =
            Item::parse(bytes)
                .and_then(|item| item.tuple())
                .map_err(form)?;
        let mut record = NodeRecord {
            node: Address(node.array().map_err(form)?),
            seq: seq.u64().map_err(form)?,
            until: until.u64().map_err(form)?,
            places: Vec::new(),
            edge_ports: Vec::new(),
            capabilities: capabilities.u64().map_err(form)?,
            name: String::new(),
        };
        for place in places.items().map_err(form)?.take(PLACES_MAX + 1) {
            let at = read_place(place).map_err(|_| Refusal::Form)?;
            record.places.push(at);
        }
        for port in edge_ports.items().map_err(form)?.take(PLACES_MAX + 1) {
            let port = u16::try_from(port.u64().map_err(form)?);
            record.edge_ports.push(port.map_err(|_| Refusal::Form)?);
        }
        let name = std::str::from_utf8(name.bytes().map_err(form)?);
        let name = name.map_err(|_| Refusal::Form)?;
        let fits = (1..=PLACES_MAX).contains(&record.places.len())
            && record.edge_ports.len() <= PLACES_MAX
            && record.edge_ports.iter().all(|port| *port != 0)
            && name.len() <= NODE_NAME_MAX
            // It is shown in terminals and on pages.
            && !name.chars().any(char::is_control);
        if !fits {
            return Err(Refusal::Form);
        }
        name.clone_into(&mut record.name);
        Ok((record, Signature(signature.array().map_err(form)?)))
    }

    pub(super) fn check(&self, by: &Signature, verify: &dyn Verify) -> Result<(), Refusal> {
        if verify.recover65(&self.digest(), by) == Some(self.node) {
            Ok(())
        } else {
            Err(Refusal::Signature)
        }
    }
}
