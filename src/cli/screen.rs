//! What a device's program says: JSON events for scripts, plain lines for
//! people, and on a terminal one calm line with state and traffic.

use crate::edge::device::Traffic;
use crate::identity::Address;
use serde_json::{Map, Value};
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often the line on the terminal is drawn anew, if it changed.
pub const REFRESH: Duration = Duration::from_secs(1);

/// Where things are said.
pub struct Screen {
    json: bool,
    /// Standard error is a terminal and nothing else is asked for.
    live: bool,
    drawn: Mutex<Drawn>,
}

#[derive(Default)]
struct Drawn {
    line: String,
    sent: u64,
    received: u64,
}

impl Screen {
    /// `json`: events as JSON, one object a line. `quiet`: no live line.
    #[must_use]
    pub fn new(json: bool, quiet: bool) -> Screen {
        Screen {
            json,
            live: !json && !quiet && io::stderr().is_terminal(),
            drawn: Mutex::default(),
        }
    }

    /// Whether a live line is drawn.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Whether events are JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Something that happened: `event` for scripts, `line` for people.
    pub fn say(&self, event: &Value, line: &str) {
        if self.json {
            // A script that no longer listens is no reason to stop carrying traffic.
            let _ = writeln!(io::stdout(), "{event}");
            return;
        }
        self.clear();
        let _ = writeln!(io::stdout(), "{line}");
    }

    /// Something that went wrong: on standard error for people.
    pub fn warn(&self, event: &Value, line: &str) {
        if self.json {
            let _ = writeln!(io::stdout(), "{event}");
            return;
        }
        self.clear();
        let _ = writeln!(io::stderr(), "{line}");
    }

    /// Draws the live line, if it changed.
    pub fn draw(&self, node: Option<Address>, traffic: &Traffic) {
        if !self.live {
            return;
        }
        let sent = traffic.sent.load(Ordering::Relaxed);
        let received = traffic.received.load(Ordering::Relaxed);
        let open = traffic.open.load(Ordering::Relaxed);
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let (up, down) = (sent - drawn.sent, received - drawn.received);
        (drawn.sent, drawn.received) = (sent, received);
        let state = match node {
            Some(node) => format!("connected to {}", short(node)),
            None => "connecting".to_owned(),
        };
        let line = format!(
            "{state} | {open} open | sent {} ({}/s) | received {} ({}/s)",
            amount(sent),
            amount(up),
            amount(received),
            amount(down)
        );
        if line != drawn.line {
            let _ = write!(io::stderr(), "\r\x1b[K{line}");
            drawn.line = line;
        }
    }

    fn clear(&self) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if !drawn.line.is_empty() {
            let _ = write!(io::stderr(), "\r\x1b[K");
            drawn.line.clear();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.clear();
    }
}

/// An event for scripts: its name, and what there is to say, all of it texts.
#[must_use]
pub fn event(name: &str, fields: &[(&str, &dyn Display)]) -> Value {
    let mut event = Map::new();
    event.insert("event".to_owned(), name.into());
    for (field, text) in fields {
        event.insert((*field).to_owned(), text.to_string().into());
    }
    Value::Object(event)
}

/// `0x1234…cdef`: enough to recognise, short enough for one line.
#[must_use]
pub fn short(address: Address) -> String {
    let text = address.to_string();
    match (text.get(..6), text.get(38..)) {
        (Some(head), Some(tail)) => format!("{head}…{tail}"),
        _ => text,
    }
}

/// Bytes for people, decimal as on disks and in data plans.
#[must_use]
pub fn amount(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("B");
    if unit == 0 || value >= 99.95 {
        format!("{value:.0} {name}")
    } else {
        format!("{value:.1} {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short_and_never_show_a_thousand_of_a_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (123_456, "123 kB"),
            (999_600, "1.0 MB"),
            (5_368_709_120, "5.4 GB"),
        ] {
            assert_eq!(amount(bytes), text);
        }
    }
}
