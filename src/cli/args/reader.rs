//! lexopt, and how complaints are worded.

use super::Verbosity;
use crate::cli::help::Topic;
use crate::cli::Failure;
use crate::config::slip::nearest;
use crate::config::value::shown;
use crate::config::Assignment;
use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::path::PathBuf;

/// The next thing on the command line, owned.
pub(super) enum Word {
    Option(String),
    Value(String),
    Help,
    Version,
}

/// lexopt, and how a subcommand words its complaints.
pub(super) struct Reader {
    parser: Parser,
    pub(super) topic: Topic,
}

impl Reader {
    pub(super) fn new(parser: Parser, topic: Topic) -> Self {
        Self { parser, topic }
    }

    /// A usage error of this subcommand.
    #[cold]
    pub(super) fn error(&self, what: impl Into<String>) -> Failure {
        let mut what = what.into();
        if self.topic != Topic::Overview {
            what.insert_str(0, ": ");
            what.insert_str(0, self.topic.name());
        }
        Failure::Usage(what)
    }

    pub(super) fn next(&mut self) -> Result<Option<Word>, Failure> {
        let word = match self.parser.next() {
            Ok(Some(Arg::Short('h') | Arg::Long("help"))) => Word::Help,
            Ok(Some(Arg::Short('V') | Arg::Long("version"))) => Word::Version,
            Ok(Some(Arg::Short(letter))) => Word::Option(format!("-{letter}")),
            Ok(Some(Arg::Long(name))) => Word::Option(format!("--{name}")),
            Ok(Some(Arg::Value(value))) => Word::Value(value.to_string_lossy().into_owned()),
            Ok(None) => return Ok(None),
            Err(lexopt::Error::UnexpectedValue { option, value }) => {
                let value = value.to_string_lossy();
                return Err(self.error(format!("{option} takes no value (\"{}\")", shown(&value))));
            }
            Err(error) => return Err(self.error(error.to_string())),
        };
        Ok(Some(word))
    }

    pub(super) fn raw(&mut self, option: &str, example: &str) -> Result<OsString, Failure> {
        self.parser
            .value()
            .map_err(|_| self.error(format!("{option} needs a value: {option} {example}")))
    }

    /// A value that is text.
    pub(super) fn text(&mut self, option: &str, example: &str) -> Result<String, Failure> {
        self.raw(option, example)?.into_string().map_err(|value| {
            self.error(format!(
                "{option} \"{}\": the value is not UTF-8; write it as {option} {example}",
                shown(&value.to_string_lossy())
            ))
        })
    }

    /// A value that `read` understands.
    pub(super) fn read<T>(
        &mut self,
        option: &str,
        example: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let text = self.text(option, example)?;
        read(&text)
            .map_err(|problem| self.error(format!("{option} \"{}\": {problem}", shown(&text))))
    }

    pub(super) fn path(&mut self, option: &str) -> Result<PathBuf, Failure> {
        let path = self.raw(option, "FILE")?;
        if path.is_empty() {
            return Err(self.error(format!("{option} is empty; name a file")));
        }
        Ok(path.into())
    }

    /// Fills a slot that may be filled once.
    pub(super) fn once<T>(
        &self,
        slot: &mut Option<T>,
        value: T,
        option: &str,
    ) -> Result<(), Failure> {
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(self.error(format!("{option} is given twice; it takes one value"))),
        }
    }

    pub(super) fn unknown_option(&self, option: &str, known: &[&str]) -> Failure {
        let help = match self.topic {
            Topic::Overview => "chr-node run --help".to_owned(),
            topic => format!("chr-node {} --help", topic.name()),
        };
        let advice = match nearest(option, known.iter().copied()) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("`{help}` lists all of them"),
        };
        self.error(format!("unknown option {}; {advice}", shown(option)))
    }

    pub(super) fn unexpected(&self, value: &str, advice: &str) -> Failure {
        self.error(format!("unexpected \"{}\"; {advice}", shown(value)))
    }

    /// `-v` and `-q`; true when the option was one of them.
    pub(super) fn verbosity(
        &self,
        option: &str,
        verbosity: &mut Verbosity,
    ) -> Result<bool, Failure> {
        let step = match option {
            "-v" | "--verbose" => 1,
            "-q" | "--quiet" => -1,
            _ => return Ok(false),
        };
        if verbosity.0.signum() == -step {
            return Err(self.error("-v and -q contradict each other; leave one out"));
        }
        verbosity.0 = verbosity.0.saturating_add(step);
        Ok(true)
    }

    pub(super) fn data_dir(&mut self) -> Result<Assignment, Failure> {
        let folder = self.raw("--data-dir", "DIR")?;
        match folder.to_str() {
            Some(folder) => Ok(Assignment {
                key: "storage.data_dir".to_owned(),
                value: folder.to_owned(),
                option: "--data-dir",
            }),
            None => Err(self.error(format!(
                "--data-dir \"{}\": the name is not UTF-8; use another folder",
                shown(&folder.to_string_lossy())
            ))),
        }
    }
}
