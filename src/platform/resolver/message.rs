//! The bytes of a DNS question and its answer (RFC 1035), without I/O.
//!
//! ```text
//! header    id:16  flags:16  questions:16  answers:16  authority:16  additional:16
//! question  name  type:16  class:16
//! answer    name  type:16  class:16  ttl:32  length:16  data
//! name      (length:8 label)* 0, or it ends in a pointer 11 offset:14
//! ```
//!
//! Only what a stub resolver needs: one question, the addresses and aliases of the
//! answer. The letters of the question are written in random case, and an answer
//! has to repeat them: a forger who cannot see the question has to guess the id,
//! our port and these letters.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name as it is written, lengths and the final zero counted (RFC 1035, 2.3.4).
const NAME_MAX: usize = 255;
/// Longest label: a length of more has its upper bits set, which make a pointer.
const LABEL_MAX: usize = 63;
/// Pointers followed in one name. Each has to point backwards, so that they end;
/// real names have one or two.
const POINTERS_MAX: usize = 16;
/// Records looked at in one answer: a name with more addresses is no host.
const RECORDS_MAX: u16 = 64;
/// Aliases followed inside one answer.
const ALIASES_MAX: usize = 8;
/// Addresses that are taken from one answer.
pub(super) const ADDRESSES_MAX: usize = 16;

const HEADER: usize = 12;
const CLASS_IN: u16 = 1;
const CNAME: u16 = 5;

const ANSWER: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const CODE: u16 = 0x000f;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

impl Kind {
    fn number(self) -> u16 {
        match self {
            Kind::A => 1,
            Kind::Aaaa => 28,
        }
    }
}

/// A question as it is sent.
#[derive(Clone, Debug)]
pub struct Query {
    /// The packet.
    pub bytes: Vec<u8>,
    kind: Kind,
}

/// What an answer says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Addresses, at least one.
    Addresses(Vec<IpAddr>),
    /// Another name stands for it, whose addresses are not in the answer.
    Alias(String),
    /// The name is there, without such an address.
    Nothing,
    /// There is no such name.
    NoName,
    /// It does not fit: to be asked by TCP.
    Truncated,
    /// The server cannot or does not want to say; the number is its code.
    Refused(u8),
}

/// Why bytes are no answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Another id or another question: somebody else's, or forged. It is not there.
    Foreign,
    /// The question's letters come back in another case.
    Case,
    /// It answers the question, and what follows cannot be read.
    Garbled,
}

/// How an answer has to repeat the question's letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters {
    /// In their case.
    Exact,
    /// In any case.
    Any,
}

impl Query {
    /// A question for `name`, with an id and letters by 64 `random` bits. `None` if
    /// it can be no name: a label is empty or too long, or a character is none of
    /// letters, digits, `-` and `_`.
    #[must_use]
    pub fn new(name: &str, kind: Kind, random: u64) -> Option<Query> {
        let [a, b, rest @ ..] = random.to_be_bytes();
        let mut letters = rest
            .iter()
            .flat_map(|byte| (0..8).map(move |i| byte >> i & 1));
        let mut bytes = Vec::with_capacity(HEADER + name.len() + 6);
        for word in [u16::from_be_bytes([a, b]), RECURSION_DESIRED, 1, 0, 0, 0] {
            bytes.extend(word.to_be_bytes());
        }
        for label in name.strip_suffix('.').unwrap_or(name).split('.') {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            if label.is_empty() || label.len() > LABEL_MAX || !label.bytes().all(plain) {
                return None;
            }
            bytes.push(u8::try_from(label.len()).ok()?);
            bytes.extend(label.bytes().map(|b| match letters.next() {
                Some(1) => b.to_ascii_uppercase(),
                _ => b.to_ascii_lowercase(),
            }));
        }
        bytes.push(0);
        if bytes.len() - HEADER > NAME_MAX {
            return None;
        }
        bytes.extend(kind.number().to_be_bytes());
        bytes.extend(CLASS_IN.to_be_bytes());
        Some(Query { bytes, kind })
    }

    /// What `packet` says to this question.
    ///
    /// # Errors
    /// It is not its answer, or none that can be read.
    pub fn read(&self, packet: &[u8], letters: Letters) -> Result<Reply, Wrong> {
        let word = |at: usize| -> Result<u16, Wrong> { number(packet, at).ok_or(Wrong::Foreign) };
        let (id, flags, questions) = (word(0)?, word(2)?, word(4)?);
        let asked = self.bytes.get(HEADER..).unwrap_or_default();
        let echo = packet.get(HEADER..self.bytes.len()).ok_or(Wrong::Foreign)?;
        let ours = Some(id) == number(&self.bytes, 0)
            && flags & ANSWER != 0
            && flags & OPCODE == 0
            && questions == 1
            && echo.eq_ignore_ascii_case(asked);
        if !ours {
            return Err(Wrong::Foreign);
        }
        if letters == Letters::Exact && echo != asked {
            return Err(Wrong::Case);
        }
        if flags & TRUNCATED != 0 {
            return Ok(Reply::Truncated);
        }
        match (flags & CODE) as u8 {
            0 => self.records(packet, word(6)?).ok_or(Wrong::Garbled),
            3 => Ok(Reply::NoName),
            code => Ok(Reply::Refused(code)),
        }
    }

    /// The addresses of the name that was asked for, through its aliases.
    fn records(&self, packet: &[u8], count: u16) -> Option<Reply> {
        let mut aliases: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut found: Vec<(Vec<u8>, IpAddr)> = Vec::new();
        let mut at = self.bytes.len();
        for _ in 0..count.min(RECORDS_MAX) {
            let (owner, fixed) = name_at(packet, at)?;
            let (kind, class) = (number(packet, fixed)?, number(packet, fixed + 2)?);
            let length = usize::from(number(packet, fixed + 8)?);
            let start = fixed + 10;
            let data = packet.get(start..start + length)?;
            at = start + length;
            if class != CLASS_IN {
                continue;
            }
            if kind == CNAME {
                aliases.push((owner, name_at(packet, start)?.0));
            } else if kind == self.kind.number() {
                let address = match self.kind {
                    Kind::A => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?)),
                    Kind::Aaaa => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?)),
                };
                found.push((owner, address));
            }
        }
        let mut name = name_at(&self.bytes, HEADER)?.0;
        let asked = name.clone();
        for _ in 0..=ALIASES_MAX {
            let addresses: Vec<IpAddr> = found
                .iter()
                .filter(|(owner, address)| *owner == name && can_be_dialled(*address))
                .map(|(_, address)| *address)
                .take(ADDRESSES_MAX)
                .collect();
            if !addresses.is_empty() {
                return Some(Reply::Addresses(addresses));
            }
            match aliases.iter().find(|(owner, _)| *owner == name) {
                Some((_, target)) => name.clone_from(target),
                None if name == asked => return Some(Reply::Nothing),
                None => return text(&name).map(Reply::Alias),
            }
        }
        // A circle, or a chain longer than anyone makes.
        None
    }
}

/// Addresses that lists of blocked names give, and no host has.
fn can_be_dialled(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !address.is_unspecified() && !address.is_multicast() && !broadcast
}

fn number(packet: &[u8], at: usize) -> Option<u16> {
    let bytes = packet.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// The name at `at` in lower case, uncompressed and without its final zero, and
/// where what follows it begins.
fn name_at(packet: &[u8], at: usize) -> Option<(Vec<u8>, usize)> {
    let mut name = Vec::new();
    let mut after = None;
    let mut at = at;
    let mut pointers = 0;
    loop {
        let length = *packet.get(at)?;
        match length {
            0 => return Some((name, after.unwrap_or(at + 1))),
            1..=63 => {
                let end = at + 1 + usize::from(length);
                let label = packet.get(at..end)?;
                name.extend(label.iter().map(u8::to_ascii_lowercase));
                // The final zero counts, too.
                if name.len() + 1 > NAME_MAX {
                    return None;
                }
                at = end;
            }
            0xc0.. => {
                let target = usize::from(number(packet, at)? & 0x3fff);
                pointers += 1;
                if target >= at || pointers > POINTERS_MAX {
                    return None;
                }
                after = after.or(Some(at + 2));
                at = target;
            }
            _ => return None,
        }
    }
}

/// A name as people write it; `None` for one that we would not ask for.
fn text(name: &[u8]) -> Option<String> {
    let mut text = String::new();
    let mut rest = name;
    while let Some((length, behind)) = rest.split_first() {
        let (label, next) = behind.split_at_checked(usize::from(*length))?;
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(std::str::from_utf8(label).ok()?);
        rest = next;
    }
    Query::new(&text, Kind::A, 0).map(|_| text)
}

#[cfg(test)]
mod tests;
