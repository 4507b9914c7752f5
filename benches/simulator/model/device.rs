//! Devices, as far as the DHT sees them: the presences that their nodes publish.

use super::machine::Machine;
use super::seal::CheapSeal;
use super::world::World;
use chr_node::dht::Record;
use chr_node::identity::{keccak256, Address};
use chr_node::time::Moment;
use chr_node::wire::presence::{DevicePresence, Presence, UNTIL_MAX, VALID_MAX};

/// One device and where it is.
pub struct Device {
    seal: CheapSeal,
    /// Machines that it has a session with, the first in use, the next warm.
    pub nodes: Vec<usize>,
    /// The time that it said last to each of them.
    said: Vec<DevicePresence>,
    last: u64,
}

impl Device {
    pub fn new(id: Address) -> Device {
        Device {
            seal: CheapSeal(id),
            nodes: Vec::new(),
            said: Vec::new(),
            last: 0,
        }
    }

    /// The key of its presences.
    pub fn key(&self) -> Address {
        key(2, &self.seal.0 .0)
    }

    /// A session with a node begins: the device signs that it is there.
    pub fn attach(&mut self, number: usize, machine: &mut Machine, now: Moment) {
        let unix = machine.signing_time(now);
        // The node's answer to Hello tells the device the last time that it said.
        let t = unix.max(self.last + 1);
        self.last = t;
        let (device, node, not_after) = (self.seal.0, machine.id(), t + VALID_MAX);
        let mut said = DevicePresence {
            device,
            node,
            t,
            not_after,
            device_sig: self.seal.sign65(&[0; 32]),
        };
        said.device_sig = self.seal.sign65(&said.digest());
        self.nodes.push(number);
        self.said.push(said);
    }

    /// A session has ended.
    pub fn detach(&mut self, number: usize) {
        if let Some(at) = self.nodes.iter().position(|n| *n == number) {
            self.nodes.remove(at);
            self.said.remove(at);
        }
    }

    /// What the node publishes for it now.
    pub fn record(&self, number: usize, machine: &mut Machine, now: Moment) -> Option<Record> {
        let at = self.nodes.iter().position(|n| *n == number)?;
        let until = machine.signing_time(now) + UNTIL_MAX;
        let presence = self.said[at].countersign(until, |digest| machine.seal.sign65(digest));
        Some(Record {
            kind: 2,
            bytes: presence.encode(),
        })
    }
}

/// Publishes the presence of a device at one of its nodes.
pub fn publish(world: &mut World, device: &Device, machine: usize, tag: u64) -> bool {
    let now = world.now;
    match device.record(machine, &mut world.machines[machine], now) {
        Some(record) => world.publish(machine, record, tag),
        None => false,
    }
}

/// The nodes that records of a device name, the newest first.
pub fn nodes_of(records: &[Record]) -> Vec<Address> {
    let read = records
        .iter()
        .filter_map(|r| Presence::decode(&r.bytes).ok());
    read.map(|presence| presence.node).collect()
}

/// A value that is found by its hash, and its key.
pub fn value(bytes: Vec<u8>) -> (Record, Address) {
    let key = key(3, &keccak256(&[&bytes]));
    (Record { kind: 3, bytes }, key)
}

fn key(kind: u8, subject: &[u8]) -> Address {
    let hash = keccak256(&[&[kind], subject]);
    let mut key = [0; 20];
    key.copy_from_slice(&hash[12..]);
    Address(key)
}
