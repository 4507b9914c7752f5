//! Tests of `fit.rs`: devices as folders of files.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::config::{Assignment, Key, Request};
use crate::platform::testing;
use std::path::Path;

/// What `auto` makes of a device: the profile, and the settings that are not its own
/// with their reasons.
fn fitted(device: &Device, asked: &[(&str, &str)]) -> (Profile, Vec<(String, String, String)>) {
    let asked = asked.iter().map(|(key, value)| Assignment {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
        option: "--set",
    });
    let request = Request::new(&asked.collect::<Vec<_>>(), None, []);
    let loaded = request.load_on(device).unwrap();
    // A node that runs does not grow or shrink when it loads again.
    let again = request.load_on(&Device::default()).unwrap();
    assert_eq!(again.settings, loaded.settings);
    let found = crate::config::KEYS.iter().filter_map(|key| {
        let Source::Device(why) = loaded.origin(key.name) else {
            return None;
        };
        let name = key.name.split_once('.').unwrap().1.to_owned();
        Some((name, (key.get)(&loaded.settings), why.clone()))
    });
    (loaded.settings.node.profile, found.collect())
}

fn is(found: &[(String, String, String)], wanted: &[(&str, &str, &str)]) {
    let mut found: Vec<_> = found
        .iter()
        .map(|(name, value, why)| (name.as_str(), value.as_str(), why.as_str()))
        .collect();
    let mut wanted = wanted.to_vec();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

const DATA: (&str, &str) = ("storage.data_dir", "/srv/data");

/// A device with these files, and no more known of it than they tell.
fn device(files: &[(&str, &str)], processor: &'static str) -> (tempfile::TempDir, Device) {
    let root = testing::device(files);
    let device = Device::read_below(root.path(), false);
    let device = Device {
        processor,
        narrow: false,
        cores: 4,
        aes: Some(true),
        page: 4096,
        ..device
    };
    (root, device)
}

/// A block device below `path` of sysfs that `mountinfo` calls `/dev/root`.
fn disk(root: &Path, path: &str) {
    use std::os::unix::fs::symlink;
    let folder = root.join("sys/devices").join(path);
    std::fs::create_dir_all(folder.join("queue")).unwrap();
    std::fs::write(folder.join("queue/rotational"), "0\n").unwrap();
    std::fs::create_dir_all(root.join("sys/dev/block")).unwrap();
    symlink(&folder, root.join("sys/dev/block/8:1")).unwrap();
}

const ROOT: (&str, &str) = (
    "proc/self/mountinfo",
    "1 0 8:1 / / rw - ext4 /dev/root rw\n",
);

#[test]
fn a_raspberry_pi_4_serves_more_devices_and_spares_its_card() {
    let memory = ("proc/meminfo", "MemTotal: 3884000 kB\n");
    let (root, mut pi) = device(&[ROOT, memory], "aarch64");
    pi.aes = Some(false);
    disk(root.path(), "mmc_host/mmc0/block/mmcblk0");
    let (profile, found) = fitted(&pi, &[DATA]);
    assert_eq!(profile, Profile::RaspberryPi);
    // Its profile is made for its processor and its card.
    is(&found, &[("max_connections", "4000", "3792 MB of memory")]);
}

#[test]
fn a_raspberry_pi_with_a_disk_loses_less_at_a_power_cut() {
    let memory = ("proc/meminfo", "MemTotal: 948000 kB\n");
    let (root, pi) = device(&[ROOT, memory], "aarch64");
    disk(root.path(), "pci0/nvme/nvme0/nvme0n1");
    let (_, found) = fitted(&pi, &[DATA]);
    is(&found, &[("flush_interval", "30m", "a solid-state disk")]);
}

#[test]
fn a_pi_zero_is_not_asked_for_what_its_one_small_core_cannot_do() {
    let memory = ("proc/meminfo", "MemTotal: 443000 kB\n");
    let (root, mut zero) = device(&[ROOT, memory], "arm");
    (zero.narrow, zero.cores, zero.aes) = (true, 1, Some(false));
    disk(root.path(), "mmc_host/mmc0/block/mmcblk0");
    let (profile, found) = fitted(&zero, &[DATA]);
    assert_eq!(profile, Profile::RaspberryPi);
    let (memory, narrow) = ("432 MB of memory", "a 32-bit program");
    is(
        &found,
        &[
            ("max_peers", "25", memory),
            ("max_window", "1M", narrow),
            ("accept_rate", "25", narrow),
            ("accept_rate_per_address", "6", narrow),
            ("worker_pool_size", "2", "1 core"),
        ],
    );
}

#[test]
fn a_phone_is_its_owner_s_whatever_it_has() {
    let memory = ("proc/meminfo", "MemTotal: 7800000 kB\n");
    let (_root, mut phone) = device(&[("system/build.prop", ""), ROOT, memory], "aarch64");
    phone.cores = 8;
    assert_eq!(fitted(&phone, &[DATA]), (Profile::Android, Vec::new()));
}

#[test]
fn a_router_with_64_mb_is_left_its_memory_and_its_flash() {
    let (_root, mut router) = device(
        &[
            ("etc/openwrt_release", ""),
            ("proc/meminfo", "MemTotal: 59000 kB\n"),
            (
                "proc/self/mountinfo",
                "1 0 0:1 / / rw - overlay o rw,upperdir=/overlay/upper\n\
                 2 1 31:6 / /overlay rw - jffs2 /dev/mtdblock6 rw\n",
            ),
        ],
        "mips",
    );
    (router.cores, router.aes) = (1, Some(false));
    let (profile, found) = fitted(&router, &[DATA]);
    assert_eq!(profile, Profile::Router);
    // 64K of 64M and 1M of it are what the profile says already.
    is(&found, &[("max_peers", "5", "57 MB of memory")]);
}

#[test]
fn a_container_of_32_mb_on_a_large_server_is_a_small_device() {
    let (_root, container) = device(
        &[
            ("proc/meminfo", "MemTotal: 64000000 kB\n"),
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "33554432\n"),
        ],
        "x86_64",
    );
    let (profile, found) = fitted(&container, &[DATA]);
    assert_eq!(profile, Profile::Router);
    let why = "32 MB of memory";
    is(
        &found,
        &[
            ("max_peers", "1", why),
            ("max_window", "256K", why),
            ("session_buffer", "512K", why),
            ("send_buffer", "32K", why),
        ],
    );
}

#[test]
fn a_memory_limit_makes_a_smaller_device_of_a_large_one() {
    let memory = ("proc/meminfo", "MemTotal: 16000000 kB\n");
    let (_root, server) = device(&[memory], "x86_64");
    assert_eq!(fitted(&server, &[DATA]), (Profile::Server, Vec::new()));
    let limit = ("node.memory_limit", "32M");
    let (profile, found) = fitted(&server, &[DATA, limit]);
    assert_eq!(profile, Profile::Server);
    let why = "node.memory_limit of 32 MB";
    is(
        &found,
        &[
            ("max_peers", "5", why),
            ("max_window", "512K", why),
            ("session_buffer", "1M", why),
            ("send_buffer", "64K", why),
        ],
    );
    let links = ("network.max_peers", "20");
    let (_, found) = fitted(&server, &[DATA, limit, links]);
    assert!(
        found.iter().all(|(key, ..)| key != "max_peers"),
        "{found:?}"
    );
    // Who names a profile gets it as its file is.
    let named = ("node.profile", "server");
    let (_, found) = fitted(&server, &[DATA, limit, named]);
    is(&found, &[]);
}

#[test]
fn large_pages_are_written_more_rarely() {
    let memory = ("proc/meminfo", "MemTotal: 16000000 kB\n");
    for (page, every) in [(4096, None), (16_384, Some("4h")), (65_536, Some("8h"))] {
        let (_root, mut server) = device(&[memory], "x86_64");
        server.page = page;
        let (_, found) = fitted(&server, &[DATA]);
        let why = format!("pages of {} KB", page / 1024);
        match every {
            Some(every) => is(&found, &[("flush_interval", every, &why)]),
            None => is(&found, &[]),
        }
    }
    // A disk is written to twice as often, its larger pages four times as rarely.
    let (root, mut server) = device(&[ROOT, memory], "x86_64");
    disk(root.path(), "pci0/nvme/nvme0/nvme0n1");
    server.page = 16_384;
    let (_, found) = fitted(&server, &[DATA]);
    is(
        &found,
        &[("flush_interval", "2h", "a solid-state disk, pages of 16 KB")],
    );
}

#[test]
fn a_device_with_little_memory_does_not_hold_the_links_of_a_large_one() {
    for (megabytes, links) in [
        (28, Some(1)),
        (32, Some(1)),
        (59, Some(5)),
        (64, Some(5)),
        (96, Some(8)),
        (120, Some(15)),
        (128, Some(15)),
        (245, Some(25)),
        (256, Some(25)),
        (512, None),
    ] {
        assert_eq!(peer_links(megabytes * MB), links, "{megabytes} MB");
    }
}

#[test]
fn no_device_makes_a_value_that_its_setting_does_not_take() {
    for megabytes in [
        0u64,
        1,
        4,
        16,
        31,
        48,
        64,
        96,
        200,
        500,
        1900,
        4000,
        1 << 24,
    ] {
        for (narrow, cores, page) in [(true, 0, 0), (false, 1, 4096), (true, 64, 1 << 20)] {
            let mut device = Device {
                narrow,
                cores,
                page,
                ..Device::default()
            };
            device.memory.total = Some(megabytes * MB);
            let (_, found) = fitted(&device, &[]);
            for (name, value, _) in found {
                let key = crate::config::KEYS.iter();
                let mut key = key.filter(|key| key.name.ends_with(&format!(".{name}")));
                let key: &Key = key.next().unwrap();
                (key.set)(&mut Settings::default(), &value).unwrap();
            }
        }
    }
}
