//! Why a record is not taken.

use crate::wire::presence::PresenceError;
use std::fmt;

/// Why a record is not taken. [`Refusal::code`] is the byte of STORED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Of no known kind, or not exactly one record of its kind within its bounds.
    Form,
    /// A signature is not by whom the record names.
    Signature,
    /// What is here is newer.
    Stale,
    /// It has ended.
    Over,
    /// A time lies further ahead than it may.
    Ahead,
    /// There is no room for it: what is kept is closer to this node, or its
    /// source has had its share.
    Full,
    /// It belongs to another key than the one asked for.
    Key,
}

impl Refusal {
    /// The byte of STORED that says so; 0 is none of them.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Refusal::Form => 1,
            Refusal::Signature => 2,
            Refusal::Stale => 3,
            Refusal::Over => 4,
            Refusal::Ahead => 5,
            Refusal::Full => 6,
            Refusal::Key => 7,
        }
    }

    /// What a byte of STORED means; none for 0 and bytes that are not known.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Refusal> {
        Some(match code {
            1 => Refusal::Form,
            2 => Refusal::Signature,
            3 => Refusal::Stale,
            4 => Refusal::Over,
            5 => Refusal::Ahead,
            6 => Refusal::Full,
            7 => Refusal::Key,
            _ => return None,
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Form => "not a record of a known kind",
            Refusal::Signature => "a signature is not by whom the record names",
            Refusal::Stale => "a newer record is there: sign one with a later time or number",
            Refusal::Over => "the record has ended: sign a new one",
            Refusal::Ahead => "the record's time lies too far ahead: set the clock of its signer",
            Refusal::Full => "no room: closer records are kept, or the source has had its share",
            Refusal::Key => "the record belongs to another key",
        })
    }
}

impl std::error::Error for Refusal {}

impl From<PresenceError> for Refusal {
    fn from(error: PresenceError) -> Refusal {
        match error {
            PresenceError::DeviceSignature | PresenceError::NodeSignature => Refusal::Signature,
            PresenceError::Ahead => Refusal::Ahead,
            PresenceError::Over => Refusal::Over,
            // `Span` is a form that no signer may give it.
            _ => Refusal::Form,
        }
    }
}
