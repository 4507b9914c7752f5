//! Amounts of tokens: whole numbers of 10^-18, as on the chain. Never a float, so
//! that what is added up over a year is exact.

use std::fmt;

/// Decimals of a token.
const DECIMALS: usize = 18;
/// One token.
pub const ONE: u128 = 10u128.pow(18);
/// The most that a setting may name: a billion tokens. A rate of as many, times
/// the largest ticket value there is, still fits 128 bits.
pub const MAX: Tokens = Tokens(1_000_000_000 * ONE);

/// An amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tokens(pub u128);

impl Tokens {
    /// From a decimal text such as `12` or `0.05`.
    ///
    /// # Errors
    /// A phrase that says what is wrong.
    pub fn parse(text: &str) -> Result<Tokens, String> {
        let text = text.trim();
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || whole.len() + part.len() == 0 {
            return Err("it is not a decimal number such as 0.05".to_owned());
        }
        if part.len() > DECIMALS {
            return Err(format!("a token has {DECIMALS} decimals, not more"));
        }
        let scaled = format!("{whole}{part:0<DECIMALS$}");
        let amount = scaled.parse().map(Tokens);
        amount.map_err(|_| "it is more than 128 bits hold".to_owned())
    }

    /// Both together, or the most that there can be.
    #[must_use]
    pub fn plus(self, other: Tokens) -> Tokens {
        Tokens(self.0.saturating_add(other.0))
    }

    /// `self * part / whole`, rounded down. `part` is below 2^64 and `whole` is
    /// not 0; beyond 128 bits it is the most that there can be.
    #[must_use]
    pub fn times(self, part: u64, whole: u64) -> Tokens {
        let (part, whole) = (u128::from(part), u128::from(whole.max(1)));
        // (q * whole + r) * part / whole, where the first term has no remainder.
        let (q, r) = (self.0 / whole, self.0 % whole);
        let rest = r.saturating_mul(part) / whole;
        Tokens(q.saturating_mul(part).saturating_add(rest))
    }
}

/// As [`Tokens::parse`] reads it, without needless zeros.
impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / ONE, self.0 % ONE);
        if part == 0 {
            return write!(f, "{whole}");
        }
        let part = format!("{part:0>DECIMALS$}");
        write!(f, "{whole}.{}", part.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_read_and_written_exactly() {
        for (text, amount, shown) in [
            ("0", 0, "0"),
            ("12", 12 * ONE, "12"),
            (" 0.10 ", ONE / 10, "0.1"),
            (".5", ONE / 2, "0.5"),
            ("3.", 3 * ONE, "3"),
            ("0.000000000000000001", 1, "0.000000000000000001"),
            ("1000000000", MAX.0, "1000000000"),
        ] {
            assert_eq!(Tokens::parse(text).unwrap(), Tokens(amount), "{text}");
            assert_eq!(Tokens(amount).to_string(), shown);
        }
        for text in [
            "",
            ".",
            "-1",
            "+1",
            "1e3",
            "1,5",
            "0x10",
            "0.0000000000000000001",
            "99999999999999999999999999999999999999999",
            "1.2.3",
        ] {
            assert!(Tokens::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_is_rounded_down_once_and_never_overflows() {
        assert_eq!(Tokens(10).times(1, 3), Tokens(3));
        assert_eq!(Tokens(7).times(3, 2), Tokens(10));
        assert_eq!(
            MAX.times(u64::MAX, 1_000_000_000).0,
            MAX.0 / 1_000_000_000 * u128::from(u64::MAX)
        );
        assert_eq!(Tokens(u128::MAX).times(u64::MAX, 1), Tokens(u128::MAX));
        assert_eq!(Tokens(5).times(1, 0), Tokens(5));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(amount in 0..=MAX.0) {
            prop_assert_eq!(Tokens::parse(&Tokens(amount).to_string()), Ok(Tokens(amount)));
        }

        #[test]
        fn a_share_is_the_exact_one(amount in 0..=u128::from(u64::MAX), part: u64, whole in 1..=u64::MAX) {
            let exact = amount * u128::from(part) / u128::from(whole);
            prop_assert_eq!(Tokens(amount).times(part, whole), Tokens(exact));
        }
    }
}
