//! Arguments of commands that ask a running node.

use super::config;
use super::reader::{Reader, Word};
use super::{RpcArgs, SettingsArgs};
use crate::cli::help::Topic;
use crate::cli::rpc::Endpoint;
use crate::cli::Failure;

const OPTIONS: [&str; 9] = [
    "--once",
    "--rpc",
    "--config",
    "--data-dir",
    "--profile",
    "--set",
    "--json",
    "--help",
    "--version",
];

/// What was said instead of arguments.
pub(super) enum Instead {
    Help(Topic),
    Version,
}

pub(super) fn parse(mut reader: Reader) -> Result<Result<RpcArgs, Instead>, Failure> {
    let mut rpc = None;
    let mut settings = SettingsArgs::default();
    let (mut json, mut once) = (false, false);
    while let Some(word) = reader.next()? {
        match word {
            Word::Help => return Ok(Err(Instead::Help(reader.topic))),
            Word::Version => return Ok(Err(Instead::Version)),
            Word::Value(value) => {
                return Err(reader.unexpected(&value, "the node is named by --rpc URL"))
            }
            Word::Option(option) => match option.as_str() {
                "--rpc" => {
                    let endpoint = reader.read("--rpc", "URL", Endpoint::parse)?;
                    reader.once(&mut rpc, endpoint, "--rpc")?;
                }
                "--json" => json = true,
                "--once" if reader.topic == Topic::Status => once = true,
                other => {
                    if !config::option(&mut reader, &mut settings, other)? {
                        let status = reader.topic == Topic::Status;
                        let known = OPTIONS.get(usize::from(!status)..);
                        return Err(reader.unknown_option(other, known.unwrap_or_default()));
                    }
                }
            },
        }
    }
    Ok(Ok(RpcArgs {
        rpc,
        settings,
        json,
        once,
    }))
}
