//! Cards and flash: what the disk says of its age.

use super::super::{word, Report};
use std::path::{Path, PathBuf};

/// Tenths of its life that an eMMC has used when that is told.
const OLD: u8 = 9;

/// Looks at the disk with this number.
pub(super) fn look(root: &Path, device: u64, report: &mut Report) {
    let Some(disk) = disk_of(root, device) else {
        return;
    };
    if word(&disk, "ro").as_deref() == Some("1") {
        report.warn(
            &"the disk has become read-only, as worn cards do",
            "save the key (`chr-node identity export`) and replace the card",
        );
    }
    match word(&disk, "device/type").as_deref() {
        Some("SD") => report.fact(&"an SD card"),
        Some("MMC") => report.fact(&"eMMC"),
        _ => return,
    }
    // `0x01` to `0x0b`, in tenths, for two kinds of cells.
    let life = word(&disk, "device/life_time").unwrap_or_default();
    let used = life.split_ascii_whitespace().filter_map(hexadecimal).max();
    // `0x01` normal, `0x02` four fifths of the reserve are used, `0x03` nine tenths.
    let reserve = word(&disk, "device/pre_eol_info").and_then(|text| hexadecimal(&text));
    if used.is_some_and(|tenths| tenths > OLD) || reserve.is_some_and(|left| left >= 2) {
        let tenths = used.map_or("most".to_owned(), |tenths| {
            format!("{} %", u32::from(tenths.min(10)) * 10)
        });
        report.warn(
            &format_args!("the flash has used {tenths} of its life"),
            "save the key (`chr-node identity export`) and replace the disk, or raise storage.flush_interval",
        );
    }
}

fn hexadecimal(text: &str) -> Option<u8> {
    u8::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

/// The folder of the disk that a device number is a partition of, or the disk itself.
fn disk_of(root: &Path, device: u64) -> Option<PathBuf> {
    let (major, minor) = numbers(device);
    // What is no block device (an overlay, a subvolume) has major number 0.
    if major == 0 {
        return None;
    }
    let place = root.join(format!("sys/dev/block/{major}:{minor}"));
    let place = place.canonicalize().ok()?;
    if place.join("partition").exists() {
        return place.parent().map(Path::to_owned);
    }
    Some(place)
}

/// Major and minor number, as the kernel packs them.
fn numbers(device: u64) -> (u64, u64) {
    let major = (device >> 32 & 0xffff_f000) | (device >> 8 & 0xfff);
    let minor = (device >> 12 & 0xffff_ff00) | (device & 0xff);
    (major, minor)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::tests::{device, only};
    use super::super::super::{Report, State};
    use super::*;

    #[test]
    fn a_worn_disk_is_told_before_it_is_lost() {
        // The second partition of the first card.
        let card = 179 << 8 | 2;
        assert_eq!(numbers(card), (179, 2));
        for (life, reserve, worn) in [
            ("0x01 0x02", "0x01", false),
            ("0x01 0x0a", "0x01", true),
            ("0x01 0x01", "0x03", true),
            ("nonsense", "", false),
        ] {
            let disk = "sys/devices/mmc/block/mmcblk0";
            let root = device(&[
                (&format!("{disk}/p2/partition"), "2"),
                (&format!("{disk}/ro"), "0\n"),
                (&format!("{disk}/device/type"), "MMC\n"),
                (&format!("{disk}/device/life_time"), life),
                (&format!("{disk}/device/pre_eol_info"), reserve),
                ("sys/dev/block/x", ""),
            ]);
            let link = "sys/dev/block/179:2";
            std::os::unix::fs::symlink(root.path().join(disk).join("p2"), root.path().join(link))
                .unwrap();
            let mut report = Report::new("folder");
            look(root.path(), card, &mut report);
            let told = only(report.done());
            assert_eq!(
                told.state == State::Warning,
                worn,
                "{life} {reserve}: {told:?}"
            );
        }
    }
}
