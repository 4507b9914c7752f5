//! Why settings cannot be, in one line each.

use super::sources::Source;
use super::value::shown;
use super::KEYS;
use std::fmt;
use std::path::PathBuf;

/// Why the settings cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A key that does not exist.
    UnknownKey {
        /// As it was written.
        key: String,
        /// Who wrote it.
        source: Source,
        /// A key of a similar name.
        similar: Option<&'static str>,
    },
    /// A section of a file that does not exist.
    UnknownSection {
        /// As it was written.
        section: String,
        /// Who wrote it.
        source: Source,
        /// A section of a similar name.
        similar: Option<&'static str>,
    },
    /// A key or a section that one file has twice.
    Twice {
        /// The key, or the section in brackets.
        what: String,
        /// Where it is there again.
        source: Source,
        /// The line in which it is there first.
        first: usize,
    },
    /// A value that its key does not take.
    BadValue {
        /// The key.
        key: &'static str,
        /// As it was written.
        value: String,
        /// Who wrote it.
        source: Source,
        /// What is wrong with it.
        problem: String,
        /// What the key takes.
        allowed: &'static str,
    },
    /// A value that a running node does not take over.
    Restart {
        /// The key.
        key: &'static str,
        /// Who wants to change it.
        source: Source,
    },
    /// A value that somebody has set who stays above.
    Held {
        /// The key.
        key: &'static str,
        /// Who wants to change it.
        source: Source,
        /// Who has set it.
        by: Source,
    },
    /// A file that cannot be read or understood.
    File {
        /// Which.
        path: PathBuf,
        /// The line, from 1, if the mistake is in one.
        line: Option<usize>,
        /// What is wrong with it.
        problem: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::UnknownKey {
                key,
                source,
                similar,
            } => {
                write!(f, "unknown setting \"{}\" ({source})", shown(key))?;
                match similar {
                    Some(name) => write!(f, "; did you mean {name}?"),
                    None => f.write_str("; `chr-node run --help` lists all of them"),
                }
            }
            ConfigError::UnknownSection {
                section,
                source,
                similar,
            } => {
                write!(f, "unknown section [{}] ({source})", shown(section))?;
                match similar {
                    Some(name) => write!(f, "; did you mean [{name}]?"),
                    None => write!(f, "; the sections are {}", sections().join(", ")),
                }
            }
            ConfigError::Twice {
                what,
                source,
                first,
            } => write!(
                f,
                "{what} is there twice ({source}), first in line {first}; keep one"
            ),
            ConfigError::BadValue {
                key,
                value,
                source,
                problem,
                allowed,
            } => write!(
                f,
                "{key} = \"{}\" ({source}): {problem}; allowed: {allowed}",
                shown(value)
            ),
            ConfigError::Restart { key, source } => write!(
                f,
                "{key} ({source}) cannot change while the node runs; set it in the settings file and restart the node"
            ),
            ConfigError::Held { key, source, by } => write!(
                f,
                "{key} ({source}) is set by {by}, which goes before; change it there and restart the node"
            ),
            ConfigError::File {
                path,
                line,
                problem,
            } => {
                let path = path.display();
                match line {
                    Some(line) => write!(f, "settings file {path}:{line}: {problem}"),
                    None => write!(f, "settings file {path} {problem}"),
                }
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// The sections that there are, in the order of the table.
pub(super) fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> = KEYS
        .iter()
        .filter_map(|key| key.name.split('.').next())
        .collect();
    sections.dedup();
    sections
}
