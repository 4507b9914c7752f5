//! Whether this node takes part in the network: what is logged when that
//! changes, and what health says.

use crate::time::Moment;
use std::fmt;
use std::time::Duration;

/// A change, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// For the first time since the DHT runs.
    Joined {
        /// Known nodes.
        nodes: usize,
        /// Since the start.
        after: Duration,
    },
    /// Again.
    Back {
        /// Known nodes.
        nodes: usize,
        /// How long nobody answered.
        after: Duration,
    },
    /// Nobody answers any more.
    Isolated,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |nodes: usize| format!("{nodes} node{}", if nodes == 1 { "" } else { "s" });
        match self {
            Change::Joined { nodes, after } => {
                write!(
                    f,
                    "joined the network: {} known, {} ms after the start",
                    known(*nodes),
                    after.as_millis()
                )
            }
            Change::Back { nodes, after } => {
                write!(
                    f,
                    "back in the network: {} known, {} s after the last one was lost",
                    known(*nodes),
                    after.as_secs()
                )
            }
            Change::Isolated => f.write_str(
                "isolated: no other node answers any more; those that are remembered and the seeds are asked again",
            ),
        }
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Standing {
    /// When the DHT was started.
    began: Option<Moment>,
    /// Nobody answers since then; none while somebody does.
    alone: Option<Moment>,
    /// It has taken part since it began.
    joined: bool,
    /// The silence was told.
    told: bool,
}

impl Standing {
    /// The DHT runs, and knows nobody yet.
    pub fn begin(&mut self, now: Moment) {
        *self = Standing {
            began: Some(now),
            alone: Some(now),
            ..Standing::default()
        };
    }

    /// The DHT does not run any more. True when it had taken part.
    pub fn end(&mut self) -> bool {
        let part = self.joined && self.alone.is_none();
        *self = Standing::default();
        part
    }

    /// Others answer.
    pub fn join(&mut self, nodes: usize, now: Moment) -> Option<Change> {
        let alone = self.alone.take()?;
        let began = self.began.unwrap_or(now);
        self.told = false;
        Some(if std::mem::replace(&mut self.joined, true) {
            let after = now.since(alone);
            Change::Back { nodes, after }
        } else {
            let after = now.since(began);
            Change::Joined { nodes, after }
        })
    }

    /// Nobody answers any more.
    pub fn isolate(&mut self, now: Moment) -> Option<Change> {
        if self.alone.is_some() {
            return None;
        }
        self.alone = Some(now);
        Some(Change::Isolated)
    }

    /// For how long nobody has answered, while nobody does.
    #[must_use]
    pub fn alone(&self, now: Moment) -> Option<Duration> {
        self.began?;
        Some(now.since(self.alone?))
    }

    /// Whether it has to be told now that nobody has answered from the beginning
    /// for as long as `patience`; once.
    pub fn silence(&mut self, now: Moment, patience: Duration) -> bool {
        let silent = !self.joined && self.alone(now).is_some_and(|alone| alone >= patience);
        silent && !std::mem::replace(&mut self.told, true)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_change_is_told_once_and_in_the_right_words() {
        let mut standing = Standing::default();
        let start = Moment(1);
        assert_eq!(standing.alone(start), None, "it does not run");
        standing.begin(start);
        assert!(!standing.silence(start + SECOND, SECOND * 15));
        assert!(standing.silence(start + SECOND * 15, SECOND * 15));
        assert!(!standing.silence(start + SECOND * 16, SECOND * 15));
        let joined = standing.join(3, start + SECOND * 20).unwrap().to_string();
        assert_eq!(
            joined,
            "joined the network: 3 nodes known, 20000 ms after the start"
        );
        assert_eq!(standing.join(4, start + SECOND * 21), None);
        assert_eq!(standing.alone(start + SECOND * 21), None);
        let now = start + SECOND * 30;
        assert_eq!(standing.isolate(now), Some(Change::Isolated));
        assert_eq!(standing.isolate(now + SECOND), None);
        assert_eq!(standing.alone(now + SECOND * 5), Some(SECOND * 5));
        assert!(!standing.silence(now + SECOND * 60, SECOND * 15));
        let back = standing.join(1, now + SECOND * 90).unwrap().to_string();
        assert_eq!(
            back,
            "back in the network: 1 node known, 90 s after the last one was lost"
        );
        assert!(standing.end());
        assert!(!standing.end());
    }
}
