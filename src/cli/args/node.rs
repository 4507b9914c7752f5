//! Arguments of `run`, `identity`, `store` and `help`.

use super::config;
use super::reader::{Reader, Word};
use super::{Command, IdentityAction, IdentityArgs, RunArgs, SettingsArgs, StoreAction, StoreArgs};
use crate::cli::help::Topic;
use crate::cli::Failure;
use std::path::PathBuf;

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

/// What can be said after `identity`.
const IDENTITY_ACTIONS: &str =
    "say `identity show`, `identity new`, `identity export` or `identity import FILE`";

pub(super) fn identity(mut reader: Reader) -> Result<Command, Failure> {
    let mut action: Option<String> = None;
    let (mut source, mut output) = (None, None);
    let mut file = None;
    let mut data_dir = None;
    let mut json = false;
    while let Some(word) = reader.next()? {
        match word {
            Word::Help => return Ok(Command::Help(reader.topic)),
            Word::Version => return Ok(Command::Version),
            Word::Value(text) if action.is_none() => {
                if !["show", "new", "export", "import"].contains(&text.as_str()) {
                    return Err(reader.unexpected(&text, IDENTITY_ACTIONS));
                }
                action = Some(text);
            }
            Word::Value(text) if action.as_deref() == Some("import") && source.is_none() => {
                source = Some(PathBuf::from(text));
            }
            Word::Value(text) => {
                return Err(
                    reader.unexpected(&text, "one of show, new, export and import at a time")
                )
            }
            Word::Option(option) => match option.as_str() {
                "--identity" => {
                    let path = reader.path("--identity")?;
                    reader.once(&mut file, path, "--identity")?;
                }
                "--output" => {
                    let path = reader.path("--output")?;
                    reader.once(&mut output, path, "--output")?;
                }
                "--data-dir" => {
                    let folder = reader.data_dir()?;
                    reader.once(&mut data_dir, folder, "--data-dir")?;
                }
                "--json" => json = true,
                other => {
                    let known = [
                        "--identity",
                        "--output",
                        "--data-dir",
                        "--json",
                        "--help",
                        "--version",
                    ];
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
    if output.is_some() && action.as_deref() != Some("export") {
        return Err(reader.error("--output belongs to `identity export`"));
    }
    let action = match (action.as_deref(), source) {
        (Some("show"), _) => IdentityAction::Show,
        (Some("new"), _) => IdentityAction::New,
        (Some("export"), _) if json => {
            return Err(reader.error("--json does not go with export: the key is one line already"))
        }
        (Some("export"), _) => IdentityAction::Export { output },
        (Some(_), Some(file)) => IdentityAction::Import { file },
        (Some(_), None) => {
            return Err(
                reader.error("which file? Say `identity import FILE`, or - for standard input")
            )
        }
        (None, _) => return Err(reader.error(format!("what shall be done? {IDENTITY_ACTIONS}"))),
    };
    Ok(Command::Identity(IdentityArgs {
        action,
        file,
        data_dir,
        json,
    }))
}

/// What can be said after `store`.
const STORE_ACTIONS: &str =
    "say `store check`, `store compact`, `store export` or `store import FILE`";

pub(super) fn store(mut reader: Reader) -> Result<Command, Failure> {
    let mut action = None;
    let mut file = None;
    let mut output = None;
    let mut settings = SettingsArgs::default();
    let (mut json, mut replace) = (false, false);
    while let Some(word) = reader.next()? {
        match word {
            Word::Help => return Ok(Command::Help(reader.topic)),
            Word::Version => return Ok(Command::Version),
            Word::Value(text) => match (action.as_deref(), &file) {
                (None, _) => action = Some(text),
                (Some("import"), None) => file = Some(PathBuf::from(text)),
                _ => return Err(reader.unexpected(&text, STORE_ACTIONS)),
            },
            Word::Option(option) => match option.as_str() {
                "--output" => {
                    let path = reader.path("--output")?;
                    reader.once(&mut output, path, "--output")?;
                }
                "--replace" => replace = true,
                "--json" => json = true,
                other => {
                    if config::option(&mut reader, &mut settings, other)? {
                        continue;
                    }
                    let known = [
                        "--config",
                        "--data-dir",
                        "--profile",
                        "--set",
                        "--output",
                        "--replace",
                        "--json",
                        "--help",
                        "--version",
                    ];
                    return Err(reader.unknown_option(other, &known));
                }
            },
        }
    }
    let only = |said: bool, option: &str, of: &str| match said {
        true => Err(reader.error(format!("{option} is for `store {of}` alone"))),
        false => Ok(()),
    };
    if action.as_deref() != Some("export") {
        only(output.is_some(), "--output", "export")?;
    }
    if action.as_deref() != Some("import") {
        only(replace, "--replace", "import")?;
    }
    let action = match (action.as_deref(), file) {
        (Some("check"), _) => StoreAction::Check,
        (Some("compact"), _) => StoreAction::Compact,
        (Some("export"), _) if json => {
            return Err(reader.error("an export is JSON anyway; leave --json out"))
        }
        (Some("export"), _) => StoreAction::Export { output },
        (Some("import"), Some(file)) => StoreAction::Import { file, replace },
        (Some("import"), None) => return Err(reader.error("which file? Say `store import FILE`")),
        (Some(other), _) => return Err(reader.unexpected(other, STORE_ACTIONS)),
        (None, _) => {
            return Err(reader.error(format!("what shall be done? {}", capital(STORE_ACTIONS))))
        }
    };
    Ok(Command::Store(StoreArgs {
        action,
        settings,
        json,
    }))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
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
                        "there is help on run, publish, forward, message, identity, config, store, status, peers, tickets, rewards, health, doctor and demo",
                    ));
                };
                topic = Some(found);
            }
        }
    }
    Ok(Command::Help(topic.unwrap_or(Topic::Overview)))
}
