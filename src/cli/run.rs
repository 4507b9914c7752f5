//! `chr-node run`: serve as a node.

use super::args::{RunArgs, Verbosity};
use super::{doctor, enough_files, logging, Failure};
use crate::config::{Loaded, Request, Settings};
use crate::node::program::Reload;
use crate::node::{self, IdentityChoice, NodePlan};
use crate::parts::DOCTOR;
use std::ffi::OsString;

/// Open files that a node has when nobody is there, and a few: with fewer its HTTP
/// fails, or its listeners do.
const FILES: u64 = 40;

/// The node's key inside `storage.data_dir`.
pub const NODE_KEY: &str = "node.key";

/// A node as it was asked for, with nothing left to look up.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// What was asked for; it can be loaded again.
    pub request: Request,
    /// Settings, where they came from, and warnings about them.
    pub loaded: Loaded,
    /// Who the node is.
    pub identity: IdentityChoice,
    /// `-v`, `-q`
    pub verbosity: Verbosity,
}

/// Resolves the arguments against an environment.
///
/// # Errors
/// [`Failure::Usage`] for a setting that cannot be.
pub fn prepare(
    args: &RunArgs,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<RunPlan, Failure> {
    let settings = &args.settings;
    let request = Request::new(&settings.assignments, settings.file.as_deref(), environment);
    let loaded = request.load()?;
    let identity = if args.ephemeral {
        IdentityChoice::Ephemeral
    } else {
        IdentityChoice::File(loaded.settings.storage.data_dir.join(NODE_KEY))
    };
    Ok(RunPlan {
        request,
        loaded,
        identity,
        verbosity: args.verbosity,
    })
}

/// Serves until it is told to stop.
///
/// # Errors
/// A setting that cannot be, or what kept the node from serving.
pub fn execute(args: &RunArgs) -> Result<(), Failure> {
    enough_files("run", FILES)?;
    let plan = prepare(args, std::env::vars_os())?;
    logging::start(&plan.loaded.settings.log, plan.verbosity);
    for warning in &plan.loaded.warnings {
        log::warn!("{warning}");
    }
    if DOCTOR.built {
        doctor::at_start(&plan.loaded.settings, !args.ephemeral);
    }
    let node = NodePlan {
        loaded: plan.loaded,
        identity: plan.identity,
    };
    let verbosity = plan.verbosity;
    let adopted = Box::new(move |settings: &Settings| logging::change(&settings.log, verbosity));
    // Also when the program itself panics: its last line is the one that matters.
    let _last_words = logging::LastWords;
    let served = node::run(node, reload(plan.request), adopted);
    served.map_err(|e| Failure::Failed(e.to_string()))
}

/// Reads all sources again and says what has changed.
fn reload(request: Request) -> Reload {
    Box::new(move |loaded: &Loaded| {
        let newer = request.load().map_err(|e| e.to_string())?;
        for change in loaded.changes(&newer) {
            if change.live {
                log::info!("{change}");
            } else {
                log::warn!("{change}; that needs a restart");
            }
        }
        for warning in &newer.warnings {
            log::warn!("{warning}");
        }
        Ok(loaded.adopt(&newer))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::cli::{parse, Command};

    fn plan(line: &str, pairs: &[(&str, &str)]) -> Result<RunPlan, Failure> {
        let Command::Run(args) = parse(line.split_whitespace().map(OsString::from))? else {
            unreachable!()
        };
        prepare(&args, pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())))
    }

    #[test]
    fn the_key_lies_in_the_data_folder_wherever_that_was_said() {
        for (line, pairs, wanted) in [
            ("", &[][..], "./data/node.key"),
            ("", &[("DATA_DIR", "/env")][..], "/env/node.key"),
            (
                "--data-dir /cli",
                &[("DATA_DIR", "/env")][..],
                "/cli/node.key",
            ),
        ] {
            let plan = plan(line, pairs).unwrap();
            assert_eq!(plan.identity, IdentityChoice::File(wanted.into()), "{line}");
        }
    }

    #[test]
    fn an_ephemeral_node_names_no_file() {
        assert_eq!(
            plan("--ephemeral", &[]).unwrap().identity,
            IdentityChoice::Ephemeral
        );
    }

    #[test]
    fn a_bad_setting_is_a_usage_error() {
        let failure = plan("", &[("RPC_PORT", "x")]).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
    }
}
