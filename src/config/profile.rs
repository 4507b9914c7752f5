//! Profiles: values for a class of devices, one commented file each in
//! `configs/`, and which of them fits the device at hand.
//!
//! A profile is a layer like any other: its file is part of the program and is
//! read by the loader that reads an operator's file.

use super::value::show_size;
use crate::platform::device::Device;
use std::fmt;

/// A class of devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Half a gigabyte or a few, an SD card, no fan.
    RaspberryPi,
    /// 64 MB and flash that wears out.
    Router,
    /// A phone or tablet with Termux.
    Android,
    /// A machine with memory and a disk.
    #[default]
    Server,
}

/// With less memory than this it is a router, whatever else it is: 128 MB
/// devices, and containers that are held to that.
const ROUTER_MEMORY: u64 = 192 << 20;
/// With less than this no device is a server.
const SMALL_MEMORY: u64 = 768 << 20;
/// An ARM board up to this is a small computer, above it a server. (The largest
/// common boards have 8 GB.)
const BOARD_MEMORY: u64 = 8 << 30;

/// Processors of boards rather than of servers, unless there is much memory.
const BOARDS: [&str; 4] = ["aarch64", "riscv64", "mips64", "loongarch64"];

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 4] = [
        Profile::RaspberryPi,
        Profile::Router,
        Profile::Android,
        Profile::Server,
    ];

    /// As it is written in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Profile::RaspberryPi => "raspberry-pi",
            Profile::Router => "router",
            Profile::Android => "android",
            Profile::Server => "server",
        }
    }

    /// The profile of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Profile> {
        Profile::ALL
            .into_iter()
            .find(|profile| profile.name().eq_ignore_ascii_case(name.trim()))
    }

    /// Its file.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Profile::RaspberryPi => include_str!("../../configs/raspberry-pi.toml"),
            Profile::Router => include_str!("../../configs/router.toml"),
            Profile::Android => include_str!("../../configs/android.toml"),
            Profile::Server => include_str!("../../configs/server.toml"),
        }
    }

    /// Why it has its value of a setting: what its file says above that.
    #[must_use]
    pub fn reason(self, key: &str) -> Option<String> {
        let (section, name) = key.split_once('.')?;
        let (mut within, mut reason, mut open) = ("", String::new(), false);
        for line in self.file().lines().map(str::trim) {
            if let Some(words) = line.strip_prefix('#') {
                if !open {
                    reason.clear();
                }
                open = true;
                reason.push_str(if reason.is_empty() {
                    words.trim_start()
                } else {
                    words
                });
                continue;
            }
            open = false;
            if line.is_empty() || line.starts_with('[') {
                within = line.trim_matches(['[', ']']);
                reason.clear();
                continue;
            }
            let named = line.split_once('=').map(|(word, _)| word.trim());
            if within == section && named == Some(name) {
                return (!reason.is_empty()).then_some(reason);
            }
        }
        None
    }

    /// What `auto` chooses for a device, and why, as a phrase. The rule stands
    /// in words in `configs/auto.toml`.
    #[must_use]
    pub fn choose(device: &Device) -> (Profile, String) {
        if device.android {
            return (Profile::Android, "the system is Android".to_owned());
        }
        if device.openwrt {
            return (Profile::Router, "the system is OpenWrt".to_owned());
        }
        let Some(memory) = device.memory_in_reach() else {
            let why = "the machine does not say how much memory it has";
            return (Profile::RaspberryPi, why.to_owned());
        };
        let processor = device.processor;
        let small = device.narrow || (BOARDS.contains(&processor) && memory <= BOARD_MEMORY);
        let profile = if memory < ROUTER_MEMORY {
            Profile::Router
        } else if small || memory < SMALL_MEMORY {
            Profile::RaspberryPi
        } else {
            Profile::Server
        };
        // Whole megabytes are what people compare.
        let megabytes = show_size(memory >> 20 << 20);
        (profile, format!("{megabytes} of memory, {processor}"))
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::memory::Memory;

    const MB: u64 = 1 << 20;

    fn device(processor: &'static str, megabytes: u64) -> Device {
        Device {
            processor,
            memory: Memory {
                total: Some(megabytes * MB),
                ..Memory::default()
            },
            ..Device::default()
        }
    }

    fn chosen(device: &Device) -> Profile {
        Profile::choose(device).0
    }

    #[test]
    fn each_device_gets_the_profile_of_its_class() {
        for (processor, megabytes, wanted) in [
            ("x86_64", 64_000, Profile::Server),
            ("x86_64", 970, Profile::Server),
            ("x86_64", 480, Profile::RaspberryPi),
            ("x86_64", 128, Profile::Router),
            ("aarch64", 900, Profile::RaspberryPi),
            ("aarch64", 7_900, Profile::RaspberryPi),
            ("aarch64", 64_000, Profile::Server),
            ("arm", 430, Profile::RaspberryPi),
            ("mips", 59, Profile::Router),
        ] {
            let (profile, why) = Profile::choose(&device(processor, megabytes));
            assert_eq!(profile, wanted, "{processor} {megabytes} MB: {why}");
            assert!(why.contains(processor), "{why}");
        }
    }

    #[test]
    fn phones_and_routers_are_judged_by_their_system_and_not_by_their_memory() {
        let phone = Device {
            android: true,
            ..device("aarch64", 12_000)
        };
        assert_eq!(chosen(&phone), Profile::Android);
        let router = Device {
            openwrt: true,
            ..device("aarch64", 1_000)
        };
        assert_eq!(chosen(&router), Profile::Router);
    }

    #[test]
    fn a_container_is_as_large_as_its_limit() {
        let mut machine = device("x86_64", 64_000);
        machine.memory.limit = Some(64 * MB);
        assert_eq!(
            Profile::choose(&machine),
            (Profile::Router, "64M of memory, x86_64".to_owned())
        );
    }

    #[test]
    fn a_machine_that_says_nothing_is_treated_with_care() {
        assert_eq!(chosen(&Device::default()), Profile::RaspberryPi);
    }

    #[test]
    fn names_are_read_back() {
        for profile in Profile::ALL {
            assert_eq!(Profile::find(profile.name()), Some(profile));
        }
        assert_eq!(Profile::find("auto"), None);
    }
}
