//! What a day writes to flash: every commit of it through the real writer to real
//! pages, without the waiting. Bytes are those that the kernel counts as given to
//! write calls.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use chr_node::dht::record::ContentValue;
use chr_node::dht::{Source, Storage, ValidRecord, Wall};
use chr_node::identity::{keccak256, Address, SecretKey};
use chr_node::node::network::peers::PeerBook;
use chr_node::node::statistics::{keep, prune, NodeStats, Retention, Sample, Span, Statistics};
use chr_node::reward::RewardRow;
use chr_node::store::{Batch, Store, StoreOptions, MAX_ROWS};
use chr_node::ticket::{epoch_of, Ticket, TicketRow};
use chr_node::time::Moment;
use smol::future::block_on;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;

/// A node without sessions, in a day.
const IDLE: u64 = 2_000_000;
/// A hundred sessions with ten tickets a minute together, in a day.
const BUSY: u64 = 450_000_000;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// Begins an hour.
const START: u64 = 1_790_000_000 - 1_790_000_000 % HOUR;
const PEERS: u8 = 100;
const DEVICES: u64 = 100;

/// A node whose store has what a year leaves there.
struct World {
    store: Store,
    statistics: Statistics,
    sample: Sample,
    peers: PeerBook,
    kept: Storage,
    values: u64,
    key: SecretKey,
    _dir: TempDir,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir_in("/dev/shm");
        let dir = dir.unwrap_or_else(|_| tempfile::tempdir().unwrap());
        let options = StoreOptions {
            // By hand.
            flush_interval: Duration::from_secs(u64::MAX),
            ..StoreOptions::default()
        };
        let mut world = World {
            store: Store::open(dir.path(), options).unwrap(),
            statistics: Statistics::new(Moment(0)),
            sample: Sample::default(),
            peers: PeerBook::default(),
            kept: Storage::new(Address([0; 20]), 2 << 20),
            values: 0,
            key: SecretKey::from_bytes(&[7; 32]).unwrap(),
            _dir: dir,
        };
        world.fill();
        world
    }

    fn fill(&mut self) {
        let mut rows = Vec::new();
        for (span, count) in [(Span::Minute, 7 * 24 * 60), (Span::Hour, 366 * 24)] {
            let age = (1..=count).rev();
            rows.extend(age.map(|age| NodeStats {
                span,
                unix: START - age * span.seconds(),
                seconds: span.seconds() as u32,
                connections: 80,
                bytes_in: age << 30,
                bytes_out: age << 30,
                uptime_seconds: 30 * DAY,
                peers: PEERS.into(),
                latency_ms: 40,
                tickets: 10,
                errors: 2,
            }));
        }
        for rows in rows.chunks(MAX_ROWS) {
            let mut batch = Batch::new();
            rows.iter().for_each(|row| batch.put(row).unwrap());
            block_on(self.store.write(batch)).unwrap();
        }
        for age in 0..12 {
            let mut batch = Batch::new();
            for device in 0..DEVICES {
                batch
                    .put(&self.ticket(device, epoch_of(START) - age, 7))
                    .unwrap();
            }
            block_on(self.store.write(batch)).unwrap();
        }
        for age in 1..=24 * 365 {
            self.store.put_lazy(&reward(START - age * HOUR)).unwrap();
            if age % 400 == 0 {
                block_on(self.store.flush()).unwrap();
            }
        }
        self.look_around(0);
        self.remember(0, true);
        block_on(self.store.flush()).unwrap();
    }

    fn ticket(&self, device: u64, epoch: u64, bytes: u64) -> TicketRow {
        let hash = keccak256(&[&device.to_be_bytes()]);
        TicketRow {
            device: Address(hash[..20].try_into().unwrap()),
            usage: bytes,
            ports: 3,
            ticket: Ticket {
                chain_id: 1284,
                epoch,
                fleet: Address([0; 20]),
                total_connections: 3,
                total_bytes: bytes + (4 << 20),
                local_address: vec![0x5a; 60],
                signature: self.key.sign(&[7; 32]),
            },
        }
    }

    /// Nodes answer, others' records come in: more of them than may be written.
    fn look_around(&mut self, hour: u64) {
        let (now, wall) = self.at(hour);
        for peer in 0..PEERS {
            let at = SocketAddr::from(([10, 0, peer, 1], 51_055));
            let rtt = Duration::from_millis(30 + hour);
            let id = keccak256(&[&[peer]]);
            let id = Address(id[..20].try_into().unwrap());
            self.peers.answered(id, at, rtt, Some(wall.unix));
        }
        for _ in 0..200 {
            self.values += 1;
            let mut value = vec![0x5a; 150];
            value[..8].copy_from_slice(&self.values.to_be_bytes());
            let until = wall.unix + 23 * HOUR;
            let record = ValidRecord::content_value(&ContentValue { until, value }).unwrap();
            let _ = self.kept.put(now, wall, record, Some(Source(self.values)));
        }
    }

    fn at(&self, hour: u64) -> (Moment, Wall) {
        let wall = Wall {
            unix: START + hour * HOUR,
            trusted: true,
        };
        (Moment(0) + Duration::from_secs(hour * HOUR), wall)
    }

    /// What the services write in an hour.
    fn remember(&mut self, hour: u64, ending: bool) {
        let (now, wall) = self.at(hour);
        self.peers.flush(&self.store, false);
        let changes = self.kept.to_save(now, wall, ending);
        for key in &changes.gone {
            self.store
                .delete_lazy::<chr_node::dht::KeptRow>(key)
                .unwrap();
        }
        for row in &changes.rows {
            self.store.put_lazy(row).unwrap();
        }
        let retention = Retention {
            minutes: Duration::from_secs(7 * DAY),
            hours: Duration::from_secs(366 * DAY),
        };
        if hour.is_multiple_of(4) {
            prune(&self.store, &retention, wall.unix).unwrap();
        }
    }

    /// A period of rewards is over.
    fn settle(&self, hour: u64) {
        let start = START + (hour - 1) * HOUR;
        let mut batch = Batch::new();
        batch.put(&reward(start)).unwrap();
        let running = RewardRow {
            over: false,
            ..reward(start + HOUR)
        };
        batch.put(&running).unwrap();
        let old = RewardRow::key_of(start - 365 * DAY);
        batch.delete::<RewardRow>(&old).unwrap();
        block_on(self.store.write(batch)).unwrap();
    }

    /// A minute with so many tickets, each of which comes alone.
    fn minute(&mut self, minute: u64, tickets: u64) {
        for number in 0..tickets {
            let device = (minute * tickets + number) % DEVICES;
            let row = self.ticket(device, epoch_of(START), minute << 22);
            block_on(self.store.put(&row)).unwrap();
        }
        self.sample.now = self.sample.now + Duration::from_secs(60);
        self.sample.unix = Some(START + (minute + 1) * 60);
        self.sample.sessions = if tickets > 0 { DEVICES } else { 0 };
        self.sample.peers = PEERS.into();
        self.sample.latency_ms = 40 + minute % 9;
        self.sample.bytes_in += tickets << 22;
        self.sample.bytes_out += tickets << 22;
        self.sample.tickets += tickets;
        let rows = self.statistics.tick(&self.sample);
        keep(&self.store, &rows);
    }

    /// Bytes, commits; None: this kernel does not tell.
    fn day(&mut self, tickets: u64) -> Option<(u64, u64)> {
        let before = self.store.health().written;
        for minute in 0..24 * 60 {
            self.minute(minute, tickets);
            if (minute + 1) % 60 == 0 {
                let hour = (minute + 1) / 60;
                self.look_around(hour);
                self.remember(hour, false);
                self.settle(hour);
            }
        }
        let after = self.store.health().written;
        assert_eq!((after.failures, after.dropped), (0, 0));
        if after.estimated {
            println!("skipped: this kernel does not count what a thread writes");
            return None;
        }
        let bytes = after.disk_bytes - before.disk_bytes;
        let commits = after.commits - before.commits;
        println!("{tickets} tickets a minute: {bytes} bytes in {commits} commits a day");
        Some((bytes, commits))
    }
}

fn reward(start: u64) -> RewardRow {
    RewardRow {
        over: true,
        start,
        end: start + HOUR,
        seen: start + HOUR,
        up_ms: HOUR * 1000,
        earned: Some(12_345_678_901_234_567_890),
        ..RewardRow::default()
    }
}

#[test]
fn an_idle_node_among_a_hundred_others_does_not_wear_its_flash() {
    let mut world = World::new();
    if let Some((bytes, commits)) = world.day(0) {
        assert!(commits <= 30, "{commits} commits");
        assert!(bytes < IDLE, "{bytes} bytes in {commits} commits");
    }
}

#[test]
fn a_hundred_sessions_that_pay_do_not_wear_the_flash_out() {
    let mut world = World::new();
    if let Some((bytes, commits)) = world.day(10) {
        assert!(commits >= 14_400, "{commits} commits");
        assert!(bytes < BUSY, "{bytes} bytes in {commits} commits");
    }
}
