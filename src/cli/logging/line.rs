//! How a message becomes a line.

use crate::config::value::Format;
use log::{Level, Record};
use serde_json::Value;
use std::io::{self, IsTerminal};

/// Longest message in characters: what devices and peers say is in it, and a
/// line must not fill a log by itself.
const LONGEST: usize = 2000;

/// How a line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// The journal keeps the time and wants the priority as `<N>` (sd-daemon(3)).
    Journal,
    /// Everyone else wants both in words.
    Plain,
    /// Programs that read logs want an object a line.
    Json,
}

impl Style {
    /// What a setting means for this process.
    pub fn of(format: Format) -> Self {
        match format {
            Format::Auto if leads_to_the_journal() => Style::Journal,
            Format::Auto | Format::Plain => Style::Plain,
            Format::Journal => Style::Journal,
            Format::Json => Style::Json,
        }
    }

    /// The line of a message, without its end.
    pub fn line(self, level: Level, target: &str, message: &str, unix: u64) -> String {
        if self == Style::Json {
            let level = level.as_str().to_ascii_lowercase();
            let time = timestamp(unix);
            // Only the message can hold what must be escaped.
            let (room, message) = (room(target), Value::from(message));
            return format!(
                r#"{{"time":"{time}","level":"{level}","room":"{room}","message":{message}}}"#
            );
        }
        let mut line = match self {
            Style::Journal => format!("<{}>", priority(level)),
            _ => format!("{} {level:<5} ", timestamp(unix)),
        };
        if level >= Level::Debug {
            // Where it was said matters to whoever looks that closely.
            line.push_str(target);
            line.push_str(": ");
        }
        for c in message.chars() {
            // Whatever could forge a line.
            if c.is_control() {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
        }
        line
    }
}

/// The message of a record, cut where it is too long.
pub(super) fn message(record: &Record<'_>) -> String {
    let mut text = record.args().to_string();
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The room of the house that a record comes from; for other crates their name.
fn room(target: &str) -> &str {
    match target.strip_prefix("chr_node") {
        Some("") => "cli",
        Some(path) => {
            let path = path.trim_start_matches(':');
            path.split("::").next().unwrap_or(path)
        }
        None => target.split("::").next().unwrap_or(target),
    }
}

fn leads_to_the_journal() -> bool {
    let ours = nix::sys::stat::fstat(io::stderr()).ok();
    let named = std::env::var("JOURNAL_STREAM").ok();
    match (ours, named) {
        // A variable that was inherited past a redirection names another stream.
        (Some(stat), Some(name)) => {
            !io::stderr().is_terminal() && name == format!("{}:{}", stat.st_dev, stat.st_ino)
        }
        _ => false,
    }
}

/// Syslog's numbers.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// `2026-11-22T12:09:59Z` (RFC 3339). Days to a date: Howard Hinnant's
/// "chrono-compatible low-level date algorithms", civil_from_days.
fn timestamp(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_message_cannot_forge_a_second_line() {
        let text = "peer said: a\n<0>fire";
        let line = |style: Style| style.line(Level::Warn, "chr_node::edge", text, 0);
        assert_eq!(line(Style::Journal), "<4>peer said: a\\n<0>fire");
        assert_eq!(
            line(Style::Plain),
            "1970-01-01T00:00:00Z WARN  peer said: a\\n<0>fire"
        );
        let object: serde_json::Value = serde_json::from_str(&line(Style::Json)).unwrap();
        assert_eq!(
            object,
            json!({"time": "1970-01-01T00:00:00Z", "level": "warn", "room": "edge", "message": text})
        );
        assert!(!line(Style::Json).contains('\n'));
    }

    #[test]
    fn a_message_that_a_peer_made_long_is_cut() {
        let long = "é".repeat(10_000);
        let cut = message(&Record::builder().args(format_args!("{long}")).build());
        assert_eq!(cut.chars().count(), LONGEST + 1);
    }

    #[test]
    fn a_record_s_room_is_the_first_part_of_its_path() {
        for (target, wanted) in [
            ("chr_node::edge::server::listener", "edge"),
            ("chr_node::node", "node"),
            ("chr_node", "cli"),
            ("polling::epoll", "polling"),
            ("rustls", "rustls"),
        ] {
            assert_eq!(room(target), wanted);
        }
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        for (unix, wanted) in [
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(unix), wanted);
        }
    }
}
