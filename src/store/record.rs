//! How a row becomes bytes.
//!
//! ```text
//! value = version:8 || postcard(row) || crc:32 (little-endian)
//! crc   = CRC-32C(key || version || postcard(row))
//! ```
//!
//! LMDB has no checksums, and cheap flash returns wrong bits without an error;
//! the key is covered as well, so a value that ended up under another key is
//! found too. A row that cannot be read is reported and skipped: one bad block
//! must not keep a node from starting.

use std::fmt;

use crc::Crc;
use serde::{de::DeserializeOwned, Serialize};

use super::{StoreError, Table};

/// Longest key in bytes: LMDB's own limit.
pub const MAX_KEY: usize = 511;

/// Longest value in bytes. A ticket row takes at most 700, and LMDB gives values
/// above a quarter of a page pages of their own, which costs flash.
pub const MAX_VALUE: usize = 16 * 1024;

/// Bytes of a value that are not the row: version and checksum.
/// Castagnoli's polynomial (RFC 3720), a byte at a time: rows are short.
static CRC_32C: Crc<u32, crc::Table<1>> = Crc::<u32, crc::Table<1>>::new(&crc::CRC_32_ISCSI);
const OVERHEAD: usize = 1 + CHECKSUM;
const CHECKSUM: usize = 4;

/// A kind of row.
pub trait Record: Serialize + DeserializeOwned {
    /// Where it lives.
    const TABLE: Table;
    /// The version of its layout. Postcard has no field names: any change of the
    /// struct needs a new number.
    const VERSION: u8;
    /// The key: 1 to [`MAX_KEY`] bytes, sorting as the rows are asked for.
    fn key(&self) -> Vec<u8>;
}

/// Why the bytes of a row are not the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowFault {
    /// Fewer bytes than version and checksum take.
    Short,
    /// Some bits of key or value are not those that were written.
    Checksum,
    /// Another version of the layout.
    Version { found: u8, known: u8 },
    /// The checksum is right and the layout is not.
    Layout,
}

impl fmt::Display for RowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RowFault::Short => f.write_str("it is too short"),
            RowFault::Checksum => f.write_str("its checksum is wrong"),
            RowFault::Version { found, known } => {
                write!(f, "its layout has version {found}, known is {known}")
            }
            RowFault::Layout => f.write_str("its layout is not the one of its version"),
        }
    }
}

/// Key and value of `row`.
pub(super) fn encode<R: Record>(row: &R) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let body = postcard::to_extend(row, vec![R::VERSION]);
    seal(row.key(), body, R::TABLE)
}

/// The checks and the checksum: what does not depend on the kind of row.
fn seal(
    key: Vec<u8>,
    body: postcard::Result<Vec<u8>>,
    table: Table,
) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(StoreError::TooBig {
            what: "key",
            size: key.len(),
            limit: MAX_KEY,
        });
    }
    let mut value = body.map_err(|error| StoreError::Io {
        path: table.name().into(),
        text: format!("a row cannot be encoded: {error}"),
    })?;
    let crc = checksum(&key, &value);
    value.extend_from_slice(&crc);
    if value.len() > MAX_VALUE {
        return Err(StoreError::TooBig {
            what: "value",
            size: value.len(),
            limit: MAX_VALUE,
        });
    }
    Ok((key, value))
}

/// Version and body of a row whose checksum is right.
pub(super) fn check<'v>(key: &[u8], value: &'v [u8]) -> Result<(u8, &'v [u8]), RowFault> {
    if value.len() < OVERHEAD {
        return Err(RowFault::Short);
    }
    let (covered, crc) = value
        .split_last_chunk::<CHECKSUM>()
        .ok_or(RowFault::Short)?;
    if *crc != checksum(key, covered) {
        return Err(RowFault::Checksum);
    }
    let (&version, body) = covered.split_first().ok_or(RowFault::Short)?;
    Ok((version, body))
}

/// The row of `key` and `value`.
pub(super) fn decode<R: Record>(key: &[u8], value: &[u8]) -> Result<R, RowFault> {
    let (version, body) = check(key, value)?;
    if version != R::VERSION {
        return Err(RowFault::Version {
            found: version,
            known: R::VERSION,
        });
    }
    match postcard::take_from_bytes(body) {
        Ok((row, [])) => Ok(row),
        _ => Err(RowFault::Layout),
    }
}

pub(super) fn checksum(key: &[u8], covered: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = CRC_32C.digest();
    sum.update(key);
    sum.update(covered);
    sum.finalize().to_le_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        name: String,
        number: u64,
    }
    impl Record for Note {
        const TABLE: Table = Table::Meta;
        const VERSION: u8 = 3;
        fn key(&self) -> Vec<u8> {
            self.name.clone().into_bytes()
        }
    }

    #[test]
    fn the_layout_on_disk_does_not_change_by_accident() {
        let note = Note {
            name: "ab".into(),
            number: 300,
        };
        let (key, value) = encode(&note).unwrap();
        assert_eq!(key, b"ab");
        let mut wanted = vec![3, 2, b'a', b'b', 0xac, 0x02];
        let mut covered = key.clone();
        covered.extend(&wanted);
        // As another program calculates it.
        wanted.extend(0x7f05_abaf_u32.to_le_bytes());
        assert_eq!(value, wanted);
    }

    #[test]
    fn a_key_that_lmdb_cannot_hold_is_refused_before_it_spoils_a_transaction() {
        for name in [String::new(), "k".repeat(MAX_KEY + 1)] {
            let note = Note { name, number: 0 };
            assert!(matches!(
                encode(&note),
                Err(StoreError::TooBig { what: "key", .. })
            ));
        }
    }

    #[test]
    fn a_row_of_another_version_is_named_and_not_misread() {
        let note = Note {
            name: "n".into(),
            number: 7,
        };
        let (key, mut value) = encode(&note).unwrap();
        value.truncate(value.len() - CHECKSUM);
        value[0] = 4;
        let crc = checksum(&key, &value);
        value.extend(crc);
        assert_eq!(
            decode::<Note>(&key, &value),
            Err(RowFault::Version { found: 4, known: 3 })
        );
    }

    proptest! {
        #[test]
        fn every_row_comes_back_and_no_damaged_one(
            name in "[a-z]{1,20}", number: u64, byte: usize, bit in 0u8..8, garbage: u8) {
            let note = Note { name, number };
            let (key, value) = encode(&note).unwrap();
            prop_assert_eq!(decode::<Note>(&key, &value).unwrap(), note);
            for cut in 0..value.len() {
                prop_assert!(decode::<Note>(&key, &value[..cut]).is_err());
            }
            let mut longer = value.clone();
            longer.push(garbage);
            prop_assert!(decode::<Note>(&key, &longer).is_err());
            let mut flipped = value.clone();
            let at = byte % flipped.len();
            flipped[at] ^= 1 << bit;
            prop_assert_eq!(decode::<Note>(&key, &flipped), Err(RowFault::Checksum));
            let mut other = key.clone();
            other[0] ^= 1 << bit;
            prop_assert_eq!(decode::<Note>(&other, &value), Err(RowFault::Checksum));
        }
    }
}
