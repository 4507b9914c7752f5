//! RLP, Ethereum's encoding of byte strings and lists of them.
//!
//! Only the canonical form is read: one value has one encoding, so bytes that
//! are hashed or signed cannot be written in a second way. An [`Item`] exists
//! only after the whole tree below it was checked, so walking it cannot fail;
//! only asking for the wrong shape can.
//!
//! | first byte | what follows |
//! | --- | --- |
//! | `00..=7f` | nothing: the byte is the string |
//! | `80..=b7` | a string of `first - 80` bytes (one byte only if it is `80` or above) |
//! | `b8..=bf` | `first - b7` bytes of length (no leading zero, 56 or more), the string |
//! | `c0..=f7` | a list whose items take `first - c0` bytes |
//! | `f8..=ff` | `first - f7` bytes of length (likewise), the items |
//!
//! Integers are strings without leading zeros; zero is the empty string.
//! Source: Ethereum yellow paper, appendix B. Vectors: category `rlp`.

use std::fmt;

/// How deep lists may be nested. The deepest thing we read has four levels
/// (the hints of a ticket); the limit keeps the recursion of the check small.
pub const MAX_DEPTH: usize = 8;

/// Longest string or list with its length in the first byte.
const SHORT: usize = 55;

/// Why bytes are not the RLP that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RlpError {
    /// The bytes end before the item does.
    Cut,
    /// Bytes are left after the item.
    Trailing,
    /// A longer form was used where a shorter one exists.
    NotCanonical,
    /// Lists are nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// The item has another shape than the one named.
    Expected(&'static str),
}

impl fmt::Display for RlpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RlpError::Cut => f.write_str("RLP ends before its item does"),
            RlpError::Trailing => f.write_str("RLP is followed by other bytes"),
            RlpError::NotCanonical => f.write_str("RLP is not in its shortest form"),
            RlpError::TooDeep => write!(f, "RLP lists are nested deeper than {MAX_DEPTH}"),
            RlpError::Expected(what) => write!(f, "RLP holds something else where {what} belongs"),
        }
    }
}

impl std::error::Error for RlpError {}

/// One string or list whose whole encoding has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    list: bool,
    payload: &'a [u8],
}

impl<'a> Item<'a> {
    /// Reads exactly one item from `bytes`, checking everything below it.
    /// Time and stack are bounded by the length of `bytes` and [`MAX_DEPTH`];
    /// nothing is allocated.
    ///
    /// # Errors
    /// Every [`RlpError`] but `Expected`.
    pub fn parse(bytes: &'a [u8]) -> Result<Item<'a>, RlpError> {
        let (item, rest) = split(bytes)?;
        if !rest.is_empty() {
            return Err(RlpError::Trailing);
        }
        item.check(0)?;
        Ok(item)
    }

    fn check(&self, depth: usize) -> Result<(), RlpError> {
        if !self.list {
            return Ok(());
        }
        if depth >= MAX_DEPTH {
            return Err(RlpError::TooDeep);
        }
        let mut rest = self.payload;
        while !rest.is_empty() {
            let (item, after) = split(rest)?;
            item.check(depth.saturating_add(1))?;
            rest = after;
        }
        Ok(())
    }

    /// Whether it is a list.
    #[must_use]
    pub fn is_list(&self) -> bool {
        self.list
    }

    /// The bytes of a string.
    ///
    /// # Errors
    /// It is a list.
    pub fn bytes(&self) -> Result<&'a [u8], RlpError> {
        if self.list {
            Err(RlpError::Expected("a string"))
        } else {
            Ok(self.payload)
        }
    }

    /// A string of exactly `N` bytes.
    ///
    /// # Errors
    /// It is a list or has another length.
    pub fn array<const N: usize>(&self) -> Result<[u8; N], RlpError> {
        self.bytes()?
            .try_into()
            .map_err(|_| RlpError::Expected("a string of another length"))
    }

    /// An integer.
    ///
    /// # Errors
    /// It is a list, has a leading zero, or does not fit.
    pub fn u64(&self) -> Result<u64, RlpError> {
        let bytes = self.bytes()?;
        if bytes.first() == Some(&0) {
            return Err(RlpError::NotCanonical);
        }
        if bytes.len() > 8 {
            return Err(RlpError::Expected("an integer of at most 64 bits"));
        }
        Ok(big_endian(bytes))
    }

    /// The items of a list, in order.
    ///
    /// # Errors
    /// It is a string.
    pub fn items(&self) -> Result<Items<'a>, RlpError> {
        if self.list {
            Ok(Items { rest: self.payload })
        } else {
            Err(RlpError::Expected("a list"))
        }
    }

    /// The items of a list of exactly `N`.
    ///
    /// # Errors
    /// It is a string, or has more or fewer items.
    pub fn tuple<const N: usize>(&self) -> Result<[Item<'a>; N], RlpError> {
        let mut tuple = [Item {
            list: false,
            payload: &[],
        }; N];
        self.fill(&mut tuple)?;
        Ok(tuple)
    }

    fn fill(&self, tuple: &mut [Item<'a>]) -> Result<(), RlpError> {
        let wrong = RlpError::Expected("a list of another length");
        let mut items = self.items()?;
        for slot in tuple {
            *slot = items.next().ok_or(wrong)?;
        }
        match items.next() {
            None => Ok(()),
            Some(_) => Err(wrong),
        }
    }
}

/// The items of a checked list.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        // The list was checked when it was parsed; the only end is the last item.
        let (item, rest) = split(self.rest).ok()?;
        self.rest = rest;
        Some(item)
    }
}

/// The first item of `bytes` (its header checked, not what is in it) and the rest.
fn split(bytes: &[u8]) -> Result<(Item<'_>, &[u8]), RlpError> {
    let (&first, rest) = bytes.split_first().ok_or(RlpError::Cut)?;
    if first < 0x80 {
        let (payload, rest) = bytes.split_at_checked(1).ok_or(RlpError::Cut)?;
        return Ok((
            Item {
                list: false,
                payload,
            },
            rest,
        ));
    }
    let list = first >= 0xc0;
    let form = usize::from(first & 0x3f);
    let (length, rest) = if form <= SHORT {
        (form, rest)
    } else {
        let (digits, rest) = rest
            .split_at_checked(form.saturating_sub(SHORT))
            .ok_or(RlpError::Cut)?;
        if digits.first() == Some(&0) {
            return Err(RlpError::NotCanonical);
        }
        // A length that no memory can hold is longer than what is here.
        let length = usize::try_from(big_endian(digits)).map_err(|_| RlpError::Cut)?;
        if length <= SHORT {
            return Err(RlpError::NotCanonical);
        }
        (length, rest)
    };
    let (payload, rest) = rest.split_at_checked(length).ok_or(RlpError::Cut)?;
    if !list && matches!(payload, [byte] if *byte < 0x80) {
        return Err(RlpError::NotCanonical);
    }
    Ok((Item { list, payload }, rest))
}

/// At most eight bytes as a number.
fn big_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Writes items one after the other. What is written outside of every list is
/// a sequence; one call makes one item.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    out: Vec<u8>,
}

impl Encoder {
    /// Nothing written yet.
    #[must_use]
    pub fn new() -> Encoder {
        Encoder::default()
    }

    /// A string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Encoder {
        if !matches!(bytes, [byte] if *byte < 0x80) {
            let header = Header::new(0x80, bytes.len());
            self.out.extend_from_slice(header.as_slice());
        }
        self.out.extend_from_slice(bytes);
        self
    }

    /// An integer in its shortest form.
    pub fn u64(&mut self, number: u64) -> &mut Encoder {
        self.bytes(significant(&number.to_be_bytes()))
    }

    /// A list of what `fill` writes.
    pub fn list(&mut self, fill: impl FnOnce(&mut Encoder)) -> &mut Encoder {
        let start = self.out.len();
        fill(self);
        self.close(start);
        self
    }

    /// Puts the header before what was written from `start` on: its length is known
    /// only now. Moving the items once a level costs less than a buffer a level.
    fn close(&mut self, start: usize) {
        let header = Header::new(0xc0, self.out.len().saturating_sub(start));
        let header = header.as_slice();
        self.out.extend_from_slice(header);
        if let Some(list) = self.out.get_mut(start..) {
            list.rotate_right(header.len());
        }
    }

    /// The bytes written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// The bytes of a big-endian number without its leading zeros.
fn significant(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// The first byte of a string or list, and its length where that follows.
struct Header {
    bytes: [u8; 9],
    used: usize,
}

impl Header {
    fn new(base: u8, length: usize) -> Header {
        let mut header = Header {
            bytes: [0; 9],
            used: 1,
        };
        let wide = (length as u64).to_be_bytes();
        let digits = significant(&wide);
        // Neither sum can pass 0xff: a short length is at most 55, a long one
        // has at most eight digits.
        let first = if length <= SHORT {
            base.saturating_add(length as u8)
        } else {
            header.used = digits.len().saturating_add(1);
            for (slot, digit) in header.bytes.iter_mut().skip(1).zip(digits) {
                *slot = *digit;
            }
            base.saturating_add(SHORT as u8)
                .saturating_add(digits.len() as u8)
        };
        if let Some(slot) = header.bytes.first_mut() {
            *slot = first;
        }
        header
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
