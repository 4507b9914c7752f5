//! `chr-node forward`: reach a port of another device at a local one.

use super::args::ForwardArgs;
use super::device::DeviceFiles;
use super::screen::event;
use super::session::{Refusals, Session};
use super::spec::Protocol;
use super::{enough_files, logging, Failure, FILES};
use crate::edge::device::forwarder::{self, Forward, Listener};
use crate::ports::local::End;
use crate::task;
use smol::Executor;
use std::sync::Arc;

/// The key of `forward` in the user's data folder: another one than that of
/// `publish`, because a node keeps one session a device.
pub const FORWARD_KEY: &str = "forward.key";

/// What to forward, with nothing left to look up.
#[derive(Clone, Debug)]
pub struct ForwardPlan {
    /// The arguments.
    pub args: ForwardArgs,
    /// Key and known nodes.
    pub files: DeviceFiles,
}

/// Resolves the arguments.
///
/// # Errors
/// [`Failure::Usage`] when there is no place for a key.
pub fn prepare(args: &ForwardArgs) -> Result<ForwardPlan, Failure> {
    Ok(ForwardPlan {
        files: DeviceFiles::find(args.device.identity.as_deref(), FORWARD_KEY)?,
        args: args.clone(),
    })
}

/// Forwards until it is told to stop.
///
/// # Errors
/// What [`prepare`] says, or what cannot be mended by trying again.
pub fn execute(args: &ForwardArgs) -> Result<(), Failure> {
    enough_files("forward", FILES)?;
    let plan = prepare(args)?;
    logging::start(&logging::for_device(), plan.args.device.verbosity);
    let executor = Arc::new(Executor::new());
    let served = task::run(&executor, serve(plan, executor.clone()));
    served.unwrap_or(Ok(()))
}

async fn serve(plan: ForwardPlan, executor: Arc<Executor<'static>>) -> Result<(), Failure> {
    let args = &plan.args;
    let forward = Forward {
        target: args.target.device,
        port: args.target.port,
        udp: args.listen.protocol == Protocol::Udp,
        plain: args.device.plain,
    };
    // Bound before anything else: a port in use is told at once.
    let listener = Listener::bind(args.listen.address, forward.udp).map_err(Failure::Failed)?;
    let listen = listener
        .local_addr()
        .map_err(|e| Failure::Failed(format!("the listener: {e}")))?;
    let session = Session::start(&args.device, &plan.files, &executor, true)?;
    let (target, name) = (forward.target, forward.name());
    let screen = session.screen.clone();
    let refusals = Refusals::default();
    let refused = {
        let name = name.clone();
        move |end: &End| {
            if refusals.is_news(&end.text) {
                screen.warn(
                    &event(
                        "refused",
                        &[("port", &name), ("device", &target), ("reason", &end.text)],
                    ),
                    &format!("cannot open {name} of {target}: {end}"),
                );
            }
        }
    };
    task::spawn(
        &executor,
        forwarder::serve(
            session.device.clone(),
            listener,
            forward,
            executor.clone(),
            Arc::new(refused),
        ),
    )
    .detach();
    let device = session.device.address();
    session
        .attend(&move |screen, node, place| {
            screen.say(
                &event(
                    "ready",
                    &[
                        ("listen", &listen),
                        ("device", &device),
                        ("target", &target),
                        ("node", &node),
                    ],
                ),
                &format!(
                    "{listen}  ->  {name} of {target}
  device {device} is at node {node} ({place})"
                ),
            );
        })
        .await
}
