//! The node: builds the services in order, serves until it is told to stop, and
//! takes them down in the opposite order.
//!
//! | file | what |
//! | --- | --- |
//! | [`build`] | identity, store, listeners, the services on top of them |
//! | [`view`] | what the status interfaces see |
//! | [`runfile`] | `run.json`: which process listens where |
//!
//! The order is: descriptors, identity, store, accounts, switchboard, edge
//! listeners, HTTP door, `run.json`. Listeners come late, so a node that accepts
//! can serve.

pub mod build;
pub mod runfile;
pub mod view;

pub use build::{IdentityChoice, NodeError, NodePlan};

use crate::edge::server::listen;
use crate::ports::Switchboard;
use crate::time::Clock;
use crate::wire::code::Code;
use crate::wire::control::Close;
use async_io::Timer;
use build::Built;
use smol::Executor;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

/// How long devices get to read why the node stops.
const DRAIN_TIME: Duration = Duration::from_millis(1_200);
/// When they should come back: a restart takes far less.
const COME_BACK_MS: u32 = 1_000;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// What kept the node from starting, with what to do.
pub fn run(plan: NodePlan) -> Result<(), NodeError> {
    let executor = Arc::new(Executor::new());
    smol::block_on(executor.run(serve(plan, executor.clone())))
}

async fn serve(plan: NodePlan, executor: Arc<Executor<'static>>) -> Result<(), NodeError> {
    let mut signals = crate::platform::signals::StopSignals::catch()
        .map_err(|e| NodeError::System("cannot catch signals".into(), e))?;
    let Built {
        server,
        edge_listeners,
        door,
        rpc_listeners,
        state,
        run_file,
        store,
    } = build::build(plan, &executor)?;
    let mut listening = Vec::new();
    for listener in edge_listeners {
        listening.push(executor.spawn(listen(server.clone(), listener, executor.clone())));
    }
    for listener in rpc_listeners {
        listening.push(executor.spawn(door.clone().run(listener)));
    }
    state.ready.store(true, Ordering::Relaxed);
    for line in state.greeting() {
        log::info!("{line}");
    }
    match signals.next().await {
        Ok(signal) => log::info!("{signal}: stopping"),
        Err(e) => log::error!("signals cannot be heard any more: {e}; stopping"),
    }
    state.ready.store(false, Ordering::Relaxed);
    // Dropping a listener's task closes its socket: nobody new comes in.
    drop(listening);
    let drained = drain(&server.services.board, &*server.services.clock);
    let impatient = async {
        let _ = signals.next().await;
    };
    smol::future::or(drained, impatient).await;
    door.stop();
    drop(run_file);
    if let Some(store) = store {
        // Waits for the last commits.
        smol::unblock(move || store.close()).await;
    }
    log::info!("stopped");
    Ok(())
}

/// Tells all devices that the node stops and waits until they have read it.
async fn drain(board: &Switchboard, clock: &dyn Clock) {
    for link in board.links() {
        link.end(Close {
            code: Code::SHUTTING_DOWN,
            text: "the node is stopping; come back soon".into(),
            retry_after_ms: Some(COME_BACK_MS),
        });
    }
    let end = clock.now() + DRAIN_TIME;
    while board.devices() > 0 && clock.now() < end {
        Timer::after(Duration::from_millis(20)).await;
    }
}
