//! How a loop proves that it still turns.
//!
//! A future that is never woken again looks like one that has nothing to do. So
//! whoever watches over a loop puts a question into its channel from time to time,
//! and the loop, wherever it waits, waits for that as well. Taking the question
//! is the answer. The same question wakes all loops of a program together, so
//! chores that are due "every ten seconds or so" hang on it and need no timer.

use smol::channel::{bounded, Receiver, Sender};

/// The loop's end.
#[derive(Clone, Debug)]
pub struct Beat(Receiver<()>);

/// The watcher's end of one loop.
#[derive(Debug)]
pub struct Watch(Sender<()>);

/// A loop and its watcher.
#[must_use]
pub fn pair() -> (Watch, Beat) {
    let (ask, asked) = bounded(1);
    (Watch(ask), Beat(asked))
}

impl Beat {
    /// One that nobody asks: for loops that run without a supervisor.
    #[must_use]
    pub fn unwatched() -> Beat {
        pair().1
    }

    /// Resolves when the loop is asked, and answers by that. For ever pending
    /// when nobody watches any more. Dropping the future loses nothing.
    pub async fn asked(&self) {
        if self.0.recv().await.is_err() {
            std::future::pending().await
        }
    }
}

impl Watch {
    /// Asks. False when the last question was not taken: the loop hangs. True
    /// also for a loop that has ended, which shows otherwise.
    #[must_use]
    pub fn ask(&self) -> bool {
        !matches!(
            self.0.try_send(()),
            Err(smol::channel::TrySendError::Full(()))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stopped_turning_is_noticed_at_the_second_question() {
        let (watch, beat) = pair();
        assert!(watch.ask());
        smol::block_on(beat.asked());
        assert!(watch.ask());
        assert!(!watch.ask());
    }

    #[test]
    fn a_loop_without_a_watcher_waits_and_does_not_spin() {
        let beat = Beat::unwatched();
        let asked = smol::block_on(smol::future::poll_once(beat.asked()));
        assert!(asked.is_none());
    }
}
