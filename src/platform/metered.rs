//! Whether packets leave by mobile data, where bytes cost money.
//!
//! The interface of the default route decides: the kernel calls modems `wwan`, older
//! drivers are known by the names of their interfaces. A line by PPP is a modem's where
//! there is one and no PPPoE. Apps on Android see no routes; there it is mobile
//! data when nothing else has an address (what calls alone go over has one, too).
//! A modem that shows itself as an Ethernet card, and a telephone that lends its mobile
//! data by Wi-Fi, are not recognised.

use super::routes;
use std::fs;
use std::path::Path;

/// What the kernel says of a modem's interface.
const MODEM: &str = "DEVTYPE=wwan";
/// Names of interfaces of mobile data, by how they begin.
const MOBILE: [&str; 5] = ["rmnet", "ccmni", "wwan", "pdp", "qmi"];
/// Files by which a modem is used, by how they begin.
const LINES: [(&str, &str); 4] = [
    ("sys/class/wwan", "wwan"),
    ("sys/class/usbmisc", "cdc-wdm"),
    ("sys/class/tty", "ttyUSB"),
    ("sys/class/tty", "ttyACM"),
];

/// Whether they do. `running` are the interfaces that have an address by which others
/// can be reached; it is asked where there is no default route.
#[must_use]
pub fn is_mobile(root: &Path, running: impl FnOnce() -> Vec<String>) -> bool {
    let mut ways = routes::first_interfaces(root);
    if ways.is_empty() {
        ways = running();
    }
    !ways.is_empty() && ways.iter().all(|name| is_modem(root, name))
}

fn is_modem(root: &Path, name: &str) -> bool {
    // `v4-rmnet0`: IPv4 over a network of IPv6 alone.
    let bare = name.strip_prefix("v4-").unwrap_or(name);
    if MOBILE.iter().any(|start| bare.starts_with(start)) {
        return true;
    }
    if name.starts_with("ppp") {
        // One line is the heading.
        let sessions = fs::read_to_string(root.join("proc/net/pppoe")).unwrap_or_default();
        return sessions.lines().count() < 2 && has_modem(root);
    }
    let said = fs::read_to_string(root.join("sys/class/net").join(name).join("uevent"));
    said.is_ok_and(|said| said.lines().any(|line| line == MODEM))
}

fn has_modem(root: &Path) -> bool {
    LINES.iter().any(|(folder, start)| {
        let found = fs::read_dir(root.join(folder));
        let mut found = found.into_iter().flatten().flatten();
        found.any(|file| file.file_name().to_string_lossy().starts_with(start))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    const HEAD: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    /// A machine whose IPv4 goes over this interface.
    fn over(name: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let line = format!("{name}\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n");
        put(root.path(), "proc/net/route", &format!("{HEAD}{line}"));
        root
    }

    fn put(root: &Path, file: &str, text: &str) {
        let file = root.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn mobile(root: &Path) -> bool {
        is_mobile(root, || panic!("there is a default route"))
    }

    #[test]
    fn a_stick_that_is_called_like_a_network_card_is_known_by_what_the_kernel_says() {
        let root = over("enx0c5b8f279a64");
        assert!(!mobile(root.path()));
        let uevent = "sys/class/net/enx0c5b8f279a64/uevent";
        put(
            root.path(),
            uevent,
            "INTERFACE=enx0c5b8f279a64\nIFINDEX=5\n",
        );
        assert!(!mobile(root.path()));
        put(
            root.path(),
            uevent,
            "DEVTYPE=wwan\nINTERFACE=enx0c5b8f279a64\n",
        );
        assert!(mobile(root.path()));
    }

    #[test]
    fn names_of_phones_are_mobile_data_and_those_of_houses_are_not() {
        for name in ["rmnet_data1", "ccmni0", "wwan0", "v4-rmnet_data0"] {
            assert!(mobile(over(name).path()), "{name}");
        }
        for name in ["wlan0", "eth0", "tun0", "br-lan", "v4-wlan0"] {
            assert!(!mobile(over(name).path()), "{name}");
        }
    }

    #[test]
    fn a_line_by_ppp_is_a_modem_s_only_where_there_is_one_and_no_dsl() {
        let root = over("ppp0");
        assert!(!mobile(root.path()), "without a modem");
        put(root.path(), "sys/class/tty/ttyS0", "");
        assert!(!mobile(root.path()));
        put(root.path(), "sys/class/tty/ttyUSB2", "");
        assert!(mobile(root.path()));
        let head = "Id       Address              Device\n";
        put(root.path(), "proc/net/pppoe", head);
        assert!(mobile(root.path()));
        let session = format!("{head}00000001 00:00:5e:00:53:01          eth1\n");
        put(root.path(), "proc/net/pppoe", &session);
        assert!(!mobile(root.path()), "DSL, and a console by USB");
    }

    #[test]
    fn where_routes_are_hidden_wifi_beside_what_carries_calls_is_no_mobile_data() {
        let root = tempfile::tempdir().unwrap();
        let is = |names: &[&str]| {
            let names = names.iter().map(|&name| name.to_owned()).collect();
            is_mobile(root.path(), || names)
        };
        assert!(is(&["rmnet_data1", "rmnet_data2"]));
        assert!(!is(&["rmnet_data1", "wlan0"]));
        assert!(!is(&[]));
    }
}
