//! What is known of a file system by its kind.

use crate::platform::mounts;
use std::path::Path;

/// A kind of file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kind {
    /// In words.
    pub(super) name: &'static str,
    /// It keeps no permissions, and its tables are not safe from a power cut.
    pub(super) frail: bool,
    /// It is another machine's, or goes through another program.
    pub(super) far: bool,
    /// It is in memory.
    pub(super) memory: bool,
    /// It lies over another one.
    pub(super) overlay: bool,
}

impl Kind {
    /// The one that a path is on.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn of(path: &Path) -> Kind {
        let Ok(found) = nix::sys::statfs::statfs(path) else {
            return Kind::named("a file system that does not say its kind");
        };
        // The type's width differs between systems; these are the kernel's numbers.
        #[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
        Kind::numbered(found.filesystem_type().0 as u32)
    }

    /// The one that a path is on.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn of(_: &Path) -> Kind {
        Kind::named("its file system")
    }

    const fn named(name: &'static str) -> Kind {
        Kind {
            name,
            frail: false,
            far: false,
            memory: false,
            overlay: false,
        }
    }

    /// By the number of `linux/magic.h` and of file systems that are not in it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn numbered(magic: u32) -> Kind {
        let mut kind = Kind::named(match magic {
            0xef53 => "ext4",
            0x4d44 => "FAT",
            0x2011_bab0 => "exFAT",
            0x5346_544e | 0x7366_746e => "NTFS",
            0x6573_5546 => "FUSE (a shared or removable disk)",
            0x6969 => "NFS",
            0xff53_4d42 | 0xfe53_4d42 | 0x517b => "a Windows share",
            0x0102_1997 => "9p (a host's folder)",
            0x0102_1994 => "tmpfs",
            0x8584_58f6 => "ramfs",
            0x794c_7630 => "an overlay",
            0x72b6 => "JFFS2",
            0x2405_1905 => "UBIFS",
            0xf2f5_2010 => "f2fs",
            0x5846_5342 => "XFS",
            0x9123_683e => "btrfs",
            0x2fc1_2fc1 => "ZFS",
            0x5dca_2df5 => "sdcardfs",
            0x7371_7368 => "squashfs",
            0xca45_1a4e => "bcachefs",
            _ => "a file system of another kind",
        });
        kind.frail = matches!(kind.name, "FAT" | "exFAT" | "NTFS" | "sdcardfs");
        kind.far = matches!(
            magic,
            0x6573_5546 | 0x6969 | 0xff53_4d42 | 0xfe53_4d42 | 0x517b | 0x0102_1997
        );
        kind.memory = matches!(kind.name, "tmpfs" | "ramfs");
        kind.overlay = magic == 0x794c_7630;
        kind
    }
}

/// Where an overlay keeps what is written, if that goes some day.
pub(super) fn lost_with(root: &Path, path: &Path) -> Option<&'static str> {
    let path = path.canonicalize();
    let upper = mounts::of(root, &path.ok()?)?.upper()?;
    // A folder of the host's cannot be seen from inside of a container.
    if !root
        .join(upper.strip_prefix("/").unwrap_or(&upper))
        .exists()
    {
        return Some("the container's own layer: a new container loses");
    }
    let below = mounts::of(root, &upper)?;
    matches!(below.kind.as_str(), "tmpfs" | "ramfs")
        .then_some("an overlay in memory: a restart of the device loses")
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::tests::device;
    use super::*;

    #[test]
    fn what_an_overlay_writes_to_decides_whether_a_key_is_safe_in_it() {
        let table = |upper: &str| {
            format!(
                "1 0 0:1 / / rw - overlay o rw,lowerdir=/rom,upperdir={upper}\n\
                 2 1 0:2 / /overlay rw - jffs2 /dev/mtdblock6 rw\n3 1 0:3 / /tmp rw - tmpfs tmpfs rw\n"
            )
        };
        for (upper, lost) in [
            ("/overlay/upper", false),
            ("/tmp/root/upper", true),
            ("/var/lib/docker/overlay2/x/diff", true),
        ] {
            let table = table(upper);
            let root = device(&[
                ("proc/self/mountinfo", table.as_str()),
                ("overlay/upper/x", ""),
                ("tmp/root/upper/x", ""),
            ]);
            assert_eq!(
                lost_with(root.path(), Path::new("/etc")).is_some(),
                lost,
                "{upper}"
            );
        }
    }

    #[test]
    fn a_kind_that_harms_is_known_by_its_number() {
        assert!(Kind::numbered(0x4d44).frail && Kind::numbered(0x2011_bab0).frail);
        assert!(Kind::numbered(0x6969).far && Kind::numbered(0x6573_5546).far);
        assert!(Kind::numbered(0x0102_1994).memory && Kind::numbered(0x794c_7630).overlay);
        assert_eq!(Kind::numbered(0xef53), Kind::named("ext4"));
        assert!(!Kind::of(Path::new("/proc")).frail);
    }
}
