//! Levels and formats of the log.

use super::{list, shown};

/// A log level, in any case; `warning` and `none` are understood.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn level(text: &str) -> Result<log::LevelFilter, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "warning" => Ok(log::LevelFilter::Warn),
        "none" => Ok(log::LevelFilter::Off),
        name => name
            .parse()
            .map_err(|_| "it is not a level of the log".to_owned()),
    }
}

/// The rooms whose messages have levels of their own (`src/lib.rs` has the map).
pub const ROOMS: [&str; 26] = [
    "cli", "node", "rpc", "edge", "peer", "dht", "session", "ports", "ticket", "reward", "cache",
    "chain", "store", "wire", "tls", "identity", "config", "platform", "reach", "time", "liveness",
    "task", "sorted", "tokens", "meter", "parts",
];

/// Levels of the log: one for all rooms, and others for some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    /// For every room without its own.
    pub base: log::LevelFilter,
    /// Rooms of [`ROOMS`] with their own level.
    pub rooms: Vec<(&'static str, log::LevelFilter)>,
}

impl Levels {
    /// One level for all rooms.
    #[must_use]
    pub fn all(base: log::LevelFilter) -> Levels {
        Levels {
            base,
            rooms: Vec::new(),
        }
    }
}

impl Default for Levels {
    fn default() -> Self {
        Levels::all(log::LevelFilter::Info)
    }
}

/// As [`levels`] reads them.
impl std::fmt::Display for Levels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let small = |level: &log::LevelFilter| level.as_str().to_ascii_lowercase();
        f.write_str(&small(&self.base))?;
        for (room, level) in &self.rooms {
            write!(f, ", {room}={}", small(level))?;
        }
        Ok(())
    }
}

/// Levels such as `info, edge=debug`; without one for all rooms that is `info`.
///
/// # Errors
/// A phrase that names the item.
pub fn levels(text: &str) -> Result<Levels, String> {
    let mut levels = Levels::default();
    let mut base = None;
    for item in list(text)? {
        let wrong = |problem: &str| format!("in \"{}\", {problem}", shown(item));
        match item.split_once('=') {
            None => {
                // A single word is quoted already, by whoever reports the value.
                let named = level(item)?;
                if base.replace(named).is_some() {
                    return Err(wrong("a second level for all rooms"));
                }
                levels.base = named;
            }
            Some((name, wanted)) => {
                let Some(room) = ROOMS.into_iter().find(|room| *room == name.trim()) else {
                    let rooms = ROOMS.join(", ");
                    return Err(wrong(&format!(
                        "there is no such room; the rooms are {rooms}"
                    )));
                };
                if levels.rooms.iter().any(|(other, _)| *other == room) {
                    return Err(wrong("the room is there twice"));
                }
                levels
                    .rooms
                    .push((room, level(wanted).map_err(|problem| wrong(&problem))?));
            }
        }
    }
    if base.is_none() && levels.rooms.is_empty() {
        return Err("it names no level".to_owned());
    }
    Ok(levels)
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As the journal wants them if standard error leads there, else plain.
    #[default]
    Auto,
    /// Time, level, message.
    Plain,
    /// `<PRIORITY>message` (sd-daemon(3)).
    Journal,
    /// One object a line.
    Json,
}

impl Format {
    /// As it is written in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Auto => "auto",
            Format::Plain => "plain",
            Format::Journal => "journal",
            Format::Json => "json",
        }
    }
}

/// A format of the log.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn format(text: &str) -> Result<Format, String> {
    [Format::Auto, Format::Plain, Format::Journal, Format::Json]
        .into_iter()
        .find(|format| format.name().eq_ignore_ascii_case(text.trim()))
        .ok_or_else(|| "it is not a format of the log".to_owned())
}
