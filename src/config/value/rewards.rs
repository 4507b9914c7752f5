//! What is earned by what, as settings say it.

use super::{duration, list, shown};
use crate::tokens::{Tokens, MAX};
use std::fmt;
use std::time::Duration;

/// Periods are whole multiples of this: their rows can then be found, and removed
/// after a year, whatever the setting was in between.
pub const STEP: Duration = Duration::from_secs(600);
/// Longest period: what a power cut can cost is one of them.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Rates; `None` where nothing is earned by that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Tokens for 1,000,000,000 of ticket value.
    pub gigabyte: Option<Tokens>,
    /// Tokens for an hour of being up.
    pub hour: Option<Tokens>,
}

impl Rates {
    /// Whether anything is earned by anything.
    #[must_use]
    pub fn are_set(&self) -> bool {
        self.gigabyte.is_some() || self.hour.is_some()
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "";
        for (name, rate) in [("gigabyte", self.gigabyte), ("hour", self.hour)] {
            if let Some(rate) = rate {
                write!(f, "{before}{name}={rate}")?;
                before = ", ";
            }
        }
        Ok(())
    }
}

/// `gigabyte=TOKENS, hour=TOKENS`, one of them, or nothing.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn rates(text: &str) -> Result<Rates, String> {
    let mut rates = Rates::default();
    for item in list(text)? {
        let said = shown(item);
        let Some((name, amount)) = item.split_once('=') else {
            return Err(format!("\"{said}\" has no ="));
        };
        let place = match name.trim() {
            "gigabyte" => &mut rates.gigabyte,
            "hour" => &mut rates.hour,
            _ => return Err(format!("\"{said}\" is neither gigabyte= nor hour=")),
        };
        let amount = tokens(amount).map_err(|e| format!("\"{said}\": {e}"))?;
        if place.replace(amount).is_some() {
            return Err(format!("\"{said}\" is there twice"));
        }
    }
    Ok(rates)
}

/// An amount of tokens, or nothing.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn tokens_or_none(text: &str) -> Result<Option<Tokens>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    tokens(text).map(Some)
}

/// An amount that can be meant.
fn tokens(text: &str) -> Result<Tokens, String> {
    match Tokens::parse(text)? {
        amount if amount <= MAX => Ok(amount),
        _ => Err(format!("it is more than {MAX}")),
    }
}

/// The length of a period.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn period(text: &str) -> Result<Duration, String> {
    let period = duration(text)?;
    let whole = period.as_millis() % STEP.as_millis() == 0;
    if whole && (STEP..=LONGEST).contains(&period) {
        Ok(period)
    } else {
        Err("it is not a multiple of 10m up to 24h".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rates_are_read_in_every_form_and_shown_in_one() {
        for (text, shown) in [
            ("", ""),
            ("gigabyte=0.50", "gigabyte=0.5"),
            ("hour=1 gigabyte=0.5", "gigabyte=0.5, hour=1"),
            ("gigabyte=0.5,hour=0", "gigabyte=0.5, hour=0"),
        ] {
            let read = rates(text).unwrap();
            assert_eq!(read.to_string(), shown);
            assert_eq!(rates(shown).unwrap(), read);
            assert_eq!(read.are_set(), !shown.is_empty());
        }
        for text in [
            "0.5",
            "day=1",
            "hour=",
            "hour=-1",
            "hour=1, hour=2",
            "hour=1e3",
            "hour=1000000000.000000000000000001",
        ] {
            assert!(rates(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_period_is_a_multiple_of_ten_minutes() {
        for text in ["10m", "1h", "3600", "24h"] {
            assert!(period(text).is_ok(), "{text}");
        }
        for text in ["0", "5m", "15m", "25h", "601s", "600001ms"] {
            assert!(period(text).is_err(), "{text}");
        }
    }
}
