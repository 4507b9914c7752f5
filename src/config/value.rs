//! Text to values and back. Every parser returns what is wrong as a phrase
//! that fits behind `KEY = "VALUE": `; what is allowed stands in the key's row.

mod logs;
pub mod peers;
pub mod power;
pub mod rewards;
pub mod web;

pub use logs::{format, level, levels, Format, Levels, ROOMS};
pub use peers::{FleetNode, Metered, PeerPlace, Serve, SubnetLimits};

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

/// The address of no one, as text.
pub const ZERO_ADDRESS: &str = "0x0000000000000000000000000000000000000000";

/// Names and addresses in a list beyond this are a mistake, not a wish.
const MAX_LIST: usize = 1024;

/// RFC 1035 section 2.3.4.
const MAX_HOST_NAME: usize = 253;
const MAX_HOST_LABEL: usize = 63;

/// TLS versions that a listener offers; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsVersions {
    /// TLS 1.2: clients in other languages, Diode.
    pub tls12: bool,
    /// TLS 1.3: our own devices.
    pub tls13: bool,
}

/// Durations: `250ms`, `30s`, `5m`, `1h`, `2d`, or plain seconds. Longest unit first.
const DURATION_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Sizes: `64K`, `64M`, `1G`, `1T` (powers of 1024; `KiB` and `KB` mean the same), or plain bytes.
const SIZE_UNITS: [(&str, u64); 4] = [
    ("T", 1 << 40),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
];

/// Splits `12abc` into number and unit.
fn number_and_unit(text: &str) -> Result<(u64, &str), String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err("it does not start with a whole number".to_owned());
    }
    let number = number
        .parse()
        .map_err(|_| "the number is too large".to_owned())?;
    Ok((number, unit.trim()))
}

/// A duration.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = number_and_unit(text)?;
    let unit = if unit.is_empty() { "s" } else { unit };
    let (_, millis) = DURATION_UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| format!("\"{}\" is not a unit of time (ms, s, m, h, d)", shown(unit)))?;
    number
        .checked_mul(*millis)
        .map(Duration::from_millis)
        .ok_or_else(|| "the number is too large".to_owned())
}

/// A duration as [`duration`] reads it, in the largest unit without a remainder.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (unit, size) = DURATION_UNITS
        .iter()
        .find(|(_, size)| millis != 0 && millis % size == 0)
        .unwrap_or(&("s", 1_000));
    format!("{}{unit}", millis / size)
}

/// A number of bytes.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = number_and_unit(text)?;
    if unit.is_empty() || unit.eq_ignore_ascii_case("b") {
        return Ok(number);
    }
    SIZE_UNITS
        .iter()
        .find(|(name, _)| {
            let rest = unit.get(name.len()..).unwrap_or("?");
            let first = unit.get(..name.len()).unwrap_or("");
            first.eq_ignore_ascii_case(name)
                && ["", "b", "ib"].iter().any(|r| rest.eq_ignore_ascii_case(r))
        })
        .ok_or_else(|| format!("\"{}\" is not a unit of size (K, M, G, T)", shown(unit)))
        .and_then(|(_, bytes)| {
            number
                .checked_mul(*bytes)
                .ok_or_else(|| "the number is too large".to_owned())
        })
}

/// A size as [`size`] reads it, in the largest unit without a remainder.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    SIZE_UNITS
        .iter()
        .find(|(_, unit)| bytes != 0 && bytes.is_multiple_of(*unit))
        .map_or_else(
            || bytes.to_string(),
            |(name, unit)| format!("{}{name}", bytes / unit),
        )
}

/// `auto` as `None`, else what `parse` makes of it.
///
/// # Errors
/// Those of `parse`.
pub fn auto<T>(
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if text.trim().eq_ignore_ascii_case("auto") {
        Ok(None)
    } else {
        parse(text).map(Some)
    }
}

/// A whole number within bounds.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn number<T>(text: &str, least: T, most: T) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let value: T = text
        .trim()
        .parse()
        .map_err(|_| "it is not a whole number of this range".to_owned())?;
    within(value, &least, &most, T::to_string)
}

/// `value` if it lies within the bounds, which are shown by `show` otherwise.
///
/// # Errors
/// A phrase that names the bound.
pub fn within<T: PartialOrd>(
    value: T,
    least: &T,
    most: &T,
    show: impl Fn(&T) -> String,
) -> Result<T, String> {
    if value < *least {
        Err(format!("it is below {}", show(least)))
    } else if value > *most {
        Err(format!("it is above {}", show(most)))
    } else {
        Ok(value)
    }
}

/// `true` or `false`, and the words that people use for them.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("it is neither true nor false".to_owned()),
    }
}

/// The items of a list that is separated by commas, white space or both.
///
/// # Errors
/// When there are more than 1,024.
pub fn list(text: &str) -> Result<Vec<&str>, String> {
    let items: Vec<&str> = text
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|item| !item.is_empty())
        .take(MAX_LIST + 1)
        .collect();
    if items.len() > MAX_LIST {
        return Err(format!("the list has more than {MAX_LIST} items"));
    }
    Ok(items)
}

/// A list whose items are all valid and all different.
///
/// # Errors
/// A phrase that names the item.
pub fn list_of<T: PartialEq>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let mut values = Vec::new();
    for item in list(text)? {
        let value = parse(item).map_err(|problem| format!("in \"{}\", {problem}", shown(item)))?;
        if values.contains(&value) {
            return Err(format!("\"{}\" is there twice", shown(item)));
        }
        values.push(value);
    }
    Ok(values)
}

/// A port number; 0 stands for any free one.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn port(text: &str) -> Result<u16, String> {
    text.trim()
        .parse()
        .map_err(|_| "a port is a number from 0 to 65535".to_owned())
}

/// `off` as `None`, else a port.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn port_or_off(text: &str) -> Result<Option<u16>, String> {
    if text.trim().eq_ignore_ascii_case("off") {
        Ok(None)
    } else {
        port(text).map(Some)
    }
}

/// Several ports, or `off` for none. A 0 may be there more than once.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn ports(text: &str) -> Result<Vec<u16>, String> {
    if text.trim().eq_ignore_ascii_case("off") {
        return Ok(Vec::new());
    }
    let mut ports = Vec::new();
    for item in list(text)? {
        let number = port(item).map_err(|problem| format!("in \"{}\", {problem}", shown(item)))?;
        if number != 0 && ports.contains(&number) {
            return Err(format!("{number} is there twice"));
        }
        ports.push(number);
    }
    if ports.is_empty() {
        return Err("it names no port".to_owned());
    }
    Ok(ports)
}

/// One or more IP addresses.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    let found = list_of(text, |item| {
        // Brackets are how people write IPv6 beside a port.
        let bare = item
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(item);
        bare.parse()
            .map_err(|_| "an IP address is wanted, without a port".to_owned())
    })?;
    if found.is_empty() {
        return Err("it names no address".to_owned());
    }
    Ok(found)
}

/// An IP address or a host name (letters, digits, `-`, `_`, `.`), in lower case.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn host(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_ascii_lowercase());
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let label_is_fine = |label: &str| {
        !label.is_empty()
            && label.len() <= MAX_HOST_LABEL
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.contains(':') {
        Err("it is neither an IP address nor a host name (no port belongs here)".to_owned())
    } else if name.len() > MAX_HOST_NAME || !name.split('.').all(label_is_fine) {
        Err("it is neither an IP address nor a host name".to_owned())
    } else {
        Ok(name.to_ascii_lowercase())
    }
}

/// `0x` and 40 hexadecimal digits, in lower case.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn address(text: &str) -> Result<String, String> {
    let text = text.trim();
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .ok_or_else(|| "an address starts with 0x".to_owned())?;
    if digits.len() != 40 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("an address has 40 hexadecimal digits behind 0x".to_owned());
    }
    Ok(format!("0x{}", digits.to_ascii_lowercase()))
}

/// `0xFLEET` or `0xFLEET/0xDEVICE`, in lower case.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn fleet_rule(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        None => address(text),
        Some((fleet, device)) => Ok(format!("{}/{}", address(fleet)?, address(device)?)),
    }
}

/// TLS versions.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn tls_versions(text: &str) -> Result<TlsVersions, String> {
    let wanted = list_of(text, |item| match item {
        "1.2" => Ok(12),
        "1.3" => Ok(13),
        _ => Err("the version is not supported".to_owned()),
    })?;
    if wanted.is_empty() {
        return Err("it names no version".to_owned());
    }
    Ok(TlsVersions {
        tls12: wanted.contains(&12),
        tls13: wanted.contains(&13),
    })
}

/// TLS versions as [`tls_versions`] reads them.
#[must_use]
pub fn show_tls_versions(versions: TlsVersions) -> String {
    [(versions.tls12, "1.2"), (versions.tls13, "1.3")]
        .iter()
        .filter(|(on, _)| *on)
        .map(|(_, name)| *name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A value for those who may see the settings but not what opens doors elsewhere: of an
/// address with a scheme only the host is left, for keys stand in its path or before its host.
#[must_use]
pub fn masked(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else {
        return value.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (place, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let host = place.rsplit('@').next().unwrap_or_default();
    let mark = |hidden: bool| if hidden { "…" } else { "" };
    format!(
        "{scheme}://{}{host}{}",
        mark(host.len() < place.len()),
        mark(path.len() > 1)
    )
}

/// Text that was typed by someone, fit for one line: control characters
/// escaped, and not longer than 100 characters.
#[must_use]
pub fn shown(text: &str) -> String {
    const MOST: usize = 100;
    let mut line = String::new();
    for (n, c) in text.chars().enumerate() {
        if n == MOST {
            line.push('…');
            break;
        }
        if c.is_control() {
            // Writing to a String cannot fail.
            let _ = write!(line, "{}", c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests;
