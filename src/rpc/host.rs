//! Which names in a `Host` header are ours.
//!
//! A web page of a stranger can point its own name at 127.0.0.1 (DNS rebinding)
//! and then speak to this service as if it were its own site. Such a request
//! names the stranger's host, so only names that nobody else can own pass: IP
//! literals, `localhost`, and what the operator lists.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What a `Host` header says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostCheck {
    /// One of ours.
    Ours,
    /// A name that is not ours.
    Foreign,
    /// Not a host at all.
    Malformed,
}

/// Checks the value of a `Host` header against the operator's `names`
/// (`network.rpc_hosts`; case does not matter, the port is ignored).
pub(super) fn check(value: &str, names: &[String]) -> HostCheck {
    let Some(host) = split_port(value) else {
        return HostCheck::Malformed;
    };
    if let Some(inner) = host.strip_prefix('[') {
        return match inner
            .strip_suffix(']')
            .and_then(|ip| ip.parse::<Ipv6Addr>().ok())
        {
            Some(_) => HostCheck::Ours,
            None => HostCheck::Malformed,
        };
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if host.is_empty() || !host.bytes().all(legal) {
        return HostCheck::Malformed;
    }
    if host.parse::<Ipv4Addr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || names.iter().any(|name| name.eq_ignore_ascii_case(host))
    {
        return HostCheck::Ours;
    }
    HostCheck::Foreign
}

/// The host without its port; `None` if the port is not one.
fn split_port(value: &str) -> Option<&str> {
    let after_ip = value.find(']').map_or(0, |at| at + 1);
    let Some(colon) = value.get(after_ip..)?.find(':') else {
        return Some(value);
    };
    let (host, port) = value.split_at_checked(after_ip + colon)?;
    let digits = port.strip_prefix(':')?;
    let is_port = digits.is_empty()
        || (digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok());
    is_port.then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(value: &str) -> HostCheck {
        check(value, &["Node.Example".to_owned()])
    }

    #[test]
    fn a_strangers_name_for_our_address_is_not_ours() {
        for value in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:8545",
            "127.1",
            "0x7f000001",
            "node.example.evil",
            "localhost.",
        ] {
            assert_eq!(verdict(value), HostCheck::Foreign, "{value}");
        }
    }

    #[test]
    fn names_that_nobody_else_can_own_pass() {
        for value in [
            "127.0.0.1",
            "127.0.0.1:8545",
            "localhost",
            "LocalHost:1",
            "[::1]",
            "[::1]:8545",
            "[fe80::1]:80",
            "node.example:443",
            "192.168.1.5:",
        ] {
            assert_eq!(verdict(value), HostCheck::Ours, "{value}");
        }
    }

    #[test]
    fn what_is_no_host_is_told_apart() {
        for value in [
            "",
            ":80",
            "a b",
            "[::1",
            "[nonsense]",
            "[::1]x",
            "::1",
            "localhost:99999",
            "localhost:+80",
            "localhost:80:80",
            "user@localhost",
            "localhost/path",
            "[fe80::1%25eth0]",
        ] {
            assert_eq!(verdict(value), HostCheck::Malformed, "{value}");
        }
    }
}
