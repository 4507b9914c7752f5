//! Where packets for the rest of the world go: the default routes.
//!
//! From `/proc/net/route` and `/proc/net/ipv6_route`, below a folder that the caller
//! names. Android's apps may not read them (and have no router to ask), other
//! systems do not have them: then there is none.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// Bytes of a table that are looked at: a router with the whole Internet's routes
/// has them in tens of megabytes, and its default route is the first line.
const TABLE_MAX: u64 = 256 << 10;
/// The route is up and has a gateway (linux/route.h, linux/ipv6_route.h).
const UP_GATEWAY: u32 = 0x3;
/// Interfaces of mobile data, by how their names begin.
const MOBILE: [&str; 7] = ["rmnet", "ccmni", "wwan", "pdp", "ppp", "v4-rmnet", "qmi"];

/// A default route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route<A> {
    /// The interface.
    pub interface: String,
    /// Who passes packets on.
    pub gateway: A,
}

impl<A> Route<A> {
    /// Whether it is mobile data, where no router of one's own stands.
    #[must_use]
    pub fn is_mobile(&self) -> bool {
        MOBILE.iter().any(|name| self.interface.starts_with(name))
    }
}

fn table(root: &Path, name: &str) -> Option<String> {
    use std::io::Read;
    let file = fs::File::open(root.join(name)).ok()?;
    let mut bytes = Vec::new();
    file.take(TABLE_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The default route of IPv4 with the lowest metric.
#[must_use]
pub fn default_v4(root: &Path) -> Option<Route<Ipv4Addr>> {
    let text = table(root, "proc/net/route")?;
    let mut best: Option<(u32, Route<Ipv4Addr>)> = None;
    for line in text.lines().skip(1) {
        let mut words = line.split_ascii_whitespace();
        let (Some(interface), Some(to), Some(gateway), Some(flags)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let hex = |word: &str| u32::from_str_radix(word, 16).ok();
        let (Some(0), Some(gateway), Some(flags)) = (hex(to), hex(gateway), hex(flags)) else {
            continue;
        };
        let metric = words.nth(2).and_then(|word| word.parse().ok());
        let (Some(metric), Some(0)) = (metric, words.next().and_then(hex)) else {
            continue;
        };
        if flags & UP_GATEWAY == UP_GATEWAY && best.as_ref().is_none_or(|(old, _)| metric < *old) {
            // The kernel prints the number as it lies in memory.
            let gateway = Ipv4Addr::from(gateway.to_ne_bytes());
            let interface = interface.to_owned();
            best = Some((metric, Route { interface, gateway }));
        }
    }
    best.map(|(_, route)| route)
}

/// The default route of IPv6 with the lowest metric.
#[must_use]
pub fn default_v6(root: &Path) -> Option<Route<Ipv6Addr>> {
    let text = table(root, "proc/net/ipv6_route")?;
    let mut best: Option<(u32, Route<Ipv6Addr>)> = None;
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [to, length, _, _, gateway, metric, _, _, flags, interface] = words.as_slice() else {
            continue;
        };
        if !to.bytes().all(|b| b == b'0') || *length != "00" {
            continue;
        }
        let hex = |word: &str| u32::from_str_radix(word, 16).ok();
        let gateway = u128::from_str_radix(gateway, 16).ok();
        let (Some(gateway), Some(metric), Some(flags)) = (gateway, hex(metric), hex(flags)) else {
            continue;
        };
        if flags & UP_GATEWAY == UP_GATEWAY && best.as_ref().is_none_or(|(old, _)| metric < *old) {
            let route = Route {
                interface: (*interface).to_owned(),
                gateway: Ipv6Addr::from(gateway),
            };
            best = Some((metric, route));
        }
    }
    best.map(|(_, route)| route)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn below(v4: &str, v6: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let net = root.path().join("proc/net");
        fs::create_dir_all(&net).unwrap();
        fs::write(net.join("route"), v4).unwrap();
        fs::write(net.join("ipv6_route"), v6).unwrap();
        root
    }

    const HEAD: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    #[test]
    fn the_default_route_with_the_lowest_metric_is_found() {
        let gateway = u32::from_ne_bytes([192, 168, 1, 1]);
        let other = u32::from_ne_bytes([10, 0, 0, 1]);
        let v4 = format!(
            "{HEAD}wlan0\t00000000\t{other:08X}\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
             eth0\t00000000\t{gateway:08X}\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
             eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
        );
        let v6 = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003    eth0\n\
                  00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200      lo\n";
        let root = below(&v4, v6);
        let route = default_v4(root.path()).unwrap();
        assert_eq!(route.gateway, Ipv4Addr::new(192, 168, 1, 1));
        assert_eq!(
            (route.interface.as_str(), route.is_mobile()),
            ("eth0", false)
        );
        let route = default_v6(root.path()).unwrap();
        assert_eq!(route.gateway, "fe80::1".parse::<Ipv6Addr>().unwrap());
    }

    #[test]
    fn no_table_garbage_and_a_route_without_a_gateway_are_none() {
        let none = tempfile::tempdir().unwrap();
        assert_eq!(default_v4(none.path()), None);
        let tunnel = format!("{HEAD}tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n");
        for text in [tunnel.as_str(), "", "a b c\nd\n", HEAD] {
            let root = below(text, text);
            assert_eq!(default_v4(root.path()), None);
            assert_eq!(default_v6(root.path()), None);
        }
        let root = below(
            &format!("{HEAD}rmnet_data1\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"),
            "",
        );
        assert!(default_v4(root.path()).unwrap().is_mobile());
    }
}
