//! How sessions end.

use crate::ports::Violation;
use crate::wire::code::Code;
use crate::wire::control::{short_text, Close, ControlError};
use std::fmt;
use std::io::ErrorKind;

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// This side ends it and tells the other why.
    Say(Close),
    /// The other side said that it ends, and why.
    Told(Close),
    /// The connection broke, or TLS did not come about; in words.
    Lost(String),
    /// Bytes of another dialect: these go out as they are, then the end.
    Foreign(Vec<u8>, String),
}

impl Stop {
    /// An end that this side decided on.
    #[must_use]
    pub fn say(code: Code, text: &str) -> Stop {
        Stop::Say(Close {
            code,
            text: short_text(text),
            retry_after_ms: None,
        })
    }

    /// The other side sent something that is no message.
    #[cold]
    #[must_use]
    pub fn malformed(error: ControlError) -> Stop {
        Stop::say(Code::PROTOCOL, &error.to_string())
    }
}

impl From<Violation> for Stop {
    fn from(v: Violation) -> Stop {
        Stop::say(v.code, &v.text)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Say(c) => write!(f, "ended here: {} ({})", c.text, c.code),
            Stop::Told(c) => write!(f, "ended by the other side: {} ({})", c.text, c.code),
            Stop::Lost(text) | Stop::Foreign(_, text) => f.write_str(text),
        }
    }
}

/// A connection that the system reports as broken, in words.
pub(super) fn broken(e: &std::io::Error) -> Stop {
    Stop::Lost(match e.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "the connection was reset by the other side".into()
        }
        ErrorKind::TimedOut => "the other side no longer answers".into(),
        _ => format!("the connection broke: {e}"),
    })
}
