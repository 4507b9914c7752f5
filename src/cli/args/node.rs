//! Arguments of `run`, `identity`, `store` and `help`.

use super::config;
use super::reader::{Reader, Word};
use super::{Command, IdentityAction, IdentityArgs, RunArgs, StoreArgs};
use crate::cli::help::Topic;
use crate::cli::Failure;

const RUN_OPTIONS: [&str; 11] = [
    "--config",
    "--data-dir",
    "--profile",
    "--set",
    "--ephemeral",
    "-v",
    "--verbose",
    "-q",
    "--quiet",
    "--help",
    "--version",
];

pub(super) fn run(mut reader: Reader) -> Result<Command, Failure> {
    let mut args = RunArgs::default();
    while let Some(word) = reader.next()? {
        match word {
            Word::Help => return Ok(Command::Help(reader.topic)),
            Word::Version => return Ok(Command::Version),
            Word::Value(value) => {
                return Err(reader.unexpected(&value, "settings are given as --set KEY=VALUE"))
            }
            Word::Option(option) => match option.as_str() {
                "--ephemeral" => args.ephemeral = true,
                other => {
                    if !config::option(&mut reader, &mut args.settings, other)?
                        && !reader.verbosity(other, &mut args.verbosity)?
                    {
                        return Err(reader.unknown_option(other, &RUN_OPTIONS));
                    }
                }
            },
        }
    }
    Ok(Command::Run(args))
}

pub(super) fn identity(mut reader: Reader) -> Result<Command, Failure> {
    let mut action = None;
    let mut file = None;
    let mut data_dir = None;
    let mut json = false;
    while let Some(word) = reader.next()? {
        match word {
            Word::Help => return Ok(Command::Help(reader.topic)),
            Word::Version => return Ok(Command::Version),
            Word::Value(text) => {
                let wanted = match text.as_str() {
                    "show" => IdentityAction::Show,
                    "new" => IdentityAction::New,
                    _ => {
                        return Err(
                            reader.unexpected(&text, "say `identity show` or `identity new`")
                        )
                    }
                };
                if action.replace(wanted).is_some() {
                    return Err(reader.unexpected(&text, "one of show and new at a time"));
                }
            }
            Word::Option(option) => match option.as_str() {
                "--identity" => {
                    let path = reader.path("--identity")?;
                    reader.once(&mut file, path, "--identity")?;
                }
                "--data-dir" => {
                    let folder = reader.data_dir()?;
                    reader.once(&mut data_dir, folder, "--data-dir")?;
                }
                "--json" => json = true,
                other => {
                    let known = ["--identity", "--data-dir", "--json", "--help", "--version"];
                    return Err(reader.unknown_option(other, &known));
                }
            },
        }
    }
    if file.is_some() && data_dir.is_some() {
        return Err(
            reader.error("--identity and --data-dir name two different keys; leave one out")
        );
    }
    let Some(action) = action else {
        return Err(reader.error("what shall be done? Say `identity show` or `identity new`"));
    };
    Ok(Command::Identity(IdentityArgs {
        action,
        file,
        data_dir,
        json,
    }))
}

pub(super) fn store(mut reader: Reader) -> Result<Command, Failure> {
    let mut check = false;
    let mut data_dir = None;
    let mut json = false;
    while let Some(word) = reader.next()? {
        match word {
            Word::Help => return Ok(Command::Help(reader.topic)),
            Word::Version => return Ok(Command::Version),
            Word::Value(text) if text == "check" && !check => check = true,
            Word::Value(text) => return Err(reader.unexpected(&text, "say `store check`")),
            Word::Option(option) => match option.as_str() {
                "--data-dir" => {
                    let folder = reader.data_dir()?;
                    reader.once(&mut data_dir, folder, "--data-dir")?;
                }
                "--json" => json = true,
                other => {
                    let known = ["--data-dir", "--json", "--help", "--version"];
                    return Err(reader.unknown_option(other, &known));
                }
            },
        }
    }
    if !check {
        return Err(reader.error("what shall be done? Say `store check`"));
    }
    Ok(Command::Store(StoreArgs { data_dir, json }))
}

pub(super) fn help(mut reader: Reader) -> Result<Command, Failure> {
    let mut topic = None;
    while let Some(word) = reader.next()? {
        match word {
            Word::Help => return Ok(Command::Help(Topic::Overview)),
            Word::Version => return Ok(Command::Version),
            Word::Option(option) => return Err(reader.unknown_option(&option, &[])),
            Word::Value(name) => {
                let Some(found) = Topic::find(&name).filter(|_| topic.is_none()) else {
                    return Err(reader.unexpected(
                        &name,
                        "there is help on run, publish, forward, message, identity, config, store, status, peers, tickets, rewards, health and demo",
                    ));
                };
                topic = Some(found);
            }
        }
    }
    Ok(Command::Help(topic.unwrap_or(Topic::Overview)))
}
