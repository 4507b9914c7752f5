//! Arguments of `config` and `doctor`, and those about settings that `run` has, too.

use super::reader::{Reader, Word};
use super::{Command, ConfigAction, ConfigArgs, DoctorArgs, SettingsArgs};
use crate::cli::Failure;
use crate::config::Assignment;

const OPTIONS: [&str; 7] = [
    "--config",
    "--data-dir",
    "--profile",
    "--set",
    "--json",
    "--help",
    "--version",
];

/// An option about settings; false when it is another one.
pub(super) fn option(
    reader: &mut Reader,
    settings: &mut SettingsArgs,
    option: &str,
) -> Result<bool, Failure> {
    match option {
        "--config" => {
            let file = reader.path(option)?;
            reader.once(&mut settings.file, file, option)?;
        }
        "--data-dir" => settings.assignments.push(reader.data_dir()?),
        "--profile" => {
            let value = reader.text(option, "NAME")?;
            settings.assignments.push(Assignment {
                key: "node.profile".to_owned(),
                value,
                option: "--profile",
            });
        }
        "--set" => settings
            .assignments
            .push(reader.read(option, "KEY=VALUE", assignment)?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn assignment(text: &str) -> Result<Assignment, String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| "write KEY=VALUE, such as log.level=debug".to_owned())?;
    Ok(Assignment {
        key: key.trim().to_owned(),
        value: value.to_owned(),
        option: "--set",
    })
}

pub(super) fn parse(mut reader: Reader) -> Result<Command, Failure> {
    let mut action = None;
    let mut settings = SettingsArgs::default();
    let mut json = false;
    while let Some(word) = reader.next()? {
        match word {
            Word::Help => return Ok(Command::Help(reader.topic)),
            Word::Version => return Ok(Command::Version),
            Word::Value(text) => {
                let wanted = match text.as_str() {
                    "check" => ConfigAction::Check,
                    "show" => ConfigAction::Show,
                    _ => {
                        return Err(reader.unexpected(&text, "say `config check` or `config show`"))
                    }
                };
                if action.replace(wanted).is_some() {
                    return Err(reader.unexpected(&text, "one of check and show at a time"));
                }
            }
            Word::Option(name) if name == "--json" => json = true,
            Word::Option(name) => {
                if !option(&mut reader, &mut settings, &name)? {
                    return Err(reader.unknown_option(&name, &OPTIONS));
                }
            }
        }
    }
    let Some(action) = action else {
        return Err(reader.error("what shall be done? Say `config check` or `config show`"));
    };
    Ok(Command::Config(ConfigArgs {
        action,
        settings,
        json,
    }))
}

pub(super) fn doctor(mut reader: Reader) -> Result<Command, Failure> {
    let mut args = DoctorArgs::default();
    while let Some(word) = reader.next()? {
        match word {
            Word::Help => return Ok(Command::Help(reader.topic)),
            Word::Version => return Ok(Command::Version),
            Word::Value(text) => return Err(reader.unexpected(&text, "doctor looks at everything")),
            Word::Option(name) if name == "--json" => args.json = true,
            Word::Option(name) => {
                if !option(&mut reader, &mut args.settings, &name)? {
                    return Err(reader.unknown_option(&name, &OPTIONS));
                }
            }
        }
    }
    Ok(Command::Doctor(args))
}
