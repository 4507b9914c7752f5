//! What is mounted where: `/proc/self/mountinfo`.

use super::text;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    point: PathBuf,
    /// The file system's kind, such as `ext4` or `fuse.sshfs`.
    pub(super) kind: String,
    /// Its own options.
    options: String,
}

impl Mount {
    /// Where an overlay keeps what is written to it.
    pub(super) fn upper(&self) -> Option<PathBuf> {
        let upper = |option: &str| option.strip_prefix("upperdir=").map(plain);
        self.options.split(',').find_map(upper).map(PathBuf::from)
    }
}

/// The mount that a path, which must be canonical, lies on.
pub(super) fn of(root: &Path, path: &Path) -> Option<Mount> {
    let table = text(root, "proc/self/mountinfo");
    let mounts = table.lines().filter_map(read);
    let under = mounts.filter(|mount| path.starts_with(&mount.point));
    // Of two at the same place the later one is on top.
    under.max_by_key(|mount| mount.point.components().count())
}

/// `ID PARENT DEVICE ROOT POINT OPTIONS FIELDS… - KIND SOURCE OPTIONS`
fn read(line: &str) -> Option<Mount> {
    let (first, second) = line.split_once(" - ")?;
    let mut second = second.split(' ');
    Some(Mount {
        point: plain(first.split(' ').nth(4)?).into(),
        kind: second.next()?.to_owned(),
        options: second.nth(1).unwrap_or_default().to_owned(),
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
    use super::super::tests::device;
    use super::*;

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
