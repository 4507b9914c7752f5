//! Where values come from, and which one wins.
//!
//! Lowest first: the built-in default, the environment, the command line. Within
//! the environment `CHR_SECTION__KEY` wins over the short name, on the command
//! line the later option over the earlier. An empty variable counts as unset,
//! because that is what templates of service files leave behind.

use super::slip::nearest;
use super::value::shown;
use super::{Key, Settings, KEYS};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

/// Variables that belong to parts of the system which this version does not
/// have. People share one environment file between versions, so they warn.
const WITHOUT_EFFECT: [&str; 4] = ["PEER2_PORT", "RPCS_PORT", "SEED_LIST", "REWARD_ADDRESS"];

/// What begins the variables that are ours alone.
const PREFIX: &str = "CHR_";

/// Devices ping every 100 s; a shorter idle timeout than this drops the quiet ones.
const SAFE_IDLE: Duration = Duration::from_secs(110);

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// An environment variable of this name.
    Environment(String),
    /// An option of this name.
    CommandLine(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("built-in default"),
            Source::Environment(name) => write!(f, "environment variable {}", shown(name)),
            Source::CommandLine(option) => write!(f, "command line, {option}"),
        }
    }
}

/// A value that the command line gives to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// `section.key`
    pub key: String,
    /// The text of the value.
    pub value: String,
    /// The option that said it.
    pub option: &'static str,
}

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
        }
    }
}

impl std::error::Error for ConfigError {}

/// Settings, and the story of each.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub settings: Settings,
    /// What the operator should hear once, a sentence each.
    pub warnings: Vec<String>,
    origins: BTreeMap<&'static str, Source>,
}

impl Loaded {
    /// Where the value of a key came from.
    #[must_use]
    pub fn origin(&self, key: &str) -> &Source {
        self.origins.get(key).unwrap_or(&Source::Default)
    }

    fn assign(
        &mut self,
        key: &'static Key,
        value: String,
        source: Source,
    ) -> Result<(), ConfigError> {
        match (key.set)(&mut self.settings, &value) {
            Ok(()) => {
                self.origins.insert(key.name, source);
                Ok(())
            }
            Err(problem) => Err(ConfigError::BadValue {
                key: key.name,
                value,
                source,
                problem,
                allowed: key.allowed,
            }),
        }
    }
}

/// Puts the sources on top of each other.
///
/// # Errors
/// The first unknown key or bad value, also where a higher source would hide it.
pub fn load(
    command_line: &[Assignment],
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    let mut loaded = Loaded {
        settings: Settings::default(),
        warnings: Vec::new(),
        origins: BTreeMap::new(),
    };
    let variables = relevant(environment);
    for key in KEYS {
        for name in key
            .env
            .map(str::to_owned)
            .into_iter()
            .chain([key.variable()])
        {
            let Some(value) = variables.get(&name) else {
                continue;
            };
            let source = Source::Environment(name);
            let value = match value.to_str() {
                Some(text) => text.to_owned(),
                None => {
                    return Err(ConfigError::BadValue {
                        key: key.name,
                        value: value.to_string_lossy().into_owned(),
                        source,
                        problem: "it is not UTF-8".to_owned(),
                        allowed: key.allowed,
                    })
                }
            };
            loaded.assign(key, value, source)?;
        }
    }
    for name in variables.keys() {
        if name.starts_with(PREFIX) && !KEYS.iter().any(|key| key.variable() == *name) {
            return Err(unknown_variable(name));
        }
        if WITHOUT_EFFECT.contains(&name.as_str()) {
            loaded.warnings.push(format!(
                "the environment variable {name} has no effect in this version of chr-node"
            ));
        }
    }
    for Assignment { key, value, option } in command_line {
        let source = Source::CommandLine(option);
        let Some(row) = Key::find(key) else {
            return Err(ConfigError::UnknownKey {
                similar: similar(key),
                key: key.clone(),
                source,
            });
        };
        loaded.assign(row, value.clone(), source)?;
    }
    judge(&mut loaded);
    Ok(loaded)
}

/// The variables that could be ours and are not empty, in the order of their names.
fn relevant(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> BTreeMap<String, OsString> {
    environment
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| {
            name.starts_with(PREFIX)
                || WITHOUT_EFFECT.contains(&name.as_str())
                || KEYS.iter().any(|key| key.env == Some(name.as_str()))
        })
        .collect()
}

fn unknown_variable(name: &str) -> ConfigError {
    let key = name
        .strip_prefix(PREFIX)
        .unwrap_or(name)
        .replacen("__", ".", 1)
        .to_ascii_lowercase();
    ConfigError::UnknownKey {
        similar: similar(&key),
        key,
        source: Source::Environment(name.to_owned()),
    }
}

/// Values that are possible, but seldom meant.
fn judge(loaded: &mut Loaded) {
    let idle = loaded.settings.performance.idle_timeout;
    if idle < SAFE_IDLE {
        loaded.warnings.push(format!(
            "performance.idle_timeout = {} ({}) is shorter than the 100 s between pings: quiet devices will be dropped",
            super::value::show_duration(idle),
            loaded.origin("performance.idle_timeout"),
        ));
    }
}

/// The key that was probably meant: the same word in another section, or at
/// most two slips of the finger away.
fn similar(key: &str) -> Option<&'static str> {
    let last = |name: &str| name.rsplit('.').next().map(str::to_owned);
    KEYS.iter()
        .map(|row| row.name)
        .find(|name| last(name) == last(key))
        .or_else(|| nearest(key, KEYS.iter().map(|row| row.name)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs
            .iter()
            .map(|(k, v)| (OsString::from(k), OsString::from(v)))
            .collect()
    }

    fn set(key: &str, value: &str) -> Assignment {
        Assignment {
            key: key.to_owned(),
            value: value.to_owned(),
            option: "--set",
        }
    }

    fn message(command_line: &[Assignment], pairs: &[(&str, &str)]) -> String {
        load(command_line, environment(pairs))
            .expect_err("accepted")
            .to_string()
    }

    #[test]
    fn the_command_line_beats_the_environment_and_the_later_option_the_earlier() {
        let loaded = load(
            &[set("network.rpc_port", "1"), set("network.rpc_port", "2")],
            environment(&[
                ("RPC_PORT", "3"),
                ("EDGE2_PORT", "4 5"),
                ("CHR_NETWORK__EDGE_PORTS", "6"),
                ("PATH", "/bin"),
            ]),
        )
        .unwrap();
        assert_eq!(loaded.settings.network.rpc_port, Some(2));
        assert_eq!(
            loaded.origin("network.rpc_port"),
            &Source::CommandLine("--set")
        );
        assert_eq!(loaded.settings.network.edge_ports, [6]);
        assert_eq!(
            loaded.origin("network.edge_ports").to_string(),
            "environment variable CHR_NETWORK__EDGE_PORTS"
        );
        assert_eq!(loaded.origin("log.level"), &Source::Default);
        assert_eq!(loaded.warnings, Vec::<String>::new());
    }

    #[test]
    fn an_environment_shared_with_other_versions_still_starts_the_node() {
        let loaded = load(
            &[],
            environment(&[
                ("PEER2_PORT", "51055"),
                ("RPCS_PORT", "8443"),
                ("SEED_LIST", "none"),
                ("REWARD_ADDRESS", ""),
                ("DATA_DIR", ""),
                ("CHR_NODE__NAME", ""),
            ]),
        )
        .unwrap();
        assert_eq!(loaded.settings, Settings::default());
        assert_eq!(loaded.warnings.len(), 3);
        assert!(loaded.warnings.iter().any(|w| w.contains("SEED_LIST")));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_source_and_the_one_that_was_meant() {
        assert_eq!(
            message(&[set("performance.rpc_port", "1")], &[]),
            "unknown setting \"performance.rpc_port\" (command line, --set); did you mean network.rpc_port?"
        );
        assert_eq!(
            message(&[], &[("CHR_NETWORK__EDGE_PROTS", "1")]),
            "unknown setting \"network.edge_prots\" (environment variable CHR_NETWORK__EDGE_PROTS); did you mean network.edge_ports?"
        );
        assert_eq!(
            message(&[], &[("CHR_COLOUR", "red")]),
            "unknown setting \"colour\" (environment variable CHR_COLOUR); `chr-node run --help` lists all of them"
        );
    }

    #[test]
    fn a_bad_value_is_named_with_its_source_and_what_is_allowed() {
        assert_eq!(
            message(&[], &[("RPC_PORT", "web")]),
            "network.rpc_port = \"web\" (environment variable RPC_PORT): a port is a number from 0 to 65535; allowed: a port, 0 for any free one, or off"
        );
        let long = message(&[set("log.level", "a\nb")], &[]);
        assert!(
            !long.contains('\n') && long.contains("error, warn"),
            "{long}"
        );
    }

    #[test]
    fn a_bad_value_is_not_hidden_by_a_better_source() {
        message(&[set("network.rpc_port", "1")], &[("RPC_PORT", "web")]);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_is_not_utf_8_is_an_error_and_not_another_folder() {
        use std::os::unix::ffi::OsStringExt;
        let pairs = vec![("DATA_DIR".into(), OsString::from_vec(vec![b'/', 0xff]))];
        let error = load(&[], pairs).unwrap_err().to_string();
        assert!(
            error.contains("DATA_DIR") && error.contains("UTF-8"),
            "{error}"
        );
    }

    #[test]
    fn an_idle_timeout_below_the_ping_interval_is_remarked_upon() {
        let loaded = load(&[set("performance.idle_timeout", "5s")], []).unwrap();
        assert_eq!(loaded.warnings.len(), 1);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_loader_fall_over(key in "\\PC{0,80}", value in "\\PC{0,80}") {
            if let Err(error) = load(&[set(&key, &value)], []) {
                prop_assert!(!error.to_string().contains('\n'));
            }
            for row in KEYS {
                if let Err(error) = load(&[set(row.name, &value)], []) {
                    prop_assert!(error.to_string().contains(row.allowed));
                }
            }
        }
    }
}
