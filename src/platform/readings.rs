//! What the device says of itself while the node runs: memory, load, heat, battery.
//!
//! Two kinds of files: those of `/proc` are memory and read in some microseconds,
//! those of sensors may be a slow bus away (a thermometer on one wire takes most
//! of a second), so [`Sensors`] are for a thread that may wait. All of it is read
//! below a folder that the caller names, `/` outside of tests, and whatever a
//! file says is bounded and checked: drivers say the strangest things.

use super::memory::{self, Memory};
use super::{links, metered};
use crate::parts::POWER;
use std::fs;
use std::path::{Path, PathBuf};

/// Sensors that are looked at, of each kind: a large server has some dozen.
const SENSORS_MAX: usize = 64;
/// What a name of a system may have in characters.
const NAME_MAX: usize = 80;
/// Degrees that a processor can have. Broken and absent sensors say -273, 0 or 255.
const PLAUSIBLE: std::ops::RangeInclusive<i64> = -40_000..=150_000;
/// Sensors of the processor, as drivers name them.
const PROCESSOR: [&str; 10] = [
    "cpu", "soc", "pkg", "core", "k10temp", "zenpower", "tsens", "acpitz", "ap-", "mtktscpu",
];

/// What does not change while the device runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The system's name for itself.
    pub os: Option<String>,
    /// The kernel's version.
    pub kernel: Option<String>,
}

impl Facts {
    /// Reads them.
    #[must_use]
    pub fn read_below(root: &Path) -> Facts {
        let release = fs::read_to_string(root.join("etc/os-release"))
            .or_else(|_| fs::read_to_string(root.join("usr/lib/os-release")))
            .unwrap_or_default();
        let pretty = release
            .lines()
            .find_map(|line| line.strip_prefix("PRETTY_NAME="));
        let kernel = fs::read_to_string(root.join("proc/sys/kernel/osrelease"));
        let name = |text: &str| {
            let text = text.trim().trim_matches(['"', '\'']);
            let text: String = text.chars().filter(|c| !c.is_control()).collect();
            (!text.is_empty()).then(|| text.chars().take(NAME_MAX).collect())
        };
        Facts {
            os: pretty.and_then(name).or_else(|| name(std::env::consts::OS)),
            kernel: kernel.ok().as_deref().and_then(name),
        }
    }
}

/// What can be read at any moment: it lies in the kernel's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quick {
    /// Seconds since the device was started.
    pub uptime: Option<u64>,
    /// Programs that want a processor, in hundredths, over 1, 5 and 15 minutes.
    pub load: Option<[u64; 3]>,
    /// Memory of the device and of its services; no limit, which [`Sensors`] has.
    pub memory: Memory,
    /// The process's memory in RAM, in bytes.
    pub resident: Option<u64>,
    /// That part of it which no file could give back, in bytes.
    pub anonymous: Option<u64>,
    /// Descriptors that the process has open, where the kernel (6.2) counts them.
    pub descriptors: Option<u64>,
}

impl Quick {
    /// Reads it; takes some 50 microseconds.
    #[must_use]
    pub fn read_below(root: &Path) -> Quick {
        let text = |file: &str| fs::read_to_string(root.join(file)).unwrap_or_default();
        let own = text("proc/self/status");
        let load = text("proc/loadavg");
        let mut load = load.split_ascii_whitespace().map(hundredths);
        let mut next = || load.next().flatten();
        let files = fs::metadata(root.join("proc/self/fd"));
        Quick {
            uptime: hundredths(text("proc/uptime").split(' ').next().unwrap_or_default())
                .map(|n| n / 100),
            load: match (next(), next(), next()) {
                (Some(one), Some(five), Some(fifteen)) => Some([one, five, fifteen]),
                _ => None,
            },
            memory: Memory::of_machine(root),
            resident: memory::kilobytes(&own, "VmRSS:"),
            anonymous: memory::own_of(&own),
            descriptors: files.ok().map(|files| files.len()).filter(|n| *n > 0),
        }
    }
}

/// What may take a while to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sensors {
    /// The hottest sensor of the processor, in thousandths of a degree Celsius.
    pub temperature: Option<i64>,
    /// The battery: how full in percent, and whether it is fed.
    pub battery: Option<(u8, bool)>,
    /// Descriptors that the process has open.
    pub descriptors: Option<u64>,
    /// Whether packets leave by mobile data.
    pub mobile: Option<bool>,
    /// The limit of memory that applies to the process, in bytes.
    pub limit: Option<u64>,
}

impl Sensors {
    /// Reads them; may wait for a bus.
    #[must_use]
    pub fn read_below(root: &Path) -> Sensors {
        let files = fs::read_dir(root.join("proc/self/fd"));
        Sensors {
            temperature: temperature(root),
            battery: battery(root),
            mobile: POWER
                .built
                .then(|| metered::is_mobile(root, || interfaces(root))),
            // One of them is the folder itself, which is being read.
            descriptors: files
                .ok()
                .map(|files| files.count().saturating_sub(1) as u64),
            limit: Memory::read_below(root).limit,
        }
    }
}

/// Those of this machine; one that is made of files has none.
fn interfaces(root: &Path) -> Vec<String> {
    match root == Path::new("/") {
        true => links::interfaces(),
        false => Vec::new(),
    }
}

fn temperature(root: &Path) -> Option<i64> {
    let mut found: Vec<(bool, i64)> = Vec::new();
    let mut take = |name: &str, file: &Path| {
        let read = word(file).and_then(|text| text.parse().ok());
        if let Some(degrees) = read.filter(|n| PLAUSIBLE.contains(n) && *n != 0) {
            let name = name.to_ascii_lowercase();
            // Of a battery's own thermometer the battery is told, not the device.
            if !name.contains("batt") && !name.contains("bms") {
                found.push((PROCESSOR.iter().any(|part| name.contains(part)), degrees));
            }
        }
    };
    for zone in entries(root, "sys/class/thermal", "thermal_zone") {
        let name = word(&zone.join("type")).unwrap_or_default();
        take(&name, &zone.join("temp"));
    }
    for chip in entries(root, "sys/class/hwmon", "hwmon") {
        let name = word(&chip.join("name")).unwrap_or_default();
        for number in 1..=9 {
            take(&name, &chip.join(format!("temp{number}_input")));
        }
    }
    // Those of the processor first, of these the hottest.
    found.into_iter().max().map(|(_, degrees)| degrees)
}

fn battery(root: &Path) -> Option<(u8, bool)> {
    let mut mains = false;
    let supplies = entries(root, "sys/class/power_supply", "").into_iter();
    let batteries = supplies.filter_map(|supply| {
        let says = |file: &str| word(&supply.join(file));
        let is = |file: &str, wanted: &str| says(file).is_some_and(|word| word == wanted);
        if says("type")? != "Battery" {
            mains |= is("online", "1");
            return None;
        }
        // `Device`: that of a mouse or a headset. A place for a battery that is empty
        // has no charge, and boards with one run on mains for years.
        if is("scope", "Device") || is("present", "0") {
            return None;
        }
        let percent = says("capacity")?.parse::<u8>().ok().filter(|n| *n <= 100)?;
        let fed = match says("status").unwrap_or_default().as_str() {
            "Discharging" => Some(false),
            "Unknown" => None,
            _ => Some(true),
        };
        Some((percent, fed))
    });
    // Of several one is emptied after the other: what the fullest has is left, one
    // that discharges tells that nothing feeds the device, one that rests nothing.
    let all = batteries.reduce(|(most, a), (percent, b)| {
        let fed = match (a, b) {
            (Some(a), Some(b)) => Some(a && b),
            _ => a.or(b),
        };
        (most.max(percent), fed)
    });
    // Gauges without a charger behind them know nothing of the mains.
    all.map(|(percent, fed)| (percent, fed.unwrap_or(mains)))
}

/// The folders in `folder` whose names begin with `start`.
fn entries(root: &Path, folder: &str, start: &str) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(root.join(folder)) else {
        return Vec::new();
    };
    let named = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(start);
    let found = found.flatten().take(SENSORS_MAX);
    let found = found.filter(|entry| named(&entry.file_name()));
    found.map(|entry| entry.path()).collect()
}

/// A file of one line.
fn word(file: &Path) -> Option<String> {
    Some(fs::read_to_string(file).ok()?.trim().to_owned())
}

/// A number with two digits after the point, in hundredths.
fn hundredths(text: &str) -> Option<u64> {
    let (whole, part) = text.trim().split_once('.')?;
    let whole: u64 = whole.parse().ok()?;
    let part: u64 = part.get(..2)?.parse().ok()?;
    whole.checked_mul(100)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn device(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const PHONE: &[(&str, &str)] = &[
        (
            "etc/os-release",
            "NAME=x\nPRETTY_NAME=\"Debian 12 (bookworm)\"\n",
        ),
        ("proc/sys/kernel/osrelease", "6.1.0-rpi7\n"),
        ("proc/uptime", "5421.37 10000.00\n"),
        ("proc/loadavg", "0.52 1.08 12.59 2/345 6789\n"),
        ("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\n"),
        ("proc/self/status", "VmRSS:\t 300 kB\nRssAnon:\t 120 kB\n"),
        ("proc/self/cgroup", "0::/s\n"),
        ("sys/fs/cgroup/s/memory.max", "65536\n"),
        ("sys/class/thermal/thermal_zone0/type", "battery\n"),
        ("sys/class/thermal/thermal_zone0/temp", "91000\n"),
        ("sys/class/thermal/thermal_zone1/type", "cpu-thermal\n"),
        ("sys/class/thermal/thermal_zone1/temp", "48312\n"),
        ("sys/class/thermal/thermal_zone2/type", "cpu-big\n"),
        ("sys/class/thermal/thermal_zone2/temp", "-274000\n"),
        ("sys/class/thermal/cooling_device0/type", "Processor\n"),
        ("sys/class/hwmon/hwmon0/name", "nvme\n"),
        ("sys/class/hwmon/hwmon0/temp1_input", "70000\n"),
        ("sys/class/power_supply/mouse/type", "Battery\n"),
        ("sys/class/power_supply/mouse/scope", "Device\n"),
        ("sys/class/power_supply/mouse/capacity", "3\n"),
        ("sys/class/power_supply/BAT0/type", "Battery\n"),
        ("sys/class/power_supply/BAT0/capacity", "81\n"),
        ("sys/class/power_supply/BAT0/status", "Discharging\n"),
        ("sys/class/power_supply/usb/type", "USB\n"),
    ];

    #[test]
    fn a_phone_s_battery_and_processor_are_told_and_not_those_of_its_mouse() {
        let root = device(PHONE);
        let sensors = Sensors::read_below(root.path());
        assert_eq!(sensors.temperature, Some(48_312));
        assert_eq!(sensors.battery, Some((81, false)));
        assert_eq!(sensors.limit, Some(65_536));
        let quick = Quick::read_below(root.path());
        assert_eq!(quick.uptime, Some(5_421));
        assert_eq!(quick.load, Some([52, 108, 1_259]));
        assert_eq!(quick.memory.available, Some(400 << 10));
        assert_eq!(quick.resident, Some(300 << 10));
        assert_eq!(quick.anonymous, Some(120 << 10));
        let facts = Facts::read_below(root.path());
        assert_eq!(facts.os.as_deref(), Some("Debian 12 (bookworm)"));
        assert_eq!(facts.kernel.as_deref(), Some("6.1.0-rpi7"));
    }

    #[test]
    fn a_battery_that_is_full_on_mains_is_not_taken_for_one_that_runs_out() {
        for (status, fed) in [("Full", true), ("Not charging", true), ("Unknown", false)] {
            let root = device(&[
                ("sys/class/power_supply/b/type", "Battery"),
                ("sys/class/power_supply/b/capacity", "250"),
                ("sys/class/power_supply/b/status", status),
            ]);
            assert_eq!(Sensors::read_below(root.path()).battery, None, "250 %");
            fs::write(root.path().join("sys/class/power_supply/b/capacity"), "99").unwrap();
            assert_eq!(Sensors::read_below(root.path()).battery, Some((99, fed)));
        }
    }

    #[test]
    fn an_empty_battery_beside_a_full_one_is_not_taken_for_the_device_s_charge() {
        for (one, other, told) in [
            ((0, "Unknown"), (80, "Discharging"), (80, false)),
            ((80, "Discharging"), (0, "Unknown"), (80, false)),
            ((5, "Not charging"), (60, "Discharging"), (60, false)),
            ((5, "Charging"), (60, "Unknown"), (60, true)),
            ((7, "Unknown"), (3, "Unknown"), (7, false)),
        ] {
            let root = device(&[]);
            for (name, (percent, status)) in [("BAT0", one), ("BAT1", other)] {
                let folder = root.path().join("sys/class/power_supply").join(name);
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join("type"), "Battery").unwrap();
                fs::write(folder.join("capacity"), percent.to_string()).unwrap();
                fs::write(folder.join("status"), status).unwrap();
            }
            let battery = Sensors::read_below(root.path()).battery;
            assert_eq!(battery, Some(told), "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_board_on_mains_with_an_empty_place_for_a_battery_does_not_save_power() {
        let root = device(&[
            ("sys/class/power_supply/gauge/type", "Battery"),
            ("sys/class/power_supply/gauge/present", "0"),
            ("sys/class/power_supply/gauge/capacity", "0"),
            ("sys/class/power_supply/gauge/status", "Unknown"),
            ("sys/class/power_supply/ac/type", "Mains"),
            ("sys/class/power_supply/ac/online", "1"),
        ]);
        assert_eq!(Sensors::read_below(root.path()).battery, None);
        // One that is put in, and whose gauge does not know what feeds it.
        let file = |name: &str| root.path().join("sys/class/power_supply").join(name);
        fs::write(file("gauge/present"), "1").unwrap();
        fs::write(file("gauge/capacity"), "15").unwrap();
        assert_eq!(Sensors::read_below(root.path()).battery, Some((15, true)));
        fs::write(file("ac/online"), "0").unwrap();
        assert_eq!(Sensors::read_below(root.path()).battery, Some((15, false)));
        // What a gauge knows counts more.
        fs::write(file("ac/online"), "1").unwrap();
        fs::write(file("gauge/status"), "Discharging").unwrap();
        assert_eq!(Sensors::read_below(root.path()).battery, Some((15, false)));
    }

    #[test]
    fn a_device_that_says_nothing_or_nonsense_is_told_as_unknown() {
        let empty = device(&[]);
        let silent = Sensors::read_below(empty.path());
        let nothing = Sensors {
            mobile: POWER.built.then_some(false),
            ..Sensors::default()
        };
        assert_eq!(silent, nothing);
        assert_eq!(Quick::read_below(empty.path()), Quick::default());
        let garbled = device(&[
            ("proc/uptime", "soon"),
            ("proc/loadavg", "0.5 x"),
            ("proc/self/status", "VmRSS: much"),
            ("sys/class/thermal/thermal_zone0/temp", "warm"),
            ("sys/class/power_supply/b/type", "Battery"),
            ("sys/class/power_supply/b/capacity", "-1"),
        ]);
        assert_eq!(Sensors::read_below(garbled.path()), nothing);
        assert_eq!(Quick::read_below(garbled.path()), Quick::default());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_is_read() {
        let root = Path::new("/");
        let quick = Quick::read_below(root);
        assert!(quick.uptime.unwrap() > 0 && quick.load.is_some());
        assert!(quick.anonymous.unwrap() <= quick.resident.unwrap());
        let sensors = Sensors::read_below(root);
        assert!(sensors.descriptors.unwrap() >= 3);
        assert!(Facts::read_below(root).kernel.is_some());
    }
}
