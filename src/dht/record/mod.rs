//! Records: what is stored under a key, and who may say it.
//!
//! | kind | subject of the key | of two with one subject |
//! | --- | --- | --- |
//! | 1 node record | node address | the higher seq counts |
//! | 2 presence | device address | one a node, the three with the newest t |
//! | 3 content value | keccak-256 of the value | they are the same |
//! | 4 mutable value | owner address, keccak-256 of the name | the higher seq counts |
//!
//! Key = last 20 bytes of keccak-256(kind || subject). As bytes a record is its
//! kind and then canonical RLP, at most 1,000 bytes together.
//!
//! Whoever stores or uses a record checks it. [`Record::parse`] reads what
//! arrived: form, key and order are known then, and a storer or asker that has
//! something newer is done without a signature check. [`Record::check`] makes a
//! [`ValidRecord`] of it; nothing else does, and nothing else is stored, passed on or
//! given to an asker. [`Choice`] is how an asker comes to its answer.
//!
//! Own records are made by [`ValidRecord::node`] and its siblings.

mod choice;
mod node;
mod refusal;
mod value;

pub use choice::Choice;
pub use node::{NodeRecord, NODE_NAME_MAX, PLACES_MAX};
pub use refusal::Refusal;
pub use value::{ContentValue, MutableValue, VALUE_NAME_MAX};

use super::seal::{Seal, Verify, Wall};
use crate::identity::{keccak256, Address};
use crate::wire::dht::{Entry, RECORD_MAX};
use crate::wire::presence::{Presence, NOT_AFTER_AHEAD_MAX};
use std::cmp::Ordering;
use std::ops::Deref;

/// Most presences of one device: it has one session and a warm second, and may
/// have moved from a third.
pub const SLOTS: usize = 3;

/// Seconds that the end of a node record or value may lie ahead of a trusted clock: a
/// day, and the hour by which clocks differ that nobody looks after.
pub const UNTIL_AHEAD_MAX: u64 = NOT_AFTER_AHEAD_MAX;

/// The four kinds, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Where a node is.
    Node = 1,
    /// At which node a device is.
    Presence = 2,
    /// A value found by its hash.
    Content = 3,
    /// A value found by its owner and name.
    Mutable = 4,
}

impl Kind {
    /// The kind of a number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Kind> {
        Some(match number {
            1 => Kind::Node,
            2 => Kind::Presence,
            3 => Kind::Content,
            4 => Kind::Mutable,
            _ => return None,
        })
    }

    fn key(self, subject: &[&[u8]]) -> Address {
        let subject = subject.concat();
        let hash = keccak256(&[&[self as u8], &subject]);
        Address(hash.last_chunk().copied().unwrap_or_default())
    }
}

/// The key of a node's record.
#[must_use]
pub fn node_key(node: &Address) -> Address {
    Kind::Node.key(&[&node.0])
}

/// The key of a device's presences.
#[must_use]
pub fn presence_key(device: &Address) -> Address {
    Kind::Presence.key(&[&device.0])
}

/// The key of a content value.
#[must_use]
pub fn content_key(value: &[u8]) -> Address {
    Kind::Content.key(&[&keccak256(&[value])])
}

/// The key of a mutable value.
#[must_use]
pub fn mutable_key(owner: &Address, name: &[u8]) -> Address {
    Kind::Mutable.key(&[&owner.0, &keccak256(&[name])])
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Kind 1.
    Node(NodeRecord),
    /// Kind 2.
    Presence(Presence),
    /// Kind 3.
    Content(ContentValue),
    /// Kind 4.
    Mutable(MutableValue),
}

/// A record as it arrived: its form is right, its signatures and times are not
/// checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    entry: Entry,
    kind: Kind,
    /// Kind and RLP.
    bytes: Box<[u8]>,
}

impl Record {
    /// Reads kind and form, and computes the key. Costs two hashes at most.
    ///
    /// # Errors
    /// [`Refusal::Form`].
    pub fn parse(bytes: &[u8]) -> Result<Record, Refusal> {
        if bytes.len() > RECORD_MAX {
            return Err(Refusal::Form);
        }
        let (number, body) = bytes.split_first().ok_or(Refusal::Form)?;
        let kind = Kind::from_number(*number).ok_or(Refusal::Form)?;
        let (key, slot, order, until) = match kind {
            Kind::Node => {
                let (node, _) = NodeRecord::decode(body)?;
                (node_key(&node.node), 0, node.seq, node.until)
            }
            Kind::Presence => {
                let presence = Presence::decode(body).map_err(|_| Refusal::Form)?;
                let slot = slot_of(&presence.node);
                let key = presence_key(&presence.device);
                (key, slot, presence.t, presence.expires())
            }
            Kind::Content => {
                let content = ContentValue::decode(body)?;
                (content_key(&content.value), 0, 0, content.until)
            }
            Kind::Mutable => {
                let (value, _) = MutableValue::decode(body)?;
                let key = mutable_key(&value.owner, &value.name);
                (key, 0, value.seq, value.until)
            }
        };
        Ok(Record {
            entry: Entry {
                key,
                kind: kind as u8,
                slot,
                order,
                until,
            },
            kind,
            bytes: bytes.into(),
        })
    }

    /// Checks times and signatures. Two signature checks for a presence, one for
    /// node records and mutable values, none for content values.
    ///
    /// While the clock is not trusted, only what has ended by the latest time
    /// that is known to have passed is refused for its times.
    ///
    /// # Errors
    /// `Over`, `Ahead`, `Signature`; `Form` for a presence that is signed for
    /// longer than a day.
    pub fn check(self, wall: Wall, verify: &dyn Verify) -> Result<ValidRecord, Refusal> {
        if self.entry.until <= wall.unix {
            return Err(Refusal::Over);
        }
        if wall.trusted && self.entry.until > wall.unix.saturating_add(UNTIL_AHEAD_MAX) {
            return Err(Refusal::Ahead);
        }
        let body = self.body();
        match self.kind {
            Kind::Node => {
                let (node, signature) = NodeRecord::decode(body)?;
                node.check(&signature, verify)?;
            }
            Kind::Presence => {
                let presence = Presence::decode(body).map_err(|_| Refusal::Form)?;
                if wall.trusted {
                    presence.check_time(wall.unix)?;
                }
                presence.check(&|digest, signature| verify.recover65(digest, signature))?;
            }
            // That the key is the hash of the value is what there is to check.
            Kind::Content => {}
            Kind::Mutable => {
                let (value, signature) = MutableValue::decode(body)?;
                value.check(&signature, verify)?;
            }
        }
        Ok(ValidRecord(self))
    }

    /// Under which key it is stored.
    #[must_use]
    pub fn key(&self) -> Address {
        self.entry.key
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Key, kind, slot and version, as SYNCED lists them.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Unix seconds at which it ends: a presence by the earlier word of its two
    /// signers.
    #[must_use]
    pub fn until(&self) -> u64 {
        self.entry.until
    }

    /// Kind and RLP, as packets carry it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it takes the place of `other`, which has the same key and slot.
    /// Equals do not: what is there stays.
    #[must_use]
    pub fn supersedes(&self, other: &Entry) -> bool {
        (self.entry.order, self.entry.until) > (other.order, other.until)
    }

    /// For lists: what is newer comes first.
    #[must_use]
    pub fn newest_first(&self, other: &Record) -> Ordering {
        let (a, b) = (&self.entry, &other.entry);
        (b.order, b.until).cmp(&(a.order, a.until))
    }

    /// What it says.
    ///
    /// # Errors
    /// None for a record that was parsed.
    pub fn content(&self) -> Result<Content, Refusal> {
        let body = self.body();
        Ok(match self.kind {
            Kind::Node => Content::Node(NodeRecord::decode(body)?.0),
            Kind::Presence => Content::Presence(Presence::decode(body).map_err(|_| Refusal::Form)?),
            Kind::Content => Content::Content(ContentValue::decode(body)?),
            Kind::Mutable => Content::Mutable(MutableValue::decode(body)?.0),
        })
    }

    /// The node that signed it, for kinds 1 and 2: what it publishes itself
    /// comes from its own address.
    #[must_use]
    pub fn publisher(&self) -> Option<Address> {
        match self.content() {
            Ok(Content::Node(node)) => Some(node.node),
            Ok(Content::Presence(presence)) => Some(presence.node),
            _ => None,
        }
    }

    fn body(&self) -> &[u8] {
        self.bytes.get(1..).unwrap_or_default()
    }
}

/// Tells the presences of one device apart. Two nodes whose first eight bytes
/// agree would share a slot, which harms only a device that chose them.
fn slot_of(node: &Address) -> u64 {
    u64::from_be_bytes(node.0.first_chunk().copied().unwrap_or_default())
}

/// A record that was checked when it came, or that we signed ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidRecord(Record);

impl Deref for ValidRecord {
    type Target = Record;
    fn deref(&self) -> &Record {
        &self.0
    }
}

impl ValidRecord {
    /// This node's own record, signed.
    ///
    /// # Errors
    /// A field lies beyond its bounds, or `node` is not the seal's address.
    pub fn node(node: &NodeRecord, seal: &dyn Seal) -> Result<ValidRecord, Refusal> {
        if node.node != seal.address() {
            return Err(Refusal::Signature);
        }
        ValidRecord::own(Kind::Node, &node.sign(seal))
    }

    /// A presence that this node has signed as well.
    ///
    /// # Errors
    /// It is not signed by both.
    pub fn presence(presence: &Presence, verify: &dyn Verify) -> Result<ValidRecord, Refusal> {
        presence.check(&|digest, signature| verify.recover65(digest, signature))?;
        ValidRecord::own(Kind::Presence, &presence.encode())
    }

    /// A content value.
    ///
    /// # Errors
    /// It is too long.
    pub fn content_value(value: &ContentValue) -> Result<ValidRecord, Refusal> {
        ValidRecord::own(Kind::Content, &value.encode())
    }

    /// A mutable value, signed.
    ///
    /// # Errors
    /// A field lies beyond its bounds, or `owner` is not the seal's address.
    pub fn mutable(value: &MutableValue, seal: &dyn Seal) -> Result<ValidRecord, Refusal> {
        if value.owner != seal.address() {
            return Err(Refusal::Signature);
        }
        ValidRecord::own(Kind::Mutable, &value.sign(seal))
    }

    fn own(kind: Kind, body: &[u8]) -> Result<ValidRecord, Refusal> {
        Record::parse(&[&[kind as u8], body].concat()).map(ValidRecord)
    }
}

#[cfg(test)]
mod tests;
