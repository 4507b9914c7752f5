//! Tells the world that the node serves: `run.json` for scripts, `READY=1` for
//! init, two lines for people. Once; addresses do not change while it runs.

use crate::node::error::NodeError;
use crate::node::house::House;
use crate::node::runfile::RunFile;
use crate::node::supervisor::{Beats, End, Later, Restart, Running, Service};
use crate::platform::notify;
use smol::future::FutureExt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// See the module's text.
pub struct Announce(pub Arc<House>);

impl Service for Announce {
    fn name(&self) -> &'static str {
        "announce"
    }

    fn restart(&self) -> Restart {
        Restart::Temporary
    }

    fn start<'a>(&'a self, _: &'a mut Beats) -> Later<'a, Result<Running, NodeError>> {
        async move {
            let house = &self.0;
            house.ready.store(true, Ordering::Relaxed);
            for line in house.greeting() {
                log::info!("{line}");
            }
            if let Some(folder) = house.data_dir() {
                let rpc = house.rpc.places.first().copied();
                let peer = house.network.sockets.places.first().copied();
                let rpcs = house.rpcs.places.first().copied();
                match RunFile::write(&folder, house.node, &house.edge.places, peer, rpc, rpcs) {
                    Ok(file) => {
                        let mut place = house
                            .run_file
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner);
                        *place = Some(file);
                    }
                    // A disk that is full or read-only; health says so if it matters.
                    Err(e) => log::warn!(
                        "cannot write run.json in {}: {e}; scripts will not find this node's ports",
                        folder.display()
                    ),
                }
            }
            notify::ready();
            Ok(std::future::ready(End::Done).boxed())
        }
        .boxed()
    }

    /// What was said stays true through restarts of the others.
    fn stop(&self) -> Later<'_, ()> {
        std::future::ready(()).boxed()
    }
}
