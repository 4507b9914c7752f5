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

use crate::edge::server::{listen, Server};
use crate::platform::clock::on_the_second;
use crate::platform::{crew, memory};
use crate::ports::Switchboard;
use crate::store::{ClockFloor, Store};
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

/// How often the accounts of devices that left are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How often the time is written down: a commit costs flash 20 KB.
const REMEMBER_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// What kept the node from starting, with what to do.
pub fn run(plan: NodePlan) -> Result<(), NodeError> {
    let executor = Arc::new(Executor::new());
    crew::run(&executor, 1, serve(plan, executor.clone()))
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
    let chores = executor.spawn(keep_house(server.clone(), store.clone()));
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
    drop(chores);
    door.stop();
    drop(run_file);
    let services = &server.services;
    drop(services.book.flush(services.clock.now()));
    if let Some(store) = store {
        remember_time(&store, &*services.clock);
        // Waits for the last commits.
        smol::unblock(move || store.close()).await;
    }
    log::info!("stopped");
    Ok(())
}

/// Saves what devices that left have used, gives memory back that they needed,
/// and from time to time saves the time.
async fn keep_house(server: Arc<Server>, store: Option<Store>) {
    let services = &server.services;
    let mut remembered = services.clock.now();
    let mut tidying = memory::Tidying::default();
    loop {
        Timer::at(on_the_second(SWEEP_EVERY)).await;
        let now = services.clock.now();
        services.book.sweep(now);
        let ended = server.ended.load(Ordering::Relaxed);
        if tidying.is_due(ended, services.board.bytes_in.load(Ordering::Relaxed)) {
            let store = store.clone();
            memory::give_back(move || {
                if let Some(store) = store {
                    store.give_back();
                }
            });
        }
        if let Some(store) = &store {
            if now.since(remembered) >= REMEMBER_EVERY {
                remember_time(store, &*services.clock);
                remembered = now;
            }
        }
    }
}

/// A device without a battery-backed clock starts from here after a reboot.
fn remember_time(store: &Store, clock: &dyn Clock) {
    if clock.trusted() {
        drop(store.put(&ClockFloor { unix: clock.unix() }));
    }
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
