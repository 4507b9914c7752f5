//! Where a node is, and who it was.

use crate::identity::Address;
use crate::sorted::Map;
use std::fmt;
use std::fs;
use std::io::Write;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

/// Nodes remembered beside one identity; an administrator's list is far shorter.
const KNOWN_MAX: usize = 4096;
/// Other ports of a node: a record of a node names eight.
pub const OTHERS_MAX: usize = 7;
/// Longest host name of DNS.
const HOST_MAX: usize = 253;

/// `[0xADDR@]HOST:PORT[,PORT…]`; an IPv6 host stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// Who must answer there; without it, whoever answered first.
    pub address: Option<Address>,
    /// Name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Other ports of the same node, tried where a firewall keeps that one shut; at
    /// most [`OTHERS_MAX`].
    pub others: Vec<u16>,
}

impl FromStr for NodeAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<NodeAddress, String> {
        let (address, place) = match text.split_once('@') {
            Some((address, place)) => {
                let parsed = address
                    .parse()
                    .map_err(|e| format!("\"{address}\" is not an address: {e}"))?;
                (Some(parsed), place)
            }
            None => (None, text),
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(|| {
                    format!(
                        "\"{place}\" has no closing bracket: [HOST]:PORT (brackets are for IPv6)"
                    )
                })?;
                if host.parse::<Ipv6Addr>().is_err() {
                    return Err(format!(
                        "\"{place}\": only an IPv6 address in brackets, other hosts without"
                    ));
                }
                (host, port.strip_prefix(':'))
            }
            None => match place.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => {
                    return Err(format!(
                        "\"{place}\": an IPv6 host stands in brackets, [HOST]:PORT"
                    ))
                }
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let ports = port.ok_or_else(|| format!("\"{place}\": the port is missing, HOST:PORT"))?;
        let mut ports = ports.split(',').map(|port| {
            port.parse().ok().filter(|p| *p != 0).ok_or_else(|| {
                format!("\"{place}\": the port is a number from 1 to 65535, HOST:PORT")
            })
        });
        let port: u16 = ports.next().unwrap_or_else(|| Err(String::new()))?;
        let mut others = Vec::new();
        for other in ports {
            let other = other?;
            if other == port || others.contains(&other) || others.len() >= OTHERS_MAX {
                return Err(format!(
                    "\"{place}\": up to {} ports, each of them once, HOST:PORT,PORT",
                    OTHERS_MAX + 1
                ));
            }
            others.push(other);
        }
        if host.is_empty() || host.len() > HOST_MAX || host.contains(char::is_whitespace) {
            return Err(format!(
                "\"{place}\": the host is no name or address, HOST:PORT"
            ));
        }
        Ok(NodeAddress {
            address,
            host: host.to_owned(),
            port,
            others,
        })
    }
}

impl NodeAddress {
    /// `HOST:PORT`, the name under which the node is remembered.
    #[must_use]
    pub fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(a) => write!(f, "{a}@{}", self.place())?,
            None => f.write_str(&self.place())?,
        }
        self.others.iter().try_for_each(|port| write!(f, ",{port}"))
    }
}

/// Which address answered at which place: trust on first use, as in OpenSSH's
/// `known_hosts`. The file has a line `HOST:PORT 0xADDR` for each place.
#[derive(Debug)]
pub struct KnownNodes {
    file: Option<PathBuf>,
    accept_change: bool,
    places: Mutex<Places>,
}

type Table = Map<String, Address>;

#[derive(Debug, Default)]
struct Places {
    known: Table,
    /// What this run has met for the first time, or taken over.
    learned: Table,
}

impl KnownNodes {
    /// Remembers for this run only.
    #[must_use]
    pub fn in_memory() -> KnownNodes {
        KnownNodes {
            file: None,
            accept_change: false,
            places: Mutex::default(),
        }
    }

    /// Reads `file`, if it exists. `accept_change`: take a changed address over.
    ///
    /// # Errors
    /// The file cannot be read or has a line that is not `HOST:PORT 0xADDR`.
    pub fn load(file: PathBuf, accept_change: bool) -> Result<KnownNodes, String> {
        let known = read(&file)?;
        Ok(KnownNodes {
            file: Some(file),
            accept_change,
            places: Mutex::new(Places {
                known,
                learned: Table::new(),
            }),
        })
    }

    /// Whether `found` may be the node at `node`. `Ok(true)`: it is new, and
    /// [`KnownNodes::save`] should be called (where blocking is allowed).
    ///
    /// # Errors
    /// Another address was given or remembered; the text says what to do.
    pub fn check(&self, node: &NodeAddress, found: Address) -> Result<bool, String> {
        let place = node.place();
        if let Some(expected) = node.address {
            if expected != found {
                return Err(format!(
                    "the node at {place} is {found}, not {expected}: correct --node, or find out who answers there"
                ));
            }
            return Ok(false);
        }
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        // A change is confirmed once, not for all the time that the program runs.
        let accept = self.accept_change && !places.learned.contains_key(&place);
        match places.known.get(&place) {
            Some(known) if *known == found => return Ok(false),
            Some(known) if !accept => {
                return Err(format!(
                    "the node at {place} is now {found}, before it was {known}: if that change is right, confirm it once with --accept-node"
                ));
            }
            _ => {}
        }
        if places.known.len() < KNOWN_MAX {
            places.known.insert(place.clone(), found);
            places.learned.insert(place.clone(), found);
        }
        log::info!("the node at {place} is {found}");
        Ok(true)
    }

    /// Writes what was learned to the file, if there is one. What another
    /// program has learned since this one started stays in it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self) -> std::io::Result<()> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut all = read(file).unwrap_or_else(|_| places.known.clone());
        for (place, address) in &places.learned {
            all.insert(place.clone(), *address);
        }
        write(file, &all)
    }
}

fn read(file: &Path) -> Result<Table, String> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(format!("cannot read {}: {e}", file.display())),
    };
    let mut places = Table::new();
    for (n, line) in text.lines().enumerate().take(KNOWN_MAX) {
        let parsed = line
            .split_once(' ')
            .and_then(|(place, address)| Some((place.to_owned(), address.trim().parse().ok()?)));
        match parsed {
            Some((place, address)) => {
                places.insert(place, address);
            }
            None if line.trim().is_empty() || line.starts_with('#') => {}
            None => {
                return Err(format!(
                    "{}, line {}: expected HOST:PORT 0xADDR; mend or delete the line",
                    file.display(),
                    n + 1
                ))
            }
        }
    }
    Ok(places)
}

/// Replaces the file as a whole: a power cut leaves the old or the new one. The
/// name of the new one is this process's own, so that two programs which start
/// at once do not write into each other's.
fn write(file: &Path, places: &Table) -> std::io::Result<()> {
    let fresh = file.with_extension(format!("{}.new", std::process::id()));
    let mut out = fs::File::create(&fresh)?;
    for (place, address) in places {
        writeln!(out, "{place} {address}")?;
    }
    out.sync_all()?;
    fs::rename(&fresh, file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_node_is_read_back_as_it_is_written(
            address: Option<[u8; 20]>, host in "[a-z][a-z0-9.-]{0,30}|([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}", port in 1u16..,
        ) {
            let node = NodeAddress { address: address.map(Address), host, port, others: Vec::new() };
            prop_assert_eq!(node.to_string().parse::<NodeAddress>().unwrap(), node);
        }

        #[test]
        fn what_a_person_types_never_crashes(text in "\\PC{0,80}") {
            if let Ok(node) = text.parse::<NodeAddress>() {
                prop_assert_eq!(node.to_string().parse::<NodeAddress>().unwrap(), node);
            }
        }
    }

    #[test]
    fn every_form_of_a_node_is_read_and_written_back() {
        let a = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8";
        for text in [
            "host:1",
            "127.0.0.1:41046",
            "[::1]:41046",
            "[::1]:41046,443",
            "h:1,2,3,4,5,6,7,8",
            &format!("{a}@h:2"),
        ] {
            let node: NodeAddress = text.parse().unwrap();
            assert_eq!(node.to_string(), text);
        }
        for bad in [
            "",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "::1:80",
            "[::1:80",
            "0x12@h:1",
            "@h:1",
            "a b:1",
            "h:1,",
            "h:,1",
            "h:1,0",
            "h:1,1",
            "h:1,2,3,4,5,6,7,8,9",
        ] {
            assert!(bad.parse::<NodeAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_changed_node_is_an_error_until_confirmed_and_then_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_nodes");
        let node: NodeAddress = "h:1".parse().unwrap();
        let (one, two) = (Address([1; 20]), Address([2; 20]));
        let known = KnownNodes::load(file.clone(), false).unwrap();
        assert!(known.check(&node, one).unwrap());
        known.save().unwrap();
        assert!(known
            .check(&node, two)
            .unwrap_err()
            .contains("--accept-node"));
        let again = KnownNodes::load(file.clone(), false).unwrap();
        assert!(again.check(&node, two).is_err());
        let confirmed = KnownNodes::load(file.clone(), true).unwrap();
        assert!(confirmed.check(&node, two).unwrap());
        confirmed.save().unwrap();
        assert!(!KnownNodes::load(file, false)
            .unwrap()
            .check(&node, two)
            .unwrap());
    }

    #[test]
    fn a_second_change_in_the_same_run_is_not_confirmed_with_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let node: NodeAddress = "h:1".parse().unwrap();
        let known = KnownNodes::load(dir.path().join("known_nodes"), true).unwrap();
        assert!(known.check(&node, Address([1; 20])).unwrap());
        assert!(known.check(&node, Address([2; 20])).is_err());
        assert!(!known.check(&node, Address([1; 20])).unwrap());
    }

    #[test]
    fn two_programs_that_learn_at_once_do_not_forget_for_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_nodes");
        let nodes: [NodeAddress; 2] = ["h:1", "h:2"].map(|n| n.parse().unwrap());
        let programs = [(); 2].map(|()| KnownNodes::load(file.clone(), false).unwrap());
        for (node, program) in nodes.iter().zip(&programs) {
            assert!(program.check(node, Address([7; 20])).unwrap());
            program.save().unwrap();
        }
        let third = KnownNodes::load(file, false).unwrap();
        for node in &nodes {
            assert!(!third.check(node, Address([7; 20])).unwrap());
            assert!(third.check(node, Address([8; 20])).is_err());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_line_is_named_and_not_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_nodes");
        fs::write(
            &file,
            "h:1 0x70997970c51812dc3a010c7d01b50e0d17dc79c8\nrubbish\n",
        )
        .unwrap();
        assert!(KnownNodes::load(file, false)
            .unwrap_err()
            .contains("line 2"));
    }
}
