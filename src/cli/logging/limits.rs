//! What keeps the log small: one bound for all lines together, and one for each
//! line of code.

use crate::time::Moment;
use log::Level;
use std::time::Duration;

/// Lines that may come at once: a start, a stop, a bad minute.
pub const BURST: u32 = 200;
/// Lines a second after that; 4 MB an hour at the very worst.
pub const RATE: u32 = 10;

/// What one line of code may say within [`WINDOW`]; the rest is counted.
pub const REPEATS: u32 = 20;
/// See [`REPEATS`].
pub const WINDOW: Duration = Duration::from_secs(60);
/// Lines of code that are watched at once. The program has fewer than 200 in
/// all, and those that strangers can set off are a handful.
const SITES: usize = 64;
/// How much of a message its sum repeats, in characters.
const SAMPLE: usize = 160;

/// A token bucket that counts what it refused.
#[derive(Debug)]
pub(super) struct Bucket {
    lines: u32,
    filled: Option<Moment>,
    missed: u64,
}

impl Bucket {
    pub fn full() -> Self {
        Self {
            lines: BURST,
            filled: None,
            missed: 0,
        }
    }

    /// Whether a line may be written now, and then how many were not since the last.
    pub fn take(&mut self, now: Moment) -> Option<u64> {
        let filled = *self.filled.get_or_insert(now);
        let interval = Duration::from_secs(1) / RATE;
        let earned = now.since(filled).as_nanos() / interval.as_nanos();
        if let Ok(earned @ 1..) = u32::try_from(earned.min(u128::from(BURST))) {
            self.lines = self.lines.saturating_add(earned).min(BURST);
            // What is left of an interval is not lost, unless the bucket is full.
            self.filled = Some(if self.lines == BURST {
                now
            } else {
                filled + interval * earned
            });
        }
        match self.lines.checked_sub(1) {
            Some(rest) => {
                self.lines = rest;
                Some(std::mem::take(&mut self.missed))
            }
            None => {
                self.missed += 1;
                None
            }
        }
    }
}

/// A line of code, by file and line.
pub(super) type Place = (&'static str, u32);

/// What was left out of one place's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub level: Level,
    pub target: String,
    /// The line that stands for all of them.
    pub text: String,
}

#[derive(Debug)]
struct Site {
    place: Place,
    since: Moment,
    said: u32,
    more: u64,
    level: Level,
    target: String,
    /// The last message that was written.
    sample: String,
}

impl Site {
    fn sum(&mut self) -> Option<Sum> {
        let more = std::mem::take(&mut self.more);
        (more > 0).then(|| Sum {
            level: self.level,
            target: self.target.clone(),
            text: format!("said {more} more times within a minute: {}", self.sample),
        })
    }
}

/// Counts what each place says.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    sites: Vec<Site>,
}

impl Repeats {
    /// Whether this place may speak. Sums that are due go to `sums`.
    pub fn take(
        &mut self,
        place: Place,
        (level, target, message): (Level, &str, &str),
        now: Moment,
        sums: &mut Vec<Sum>,
    ) -> bool {
        self.close(now, sums);
        if let Some(site) = self.sites.iter_mut().find(|site| site.place == place) {
            if site.said >= REPEATS {
                site.more += 1;
                return false;
            }
            site.said += 1;
            if site.said == REPEATS {
                site.level = level;
                site.sample = message.chars().take(SAMPLE).collect();
            }
            return true;
        }
        if self.sites.len() >= SITES {
            // Those that said most are worth watching; the quietest goes.
            let quiet = self.sites.iter().enumerate().min_by_key(|(_, s)| s.said);
            if let Some((at, _)) = quiet {
                sums.extend(self.sites.swap_remove(at).sum());
            }
        }
        self.sites.push(Site {
            place,
            since: now,
            said: 1,
            more: 0,
            level,
            target: target.to_owned(),
            sample: String::new(),
        });
        true
    }

    /// Forgets places whose time is over, and sums up what was left out.
    pub fn close(&mut self, now: Moment, sums: &mut Vec<Sum>) {
        self.sites.retain_mut(|site| {
            let over = now.since(site.since) >= WINDOW;
            if over {
                sums.extend(site.sum());
            }
            !over
        });
    }

    /// The same for all places: the program ends.
    pub fn close_all(&mut self, sums: &mut Vec<Sum>) {
        for mut site in std::mem::take(&mut self.sites) {
            sums.extend(site.sum());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn strangers_cannot_fill_the_flash_with_log_lines() {
        let mut bucket = Bucket::full();
        let mut written = 0;
        // A thousand messages a second, for a minute.
        for n in 0..60_000u64 {
            if bucket.take(Moment(n * 1_000_000)).is_some() {
                written += 1;
            }
        }
        assert!(
            (BURST + 59 * RATE..=BURST + 60 * RATE).contains(&written),
            "{written}"
        );
    }

    #[test]
    fn what_was_left_out_is_counted_and_said_once() {
        let mut bucket = Bucket::full();
        for _ in 0..BURST {
            assert_eq!(bucket.take(Moment(0)), Some(0));
        }
        for _ in 0..5 {
            assert_eq!(bucket.take(Moment(0)), None);
        }
        let later = Moment(0) + Duration::from_secs(1);
        assert_eq!(bucket.take(later), Some(5));
        assert_eq!(bucket.take(later), Some(0));
    }

    fn say(repeats: &mut Repeats, line: u32, text: &str, seconds: u64) -> (bool, Vec<Sum>) {
        let mut sums = Vec::new();
        let now = Moment(seconds * 1_000_000_000);
        let what = (Level::Warn, "chr_node::edge", text);
        let spoken = repeats.take(("a.rs", line), what, now, &mut sums);
        (spoken, sums)
    }

    #[test]
    fn one_line_of_code_cannot_drown_the_others() {
        let mut repeats = Repeats::default();
        let spoken = (0..57).filter(|n| say(&mut repeats, 1, &format!("no {n}"), 5).0);
        assert_eq!(spoken.count(), REPEATS as usize);
        assert!(say(&mut repeats, 2, "another", 5).0);
        // The minute counts from the first; then it is summed up, once.
        assert_eq!(say(&mut repeats, 2, "another", 64), (true, vec![]));
        let (spoken, sums) = say(&mut repeats, 1, "again", 65);
        assert!(spoken);
        assert_eq!(sums.len(), 1);
        assert_eq!(sums[0].text, "said 37 more times within a minute: no 19");
        assert_eq!(
            (sums[0].level, &*sums[0].target),
            (Level::Warn, "chr_node::edge")
        );
        assert_eq!(say(&mut repeats, 1, "again", 66), (true, vec![]));
    }

    #[test]
    fn many_places_take_no_more_memory_than_a_few() {
        let mut repeats = Repeats::default();
        for _ in 0..REPEATS + 3 {
            say(&mut repeats, 0, "loud", 1);
        }
        let mut told = 0;
        for line in 1..1_000 {
            let (spoken, sums) = say(&mut repeats, line, "quiet", 1);
            assert!(spoken);
            told += sums.len();
        }
        assert_eq!((repeats.sites.len(), told), (SITES, 0));
        let mut sums = Vec::new();
        repeats.close_all(&mut sums);
        assert_eq!(sums[0].text, "said 3 more times within a minute: loud");
    }
}
