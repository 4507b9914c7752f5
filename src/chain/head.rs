//! The newest block that is known, when to look for the next, and whether the
//! chain is in step. No I/O; time and chance are arguments.
//!
//! A look is one small question and one small answer. While somebody wants to
//! know (asked within a minute, or listens to the topic `block`) there is one each
//! [`WATCHED`]; else each [`IDLE`]: every look wakes a phone's radio for seconds.

use crate::time::Moment;
use std::time::Duration;

/// Between two looks while somebody wants to know.
pub const WATCHED: Duration = Duration::from_secs(15);
/// How long a number is taken for the newest when somebody asks: chains make a
/// block each 1 to 15 s, and the question is fifty bytes.
pub const FRESH: Duration = Duration::from_secs(5);
/// Between two looks while nobody does.
pub const IDLE: Duration = Duration::from_secs(60);
/// How long one question is interest.
const INTEREST: Duration = Duration::from_secs(60);
/// How long the newest known block will do while the chain does not answer.
pub const STALE: Duration = Duration::from_secs(600);
/// A newest block older than this is no newest block: the source hangs, or still
/// catches up. Chains make one each 1 to 15 s.
const BEHIND: Duration = Duration::from_secs(300);
/// The first pause after a failure, doubled up to [`IDLE`].
const RETRY: Duration = Duration::from_secs(5);

/// A block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its number.
    pub number: u64,
    /// Its hash, as the chain wrote it.
    pub hash: String,
    /// When it was made, in unix seconds.
    pub time: u64,
    /// How many transactions it has.
    pub transactions: usize,
}

/// How it stands with the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Which chain it is, as it says.
    pub chain_id: Option<u64>,
    /// Number of the newest block.
    pub block: Option<u64>,
    /// When that was made, in unix seconds.
    pub block_time: Option<u64>,
    /// How long ago the chain answered last.
    pub answered: Option<Duration>,
    /// Whether that block is of now; `None` while it cannot be known.
    pub synced: Option<bool>,
    /// Why not.
    pub error: Option<String>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Head {
    number: Option<u64>,
    answered: Option<Moment>,
    block: Option<Block>,
    chain_id: Option<u64>,
    failure: Option<String>,
    pause: Duration,
    wanted: Option<Moment>,
    next: Moment,
}

impl Head {
    /// Somebody wants to know.
    pub fn want(&mut self, now: Moment) {
        self.wanted = Some(now);
    }

    /// The newest number, if it can be taken for that.
    pub fn fresh(&self, now: Moment) -> Option<u64> {
        let answered = self.answered?;
        self.number.filter(|_| now.since(answered) < FRESH)
    }

    /// The newest known number and how old that knowledge is, while it will do.
    pub fn last(&self, now: Moment) -> Option<(u64, Duration)> {
        let age = now.since(self.answered?);
        self.number
            .filter(|_| age < STALE)
            .map(|number| (number, age))
    }

    /// How long until the next look is due.
    pub fn wait(&self, now: Moment, listened: bool) -> Duration {
        let wanted = self.wanted.is_some_and(|at| now.since(at) < INTEREST);
        if self.failure.is_none() && (wanted || listened) {
            let due = self.answered.map_or(now, |at| at + WATCHED);
            return due.min(self.next).since(now);
        }
        self.next.since(now)
    }

    /// Whether it has to be looked for at once when somebody asks.
    pub fn is_watched(&self, now: Moment, listened: bool) -> bool {
        listened || self.wanted.is_some_and(|at| now.since(at) < INTEREST)
    }

    /// The chain has said its newest number.
    pub fn answered(&mut self, number: u64, now: Moment) {
        self.number = Some(number);
        self.answered = Some(now);
        self.next = now + IDLE;
        self.pause = Duration::ZERO;
        self.failure = None;
    }

    /// The chain has not answered.
    pub fn failed(&mut self, why: String, now: Moment, chance: u64) {
        self.failure = Some(why);
        // Another may answer there afterwards.
        self.chain_id = None;
        self.pause = self.pause.saturating_mul(2).clamp(RETRY, IDLE);
        let half = u64::try_from(self.pause.as_nanos() / 2).unwrap_or(1);
        let spread = Duration::from_nanos(chance % half.max(1));
        self.next = now + self.pause.saturating_sub(spread);
    }

    /// Number of the newest block, if nothing is known of it but that.
    pub fn unknown(&self) -> Option<u64> {
        let known = self.block.as_ref().map(|block| block.number);
        self.number.filter(|number| Some(*number) != known)
    }

    /// What the newest block is. Whether that is news.
    pub fn learned(&mut self, block: Block) -> bool {
        let news = self.block.as_ref() != Some(&block);
        self.block = Some(block);
        news
    }

    pub fn chain_id(&self) -> Option<u64> {
        self.chain_id
    }

    pub fn set_chain_id(&mut self, id: u64) {
        self.chain_id = Some(id);
    }

    /// How it stands; `unix` is the wall clock, if it can be believed.
    pub fn state(&self, now: Moment, unix: Option<u64>) -> State {
        let block = self.block.as_ref();
        let block = block.filter(|block| Some(block.number) == self.number);
        let time = block.map(|block| block.time);
        let age = unix.zip(time).map(|(unix, time)| unix.saturating_sub(time));
        let behind = age.filter(|age| *age > BEHIND.as_secs());
        let (synced, error) = match (&self.failure, behind) {
            (Some(why), _) => (Some(false), Some(why.clone())),
            (None, Some(age)) => (
                Some(false),
                Some(format!("its newest block is {age} s old")),
            ),
            (None, None) => (age.map(|_| true), None),
        };
        State {
            chain_id: self.chain_id,
            block: self.number,
            block_time: time,
            answered: self.answered.map(|at| now.since(at)),
            synced,
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn block(number: u64, time: u64) -> Block {
        Block {
            number,
            hash: "0x00".into(),
            time,
            transactions: 0,
        }
    }

    #[test]
    fn nobody_who_looks_costs_one_question_a_minute_and_no_more() {
        let mut head = Head::default();
        let mut now = Moment(1_000_000_000);
        let start = now;
        let mut looks = 0;
        while now.since(start) < Duration::from_secs(3600) {
            if head.wait(now, false) == Duration::ZERO {
                looks += 1;
                head.answered(looks, now);
            }
            now = now + SECOND;
        }
        assert_eq!(looks, 60);
        // Somebody asks: every 15 s, for a minute.
        head.want(now);
        let (mut watched, before) = (0, now);
        while now.since(before) < Duration::from_secs(60) {
            if head.wait(now, false) == Duration::ZERO {
                watched += 1;
                head.answered(looks + watched, now);
            }
            now = now + SECOND;
        }
        assert!((4..=5).contains(&watched), "{watched}");
        assert!(head.wait(now + SECOND, false) > Duration::from_secs(30));
        assert!(head.wait(now + SECOND, true) <= WATCHED);
    }

    #[test]
    fn a_chain_that_is_away_is_tried_seldom_and_told_why() {
        let mut head = Head::default();
        let mut now = Moment(1_000_000_000);
        head.answered(7, now);
        head.set_chain_id(1);
        let start = now;
        let mut tries = 0;
        while now.since(start) < Duration::from_secs(3600) {
            head.want(now);
            if head.wait(now, true) == Duration::ZERO {
                tries += 1;
                head.failed("connection refused".into(), now, tries * 7_777_777_777);
            }
            now = now + SECOND;
        }
        assert!((55..=140).contains(&tries), "{tries}");
        let state = head.state(now, Some(5));
        assert_eq!((state.synced, state.chain_id), (Some(false), None));
        assert_eq!(state.error.as_deref(), Some("connection refused"));
        // What was known will not do for ever.
        assert_eq!((state.block, head.last(now)), (Some(7), None));
        head.answered(8, now);
        assert_eq!(head.state(now, Some(5)).error, None);
    }

    #[test]
    fn a_source_that_stands_still_is_not_in_step() {
        let mut head = Head::default();
        let now = Moment(1_000_000_000);
        head.answered(7, now);
        assert_eq!(head.state(now, Some(2000)).synced, None);
        assert_eq!(head.unknown(), Some(7));
        assert!(head.learned(block(7, 1990)));
        assert!(!head.learned(block(7, 1990)), "told twice");
        assert_eq!(head.unknown(), None);
        assert_eq!(head.state(now, Some(2000)).synced, Some(true));
        assert_eq!(head.state(now, Some(2291)).synced, Some(false));
        // Without a clock nobody can tell.
        assert_eq!(head.state(now, None).synced, None);
        // The next block is known by its number alone.
        head.answered(8, now);
        let state = head.state(now, Some(2000));
        assert_eq!(
            (state.block, state.block_time, state.synced),
            (Some(8), None, None)
        );
    }

    #[test]
    fn a_number_is_the_newest_for_a_while_and_will_do_a_while_longer() {
        let mut head = Head::default();
        let now = Moment(1_000_000_000);
        assert_eq!((head.fresh(now), head.last(now)), (None, None));
        head.answered(7, now);
        assert_eq!(head.fresh(now + (FRESH - SECOND)), Some(7));
        assert_eq!(head.fresh(now + FRESH), None);
        assert_eq!(head.last(now + WATCHED), Some((7, WATCHED)));
        assert_eq!(head.last(now + STALE), None);
    }
}
