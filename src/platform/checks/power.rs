//! Battery, heat, and a supply that is too weak.

use super::{text, word, Finding, Report};
use crate::platform::readings::Sensors;
use std::fs;
use std::path::Path;

/// Percent of the battery below which a phone soon ends.
const LOW: u8 = 10;
/// Processors of small devices become slower from here on, in degrees Celsius.
const HOT: i64 = 85;
/// Where a Raspberry Pi's kernel says what its firmware has seen.
const THROTTLED: [&str; 2] = [
    "sys/devices/platform/soc/soc:firmware/get_throttled",
    "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled",
];
/// Bits of that: too little voltage now and since the start, slowed down likewise.
const WEAK: u32 = 1 << 16 | 1;
const SLOWED: u32 = 0b110 | 0b110 << 16;
/// Sensors that are looked at.
const CHIPS_MAX: usize = 64;

/// What a node does about it by its settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// Below so many percent it saves power.
    pub saves: u8,
    /// Below so many percent it opens no more ports.
    pub refuses: u8,
    /// Above so many degrees it opens none, either.
    pub heat: Option<u8>,
}

/// Whether the device has what it takes to go on.
#[must_use]
pub fn power(root: &Path, bounds: Bounds) -> Vec<Finding> {
    let mut report = Report::new("power");
    let sensors = Sensors::read_below(root);
    match sensors.battery {
        None => report.fact(&"no battery"),
        Some((percent, true)) => report.fact(&format_args!("battery {percent} %, on mains")),
        Some((percent, false)) if percent < bounds.refuses => report.warn(
            &format_args!(
                "the battery has {percent} % left and is not charged: below {} % a node opens no more ports",
                bounds.refuses
            ),
            "charge the device, or change power.refuse_below",
        ),
        Some((percent, false)) if percent <= LOW => report.warn(
            &format_args!("the battery has {percent} % left and is not charged"),
            "charge the device",
        ),
        Some((percent, false)) => {
            let saves = match percent < bounds.saves {
                true => ": a node saves power",
                false => "",
            };
            report.fact(&format_args!("battery {percent} %, not charged{saves}"));
        }
    }
    let degrees = sensors.temperature.map(|heat| heat / 1000);
    if let Some(degrees) = degrees {
        let refuses = bounds.heat.filter(|most| degrees > i64::from(*most));
        if let Some(most) = refuses {
            report.warn(
                &format_args!("the device has {degrees} degrees Celsius: above {most} a node opens no more ports"),
                "cool the device, or change power.refuse_above",
            );
        } else if degrees >= HOT {
            report.warn(
                &format_args!("the processor has {degrees} degrees Celsius"),
                "cool the device: it slows down, and lives shorter",
            );
        } else {
            report.fact(&format_args!("{degrees} degrees Celsius"));
        }
    }
    feed(root, &mut report);
    report.done()
}

/// The board's supply alone: quick to read, so also for each start.
#[must_use]
pub fn supply(root: &Path) -> Vec<Finding> {
    let mut report = Report::new("power");
    feed(root, &mut report);
    report.done()
}

fn feed(root: &Path, report: &mut Report) {
    let seen = throttled(root);
    if seen & WEAK != 0 || voltage_alarm(root) {
        report.warn(
            &"the supply is too weak: the voltage has fallen below what the board needs since the start",
            "use the board's own supply and a short, thick cable; unplug what draws power by USB",
        );
    } else if seen & SLOWED != 0 {
        report.warn(
            &"the firmware has slowed the processor down since the start",
            "cool the device",
        );
    }
}

/// What the firmware of a Raspberry Pi has seen.
fn throttled(root: &Path) -> u32 {
    let says = THROTTLED.iter().find_map(|file| word(root, file));
    let digits = says.unwrap_or_default();
    u32::from_str_radix(digits.trim_start_matches("0x"), 16).unwrap_or(0)
}

/// The same by newer kernels: the alarm of the chip `rpi_volt`.
fn voltage_alarm(root: &Path) -> bool {
    let Ok(chips) = fs::read_dir(root.join("sys/class/hwmon")) else {
        return false;
    };
    chips.flatten().take(CHIPS_MAX).any(|chip| {
        let chip = chip.path();
        text(&chip, "name").trim() == "rpi_volt" && text(&chip, "in0_lcrit_alarm").trim() == "1"
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{device, only};
    use super::super::State;
    use super::*;

    fn state(files: &[(&str, &str)]) -> (State, String) {
        let found = only(power(device(files).path(), Bounds::default()));
        (found.state, found.found + " -> " + &found.remedy)
    }

    const BATTERY: [(&str, &str); 3] = [
        ("sys/class/power_supply/BAT0/type", "Battery\n"),
        ("sys/class/power_supply/BAT0/capacity", "7\n"),
        ("sys/class/power_supply/BAT0/status", "Discharging\n"),
    ];

    #[test]
    fn an_empty_battery_is_told_unless_it_is_being_charged() {
        assert_eq!(state(&[]), (State::Ok, "no battery -> ".to_owned()));
        let (warned, text) = state(&BATTERY);
        assert!(
            warned == State::Warning && text.contains("7 %") && text.contains("charge"),
            "{text}"
        );
        let root = device(&BATTERY);
        let bounds = Bounds {
            refuses: 10,
            ..Bounds::default()
        };
        let told = only(power(root.path(), bounds));
        assert!(told.remedy.contains("power.refuse_below"), "{told:?}");
        let mut charging = BATTERY;
        charging[2].1 = "Charging\n";
        assert_eq!(state(&charging).0, State::Ok);
    }

    #[test]
    fn a_board_with_a_weak_supply_or_that_is_too_hot_is_told() {
        for (file, says, warned) in [
            (THROTTLED[0], "50005\n", true),
            (THROTTLED[0], "0x50000\n", true),
            (THROTTLED[0], "20000\n", true),
            (THROTTLED[0], "0\n", false),
        ] {
            let warns = state(&[(file, says)]).0 == State::Warning;
            assert_eq!(warns, warned, "{says}");
        }
        let (warned, text) = state(&[
            ("sys/class/hwmon/hwmon1/name", "rpi_volt\n"),
            ("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n"),
        ]);
        assert!(warned == State::Warning && text.contains("cable"), "{text}");
        let (warned, text) = state(&[
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone0/temp", "91000\n"),
        ]);
        assert!(warned == State::Warning && text.contains("91"), "{text}");
    }
}
