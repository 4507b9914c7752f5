//! The payloads, one a type: canonical RLP lists in the order of the fields.

use super::packet::{Malformed, TooLong, Type, HEADER_LEN, PACKET_MAX, SIGNATURE_LEN};
use super::sync::{read_hashes, write_hashes, Entry, Hashes, Prefix, ENTRIES_MAX};
use crate::identity::Address;
use crate::wire::rlp::{Encoder, Item, Items};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most bytes of a payload.
pub const PAYLOAD_MAX: usize = PACKET_MAX - HEADER_LEN - SIGNATURE_LEN;
/// Most contacts in an answer: k of Kademlia. 20 with IPv6 take 860 bytes.
pub const CONTACTS_MAX: usize = 20;
/// Most records in a packet: each may cost two signature checks.
pub const RECORDS_MAX: usize = 8;
/// Longest record in bytes, its kind included: fits in a packet with a contact beside it.
pub const RECORD_MAX: usize = 1000;
/// Longest text of an ERROR in bytes: a line in a log.
pub const ERROR_TEXT_MAX: usize = 128;
/// What lists and strings around records and contacts take at most.
const FRAMING: usize = 16;

/// The codes of ERROR.
pub mod error_code {
    /// The sender asks too often; try again later.
    pub const BUSY: u16 = 1;
    /// This node takes part as a client and answers nothing but PING.
    pub const NOT_SERVING: u16 = 2;
}

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contact {
    /// Its id.
    pub id: Address,
    /// Its UDP address, which is that of its peer port over TCP, too.
    pub at: SocketAddr,
}

/// What a packet says.
///
/// `serving` in a request: the sender answers requests and may be put in
/// buckets and told to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Are you there?
    Ping {
        /// See [`Body`].
        serving: bool,
        /// A check of reachability. With the IP that the packet comes from: have
        /// one other serving node of another subnet look whether this address
        /// can be reached (send it a PING with the same `check`). With another
        /// IP: send a PING without `check` there.
        check: Option<SocketAddr>,
    },
    /// Answers PING.
    Pong {
        /// See [`Body`].
        serving: bool,
        /// The answerer's clock in unix seconds, 0 when it does not trust it.
        unix: u64,
        /// Where the PING came from.
        seen: SocketAddr,
    },
    /// Who is close to `target`?
    FindNode {
        /// See [`Body`].
        serving: bool,
        /// An id or a key.
        target: Address,
    },
    /// Answers FIND_NODE.
    Nodes {
        /// The closest that the answerer knows, closest first.
        contacts: Vec<Contact>,
    },
    /// What is stored under `key`, or who is close to it?
    FindValue {
        /// See [`Body`].
        serving: bool,
        /// The key of a record.
        key: Address,
    },
    /// Answers FIND_VALUE.
    Value {
        /// What is stored under the key; each with its kind as first byte.
        records: Vec<Vec<u8>>,
        /// The closest to the key that the answerer knows, closest first.
        contacts: Vec<Contact>,
    },
    /// Keep these.
    Store {
        /// See [`Body`].
        serving: bool,
        /// Each with its kind as first byte.
        records: Vec<Vec<u8>>,
    },
    /// Answers STORE.
    Stored {
        /// A byte a record, in their order: 0 stored, else why not
        /// (`dht::record::Refusal`).
        codes: Vec<u8>,
    },
    /// The request is refused.
    Error {
        /// One of [`error_code`].
        code: u16,
        /// Why, for people.
        text: String,
    },
    /// Do we hold the same records below `prefix`?
    Sync {
        /// See [`Body`].
        serving: bool,
        /// What is compared.
        prefix: Prefix,
        /// The asker's hashes of the subtrees below it.
        hashes: Hashes,
    },
    /// Answers SYNC.
    Synced {
        /// The answerer's hashes of the same subtrees.
        hashes: Hashes,
        /// Bit n (1 << n): everything that the answerer has in subtree n is among
        /// the entries.
        listed: u16,
        /// Records of the answerer in the subtrees that are listed.
        entries: Vec<Entry>,
    },
}

impl Body {
    /// The packet's type.
    #[must_use]
    pub fn kind(&self) -> Type {
        match self {
            Body::Ping { .. } => Type::Ping,
            Body::Pong { .. } => Type::Pong,
            Body::FindNode { .. } => Type::FindNode,
            Body::Nodes { .. } => Type::Nodes,
            Body::FindValue { .. } => Type::FindValue,
            Body::Value { .. } => Type::Value,
            Body::Store { .. } => Type::Store,
            Body::Stored { .. } => Type::Stored,
            Body::Error { .. } => Type::Error,
            Body::Sync { .. } => Type::Sync,
            Body::Synced { .. } => Type::Synced,
        }
    }

    /// Whether the sender says that it may be put in buckets; none in packets
    /// that do not say it.
    #[must_use]
    pub fn serving(&self) -> Option<bool> {
        match self {
            Body::Ping { serving, .. }
            | Body::Pong { serving, .. }
            | Body::FindNode { serving, .. }
            | Body::FindValue { serving, .. }
            | Body::Store { serving, .. }
            | Body::Sync { serving, .. } => Some(*serving),
            _ => None,
        }
    }

    /// How many of `records`, given by their lengths, fit in one STORE or VALUE,
    /// from the first on.
    #[must_use]
    pub fn room(records: impl IntoIterator<Item = usize>) -> usize {
        let mut left = PAYLOAD_MAX - FRAMING;
        let mut count = 0;
        for length in records {
            // A string of up to 1,000 bytes has a header of at most three.
            let Some(rest) = left.checked_sub(length.saturating_add(3)) else {
                break;
            };
            if count == RECORDS_MAX || length > RECORD_MAX {
                break;
            }
            left = rest;
            count += 1;
        }
        count
    }

    /// The payload.
    pub(super) fn write(&self) -> Result<Vec<u8>, TooLong> {
        let (items, most) = match self {
            Body::Value { records, .. } | Body::Store { records, .. } => {
                (records.len(), RECORDS_MAX)
            }
            Body::Stored { codes } => (codes.len(), RECORDS_MAX),
            Body::Synced { entries, .. } => (entries.len(), ENTRIES_MAX),
            _ => (0, 0),
        };
        if items > most {
            return Err(TooLong);
        }
        let contacts = match self {
            Body::Nodes { contacts } | Body::Value { contacts, .. } => contacts.as_slice(),
            _ => &[],
        };
        let mut count = contacts.len().min(CONTACTS_MAX);
        loop {
            let payload = self.write_with(contacts.get(..count).unwrap_or_default());
            if payload.len() <= PAYLOAD_MAX {
                return Ok(payload);
            }
            if count == 0 {
                return Err(TooLong);
            }
            // The shortest contact takes 31 bytes; this never leaves off too many.
            let excess = payload.len() - PAYLOAD_MAX;
            count = count.saturating_sub((excess / 43).max(1));
        }
    }

    fn write_with(&self, contacts: &[Contact]) -> Vec<u8> {
        let mut out = Encoder::new();
        out.list(|out| match self {
            Body::Ping { serving, check } => {
                write_bool(out, *serving);
                match check {
                    Some(at) => write_place(out, at),
                    None => {
                        out.list(|_| {});
                    }
                }
            }
            Body::Pong {
                serving,
                unix,
                seen,
            } => {
                write_bool(out, *serving);
                out.u64(*unix);
                write_place(out, seen);
            }
            Body::FindNode { serving, target } => {
                write_bool(out, *serving);
                out.bytes(&target.0);
            }
            Body::Nodes { .. } => write_contacts(out, contacts),
            Body::FindValue { serving, key } => {
                write_bool(out, *serving);
                out.bytes(&key.0);
            }
            Body::Value { records, .. } => {
                write_records(out, records);
                write_contacts(out, contacts);
            }
            Body::Store { serving, records } => {
                write_bool(out, *serving);
                write_records(out, records);
            }
            Body::Stored { codes } => {
                out.bytes(codes);
            }
            Body::Error { code, text } => {
                let mut end = text.len().min(ERROR_TEXT_MAX);
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                let text = text.as_bytes().get(..end).unwrap_or_default();
                out.u64(u64::from(*code)).bytes(text);
            }
            Body::Sync {
                serving,
                prefix,
                hashes,
            } => {
                write_bool(out, *serving);
                prefix.write(out);
                write_hashes(hashes, out);
            }
            Body::Synced {
                hashes,
                listed,
                entries,
            } => {
                write_hashes(hashes, out);
                out.u64(u64::from(*listed));
                out.list(|out| entries.iter().for_each(|entry| entry.write(out)));
            }
        });
        out.finish()
    }

    /// Reads the payload of a packet of type `kind`. Allocates at most what one
    /// packet holds.
    pub(super) fn read(kind: Type, payload: &[u8]) -> Result<Body, Malformed> {
        let list = Item::parse(payload)?;
        Ok(match kind {
            Type::Ping => {
                let [serving, check] = list.tuple()?;
                let empty = check.items()?.next().is_none();
                Body::Ping {
                    serving: read_bool(serving)?,
                    check: (!empty).then(|| read_place(check)).transpose()?,
                }
            }
            Type::Pong => {
                let [serving, unix, seen] = list.tuple()?;
                Body::Pong {
                    serving: read_bool(serving)?,
                    unix: unix.u64()?,
                    seen: read_place(seen)?,
                }
            }
            Type::FindNode => {
                let [serving, target] = list.tuple()?;
                Body::FindNode {
                    serving: read_bool(serving)?,
                    target: Address(target.array()?),
                }
            }
            Type::Nodes => {
                let [contacts] = list.tuple()?;
                Body::Nodes {
                    contacts: read_contacts(contacts)?,
                }
            }
            Type::FindValue => {
                let [serving, key] = list.tuple()?;
                Body::FindValue {
                    serving: read_bool(serving)?,
                    key: Address(key.array()?),
                }
            }
            Type::Value => {
                let [records, contacts] = list.tuple()?;
                Body::Value {
                    records: read_records(records)?,
                    contacts: read_contacts(contacts)?,
                }
            }
            Type::Store => {
                let [serving, records] = list.tuple()?;
                Body::Store {
                    serving: read_bool(serving)?,
                    records: read_records(records)?,
                }
            }
            Type::Stored => {
                let [codes] = list.tuple()?;
                let codes = codes.bytes()?;
                if codes.len() > RECORDS_MAX {
                    return Err(Malformed::Field("codes"));
                }
                Body::Stored {
                    codes: codes.to_vec(),
                }
            }
            Type::Challenge => return Err(Malformed::Bare),
            Type::Error => {
                let [code, text] = list.tuple()?;
                let text = text.bytes()?;
                let text = std::str::from_utf8(text).ok();
                let text = text.filter(|text| text.len() <= ERROR_TEXT_MAX);
                Body::Error {
                    code: u16::try_from(code.u64()?).map_err(|_| Malformed::Field("code"))?,
                    text: text.ok_or(Malformed::Field("text"))?.to_owned(),
                }
            }
            Type::Sync => {
                let [serving, bits, head, hashes] = list.tuple()?;
                Body::Sync {
                    serving: read_bool(serving)?,
                    prefix: Prefix::read(bits, head)?,
                    hashes: read_hashes(hashes)?,
                }
            }
            Type::Synced => {
                let [hashes, listed, entries] = list.tuple()?;
                Body::Synced {
                    hashes: read_hashes(hashes)?,
                    listed: u16::try_from(listed.u64()?).map_err(|_| Malformed::Field("listed"))?,
                    entries: read_list(entries.items()?, ENTRIES_MAX, "entries", Entry::read)?,
                }
            }
        })
    }
}

fn write_bool(out: &mut Encoder, on: bool) {
    out.u64(u64::from(on));
}

fn read_bool(item: Item<'_>) -> Result<bool, Malformed> {
    match item.u64()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed::Field("serving")),
    }
}

/// The two items of an address. An IPv4 address is always written as one.
fn write_at(out: &mut Encoder, at: &SocketAddr) {
    match at.ip().to_canonical() {
        IpAddr::V4(ip) => out.bytes(&ip.octets()),
        IpAddr::V6(ip) => out.bytes(&ip.octets()),
    };
    out.u64(u64::from(at.port()));
}

/// Writes an address as `[ip, port]`; an IPv4-mapped one as IPv4.
pub fn write_place(out: &mut Encoder, at: &SocketAddr) {
    out.list(|out| write_at(out, at));
}

/// Reads `[ip, port]`.
///
/// # Errors
/// Another shape, no unicast address, an IPv4-mapped one, or port 0.
pub fn read_place(item: Item<'_>) -> Result<SocketAddr, Malformed> {
    let [ip, port] = item.tuple()?;
    read_at(ip, port)
}

fn read_at(ip: Item<'_>, port: Item<'_>) -> Result<SocketAddr, Malformed> {
    let bytes = ip.bytes()?;
    let ip: IpAddr = if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        Ipv4Addr::from(v4).into()
    } else {
        let v6 = <[u8; 16]>::try_from(bytes).map_err(|_| Malformed::Field("ip"))?;
        let v6 = Ipv6Addr::from(v6);
        if v6.to_ipv4_mapped().is_some() {
            return Err(Malformed::Field("ip"));
        }
        v6.into()
    };
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    if ip.is_unspecified() || ip.is_multicast() || broadcast {
        return Err(Malformed::Field("ip"));
    }
    match u16::try_from(port.u64()?) {
        Ok(port) if port != 0 => Ok(SocketAddr::new(ip, port)),
        _ => Err(Malformed::Field("port")),
    }
}

fn write_contacts(out: &mut Encoder, contacts: &[Contact]) {
    out.list(|out| {
        for contact in contacts {
            out.list(|out| {
                out.bytes(&contact.id.0);
                write_at(out, &contact.at);
            });
        }
    });
}

fn read_contacts(item: Item<'_>) -> Result<Vec<Contact>, Malformed> {
    read_list(item.items()?, CONTACTS_MAX, "contacts", |item| {
        let [id, ip, port] = item.tuple()?;
        let id = Address(id.array()?);
        if id == Address::ZERO {
            return Err(Malformed::Field("id"));
        }
        Ok(Contact {
            id,
            at: read_at(ip, port)?,
        })
    })
}

fn write_records(out: &mut Encoder, records: &[Vec<u8>]) {
    out.list(|out| {
        for record in records {
            out.bytes(record);
        }
    });
}

fn read_records(item: Item<'_>) -> Result<Vec<Vec<u8>>, Malformed> {
    read_list(item.items()?, RECORDS_MAX, "records", |item| {
        let bytes = item.bytes()?;
        if bytes.is_empty() || bytes.len() > RECORD_MAX {
            return Err(Malformed::Field("record"));
        }
        Ok(bytes.to_vec())
    })
}

fn read_list<T>(
    items: Items<'_>,
    most: usize,
    name: &'static str,
    read: impl Fn(Item<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let mut list = Vec::new();
    for item in items {
        if list.len() == most {
            return Err(Malformed::Field(name));
        }
        list.push(read(item)?);
    }
    Ok(list)
}
