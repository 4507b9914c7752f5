//! `chr-node run`: a node as a process of its own.

use super::configuration::Adopted;
use super::{Node, NodeError, NodePlan};
use crate::config::Loaded;
use crate::platform::signals::{Caught, Signals};
use crate::platform::{crew, notify};
use crate::task;
use smol::{future, Executor};
use std::sync::Arc;

/// Reads the configuration again, over the one in force. `Ok` is what to put in force, its
/// words are logged by whoever wrote this; an error is one line and changes nothing.
pub type Reload = Box<dyn FnMut(&Loaded) -> Result<Loaded, String> + Send>;

/// Serves until SIGTERM or SIGINT. SIGHUP calls `reload`.
///
/// # Errors
/// What kept the node from starting or ended it, with what to do.
pub fn run(plan: NodePlan, reload: Reload, adopted: Adopted) -> Result<(), NodeError> {
    let executor = Arc::new(Executor::new());
    let runtime = &plan.loaded.settings.runtime;
    crate::task::blocking::limit_threads(runtime.worker_pool_size);
    let threads = runtime.threads;
    let served = crew::run(
        &executor,
        threads,
        serve(plan, (reload, adopted), executor.clone()),
    );
    served.unwrap_or(Ok(()))
}

async fn serve(
    plan: NodePlan,
    (mut reload, adopted): (Reload, Adopted),
    executor: Arc<Executor<'static>>,
) -> Result<(), NodeError> {
    let mut signals =
        Signals::catch().map_err(|e| NodeError::System("cannot catch signals".into(), e))?;
    let mut node = Node::start(plan, &executor).await?;
    let house = node.house().clone();
    house.configuration.tell(adopted);
    let gave_up = loop {
        let signal = async { Ok(signals.next().await) };
        match future::or(signal, async { Err(node.watch().await) }).await {
            Ok(Ok(Caught::HangUp)) => {
                notify::reloading();
                // Files are read elsewhere: a disk may hang, and traffic must not.
                let before = house.configuration.loaded();
                let reading = task::unblock(move || (reload(&before), reload));
                let (read, again) = reading.await;
                reload = again;
                house.read_token().await;
                match read.and_then(|newer| house.change(|_| Ok(newer))) {
                    Ok(()) => log::info!("SIGHUP: the configuration was read again"),
                    Err(e) => log::error!("SIGHUP: {e}; nothing was changed"),
                }
                house.look_at_https(true).await;
                notify::ready();
            }
            Ok(Ok(signal)) => {
                log::info!("{signal}: stopping");
                break None;
            }
            Ok(Err(e)) => {
                log::error!("signals cannot be heard any more: {e}; stopping");
                break None;
            }
            Err(error) => break Some(error),
        }
    };
    notify::stopping();
    let impatient = async { while let Ok(Caught::HangUp) = signals.next().await {} };
    future::or(node.stop(), impatient).await;
    log::info!("stopped");
    gave_up.map_or(Ok(()), Err)
}
