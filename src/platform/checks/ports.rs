//! Whether the ports are free, and who has them.

use super::{text, word, Finding, Report};
use crate::platform::listen::{listen_all, listen_both, ListenError};
use crate::platform::udp::interfaces;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Processes and descriptors that are looked at for the one that has a port: a large
/// server has some thousand of each.
const LOOKED_AT: usize = 200_000;

/// A port that a node would take.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The setting.
    pub key: &'static str,
    /// Addresses that it listens on.
    pub addresses: Vec<IpAddr>,
    /// The number; 0 is any free one.
    pub port: u16,
    /// Whether it takes datagrams, too.
    pub both: bool,
}

/// The node that runs with these settings.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// Its process.
    pub pid: u32,
    /// Where it says that it listens.
    pub places: Vec<SocketAddr>,
}

/// Whether a node could take them. Each is taken for a moment, unless it is taken
/// already; nobody is sent anything.
#[must_use]
pub fn ports(root: &Path, wanted: &[Wanted], own: Option<&Own>) -> Vec<Finding> {
    let mut report = Report::new("ports");
    let (mut free, mut held) = (Vec::new(), Vec::new());
    for want in wanted.iter().filter(|want| want.port != 0) {
        let has = |own: &&Own| own.places.iter().any(|place| place.port() == want.port);
        if own.filter(has).is_some() {
            held.push(want.port.to_string());
            continue;
        }
        let taken = if want.both {
            listen_both(&want.addresses, want.port).map(drop)
        } else {
            listen_all(&want.addresses, want.port).map(drop)
        };
        match taken {
            Ok(()) => free.push(want.port.to_string()),
            Err(error) => refused(&mut report, root, want, &error),
        }
    }
    absent(&mut report, wanted);
    if !free.is_empty() {
        report.fact(&format_args!("{} free", free.join(", ")));
    }
    if let Some(own) = own.filter(|_| !held.is_empty()) {
        report.fact(&format_args!(
            "{} held by the node itself (process {})",
            held.join(", "),
            own.pid
        ));
    }
    if free.is_empty() && held.is_empty() {
        report.fact(&"none is set to a number");
    }
    report.done()
}

/// Addresses that the machine does not have: a port can be taken there, and nobody
/// comes to it.
fn absent(report: &mut Report, wanted: &[Wanted]) {
    let here = interfaces();
    let mut told: Vec<IpAddr> = Vec::new();
    for address in wanted.iter().flat_map(|want| &want.addresses) {
        let local = address.is_unspecified() || address.is_loopback();
        if !local && !here.is_empty() && !here.contains(address) && !told.contains(address) {
            told.push(*address);
            report.warn(
                &format!("the machine does not have the address {address}"),
                "name one that it has; if it is to get this one, the node serves there from then on",
            );
        }
    }
}

/// Says why, in the words of a start that fails.
fn refused(report: &mut Report, root: &Path, want: &Wanted, error: &ListenError) {
    let text = error.to_string();
    let (found, remedy) = text.split_once("; ").unwrap_or((&text, ""));
    let mut found = format!("{}: {found}", want.key);
    if error.source.kind() == ErrorKind::AddrInUse {
        match holder(root, want) {
            Some((pid, name)) => found.push_str(&format!(" by {name} (process {pid})")),
            None => found.push_str(" by a program that this user may not look at"),
        }
    }
    let remedy = match remedy {
        "" => "choose another port or address",
        remedy => remedy,
    };
    report.fail(&found, remedy);
}

/// Process and name of whoever has the port, as far as `/proc` tells.
fn holder(root: &Path, want: &Wanted) -> Option<(u32, String)> {
    let mut inodes = Vec::new();
    for table in ["tcp", "tcp6"] {
        inodes.extend(sockets(
            &text(root, &format!("proc/net/{table}")),
            want.port,
            true,
        ));
    }
    if want.both {
        for table in ["udp", "udp6"] {
            inodes.extend(sockets(
                &text(root, &format!("proc/net/{table}")),
                want.port,
                false,
            ));
        }
    }
    let names: Vec<String> = inodes
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let mut looks = 0;
    for process in fs::read_dir(root.join("proc")).ok()?.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // Those of other users cannot be looked into.
        let Ok(files) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        for file in files.flatten() {
            looks += 1;
            if looks > LOOKED_AT {
                return None;
            }
            let link = fs::read_link(file.path()).unwrap_or_default();
            if names.iter().any(|name| *name == link.to_string_lossy()) {
                let name = word(&process.path(), "comm").unwrap_or_else(|| "?".to_owned());
                return Some((pid, name));
            }
        }
    }
    None
}

/// Inodes of a table's sockets with this local port; of connections those that listen.
fn sockets(table: &str, port: u16, connections: bool) -> Vec<u64> {
    /// `TCP_LISTEN` of the kernel.
    const LISTENS: &str = "0A";
    let ours = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (_, local) = words.nth(1)?.rsplit_once(':')?;
        let state = words.nth(1)?;
        let here = u16::from_str_radix(local, 16).ok()? == port;
        let inode = words.nth(5)?.parse().ok()?;
        (here && (!connections || state == LISTENS)).then_some(inode)
    };
    table.lines().filter_map(ours).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::only;
    use super::super::State;
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 0200007F:1F91 01 00000000:00000000 00:00000000 00000000     0        0 777 1 0000000000000000 20 4 30 10 -1
   2: garbage
   3: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 99
";

    #[test]
    fn the_socket_that_listens_is_told_from_its_connections() {
        assert_eq!(sockets(TABLE, 8080, true), [12345]);
        assert_eq!(sockets(TABLE, 8080, false), [12345, 777]);
        assert_eq!(sockets(TABLE, 22, true), [99]);
        assert_eq!(sockets("", 22, true), Vec::<u64>::new());
    }

    fn want(port: u16) -> Wanted {
        Wanted {
            key: "network.rpc_port",
            addresses: vec![Ipv4Addr::LOCALHOST.into()],
            port,
            both: false,
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_port_that_is_taken_names_the_program_unless_it_is_the_node_s_own() {
        let root = Path::new("/");
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = taken.local_addr().unwrap();
        let told = only(ports(root, &[want(place.port())], None));
        assert_eq!(told.state, State::Failure);
        let me = format!("(process {})", std::process::id());
        assert!(
            told.found.contains(&me) && told.found.contains("in use"),
            "{told:?}"
        );
        assert!(told.remedy.contains("another port"), "{told:?}");
        let own = Own {
            pid: 1,
            places: vec![place],
        };
        let told = only(ports(root, &[want(place.port())], Some(&own)));
        assert!(
            told.state == State::Ok && told.found.contains("held by the node"),
            "{told:?}"
        );
        drop(taken);
        assert_eq!(only(ports(root, &[want(0)], None)).state, State::Ok);
        let mut foreign = want(place.port());
        foreign.addresses = vec!["192.0.2.1".parse().unwrap()];
        let told = only(ports(root, &[foreign], None));
        assert!(
            told.state == State::Warning && told.remedy.contains("one that it has"),
            "{told:?}"
        );
    }
}
