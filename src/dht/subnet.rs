//! How many ids of one network may be together in a place that matters.
//!
//! Ids are bound to keys, and keys are free: what an attacker has to pay for is
//! addresses. So buckets, shortlists and replica sets take at most two ids of one
//! /24, which is what a hoster hands out by default (IPv6: of one /48, a site, and
//! four of one /32, a provider; addresses below a /48 cost nothing). The limit a
//! bucket is the one of S/Kademlia's successors (libp2p: 2 to 3 a /16 or ASN; we
//! know no ASNs).

use std::net::IpAddr;

/// Ids of one /24 or /48 in a bucket, a shortlist or a replica set.
pub const NARROW_MAX: u8 = 2;
/// Ids of one IPv6 /32 there.
pub const WIDE_MAX: u8 = 4;

/// A network whose ids count together.
pub type Subnet = u64;

/// The /24 or /48 of an address. Numbers of IPv4 and IPv6 do not meet.
#[must_use]
pub fn narrow(ip: IpAddr) -> Subnet {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u64::from(ip.to_bits() >> 8),
        IpAddr::V6(ip) => (1 << 60) | (ip.to_bits() >> 80) as u64,
    }
}

/// The /32 of an IPv6 address.
fn wide(ip: IpAddr) -> Option<Subnet> {
    match ip.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => Some((ip.to_bits() >> 96) as u64),
    }
}

/// Loopback, private, link-local and shared (RFC 6598) addresses: they mean
/// nothing outside the network in which they were heard.
#[must_use]
pub fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || (a == 100 && b & 0xC0 == 64)
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Whether an address at `ip` may mean anything to a node at `party`: private ones
/// do only inside a private network, loopback only on the same machine. Whoever is
/// told others could be sent to attack somebody's house.
#[must_use]
pub fn concerns(ip: IpAddr, party: IpAddr) -> bool {
    !is_private(ip)
        || (is_private(party)
            && (!ip.to_canonical().is_loopback() || party.to_canonical().is_loopback()))
}

/// What counts as one independent witness: a subnet, or under the exemption a
/// private address.
#[must_use]
pub fn witness(ip: IpAddr, exempt: bool) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(v4) if exempt && is_private(ip) => 1 << 61 | u64::from(v4.to_bits()),
        IpAddr::V6(v6) if exempt && is_private(ip) => 1 << 62 | (v6.to_bits() as u64 >> 2),
        _ => narrow(ip),
    }
}

/// Counts the networks of a set of addresses.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    exempt: bool,
    narrow: Vec<(Subnet, u8)>,
    wide: Vec<(Subnet, u8)>,
}

impl Tally {
    /// For an empty set; `exempt`: private addresses do not count.
    #[must_use]
    pub fn new(exempt: bool) -> Tally {
        Tally {
            exempt,
            ..Tally::default()
        }
    }

    /// Whether one more id at `ip` fits; if so it is counted.
    pub fn admit(&mut self, ip: IpAddr) -> bool {
        if self.exempt && is_private(ip) {
            return true;
        }
        let (near, far) = (narrow(ip), wide(ip));
        let fits = count(&self.narrow, near) < NARROW_MAX
            && far.is_none_or(|far| count(&self.wide, far) < WIDE_MAX);
        if fits {
            add(&mut self.narrow, near);
            if let Some(far) = far {
                add(&mut self.wide, far);
            }
        }
        fits
    }
}

fn count(list: &[(Subnet, u8)], subnet: Subnet) -> u8 {
    let found = list.iter().find(|(other, _)| *other == subnet);
    found.map_or(0, |(_, n)| *n)
}

fn add(list: &mut Vec<(Subnet, u8)>, subnet: Subnet) {
    match list.iter_mut().find(|(other, _)| *other == subnet) {
        Some((_, n)) => *n += 1,
        None => list.push((subnet, 1)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn admitted(exempt: bool, ips: &[&str]) -> Vec<bool> {
        let mut tally = Tally::new(exempt);
        let admit = |ip: &&str| tally.admit(ip.parse().unwrap());
        ips.iter().map(admit).collect()
    }

    #[test]
    fn a_rented_network_does_not_fill_a_set() {
        let many = [
            "198.51.100.1",
            "198.51.100.2",
            "198.51.100.3",
            "198.51.101.1",
        ];
        assert_eq!(admitted(false, &many), [true, true, false, true]);
        // Written as IPv6 it is the same network.
        let mapped = ["198.51.100.1", "::ffff:198.51.100.2", "::ffff:198.51.100.3"];
        assert_eq!(admitted(false, &mapped), [true, true, false]);
    }

    #[test]
    fn a_provider_of_ipv6_with_many_sites_does_not_fill_a_set() {
        let site = ["2001:db8:1::1", "2001:db8:1:ffff::1", "2001:db8:1:2::3"];
        assert_eq!(admitted(false, &site), [true, true, false]);
        let sites: Vec<String> = (0..6).map(|n| format!("2001:db8:{n}::1")).collect();
        let sites: Vec<&str> = sites.iter().map(String::as_str).collect();
        let expected = [true, true, true, true, false, false];
        assert_eq!(admitted(false, &sites), expected);
    }

    #[test]
    fn nodes_of_one_house_may_all_be_there_and_strangers_may_not() {
        let home = [
            "192.168.1.1",
            "192.168.1.2",
            "192.168.1.3",
            "127.0.0.1",
            "fd00::1",
        ];
        assert_eq!(admitted(true, &home), [true; 5]);
        let public = ["203.0.113.1", "203.0.113.2", "203.0.113.3"];
        assert_eq!(admitted(true, &public), [true, true, false]);
        // For a node with a public address private ones are as scarce as others.
        let home = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
        assert_eq!(admitted(false, &home), [true, true, false]);
    }

    #[test]
    fn strangers_are_not_sent_into_somebodys_house() {
        let concerns = |a: &str, b: &str| concerns(a.parse().unwrap(), b.parse().unwrap());
        assert!(concerns("8.8.8.8", "9.9.9.9") && concerns("8.8.8.8", "10.0.0.1"));
        assert!(!concerns("192.168.1.1", "8.8.8.8"));
        assert!(concerns("192.168.1.1", "10.0.0.1"));
        assert!(concerns("127.0.0.2", "127.0.0.1") && concerns("10.0.0.1", "127.0.0.1"));
        assert!(!concerns("127.0.0.1", "10.0.0.1") && !concerns("::1", "8.8.8.8"));
    }

    #[test]
    fn neighbours_at_home_are_witnesses_of_their_own_and_in_a_data_centre_they_are_not() {
        let witness = |ip: &str, exempt| witness(ip.parse().unwrap(), exempt);
        assert_ne!(witness("127.0.0.1", true), witness("127.0.0.2", true));
        assert_eq!(witness("127.0.0.1", false), witness("127.0.0.2", false));
        assert_eq!(witness("8.8.8.1", true), witness("8.8.8.2", true));
        assert_ne!(witness("8.8.8.1", true), witness("8.8.9.1", true));
        assert_ne!(witness("fd00::4", true), witness("fd00::8", true));
    }

    #[test]
    fn private_ranges_are_known_by_heart() {
        for ip in [
            "127.9.9.9",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.1",
            "192.168.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "100.127.0.1",
            "::1",
            "fe80::1",
            "fd12::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "172.32.0.1",
            "100.128.0.1",
            "8.8.8.8",
            "2001:db8::1",
            "192.169.0.1",
        ] {
            assert!(!is_private(ip.parse().unwrap()), "{ip}");
        }
    }
}
