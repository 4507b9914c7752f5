//! # What the node has earned
//!
//! Time is cut into periods of an hour (`rewards.period`). Of each the node keeps
//! how long it was up, how well it served, what the tickets that came in it are
//! worth, and what that earns by the operator's rates. docs/rewards.md has the
//! formulas with examples; this room does no I/O and reads no clock.
//!
//! [`Tracker::tick`] is called every ten seconds with a [`Sample`] of counters and
//! says in [`Steps`] what is to be written. The running period is a row of its
//! own, written lazily now and then; when it is over, its last form is one of the
//! history and is committed with the first form of the next.
//!
//! **Being up** is what was seen: seconds that the node ran and the device did not
//! sleep. A node that was off finds in the running period's row until when it was
//! seen, and makes the periods since then when it comes back, with a score of 0.
//! After a power cut that row may be as old as the last commit, so what is lost
//! counts as down: the score may be too low by that, never too high.
//!
//! **Nothing is written under a guessed time.** While the clock is not trusted,
//! stretches of being up wait by the boot-time clock, and get their place when the
//! clock is right. So they do while there is no store from which to go on.
//!
//! **Tickets** are counted from the sums of all tickets that the node holds
//! ([`crate::ticket::Tally`]). The row remembers up to which sum it has counted
//! ([`Mark`]): what is beyond is new, counted once, and in the period in which it is
//! seen. A restart finds the same sums in the store and goes on from the mark.
//!
//! | file | what it owns |
//! | --- | --- |
//! | `row.rs` | the row in the store |
//! | `score.rs` | uptime and performance |
//! | `earning.rs` | rates, and what they come to |
//! | `tracker.rs` | periods: being up, tickets, what is to be written |
//! | `place.rs` | the boot-time clock put on the wall clock |

mod earning;
mod place;
mod row;
mod score;
mod tracker;

#[cfg(test)]
mod tests;

pub use earning::{Projection, Rates};
pub use row::{Mark, RewardRow, Tickets, RUNNING};
pub use score::{latency_score, Measures};
pub use tracker::{Counters, Held, Report, Sample, Steps, Terms, Tracker, HISTORY};
