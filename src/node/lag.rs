//! How long the executor lets a task wait: the time in which everything that
//! comes in is late.
//!
//! A task is put at the end of the queue and says how long it waited there.
//! Whoever looks asks; while nobody looks, the house's tick does.

use crate::meter::Histogram;
use crate::sorted;
use crate::task;
use crate::time::{Clock, Moment};
use smol::{future, Executor};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Time between two questions at least.
const PACE: Duration = Duration::from_millis(400);
/// An answer that is worth another question at once.
const LATE: Duration = Duration::from_millis(100);
/// Answers that are looked at together: a hiccup is one of them.
const LATEST: usize = 4;

#[derive(Debug, Default)]
struct State {
    /// The question that waits for its answer, and when it was put.
    asked: Option<Moment>,
    /// When one was put last.
    last: Option<Moment>,
    latest: [Duration; LATEST],
    next: usize,
    /// The latest answer was [`LATE`].
    late: bool,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Lag {
    state: Mutex<State>,
    /// All answers.
    pub waits: Histogram,
}

impl Lag {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a question, unless one waits or was put a moment ago.
    pub fn ask(self: &Arc<Self>, executor: &Executor<'static>, clock: Arc<dyn Clock>) {
        let now = clock.now();
        if !self.begin(now) {
            return;
        }
        let lag = self.clone();
        let answer = async move {
            // While answers are late, one question follows the other: nobody may be
            // able to ask.
            while lag.end(clock.now()) && lag.begin(clock.now()) {
                future::yield_now().await;
            }
        };
        task::spawn(executor, answer).detach();
    }

    fn begin(&self, now: Moment) -> bool {
        let mut state = self.lock();
        let soon = state.last.is_some_and(|last| now.since(last) < PACE) && !state.late;
        if soon || state.asked.is_some() {
            return false;
        }
        (state.asked, state.last) = (Some(now), Some(now));
        true
    }

    /// Takes an answer; whether it was late.
    fn end(&self, now: Moment) -> bool {
        let mut state = self.lock();
        let Some(asked) = state.asked.take() else {
            return false;
        };
        let waited = now.since(asked);
        let late = waited >= LATE;
        state.late = late;
        let place = state.next;
        if let Some(latest) = state.latest.get_mut(place) {
            *latest = waited;
        }
        state.next = (place + 1) % LATEST;
        drop(state);
        self.waits.took(waited);
        late
    }

    /// How long tasks wait at present: the second longest of the latest answers
    /// and the question that waits, so that one hiccup is none.
    #[must_use]
    pub fn at_present(&self, now: Moment) -> Duration {
        let state = self.lock();
        let waits = state.asked.map_or(Duration::ZERO, |asked| now.since(asked));
        let mut all = state.latest.to_vec();
        all.push(waits);
        sorted::sort(&mut all);
        all.get(LATEST - 1).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment(millis * 1_000_000)
    }

    #[test]
    fn a_hiccup_is_not_taken_for_a_busy_executor_and_a_busy_one_shows_while_it_is() {
        let lag = Lag::default();
        let answered = |asked: u64, waited: u64| {
            assert!(lag.begin(at(asked)));
            assert!(!lag.begin(at(asked)), "one question at a time");
            assert_eq!(lag.end(at(asked + waited)), waited >= 100);
        };
        answered(1_000, 2_000);
        assert_eq!(lag.at_present(at(3_000)), Duration::ZERO);
        // A second one waits, and is not answered at all.
        assert!(lag.begin(at(4_000)));
        assert_eq!(lag.at_present(at(4_700)), Duration::from_millis(700));
        assert!(lag.end(at(4_900)));
        assert_eq!(lag.at_present(at(4_900)), Duration::from_millis(900));
        // It is over when two answers of four came in time.
        for n in 0..3 {
            answered(6_000 + n * 1_000, 0);
        }
        assert_eq!(lag.at_present(at(9_000)), Duration::ZERO);
        assert_eq!(lag.waits.read().count, 5);
    }

    #[test]
    fn an_executor_that_turns_answers() {
        let executor = Executor::new();
        let lag = Arc::new(Lag::default());
        lag.ask(
            &executor,
            Arc::new(crate::platform::clock::BootClock::new()),
        );
        while executor.try_tick() {}
        assert_eq!(lag.waits.read().count, 1);
    }
}
