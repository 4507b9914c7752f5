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

/// The chart of a span that ends now.
fn chart(world: &World, store: &Store, statistics: Statistics, span: HistorySpan) -> History {
    let unix = world.sample.unix.unwrap();
    let statistics = std::sync::Mutex::new(statistics);
    block_on(read_history(span, store, &statistics, unix)).unwrap()
}

fn total(series: &[Option<u64>], step: u64) -> u64 {
    series.iter().flatten().map(|rate| rate * step).sum()
}

#[test]
fn a_chart_shows_every_byte_and_gaps_as_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut world = World::new();
    world.tick();
    // Three hours at work, an hour gone, an hour at work and a piece of another; half
    // of it on the disk, half in memory.
    for hour in 0..3 {
        let rows = world.minutes(60, 4, 6_000);
        keep(&store, &rows);
        if hour == 1 {
            block_on(store.flush()).unwrap();
        }
    }
    keep(&store, &world.statistics.finish(&world.sample.clone()));
    world.sample.now = world.sample.now + Duration::from_secs(3600);
    world.statistics = Statistics::new(world.sample.now);
    (world.sample.bytes_in, world.sample.bytes_out) = (0, 0);
    world.tick();
    let rows = world.minutes(80, 2, 3_000);
    keep(&store, &rows);
    world.step(2, 3_000);
    let carried = 180 * 6 * 6_000 + 481 * 3_000;
    let Sample { now, .. } = world.sample;
    for span in [
        HistorySpan::Day,
        HistorySpan::Week,
        HistorySpan::Month,
        HistorySpan::Year,
    ] {
        let statistics = std::mem::replace(&mut world.statistics, Statistics::new(now));
        let statistics = std::sync::Mutex::new(statistics);
        let unix = world.sample.unix.unwrap();
        let found = read_history(span, &store, &statistics, unix);
        let history = block_on(found).unwrap();
        world.statistics = statistics.into_inner().unwrap();
        let (step, count) = span.steps();
        for series in [&history.bandwidth_in, &history.uptime, &history.errors] {
            assert_eq!(series.len(), count, "{span:?}");
        }
        let from = history.from.unwrap();
        assert_eq!((from % step, history.step_seconds), (0, step));
        assert!(from + step * count as u64 > unix);
        // Rates are averages while the node ran, so time it ran gives the bytes back.
        let rates = history.bandwidth_in.iter().zip(&history.uptime);
        let bytes = rates.map(|(rate, up)| rate.unwrap_or(0) * up.unwrap_or(0));
        let bytes: u64 = bytes.sum();
        assert!(
            bytes.abs_diff(carried) * 50 < carried,
            "{span:?}: {bytes} of {carried}"
        );
        let up: u64 = history.uptime.iter().flatten().sum();
        assert!(up.abs_diff(260 * 60 + 10) < 15, "{span:?}: {up} s");
    }
    let day = chart(&world, &store, Statistics::new(now), HistorySpan::Day);
    let gap = START + 3 * 3600;
    let at = |unix: u64| ((unix - day.from.unwrap()) / 300) as usize;
    assert_eq!(day.connections[at(gap - 300)], Some(4));
    assert!(day.connections[at(gap)..at(gap + 3600)]
        .iter()
        .all(Option::is_none));
    assert_eq!(day.connections[at(gap + 3600)], Some(2));
    assert_eq!(day.bandwidth_in[at(gap - 300)], Some(600));
    // Nobody measured, so nothing is shown.
    assert!(day.latency_ms.iter().all(Option::is_none));
}

#[test]
fn a_day_is_told_by_hours_where_minutes_are_not_kept_so_long() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut world = World::new();
    world.tick();
    let rows = world.minutes(24 * 60, 1, 1_000);
    // As over a day: more at once than may wait are lost while the disk is slow.
    for rows in rows.chunks(200) {
        keep(&store, rows);
        block_on(store.flush()).unwrap();
    }
    let unix = world.sample.unix.unwrap();
    let retention = Retention {
        minutes: Duration::from_secs(2 * 3600),
        hours: Duration::from_secs(366 * 86_400),
    };
    while prune(&store, &retention, unix).unwrap() {
        block_on(store.flush()).unwrap();
    }
    block_on(store.flush()).unwrap();
    let minutes = history(&store, Span::Minute, 0, unix + 60);
    assert!((119..=121).contains(&minutes.len()), "{}", minutes.len());
    let day = chart(
        &world,
        &store,
        Statistics::new(world.sample.now),
        HistorySpan::Day,
    );
    let known = day.bandwidth_in.iter().flatten();
    assert!(known.clone().count() >= 285, "{:?}", day.bandwidth_in);
    assert!(
        known.clone().all(|rate| *rate == 100),
        "{:?}",
        day.bandwidth_in
    );
}

#[test]
fn rows_of_a_clock_that_was_wrong_do_not_stay_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut world = World::new();
    world.tick();
    keep(&store, &world.minutes(10, 1, 1));
    world.boot += 10 * 365 * 86_400;
    keep(&store, &world.minutes(10, 1, 1));
    keep(&store, &world.statistics.finish(&world.sample.clone()));
    block_on(store.flush()).unwrap();
    let all = |store: &Store| history(store, Span::Minute, 0, u64::MAX).len();
    assert!(all(&store) >= 20);
    let retention = Retention {
        minutes: Duration::from_secs(7 * 86_400),
        hours: Duration::from_secs(366 * 86_400),
    };
    // The clock is right again.
    assert!(!prune(&store, &retention, START + 1200).unwrap());
    block_on(store.flush()).unwrap();
    assert!((9..=11).contains(&all(&store)), "{}", all(&store));
}

#[test]
fn the_latest_hour_is_in_memory_and_its_steps_have_no_holes_by_jitter() {
    let mut world = World::new();
    world.tick();
    for step in 0..600u64 {
        // Ten seconds, more or less.
        let jitter = (step * 7_919) % 900;
        let wait = Duration::from_millis(9_550 + jitter);
        world.sample.now = world.sample.now + wait;
        world.sample.sessions = 3;
        world.sample.bytes_in += 50 * wait.as_millis() as u64;
        world.tick();
    }
    for span in [HistorySpan::TenMinutes, HistorySpan::Hour] {
        let history = world.statistics.latest(span);
        let (_, count) = span.steps();
        assert_eq!(history.bandwidth_in.len(), count);
        let whole = history
            .bandwidth_in
            .iter()
            .filter(|rate| **rate == Some(50_000));
        // The oldest may be beyond what is kept.
        assert!(whole.count() >= count - 20, "{:?}", history.bandwidth_in);
        assert_eq!(history.connections.last(), Some(&Some(3)));
    }
    // Before the start there was nothing.
    let mut young = World::new();
    young.tick();
    young.minutes(2, 1, 100);
    let history = young.statistics.latest(HistorySpan::TenMinutes);
    assert_eq!(history.uptime.iter().flatten().count(), 12);
    assert_eq!(total(&history.bandwidth_in, 10), 1_200);
    assert!(history.uptime[..48].iter().all(Option::is_none));
}
