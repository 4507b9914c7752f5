//! The 20-byte address.

use super::hex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Last 20 bytes of keccak-256 over a public key; see the module's top.
///
/// As text `0x` and 40 lower-case digits. In human-readable serde formats it is
/// that text, in binary ones its 20 bytes without a length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address(pub [u8; 20]);

impl Address {
    /// Twenty zero bytes: nobody's address, used where the chain means "none".
    pub const ZERO: Address = Address([0; 20]);

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        hex::write(f, &self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not an address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressError {
    text: String,
}

/// How much of a bad text an error repeats, in characters.
const QUOTED: usize = 64;

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is not an address: write 0x and 40 hexadecimal digits",
            self.text.escape_debug()
        )
    }
}

impl std::error::Error for AddressError {}

impl FromStr for Address {
    type Err = AddressError;

    /// `0x` and 40 digits of any case; the mixed-case checksum of EIP-55 is
    /// not looked at.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix("0x")
            .and_then(hex::decode_array)
            .map(Address)
            .ok_or_else(|| AddressError {
                text: text.chars().take(QUOTED).collect(),
            })
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 20]>::deserialize(deserializer).map(Address)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_that_is_almost_an_address_is_refused() {
        let good = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
        let address: Address = good.parse().unwrap();
        assert_eq!(address.to_string(), good.to_lowercase());
        let no_prefix = good.strip_prefix("0x").unwrap();
        for bad in [
            no_prefix,
            "0X00",
            "",
            "0x",
            &format!("{good}0"),
            &format!(" {good}"),
        ] {
            let error = bad.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("40 hexadecimal digits"), "{error}");
        }
    }

    #[test]
    fn an_error_does_not_repeat_a_megabyte_of_text() {
        let error = "é".repeat(1 << 20).parse::<Address>().unwrap_err();
        assert!(error.to_string().len() < 300);
    }

    proptest! {
        #[test]
        fn every_form_comes_back(bytes: [u8; 20]) {
            let address = Address(bytes);
            prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
            let binary = postcard::to_allocvec(&address).unwrap();
            prop_assert_eq!(&binary[..], &bytes[..]);
            prop_assert_eq!(postcard::from_bytes::<Address>(&binary).unwrap(), address);
            let json = serde_json::to_string(&address).unwrap();
            prop_assert_eq!(&json, &format!("\"{address}\""));
            prop_assert_eq!(serde_json::from_str::<Address>(&json).unwrap(), address);
        }
    }
}
