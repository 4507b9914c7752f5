//! What the node knows of the device that it runs on. As in [`super::view`],
//! every field is always there, `null` where the device does not say.

use serde::Serialize;

/// The device, and what the node takes of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DeviceInfo {
    /// The system's own name for itself, such as `Debian GNU/Linux 12 (bookworm)`.
    pub os: Option<String>,
    /// The processor's kind, such as `aarch64`.
    pub arch: &'static str,
    /// The kernel's version.
    pub kernel: Option<String>,
    /// Processors that the node may use.
    pub cores: u64,
    /// Seconds since the device was started.
    pub uptime_seconds: Option<u64>,
    /// Programs that want a processor, on average over 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// What the node takes: percent of one core, in the latest ten seconds.
    pub cpu_percent: Option<f64>,
    /// Physical memory of the device, in bytes.
    pub memory_total: Option<u64>,
    /// What programs can still take without swapping, in bytes.
    pub memory_available: Option<u64>,
    /// The limit of the service or container, in bytes; `None` without one.
    pub memory_limit: Option<u64>,
    /// What the node may use (`node.memory_limit`), in bytes.
    pub memory_budget: u64,
    /// The node's memory that is in RAM, in bytes.
    pub memory_resident: Option<u64>,
    /// The hottest sensor of the processor, in degrees Celsius.
    pub temperature_celsius: Option<f64>,
    /// The battery, where there is one.
    pub battery: Option<Battery>,
    /// What the router maps to this node, in words; none where it is not asked.
    pub port_mapping: Option<String>,
    /// Whether the node saves power.
    pub power_saver: bool,
    /// Why it opens no more ports; `None` while it does.
    pub ports_refused: Option<String>,
    /// Bytes cost money: they are saved.
    pub metered: bool,
    /// Files and sockets that the node has open.
    pub descriptors: Option<u64>,
    /// How many it may have.
    pub descriptors_limit: u64,
}

/// A battery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Battery {
    /// How full it is, 0 to 100.
    pub percent: u8,
    /// Whether it is being charged, or full and on mains.
    pub charging: bool,
}
