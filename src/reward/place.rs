//! Stretches of being up, by the boot-time clock, until they can be put on the
//! wall clock.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Moment;

/// Stretches that wait. One ends only where the device slept, so this is a long
/// time; of more, the oldest are given up and count as down.
const STRETCHES_MAX: usize = 256;
/// Less sleep than this is none: two clocks are read one after the other.
const LEAST_SLEEP: Duration = Duration::from_secs(1);
/// How far the wall clock may run away from the boot-time clock before it counts
/// as set anew, in milliseconds: it is read in whole seconds, and time servers
/// slew it.
const SLACK_MS: u64 = 2_000;

/// From when to when, in milliseconds of some clock.
pub(super) type Stretch = (u64, u64);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Places {
    /// The latest look: boot-time clock, and the one that stands still in sleep.
    last: (Moment, Moment),
    waiting: VecDeque<Stretch>,
    /// Milliseconds since 1970 at which the boot-time clock was zero.
    zero: Option<u64>,
}

impl Places {
    pub(super) fn new(now: Moment, awake: Moment) -> Places {
        Places {
            last: (now, awake),
            waiting: VecDeque::new(),
            zero: None,
        }
    }

    /// The node is still up. Where the device slept in between, the time that it
    /// was awake counts first: at most the ten seconds between two looks.
    pub(super) fn look(&mut self, now: Moment, awake: Moment) {
        let (last, last_awake) = self.last;
        self.last = (now, awake);
        let passed = now.since(last);
        let up = match awake.since(last_awake) {
            up if up.saturating_add(LEAST_SLEEP) > passed => passed,
            up => up,
        };
        let from = millis(last);
        let until = from.saturating_add(u64::try_from(up.as_millis()).unwrap_or(u64::MAX));
        match self.waiting.back_mut() {
            Some(stretch) if stretch.1 == from => stretch.1 = until,
            _ => self.waiting.push_back((from, until)),
        }
        if self.waiting.len() > STRETCHES_MAX {
            self.waiting.pop_front();
        }
    }

    /// The time is known: `unix` seconds at the latest look. All that waits, in
    /// milliseconds since 1970; and what time it is in these.
    pub(super) fn place(&mut self, unix: u64) -> (Vec<Stretch>, u64) {
        let now = millis(self.last.0);
        let read = unix.saturating_mul(1000);
        let near = |zero: &u64| zero.saturating_add(now).abs_diff(read) <= SLACK_MS;
        let zero = self.zero.filter(near);
        let zero = zero.unwrap_or(read.saturating_sub(now));
        self.zero = Some(zero);
        let on_the_wall = |at: u64| zero.saturating_add(at);
        let placed = self.waiting.drain(..);
        let placed = placed.map(|(from, until)| (on_the_wall(from), on_the_wall(until)));
        (placed.collect(), on_the_wall(now))
    }
}

fn millis(moment: Moment) -> u64 {
    moment.0 / 1_000_000
}
