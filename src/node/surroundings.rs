//! What the device says of itself, read when somebody asks and kept for a moment.
//!
//! Sensors may take long to read, so that is done in the pool for blocking work:
//! whoever asks gets what was read last, and what is older than [`OLD`] is not
//! told. While nobody asks, nothing is read.

use crate::parts::POWER;
use crate::platform::memory::Memory;
use crate::platform::readings::{Facts, Quick, Sensors};
use crate::platform::termux;
use crate::task;
use crate::time::Moment;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What lies in the kernel's memory is read once in this time, however many ask.
const QUICK: Duration = Duration::from_millis(900);
/// The same of sensors: a processor's heat changes in minutes.
const SENSORS: Duration = Duration::from_secs(10);
/// What sensors said before then is no more told.
const OLD: Duration = Duration::from_secs(120);

/// All that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Load, memory, uptime.
    pub quick: Quick,
    /// Heat, battery, limits.
    pub sensors: Sensors,
}

impl Reading {
    /// Files and sockets that the process has open.
    #[must_use]
    pub fn descriptors(&self) -> Option<u64> {
        self.quick.descriptors.or(self.sensors.descriptors)
    }

    /// The device's memory, with the limit of the service.
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory {
            limit: self.sensors.limit,
            ..self.quick.memory
        }
    }
}

#[derive(Debug, Default)]
struct State {
    reading: Reading,
    quick_at: Option<Moment>,
    sensors_at: Option<Moment>,
    /// Sensors are being read.
    busy: bool,
}

impl State {
    fn sensors(&self, now: Moment) -> Sensors {
        if self.sensors_at.is_some_and(|at| now.since(at) < OLD) {
            return self.reading.sensors;
        }
        // A limit does not change by itself.
        Sensors {
            limit: self.reading.sensors.limit,
            ..Sensors::default()
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct Surroundings {
    root: PathBuf,
    /// What does not change.
    pub facts: Facts,
    state: Arc<Mutex<State>>,
}

impl Surroundings {
    /// The device whose files lie below `root`; reads what does not change.
    #[must_use]
    pub fn new(root: &Path) -> Surroundings {
        Surroundings {
            root: root.to_owned(),
            facts: Facts::read_below(root),
            state: Arc::default(),
        }
    }

    /// What was read last; has the sensors read anew, by another thread, when
    /// that was a while ago.
    pub fn read(&self, now: Moment) -> Reading {
        let old = |at: Option<Moment>, by: Duration| at.is_none_or(|at| now.since(at) >= by);
        let mut state = lock(&self.state);
        if old(state.quick_at, QUICK) {
            state.quick_at = Some(now);
            state.reading.quick = Quick::read_below(&self.root);
        }
        if old(state.sensors_at, SENSORS) {
            if let Some(reading) = self.begin(&mut state, now) {
                reading.detach();
            }
        }
        Reading {
            sensors: state.sensors(now),
            ..state.reading
        }
    }

    /// Has the sensors read anew, by another thread; comes back when they are.
    pub async fn sense(&self, now: Moment) -> Sensors {
        let reading = self.begin(&mut lock(&self.state), now);
        if let Some(reading) = reading {
            reading.await;
        }
        self.latest(now)
    }

    /// What the sensors said, if that is not too long ago.
    pub fn latest(&self, now: Moment) -> Sensors {
        lock(&self.state).sensors(now)
    }

    /// `None`: somebody else has begun.
    fn begin(&self, state: &mut State, now: Moment) -> Option<task::Blocking> {
        if state.busy {
            return None;
        }
        state.busy = true;
        let (shared, root) = (self.state.clone(), self.root.clone());
        let work = move || {
            let mut sensors = Sensors::read_below(&root);
            if POWER.built && sensors.battery.is_none() && root == Path::new("/") {
                sensors.battery = termux::battery(now);
            }
            let mut state = lock(&shared);
            state.reading.sensors = sensors;
            state.sensors_at = Some(now);
            state.busy = false;
        };
        Some(task::unblock_boxed(Box::new(work)))
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::time::Instant;

    fn settled(device: &Surroundings) {
        let end = Instant::now() + Duration::from_secs(20);
        while lock(&device.state).busy {
            assert!(Instant::now() < end, "the sensors were not read");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn sensors_are_read_when_somebody_asks_and_not_again_within_ten_seconds() {
        let root = tempfile::tempdir().unwrap();
        let zone = root.path().join("sys/class/thermal/thermal_zone0");
        fs::create_dir_all(&zone).unwrap();
        fs::write(zone.join("type"), "cpu").unwrap();
        let heat = |n: &str| fs::write(zone.join("temp"), n).unwrap();
        let device = Surroundings::new(root.path());
        let second = |n: u64| Moment(n * 1_000_000_000);
        heat("40000");
        assert_eq!(device.read(second(100)).sensors.temperature, None);
        settled(&device);
        let told = |at| device.read(second(at)).sensors.temperature;
        assert_eq!(told(101), Some(40_000));
        heat("50000");
        settled(&device);
        assert_eq!(told(109), Some(40_000), "not read again");
        let _ = told(110);
        settled(&device);
        assert_eq!(told(111), Some(50_000));
        // Nobody has asked for an hour: what was true then is not told as true.
        heat("60000");
        assert_eq!(told(4_000), None);
        settled(&device);
        assert_eq!(told(4_001), Some(60_000));
    }
}
