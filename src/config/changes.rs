//! What has become another when settings are loaded anew.

use super::sources::{find, judge};
use super::{ConfigError, Loaded, Source, KEYS};
use std::fmt;

/// A setting that has another value now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: &'static str,
    /// The value until now, as its key reads it.
    pub before: String,
    /// The value that is wanted.
    pub after: String,
    /// Whether a node that runs takes it over; otherwise it needs a restart.
    pub live: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: \"{}\" is now \"{}\"",
            self.key, self.before, self.after
        )
    }
}

impl Loaded {
    /// What `newer` has otherwise, in the order of the table.
    #[must_use]
    pub fn changes(&self, newer: &Loaded) -> Vec<Change> {
        let value = |loaded: &Loaded, key: &super::Key| (key.get)(&loaded.settings);
        KEYS.iter()
            .map(|key| Change {
                key: key.name,
                before: value(self, key),
                after: value(newer, key),
                live: key.live,
            })
            .filter(|change| change.before != change.after)
            .collect()
    }

    /// What holds when somebody has changed values of a running node, `source` being the way
    /// by which he did: all of them, or none.
    ///
    /// # Errors
    /// The first that cannot be: no such key, no such value, one that needs a restart, or one
    /// that the environment or the command line has set.
    pub fn amend(
        &self,
        values: &[(String, String)],
        source: &'static str,
    ) -> Result<Loaded, ConfigError> {
        let source = Source::Call(source);
        let mut amended = self.clone();
        amended.warnings.clear();
        for (name, value) in values {
            let key = find(name, &source)?;
            if !key.live {
                return Err(ConfigError::Restart {
                    key: key.name,
                    source,
                });
            }
            let by = self.origin(key.name);
            if matches!(by, Source::Environment(_) | Source::CommandLine(_)) {
                return Err(ConfigError::Held {
                    key: key.name,
                    source,
                    by: by.clone(),
                });
            }
            amended.assign(key, value.clone(), source.clone())?;
        }
        judge(&mut amended);
        Ok(amended)
    }

    /// What holds when a running node has taken `newer` over: its live values,
    /// and everything else as it was, so that it is named again the next time.
    #[must_use]
    pub fn adopt(&self, newer: &Loaded) -> Loaded {
        let mut adopted = self.clone();
        adopted.warnings.clone_from(&newer.warnings);
        for key in KEYS.iter().filter(|key| key.live) {
            // What a row shows it also reads (a test says so).
            if (key.set)(&mut adopted.settings, &(key.get)(&newer.settings)).is_ok() {
                adopted.set_origin(key.name, newer.origin(key.name).clone());
            }
        }
        adopted
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::config::{Assignment, Request, Source};

    fn request(pairs: &[(&str, &str)]) -> Request {
        let command_line: Vec<Assignment> = pairs
            .iter()
            .map(|(key, value)| Assignment {
                key: (*key).to_owned(),
                value: (*value).to_owned(),
                option: "--set",
            })
            .collect();
        Request::new(&command_line, None, [])
    }

    #[test]
    fn what_cannot_change_while_it_runs_is_named_each_time_until_a_restart() {
        let before = request(&[("log.level", "warn")]).load().unwrap();
        let newer = request(&[("log.level", "debug"), ("network.rpc_port", "7")])
            .load()
            .unwrap();
        let changes = before.changes(&newer);
        let told: Vec<(&str, bool)> = changes.iter().map(|c| (c.key, c.live)).collect();
        assert_eq!(told, [("network.rpc_port", false), ("log.level", true)]);
        assert_eq!(
            changes.last().unwrap().to_string(),
            "log.level: \"warn\" is now \"debug\""
        );
        let adopted = before.adopt(&newer);
        assert_eq!(adopted.settings.log.level.to_string(), "debug");
        assert_eq!(adopted.settings.network.rpc_port, Some(8545));
        assert_eq!(adopted.origin("log.level"), &Source::CommandLine("--set"));
        let again: Vec<&str> = adopted.changes(&newer).iter().map(|c| c.key).collect();
        assert_eq!(again, ["network.rpc_port"]);
    }

    #[test]
    fn a_value_that_is_written_in_another_way_is_no_change() {
        let one = request(&[("performance.idle_timeout", "300s")])
            .load()
            .unwrap();
        let other = request(&[("performance.idle_timeout", "5m")])
            .load()
            .unwrap();
        assert_eq!(one.changes(&other), []);
    }
}
