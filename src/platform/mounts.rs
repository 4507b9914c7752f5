//! What is mounted where: `/proc/self/mountinfo`.

use std::fs;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    point: PathBuf,
    /// Numbers of its device, as `MAJOR:MINOR`.
    pub device: String,
    /// What is mounted, such as `/dev/sda1`.
    pub source: String,
    /// The file system's kind, such as `ext4` or `fuse.sshfs`.
    pub kind: String,
    /// Its own options.
    options: String,
}

impl Mount {
    /// Where an overlay keeps what is written to it.
    #[must_use]
    pub fn upper(&self) -> Option<PathBuf> {
        let upper = |option: &str| option.strip_prefix("upperdir=").map(plain);
        self.options.split(',').find_map(upper).map(PathBuf::from)
    }
}

/// The mount that a path, which must be canonical, lies on.
#[must_use]
pub fn of(root: &Path, path: &Path) -> Option<Mount> {
    let table = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
    let mounts = table.lines().filter_map(read);
    let under = mounts.filter(|mount| path.starts_with(&mount.point));
    // Of two at the same place the later one is on top.
    under.max_by_key(|mount| mount.point.components().count())
}

/// `ID PARENT DEVICE ROOT POINT OPTIONS FIELDS… - KIND SOURCE OPTIONS`
fn read(line: &str) -> Option<Mount> {
    let (first, second) = line.split_once(" - ")?;
    let (mut first, mut second) = (first.split(' '), second.split(' '));
    Some(Mount {
        device: first.nth(2)?.to_owned(),
        point: plain(first.nth(1)?).into(),
        kind: second.next()?.to_owned(),
        source: plain(second.next().unwrap_or_default()),
        options: second.next().unwrap_or_default().to_owned(),
    })
}

/// Spaces and the like are written as three octal digits.
fn plain(text: &str) -> String {
    let mut plain = text.to_owned();
    for (code, c) in [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ] {
        plain = plain.replace(code, c);
    }
    plain
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::platform::testing::device;

    #[test]
    fn the_innermost_mount_is_found_and_an_overlay_s_upper_folder() {
        let table = "21 1 0:20 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/rom,upperdir=/overlay/upper,workdir=/overlay/work\n\
                     22 21 0:21 / /mnt/my\\040disk rw - vfat /dev/sda1 rw,umask=0\n\
                     23 22 0:22 / /mnt/my\\040disk rw - tmpfs none rw\n\
                     nonsense\n";
        let root = device(&[("proc/self/mountinfo", table)]);
        let found = of(root.path(), Path::new("/mnt/my disk/data")).unwrap();
        assert_eq!((found.kind.as_str(), found.upper()), ("tmpfs", None));
        let found = of(root.path(), Path::new("/mnt/other")).unwrap();
        assert_eq!(found.upper(), Some("/overlay/upper".into()));
        assert_eq!(of(device(&[]).path(), Path::new("/")), None);
    }
}
