//! Processor, kernel, emulation, randomness.

use super::{word, Finding, Report};
use crate::platform::cpu;
use nix::sys::utsname::uname;
use std::fs;
use std::path::Path;

/// The kernel that brought getrandom(2): older ones hand out numbers before they have
/// randomness.
const OLDEST: (u32, u32) = (3, 17);

/// What a program can ask about the machine that it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The kernel's word for its processors (`x86_64`, `aarch64`, `armv7l`, …).
    pub kernel_arch: String,
    /// Bytes of a page.
    pub page: u64,
    /// Whether the processor has instructions for AES.
    pub aes: bool,
    /// Cores that the process may use.
    pub cores: usize,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn read() -> Machine {
        let arch = uname().ok();
        let arch = arch.map(|name| name.machine().to_string_lossy().into_owned());
        Machine {
            kernel_arch: arch.unwrap_or_default(),
            page: cpu::page_size() as u64,
            aes: cpu::has_aes(),
            cores: cpu::cores(),
        }
    }
}

/// Whether this program is the one for the machine.
#[must_use]
pub fn machine(root: &Path, machine: &Machine) -> Vec<Finding> {
    let mut report = Report::new("machine");
    let program = std::env::consts::ARCH;
    let arch = &machine.kernel_arch;
    let release = word(root, "proc/sys/kernel/osrelease").unwrap_or_default();
    report.fact(&format_args!("{program} on Linux {release}"));
    if let Some(emulator) = emulator(root) {
        report.warn(
            &format_args!("this is a program for {program}, run by {emulator}: many times slower than one for the device"),
            "install the build for the device's own processor",
        );
    }
    if usize::BITS == 32 && arch.contains("64") {
        report.fact(&format_args!(
            "the kernel is {arch}, for which the 64-bit build is faster"
        ));
    }
    report.fact(&match machine.cores {
        1 => "1 core".to_owned(),
        cores => format!("{cores} cores"),
    });
    report.fact(&format_args!("pages of {} KB", machine.page >> 10));
    report.fact(&if machine.aes {
        "AES instructions"
    } else {
        "no AES instructions (ChaCha20 goes first)"
    });
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|n| n.parse::<u32>().ok());
    if let (Some(major), Some(minor)) = (next(), next()) {
        if (major, minor) < OLDEST {
            report.warn(
                &format_args!(
                    "the kernel, Linux {release}, is older than this program is made for ({}.{})",
                    OLDEST.0, OLDEST.1
                ),
                "upgrade the system",
            );
        }
    }
    report.done()
}

/// The program that carries this one out, if the processor does not itself. (An
/// emulator hides behind `/proc/self`, and forgets that a thread has a way of its own.)
fn emulator(root: &Path) -> Option<String> {
    let exe = fs::read_link(root.join("proc/thread-self/exe")).ok()?;
    let name = exe.file_name()?.to_string_lossy().into_owned();
    let known = ["qemu-", "box64", "box86", "FEX", "rosetta"];
    known.iter().any(|k| name.starts_with(k)).then_some(name)
}

/// Whether the kernel has randomness for keys. Blocks while it has none.
#[must_use]
pub fn randomness(root: &Path) -> Vec<Finding> {
    let mut report = Report::new("randomness");
    match getrandom::u64() {
        Ok(_) => report.fact(&"there is enough for keys"),
        Err(error) => report.fail(
            &format_args!("the kernel gives none: {error}"),
            "let the service see /dev/urandom, or upgrade the kernel",
        ),
    }
    if let Some(bits) = word(root, "proc/sys/kernel/random/entropy_avail") {
        report.fact(&format_args!("{bits} bits"));
    }
    report.done()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::{device, only};
    use super::super::State;
    use super::*;

    fn pi() -> Machine {
        Machine {
            kernel_arch: "aarch64".into(),
            page: 16 << 10,
            aes: false,
            cores: 4,
        }
    }

    #[test]
    fn a_program_of_another_machine_is_told_and_an_old_kernel_too() {
        let root = device(&[
            ("proc/sys/kernel/osrelease", "6.12.1-v8+\n"),
            ("proc/thread-self/comm", "x"),
        ]);
        let fine = only(machine(root.path(), &pi()));
        assert_eq!(fine.state, State::Ok);
        for part in ["Linux 6.12.1-v8+", "4 cores", "pages of 16 KB", "ChaCha20"] {
            assert!(fine.found.contains(part), "{part}: {}", fine.found);
        }
        std::os::unix::fs::symlink(
            "/usr/bin/qemu-aarch64-static",
            root.path().join("proc/thread-self/exe"),
        )
        .unwrap();
        let slow = only(machine(root.path(), &pi()));
        assert!(
            slow.state == State::Warning && slow.found.contains("qemu-aarch64-static"),
            "{slow:?}"
        );
        let old = device(&[("proc/sys/kernel/osrelease", "3.10.14\n")]);
        assert_eq!(only(machine(old.path(), &pi())).state, State::Warning);
    }

    #[test]
    fn this_machine_is_read_and_has_randomness() {
        let here = Machine::read();
        assert!(here.page >= 4096 && here.cores >= 1 && !here.kernel_arch.is_empty());
        assert_eq!(only(randomness(Path::new("/"))).state, State::Ok);
    }
}
