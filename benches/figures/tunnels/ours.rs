//! Our own: a node, `publish` and `forward`.

use super::{Side, Tunnel};
use crate::programs::{folder, DeviceProgram, Node};
use tempfile::TempDir;

/// A node, and a local port of one device that leads to one of another.
pub struct Route {
    node: Node,
    publisher: DeviceProgram,
    forwarder: DeviceProgram,
    listen: String,
    _home: TempDir,
}

impl Route {
    /// To a TCP port of this machine; `options` go to both devices.
    pub fn open(port: u16, options: &[&str]) -> Result<Route, String> {
        let home = folder();
        let node = Node::start(home.path());
        let device = |args: &[&str]| {
            let args = [args, options].concat();
            DeviceProgram::start(home.path(), &node.address, &args)
        };
        let publisher = device(&["publish", &format!("{port}=8080:public")]);
        let target = format!("{}:8080", publisher.ready["device"].as_str().unwrap());
        let forwarder = device(&["forward", "127.0.0.1:0", &target]);
        let listen = forwarder.ready["listen"].as_str().unwrap().to_owned();
        Ok(Route {
            node,
            publisher,
            forwarder,
            listen,
            _home: home,
        })
    }
}

impl Tunnel for Route {
    fn place(&self) -> &str {
        &self.listen
    }

    fn pids(&self, side: Side) -> Vec<u32> {
        vec![match side {
            Side::Near => self.forwarder.program.pid(),
            Side::Middle => self.node.program.pid(),
            Side::Far => self.publisher.program.pid(),
        }]
    }
}
