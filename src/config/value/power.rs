//! Values of `[power]`.

use super::peers::Words;

/// Whether the node saves power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaverWish {
    /// While the battery is low and not fed.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Its words.
pub const SAVER: &Words<SaverWish> = &[
    ("auto", SaverWish::Auto),
    ("on", SaverWish::On),
    ("off", SaverWish::Off),
];

/// Degrees Celsius that a bound may be at: where people live, and where chips end.
const DEGREES: std::ops::RangeInclusive<u8> = 30..=120;

/// A number of percent.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn percent(text: &str) -> Result<u8, String> {
    let text = text.trim();
    let digits = text.strip_suffix('%').unwrap_or(text).trim_end();
    let number = digits.parse().ok().filter(|n| *n <= 100);
    number.ok_or_else(|| "it is no number from 0 to 100".to_owned())
}

/// Degrees Celsius, or `off`.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn degrees(text: &str) -> Result<Option<u8>, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let number = text.parse().ok().filter(|n| DEGREES.contains(n));
    number
        .map(Some)
        .ok_or_else(|| "it is no number from 30 to 120".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_may_have_its_sign_and_no_other_unit() {
        assert_eq!(
            (percent(" 12 %"), percent("0"), percent("100")),
            (Ok(12), Ok(0), Ok(100))
        );
        for wrong in ["", "%", "101", "-1", "0.5", "12 %%", "ten"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bound_of_heat_is_where_chips_live() {
        assert_eq!((degrees("80"), degrees("Off")), (Ok(Some(80)), Ok(None)));
        for wrong in ["", "29", "121", "300", "80C"] {
            assert!(degrees(wrong).is_err(), "{wrong}");
        }
    }
}
