//! What was asked of the HTTP service, counted.

use super::head::Question;
use super::methods;
use crate::meter::{Counter, Histogram};
use std::time::Duration;

/// Methods that are told apart: more than there are, a test says.
const METHODS_MAX: usize = 64;

/// Paths, in the order of [`place`].
pub(super) const PATHS: [&str; 8] = [
    "/health", "/ready", "/rpc", "/", "/metrics", "/config", "/events", "/ws",
];

/// Statuses that occur; others are counted together.
pub(super) const CODES: [&str; 17] = [
    "200", "101", "204", "400", "401", "403", "404", "405", "408", "411", "413", "415", "429",
    "431", "500", "501", "503",
];

/// Counts since the node started.
#[derive(Debug)]
pub struct Calls {
    /// By [`PATHS`].
    pub(super) paths: [Counter; PATHS.len()],
    /// By [`CODES`], the others last.
    pub(super) codes: [Counter; CODES.len() + 1],
    /// From a complete request to its answer.
    pub(super) took: Histogram,
    /// Calls and errors, in the order of the methods' table, unknown ones last.
    pub(super) methods: [[Counter; 2]; METHODS_MAX],
}

impl Default for Calls {
    fn default() -> Calls {
        Calls {
            paths: Default::default(),
            codes: Default::default(),
            took: Histogram::new(),
            methods: [const { [Counter::new(), Counter::new()] }; METHODS_MAX],
        }
    }
}

fn place(question: Question) -> usize {
    match question {
        Question::Health => 0,
        Question::Ready => 1,
        Question::Rpc => 2,
        Question::Page => 3,
        Question::Metrics => 4,
        Question::Config | Question::ChangeConfig => 5,
        Question::Events => 6,
        Question::WebSocket => 7,
    }
}

impl Calls {
    /// A request was understood.
    pub(super) fn asked(&self, question: Question) {
        if let Some(count) = self.paths.get(place(question)) {
            count.one();
        }
    }

    /// It was answered with `status`.
    pub(super) fn answered(&self, status: u16) {
        let known = |code: &&str| code.parse() == Ok(status);
        let place = CODES.iter().position(known);
        if let Some(count) = self.codes.get(place.unwrap_or(CODES.len())) {
            count.one();
        }
    }

    /// Requests that were refused, whoever was at fault.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        let refusal = |code: &str| code.starts_with(['4', '5']);
        let codes = CODES.iter().copied().chain(["other"]).zip(&self.codes);
        let codes = codes.filter(|(code, _)| refusal(code));
        codes.map(|(_, count)| count.get()).sum()
    }

    /// The node took so long for an answer.
    pub(super) fn took(&self, time: Duration) {
        self.took.took(time);
    }

    /// A method was called.
    pub(super) fn called(&self, name: &str, well: bool) {
        let place = methods::all().position(|method| method.name == name);
        let place = place.unwrap_or_else(|| methods::all().count());
        if let Some([calls, errors]) = self.methods.get(place) {
            calls.one();
            if !well {
                errors.one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn no_method_is_beyond_the_counters_and_unknown_ones_share_one() {
        assert!(methods::all().count() < METHODS_MAX);
        let calls = Calls::default();
        calls.called("chr_node_info", true);
        calls.called("eth_mine_for_me", false);
        calls.called("\u{1F980}", false);
        let unknown = &calls.methods[methods::all().count()];
        assert_eq!((unknown[0].get(), unknown[1].get()), (2, 2));
        assert_eq!(calls.methods[0][0].get() + calls.methods[1][0].get(), 1);
        calls.answered(200);
        calls.answered(418);
        assert_eq!(
            (calls.codes[0].get(), calls.codes[CODES.len()].get()),
            (1, 1)
        );
    }
}
