//! What time it is in the network: the median of what its nodes say.
//!
//! Half of the witnesses would have to lie to move it, and each subnet is one
//! witness. What is kept is the difference between a node's unix time and our
//! boot-time clock, so it stays right while we listen to nobody.

use crate::dht::subnet::witness;
use crate::sorted;
use crate::time::Moment;
use std::net::IpAddr;
use std::time::Duration;

/// Witnesses that are needed (design: the trusted clock).
const WITNESSES_NEEDED: usize = 5;
/// The latest that count; 24 bytes each.
const WITNESSES_MAX: usize = 31;
/// A boot-time clock may drift by seconds a day, and the other side's clock may be
/// set meanwhile.
const LIFE: Duration = Duration::from_secs(6 * 3600);

/// See the module's top.
#[derive(Default)]
pub(super) struct Hours {
    /// Witness, unix seconds at the boot clock's zero, when it was heard.
    said: Vec<(u64, i64, Moment)>,
}

impl Hours {
    /// A node at `from` says that it is `unix`; 0: it does not know.
    pub(super) fn heard(&mut self, now: Moment, from: IpAddr, unix: u64, exempt: bool) {
        let Some(unix) = i64::try_from(unix).ok().filter(|unix| *unix > 0) else {
            return;
        };
        let witness = witness(from, exempt);
        self.said.retain(|(other, ..)| *other != witness);
        if self.said.len() >= WITNESSES_MAX {
            // In order of arrival: the oldest goes.
            self.said.remove(0);
        }
        let boot = now.since(Moment(0)).as_secs();
        let zero = unix.saturating_sub(i64::try_from(boot).unwrap_or(i64::MAX));
        self.said.push((witness, zero, now));
    }

    /// The median; none with too few witnesses.
    pub(super) fn median(&self, now: Moment) -> Option<u64> {
        let fresh = self.said.iter().filter(|(.., at)| now.since(*at) < LIFE);
        let mut zeros: Vec<i64> = fresh.map(|(_, zero, _)| *zero).collect();
        if zeros.len() < WITNESSES_NEEDED {
            return None;
        }
        sorted::sort(&mut zeros);
        let zero = zeros.get(zeros.len() / 2)?;
        let boot = i64::try_from(now.since(Moment(0)).as_secs()).ok()?;
        u64::try_from(zero.saturating_add(boot)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(subnet: u8, host: u8) -> IpAddr {
        IpAddr::from([198, 51, subnet, host])
    }

    fn seconds(n: u64) -> Moment {
        Moment(n * 1_000_000_000)
    }

    #[test]
    fn four_witnesses_are_too_few_and_a_crowd_from_one_network_is_one() {
        let mut hours = Hours::default();
        for host in 1..200 {
            hours.heard(seconds(10), ip(9, host), 5_000_000_000, true);
        }
        for subnet in 1..4 {
            hours.heard(seconds(10), ip(subnet, 1), 2_000_000_000, true);
        }
        assert_eq!(hours.median(seconds(10)), None);
        hours.heard(seconds(10), ip(4, 1), 2_000_000_000, true);
        assert_eq!(hours.median(seconds(70)), Some(2_000_000_060));
        assert_eq!(hours.median(seconds(10) + LIFE), None, "heard long ago");
    }

    #[test]
    fn two_of_five_clocks_that_are_wrong_do_not_move_the_median() {
        let mut hours = Hours::default();
        // A node without a clock says 0, which is no vote; one in 1970 and one ten
        // years ahead are.
        for (subnet, unix) in [(1, 0), (2, 90), (3, 2_300_000_000), (4, 2_000_000_001)] {
            hours.heard(seconds(1), ip(subnet, 1), unix, true);
        }
        for (subnet, unix) in [(5, 2_000_000_000), (6, u64::MAX), (7, 2_000_000_002)] {
            hours.heard(seconds(1), ip(subnet, 1), unix, true);
        }
        assert_eq!(hours.median(seconds(1)), Some(2_000_000_001));
    }

    #[test]
    fn a_crowd_of_witnesses_does_not_grow_the_list() {
        let mut hours = Hours::default();
        for subnet in 0..=255 {
            hours.heard(seconds(1), ip(subnet, 1), 2_000_000_000, true);
        }
        assert_eq!(hours.said.len(), WITNESSES_MAX);
    }
}
