//! HTTP. That it cannot start its worker degrades it alone; see [`crate::rpc`].

use crate::liveness::Beat;
use crate::node::error::NodeError;
use crate::node::events;
use crate::node::house::House;
use crate::node::supervisor::{Beats, End, Later, Restart, Running, Service};
use crate::parts::HTTPS;
use crate::rpc::{runtime_dirs, Door, DoorOptions, Limits};
use crate::task;
use smol::future::FutureExt;
use smol::Task;
use std::path::PathBuf;
use std::sync::Arc;

/// See the module's text.
pub struct Rpc(pub Arc<House>);

impl Rpc {
    fn folders(&self) -> Vec<PathBuf> {
        let settings = self.0.settings();
        let data_dir = &settings.storage.data_dir;
        let given = std::env::var_os("RUNTIME_DIRECTORY");
        let mut folders = runtime_dirs(given.as_deref(), data_dir);
        if self.0.is_ephemeral() {
            // Nothing is written on disk.
            folders.retain(|folder| folder != data_dir);
        }
        folders
    }
}

impl Service for Rpc {
    fn name(&self) -> &'static str {
        "rpc"
    }

    fn restart(&self) -> Restart {
        Restart::Transient
    }

    fn start<'a>(&'a self, beats: &'a mut Beats) -> Later<'a, Result<Running, NodeError>> {
        async move {
            let house = &self.0;
            let listeners = house.rpc.accepting()?;
            let secure = house.rpcs.accepting()?;
            if listeners.is_empty() && secure.is_empty() {
                return Ok(std::future::ready(End::Done).boxed());
            }
            let token = house.read_token().await;
            let door = Arc::new(Door::new(
                DoorOptions {
                    hosts: house.settings().network.rpc_hosts.clone(),
                    runtime_dirs: self.folders(),
                    limits: Limits::default(),
                    token,
                },
                house.clone(),
                house.executor.clone(),
            ));
            if let Err(e) = door.start() {
                log::warn!("HTTP is degraded: {e}");
            }
            house.door.put(door.clone());
            house.look_at_https(true).await;
            house.show_https();
            let plain = listeners.into_iter().map(|listener| (listener, false));
            let both = plain.chain(secure.into_iter().map(|listener| (listener, true)));
            let mut tasks: Vec<Task<()>> = Vec::new();
            for (listener, secure) in both {
                let run = door.clone().run(listener, secure, beats.one_more());
                tasks.push(task::spawn(&house.executor, run));
            }
            let watching = events::watch(house.clone(), beats.one_more());
            tasks.push(task::spawn(&house.executor, watching));
            if HTTPS.built {
                let looking = look(house.clone(), beats.one_more());
                tasks.push(task::spawn(&house.executor, looking));
            }
            Ok(super::first_end(tasks, beats.one_more()).boxed())
        }
        .boxed()
    }

    fn stop(&self) -> Later<'_, ()> {
        async move {
            if let Some(door) = self.0.door.clear() {
                door.leave().await;
            }
        }
        .boxed()
    }
}

/// Looks at the files of HTTPS on the house's tick, for ever.
async fn look(house: Arc<House>, beat: Beat) {
    loop {
        beat.asked().await;
        house.look_at_https(false).await;
    }
}
