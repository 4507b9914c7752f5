//! The header, the signature, and what wraps a payload in them.

use super::body::{Body, PAYLOAD_MAX};
use crate::identity::{keccak256, Address};
use crate::wire::rlp::RlpError;
use std::fmt;

/// Longest packet in bytes: with IP and UDP headers it passes every path of
/// IPv6 (1,280 bytes, RFC 8200) without fragments.
pub const PACKET_MAX: usize = 1200;
/// Bytes before the payload.
pub const HEADER_LEN: usize = 60;
/// Bytes of the signature behind the payload (EIP-2098).
pub const SIGNATURE_LEN: usize = 64;
/// Bytes of a CHALLENGE: a header alone.
pub const CHALLENGE_LEN: usize = HEADER_LEN;
/// The only version.
pub const VERSION: u8 = 1;
/// What is hashed before the packet.
const DOMAIN: &[u8] = b"chr-dht/1";
/// The shortest payload: an empty list. It also keeps every request longer than
/// the CHALLENGE that answers it.
const PAYLOAD_MIN: usize = 1;

/// Makes a compact signature of a digest.
pub type Sign<'a> = &'a dyn Fn(&[u8; 32]) -> [u8; SIGNATURE_LEN];
/// Finds the signer of a digest; none for a signature not in its one form.
pub type Recover<'a> = &'a dyn Fn(&[u8; 32], &[u8; SIGNATURE_LEN]) -> Option<Address>;

/// The type of a packet; the numbers of docs/protocol.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    /// Are you there?
    Ping = 1,
    /// Answers [`Type::Ping`].
    Pong = 2,
    /// Who is close to this id?
    FindNode = 3,
    /// Answers [`Type::FindNode`].
    Nodes = 4,
    /// What is stored under this key, or who is close to it?
    FindValue = 5,
    /// Answers [`Type::FindValue`].
    Value = 6,
    /// Keep these records.
    Store = 7,
    /// Answers [`Type::Store`].
    Stored = 8,
    /// Answers any request without a valid cookie.
    Challenge = 9,
    /// Answers a request that is refused.
    Error = 10,
    /// Do we hold the same records below this prefix?
    Sync = 11,
    /// Answers [`Type::Sync`].
    Synced = 12,
}

impl Type {
    /// The type of a number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Type> {
        Some(match number {
            1 => Type::Ping,
            2 => Type::Pong,
            3 => Type::FindNode,
            4 => Type::Nodes,
            5 => Type::FindValue,
            6 => Type::Value,
            7 => Type::Store,
            8 => Type::Stored,
            9 => Type::Challenge,
            10 => Type::Error,
            11 => Type::Sync,
            12 => Type::Synced,
            _ => return None,
        })
    }

    /// The type that answers this request, besides CHALLENGE and ERROR; none
    /// for answers.
    #[must_use]
    pub fn answer(self) -> Option<Type> {
        Some(match self {
            Type::Ping => Type::Pong,
            Type::FindNode => Type::Nodes,
            Type::FindValue => Type::Value,
            Type::Store => Type::Stored,
            Type::Sync => Type::Synced,
            _ => return None,
        })
    }

    /// Whether it asks for an answer. Only requests are ever answered, so two
    /// nodes cannot answer each other for ever.
    #[must_use]
    pub fn is_request(self) -> bool {
        self.answer().is_some()
    }
}

/// The first 60 bytes. Nothing in it is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the packet is.
    pub kind: Type,
    /// Chosen by the asker, the same in every answer.
    pub txid: u64,
    /// In a request what the receiver gave this asker, 0 without one; in an
    /// answer a fresh one for the asker.
    pub cookie: u64,
    /// The sender's id.
    pub from: Address,
    /// The receiver's id, zero when the sender does not know it.
    pub to: Address,
}

/// A packet whose signature is by `from`, or that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// See [`Header::txid`].
    pub txid: u64,
    /// See [`Header::cookie`].
    pub cookie: u64,
    /// See [`Header::from`].
    pub from: Address,
    /// See [`Header::to`].
    pub to: Address,
    /// The payload.
    pub body: Body,
}

/// Why bytes are not a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// Fewer bytes than its type needs, or more than [`PACKET_MAX`].
    Length(usize),
    /// Another version than 1.
    Version(u8),
    /// A type that does not exist.
    Type(u8),
    /// Flags are reserved.
    Flags(u16),
    /// `from` is the zero address.
    From,
    /// A CHALLENGE has nothing to decode: [`peek`] has read all of it.
    Bare,
    /// The payload is not canonical RLP of the right shape.
    Payload(RlpError),
    /// A field of the payload is out of its range.
    Field(&'static str),
    /// The signature is not by `from` over these bytes, or not in its one form.
    Signature,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Length(n) => write!(f, "a packet of {n} bytes"),
            Malformed::Version(n) => write!(f, "a packet of version {n}"),
            Malformed::Type(n) => write!(f, "a packet of type {n}"),
            Malformed::Flags(bits) => write!(f, "a packet with flags {bits:04x}"),
            Malformed::From => f.write_str("a packet from the zero address"),
            Malformed::Bare => f.write_str("a CHALLENGE has no payload"),
            Malformed::Payload(error) => write!(f, "a packet's payload: {error}"),
            Malformed::Field(name) => write!(f, "a packet's field {name} is out of range"),
            Malformed::Signature => f.write_str("a packet is not signed by its sender"),
        }
    }
}

impl std::error::Error for Malformed {}

impl From<RlpError> for Malformed {
    fn from(error: RlpError) -> Malformed {
        Malformed::Payload(error)
    }
}

/// Records, codes or entries that do not fit in one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "more than fits in a packet ({PAYLOAD_MAX} bytes of payload): send fewer records"
        )
    }
}

impl std::error::Error for TooLong {}

/// Reads the header: lengths, version, type, flags. No hash, no allocation.
///
/// # Errors
/// Every [`Malformed`] up to `From`.
pub fn peek(bytes: &[u8]) -> Result<Header, Malformed> {
    let wrong = Malformed::Length(bytes.len());
    if bytes.len() > PACKET_MAX {
        return Err(wrong);
    }
    let (head, rest) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(wrong)?;
    let (version, after) = take::<1>(head)?;
    let (number, after) = take::<1>(after)?;
    let (flags, after) = take::<2>(after)?;
    let (txid, after) = take::<8>(after)?;
    let (cookie, after) = take::<8>(after)?;
    let (from, after) = take::<20>(after)?;
    let (to, _) = take::<20>(after)?;
    let ([version], [number]) = (version, number);
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let kind = Type::from_number(number).ok_or(Malformed::Type(number))?;
    let flags = u16::from_be_bytes(flags);
    if flags != 0 {
        return Err(Malformed::Flags(flags));
    }
    let fits = match kind {
        Type::Challenge => rest.is_empty(),
        _ => rest.len() >= PAYLOAD_MIN + SIGNATURE_LEN,
    };
    if !fits {
        return Err(wrong);
    }
    let from = Address(from);
    if from == Address::ZERO {
        return Err(Malformed::From);
    }
    Ok(Header {
        kind,
        txid: u64::from_be_bytes(txid),
        cookie: u64::from_be_bytes(cookie),
        from,
        to: Address(to),
    })
}

/// The first `N` bytes and the rest.
fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), Malformed> {
    match bytes.split_first_chunk::<N>() {
        Some((first, rest)) => Ok((*first, rest)),
        None => Err(Malformed::Length(bytes.len())),
    }
}

fn write_header(out: &mut Vec<u8>, header: &Header) {
    out.extend_from_slice(&[VERSION, header.kind as u8, 0, 0]);
    out.extend_from_slice(&header.txid.to_be_bytes());
    out.extend_from_slice(&header.cookie.to_be_bytes());
    out.extend_from_slice(&header.from.0);
    out.extend_from_slice(&header.to.0);
}

/// The CHALLENGE that `from` answers to `request`, with a cookie for its source.
/// Shorter than every request.
#[must_use]
pub fn challenge(request: &Header, from: Address, cookie: u64) -> [u8; CHALLENGE_LEN] {
    let mut out = Vec::with_capacity(CHALLENGE_LEN);
    write_header(
        &mut out,
        &Header {
            kind: Type::Challenge,
            txid: request.txid,
            cookie,
            from,
            to: request.from,
        },
    );
    let mut bytes = [0; CHALLENGE_LEN];
    // The lengths agree by the format; zip cannot panic if they ever did not.
    for (to, from) in bytes.iter_mut().zip(out) {
        *to = from;
    }
    bytes
}

/// Writes and signs. Contacts that do not fit are left off from the end.
///
/// # Errors
/// Records, codes or entries that do not fit in one packet ([`Body::room`]
/// tells how many records do).
pub fn encode(packet: &Packet, sign: Sign<'_>) -> Result<Vec<u8>, TooLong> {
    let payload = packet.body.write()?;
    let mut out = Vec::with_capacity(HEADER_LEN + payload.len() + SIGNATURE_LEN);
    write_header(
        &mut out,
        &Header {
            kind: packet.body.kind(),
            txid: packet.txid,
            cookie: packet.cookie,
            from: packet.from,
            to: packet.to,
        },
    );
    out.extend_from_slice(&payload);
    let signature = sign(&keccak256(&[DOMAIN, &out]));
    out.extend_from_slice(&signature);
    Ok(out)
}

/// Reads a whole packet: header, payload, then the signature, whose signer must
/// be `from`. `recover` gives the signer of a digest and refuses a high s.
///
/// # Errors
/// [`Malformed`]; a CHALLENGE is [`Malformed::Bare`].
pub fn decode(bytes: &[u8], recover: Recover<'_>) -> Result<Packet, Malformed> {
    let header = peek(bytes)?;
    if header.kind == Type::Challenge {
        return Err(Malformed::Bare);
    }
    let wrong = Malformed::Length(bytes.len());
    let (signed, signature) = bytes.split_last_chunk::<SIGNATURE_LEN>().ok_or(wrong)?;
    let payload = signed.get(HEADER_LEN..).ok_or(wrong)?;
    let body = Body::read(header.kind, payload)?;
    if recover(&keccak256(&[DOMAIN, signed]), signature) != Some(header.from) {
        return Err(Malformed::Signature);
    }
    Ok(Packet {
        txid: header.txid,
        cookie: header.cookie,
        from: header.from,
        to: header.to,
        body,
    })
}
