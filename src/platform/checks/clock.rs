//! The wall clock, and who keeps it.

use super::{text, Finding, Report};
use crate::platform::sys;
use std::fs;
use std::path::Path;

/// NTP has found its servers this long after the device has started, in seconds.
const SETTLED: u64 = 600;
/// Said where the clock is wrong.
const SET: &str = "set it (NTP: `timedatectl set-ntp true`, on OpenWrt `service sysntpd start`); until then epochs of tickets are taken as they come, and nothing is signed for the network";

/// What is known of the time besides what the device itself says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times<'a> {
    /// The wall clock, in unix seconds.
    pub now: u64,
    /// The same for people.
    pub told: &'a str,
    /// The program was built then.
    pub built: u64,
    /// The store remembers that it was that late already.
    pub floor: Option<u64>,
    /// Whether the running node believes the clock.
    pub trusted: Option<bool>,
    /// Whether the kernel says that something keeps the clock right.
    pub kept: Option<bool>,
}

/// Whether the kernel says that something keeps the clock right; None where it does
/// not say, or must not be asked.
#[must_use]
pub fn kept(android: bool) -> Option<bool> {
    // Android ends a program that asks.
    if android {
        None
    } else {
        sys::clock_is_kept()
    }
}

/// Whether the clock can be believed.
#[must_use]
pub fn clock(root: &Path, times: &Times<'_>) -> Vec<Finding> {
    let mut report = Report::new("clock");
    let hardware = has_hardware(root);
    let told = times.told;
    report.fact(&told.to_owned());
    if times.now < times.built {
        let unset = if hardware {
            ""
        } else {
            " (the device has no clock that goes on without power)"
        };
        report.warn(
            &format_args!("it is not set: {told} is before this program was built{unset}"),
            SET,
        );
        return report.done();
    }
    if let Some(floor) = times.floor.filter(|floor| times.now < *floor) {
        let behind = floor - times.now;
        report.warn(
            &format_args!("it is behind: {told} is {behind} s before the latest time that the store remembers"),
            SET,
        );
        return report.done();
    }
    if times.trusted == Some(false) {
        report.warn(
            &format_args!("the running node does not believe it: {told} is more than 10 minutes off what other nodes say"),
            SET,
        );
        return report.done();
    }
    if times.trusted == Some(true) {
        report.fact(&"the running node believes it");
    }
    match (times.kept, hardware) {
        (Some(true), _) => report.fact(&"kept by NTP"),
        (Some(false), false) if uptime(root).is_some_and(|up| up >= SETTLED) => report.warn(
            &format_args!(
                "nothing keeps it right: {told}, no NTP, and no clock that goes on without power"
            ),
            "let NTP set it (`timedatectl set-ntp true`; install systemd-timesyncd or chrony)",
        ),
        (Some(false), _) => report.fact(&"not kept by NTP"),
        (None, _) => {}
    }
    let goes_on = if hardware { "a" } else { "no" };
    report.fact(&format_args!("{goes_on} hardware clock"));
    report.done()
}

/// Whether the time goes on while the device is off, or comes from a host.
fn has_hardware(root: &Path) -> bool {
    let rtc = fs::read_dir(root.join("sys/class/rtc"));
    if rtc.is_ok_and(|mut entries| entries.next().is_some()) {
        return true;
    }
    // A virtual machine starts with its host's time.
    let flags = text(root, "proc/cpuinfo");
    flags
        .split_ascii_whitespace()
        .any(|flag| flag == "hypervisor")
}

fn uptime(root: &Path) -> Option<u64> {
    let text = text(root, "proc/uptime");
    text.split(['.', ' ']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{device, only};
    use super::super::State;
    use super::*;

    const NOW: Times<'static> = Times {
        now: 1_800_000_000,
        told: "2027-01-15 08:00 UTC",
        built: 1_776_000_000,
        floor: Some(1_799_999_000),
        trusted: None,
        kept: Some(true),
    };

    fn state(files: &[(&str, &str)], times: Times<'_>) -> (State, String) {
        let found = only(clock(device(files).path(), &times));
        (found.state, found.found + " -> " + &found.remedy)
    }

    #[test]
    fn a_clock_in_1970_or_before_what_is_remembered_is_told_with_its_remedy() {
        let (warned, text) = state(&[], Times { now: 60, ..NOW });
        assert!(
            warned == State::Warning && text.contains("NTP") && text.contains("without power"),
            "{text}"
        );
        let with_rtc = [("sys/class/rtc/rtc0/name", "x")];
        let (_, text) = state(&with_rtc, Times { now: 60, ..NOW });
        assert!(!text.contains("without power"), "{text}");
        let (warned, text) = state(
            &[],
            Times {
                floor: Some(1_800_000_060),
                ..NOW
            },
        );
        assert!(
            warned == State::Warning && text.contains("60 s before"),
            "{text}"
        );
        let (warned, _) = state(
            &[],
            Times {
                trusted: Some(false),
                ..NOW
            },
        );
        assert_eq!(warned, State::Warning);
    }

    #[test]
    fn a_clock_that_nothing_keeps_is_told_once_ntp_had_its_time() {
        let old = [("proc/uptime", "700.50 1.0\n")];
        let young = [("proc/uptime", "70.50 1.0\n")];
        let guest = [
            old[0],
            ("proc/cpuinfo", "flags\t: fpu hypervisor lahf_lm\n"),
        ];
        let unkept = Times {
            kept: Some(false),
            ..NOW
        };
        assert_eq!(state(&old, unkept).0, State::Warning);
        assert_eq!(state(&young, unkept).0, State::Ok);
        assert_eq!(state(&guest, unkept).0, State::Ok);
        assert_eq!(state(&old, Times { kept: None, ..NOW }).0, State::Ok);
        let (good, text) = state(&old, NOW);
        assert!(good == State::Ok && text.contains("kept by NTP"), "{text}");
    }
}
