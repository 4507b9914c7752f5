//! A timer that goes on while the device is suspended.
//!
//! Others stand still then (`epoll_wait` and `CLOCK_MONOTONIC`), so a wait of
//! twenty seconds that an hour of Doze interrupts ends up to twenty seconds after
//! the device has woken up. This one is over at once.

use async_io::Timer;
use std::time::Duration;

#[cfg(all(feature = "power", any(target_os = "linux", target_os = "android")))]
mod timer {
    use async_io::Async;
    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
    use std::time::Duration;

    pub struct Inner(Async<TimerFd>);

    impl Inner {
        pub fn new() -> Option<Inner> {
            let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
            let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags).ok()?;
            Async::new_nonblocking(timer).ok().map(Inner)
        }

        pub async fn wait(&self, wait: Duration) -> Option<()> {
            let timer = self.0.get_ref();
            // Setting it also takes back that it was readable.
            let once = Expiration::OneShot(TimeSpec::from_duration(wait));
            timer.set(once, TimerSetTimeFlags::empty()).ok()?;
            self.0.readable().await.ok()
        }
    }
}

#[cfg(not(all(feature = "power", any(target_os = "linux", target_os = "android"))))]
mod timer {
    /// Elsewhere (and in a build for devices that never sleep) the ordinary timer counts the time asleep, or nothing does.
    pub struct Inner(std::convert::Infallible);

    impl Inner {
        pub fn new() -> Option<Inner> {
            None
        }
        pub async fn wait(&self, _: std::time::Duration) -> Option<()> {
            match self.0 {}
        }
    }
}

/// See the module's text. Takes one descriptor.
pub struct BootTimer(Option<timer::Inner>);

impl BootTimer {
    /// A timer. Where the system has none of this kind, or no descriptor is left,
    /// it is an ordinary one, which is late after a sleep.
    #[must_use]
    pub fn new() -> BootTimer {
        BootTimer(timer::Inner::new())
    }

    /// Waits for so long, counted by the boot-time clock.
    pub async fn wait(&self, wait: Duration) {
        // A wait of nothing would stop the timer instead of ending it.
        let wait = wait.max(Duration::from_millis(1));
        if let Some(timer) = &self.0 {
            if timer.wait(wait).await.is_some() {
                return;
            }
        }
        Timer::after(wait).await;
    }
}

impl Default for BootTimer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_wait_is_not_short_and_the_next_one_counts_anew() {
        smol::block_on(async {
            let timer = BootTimer::new();
            assert!(cfg!(not(target_os = "linux")) || timer.0.is_some());
            for wait in [0, 30, 20, 1] {
                let (wait, begin) = (Duration::from_millis(wait), Instant::now());
                timer.wait(wait).await;
                assert!(begin.elapsed() >= wait, "{:?}", begin.elapsed());
            }
        });
    }

    #[test]
    fn a_wait_that_was_given_up_does_not_end_the_next_one() {
        smol::block_on(async {
            let timer = BootTimer::new();
            let short = Duration::from_millis(5);
            let other = async {
                Timer::after(short * 4).await;
            };
            // The first wait is over, but nobody took notice.
            smol::future::or(other, async {
                timer.wait(short).await;
                std::future::pending().await
            })
            .await;
            let begin = Instant::now();
            timer.wait(short * 10).await;
            assert!(begin.elapsed() >= short * 10);
        });
    }
}
