//! Other nodes as settings name them.

use super::{address, host, list, list_of, number, shown, within};
use crate::platform::resolver;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

/// The URI form that users of this system have in their lists.
const SCHEME: &str = "diode://";

/// Seeds beyond this do not make a network easier to find, and each costs a
/// lookup of its name.
const MAX_SEEDS: usize = 64;

/// Each that is silent costs a name eight seconds.
const MAX_NAME_SERVERS: usize = 4;

/// Fleet nodes are kept connected: more than this is a network, not a fleet.
pub const MAX_FLEET: usize = 64;

/// Longest name of a fleet node in characters: what a table of peers still shows.
const MAX_NAME: usize = 32;

/// Where a node is, and who it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerPlace {
    /// `0x` and 40 lower-case digits; without it, whoever answers there.
    pub address: Option<String>,
    /// Name or IP address, in lower case.
    pub host: String,
    /// Its peer port, UDP and TCP; never 0.
    pub port: u16,
}

impl fmt::Display for PeerPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = &self.address {
            write!(f, "{address}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A node of the operator's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetNode {
    /// What people call it.
    pub name: String,
    /// Where it is; its address is always there.
    pub place: PeerPlace,
}

impl fmt::Display for FleetNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.place)
    }
}

/// Whether this node keeps and finds things for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Serve {
    /// Where others can reach it.
    #[default]
    Auto,
    /// As if others could reach it.
    Yes,
    /// Never.
    No,
}

/// Whether the limits on nodes of one subnet hold for private address ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubnetLimits {
    /// Unless the node's own address is in one.
    #[default]
    Auto,
    /// For all addresses.
    Always,
}

/// The words of a choice.
pub type Words<T> = [(&'static str, T)];

/// Whether the network is metered, in the same words; `Auto`: as the interface of the
/// default route says.
pub type Metered = Serve;

/// The words of [`Serve`].
pub const SERVE: &Words<Serve> = &[
    ("auto", Serve::Auto),
    ("yes", Serve::Yes),
    ("no", Serve::No),
];

/// The words of [`SubnetLimits`].
pub const SUBNET_LIMITS: &Words<SubnetLimits> = &[
    ("auto", SubnetLimits::Auto),
    ("always", SubnetLimits::Always),
];

/// The words of `network.port_mapping`: whether the router is asked.
pub const PORT_MAPPING: &Words<bool> = &[("auto", true), ("off", false)];

/// One of some words.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn choice<T: Copy>(text: &str, words: &Words<T>) -> Result<T, String> {
    let text = text.trim();
    let mut words = words.iter();
    words
        .find(|(word, _)| word.eq_ignore_ascii_case(text))
        .map(|(_, value)| *value)
        .ok_or_else(|| "there is no such choice".to_owned())
}

/// The word of a choice.
pub fn word<T: PartialEq>(value: &T, words: &Words<T>) -> String {
    let mut words = words.iter();
    let word = words.find(|(_, other)| other == value);
    word.map_or("", |(word, _)| word).to_owned()
}

/// `HOST:PORT`, `0xADDR@HOST:PORT` or `diode://0xADDR@HOST:PORT`; an IPv6 host
/// stands in brackets.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn peer_place(text: &str) -> Result<PeerPlace, String> {
    let bare = text.trim();
    let bare = match bare.get(..SCHEME.len()) {
        Some(scheme) if scheme.eq_ignore_ascii_case(SCHEME) => {
            // Programs write a path behind an authority.
            bare.get(SCHEME.len()..).unwrap_or("").trim_end_matches('/')
        }
        _ => bare,
    };
    let (id, place) = match bare.split_once('@') {
        Some((id, place)) => (Some(address(id)?), place),
        None => (None, bare),
    };
    let (name, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest
                .split_once(']')
                .ok_or_else(|| "the closing bracket of an IPv6 address is missing".to_owned())?;
            if name.parse::<Ipv6Addr>().is_err() {
                return Err("only an IPv6 address stands in brackets".to_owned());
            }
            (name, port.strip_prefix(':'))
        }
        None => match place.rsplit_once(':') {
            Some((name, _)) if name.contains(':') => {
                return Err("an IPv6 address stands in brackets, [HOST]:PORT".to_owned());
            }
            Some((name, port)) => (name, Some(port)),
            None => (place, None),
        },
    };
    let port = port.ok_or_else(|| "the port is missing, HOST:PORT".to_owned())?;
    Ok(PeerPlace {
        address: id,
        host: host(name)?,
        port: number(port, 1, u16::MAX)
            .map_err(|_| "a port is a number from 1 to 65535".to_owned())?,
    })
}

/// A list of seeds. The item `none` stands for no seed, and one that is there
/// twice counts once: such lists are put together by scripts.
///
/// # Errors
/// A phrase that names the item.
pub fn seeds(text: &str) -> Result<Vec<PeerPlace>, String> {
    let mut seeds = Vec::new();
    for item in list(text)? {
        if item.eq_ignore_ascii_case("none") {
            continue;
        }
        let seed = peer_place(item).map_err(|problem| named(item, &problem))?;
        if !seeds.contains(&seed) {
            seeds.push(seed);
        }
    }
    bounded(seeds.len(), MAX_SEEDS)?;
    Ok(seeds)
}

/// Addresses of name servers.
///
/// # Errors
/// A phrase that names the item.
pub fn name_servers(text: &str) -> Result<Vec<SocketAddr>, String> {
    let servers = list_of(text, |item| {
        resolver::server(item).ok_or_else(|| {
            "a name server is an IP address, with or without :PORT (IPv6 in brackets then)"
                .to_owned()
        })
    })?;
    bounded(servers.len(), MAX_NAME_SERVERS)?;
    Ok(servers)
}

/// A list of `NAME=0xADDR@HOST:PORT`, names and addresses all different.
///
/// # Errors
/// A phrase that names the item.
pub fn fleet(text: &str) -> Result<Vec<FleetNode>, String> {
    let mut nodes: Vec<FleetNode> = Vec::new();
    for item in list(text)? {
        let node = fleet_node(item).map_err(|problem| named(item, &problem))?;
        if nodes.iter().any(|other| other.name == node.name) {
            return Err(named(item, "the name is there twice"));
        }
        if nodes.iter().any(|o| o.place.address == node.place.address) {
            return Err(named(item, "the address is there twice"));
        }
        nodes.push(node);
    }
    bounded(nodes.len(), MAX_FLEET)?;
    Ok(nodes)
}

fn fleet_node(item: &str) -> Result<FleetNode, String> {
    let (name, place) = item
        .split_once('=')
        .ok_or_else(|| "the name is missing, NAME=0xADDR@HOST:PORT".to_owned())?;
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(format!("a name has 1 to {MAX_NAME} characters"));
    }
    let place = peer_place(place)?;
    if place.address.is_none() {
        return Err("the node's address is missing, NAME=0xADDR@HOST:PORT".to_owned());
    }
    Ok(FleetNode {
        name: name.to_owned(),
        place,
    })
}

fn named(item: &str, problem: &str) -> String {
    format!("in \"{}\", {problem}", shown(item))
}

fn bounded(count: usize, most: usize) -> Result<(), String> {
    within(count, &0, &most, |n| format!("{n} items")).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const ID: &str = "0x00112233445566778899aabbccddeeff00112233";

    #[test]
    fn every_form_of_a_seed_is_read_and_shown_so_that_it_can_be_read_again() {
        for (text, id, host, port) in [
            ("Seed.Example:51055", None, "seed.example", 51055),
            ("192.0.2.7:1", None, "192.0.2.7", 1),
            ("[2001:DB8::7]:51055", None, "2001:db8::7", 51055),
            (
                "0x00112233445566778899AABBCCDDEEFF00112233@a.b:7",
                Some(ID),
                "a.b",
                7,
            ),
            (
                "diode://0x00112233445566778899aabbccddeeff00112233@a.b:7/",
                Some(ID),
                "a.b",
                7,
            ),
            ("diode://a.b:7", None, "a.b", 7),
        ] {
            let place = peer_place(text).unwrap();
            assert_eq!(place.address.as_deref(), id, "{text}");
            assert_eq!((place.host.as_str(), place.port), (host, port), "{text}");
            assert_eq!(peer_place(&place.to_string()).unwrap(), place, "{text}");
        }
    }

    #[test]
    fn what_is_no_seed_is_told_why() {
        for (text, words) in [
            ("a.b", "port is missing"),
            ("a.b:0", "1 to 65535"),
            ("a.b:x", "1 to 65535"),
            ("a.b:70000", "1 to 65535"),
            ("::1:51055", "brackets"),
            ("[::1:51055", "closing bracket"),
            ("[a.b]:51055", "only an IPv6"),
            ("[::1]51055", "port is missing"),
            ("0x12@a.b:7", "40 hexadecimal"),
            ("0012@a.b:7", "starts with 0x"),
            ("http://a.b:7", "brackets"),
            (":7", "neither"),
            ("", "port is missing"),
        ] {
            let error = peer_place(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        let error = seeds("a.b:7 c.d").unwrap_err();
        assert!(error.contains("\"c.d\""), "{error}");
    }

    #[test]
    fn a_list_of_none_is_empty_and_a_seed_that_is_there_twice_counts_once() {
        assert_eq!(seeds("none").unwrap(), []);
        assert_eq!(seeds(" NONE, none ").unwrap(), []);
        assert_eq!(seeds("a.b:7, none, a.b:7 c.d:8").unwrap().len(), 2);
        let many: Vec<String> = (1..=65).map(|n| format!("a.b:{n}")).collect();
        assert!(seeds(&many.join(",")).unwrap_err().contains("above 64"));
    }

    #[test]
    fn a_fleet_node_has_a_name_and_an_address_and_its_order_stays() {
        let text = format!("attic={ID}@a.b:7 cellar={ID}@c.d:8");
        assert!(fleet(&text).unwrap_err().contains("address is there twice"));
        let other = "0x00000000000000000000000000000000000000aa";
        let text = format!("cellar={other}@c.d:8, attic={ID}@a.b:7");
        let nodes = fleet(&text).unwrap();
        assert_eq!(nodes[0].name, "cellar");
        assert_eq!(nodes[1].to_string(), format!("attic={ID}@a.b:7"));
        for (text, words) in [
            (format!("{ID}@a.b:7"), "the name is missing"),
            ("attic=a.b:7".to_owned(), "address is missing"),
            (format!("={ID}@a.b:7"), "1 to 32"),
            (
                format!("a={ID}@a.b:7 a={other}@a.b:8"),
                "name is there twice",
            ),
        ] {
            let error = fleet(&text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_name_server_is_an_address_since_nobody_could_look_up_its_name() {
        let read = name_servers("192.0.2.1, [2001:db8::1]:5353").unwrap();
        assert_eq!(
            read,
            [
                "192.0.2.1:53".parse().unwrap(),
                "[2001:db8::1]:5353".parse().unwrap()
            ]
        );
        assert_eq!(name_servers(" ").unwrap(), []);
        let error = name_servers("192.0.2.1 dns.example").unwrap_err();
        assert!(
            error.contains("\"dns.example\", a name server is"),
            "{error}"
        );
        assert!(name_servers("::1 ::2 ::3 ::4 ::5")
            .unwrap_err()
            .contains("above 4"));
    }

    #[test]
    fn a_choice_is_shown_by_the_word_that_it_is_read_from() {
        for (text, value) in SERVE {
            assert_eq!(choice(text, SERVE), Ok(*value));
            assert_eq!(word(value, SERVE), *text);
        }
        assert_eq!(choice(" ALWAYS ", SUBNET_LIMITS), Ok(SubnetLimits::Always));
        assert!(choice("maybe", SERVE).is_err());
    }
}
