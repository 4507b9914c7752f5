//! Starting with what a year leaves in the store.

use super::programs::{folder, Node};
use super::say;
use chr_node::identity::{Address, SecretKey};
use chr_node::node::network::peers::PeerBook;
use chr_node::node::statistics::{read_history, NodeStats, Span, Statistics};
use chr_node::rpc::HistorySpan;
use chr_node::store::{Batch, Record, Store, StoreOptions, MAX_ROWS};
use chr_node::ticket::{epoch_of, Ticket, TicketRow};
use chr_node::time::Moment;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Devices that have paid in every epoch.
const DEVICES: u64 = 1_000;
/// Epochs of a year: 30 days each.
const EPOCHS: u64 = 13;
/// Other nodes that are known.
const PEERS: u8 = 100;
/// Statistics are kept by the minute for a week, by the hour for a year.
const MINUTES: u64 = 7 * 24 * 60;
const HOURS: u64 = 366 * 24;

/// To listening, with the tickets of a thousand devices in thirteen epochs, and
/// statistics of every minute of a week and every hour of a year.
pub fn start() -> Result<(), String> {
    let home = folder();
    // A first start makes the identity.
    drop(Node::start(home.path()));
    fill(&home.path().join("store"))?;
    let node = Node::start(home.path());
    say("year_start", node.started_in.as_secs_f64() * 1e3);
    let size = std::fs::metadata(home.path().join("store/data.mdb"));
    say("year_store", size.map_or(0.0, |m| m.len() as f64 / 1e6));
    Ok(())
}

/// Opening the store of a year alone, and what charts read of it: statistics and a
/// hundred other nodes, and devices that have paid.
pub fn charts() -> Result<(), String> {
    let home = folder();
    fill(home.path())?;
    let began = Instant::now();
    let opened = Store::open_or_recover(home.path(), StoreOptions::default());
    let (store, _) = opened.map_err(|e| e.to_string())?;
    say("year_open", began.elapsed().as_secs_f64() * 1e3);
    let statistics = Mutex::new(Statistics::new(Moment(0)));
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    for (span, name) in [
        (HistorySpan::Month, "year_month"),
        (HistorySpan::Year, "year_chart"),
        (HistorySpan::Day, "year_day"),
    ] {
        let began = Instant::now();
        let read = read_history(span, &store, &statistics, unix.as_secs());
        let history = smol::block_on(read)?;
        say(name, began.elapsed().as_secs_f64() * 1e3);
        let known = history.uptime.iter().flatten().count();
        if known < 200 {
            return Err(format!("{name} shows {known} steps"));
        }
    }
    Ok(())
}

fn fill(folder: &Path) -> Result<(), String> {
    let store = Store::open(folder, StoreOptions::default()).map_err(|e| e.to_string())?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let mut rows = Rows::new(&store);
    // A start does not check signatures again, so one stands for all.
    let signature = SecretKey::generate().sign(&[7; 32]);
    for age in 0..EPOCHS {
        for device in 0..DEVICES {
            let mut address = [0x5a; 20];
            address[..8].copy_from_slice(&device.to_be_bytes());
            rows.put(&TicketRow {
                device: Address(address),
                usage: device << 20,
                ports: device,
                ticket: Ticket {
                    chain_id: 1284,
                    epoch: epoch_of(now) - age,
                    fleet: Address([0; 20]),
                    total_connections: device,
                    total_bytes: (device + 4) << 20,
                    local_address: vec![2, 0xc0],
                    signature,
                },
            })?;
        }
    }
    for (span, count) in [(Span::Minute, MINUTES), (Span::Hour, HOURS)] {
        for age in 1..=count {
            let seconds = span.seconds();
            rows.put(&NodeStats {
                span,
                unix: (now / seconds - age) * seconds,
                seconds: seconds as u32,
                connections: 1_000,
                bytes_in: age << 30,
                bytes_out: age << 30,
                uptime_seconds: now,
                peers: 100,
                latency_ms: 40,
                tickets: 600,
                errors: 3,
            })?;
        }
    }
    rows.commit()?;
    let peers = PeerBook::default();
    for peer in 0..PEERS {
        let at = SocketAddr::from(([10, 0, peer, 1], 51_055));
        let rtt = Duration::from_millis(40);
        peers.answered(Address([peer; 20]), at, rtt, Some(now));
    }
    peers.flush(&store, true);
    store.close();
    Ok(())
}

/// Writes rows, many in a commit.
struct Rows<'a> {
    store: &'a Store,
    batch: Batch,
    count: usize,
}

impl<'a> Rows<'a> {
    fn new(store: &'a Store) -> Rows<'a> {
        Rows {
            store,
            batch: Batch::new(),
            count: 0,
        }
    }

    fn put(&mut self, row: &impl Record) -> Result<(), String> {
        self.batch.put(row).map_err(|e| e.to_string())?;
        self.count += 1;
        if self.count == MAX_ROWS {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), String> {
        self.count = 0;
        let batch = std::mem::take(&mut self.batch);
        smol::block_on(self.store.write(batch)).map_err(|e| e.to_string())
    }
}
