#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
use super::*;
use crate::identity::Address;
use crate::node::network::peers::PeerBook;
use crate::store::pages::{survey, Mode};
use crate::store::{Store, StoreOptions};
use smol::future::block_on;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A day in 2026 that begins an hour.
const START: u64 = 1_790_000_000 - 1_790_000_000 % 3600;

/// Bytes of the store after a year with a hundred other nodes.
const YEAR: u64 = 24 << 20;
/// Bytes that a node without sessions may write in a day.
const IDLE_DAY: u64 = 2_000_000;

/// A node on its way through time.
struct World {
    statistics: Statistics,
    sample: Sample,
    /// Seconds since 1970 at boot.
    boot: u64,
    trusted: bool,
}

impl World {
    fn new() -> World {
        World {
            statistics: Statistics::new(Moment(0)),
            sample: Sample::default(),
            boot: START,
            trusted: true,
        }
    }

    fn sample(&mut self) -> Sample {
        let unix = self.boot + self.sample.now.0 / 1_000_000_000;
        self.sample.unix = self.trusted.then_some(unix);
        self.sample
    }

    fn tick(&mut self) -> Vec<NodeStats> {
        let sample = self.sample();
        self.statistics.tick(&sample)
    }

    /// Ten seconds pass in which so much is carried.
    fn step(&mut self, sessions: u64, bytes: u64) -> Vec<NodeStats> {
        self.sample.now = self.sample.now + Duration::from_secs(10);
        self.sample.sessions = sessions;
        self.sample.bytes_in += bytes;
        self.sample.bytes_out += 2 * bytes;
        self.tick()
    }

    fn minutes(&mut self, count: usize, sessions: u64, bytes: u64) -> Vec<NodeStats> {
        let steps = 0..6 * count;
        steps.flat_map(|_| self.step(sessions, bytes)).collect()
    }
}

fn of(rows: &[NodeStats], span: Span) -> Vec<NodeStats> {
    let rows = rows.iter().filter(|row| row.span == span);
    rows.copied().collect()
}

#[test]
fn every_byte_is_counted_once_in_minutes_and_once_in_hours() {
    let mut world = World::new();
    assert_eq!(world.tick(), []);
    let mut rows = world.minutes(90, 3, 1_000);
    rows.extend(world.minutes(31, 0, 0));
    rows.extend(world.statistics.finish(&world.sample.clone()));
    for span in [Span::Minute, Span::Hour] {
        let rows = of(&rows, span);
        let sum = |of: fn(&NodeStats) -> u64| rows.iter().map(of).sum::<u64>();
        assert_eq!(sum(|row| row.bytes_in), 90 * 6 * 1_000, "{span:?}");
        assert_eq!(sum(|row| row.bytes_out), 2 * 90 * 6 * 1_000);
        assert_eq!(sum(|row| row.seconds.into()), 121 * 60);
        for row in &rows {
            assert_eq!(row.unix % span.seconds(), 0);
        }
    }
    let hours = of(&rows, Span::Hour);
    assert_eq!(hours.len(), 3);
    assert_eq!((hours[0].unix, hours[0].seconds), (START, 3600));
    assert_eq!((hours[0].connections, hours[0].uptime_seconds), (3, 3600));
    assert_eq!(hours[0].bytes_in, 100 * u64::from(hours[0].seconds));
    assert_eq!(hours[0].bytes_out, 200 * u64::from(hours[0].seconds));
    // Half of the hour with three, half with none.
    assert_eq!(hours[1].connections, 2);
    let minutes = of(&rows, Span::Minute);
    let mut times: Vec<u64> = minutes.iter().map(|row| row.unix).collect();
    times.dedup();
    assert_eq!(times.len(), minutes.len());
}

#[test]
fn no_row_is_written_under_a_wrong_time() {
    let mut world = World::new();
    // A device without a clock boots in 1970.
    world.trusted = false;
    world.tick();
    assert_eq!(world.minutes(30, 5, 100), []);
    world.trusted = true;
    let rows = world.minutes(2, 5, 100);
    let minutes = of(&rows, Span::Minute);
    assert!(minutes.len() >= 31, "{}", minutes.len());
    // They get the times at which they were.
    assert_eq!(minutes[0].unix, START);
    assert_eq!(minutes[29].unix, START + 29 * 60);
    let carried: u64 = minutes.iter().map(|row| row.bytes_in).sum();
    assert!(carried >= 31 * 600, "{carried}");
}

#[test]
fn a_clock_that_is_never_set_does_not_fill_the_memory() {
    let mut world = World::new();
    world.trusted = false;
    world.tick();
    assert_eq!(world.minutes(5_000, 1, 1), []);
    assert_eq!(world.statistics.nameless.len(), NAMELESS_MAX);
    assert_eq!(world.statistics.finish(&world.sample.clone()), []);
}

#[test]
fn counters_that_start_anew_and_clocks_that_jump_make_no_nonsense() {
    let mut world = World::new();
    world.tick();
    world.minutes(3, 1, 1_000);
    // The service that counts was restarted.
    world.sample.bytes_in = 0;
    world.sample.bytes_out = 0;
    let rows = world.minutes(3, 1, 1_000);
    assert!(rows.iter().all(|row| row.bytes_in <= 7_000), "{rows:?}");
    // An hour back, and a day ahead.
    for jump in [-3_600i64, 86_400] {
        world.boot = world.boot.saturating_add_signed(jump);
        let rows = world.minutes(4, 1, 1_000);
        assert!(!rows.is_empty());
        assert!(rows.iter().all(|row| row.bytes_in <= 200_000), "{rows:?}");
    }
    // The device slept: the boot-time clock went on.
    world.sample.now = world.sample.now + Duration::from_secs(7_200);
    let rows = world.minutes(2, 1, 0);
    assert!(of(&rows, Span::Minute).len() <= 3);
}

fn open(dir: &Path) -> Store {
    let options = StoreOptions {
        // By hand.
        flush_interval: Duration::from_secs(u64::MAX),
        ..StoreOptions::default()
    };
    Store::open(dir, options).unwrap()
}

#[test]
fn an_hour_with_a_restart_in_it_is_one_row_with_both_parts() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new();
    world.tick();
    let store = open(dir.path());
    let run = |world: &mut World, minutes| {
        let rows = world.minutes(minutes, 2, 500);
        keep(&store, &rows);
        keep(&store, &world.statistics.finish(&world.sample.clone()));
        block_on(store.flush()).unwrap();
        world.statistics = Statistics::new(world.sample.now);
        // The counters start anew with the node.
        (world.sample.bytes_in, world.sample.bytes_out) = (0, 0);
    };
    run(&mut world, 20);
    run(&mut world, 30);
    let hours = history(&store, Span::Hour, START, START + 3600);
    assert_eq!(hours.len(), 1);
    assert_eq!(hours[0].bytes_in, 50 * 6 * 500);
    assert_eq!((hours[0].seconds, hours[0].connections), (50 * 60, 2));
    let minutes = history(&store, Span::Minute, START, START + 3600);
    let carried: u64 = minutes.iter().map(|row| row.bytes_in).sum();
    assert_eq!(carried, 50 * 6 * 500);
}

/// A year in the store: one commit an hour, and a file of a few MB.
#[test]
fn a_year_fits_in_a_few_megabytes() {
    const PEERS: u8 = 100;
    let memory = tempfile::tempdir_in("/dev/shm");
    let dir = memory.unwrap_or_else(|_| tempfile::tempdir().unwrap());
    let store = open(dir.path());
    let mut world = World::new();
    world.tick();
    let retention = Retention {
        minutes: Duration::from_secs(7 * 86_400),
        hours: Duration::from_secs(366 * 86_400),
    };
    let peers = PeerBook::default();
    let year = 365 * 24;
    let mut half = 0;
    for hour in 0..year {
        // Steps of a minute: a year of ten seconds takes a minute of test.
        for _ in 0..60 {
            world.sample.now = world.sample.now + Duration::from_secs(60);
            world.sample.sessions = hour % 700;
            world.sample.peers = PEERS.into();
            world.sample.latency_ms = 30 + hour % 200;
            world.sample.bytes_in += 123_456_789 * (hour % 31);
            world.sample.bytes_out += 123_456_789 * (hour % 29);
            world.sample.tickets += hour % 40;
            world.sample.errors += hour % 3;
            let rows = world.tick();
            keep(&store, &rows);
        }
        let unix = START + (hour + 1) * 3600;
        for peer in 0..PEERS {
            let at = SocketAddr::from(([10, 0, peer, 1], 51_055));
            let rtt = Duration::from_millis(30 + hour % 200);
            peers.answered(Address([peer; 20]), at, rtt, Some(unix));
        }
        peers.flush(&store, false);
        prune(&store, &retention, unix).unwrap();
        block_on(store.flush()).unwrap();
        if hour == year / 2 {
            half = size(dir.path());
        }
    }
    let written = store.health().written;
    assert_eq!((written.commits, written.dropped), (year, 0));
    let now = START + year * 3600;
    let hours = history(&store, Span::Hour, START, now);
    assert!(hours.len() as u64 >= year - 1, "{}", hours.len());
    let minutes = history(&store, Span::Minute, now - 7 * 86_400, now);
    assert!(minutes.len() > 10_000, "{}", minutes.len());
    let day = written.disk_bytes / 365;
    drop(store);
    let bytes = size(dir.path());
    println!("{bytes} bytes after a year, {half} after half of it; {day} written a day");
    assert!(bytes < YEAR, "{bytes}");
    if !written.estimated {
        assert!(day < IDLE_DAY, "{day} bytes a day");
    }
    let file = std::fs::File::open(dir.path().join("data.mdb")).unwrap();
    let seen = survey(&file, Mode::Strict, None).unwrap();
    assert_eq!(seen.flaws, []);
    let table = seen.tables.iter().find(|t| t.name == "node_stats").unwrap();
    assert!(
        table.rows <= year + 7 * 24 * 60 + 3 * 60,
        "{} rows",
        table.rows
    );
}

/// The committed rows of some time.
fn history(store: &Store, span: Span, from: u64, to: u64) -> Vec<NodeStats> {
    keep::read(store, span, from, to).unwrap().unwrap()
}

fn size(dir: &Path) -> u64 {
    dir.join("data.mdb").metadata().unwrap().len()
}
