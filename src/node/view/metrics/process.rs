//! The process, its health, and the device below it.

use crate::node::house::House;
use crate::platform::clock::cpu_time;
use crate::rpc::{Exposition, HealthState};
use crate::time::Clock;
use std::sync::atomic::Ordering;

fn yes(value: bool) -> f64 {
    f64::from(u8::from(value))
}

impl House {
    pub(super) fn process_metrics(&self, out: &mut Exposition) {
        let settings = self.settings();
        out.info(
            "chr_build_info",
            "The program, and the class of device whose settings hold.",
            &[
                ("version", env!("CARGO_PKG_VERSION")),
                ("arch", std::env::consts::ARCH),
                ("profile", settings.node.profile.name()),
            ],
        );
        let now = self.clock.now();
        let uptime = now.since(self.started).as_secs_f64();
        out.gauge(
            "chr_uptime_seconds",
            "Since the node has started, by a clock that nobody sets.",
            Some(uptime),
        );
        out.gauge(
            "chr_ready",
            "1 while the node takes traffic.",
            Some(yes(self.ready.load(Ordering::Relaxed))),
        );
        out.gauge(
            "chr_clock_trusted",
            "1 while the device's clock can be believed.",
            Some(yes(self.clock.trusted())),
        );
        let health = self.examine();
        out.gauges(
            "chr_health_state",
            "How each layer of the node is: 0 ok, 1 degraded, 2 failing.",
            "layer",
            &mut health.layers.iter().map(|layer| {
                let state = match layer.state {
                    HealthState::Ok => 0.0,
                    HealthState::Degraded => 1.0,
                    HealthState::Failing => 2.0,
                };
                (layer.layer, state)
            }),
        );
        out.counters(
            "chr_errors_total",
            "What went wrong, by category.",
            "category",
            &mut self.errors().iter().map(|(category, n)| (*category, *n)),
        );
        out.histogram(
            "chr_executor_wait_seconds",
            "How long a task waits for its turn.",
            &self.watch.lag.waits.read(),
        );
        out.seconds(
            "process_cpu_seconds_total",
            "Processor time that the process has taken.",
            cpu_time().as_secs_f64(),
        );
        let reading = self.surroundings.read(now);
        out.number(
            "process_resident_memory_bytes",
            "Memory of the process that is in RAM.",
            reading.quick.resident,
        );
        out.number(
            "process_open_fds",
            "Files and sockets that the process has open.",
            reading.descriptors(),
        );
        out.number(
            "process_max_fds",
            "How many it may have.",
            Some(self.descriptors()),
        );
        let unix = self.clock.best().map(|unix| unix as f64 - uptime);
        out.gauge(
            "process_start_time_seconds",
            "When the node has started, in seconds since 1970; left out while the clock is not trusted.",
            unix.map(f64::round),
        );
        out.number(
            "chr_memory_budget_bytes",
            "What the node may use (node.memory_limit).",
            Some(self.memory()),
        );
        out.number(
            "chr_memory_own_bytes",
            "Memory of the process that no file could give back.",
            reading.quick.anonymous,
        );
        out.number(
            "chr_windows_bytes",
            "What the windows of all ports have grown by.",
            Some(self.budget.used() as u64),
        );
    }

    pub(super) fn device_metrics(&self, out: &mut Exposition) {
        let device = self.describe_device();
        let load = device.load.map(|[one, ..]| one);
        out.gauge(
            "chr_device_load1",
            "Programs of the device that want a processor, over a minute.",
            load,
        );
        out.number(
            "chr_device_processors",
            "Processors that the node may use.",
            Some(device.cores),
        );
        out.number(
            "chr_device_uptime_seconds",
            "Since the device has started.",
            device.uptime_seconds,
        );
        out.number(
            "chr_device_memory_bytes",
            "Physical memory.",
            device.memory_total,
        );
        out.number(
            "chr_device_memory_available_bytes",
            "What programs can still take without swapping.",
            device.memory_available,
        );
        out.number(
            "chr_device_memory_limit_bytes",
            "The limit of the service or container.",
            device.memory_limit,
        );
        out.gauge(
            "chr_device_temperature_celsius",
            "The hottest sensor of the processor.",
            device.temperature_celsius,
        );
        let battery = device.battery;
        out.gauge(
            "chr_device_battery_ratio",
            "How full the battery is.",
            battery.map(|battery| f64::from(battery.percent) / 100.0),
        );
        out.gauge(
            "chr_device_battery_charging",
            "1 while the battery is fed.",
            battery.map(|battery| yes(battery.charging)),
        );
        out.gauge(
            "chr_device_power_saver",
            "1 while the node saves power.",
            Some(yes(device.power_saver)),
        );
        out.gauge(
            "chr_network_metered",
            "1 while bytes cost money, and are saved.",
            Some(yes(device.metered)),
        );
        out.gauge(
            "chr_ports_refused",
            "1 while the node opens no more ports for want of power or for heat.",
            Some(yes(device.ports_refused.is_some())),
        );
    }
}
