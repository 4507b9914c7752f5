//! What kind of device this is, as far as settings depend on it.

use super::cpu;
use super::medium::Medium;
use super::memory::Memory;
use crate::parts::DOCTOR;
use std::path::{Path, PathBuf};

/// The device that the program runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Android, which in practice is Termux: the system is shared with apps,
    /// the battery counts, and large processes are killed first.
    pub android: bool,
    /// OpenWrt: a router with little flash, which wears out.
    pub openwrt: bool,
    /// The processor's name as Rust spells it (`x86_64`, `aarch64`, `arm`, …).
    pub processor: &'static str,
    /// Memory of the machine and what the service or container may have of it.
    pub memory: Memory,
    /// Whether the program has addresses of 32 bits.
    pub narrow: bool,
    /// Cores that the process may use; 0: unknown.
    pub cores: usize,
    /// Whether the processor has instructions for AES; `None`: unknown.
    pub aes: Option<bool>,
    /// Bytes of a page of memory; 0: unknown.
    pub page: usize,
    /// Where its files are; empty: nowhere.
    pub root: PathBuf,
}

impl Device {
    /// Looks at this machine. `termux`: the environment says that it is Termux,
    /// whose programs may not see the system's own files.
    #[must_use]
    pub fn read(termux: bool) -> Self {
        Self::read_below(Path::new("/"), termux)
    }

    /// The same for a machine whose files lie below `root`.
    #[must_use]
    pub fn read_below(root: &Path, termux: bool) -> Self {
        let there = |file: &str| root.join(file).exists();
        Self {
            android: termux
                || cfg!(target_os = "android")
                || there("system/bin/app_process")
                || there("system/build.prop"),
            openwrt: there("etc/openwrt_release"),
            processor: std::env::consts::ARCH,
            memory: Memory::read_below(root),
            narrow: cfg!(target_pointer_width = "32"),
            cores: cpu::cores(),
            aes: Some(cpu::has_aes()),
            page: cpu::page_size(),
            root: root.to_owned(),
        }
    }

    /// What kind of storage `folder` lies on, where that can be found out: by the
    /// means of the doctor, which small builds are without.
    #[must_use]
    pub fn medium(&self, folder: &Path) -> Option<Medium> {
        DOCTOR
            .built
            .then(|| Medium::below(&self.root, folder))
            .flatten()
    }

    /// The memory that can be had at all, in bytes: the machine's, or the limit
    /// of the service or container if that is less.
    #[must_use]
    pub fn memory_in_reach(&self) -> Option<u64> {
        match (self.memory.total, self.memory.limit) {
            (Some(total), Some(limit)) => Some(total.min(limit)),
            (total, limit) => total.or(limit),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::platform::testing;

    fn device(files: &[(&str, &str)]) -> Device {
        Device::read_below(testing::device(files).path(), false)
    }

    #[test]
    fn a_phone_is_known_by_its_files_or_by_what_termux_says() {
        assert!(device(&[("system/build.prop", "")]).android);
        assert!(device(&[("system/bin/app_process", "")]).android);
        let none = tempfile::tempdir().unwrap();
        assert!(Device::read_below(none.path(), true).android);
        assert!(!Device::read_below(none.path(), false).android);
    }

    #[test]
    fn a_router_is_known_by_its_release_file() {
        assert!(device(&[("etc/openwrt_release", "DISTRIB_ID='OpenWrt'\n")]).openwrt);
        assert!(!device(&[("etc/os-release", "ID=debian\n")]).openwrt);
    }

    #[test]
    fn a_small_container_on_a_large_machine_is_a_small_device() {
        let container = device(&[
            ("proc/meminfo", "MemTotal: 16000000 kB\n"),
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "67108864\n"),
        ]);
        assert_eq!(container.memory_in_reach(), Some(64 << 20));
        assert_eq!(device(&[]).memory_in_reach(), None);
    }
}
