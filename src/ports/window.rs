//! Credit granted to the sender of one direction of one port.
//!
//! The granting side never holds more than [`Window::size`] bytes of a port:
//! what it granted and what it holds together stay within the window. Credit
//! goes back as the bytes are drained. A window that is drained within two round
//! trips is too small for the path and doubles: what the sender has credit for
//! and no more takes one round trip and the time on the wire, so one alone would
//! never be met. A window that takes more than [`SLOW`] to drain is larger than
//! its use and halves. (The rule of QUIC's receive window auto-tuning; BBR and
//! others do without, at the price of memory that a router does not have.)

use super::budget::Budget;
use crate::time::Moment;
use crate::wire::frame::DATA_BYTES_MAX;
use std::sync::Arc;
use std::time::Duration;

/// First credit of a port.
pub const INITIAL: u32 = 64 * 1024;
/// First credit of a port in a session that has more than [`CROWDED`] ports open.
pub const INITIAL_CROWDED: u32 = 16 * 1024;
/// And where the first credits of all ports have taken half of the memory for them: a
/// page of text; the window grows from there like any other.
pub const INITIAL_SCARCE: u32 = 4 * 1024;
/// Open ports from which a session counts as crowded.
pub const CROWDED: usize = 32;
/// Largest window of a port, unless a node's settings say otherwise: 100 Mbit/s at 100 ms needs 1.25 MB.
pub const LARGEST: u32 = 2 * 1024 * 1024;
/// What the ports of one session may hold beyond their first credit, likewise.
pub const SESSION_GROWTH: usize = 4 * 1024 * 1024;
/// A window that is drained in less than this grows whatever the round trip: on
/// loopback and in a LAN the scheduler, not the path, decides how fast that is.
pub const RTT_FLOOR: Duration = Duration::from_millis(5);
/// A window that takes longer than this to drain halves.
pub const SLOW: Duration = Duration::from_secs(1);

/// The granting side's view of one direction of one port.
#[derive(Debug)]
pub struct Window {
    initial: u32,
    size: u32,
    /// Most bytes that one frame of this direction may need at once: a datagram
    /// is not split, so its sender must never be left with less.
    least: u32,
    /// Bytes that the sender may still send.
    granted: u32,
    /// Bytes received and not drained.
    held: u32,
    /// Bytes drained since `mark`.
    drained: u32,
    mark: Moment,
}

impl Window {
    /// A window whose first `initial` bytes are granted by the frame that opens the port.
    #[must_use]
    pub fn new(initial: u32, now: Moment) -> Window {
        Window {
            initial,
            size: initial,
            least: 0,
            granted: initial,
            held: 0,
            drained: 0,
            mark: now,
        }
    }

    /// The same for datagrams, which are never split.
    #[must_use]
    pub fn for_datagrams(now: Moment) -> Window {
        Window {
            least: DATA_BYTES_MAX as u32,
            ..Window::new(INITIAL, now)
        }
    }

    /// The most bytes that this direction can hold.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// What the window has grown beyond its first credit.
    #[must_use]
    pub fn growth(&self) -> u32 {
        self.size - self.initial
    }

    /// Starts the measure of a round trip anew: data could not flow before.
    ///
    /// Returns when it was made or drained last.
    pub fn restart(&mut self, now: Moment) -> Moment {
        std::mem::replace(&mut self.mark, now)
    }

    /// Bytes received and not drained.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.held
    }

    /// Counts `n` bytes in. False when the sender had no credit for them.
    #[must_use]
    pub fn receive(&mut self, n: usize) -> bool {
        match u32::try_from(n) {
            Ok(n) if n <= self.granted => {
                self.granted -= n;
                self.held += n;
                true
            }
            _ => false,
        }
    }

    /// Counts `n` held bytes out; resizes the window when a whole one went
    /// through. `growth` is what the session's ports have grown together.
    pub fn drain(
        &mut self,
        n: usize,
        now: Moment,
        rtt: Duration,
        growth: &mut usize,
        budget: &Arc<Budget>,
    ) {
        let n = u32::try_from(n).unwrap_or(u32::MAX).min(self.held);
        self.held -= n;
        self.drained = self.drained.saturating_add(n);
        let took = now.since(self.mark);
        let slow = took > SLOW.max(rtt * 4);
        if self.drained < self.size && !slow {
            return;
        }
        self.drained = 0;
        self.mark = now;
        if slow {
            let half = (self.size / 2).max(self.initial);
            let freed = (self.size - half) as usize;
            self.size = half;
            *growth = growth.saturating_sub(freed);
            budget.release(freed);
        } else if took <= (rtt * 2).max(RTT_FLOOR) {
            if let Some(more) = budget.widen(self.size, *growth) {
                *growth += more as usize;
                self.size += more;
            }
        }
    }

    /// Whether enough credit has come free to be worth a frame: a quarter of the
    /// window, or any of it when the sender has too little for the next frame.
    #[must_use]
    pub fn grant_due(&self) -> bool {
        let free = self.free();
        free > 0 && (free >= self.size / 4 || self.granted == 0 || self.granted < self.least)
    }

    /// Takes what can be granted now; it counts as granted from here on.
    pub fn take_grant(&mut self) -> u32 {
        let free = self.free();
        self.granted += free;
        free
    }

    /// Gives all of it back when the port goes, which it does once.
    pub fn dissolve(&mut self, growth: &mut usize, budget: &Arc<Budget>) {
        budget.release_first(self.initial as usize);
        let grown = self.growth() as usize;
        self.size = self.initial;
        *growth = growth.saturating_sub(grown);
        budget.release(grown);
    }

    fn free(&self) -> u32 {
        self.size.saturating_sub(self.granted + self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_window_that_limits_its_sender_grows_although_that_takes_more_than_a_round_trip() {
        let budget = Budget::new(usize::MAX);
        let (mut w, mut growth) = (Window::new(INITIAL, Moment(0)), 0);
        assert!(w.receive(INITIAL as usize));
        let rtt = Duration::from_millis(100);
        // A round trip until the bytes come, and the time that they take on the wire.
        w.drain(
            INITIAL as usize,
            Moment(106 * MS),
            rtt,
            &mut growth,
            &budget,
        );
        assert_eq!(w.size(), 2 * INITIAL);
        w.take_grant();
        assert!(w.receive(2 * INITIAL as usize));
        // Larger than what the path has filled: it stays.
        w.drain(
            2 * INITIAL as usize,
            Moment(320 * MS),
            rtt,
            &mut growth,
            &budget,
        );
        assert_eq!(w.size(), 2 * INITIAL);
    }

    #[test]
    fn a_sender_beyond_its_credit_is_noticed() {
        let mut w = Window::new(100, Moment(0));
        assert!(w.receive(100));
        assert!(!w.receive(1));
    }

    #[test]
    fn a_window_drained_within_a_round_trip_doubles_up_to_the_largest() {
        let budget = Budget::new(usize::MAX);
        let (mut w, mut growth, mut t) = (Window::new(INITIAL, Moment(0)), 0, 0);
        for _ in 0..10 {
            let n = w.granted as usize;
            assert!(w.receive(n));
            t += 50 * MS;
            w.drain(
                n,
                Moment(t),
                Duration::from_millis(100),
                &mut growth,
                &budget,
            );
            w.take_grant();
        }
        assert_eq!(w.size(), LARGEST);
        assert_eq!(growth, (LARGEST - INITIAL) as usize);
    }

    #[test]
    fn a_window_never_outgrows_what_the_node_was_told() {
        let budget = Budget::new(usize::MAX);
        budget.set_windows(3 * INITIAL, SESSION_GROWTH);
        let (mut w, mut growth) = (Window::new(INITIAL, Moment(0)), 0);
        for t in 1..20u64 {
            let n = w.granted as usize;
            assert!(w.receive(n));
            w.drain(n, Moment(t), Duration::from_secs(1), &mut growth, &budget);
            w.take_grant();
        }
        assert_eq!((w.size(), growth), (3 * INITIAL, 2 * INITIAL as usize));
        // Told less while it runs: what is there stays, and nothing overflows.
        budget.set_windows(INITIAL, 0);
        let n = w.granted as usize;
        assert!(w.receive(n));
        w.drain(n, Moment(21), Duration::from_secs(1), &mut growth, &budget);
        assert_eq!(w.size(), 3 * INITIAL);
    }

    #[test]
    fn growth_stops_at_the_sessions_and_at_the_nodes_bound() {
        let budget = Budget::new(100 * 1024);
        let (mut w, mut growth) = (Window::new(INITIAL, Moment(0)), 0);
        for t in 1..20u64 {
            let n = w.granted as usize;
            assert!(w.receive(n));
            w.drain(n, Moment(t), Duration::from_secs(1), &mut growth, &budget);
            w.take_grant();
        }
        assert_eq!(w.size(), 2 * INITIAL, "64 of 100 KiB were to be had");
        let mut full = SESSION_GROWTH;
        let mut w = Window::new(INITIAL, Moment(0));
        assert!(w.receive(INITIAL as usize));
        w.drain(
            INITIAL as usize,
            Moment(1),
            Duration::from_secs(1),
            &mut full,
            &Budget::new(usize::MAX),
        );
        assert_eq!(w.size(), INITIAL);
    }

    #[test]
    fn the_longest_datagram_fits_after_any_other() {
        let budget = Budget::new(0);
        let (mut w, mut growth) = (Window::for_datagrams(Moment(0)), 0);
        for n in [10_000, 1, 65_507, 0, 30_000, 65_507] {
            assert!(w.receive(n), "{n}");
            w.drain(n, Moment(1), RTT_FLOOR, &mut growth, &budget);
            if w.grant_due() {
                w.take_grant();
            }
        }
    }

    #[test]
    fn a_port_that_was_fast_and_is_slow_now_shrinks_before_a_whole_window_went() {
        let budget = Budget::new(usize::MAX);
        let (mut w, mut growth) = (Window::new(INITIAL, Moment(0)), 0);
        assert!(w.receive(INITIAL as usize));
        w.drain(INITIAL as usize, Moment(1), RTT_FLOOR, &mut growth, &budget);
        w.take_grant();
        assert!(w.receive(10));
        w.drain(10, Moment(2_000 * MS), RTT_FLOOR, &mut growth, &budget);
        assert_eq!((w.size(), growth, budget.used()), (INITIAL, 0, 0));
    }

    #[test]
    fn a_window_that_drains_slowly_gives_its_memory_back() {
        let budget = Budget::new(usize::MAX);
        let (mut w, mut growth) = (Window::new(INITIAL, Moment(0)), 0);
        assert!(w.receive(INITIAL as usize));
        w.drain(INITIAL as usize, Moment(1), RTT_FLOOR, &mut growth, &budget);
        w.take_grant();
        assert_eq!(w.size(), 2 * INITIAL);
        assert!(w.receive(2 * INITIAL as usize));
        w.drain(
            2 * INITIAL as usize,
            Moment(5_000 * MS),
            RTT_FLOOR,
            &mut growth,
            &budget,
        );
        assert_eq!((w.size(), growth), (INITIAL, 0));
        assert_eq!(w.take_grant(), INITIAL);
    }

    proptest! {
        #[test]
        fn what_is_granted_and_held_never_exceeds_the_largest_window(
            steps in proptest::collection::vec((0u8..3, 0usize..200_000, 0u64..3_000), 1..200),
        ) {
            let budget = Budget::new(10 << 20);
            let (mut w, mut growth, mut t) = (Window::new(INITIAL, Moment(0)), 0usize, 0u64);
            for (what, n, ms) in steps {
                t += ms * MS;
                match what {
                    0 => { let before = w.granted; let ok = w.receive(n); prop_assert_eq!(ok, n as u64 <= u64::from(before)); }
                    1 => w.drain(n, Moment(t), Duration::from_millis(40), &mut growth, &budget),
                    _ => { w.take_grant(); }
                }
                prop_assert!(w.granted + w.held <= LARGEST);
                prop_assert_eq!(growth, w.growth() as usize);
                prop_assert_eq!(budget.used(), growth);
            }
            w.dissolve(&mut growth, &budget);
            prop_assert_eq!((growth, budget.used()), (0, 0));
        }
    }
}
