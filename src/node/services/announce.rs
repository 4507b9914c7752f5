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

/// Writes `run.json` where there is a folder for it and none is there yet.
pub(super) fn write_run_file(house: &House) -> Result<(), String> {
    let place = house.run_file.lock();
    let mut place = place.unwrap_or_else(PoisonError::into_inner);
    let Some(folder) = house.data_dir().filter(|_| place.is_none()) else {
        return Ok(());
    };
    let rpc = house.rpc.places.first().copied();
    let peer = house.network.sockets.places.first().copied();
    let rpcs = house.rpcs.places.first().copied();
    let file = RunFile::write(&folder, house.node, &house.edge.places, peer, rpc, rpcs);
    *place = Some(file.map_err(|e| format!("{}: {e}", folder.display()))?);
    Ok(())
}

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
            if let Err(e) = write_run_file(house) {
                // A disk that is full or read-only; health says so if it matters.
                log::warn!("cannot write run.json: {e}; until it can be, scripts will not find this node's ports");
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
