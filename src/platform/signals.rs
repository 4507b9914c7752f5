//! What the system asks of the program: to stop, or to read its configuration
//! again.

use async_signal::{Signal, Signals as Queue};
use smol::stream::StreamExt;
use std::fmt;
use std::io;

/// A signal that was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caught {
    /// SIGTERM: init, systemd, procd, `kill`.
    Terminate,
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGHUP: read the configuration again.
    HangUp,
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Caught::Terminate => "SIGTERM",
            Caught::Interrupt => "SIGINT (Ctrl-C)",
            Caught::HangUp => "SIGHUP",
        })
    }
}

/// Signals as a queue. Those that are not caught keep what the system does with
/// them; writing to a closed pipe is an error, not a signal.
#[derive(Debug)]
pub struct Signals(Queue);

impl Signals {
    /// Catches SIGTERM, SIGINT and SIGHUP from now on, for the rest of the process.
    ///
    /// # Errors
    /// When the system refuses the handler or its pipe (no descriptor left).
    pub fn catch() -> io::Result<Self> {
        Queue::new([Signal::Term, Signal::Int, Signal::Hup]).map(Self)
    }

    /// Catches SIGTERM and SIGINT: for programs that end with their terminal.
    ///
    /// # Errors
    /// As [`Signals::catch`].
    pub fn catch_stops() -> io::Result<Self> {
        Queue::new([Signal::Term, Signal::Int]).map(Self)
    }

    /// The next one. A caller that waits again after the first hears of a user
    /// who is losing patience with an orderly stop.
    ///
    /// # Errors
    /// When the pipe from the handler breaks.
    pub async fn next(&mut self) -> io::Result<Caught> {
        match self.0.next().await {
            Some(Ok(Signal::Int)) => Ok(Caught::Interrupt),
            Some(Ok(Signal::Hup)) => Ok(Caught::HangUp),
            Some(Ok(_)) => Ok(Caught::Terminate),
            Some(Err(error)) => Err(error),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::process::{id, Command};

    #[test]
    fn all_signals_are_heard_one_after_the_other() {
        let mut signals = Signals::catch().unwrap();
        for (name, caught) in [
            ("-TERM", Caught::Terminate),
            ("-HUP", Caught::HangUp),
            ("-INT", Caught::Interrupt),
        ] {
            let command = format!("kill {name} {}", id());
            let sent = Command::new("sh").args(["-c", &command]).status();
            assert!(sent.unwrap().success());
            assert_eq!(smol::block_on(signals.next()).unwrap(), caught);
        }
    }
}
