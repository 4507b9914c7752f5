//! The files that say how names are found: `resolv.conf`, `hosts` and
//! `nsswitch.conf`. Each is read anew for each name: phones change networks.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::Path;

/// The port of name servers.
const PORT: u16 = 53;
/// Servers of one file that are asked: as many as C libraries take.
const SERVERS_MAX: usize = 3;
/// What is read of one of these files. Lists of blocked names are a few megabytes
/// of hosts; those belong into a name server.
const FILE_MAX: u64 = 256 << 10;

/// A name server as people write it: `IP`, `IP:PORT`, `[IPv6]` or `[IPv6]:PORT`.
#[must_use]
pub fn server(text: &str) -> Option<SocketAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, PORT));
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let place = match bare {
        Some(ip) => SocketAddr::new(ip.parse().ok()?, PORT),
        None => text.parse().ok()?,
    };
    Some(place).filter(|place| place.port() != 0)
}

/// The words of each line, remarks left out.
fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        line.split_whitespace().collect()
    })
}

fn read(file: &Path) -> String {
    let mut bytes = Vec::new();
    // What cannot be read says nothing; the next source is asked.
    let _ = File::open(file).and_then(|f| f.take(FILE_MAX).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The servers that a `resolv.conf` names, in order.
pub fn servers(file: &Path) -> Vec<SocketAddr> {
    lines(&read(file))
        .filter_map(|words| match words.as_slice() {
            ["nameserver", place, ..] => listed(place),
            _ => None,
        })
        .take(SERVERS_MAX)
        .collect()
}

/// An address of `resolv.conf`, which may name the interface of a link-local one by
/// its number.
fn listed(place: &str) -> Option<SocketAddr> {
    match place.split_once('%') {
        None => place.parse().ok().map(|ip| SocketAddr::new(ip, PORT)),
        Some((ip, scope)) => {
            let (ip, scope) = (ip.parse().ok()?, scope.parse().ok()?);
            Some(SocketAddrV6::new(ip, PORT, 0, scope).into())
        }
    }
}

/// The addresses that a `hosts` file has for `name`.
pub fn listed_hosts(file: &Path, name: &str) -> Vec<IpAddr> {
    lines(&read(file))
        .filter_map(|words| {
            let (address, names) = words.split_first()?;
            let is_there = names.iter().any(|n| n.eq_ignore_ascii_case(name));
            is_there.then(|| address.parse().ok()).flatten()
        })
        .take(super::message::ADDRESSES_MAX)
        .collect()
}

/// Whether `nsswitch.conf` has a source of hosts that needs no `resolv.conf`, such as
/// `resolve` or `mdns4_minimal`. (What stands in brackets are conditions.)
pub fn has_other_sources(file: &Path) -> bool {
    lines(&read(file)).any(|words| match words.split_first() {
        Some((&"hosts:", sources)) => sources
            .iter()
            .any(|s| !s.starts_with('[') && !["files", "dns", "myhostname"].contains(s)),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn written(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_server_is_read_in_every_form_and_nothing_else_is_one() {
        for (text, place) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]", "[2001:db8::1]:53"),
            ("[2001:db8::1]:54", "[2001:db8::1]:54"),
        ] {
            assert_eq!(server(text), Some(place.parse().unwrap()), "{text}");
        }
        for text in [
            "",
            "dns.example",
            "192.0.2.1:0",
            "192.0.2.1:x",
            "[192.0.2",
            "1.1",
        ] {
            assert_eq!(server(text), None, "{text}");
        }
    }

    #[test]
    fn remarks_and_nonsense_in_resolv_conf_are_no_servers() {
        let file = written(
            "# nameserver 192.0.2.9\n;nameserver 192.0.2.8\nsearch lan\nnameserver 192.0.2.1 # first\n\
             nameserver\nnameserver dns.example\nnameserver fe80::1%3\noptions edns0\r\n",
        );
        let wanted: Vec<SocketAddr> = vec![
            "192.0.2.1:53".parse().unwrap(),
            SocketAddrV6::new("fe80::1".parse().unwrap(), 53, 0, 3).into(),
        ];
        assert_eq!(servers(file.path()), wanted);
        let many = written(&"nameserver 192.0.2.1\n".repeat(9));
        assert_eq!(servers(many.path()).len(), SERVERS_MAX);
        assert_eq!(servers(Path::new("/missing")), []);
        assert_eq!(servers(Path::new("/")), []);
    }

    #[test]
    fn a_host_of_the_hosts_file_is_found_by_each_of_its_names() {
        let file =
            written("127.0.0.1 localhost\n192.0.2.7 attic.lan Attic # not cellar\n::7 attic\n");
        let attic = listed_hosts(file.path(), "ATTIC");
        assert_eq!(
            attic,
            [
                "192.0.2.7".parse::<IpAddr>().unwrap(),
                "::7".parse().unwrap()
            ]
        );
        assert_eq!(listed_hosts(file.path(), "cellar"), Vec::<IpAddr>::new());
    }

    #[test]
    fn files_and_dns_alone_find_nothing_without_a_server() {
        for (text, other) in [
            ("hosts: files dns\n", false),
            ("hosts:\tfiles myhostname dns\n", false),
            ("passwd: files systemd\n", false),
            ("hosts: files resolve [!UNAVAIL=return] dns\n", true),
            ("hosts: files mdns4_minimal [NOTFOUND=return] dns\n", true),
        ] {
            assert_eq!(has_other_sources(written(text).path()), other, "{text}");
        }
    }
}
