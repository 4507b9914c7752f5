//! The device, and what the node takes of it.

use super::super::house::House;
use crate::parts::PORT_MAPPING;
use crate::rpc::{Battery, DeviceInfo};
use crate::time::Clock;
use std::sync::PoisonError;

impl House {
    /// What is known of the device.
    pub(super) fn describe_device(&self) -> DeviceInfo {
        let rate = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let cpu_percent = rate.latest().map(|rate| rate.cpu);
        drop(rate);
        let reading = self.surroundings.read(self.clock.now());
        let (quick, sensors) = (&reading.quick, &reading.sensors);
        let power = self.thrift.power();
        let facts = &self.surroundings.facts;
        let battery = |(percent, charging)| Battery { percent, charging };
        DeviceInfo {
            os: facts.os.clone(),
            arch: std::env::consts::ARCH,
            kernel: facts.kernel.clone(),
            cores: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
            uptime_seconds: quick.uptime,
            load: quick.load.map(|load| load.map(|n| n as f64 / 100.0)),
            cpu_percent,
            memory_total: quick.memory.total,
            memory_available: quick.memory.available,
            memory_limit: sensors.limit,
            memory_budget: self.memory(),
            memory_resident: quick.resident,
            // A tenth of a degree is more than a sensor knows.
            temperature_celsius: sensors.temperature.map(|n| (n / 100) as f64 / 10.0),
            battery: sensors.battery.map(battery),
            port_mapping: PORT_MAPPING
                .built
                .then(|| self.network.mapped.describe())
                .flatten(),
            power_saver: power.saving,
            ports_refused: power.refusal.map(|why| why.text()),
            metered: self.thrift.is_metered(),
            descriptors: reading.descriptors(),
            descriptors_limit: self.descriptors(),
        }
    }
}
