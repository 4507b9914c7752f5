//! What the address that a gateway calls its own outside is worth.

use std::net::IpAddr;

/// See the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Others can reach it.
    Public,
    /// A private one (RFC 1918, RFC 4193): the gateway stands behind another one.
    Private,
    /// One that the provider shares among customers (RFC 6598): CGNAT.
    Shared,
    /// None that anybody could have.
    Nonsense,
}

impl Outside {
    /// Judges an address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Outside {
        let ip = match ip {
            IpAddr::V4(ip) => ip,
            // What is handed out (RFC 4291, section 2.4), and what anybody may take.
            IpAddr::V6(ip) => match ip.octets() {
                [0x20..=0x3F, ..] => return Outside::Public,
                [0xFC..=0xFD, ..] => return Outside::Private,
                _ => return Outside::Nonsense,
            },
        };
        let [a, b, ..] = ip.octets();
        if ip.is_private() {
            Outside::Private
        } else if a == 100 && b & 0xC0 == 64 {
            Outside::Shared
        } else if a == 0 || ip.is_loopback() || ip.is_link_local() || a >= 224 {
            Outside::Nonsense
        } else {
            Outside::Public
        }
    }
}

/// Whether a node at this address may stand behind a gateway of its own house, that
/// may be asked. By IPv4 it has a NAT: not a public address, not one behind the
/// provider's NAT. By IPv6 it may have a firewall before any public address.
#[must_use]
pub fn is_at_home(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(_) => Outside::of(ip) == Outside::Public,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_kind_of_nat_has_its_name() {
        for (text, kind) in [
            ([203, 0, 113, 9], Outside::Public),
            ([100, 63, 255, 255], Outside::Public),
            ([100, 64, 0, 1], Outside::Shared),
            ([100, 127, 255, 255], Outside::Shared),
            ([10, 1, 2, 3], Outside::Private),
            ([172, 16, 0, 1], Outside::Private),
            ([192, 168, 0, 1], Outside::Private),
            ([127, 0, 0, 1], Outside::Nonsense),
            ([0, 0, 0, 0], Outside::Nonsense),
            ([255, 255, 255, 255], Outside::Nonsense),
        ] {
            assert_eq!(Outside::of(text.into()), kind, "{text:?}");
        }
        for (text, kind) in [
            ("2001:db8::1", Outside::Public),
            ("fd00::1", Outside::Private),
            ("fe80::1", Outside::Nonsense),
            ("::", Outside::Nonsense),
            ("::1", Outside::Nonsense),
            ("ff02::1", Outside::Nonsense),
        ] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(Outside::of(ip), kind, "{text}");
        }
        for (text, home) in [
            ("192.168.1.7", true),
            ("100.64.0.1", false),
            ("203.0.113.9", false),
            ("2001:db8::7", true),
            ("fe80::7", false),
            ("fd00::7", false),
        ] {
            assert_eq!(is_at_home(text.parse().unwrap()), home, "{text}");
        }
    }
}
