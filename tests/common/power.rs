//! A device with a battery and a thermometer, made of files that are mounted over
//! those of this machine.

use super::mounts::{behind, node_behind};
use super::Node;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Sensors are looked at each minute at least; the first round of a node that saves
/// power may come half a minute later.
pub const LATE: Duration = Duration::from_secs(120);

/// See the module's text.
pub struct Device(PathBuf);

impl Device {
    /// A device whose files lie in `home`; it has no sensor yet.
    pub fn new(home: &Path) -> Device {
        let device = Device(home.join("sys"));
        for folder in ["power_supply/BAT0", "thermal/thermal_zone0"] {
            fs::create_dir_all(device.0.join(folder)).unwrap();
        }
        device
    }

    fn write(&self, file: &str, text: &str) {
        // In one go: a node must not read half of it.
        let (new, file) = (self.0.join("new"), self.0.join(file));
        fs::write(&new, text).unwrap();
        fs::rename(new, file).unwrap();
    }

    /// A battery with so much left; `Charging` or `Discharging`.
    pub fn battery(&self, percent: u8, status: &str) {
        self.write("power_supply/BAT0/capacity", &percent.to_string());
        self.write("power_supply/BAT0/status", status);
        self.write("power_supply/BAT0/type", "Battery");
    }

    /// The processor has so many degrees Celsius.
    pub fn degrees(&self, degrees: u32) {
        self.write("thermal/thermal_zone0/temp", &(degrees * 1000).to_string());
        self.write("thermal/thermal_zone0/type", "cpu-thermal");
    }

    fn script(&self) -> String {
        let ours = self.0.display();
        // Thermometers of the machine itself must not be seen.
        format!(
            "mount -t tmpfs none /sys/class\n\
             mkdir /sys/class/power_supply /sys/class/thermal\n\
             mount --bind {ours}/power_supply /sys/class/power_supply\n\
             mount --bind {ours}/thermal /sys/class/thermal"
        )
    }

    /// A node on it; `None` where nothing can be mounted, which is printed.
    pub fn node(&self, data: &Path, settings: &[(&str, &str)]) -> Option<Node> {
        let command = node_behind(&self.script())?;
        Some(Node::start_command(command, data, settings))
    }

    /// Another command of the program on it.
    pub fn program(&self, words: &[&str]) -> Option<Command> {
        behind(&self.script(), words)
    }
}
