//! The device, and what the node takes of it.

use super::super::house::House;
use crate::platform::memory::{self, Memory};
use crate::rpc::DeviceInfo;
use std::sync::PoisonError;

impl House {
    /// What is known of the device.
    pub(super) fn surroundings(&self) -> DeviceInfo {
        let rate = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = Memory::read();
        DeviceInfo {
            arch: std::env::consts::ARCH,
            cores: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
            cpu_percent: rate.latest().map(|rate| rate.cpu),
            memory_total: memory.total,
            memory_available: memory.available,
            memory_limit: memory.limit,
            memory_resident: memory::resident(),
            ..DeviceInfo::default()
        }
    }
}
