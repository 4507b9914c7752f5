//! What is asked of sources at present, who waits for it, and which keys rest
//! because their source failed. No I/O; time and chance are arguments.

use super::kind::{Ask, Key};
use super::Found;
use crate::sorted::Map;
use crate::task::channel::{bounded, Receiver, Sender};
use crate::time::Moment;
use std::fmt;
use std::time::Duration;

/// Questions that may be under way at once. Those to a chain are bounded by its
/// client, those for devices by the switchboard; this is for what comes to be.
pub const FLIGHTS_MAX: usize = 1024;

/// Keys of which it is remembered that they failed, 300 bytes each. Beyond them
/// the one that may be asked again first is forgotten.
const RESTING_MAX: usize = 256;

/// What a source has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The answer.
    pub value: Vec<u8>,
    /// Whether it may be given to others, later.
    pub keep: bool,
}

impl From<Vec<u8>> for Fetched {
    fn from(value: Vec<u8>) -> Fetched {
        Fetched { value, keep: true }
    }
}

/// Why a source has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It cannot be reached or does not work: what is stale will do.
    Down(String),
    /// It was asked and refused, in its own words: passed on, never kept.
    Refused(Vec<u8>),
    /// It was not asked, because too much is asked already; in this time it can be.
    Busy(Duration),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheError {
    /// The source does not work; it is asked again at the earliest in this time.
    Down(String, Duration),
    /// The source refused, in its own words.
    Refused(Vec<u8>),
    /// Too much is asked at once; in this time it can be asked.
    Busy(Duration),
    /// The source ended without a word: a defect.
    Broken,
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CacheError::Down(why, _) => f.write_str(why),
            CacheError::Refused(words) => f.write_str(&String::from_utf8_lossy(words)),
            CacheError::Busy(wait) => {
                write!(
                    f,
                    "too much is asked at once; ask again in {} ms",
                    wait.as_millis()
                )
            }
            CacheError::Broken => f.write_str("the source ended without an answer"),
        }
    }
}

impl std::error::Error for CacheError {}

/// What whoever asked is told.
pub type Outcome = Result<Found, CacheError>;

struct Rest {
    until: Moment,
    pause: Duration,
    fault: Fault,
}

impl Rest {
    fn error(&self, now: Moment) -> CacheError {
        match &self.fault {
            Fault::Down(why) => CacheError::Down(why.clone(), self.until.since(now)),
            Fault::Refused(words) => CacheError::Refused(words.clone()),
            Fault::Busy(wait) => CacheError::Busy(*wait),
        }
    }
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Flights {
    waiting: Map<Ask, Vec<Sender<Outcome>>>,
    resting: Map<Key, Rest>,
}

impl Flights {
    pub fn has(&self, ask: &Ask) -> bool {
        self.waiting.contains_key(ask)
    }

    pub fn is_full(&self) -> bool {
        self.waiting.len() >= FLIGHTS_MAX
    }

    /// Whether nothing may be begun for `ask` now.
    pub fn is_busy(&self, ask: &Ask, now: Moment) -> bool {
        self.has(ask) || self.is_full() || self.resting(&ask.key, now).is_some()
    }

    /// Waits for the result, which somebody has asked for or does next.
    pub fn join(&mut self, ask: &Ask) -> Receiver<Outcome> {
        let (tell, told) = bounded(1);
        let waiting = self.waiting.get_or_insert_with(ask.clone(), Vec::new);
        waiting.push(tell);
        told
    }

    /// Whoever waits; nothing is under way any more.
    pub fn take(&mut self, ask: &Ask) -> Vec<Sender<Outcome>> {
        self.waiting.remove(ask).unwrap_or_default()
    }

    /// The failure after which this key rests, if it does.
    pub fn resting(&self, key: &Key, now: Moment) -> Option<CacheError> {
        let rest = self.resting.get(key)?;
        (now < rest.until).then(|| rest.error(now))
    }

    pub fn succeeded(&mut self, key: &Key) {
        self.resting.remove(key);
    }

    /// Lets the key rest; `chance` spreads those that failed together over half
    /// of the pause.
    pub fn failed(&mut self, key: &Key, fault: Fault, now: Moment, chance: u64) -> CacheError {
        if let Fault::Busy(wait) = fault {
            // The source has nothing to do with it.
            return CacheError::Busy(wait);
        }
        let (first, most) = key.terms().rest;
        let before = self.resting.get(key).map(|rest| rest.pause);
        let pause = match (&fault, before) {
            // It works; the question is the same for everyone within a second.
            (Fault::Refused(_), _) | (_, None) => first,
            (_, Some(before)) => before.saturating_mul(2).min(most),
        };
        let half = u64::try_from(pause.as_nanos() / 2).unwrap_or(u64::MAX / 2);
        let spread = Duration::from_nanos(chance % half.max(1));
        let rest = Rest {
            until: now + pause.saturating_sub(spread),
            pause,
            fault,
        };
        let error = rest.error(now);
        self.resting.insert(key.clone(), rest);
        if self.resting.len() > RESTING_MAX {
            let first = self.resting.iter().min_by_key(|(_, rest)| rest.until);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                self.resting.remove(&first);
            }
        }
        error
    }

    /// Forgets failures that are long past.
    pub fn sweep(&mut self, now: Moment) {
        self.resting
            .retain(|_, rest| now.since(rest.until) < rest.pause.saturating_mul(2));
    }
}
