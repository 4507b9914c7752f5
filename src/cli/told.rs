//! What a node has told, for people: members that may be missing, times, tables.
//!
//! The node may be an older or a newer one, or no friend: what is missing is a
//! dash, and no text reaches the terminal with control characters in it.

use super::screen::amount;
use serde_json::Value;

/// What stands for something that is not known.
pub const UNKNOWN: &str = "-";

/// The member that a path such as `info.node_id` leads to; null where there is
/// none.
#[must_use]
pub fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.')
        .fold(value, |value, name| value.get(name).unwrap_or(&Value::Null))
}

/// A member as text.
#[must_use]
pub fn text(value: &Value, path: &str) -> String {
    match at(value, path) {
        Value::Null => UNKNOWN.to_owned(),
        Value::String(text) if text.is_empty() => UNKNOWN.to_owned(),
        Value::String(text) => clean(text),
        other => clean(&other.to_string()),
    }
}

/// A member that is a text, if it is there.
#[must_use]
pub fn said(value: &Value, path: &str) -> Option<String> {
    let text = at(value, path).as_str()?;
    Some(clean(text)).filter(|text| !text.is_empty())
}

/// A member that is a whole number.
#[must_use]
pub fn number(value: &Value, path: &str) -> Option<u64> {
    at(value, path).as_u64()
}

/// A member that is a list.
#[must_use]
pub fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).as_array().map_or(&[], Vec::as_slice)
}

/// A number of bytes.
#[must_use]
pub fn bytes(value: &Value, path: &str) -> String {
    number(value, path).map_or_else(|| UNKNOWN.to_owned(), amount)
}

/// A number with some decimals and a unit behind it.
#[must_use]
pub fn real(value: &Value, path: &str, decimals: usize, unit: &str) -> String {
    match at(value, path).as_f64() {
        Some(number) => format!("{number:.decimals$}{unit}"),
        None => UNKNOWN.to_owned(),
    }
}

/// Milliseconds.
#[must_use]
pub fn millis(value: &Value, path: &str) -> String {
    number(value, path).map_or_else(|| UNKNOWN.to_owned(), |ms| format!("{ms} ms"))
}

/// How long ago a member's time is, in seconds since 1970.
#[must_use]
pub fn since(value: &Value, path: &str, now: u64) -> String {
    number(value, path).map_or_else(|| UNKNOWN.to_owned(), |unix| ago(unix, now))
}

/// A text without characters that would do something to a terminal.
#[must_use]
pub fn clean(text: &str) -> String {
    let harmless = |c: char| {
        // Marks that turn the direction of writing can hide what a line says.
        let turns = matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(harmless).collect()
}

/// `0x1234…cdef`, as far as it is an address.
#[must_use]
pub fn short(address: &str) -> String {
    match (address.get(..6), address.get(38..)) {
        (Some(head), Some(tail)) if address.len() == 42 => format!("{head}…{tail}"),
        _ => address.to_owned(),
    }
}

/// The time, in seconds since 1970 by this machine's clock.
#[must_use]
pub fn now() -> u64 {
    crate::time::wall().as_secs()
}

/// A time in the past.
#[must_use]
pub fn ago(unix: u64, now: u64) -> String {
    span(now.saturating_sub(unix))
}

/// Seconds, in the unit that says most.
#[must_use]
pub fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Date and time in UTC: `2027-01-16 13:00`.
#[must_use]
pub fn date(unix: u64) -> String {
    // Civil from days, by Howard Hinnant: the year begins in March, so the day
    // that is there only in leap years is its last.
    let (days, seconds) = (unix / 86_400, unix % 86_400);
    let days = days.saturating_add(719_468);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, late) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = year + era * 400 + late;
    let (hour, minute) = (seconds / 3600, seconds / 60 % 60);
    format!("{year:04}-{month:02}-{date:02} {hour:02}:{minute:02}")
}

/// Columns: what stands above, with `>` in front where it is aligned to the right.
/// The last column is as wide as it is.
#[must_use]
pub fn table(columns: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let heads: Vec<String> = columns
        .iter()
        .map(|head| head.trim_start_matches('>').to_owned())
        .collect();
    let lines = std::iter::once(&heads).chain(rows);
    let wide = |at: usize| {
        let cells = lines.clone().filter_map(|line| line.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let wide: Vec<usize> = (0..columns.len()).map(wide).collect();
    let line = |cells: &Vec<String>| {
        let mut line = String::new();
        for ((cell, head), wide) in cells.iter().zip(columns).zip(&wide) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            let blank = " ".repeat(wide.saturating_sub(cell.chars().count()));
            if head.starts_with('>') {
                line.push_str(&blank);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&blank);
            }
        }
        line.trim_end().to_owned()
    };
    lines.clone().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_short() {
        for (passed, text) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_200, "2 h"),
            (200_000, "2 d"),
        ] {
            assert_eq!(ago(1_000_000, 1_000_000 + passed), text);
        }
        assert_eq!(ago(2, 1), "0 s", "a clock that went back");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix, text) in [
            (0, "1970-01-01 00:00"),
            (951_782_400, "2000-02-29 00:00"),
            (1_800_057_600, "2027-01-16 00:00"),
            (1_800_057_600 + 47_100, "2027-01-16 13:05"),
            (4_107_542_399, "2100-02-28 23:59"),
            (4_107_542_400, "2100-03-01 00:00"),
        ] {
            assert_eq!(date(unix), text);
        }
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_a_dash_and_not_an_error() {
        let value = json!({"a": {"b": 5, "c": null, "d": "x", "e": ""}});
        assert_eq!(text(&value, "a.b"), "5");
        for path in ["a.c", "a.e", "a.x.y", "b", "a.d.e"] {
            assert_eq!(text(&value, path), UNKNOWN, "{path}");
        }
        assert_eq!(number(&value, "a.d"), None);
        assert_eq!(bytes(&value, "a.d"), UNKNOWN);
        assert_eq!(real(&value, "a.b", 2, " %"), "5.00 %");
        assert!(list(&value, "a").is_empty());
        assert_eq!(text(&Value::Null, "a"), UNKNOWN);
    }

    #[test]
    fn a_node_cannot_send_commands_to_the_terminal() {
        let value = json!({"agent": "a\u{1b}[2J\u{9b}\r\nb\u{202e}c"});
        let told = text(&value, "agent");
        assert!(!told.chars().any(char::is_control), "{told:?}");
        assert_eq!(told.chars().count(), 11);
    }

    #[test]
    fn columns_are_aligned_whatever_is_in_them() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["a", "12", "long…er"]), row(["bbb", "5", ""])];
        let wanted = ["name   n  rest", "a     12  long…er", "bbb    5"];
        assert_eq!(table(&["name", ">n", "rest"], &rows), wanted);
    }
}
