//! When to stop.

use async_signal::{Signal, Signals};
use smol::stream::StreamExt;
use std::fmt;
use std::io;

/// What asked the program to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM: init, systemd, procd, `kill`.
    Terminate,
    /// SIGINT: Ctrl-C.
    Interrupt,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stop::Terminate => "SIGTERM",
            Stop::Interrupt => "SIGINT (Ctrl-C)",
        })
    }
}

/// SIGTERM and SIGINT as a queue. Other signals keep what the system does with
/// them: SIGHUP ends the program, and writing to a closed pipe is an error, not
/// a signal.
#[derive(Debug)]
pub struct StopSignals(Signals);

impl StopSignals {
    /// Catches both signals from now on, for the rest of the process.
    ///
    /// # Errors
    /// When the system refuses the handler or its pipe (no descriptor left).
    pub fn catch() -> io::Result<Self> {
        Signals::new([Signal::Term, Signal::Int]).map(Self)
    }

    /// The next one. A caller that waits again after the first hears of a user
    /// who is losing patience with an orderly stop.
    ///
    /// # Errors
    /// When the pipe from the handler breaks.
    pub async fn next(&mut self) -> io::Result<Stop> {
        match self.0.next().await {
            Some(Ok(Signal::Int)) => Ok(Stop::Interrupt),
            Some(Ok(_)) => Ok(Stop::Terminate),
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
    fn both_signals_are_heard_one_after_the_other() {
        let mut signals = StopSignals::catch().unwrap();
        for (name, stop) in [("-TERM", Stop::Terminate), ("-INT", Stop::Interrupt)] {
            let command = format!("kill {name} {}", id());
            let sent = Command::new("sh").args(["-c", &command]).status();
            assert!(sent.unwrap().success());
            assert_eq!(smol::block_on(signals.next()).unwrap(), stop);
        }
    }
}
