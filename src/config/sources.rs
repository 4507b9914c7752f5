//! Where values come from, and which one wins.
//!
//! Lowest first: the built-in default, the profile, what `auto` derives from the
//! device, the settings file, the
//! environment, the command line. Within the environment `CHR_SECTION__KEY` wins
//! over the short name, on the command line the later option over the earlier.
//! An empty variable counts as unset, because that is what templates of service
//! files leave behind. Which profile holds is a setting itself, so it is looked
//! for first.

use super::error::sections;
use super::file::{self, Content, Entry, Fault};
use super::fit::fit;
use super::slip::nearest;
use super::value::shown;
use super::{ConfigError, Key, Profile, Settings, KEYS};
use crate::parts::{self, Part};
use crate::platform::device::Device;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// What begins the variables that are ours alone.
const PREFIX: &str = "CHR_";

/// Devices ping every 100 s; a shorter idle timeout than this drops the quiet ones.
const SAFE_IDLE: Duration = Duration::from_secs(110);

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The file of a profile, which is part of the program.
    Profile(Profile),
    /// What `auto` saw of the device, as a phrase.
    Device(String),
    /// A settings file, and the line in it.
    File(PathBuf, usize),
    /// An environment variable of this name.
    Environment(String),
    /// An option of this name.
    CommandLine(&'static str),
    /// Somebody who changed a running node, by this way.
    Call(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("built-in default"),
            Source::Profile(profile) => write!(f, "profile {profile}"),
            Source::Device(why) => write!(f, "auto: {why}"),
            Source::File(path, line) => write!(f, "{}:{line}", path.display()),
            Source::Environment(name) => write!(f, "environment variable {}", shown(name)),
            Source::CommandLine(option) => write!(f, "command line, {option}"),
            Source::Call(way) => f.write_str(way),
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

/// What Termux sets in its shells.
const TERMUX: &str = "TERMUX_VERSION";

/// What was asked for, from all sides. It can be loaded again: the file is read
/// anew then, while the environment and the command line stay what they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `--set`, `--data-dir` and `--profile`, in their order.
    pub command_line: Vec<Assignment>,
    /// `--config FILE`
    pub file: Option<PathBuf>,
    /// The variables that could be ours.
    environment: Vec<(String, OsString)>,
    /// What `auto` chose the first time, why, and for which device: a node does not
    /// become another kind of device while it runs.
    chosen: OnceLock<(Profile, String, Device)>,
}

/// Settings, and the story of each.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The values.
    pub settings: Settings,
    /// What the operator should hear once, a sentence each.
    pub warnings: Vec<String>,
    /// What is wrong with settings of the file that nobody here needs.
    pub passed_over: Vec<String>,
    /// Why its profile was chosen, when nobody asked for one.
    pub chosen: Option<String>,
    /// How the keys begin that are needed.
    needs: &'static str,
    /// One a key that was set; a table of three dozen rows needs no tree.
    origins: Vec<(&'static str, Source)>,
}

impl Loaded {
    /// Settings that nobody was asked for.
    #[must_use]
    pub fn of(settings: Settings) -> Loaded {
        Loaded {
            settings,
            ..Loaded::default()
        }
    }

    /// Where the value of a key came from.
    #[must_use]
    pub fn origin(&self, key: &str) -> &Source {
        let found = self.origins.iter().find(|(name, _)| *name == key);
        found.map_or(&Source::Default, |(_, source)| source)
    }

    pub(super) fn set_origin(&mut self, key: &'static str, source: Source) {
        match self.origins.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = source,
            None => self.origins.push((key, source)),
        }
    }

    pub(super) fn assign(
        &mut self,
        key: &'static Key,
        value: String,
        source: Source,
    ) -> Result<(), ConfigError> {
        let absent = parts::missing_for_setting(key.name);
        if let Some(part) = absent.filter(|_| !matches!(source, Source::Profile(_))) {
            return self.leave_out(key, value, source, part);
        }
        match (key.set)(&mut self.settings, &value) {
            Ok(()) => {
                self.set_origin(key.name, source);
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

    /// A value for a part that this build is without. Who says it here and now is
    /// told; a file that is for other builds, too, is taken as it is, with a warning.
    fn leave_out(
        &mut self,
        key: &'static Key,
        value: String,
        source: Source,
        part: Part,
    ) -> Result<(), ConfigError> {
        let mut without = Settings::default();
        let problem = match (key.set)(&mut without, &value) {
            Ok(()) if key.is_off(&without) => return Ok(()),
            Ok(()) => part.absent.to_owned(),
            Err(problem) => problem,
        };
        match source {
            Source::File(..) | Source::Environment(_) if problem == part.absent => {
                self.warnings
                    .push(format!("{} ({source}) has no effect: {problem}", key.name));
                Ok(())
            }
            source => Err(ConfigError::BadValue {
                key: key.name,
                value,
                source,
                allowed: match problem == part.absent {
                    true => "only its default (leave it out)",
                    false => key.allowed,
                },
                problem,
            }),
        }
    }

    /// A mistake at `key`, unless nobody here needs what it says, nor what is likely
    /// to be meant by it.
    fn pass_over(&mut self, key: &str, mistake: ConfigError) -> Result<(), ConfigError> {
        let meant = match &mistake {
            ConfigError::UnknownKey { similar, .. } => similar.as_deref(),
            ConfigError::UnknownSection { similar, .. } => similar.as_deref(),
            _ => None,
        };
        if [Some(key), meant]
            .into_iter()
            .flatten()
            .any(|key| key.starts_with(self.needs))
        {
            return Err(mistake);
        }
        self.passed_over.push(mistake.to_string());
        Ok(())
    }

    /// Takes over what a file says.
    fn take_file(
        &mut self,
        content: &Content,
        source: impl Fn(usize) -> Source,
    ) -> Result<(), ConfigError> {
        let known = sections();
        for (n, section) in content.sections.iter().enumerate() {
            if !known.contains(&section.name.as_str()) {
                let mistake = ConfigError::UnknownSection {
                    similar: nearest(&section.name, known.iter().copied()),
                    section: section.name.clone(),
                    source: source(section.line),
                };
                self.pass_over(&section.name, mistake)?;
                continue;
            }
            // All before it are known and single, so they are few.
            let before = content.sections.iter().take(n);
            if let Some(first) = before.into_iter().find(|s| s.name == section.name) {
                let mistake = ConfigError::Twice {
                    what: format!("[{}]", section.name),
                    source: source(section.line),
                    first: first.line,
                };
                self.pass_over(&section.name, mistake)?;
            }
        }
        for (n, entry) in content.entries.iter().enumerate() {
            let before = content.entries.get(..n).unwrap_or_default();
            if let Err(mistake) = self.take_entry(entry, before, source(entry.line)) {
                self.pass_over(&entry.key, mistake)?;
            }
        }
        Ok(())
    }

    fn take_entry(
        &mut self,
        entry: &Entry,
        before: &[Entry],
        source: Source,
    ) -> Result<(), ConfigError> {
        let key = find(&entry.key, &source)?;
        if let Some(first) = before.iter().find(|e| e.key == entry.key) {
            return Err(ConfigError::Twice {
                what: entry.key.clone(),
                source,
                first: first.line,
            });
        }
        if !key.takes.takes(entry.kind) {
            return Err(ConfigError::BadValue {
                key: key.name,
                value: entry.text.clone(),
                source,
                problem: format!("{} does not belong here", entry.kind.words()),
                allowed: key.allowed,
            });
        }
        self.assign(key, entry.text.clone(), source)
    }
}

/// The row of a key, or who is meant instead.
pub(super) fn find(key: &str, source: &Source) -> Result<&'static Key, ConfigError> {
    Key::find(key).ok_or_else(|| ConfigError::UnknownKey {
        similar: similar(key),
        key: key.to_owned(),
        source: source.clone(),
    })
}

impl Request {
    /// With what the environment says now.
    #[must_use]
    pub fn new(
        command_line: &[Assignment],
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Request {
        Request {
            command_line: command_line.to_vec(),
            file: file.map(Path::to_owned),
            environment: relevant(environment),
            chosen: OnceLock::new(),
        }
    }

    /// As [`Request::load`] for who needs nothing but the settings whose keys begin so:
    /// other mistakes in the file are [`Loaded::passed_over`].
    ///
    /// # Errors
    /// As [`Request::load`].
    pub fn load_for(&self, needs: &'static str) -> Result<Loaded, ConfigError> {
        let termux = self.environment.iter().any(|(name, _)| name == TERMUX);
        self.load_needed(&Device::read(termux), needs)
    }

    /// Puts the sources on top of each other.
    ///
    /// # Errors
    /// A file that cannot be read, or the first unknown key or bad value, also
    /// where a higher source would hide it.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        self.load_for("")
    }

    /// The same for a device that is not this one.
    ///
    /// # Errors
    /// As [`Request::load`].
    pub fn load_on(&self, device: &Device) -> Result<Loaded, ConfigError> {
        self.load_needed(device, "")
    }

    fn load_needed(&self, device: &Device, needs: &'static str) -> Result<Loaded, ConfigError> {
        let content = match &self.file {
            Some(path) => Some((path, read(path)?)),
            None => None,
        };
        // Once without a profile, to learn which one is wanted.
        let mut upper = Loaded {
            needs,
            ..Loaded::default()
        };
        self.take_upper(&mut upper, content.as_ref())?;
        let (profile, auto) = match upper.settings.node.profile_wanted {
            Some(profile) => (profile, None),
            None => {
                let (profile, why, device) = self.chosen.get_or_init(|| {
                    let (profile, why) = Profile::choose(device);
                    (profile, why, device.clone())
                });
                (*profile, Some((why, device)))
            }
        };
        let mut loaded = Loaded {
            chosen: auto.map(|(why, _)| why.clone()),
            needs,
            ..Loaded::default()
        };
        loaded.take_file(&parse(profile)?, |_| Source::Profile(profile))?;
        // The file names its profile, for those who start from a copy of it.
        loaded.settings.node.profile_wanted = None;
        loaded.set_origin("node.profile", Source::Default);
        if let Some((_, device)) = auto {
            fit(&mut loaded, profile, device, &upper.settings)?;
        }
        self.take_upper(&mut loaded, content.as_ref())?;
        loaded.settings.node.profile = profile;
        judge(&mut loaded);
        Ok(loaded)
    }

    /// The layers above the profile and the device.
    fn take_upper(
        &self,
        loaded: &mut Loaded,
        content: Option<&(&PathBuf, Content)>,
    ) -> Result<(), ConfigError> {
        if let Some((path, content)) = content {
            loaded.take_file(content, |line| Source::File((*path).clone(), line))?;
        }
        self.take_environment(loaded)?;
        for Assignment { key, value, option } in &self.command_line {
            let source = Source::CommandLine(option);
            loaded.assign(find(key, &source)?, value.clone(), source)?;
        }
        Ok(())
    }

    fn take_environment(&self, loaded: &mut Loaded) -> Result<(), ConfigError> {
        let variables = &self.environment;
        for key in KEYS {
            for name in key
                .env
                .map(str::to_owned)
                .into_iter()
                .chain([key.variable()])
            {
                let Some((_, value)) = variables.iter().find(|(other, _)| *other == name) else {
                    continue;
                };
                let source = Source::Environment(name);
                let Some(text) = value.to_str() else {
                    return Err(ConfigError::BadValue {
                        key: key.name,
                        value: value.to_string_lossy().into_owned(),
                        source,
                        problem: "it is not UTF-8".to_owned(),
                        allowed: key.allowed,
                    });
                };
                loaded.assign(key, text.to_owned(), source)?;
            }
        }
        for (name, _) in variables {
            if name.starts_with(PREFIX) && !KEYS.iter().any(|key| key.variable() == *name) {
                return Err(unknown_variable(name));
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Content, ConfigError> {
    file::read(path)
        .and_then(|text| file::parse(&text))
        .map_err(|fault| in_file(path, fault))
}

fn parse(profile: Profile) -> Result<Content, ConfigError> {
    let path = format!("configs/{profile}.toml");
    file::parse(profile.file()).map_err(|fault| in_file(Path::new(&path), fault))
}

fn in_file(path: &Path, fault: Fault) -> ConfigError {
    ConfigError::File {
        path: path.to_owned(),
        line: fault.line,
        problem: fault.problem,
    }
}

/// The variables that could be ours and are not empty.
fn relevant(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<(String, OsString)> {
    environment
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| {
            name.starts_with(PREFIX)
                || name == TERMUX
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
pub(super) fn judge(loaded: &mut Loaded) {
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
mod tests;
