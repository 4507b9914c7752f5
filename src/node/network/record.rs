//! This node's own record in the DHT: where it is, what it can do.
//!
//! It is signed anew when something in it has changed and twice in the time for
//! which it holds. Its sequence number is kept, so that a node whose clock went
//! back does not contradict itself.

use crate::dht::record::{NodeRecord, NODE_NAME_MAX, PLACES_MAX, UNTIL_AHEAD_MAX};
use crate::identity::Address;
use crate::store::{Record, Store, Table};
use crate::time::Moment;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// For how long it holds, in seconds: as long as storers let it, less the hour
/// by which their clocks may be behind.
const HOLDS: u64 = UNTIL_AHEAD_MAX - 3600;
/// When it is signed anew though nothing has changed.
const AGAIN: Duration = Duration::from_secs(HOLDS / 2);

/// The number of the latest record, in the table `meta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Higher than all before it.
    pub number: u64,
}

impl Sequence {
    /// Its key.
    pub const KEY: &'static [u8] = b"node-record";
}

impl Record for Sequence {
    const TABLE: Table = Table::Meta;
    const VERSION: u8 = 1;
    fn key(&self) -> Vec<u8> {
        Sequence::KEY.to_vec()
    }
}

/// What a record says beside who, when and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Where the peer port can be reached, best first.
    pub places: Vec<SocketAddr>,
    /// Ports for devices.
    pub edge_ports: Vec<u16>,
    /// The operator's word.
    pub name: String,
}

impl Facts {
    /// From what is known: `host` (an IP address that the operator gave), places
    /// that others see, and addresses that the sockets are bound to.
    #[must_use]
    pub fn new(
        host: Option<IpAddr>,
        outside: &[SocketAddr],
        bound: &[SocketAddr],
        edge_ports: &[u16],
        name: &str,
    ) -> Facts {
        let mut places: Vec<SocketAddr> = Vec::new();
        let port = bound.first().map_or(0, SocketAddr::port);
        let host = host.map(|ip| SocketAddr::new(ip, port));
        let bound = bound.iter().copied();
        let bound = bound.filter(|place| !place.ip().is_unspecified());
        for place in host.into_iter().chain(outside.iter().copied()).chain(bound) {
            if place.port() != 0 && !places.contains(&place) {
                places.push(place);
            }
        }
        places.truncate(PLACES_MAX);
        let mut edge_ports = edge_ports.to_vec();
        edge_ports.truncate(PLACES_MAX);
        let mut name = name.to_owned();
        while name.len() > NODE_NAME_MAX {
            name.pop();
        }
        Facts {
            places,
            edge_ports,
            name,
        }
    }
}

/// When the record has to be signed.
#[derive(Debug, Default)]
pub struct OwnRecord {
    latest: Option<(Facts, Moment)>,
    number: u64,
}

impl OwnRecord {
    /// What the store remembers counts.
    pub fn load(&mut self, store: &Store) {
        match store.get::<Sequence>(Sequence::KEY) {
            Ok(found) => self.number = self.number.max(found.map_or(0, |s| s.number)),
            Err(e) => log::warn!("the number of this node's record cannot be read: {e}"),
        }
    }

    /// Whether a record that says this is to be published; then it is counted as
    /// that. `unix` is the best guess at the time.
    pub fn renew(
        &mut self,
        node: Address,
        facts: &Facts,
        unix: u64,
        now: Moment,
    ) -> Option<NodeRecord> {
        let fresh = self
            .latest
            .as_ref()
            .is_some_and(|(latest, at)| latest == facts && now.since(*at) < AGAIN);
        if fresh || facts.places.is_empty() {
            return None;
        }
        self.number = self.number.saturating_add(1).max(unix);
        self.latest = Some((facts.clone(), now));
        Some(NodeRecord {
            node,
            seq: self.number,
            until: unix.saturating_add(HOLDS),
            places: facts.places.clone(),
            edge_ports: facts.edge_ports.clone(),
            capabilities: 0,
            name: facts.name.clone(),
        })
    }

    /// The number to keep.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        Sequence {
            number: self.number,
        }
    }

    /// It has to be published again.
    pub fn forget(&mut self) {
        self.latest = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::dht::ValidRecord;
    use crate::identity::SecretKey;

    const NOW: u64 = 1_790_000_000;

    fn place(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn it_names_no_place_twice_and_none_that_nobody_can_dial() {
        let facts = Facts::new(
            Some("203.0.113.9".parse().unwrap()),
            &[place("203.0.113.9:51055")],
            &[place("0.0.0.0:51055"), place("10.0.0.1:51055")],
            &[41046, 41047],
            "attic",
        );
        assert_eq!(
            facts.places,
            [place("203.0.113.9:51055"), place("10.0.0.1:51055")]
        );
        let nowhere = Facts::new(None, &[], &[place("0.0.0.0:7")], &[], "");
        assert!(nowhere.places.is_empty());
        let mut own = OwnRecord::default();
        let node = Address([1; 20]);
        assert_eq!(own.renew(node, &nowhere, NOW, Moment(1)), None);
    }

    #[test]
    fn a_long_name_and_many_places_still_make_a_record_that_others_take() {
        let key = SecretKey::generate();
        let bound: Vec<SocketAddr> = (1..20).map(|n| ([10, 0, 0, n], 7).into()).collect();
        let facts = Facts::new(None, &[], &bound, &[1; 20], &"ä".repeat(64));
        let mut own = OwnRecord::default();
        let said = own.renew(key.address(), &facts, NOW, Moment(1)).unwrap();
        assert!(ValidRecord::node(&said, &key).is_ok(), "{said:?}");
    }

    #[test]
    fn the_number_never_goes_back_whatever_the_clock_does() {
        let node = Address([1; 20]);
        let facts = |port| Facts::new(None, &[], &[([10, 0, 0, 1], port).into()], &[], "");
        let mut own = OwnRecord::default();
        let mut now = Moment(1);
        let first = own.renew(node, &facts(1), NOW, now).unwrap();
        assert_eq!((first.seq, first.until), (NOW, NOW + HOLDS));
        assert_eq!(own.renew(node, &facts(1), NOW, now), None, "nothing is new");
        // The clock went back to 1970, and the port is another.
        let second = own.renew(node, &facts(2), 5, now).unwrap();
        assert_eq!(second.seq, NOW + 1);
        now = now + AGAIN;
        let third = own.renew(node, &facts(2), NOW + 43_200, now).unwrap();
        assert_eq!(third.seq, NOW + 43_200);
        // After a restart.
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("s"), Default::default()).unwrap();
        smol::block_on(store.put(&own.sequence())).unwrap();
        let mut again = OwnRecord::default();
        again.load(&store);
        assert_eq!(
            again.renew(node, &facts(2), 5, now).unwrap().seq,
            third.seq + 1
        );
    }
}
