//! `chr-node forward`: reach a port of another device at a local one.

use super::args::ForwardArgs;
use super::device::DeviceFiles;
use super::{logging, Failure};
use log::LevelFilter;

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
    let plan = prepare(args)?;
    logging::start(logging::level(
        LevelFilter::Warn,
        plan.args.device.verbosity,
    ));
    Err(Failure::Failed(
        "forward: this build cannot serve".to_owned(),
    ))
}
