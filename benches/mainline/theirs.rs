//! A hundred nodes of the crate `mainline`: its own Testnet, each node a thread.

use super::figures::{Network, NODES};
use mainline::async_dht::AsyncDht;
use mainline::{Id, Testnet};

pub struct Theirs {
    nodes: Vec<AsyncDht>,
    /// Stops the nodes when dropped.
    _testnet: Testnet,
}

impl Theirs {
    /// A network whose tables are full from the start.
    pub fn new() -> std::io::Result<Theirs> {
        let testnet = Testnet::builder(NODES).build()?;
        let nodes = testnet.nodes.iter().cloned().map(|n| n.as_async());
        Ok(Theirs {
            nodes: nodes.collect(),
            _testnet: testnet,
        })
    }
}

impl Network for Theirs {
    type Key = Id;

    fn put(&mut self, node: usize, value: Vec<u8>) -> Option<Id> {
        smol::block_on(self.nodes[node].put_immutable(&value)).ok()
    }

    fn get(&mut self, node: usize, key: &Id) -> Option<Vec<u8>> {
        smol::block_on(self.nodes[node].get_immutable(*key)).map(Vec::from)
    }
}
