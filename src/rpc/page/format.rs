//! How a value is written. `script.js` has the same forms under the same
//! letters, and a test in a browser compares what both write.
//!
//! | form | of | writes |
//! | --- | --- | --- |
//! | (none) | anything | as it is; lists with commas; nothing known: a dash |
//! | `n` | a number | digits in groups of three |
//! | `b`, `r` | bytes, bytes a second | `1.42 MB`, `1.42 MB/s` |
//! | `d`, `f` | seconds | `3 d 4 h`, `for 3 d 4 h` |
//! | `a` | seconds since 1970 | `12 s ago` |
//! | `t` | seconds since 1970 | `22 Nov 21:14 UTC` |
//! | `p` | a share of one | `97.3 %` |
//! | `c`, `m`, `k` | percent, milliseconds, degrees Celsius | `12.5 %`, `8 ms`, `51.2 °C` |
//! | `s`, `w`, `v` | a state | its class, its word, its sentence |
//! | `tok` | tokens, a decimal text | `1.25 CHR` |
//! | `i`, `il`, `o`, `ol`, `top`, `sum` | a history | paths and words of the chart |

use super::chart;
use serde_json::Value;

/// What stands where nothing is known.
pub(super) const UNKNOWN: &str = "–";
const BYTES: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A value in a form; `now` is the time of the values, in seconds since 1970.
pub(super) fn text(value: &Value, form: &str, now: f64) -> String {
    if matches!(form, "s" | "w" | "v") {
        let [class, word, sentence] = state(value.as_str().unwrap_or_default());
        return match form {
            "s" => class,
            "w" => word,
            _ => sentence,
        }
        .to_owned();
    }
    if value.is_object() {
        return chart::text(value, form);
    }
    if let Some(number) = value.as_f64() {
        return of_number(number, form, now);
    }
    match value {
        Value::Null => UNKNOWN.to_owned(),
        Value::Bool(yes) => (if *yes { "yes" } else { "no" }).to_owned(),
        Value::String(text) if text.is_empty() => UNKNOWN.to_owned(),
        Value::String(text) if form == "u" => text.replace('_', " "),
        Value::String(text) if form == "tok" => text.clone() + " CHR",
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => UNKNOWN.to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| text(item, form, now)).collect();
            items.join(", ")
        }
        other => other.to_string(),
    }
}

fn of_number(number: f64, form: &str, now: f64) -> String {
    match form {
        "n" => grouped(number),
        "b" => bytes(number),
        "r" => bytes(number) + "/s",
        "d" => duration(number),
        "f" => "for ".to_owned() + &duration(number),
        "a" => match now - number {
            past if past < 1.0 => "now".to_owned(),
            past => age(past) + " ago",
        },
        "t" => date(number),
        "p" => fixed(number * 100.0, 1) + " %",
        "c" => fixed(number, 1) + " %",
        "m" => grouped(number) + " ms",
        "k" => fixed(number, 1) + " °C",
        _ if number.fract() == 0.0 => format!("{number:.0}"),
        _ => fixed(number, 2),
    }
}

/// Halves go up, as in the script: `{:.1}` alone rounds them to even digits.
fn fixed(number: f64, digits: i32) -> String {
    let scale = 10f64.powi(digits);
    let places = usize::try_from(digits).unwrap_or(0);
    format!("{:.places$}", (number * scale + 0.5).floor() / scale)
}

fn grouped(number: f64) -> String {
    let digits = fixed(number, 0);
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        let left = digits.len() - place;
        if place > 0 && left.is_multiple_of(3) && !text.ends_with('-') {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Three digits and a unit.
pub(super) fn bytes(number: f64) -> String {
    let mut number = number;
    let mut units = BYTES.iter().peekable();
    let mut unit = units.next().unwrap_or(&"");
    while number >= 999.5 && units.peek().is_some() {
        number /= 1000.0;
        unit = units.next().unwrap_or(unit);
    }
    let digits = match number {
        _ if *unit == "B" => 0,
        n if n < 9.995 => 2,
        n if n < 99.95 => 1,
        _ => 0,
    };
    fixed(number, digits) + " " + unit
}

/// The two largest units.
fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).floor() as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if days > 0 {
        format!("{days} d {} h", hours % 24)
    } else if hours > 0 {
        format!("{hours} h {} min", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes} min {} s", seconds % 60)
    } else {
        format!("{seconds} s")
    }
}

/// The largest unit alone: what lies back is not watched by the second.
fn age(seconds: f64) -> String {
    let text = duration(seconds);
    let mut words = text.split(' ');
    [words.next(), words.next()]
        .map(Option::unwrap_or_default)
        .join(" ")
}

/// Day and time by UTC: Howard Hinnant's `civil_from_days`, from 1970 on.
fn date(unix: f64) -> String {
    let unix = unix.max(0.0).floor() as u64;
    let days = unix / 86_400 + 719_468;
    let day_of_era = days % 146_097;
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = usize::try_from((from_march + 2) % 12).unwrap_or(0);
    let month = MONTHS.get(month).unwrap_or(&"");
    let (hour, minute) = (unix / 3600 % 24, unix / 60 % 60);
    format!("{day} {month} {hour:02}:{minute:02} UTC")
}

/// Its class in the style sheet, its word, its sentence. A state that this page does not know shows as unknown.
fn state(state: &str) -> [&'static str; 3] {
    match state {
        "ok" => ["ok", "Well", "Every part of the node does its work."],
        "degraded" => [
            "degraded",
            "Degraded",
            "It relays, but not everything works.",
        ],
        "failing" => ["failing", "Failing", "It does not do its job now."],
        _ => ["unknown", "Unknown", ""],
    }
}
