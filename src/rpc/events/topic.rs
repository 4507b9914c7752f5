//! What events are about.

/// What an event is about; who listens chooses by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A device's session was opened or closed.
    Session,
    /// A link to another node came about or ended.
    Peer,
    /// A ticket was accepted.
    Ticket,
    /// The chain has a new block.
    Block,
    /// The node's health is another one.
    Health,
    /// Everything that the status page shows, once a second.
    Status,
}

impl Topic {
    /// All of them.
    pub const ALL: [Topic; 6] = [
        Topic::Session,
        Topic::Peer,
        Topic::Ticket,
        Topic::Block,
        Topic::Health,
        Topic::Status,
    ];

    /// Its word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Topic::Session => "session",
            Topic::Peer => "peer",
            Topic::Ticket => "ticket",
            Topic::Block => "block",
            Topic::Health => "health",
            Topic::Status => "status",
        }
    }

    /// Its bit in [`Topics`].
    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// A set of topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topics(u8);

impl Topics {
    /// Every topic.
    #[must_use]
    pub fn all() -> Topics {
        Topic::ALL.into_iter().fold(Topics::default(), Topics::with)
    }

    /// The set and `topic`.
    #[must_use]
    pub fn with(self, topic: Topic) -> Topics {
        Topics(self.0 | topic.bit())
    }

    /// Whether `topic` is in it.
    #[must_use]
    pub fn has(self, topic: Topic) -> bool {
        self.0 & topic.bit() != 0
    }

    /// What is in either set.
    #[must_use]
    pub fn and(self, other: Topics) -> Topics {
        Topics(self.0 | other.0)
    }

    /// As one number, for [`Topics::of`].
    pub(super) fn bits(self) -> u8 {
        self.0
    }

    /// From [`Topics::bits`].
    pub(super) fn of(bits: u8) -> Topics {
        Topics(bits)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set of these words.
    ///
    /// # Errors
    /// The first that names no topic.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Topics, &'a str> {
        let mut topics = Topics::default();
        for word in words {
            let topic = Topic::ALL.into_iter().find(|topic| topic.word() == word);
            topics = topics.with(topic.ok_or(word)?);
        }
        Ok(topics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_is_found_by_its_word_and_by_no_other() {
        for topic in Topic::ALL {
            let set = Topics::parse([topic.word()]).unwrap_or_default();
            for other in Topic::ALL {
                assert_eq!(set.has(other), other == topic);
            }
        }
        assert_eq!(
            Topics::parse(Topic::ALL.map(Topic::word)),
            Ok(Topics::all())
        );
        assert_eq!(Topics::parse(["peer", "Session"]), Err("Session"));
        assert_eq!(Topics::parse([""]), Err(""));
    }
}
