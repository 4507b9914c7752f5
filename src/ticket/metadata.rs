//! What a device writes into its ticket's `local_address`.
//!
//! ```text
//! 02 || RLP([["s", [relay:20 ...]], ["t", unix], ["f", [fleet:20 ...]], ["p", hash:32]])
//! 00 || address:20      this address, then the node that has the ticket
//! 01 || address:20      the node that has the ticket, then this address
//! anything else         no hint
//! ```
//!
//! Keys come in any order, unknown ones are ignored; `f` and `p` are left out
//! when they are empty, and then the bytes are those of Diode's clients. The
//! field is hashed into the device's signature, so nobody else can change it.

use std::fmt;

use crate::identity::Address;
use crate::wire::rlp::{Encoder, Item, RlpError};

/// Longest `local_address` in bytes: room for some twenty addresses. Each ticket
/// is stored and, later, found by others: it has to stay small.
pub const MAX_LOCAL_ADDRESS: usize = 512;

/// What `local_address` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalAddress {
    /// The form with keys.
    Hints(Hints),
    /// This address before the node that has the ticket.
    Preferred(Address),
    /// This address after the node that has the ticket.
    Fallback(Address),
    /// Bytes that say nothing to us.
    Opaque,
}

/// The form with keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// `s`: nodes by which the device can be reached, the best first.
    pub relays: Vec<Address>,
    /// `t`: when it was written, in seconds since 1970.
    pub time: Option<u64>,
    /// `f`: fleets whose nodes may serve the device.
    pub fleets: Vec<Address>,
    /// `p`: hash of the transaction that paid.
    pub payment: Option<[u8; 32]>,
}

/// Why `local_address` cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HintError {
    /// It is longer than [`MAX_LOCAL_ADDRESS`].
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The same key stands in it twice.
    Twice,
    /// What follows the first byte is not the RLP that belongs there.
    Rlp(RlpError),
}

impl From<RlpError> for HintError {
    fn from(error: RlpError) -> HintError {
        HintError::Rlp(error)
    }
}

impl fmt::Display for HintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HintError::TooLong { len } => write!(
                f,
                "local_address has {len} bytes, the limit is {MAX_LOCAL_ADDRESS}: name fewer relays"
            ),
            HintError::Twice => f.write_str("local_address has a key twice: write each key once"),
            HintError::Rlp(error) => write!(f, "local_address begins with 02 and {error}"),
        }
    }
}

impl std::error::Error for HintError {}

impl LocalAddress {
    /// Reads `bytes`.
    ///
    /// # Errors
    /// They are too long, or begin like hints and are none.
    pub fn parse(bytes: &[u8]) -> Result<LocalAddress, HintError> {
        if bytes.len() > MAX_LOCAL_ADDRESS {
            return Err(HintError::TooLong { len: bytes.len() });
        }
        let Some((form, rest)) = bytes.split_first() else {
            return Ok(LocalAddress::Opaque);
        };
        Ok(match (form, <[u8; 20]>::try_from(rest)) {
            (0, Ok(address)) => LocalAddress::Preferred(Address(address)),
            (1, Ok(address)) => LocalAddress::Fallback(Address(address)),
            (2, _) => LocalAddress::Hints(Hints::read(Item::parse(rest)?)?),
            _ => LocalAddress::Opaque,
        })
    }
}

impl Hints {
    fn read(item: Item<'_>) -> Result<Hints, HintError> {
        let mut hints = Hints::default();
        let (mut has_relays, mut has_fleets) = (false, false);
        for pair in item.items()? {
            let [key, value] = pair.tuple()?;
            let twice = match key.bytes()? {
                b"s" => {
                    hints.relays = addresses(value)?;
                    std::mem::replace(&mut has_relays, true)
                }
                b"t" => hints.time.replace(value.u64()?).is_some(),
                b"f" => {
                    hints.fleets = addresses(value)?;
                    std::mem::replace(&mut has_fleets, true)
                }
                b"p" => hints.payment.replace(value.array()?).is_some(),
                _ => false,
            };
            if twice {
                return Err(HintError::Twice);
            }
        }
        Ok(hints)
    }

    /// The bytes of `local_address`.
    ///
    /// # Errors
    /// They would be too long.
    pub fn to_bytes(&self) -> Result<Vec<u8>, HintError> {
        let mut rlp = Encoder::new();
        rlp.list(|map| {
            pair(map, b"s", |value| write_addresses(value, &self.relays));
            if let Some(time) = self.time {
                pair(map, b"t", |value| {
                    value.u64(time);
                });
            }
            if !self.fleets.is_empty() {
                pair(map, b"f", |value| write_addresses(value, &self.fleets));
            }
            if let Some(hash) = &self.payment {
                pair(map, b"p", |value| {
                    value.bytes(hash);
                });
            }
        });
        let mut bytes = vec![2];
        bytes.append(&mut rlp.finish());
        if bytes.len() > MAX_LOCAL_ADDRESS {
            return Err(HintError::TooLong { len: bytes.len() });
        }
        Ok(bytes)
    }
}

fn addresses(item: Item<'_>) -> Result<Vec<Address>, RlpError> {
    item.items()?
        .map(|address| address.array().map(Address))
        .collect()
}

fn write_addresses(to: &mut Encoder, addresses: &[Address]) {
    to.list(|list| {
        for address in addresses {
            list.bytes(&address.0);
        }
    });
}

fn pair(map: &mut Encoder, key: &[u8], value: impl FnOnce(&mut Encoder)) {
    map.list(|pair| {
        pair.bytes(key);
        value(pair);
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::testing::vector;
    use super::*;
    use crate::identity::{hex, sha256};
    use proptest::prelude::*;

    #[test]
    fn hints_without_our_keys_are_those_of_diode() {
        let v = vector("ticket.local_address.v2");
        let hints = Hints {
            relays: v
                .texts("input", "preferred")
                .iter()
                .map(|digits| Address(hex::decode_array(digits).unwrap()))
                .collect(),
            time: Some(v.number("input", "timestamp")),
            ..Hints::default()
        };
        let bytes = hints.to_bytes().unwrap();
        assert_eq!(bytes, v.bytes("expected", "local_address"));
        assert_eq!(sha256(&[&bytes]), v.array("expected", "sha256"));
        assert_eq!(
            LocalAddress::parse(&bytes).unwrap(),
            LocalAddress::Hints(hints)
        );
    }

    #[test]
    fn the_old_forms_are_understood() {
        let v = vector("ticket.local_address.legacy");
        let address = Address(v.array("input", "addr"));
        let parse = |field| LocalAddress::parse(&v.bytes("expected", field)).unwrap();
        assert_eq!(parse("preferred_form"), LocalAddress::Preferred(address));
        assert_eq!(parse("secondary_form"), LocalAddress::Fallback(address));
        for bytes in [&b""[..], b"\0", b"\x01short", b"\x03", b"test", &[0; 22]] {
            assert_eq!(LocalAddress::parse(bytes).unwrap(), LocalAddress::Opaque);
        }
    }

    #[test]
    fn a_key_of_a_later_version_does_not_hide_the_others() {
        let mut rlp = Encoder::new();
        rlp.list(|map| {
            pair(map, b"zz", |value| {
                value.list(|list| {
                    list.bytes(b"new").list(|_| {});
                });
            });
            pair(map, b"t", |value| {
                value.u64(7);
            });
        });
        let bytes = [vec![2], rlp.finish()].concat();
        let LocalAddress::Hints(hints) = LocalAddress::parse(&bytes).unwrap() else {
            unreachable!()
        };
        assert_eq!(hints.time, Some(7));
        assert!(hints.relays.is_empty());
    }

    #[test]
    fn what_has_two_meanings_has_none() {
        let twice = |key: &[u8]| {
            let mut rlp = Encoder::new();
            rlp.list(|map| {
                for _ in 0..2 {
                    pair(map, key, |value| match key {
                        b"t" => {
                            value.u64(7);
                        }
                        b"p" => {
                            value.bytes(&[7; 32]);
                        }
                        _ => write_addresses(value, &[]),
                    });
                }
            });
            LocalAddress::parse(&[vec![2], rlp.finish()].concat())
        };
        for key in [b"s", b"t", b"f", b"p"] {
            assert_eq!(twice(key), Err(HintError::Twice));
        }
        assert!(LocalAddress::parse(&[2]).is_err());
        assert!(LocalAddress::parse(&[2, 0x80]).is_err());
        assert!(LocalAddress::parse(&[2, 0xc1, 0xc0]).is_err());
    }

    #[test]
    fn a_device_cannot_fill_our_disk_with_hints() {
        let hints = |relays| Hints {
            relays: vec![Address([1; 20]); relays],
            ..Hints::default()
        };
        assert!(hints(23).to_bytes().unwrap().len() <= MAX_LOCAL_ADDRESS);
        assert!(matches!(
            hints(25).to_bytes(),
            Err(HintError::TooLong { .. })
        ));
        let long = [9; MAX_LOCAL_ADDRESS + 1];
        assert_eq!(
            LocalAddress::parse(&long),
            Err(HintError::TooLong { len: 513 })
        );
    }

    proptest! {
        #[test]
        fn every_set_of_hints_comes_back(
            relays in proptest::collection::vec(any::<[u8; 20]>(), 0..8),
            time: Option<u64>,
            fleets in proptest::collection::vec(any::<[u8; 20]>(), 0..8),
            payment: Option<[u8; 32]>,
        ) {
            let hints = Hints {
                relays: relays.into_iter().map(Address).collect(),
                time,
                fleets: fleets.into_iter().map(Address).collect(),
                payment,
            };
            let bytes = hints.to_bytes().unwrap();
            prop_assert_eq!(
                LocalAddress::parse(&bytes).unwrap(),
                LocalAddress::Hints(hints)
            );
            for cut in 1..bytes.len() {
                prop_assert!(LocalAddress::parse(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_never_crash_the_parser(mut bytes: Vec<u8>) {
            let _ = LocalAddress::parse(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = 2;
            }
            let _ = LocalAddress::parse(&bytes);
        }
    }
}
