//! Whether the node answers in time, and has what it needs for that.

use super::Findings;
use crate::node::house::House;
use crate::node::watch::Notes;
use crate::sorted;
use crate::time::Moment;
use std::sync::PoisonError;
use std::time::Duration;

/// A task that waits this long makes every hop slower than the way to the other
/// side of the earth.
const LAG: Duration = Duration::from_millis(250);
/// Devices give up by then.
const STANDSTILL: Duration = Duration::from_secs(5);
/// Half of those who are connected answer later than this: no satellite is so far.
const ROUND_TRIP: Duration = Duration::from_secs(2);
/// Round trips that say something.
const ROUND_TRIPS: usize = 3;
/// Commits in a row that were slow.
const SLOW_COMMITS: u32 = 3;
/// Percent of the processors that count as all of them.
const BUSY: f64 = 95.0;
/// How long that may be: the start of a day, and not of a life.
const BUSY_FOR: Duration = Duration::from_secs(60);
/// Processors of small devices become slower from here on, in thousandths of a degree.
const HOT: i64 = 85_000;
/// Percent of the battery.
const LOW: u8 = 10;

impl House {
    pub(super) fn pace(&self, notes: &mut Notes, now: Moment, found: &mut Findings) {
        let lag = self.watch.lag.at_present(now);
        if lag >= LAG {
            let reason = format!("tasks wait {} ms for their turn", lag.as_millis());
            let remedy = "give the node more of the processor, raise runtime.threads, or lower performance.max_connections";
            match lag >= STANDSTILL {
                true => found.failing(reason, remedy),
                false => found.degraded(reason, remedy),
            }
        }
        self.processors(notes, now, found);
        self.memory_and_files(now, found);
        if let Some(store) = self.store.get() {
            let written = store.health().written;
            if written.slow >= SLOW_COMMITS {
                found.degraded(
                    format!(
                        "each of the latest {} writes took the disk more than a second",
                        written.slow
                    ),
                    "check the disk, or put storage.data_dir on a faster one",
                );
            }
        }
        let mut trips = self.round_trips();
        if trips.len() >= ROUND_TRIPS {
            sorted::sort(&mut trips);
            let median = trips.get(trips.len() / 2).copied().unwrap_or_default();
            if median >= ROUND_TRIP {
                found.degraded(
                    format!(
                        "half of those who are connected take {} ms to answer",
                        median.as_millis()
                    ),
                    "the way to the Internet is full or broken: look at the uplink",
                );
            }
        }
    }

    fn processors(&self, notes: &mut Notes, now: Moment, found: &mut Findings) {
        let rate = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let cpu = rate.latest().map_or(0.0, |rate| rate.cpu);
        drop(rate);
        let threads = self.settings().runtime.threads.max(1);
        if cpu < BUSY * threads as f64 {
            notes.busy = None;
            return;
        }
        let since = *notes.busy.get_or_insert(now);
        if now.since(since) >= BUSY_FOR {
            found.degraded(
                format!("the node takes all of its {threads} processors"),
                "raise runtime.threads if the device has more, or lower performance.max_connections",
            );
        }
    }

    fn memory_and_files(&self, now: Moment, found: &mut Findings) {
        let reading = self.surroundings.read(now);
        let mb = |bytes: u64| bytes >> 20;
        if let Some(own) = reading.quick.anonymous.filter(|own| *own > self.memory()) {
            found.degraded(
                format!(
                    "the node has {} MB of memory, more than the {} MB of node.memory_limit",
                    mb(own),
                    mb(self.memory())
                ),
                "raise node.memory_limit, or lower performance.max_connections or max_window",
            );
        } else if !self.pressure.pressure().takes_more() {
            found.degraded(
                format!(
                    "the memory of node.memory_limit ({} MB) is nearly taken: no more connections and ports",
                    mb(self.memory())
                ),
                "wait for sessions to end, raise node.memory_limit, or lower performance.max_connections",
            );
        }
        let sensors = &reading.sensors;
        if let (Some(own), Some(limit)) = (reading.quick.anonymous, sensors.limit) {
            if own > limit / 10 * 9 {
                found.degraded(
                    format!(
                        "the node has {} MB of the {} MB that the service may have",
                        mb(own),
                        mb(limit)
                    ),
                    "raise the limit of the service (MemoryMax=), or lower node.memory_limit",
                );
            }
        }
        let files = reading.descriptors().unwrap_or(0);
        if files > self.descriptors() / 10 * 9 {
            found.degraded(
                format!("{files} of {} descriptors are open", self.descriptors()),
                "raise the limit of open files (LimitNOFILE=, ulimit -n)",
            );
        }
        if let Some(heat) = sensors.temperature.filter(|heat| *heat >= HOT) {
            found.degraded(
                format!("the processor has {} degrees Celsius", heat / 1000),
                "cool the device: it slows down, and lives shorter",
            );
        }
        let power = self.thrift.power();
        if let Some(why) = power.refusal {
            found.degraded(
                why.text(),
                "charge or cool the device, or change power.refuse_below and refuse_above",
            );
        } else if power.saving {
            found.degraded(
                "the node saves power: it wakes up less, and answers no other nodes' questions"
                    .into(),
                "charge the device, or change power.saver",
            );
        } else if let Some((percent, false)) = sensors.battery.filter(|(left, _)| *left <= LOW) {
            found.degraded(
                format!("the battery has {percent} % left"),
                "charge the device",
            );
        }
    }
}
