//! Arguments of `demo`.

use super::reader::{Reader, Word};
use super::{Command, DemoArgs, Verbosity};
use crate::cli::demo::{SIZE, SIZE_MAX, SIZE_MIN};
use crate::cli::Failure;
use crate::config::value::size;

const OPTIONS: [&str; 8] = [
    "--size",
    "--json",
    "-v",
    "--verbose",
    "-q",
    "--quiet",
    "--help",
    "--version",
];

pub(super) fn parse(mut reader: Reader) -> Result<Command, Failure> {
    let mut wanted = None;
    let mut json = false;
    let mut verbosity = Verbosity::default();
    while let Some(word) = reader.next()? {
        match word {
            Word::Help => return Ok(Command::Help(reader.topic)),
            Word::Version => return Ok(Command::Version),
            Word::Value(text) => {
                return Err(reader.unexpected(&text, "the size is given as --size 64M"))
            }
            Word::Option(option) => match option.as_str() {
                "--size" => {
                    let bytes = reader.read("--size", "SIZE", bounded)?;
                    reader.once(&mut wanted, bytes, "--size")?;
                }
                "--json" => json = true,
                other => {
                    if !reader.verbosity(other, &mut verbosity)? {
                        return Err(reader.unknown_option(other, &OPTIONS));
                    }
                }
            },
        }
    }
    Ok(Command::Demo(DemoArgs {
        size: wanted.unwrap_or(SIZE),
        json,
        verbosity,
    }))
}

fn bounded(text: &str) -> Result<u64, String> {
    match size(text)? {
        bytes @ SIZE_MIN..=SIZE_MAX => Ok(bytes),
        _ => Err("it is a size from 1M to 4G, such as 64M".to_owned()),
    }
}
