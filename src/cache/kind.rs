//! What is cached, for how long, and what the age of an answer means. No clock,
//! no I/O: ages are arguments.

use std::sync::Arc;
use std::time::Duration;

/// Longest key in bytes; longer ones are for the caller to hash. LMDB takes 511.
pub const MAX_KEY: usize = 200;

/// A kind of answer; its number is the first byte of the key and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Where other nodes are.
    Peers = 1,
    /// Blocks of the chain, and what follows its head: gas price, transactions.
    Block = 2,
    /// What a contract or an account held at one block.
    Contract = 3,
    /// What the node carried, for charts.
    Statistics = 4,
    /// Who has signed a ticket.
    Ticket = 5,
}

/// The times of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long an answer is given without a question to the source.
    pub ttl: Duration,
    /// Whether one that is asked for in the last quarter of its life is fetched
    /// anew meanwhile, so that nobody waits when it ends.
    pub ahead: bool,
    /// How long beyond that it is given, marked, while the source fails.
    pub stale: Duration,
    /// How long a key rests after its source failed: at first, and at most after
    /// doubling with each failure.
    pub rest: (Duration, Duration),
    /// Whether answers may go to the disk.
    pub disk: bool,
}

/// What an age means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// As good as new.
    Fresh,
    /// Still good, and the next one should be fetched.
    Due,
    /// Only while the source fails.
    Stale,
    /// Of no use.
    Dead,
}

impl Age {
    pub(super) fn is_fresh(self) -> bool {
        matches!(self, Age::Fresh | Age::Due)
    }
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

impl Kind {
    /// Its times: those of the specification.
    #[must_use]
    pub const fn terms(self) -> Terms {
        let (ttl, ahead, stale, rest, disk) = match self {
            // A node that moved is found by its new record; the old one costs a dial.
            Kind::Peers => (300, false, 3_600, (1, 30), false),
            Kind::Block => (60, false, 600, (1, 30), false),
            Kind::Contract => (300, true, 86_400, (1, 30), true),
            // The store is this device's: what it cannot say is told.
            Kind::Statistics => (30, false, 0, (1, 10), false),
            // A verdict that has ended counts for nothing.
            Kind::Ticket => (3_600, true, 0, (1, 1), false),
        };
        Terms {
            ttl: seconds(ttl),
            ahead,
            stale: seconds(stale),
            rest: (seconds(rest.0), seconds(rest.1)),
            disk,
        }
    }

    /// Whether somebody else has to be asked for it, or the disk: then it is kept
    /// also when memory is given back.
    pub(super) const fn is_fetched(self) -> bool {
        !matches!(self, Kind::Ticket)
    }

    const fn of(number: u8) -> Option<Kind> {
        Some(match number {
            1 => Kind::Peers,
            2 => Kind::Block,
            3 => Kind::Contract,
            4 => Kind::Statistics,
            5 => Kind::Ticket,
            _ => return None,
        })
    }
}

impl Terms {
    pub(super) fn judge(&self, age: Duration) -> Age {
        if age >= self.ttl.saturating_add(self.stale) {
            Age::Dead
        } else if age >= self.ttl {
            Age::Stale
        } else if self.ahead && age >= self.due() {
            Age::Due
        } else {
            Age::Fresh
        }
    }

    /// The age from which on an answer should be fetched anew: three quarters of
    /// its life.
    #[must_use]
    pub fn due(&self) -> Duration {
        self.ttl.saturating_sub(self.ttl / 4)
    }

    /// The age from which on an answer is of no use.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.ttl.saturating_add(self.stale)
    }
}

/// Kind and name of an answer, as one string of bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(Short);

impl Key {
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    pub(super) fn kind(&self) -> Kind {
        let number = self.bytes().first().copied().unwrap_or(0);
        // Only `Ask::new` and `Key::read` make keys.
        Kind::of(number).unwrap_or(Kind::Block)
    }

    pub(super) fn terms(&self) -> Terms {
        self.kind().terms()
    }

    /// The key of a row, if this program knows its kind.
    pub(super) fn read(bytes: &[u8]) -> Option<Key> {
        Kind::of(*bytes.first()?)?;
        Some(Key(Short::of(bytes)))
    }
}

/// Bytes without a place of their own on the heap, if they are few. What is kept
/// for an hour and was made while a session began would else hold a page each,
/// among the memory that all sessions give back when they leave.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Short {
    /// So many of these; the others are zero.
    Here(u8, [u8; SHORT]),
    /// More of them.
    There(Arc<[u8]>),
}

/// A hash with its kind, and whatever is no longer.
const SHORT: usize = 33;

impl Short {
    pub(super) fn of(bytes: &[u8]) -> Short {
        let mut here = [0; SHORT];
        match (here.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(bytes);
                Short::Here(length, here)
            }
            _ => Short::There(bytes.into()),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Short::Here(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or(bytes),
            Short::There(bytes) => bytes,
        }
    }

    /// To be handed out.
    pub(super) fn shared(&self) -> Arc<[u8]> {
        match self {
            Short::Here(..) => self.bytes().into(),
            Short::There(bytes) => bytes.clone(),
        }
    }
}

impl From<Arc<[u8]>> for Short {
    fn from(bytes: Arc<[u8]>) -> Short {
        if bytes.len() > SHORT {
            Short::There(bytes)
        } else {
            Short::of(&bytes)
        }
    }
}

/// A question to the cache.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ask {
    pub(super) key: Key,
    pub(super) lasting: bool,
    pub(super) anew: bool,
}

impl Ask {
    /// The answer of this kind and name; of a name, the first [`MAX_KEY`] bytes
    /// count.
    #[must_use]
    pub fn new(kind: Kind, name: &[u8]) -> Ask {
        let name = name.get(..MAX_KEY).unwrap_or(name);
        let mut bytes = Vec::with_capacity(name.len().saturating_add(1));
        bytes.push(kind as u8);
        bytes.extend_from_slice(name);
        Ask {
            key: Key(Short::of(&bytes)),
            lasting: false,
            anew: false,
        }
    }

    /// The answer stays true for good and is worth a row on the disk, if it is
    /// asked for twice and its kind goes there.
    #[must_use]
    pub fn lasting(mut self) -> Ask {
        self.lasting = true;
        self
    }

    /// What is kept is known to be wrong: the source is asked.
    #[must_use]
    pub fn anew(mut self) -> Ask {
        self.anew = true;
        self
    }
}
