//! Other nodes, connected or not: what is remembered of them, and what is told
//! about them.
//!
//! A row is made by a node that answered in the DHT or by a link. The engine
//! counts its answers, the links count themselves; here both come together, for
//! people and for the store. Rows are written lazily, an hour apart at least and
//! at the end of the node, so that a restarted node is back in the network
//! without its seeds.

use crate::dht::{Contact, Known};
use crate::identity::Address;
use crate::peer::PeerStatus;
use crate::rpc::PeerInfo;
use crate::sorted::{self, Map};
use crate::store::{Record, Store, Table};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Nodes that are remembered: more than a routing table has in a network of
/// millions, and with the statistics of a day still half of what may wait lazily.
pub const PEERS_MAX: usize = 256;

/// Dials that are counted for the score; from here on older ones count half.
const DIALS_MAX: u16 = 64;

/// A row that says nothing new but the time of the latest answer is written so
/// seldom: flash wears out by it.
const STALE: u64 = 6 * 3600;

/// A row of the table `peer_history`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerHistory {
    /// Who.
    id: Address,
    /// Where it was reached last; IPv4 as an IPv4-mapped address. Port 0: nowhere.
    ip: [u8; 16],
    port: u16,
    /// Unix seconds; 0 while the clock was not to be believed.
    first_seen: u64,
    last_seen: u64,
    /// Requests in the DHT that it answered, and that it did not.
    answers: u32,
    silences: u32,
    /// Links since it is known.
    links: u32,
    /// Links dialled lately that came about, and that did not.
    dialled: u16,
    failed: u16,
    /// Smoothed round trip in microseconds; 0: not measured.
    rtt_micros: u32,
    /// It was in the routing table.
    in_table: bool,
}

impl Record for PeerHistory {
    const TABLE: Table = Table::PeerHistory;
    const VERSION: u8 = 1;
    fn key(&self) -> Vec<u8> {
        self.id.0.to_vec()
    }
}

impl PeerHistory {
    fn new(id: Address) -> PeerHistory {
        PeerHistory {
            id,
            ip: [0; 16],
            port: 0,
            first_seen: 0,
            last_seen: 0,
            answers: 0,
            silences: 0,
            links: 0,
            dialled: 0,
            failed: 0,
            rtt_micros: 0,
            in_table: false,
        }
    }

    fn place(&self) -> Option<SocketAddr> {
        let ip = IpAddr::from(Ipv6Addr::from(self.ip)).to_canonical();
        (self.port != 0).then(|| SocketAddr::new(ip, self.port))
    }

    fn set_place(&mut self, at: SocketAddr) {
        self.ip = match at.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        self.port = at.port();
    }

    fn seen(&mut self, unix: Option<u64>) {
        if let Some(unix) = unix {
            self.last_seen = self.last_seen.max(unix);
            if self.first_seen == 0 {
                self.first_seen = unix;
            }
        }
    }

    fn known(&self) -> Option<Known> {
        Some(Known {
            contact: Contact {
                id: self.id,
                at: self.place()?,
            },
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            successes: self.answers,
            failures: self.silences,
            rtt: Duration::from_micros(self.rtt_micros.into()),
            in_table: self.in_table,
        })
    }

    /// From 0 to 1: the share of requests and dials that it answered, one of each
    /// kind added so that a node asked once is not perfect (Laplace's rule of
    /// succession).
    fn score(&self) -> f64 {
        let good = f64::from(self.answers) + f64::from(self.dialled);
        let bad = f64::from(self.silences) + f64::from(self.failed);
        (good + 1.0) / (good + bad + 2.0)
    }

    /// Whether the store's row is worth being written anew.
    fn differs(&self, written: &PeerHistory, stale: u64) -> bool {
        self.place() != written.place()
            || self.in_table != written.in_table
            || self.last_seen.saturating_sub(written.last_seen) >= stale
            || self.failed.saturating_sub(written.failed) >= DIALS_MAX / 8
    }

    /// What is kept first: who is in the table, then who answers, then who did so
    /// lately.
    fn rank(&self) -> (bool, bool, u64) {
        (self.in_table, self.score() >= 0.5, self.last_seen)
    }
}

struct Row {
    now: PeerHistory,
    written: Option<PeerHistory>,
}

/// See the module's text.
#[derive(Default)]
pub struct PeerBook(Mutex<Map<Address, Row>>);

impl PeerBook {
    fn lock(&self) -> MutexGuard<'_, Map<Address, Row>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what an earlier run has left in the store; what is known already
    /// stays. How many there are now.
    pub fn load(&self, store: &Store) -> usize {
        let found = store.scan_prefix::<PeerHistory>(&[], PEERS_MAX);
        let found = found.unwrap_or_else(|e| {
            log::warn!("the nodes known before cannot be read: {e}");
            Vec::new()
        });
        let mut rows = self.lock();
        for now in found {
            let written = Some(now.clone());
            rows.get_or_insert_with(now.id, || Row { now, written });
        }
        rows.len()
    }

    /// Nodes to begin with, the best first.
    #[must_use]
    pub fn known(&self) -> Vec<Known> {
        let rows = self.lock();
        let mut best: Vec<&PeerHistory> = rows.values().map(|row| &row.now).collect();
        sorted::sort_by(&mut best, |a, b| b.rank().cmp(&a.rank()));
        best.into_iter().filter_map(PeerHistory::known).collect()
    }

    /// Where a node was reached last.
    #[must_use]
    pub fn place(&self, id: &Address) -> Option<SocketAddr> {
        self.lock().get(id)?.now.place()
    }

    /// A link to the node came about; `at` is where it can be dialled, if that
    /// is known, and `unix` the time, if it can be believed.
    pub fn connected(&self, id: Address, at: Option<SocketAddr>, dialled: bool, unix: Option<u64>) {
        let mut rows = self.lock();
        let row = &mut row(&mut rows, id).now;
        row.links = row.links.saturating_add(1);
        if dialled {
            row.count(true);
        }
        if let Some(at) = at.filter(|_| dialled || row.port == 0) {
            row.set_place(at);
        }
        row.seen(unix);
        shrink(&mut rows, id);
    }

    /// The node has answered in the DHT, for the first time or again.
    pub fn answered(&self, id: Address, at: SocketAddr, rtt: Duration, unix: Option<u64>) {
        let mut rows = self.lock();
        let row = &mut row(&mut rows, id).now;
        row.set_place(at);
        row.rtt_micros = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
        row.seen(unix);
        shrink(&mut rows, id);
    }

    /// The node was dialled in vain.
    pub fn failed(&self, id: Address) {
        if let Some(row) = self.lock().get_mut(&id) {
            row.now.count(false);
        }
    }

    /// What the engine knows by now.
    pub fn merge(&self, contacts: &[Known]) {
        let mut rows = self.lock();
        for row in rows.values_mut() {
            row.now.in_table = false;
        }
        for known in contacts {
            let now = &mut row(&mut rows, known.contact.id).now;
            now.set_place(known.contact.at);
            if now.first_seen == 0 {
                now.first_seen = known.first_seen;
            }
            now.last_seen = now.last_seen.max(known.last_seen);
            now.answers = known.successes;
            now.silences = known.failures;
            now.rtt_micros = u32::try_from(known.rtt.as_micros()).unwrap_or(u32::MAX);
            now.in_table = known.in_table;
        }
        shrink(&mut rows, Address::ZERO);
    }

    /// Writes what is new; at the end of the node also when it is little.
    pub fn flush(&self, store: &Store, ending: bool) {
        let stale = if ending { STALE / 24 } else { STALE };
        let mut rows = self.lock();
        for row in rows.values_mut() {
            let same = row.written.as_ref();
            if same.is_some_and(|written| !row.now.differs(written, stale)) {
                continue;
            }
            // A node that was never reached anywhere is nothing to come back to.
            if row.now.port != 0 && store.put_lazy(&row.now).is_ok() {
                row.written = Some(row.now.clone());
            }
        }
        // What the store has and nobody remembers any more.
        let found = store.scan_prefix::<PeerHistory>(&[], 2 * PEERS_MAX);
        for old in found.unwrap_or_default() {
            if !rows.contains_key(&old.id) {
                // Counted by the store.
                let _ = store.delete_lazy::<PeerHistory>(&old.key());
            }
        }
    }

    /// For `peer_list`: connected nodes first, then by score.
    #[must_use]
    pub fn list(&self, links: &[PeerStatus]) -> Vec<PeerInfo> {
        let rows = self.lock();
        let seen = |unix: u64| (unix > 0).then_some(unix);
        let mut list: Vec<PeerInfo> = rows
            .values()
            .map(|row| {
                let row = &row.now;
                PeerInfo {
                    node_id: row.id.to_string(),
                    address: row.place().map(|at| at.to_string()),
                    connected: false,
                    direction: None,
                    first_seen: seen(row.first_seen),
                    last_seen: seen(row.last_seen),
                    connection_count: row.links.into(),
                    reliability_score: Some((row.score() * 1000.0).round() / 1000.0),
                    rtt_ms: (row.rtt_micros > 0).then(|| millis(row.rtt_micros.into())),
                    bytes_in: 0,
                    bytes_out: 0,
                }
            })
            .collect();
        drop(rows);
        for link in links {
            let id = link.id.to_string();
            let Some(info) = list.iter_mut().find(|info| info.node_id == id) else {
                continue;
            };
            info.connected = true;
            info.direction = Some(if link.dialled { "out" } else { "in" });
            if let Some(rtt) = link.rtt {
                info.rtt_ms = Some(millis(rtt.as_micros()));
            }
            info.bytes_in = link.bytes_in;
            info.bytes_out = link.bytes_out;
        }
        let score = |info: &PeerInfo| info.reliability_score.unwrap_or(0.0);
        sorted::sort_by(&mut list, |a, b| {
            let by_score = score(b).total_cmp(&score(a));
            b.connected.cmp(&a.connected).then(by_score)
        });
        list
    }
}

impl PeerHistory {
    fn count(&mut self, came_about: bool) {
        if self.dialled.saturating_add(self.failed) >= DIALS_MAX {
            self.dialled /= 2;
            self.failed /= 2;
        }
        let count = if came_about {
            &mut self.dialled
        } else {
            &mut self.failed
        };
        *count = count.saturating_add(1);
    }
}

fn row(rows: &mut Map<Address, Row>, id: Address) -> &mut Row {
    rows.get_or_insert_with(id, || Row {
        now: PeerHistory::new(id),
        written: None,
    })
}

/// Forgets those that are worth least, but for `except`, who just came.
fn shrink(rows: &mut Map<Address, Row>, except: Address) {
    while rows.len() > PEERS_MAX {
        let others = rows.values().map(|row| &row.now);
        let least = others
            .filter(|row| row.id != except)
            .min_by_key(|row| row.rank());
        let Some(id) = least.map(|row| row.id) else {
            return;
        };
        rows.remove(&id);
    }
}

fn millis(micros: u128) -> u64 {
    u64::try_from(micros.div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
