//! What kind of storage a folder lies on: how much writing it bears.

use super::mounts;
use std::fs;
use std::path::{Path, PathBuf};

/// A kind of storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Flash chips without a controller of their own, as in routers.
    Flash,
    /// An SD card, eMMC or a USB stick: a small controller.
    Card,
    /// A solid-state disk.
    Solid,
    /// A disk that turns.
    Disk,
    /// Memory: nothing wears out, and nothing outlives a restart.
    Memory,
}

impl Medium {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Medium::Flash => "raw flash",
            Medium::Card => "an SD card, eMMC or USB stick",
            Medium::Solid => "a solid-state disk",
            Medium::Disk => "a hard disk",
            Medium::Memory => "memory",
        }
    }

    /// What `folder` lies on, or will when it is made, on the machine whose files
    /// are below `root`. `None`: another machine's, or it cannot be found out.
    #[must_use]
    pub fn below(root: &Path, folder: &Path) -> Option<Medium> {
        let root = root.canonicalize().ok()?;
        let folder = std::path::absolute(folder).ok()?;
        // One of another machine or program may not answer, so it is not touched.
        if mounts::of(&root, &folder).is_some_and(|mount| is_far(&mount.kind)) {
            return None;
        }
        let there = |path: &Path| inside(&root, path).canonicalize().ok();
        let nearest = folder.ancestors().find_map(there)?;
        let path = Path::new("/").join(nearest.strip_prefix(&root).ok()?);
        let mount = mounts::of(&root, &path)?;
        match mount.kind.as_str() {
            "overlay" => {
                let upper = mounts::of(&root, &mount.upper()?)?;
                // One that lies over another overlay is nobody's.
                of_mount(&root, &upper)
            }
            _ => of_mount(&root, &mount),
        }
    }
}

fn is_far(kind: &str) -> bool {
    const FAR: [&str; 5] = ["fuse", "nfs", "cifs", "smb", "9p"];
    FAR.iter().any(|far| kind.starts_with(far))
}

fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn of_mount(root: &Path, mount: &mounts::Mount) -> Option<Medium> {
    match mount.kind.as_str() {
        "tmpfs" | "ramfs" => return Some(Medium::Memory),
        "jffs2" | "ubifs" | "yaffs2" => return Some(Medium::Flash),
        _ => {}
    }
    // btrfs has no numbers of its own there; other sources (`/dev/root`) are none.
    let name = mount.source.strip_prefix("/dev/").unwrap_or_default();
    let by_name = (!name.is_empty()).then(|| root.join("sys/class/block").join(name));
    let by_number = root.join("sys/dev/block").join(&mount.device);
    let found = by_name.and_then(|path| path.canonicalize().ok());
    of_block(found.or_else(|| by_number.canonicalize().ok())?)
}

/// A block device by its folder in sysfs, which tells by its path what it hangs on.
fn of_block(folder: PathBuf) -> Option<Medium> {
    let below = |folder: &Path| {
        let slaves = fs::read_dir(folder.join("slaves")).ok()?;
        slaves.flatten().next()?.path().canonicalize().ok()
    };
    // Encrypted, and perhaps in a volume group: what is below the two.
    let mut folder = folder;
    for _ in 0..3 {
        match below(&folder) {
            Some(next) => folder = next,
            None => break,
        }
    }
    let path = folder.to_str()?;
    if path.contains("/mtd") || path.contains("/ubi") {
        return Some(Medium::Flash);
    }
    if path.contains("/mmcblk") {
        return Some(Medium::Card);
    }
    // A partition has no queue; its disk is the folder around.
    let turns = folder.ancestors().take(2).find_map(|folder| {
        let text = fs::read_to_string(folder.join("queue/rotational"));
        text.ok()
    })?;
    match turns.trim() {
        "0" if path.contains("/usb") => Some(Medium::Card),
        "0" => Some(Medium::Solid),
        "1" => Some(Medium::Disk),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::platform::testing::device;
    use std::os::unix::fs::symlink;

    /// A root with one disk at `path` in sysfs, known as `name`, and these mounts.
    fn root(path: &str, name: &str, turns: &str, mounts: &str) -> tempfile::TempDir {
        let disk = format!("sys/devices/{path}");
        let queue = format!("{}/queue/rotational", disk.trim_end_matches("/part"));
        let here = format!("{disk}/size");
        let root = device(&[
            ("proc/self/mountinfo", mounts),
            (queue.as_str(), turns),
            (here.as_str(), "1"),
            ("srv/chr-node/x", ""),
            ("sys/class/block/x", ""),
            ("sys/dev/block/x", ""),
        ]);
        for link in [
            format!("sys/class/block/{name}"),
            "sys/dev/block/8:1".into(),
        ] {
            symlink(root.path().join(&disk), root.path().join(link)).unwrap();
        }
        root
    }

    fn found(root: &tempfile::TempDir) -> Option<Medium> {
        Medium::below(root.path(), Path::new("/srv/chr-node/data/store"))
    }

    #[test]
    fn a_card_is_not_written_to_like_a_disk() {
        let ext4 = |source: &str| format!("1 0 8:1 / / rw - ext4 {source} rw\n");
        for (path, name, turns, source, medium) in [
            (
                "mmc_host/mmc0/block/mmcblk0/mmcblk0p2",
                "mmcblk0p2",
                "0",
                "/dev/mmcblk0p2",
                Medium::Card,
            ),
            (
                "mmc_host/mmc0/block/mmcblk0/mmcblk0p2",
                "mmcblk0p2",
                "0",
                "/dev/root",
                Medium::Card,
            ),
            (
                "pci0/nvme/nvme0n1/part",
                "nvme0n1p1",
                "0\n",
                "/dev/nvme0n1p1",
                Medium::Solid,
            ),
            (
                "pci0/usb1/1-1/host0/block/sda/part",
                "sda1",
                "0\n",
                "/dev/sda1",
                Medium::Card,
            ),
            (
                "pci0/ata1/host0/block/sda/part",
                "sda1",
                "1\n",
                "/dev/sda1",
                Medium::Disk,
            ),
            (
                "virtual/mtd/mtdblock5",
                "mtdblock5",
                "0\n",
                "/dev/mtdblock5",
                Medium::Flash,
            ),
        ] {
            let root = root(path, name, turns, &ext4(source));
            assert_eq!(found(&root), Some(medium), "{path} as {source}");
        }
    }

    #[test]
    fn a_router_s_overlay_is_the_flash_below_it_and_a_tmpfs_is_none() {
        let overlay = "1 0 0:1 / / rw - overlay o rw,upperdir=/overlay/upper\n\
                       2 1 31:6 / /overlay rw - jffs2 /dev/mtdblock6 rw\n";
        assert_eq!(
            found(&root("pci0/disk", "disk", "", overlay)),
            Some(Medium::Flash)
        );
        let memory = format!("{overlay}3 1 0:3 / /srv rw - tmpfs tmpfs rw\n");
        assert_eq!(
            found(&root("pci0/disk", "disk", "", &memory)),
            Some(Medium::Memory)
        );
        // What lies on another machine is not guessed at.
        let far = format!("{overlay}3 1 0:3 / /srv rw - nfs4 10.0.0.1:/srv rw\n");
        assert_eq!(found(&root("pci0/disk", "disk", "", &far)), None);
        assert_eq!(found(&device(&[])), None);
    }

    #[test]
    fn an_encrypted_card_is_a_card() {
        let table = "1 0 8:1 / / rw - ext4 /dev/mapper/home rw\n";
        let root = root("virtual/block/dm-0", "dm-0", "0\n", table);
        let card = root.path().join("sys/devices/mmc0/block/mmcblk0/mmcblk0p2");
        fs::create_dir_all(&card).unwrap();
        let slaves = root.path().join("sys/devices/virtual/block/dm-0/slaves");
        fs::create_dir(&slaves).unwrap();
        symlink(&card, slaves.join("mmcblk0p2")).unwrap();
        assert_eq!(found(&root), Some(Medium::Card));
    }
}
