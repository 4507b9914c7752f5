//! Devices, as far as the DHT sees them: the presences that their nodes publish.

use super::machine::{unix, Machine};
use super::seal::CheapSeal;
use super::world::World;
use chr_node::dht::record::{content_key, presence_key, Content, ContentValue};
use chr_node::dht::{Seal, ValidRecord};
use chr_node::identity::Address;
use chr_node::time::Moment;
use chr_node::wire::presence::{DevicePresence, UNTIL_MAX, VALID_MAX};

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
        presence_key(&self.seal.0)
    }

    /// A session with a node begins: the device signs that it is there.
    /// Its clock is right, as nodes' need not be.
    pub fn attach(&mut self, number: usize, machine: &mut Machine, now: Moment) {
        // The node's answer to Hello tells the device the last time that it said.
        let t = unix(now).max(self.last + 1);
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

    /// What the node publishes for it now; none while it does not know the time.
    pub fn record(&self, number: usize, machine: &mut Machine, now: Moment) -> Option<ValidRecord> {
        let at = self.nodes.iter().position(|n| *n == number)?;
        let until = machine.best_time(now)? + UNTIL_MAX;
        let presence = self.said[at].countersign(until, |digest| machine.seal.sign65(digest));
        ValidRecord::presence(&presence, &machine.seal).ok()
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
pub fn nodes_of(records: &[ValidRecord]) -> Vec<Address> {
    let contents = records.iter().filter_map(|r| r.content().ok());
    contents
        .filter_map(|content| match content {
            Content::Presence(presence) => Some(presence.node),
            _ => None,
        })
        .collect()
}

/// A value that is found by its hash, and its key. It holds for a day.
pub fn value(value: Vec<u8>, now: Moment) -> (ValidRecord, Address) {
    let key = content_key(&value);
    let until = unix(now) + 86_000;
    let record = ValidRecord::content_value(&ContentValue { until, value });
    (record.expect("a short value"), key)
}
