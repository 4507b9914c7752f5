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
/// Default routes of a family that are looked at: a machine has one or two.
const ROUTES_MAX: usize = 16;
/// The route is up (linux/route.h, linux/ipv6_route.h).
const UP: u32 = 0x1;
/// It is up and has a gateway.
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

/// A default route that is up, as the kernel has it.
struct Line<A> {
    metric: u32,
    flags: u32,
    route: Route<A>,
}

fn table(root: &Path, name: &str) -> String {
    use std::io::Read;
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(root.join(name)) {
        // What was read before an error is as good as nothing.
        drop(file.take(TABLE_MAX).read_to_end(&mut bytes));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(word: &str) -> Option<u32> {
    u32::from_str_radix(word, 16).ok()
}

fn line_v4(line: &str) -> Option<Line<Ipv4Addr>> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [interface, to, gateway, flags, _, _, metric, mask, ..] = words.as_slice() else {
        return None;
    };
    let flags = hex(flags)?;
    let route = Route {
        interface: (*interface).to_owned(),
        // The kernel prints the number as it lies in memory.
        gateway: Ipv4Addr::from(hex(gateway)?.to_ne_bytes()),
    };
    let metric = metric.parse().ok()?;
    (hex(to)? == 0 && hex(mask)? == 0 && flags & UP != 0).then_some(Line {
        metric,
        flags,
        route,
    })
}

fn line_v6(line: &str) -> Option<Line<Ipv6Addr>> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [to, length, _, _, gateway, metric, _, _, flags, interface] = words.as_slice() else {
        return None;
    };
    let flags = hex(flags)?;
    let route = Route {
        interface: (*interface).to_owned(),
        gateway: Ipv6Addr::from(u128::from_str_radix(gateway, 16).ok()?),
    };
    let is_default = *length == "00" && to.bytes().all(|b| b == b'0');
    (is_default && flags & UP != 0).then_some(Line {
        metric: hex(metric)?,
        flags,
        route,
    })
}

fn lines_v4(root: &Path) -> Vec<Line<Ipv4Addr>> {
    let text = table(root, "proc/net/route");
    let lines = text.lines().skip(1).filter_map(line_v4);
    lines.take(ROUTES_MAX).collect()
}

fn lines_v6(root: &Path) -> Vec<Line<Ipv6Addr>> {
    let text = table(root, "proc/net/ipv6_route");
    text.lines().filter_map(line_v6).take(ROUTES_MAX).collect()
}

/// The route with the lowest metric; of equal ones the first.
fn best<A>(lines: Vec<Line<A>>) -> Option<Route<A>> {
    let passed_on = lines
        .into_iter()
        .filter(|l| l.flags & UP_GATEWAY == UP_GATEWAY);
    passed_on.min_by_key(|l| l.metric).map(|l| l.route)
}

/// The default route of IPv4 with the lowest metric, that has a gateway.
#[must_use]
pub fn default_v4(root: &Path) -> Option<Route<Ipv4Addr>> {
    best(lines_v4(root))
}

/// The default route of IPv6 with the lowest metric, that has a gateway.
#[must_use]
pub fn default_v6(root: &Path) -> Option<Route<Ipv6Addr>> {
    best(lines_v6(root))
}

/// All default routes of both families, as text, to be compared: interface and
/// gateway. Metrics and lifetimes are not there: they change while nothing does.
#[must_use]
pub fn described(root: &Path) -> Vec<String> {
    let v4 = lines_v4(root).into_iter().map(|l| l.route);
    let v4 = v4.map(|route| format!("{} {}", route.interface, route.gateway));
    let v6 = lines_v6(root).into_iter().map(|l| l.route);
    let v6 = v6.map(|route| format!("{} {}", route.interface, route.gateway));
    v4.chain(v6).collect()
}

/// The interfaces over which packets leave first: those of the default routes with
/// the lowest metric, of IPv4, or of IPv6 where there is none. With or without
/// a gateway: mobile data often has none.
#[must_use]
pub fn first_interfaces(root: &Path) -> Vec<String> {
    fn least<A>(lines: Vec<Line<A>>) -> Vec<String> {
        let least = lines.iter().map(|l| l.metric).min();
        let lines = lines.into_iter().filter(|l| Some(l.metric) == least);
        lines.map(|l| l.route.interface).collect()
    }
    let v4 = least(lines_v4(root));
    if v4.is_empty() {
        least(lines_v6(root))
    } else {
        v4
    }
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
        assert_eq!(first_interfaces(root.path()), ["eth0"]);
        let described = described(root.path());
        assert_eq!(
            described,
            ["wlan0 10.0.0.1", "eth0 192.168.1.1", "eth0 fe80::1"]
        );
    }

    #[test]
    fn mobile_data_without_a_gateway_is_a_way_out_and_a_dead_end_is_none() {
        let v4 = format!(
            "{HEAD}wwan0\t00000000\t00000000\t0001\t0\t0\t700\t00000000\t0\t0\t0\n\
             *\t00000000\t00000000\t0200\t0\t0\t0\t00000000\t0\t0\t0\n"
        );
        let way = |interface: &str, metric: &str, flags: &str| {
            let none = "0".repeat(32);
            format!("{none} 00 {none} 00 {none} {metric} 00000001 00000000 {flags} {interface}\n")
        };
        let v6 = way("rmnet1", "00000400", "00000001")
            + &way("wlan0", "00000400", "00000001")
            + &way("eth9", "00000500", "00000001")
            + &way("lo", "ffffffff", "00200200");
        assert_eq!(first_interfaces(below(&v4, &v6).path()), ["wwan0"]);
        assert_eq!(
            first_interfaces(below(HEAD, &v6).path()),
            ["rmnet1", "wlan0"]
        );
        assert_eq!(default_v4(below(&v4, "").path()), None);
    }

    proptest::proptest! {
        #[test]
        fn no_table_of_routes_is_too_strange(v4 in ".*", v6 in "[0-9a-f \n]*") {
            let root = below(&v4, &v6);
            proptest::prop_assert!(described(root.path()).len() <= 2 * ROUTES_MAX);
        }
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
            let ways = first_interfaces(root.path());
            assert_eq!(ways.is_empty(), text != tunnel, "{text}");
        }
        let root = below(
            &format!("{HEAD}rmnet_data1\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"),
            "",
        );
        assert!(default_v4(root.path()).unwrap().is_mobile());
    }
}
