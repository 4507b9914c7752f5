//! Budgets that do not depend on how fast the machine is: memory, pages, bytes
//! written, wake-ups, the size of the program and of what it is made of. Times
//! are measured by `scripts/bench`; docs/performance.md has the figures.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use chr_node::edge::device::{Device as LibraryDevice, DeviceEvent, DeviceOptions, NodeAddress};
use chr_node::identity::SecretKey;
use common::servers::{source_server, Route};
use common::tools::{files_below, until};
use common::*;
use smol::Executor;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The stripped release build, in bytes: what it had before battery, reachability and
/// the doctor came, and 200,000 for these.
const BINARY: u64 = 4_280_000;
/// The same for aarch64, glibc or static, with all parts and `chain-https`.
const AARCH64: u64 = 3_900_000;
/// The build for routers (armv7, static). Flash of 8 MB has some 3 MB to spare; this is
/// what it had before battery, reachability and the doctor came, of which it has no part.
const ROUTER: u64 = 1_476_000;
/// That one compressed by gzip -9. The aim is 930,000, so that a package has at most
/// 950,000 bytes: docs/sizes.md tells what is in the way.
const ROUTER_PACKED: u64 = 990_000;
/// Crates in the tree of the default build, this one not counted.
const CRATES: usize = 160;
/// Resident bytes of an idle, authenticated session with its ticket: the target
/// of the release build. Both builds take 8,500.
const SESSION: u64 = 11_000;
/// What may stay of many sessions that have come and gone: entries of the
/// executor's and the reactor's tables, which only grow (32 bytes a session of
/// the largest crowd), and pages around the pieces that were in use meanwhile.
const GIVEN_BACK: u64 = 500_000;
/// What may stay behind of a session that ended, until the node looks after its
/// house: the account of its device, and gaps that the allocator cannot join.
const LEFT_BEHIND: u64 = 2_000;
/// Bytes that the disk is given for a ticket. LMDB copies each page on the way
/// from a table's root to the row, once a commit: 12,400 for one that comes
/// alone, a page more with more tables beside it, 3,100 each where twenty at a time
/// meet a slow disk and share commits. Two commits would be 24,800.
const TICKET: u64 = 20_000;
/// Page faults of the node for a stream of 256 MiB. What is in flight, 4 MiB at
/// most, is 1,024 pages; the stream itself needs none: 600. They were 5,500, and
/// 30,000 in the release build, while the allocator returned and fetched the
/// same pages again and again.
const FAULTS: u64 = 2_500;
/// Times that all threads of a node wake up in [`IDLE`], with 100 idle sessions or
/// without: two a second. Its own timers meet every ten seconds; then the
/// reactor's helper thread looks about a dozen times.
const WAKE_UPS: u64 = 24;
/// Spans of [`IDLE`] that are looked at.
const SPANS: usize = 4;
/// Times that a node that saves power wakes up in any minute, with five sessions and
/// five links.
const SAVING: usize = 6;
/// How long it does things first that it does because it has just come.
const SETTLES: Duration = Duration::from_secs(30);
/// How long it is watched.
const IDLE: Duration = Duration::from_secs(12);

/// Runs `work` with the library's devices in this process.
fn run<F>(work: impl FnOnce(Arc<Executor<'static>>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let executor = Arc::new(Executor::new());
    let task = executor.spawn(work(executor.clone()));
    smol::block_on(executor.run(task));
}

/// So many devices whose tickets were accepted. In batches: it is this process
/// that pays for half of the handshakes.
async fn devices(
    node: &NodeAddress,
    count: usize,
    executor: &Arc<Executor<'static>>,
) -> Vec<LibraryDevice> {
    let mut all = Vec::new();
    while all.len() < count {
        let batch: Vec<_> = (0..20.min(count - all.len()))
            .map(|_| {
                let options = DeviceOptions::new(SecretKey::generate(), vec![node.clone()]);
                LibraryDevice::start(options, executor).unwrap()
            })
            .collect();
        for device in &batch {
            match device.next_event().await {
                DeviceEvent::Ready { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        all.extend(batch);
    }
    all
}

/// Minor page faults of a process so far.
fn page_faults(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap();
    fields.split_whitespace().nth(7).unwrap().parse().unwrap()
}

/// Bytes that a process has given to write(2) and its relatives so far, those to
/// sockets not counted; `None` where the kernel does not count them.
fn written(pid: u32) -> Option<u64> {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let line = io.lines().find_map(|l| l.strip_prefix("wchar: "))?;
    line.trim().parse().ok()
}

/// Times that each thread of a process has given up its CPU to wait.
fn waits(pid: u32) -> BTreeMap<String, u64> {
    let mut waits = BTreeMap::new();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let thread = thread.unwrap();
        // A thread may end while we look.
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
        if let Some(count) = line.and_then(|l| l.trim().parse().ok()) {
            waits.insert(thread.file_name().to_string_lossy().into_owned(), count);
        }
    }
    waits
}

/// Waits until the node has no devices. The executor must run meanwhile: it is
/// what ends the sessions of devices that were dropped.
async fn empty(node: &Node) {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"chr_node_info"}"#;
    let request = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let end = Instant::now() + SOON;
    while !node.http(&request).contains(r#""devices":0"#) {
        assert!(Instant::now() < end, "the devices do not leave");
        smol::Timer::after(Duration::from_millis(10)).await;
    }
}

#[test]
fn an_idle_session_never_takes_more_memory_than_promised() {
    const COUNT: u64 = 200;
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    run(|executor| async move {
        let address = node.address().parse().unwrap();
        // The first ones bring in code and tables that all others share.
        let first = devices(&address, 20, &executor).await;
        let before = node.program.rss();
        let wave = devices(&address, COUNT as usize, &executor).await;
        let each = node.program.rss().saturating_sub(before) / COUNT;
        assert!(each <= SESSION, "{each} bytes a session");
        drop((first, wave));
    });
}

#[test]
fn sessions_that_come_and_go_do_not_pile_up_memory() {
    const COUNT: u64 = 100;
    const WAVES: u64 = 5;
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    run(|executor| async move {
        let address = node.address().parse().unwrap();
        let mut peaks = Vec::new();
        for _ in 0..WAVES {
            let wave = devices(&address, COUNT as usize, &executor).await;
            peaks.push(node.program.rss());
            drop(wave);
            // Nothing of the next wave may overlap with this one.
            empty(&node).await;
        }
        let most = peaks[0] + (WAVES - 1) * COUNT * LEFT_BEHIND;
        let last = *peaks.last().unwrap();
        assert!(last <= most, "{peaks:?}: more than {most}");
    });
}

#[cfg_attr(
    not(target_env = "gnu"),
    ignore = "other allocators decide by themselves"
)]
#[test]
fn memory_of_sessions_that_have_left_is_back_before_long() {
    const CROWD: usize = 500;
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    run(|executor| async move {
        let address = node.address().parse().unwrap();
        // The first ones bring in code and tables that stay.
        drop(devices(&address, 20, &executor).await);
        empty(&node).await;
        let before = node.program.own_memory();
        for wave in 1..=2 {
            let crowd = devices(&address, CROWD, &executor).await;
            let full = node.program.own_memory();
            assert!(full > before + 2 * GIVEN_BACK, "{before} and {full} bytes");
            drop(crowd);
            // The node looks after its house every ten seconds.
            let end = Instant::now() + 2 * SOON;
            while node.program.own_memory() > before + GIVEN_BACK {
                let left = node.program.own_memory();
                let text = format!("wave {wave}: {before} bytes before, {full} with, {left} after");
                assert!(Instant::now() < end, "{text}");
                smol::Timer::after(Duration::from_millis(100)).await;
            }
        }
    });
}

#[test]
fn a_ticket_never_costs_the_disk_more_than_one_commit() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let pid = node.program.child.id();
    if written(pid).is_none() {
        return println!("skipped: this kernel does not count what a process writes");
    }
    run(|executor| async move {
        let address = node.address().parse().unwrap();
        let mut all = devices(&address, 1, &executor).await;
        for count in [1, 100] {
            let before = written(pid).unwrap();
            all.extend(devices(&address, count, &executor).await);
            let each = (written(pid).unwrap() - before) / count as u64;
            assert!(each <= TICKET, "{each} bytes a ticket of {count}");
        }
    });
}

/// When each file of a folder was written last, and how long it is.
fn files(folder: &Path) -> Vec<(std::path::PathBuf, std::time::SystemTime, u64)> {
    let meta = |file: std::path::PathBuf| {
        let meta = file.metadata().unwrap();
        (file, meta.modified().unwrap(), meta.len())
    };
    files_below(folder).into_iter().map(meta).collect()
}

fn watch_an_idle_node(sessions: usize) {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    watch(home.path(), node, sessions);
}

fn watch(data: &Path, node: Node, sessions: usize) {
    let data = data.to_owned();
    let pid = node.program.child.id();
    run(move |executor| async move {
        let address = node.address().parse().unwrap();
        let idle = devices(&address, sessions, &executor).await;
        // On a busy machine what the devices began goes on for a while: of some
        // spans of time one must be quiet.
        let mut seen = Vec::new();
        while seen.len() < SPANS {
            let (before, written) = (waits(pid), files(&data));
            smol::Timer::after(IDLE).await;
            let more: u64 = waits(pid)
                .iter()
                .map(|(thread, count)| count - before.get(thread).unwrap_or(&0))
                .sum();
            let worn = files(&data) != written;
            if more <= WAKE_UPS && !worn {
                return drop(idle);
            }
            seen.push((more, worn));
        }
        panic!("wake-ups in {IDLE:?}, and whether files changed: {seen:?}");
    });
}

#[test]
fn idle_sessions_do_not_wake_the_node() {
    watch_an_idle_node(100);
}

#[test]
fn a_node_without_sessions_sleeps_and_writes_nothing() {
    watch_an_idle_node(0);
}

#[test]
fn a_node_among_others_sleeps_nearly_as_well() {
    let homes: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = Node::start(homes[0].path());
    let seed = [("SEED_LIST", &*first.seed())];
    let others = homes[1..].iter();
    let mut nodes: Vec<_> = others
        .map(|home| Node::start_with(home.path(), &seed))
        .collect();
    for node in &nodes {
        until(SOON, "it has joined", || {
            let log = node.program.stderr();
            log.contains("joined the network").then_some(())
        });
    }
    watch(homes[3].path(), nodes.pop().unwrap(), 10);
}

/// When a process wakes up within `span`, counted from its beginning. What several
/// threads of it do within a tenth of a second is one wake-up of the device.
async fn wake_ups(pid: u32, span: Duration) -> Vec<Duration> {
    let began = Instant::now();
    let (mut before, mut times) = (waits(pid), Vec::new());
    let mut active: Option<Instant> = None;
    while began.elapsed() < span {
        smol::Timer::after(Duration::from_millis(20)).await;
        let seen = waits(pid);
        if seen != before {
            if active.is_none_or(|at| at.elapsed() >= Duration::from_millis(100)) {
                times.push(began.elapsed());
            }
            active = Some(Instant::now());
        }
        before = seen;
    }
    times
}

#[test]
fn a_node_that_saves_power_wakes_up_six_times_a_minute_with_sessions_and_links() {
    let home = tempfile::tempdir().unwrap();
    let others = common::network::network(home.path(), 5);
    let fleet: Vec<String> = others
        .iter()
        .enumerate()
        .map(|(n, other)| format!("n{n}={}", common::network::peer_address(other)))
        .collect();
    let fleet = fleet.join(",");
    let settings = [("CHR_FLEET__NODES", &*fleet), ("CHR_POWER__SAVER", "on")];
    let node = common::network::node_at(home.path(), 6, "none", &settings);
    let pid = node.program.child.id();
    run(move |executor| async move {
        let address = node.address().parse().unwrap();
        // Each would ping at a time of its own, a hundred seconds after its first.
        let mut idle = devices(&address, 1, &executor).await;
        while idle.len() < 5 {
            smol::Timer::after(Duration::from_millis(2_300)).await;
            idle.extend(devices(&address, 1, &executor).await);
        }
        until(SOON, "all links stand", || {
            let peers = node.ask("peer_list");
            let peers = peers.as_array().unwrap().iter();
            let linked = peers.filter(|peer| peer["connected"] == true).count();
            (linked == 5).then_some(())
        });
        // What it does because it has just come, it does once.
        smol::Timer::after(SETTLES).await;
        let times = wake_ups(pid, Duration::from_secs(75)).await;
        for first in &times {
            let minute = *first..*first + Duration::from_secs(60);
            let count = times.iter().filter(|at| minute.contains(at)).count();
            assert!(count <= SAVING, "{count} in a minute: {times:?}");
        }
        drop((idle, others));
    });
}

#[cfg_attr(
    not(target_env = "gnu"),
    ignore = "other allocators decide by themselves"
)]
#[test]
fn a_stream_does_not_make_the_node_fetch_the_same_pages_again() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let pid = node.program.child.id();
    let route = Route::tcp(home.path(), &node.address(), source_server(1));
    let mut stream = route.connect();
    let mut buffer = vec![0; 1 << 20];
    let before = page_faults(pid);
    let mut left = 256 << 20;
    while left > 0 {
        match stream.read(&mut buffer).unwrap() {
            0 => panic!("cut with {left} bytes to come"),
            n => left -= n.min(left),
        }
    }
    let faults = page_faults(pid) - before;
    assert!(faults <= FAULTS, "{faults} page faults");
}

#[test]
fn the_default_build_does_not_grow_a_tree_of_crates() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--locked", "--offline", "--prefix", "none"])
        .args(["--edges", "normal,build", "--no-dedupe"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<&str> = text
        .lines()
        .map(|line| line.trim_end_matches(" (proc-macro)"))
        .filter(|line| !line.starts_with(concat!(env!("CARGO_PKG_NAME"), " ")))
        .collect();
    assert!(crates.len() > 50, "cargo tree said {text:?}");
    assert!(crates.len() <= CRATES, "{} crates", crates.len());
}

/// Looks at the release build beside this one, which .ci/run makes first: a
/// test that builds one itself would double the time of every run.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_release_build_does_not_outgrow_its_flash() {
    let debug = Path::new(env!("CARGO_BIN_EXE_chr-node"));
    let release = debug.ancestors().nth(2).unwrap().join("release/chr-node");
    let Ok(meta) = std::fs::metadata(&release) else {
        return println!("skipped: no release build (cargo build --release)");
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = files_below(&root.join("src"));
    sources.extend(["Cargo.toml", "Cargo.lock"].map(|name| root.join(name)));
    let newest = sources
        .iter()
        .map(|file| file.metadata().unwrap().modified().unwrap())
        .max();
    if newest > meta.modified().ok() {
        return println!("skipped: the release build is older than the sources");
    }
    assert!(meta.len() <= BINARY, "{} bytes", meta.len());
}

/// Looks at builds for other machines: CHR_TEST_BUILDS has lines `TARGET PATH`, as
/// scripts/cross-build prints them.
#[test]
fn builds_for_arm_do_not_outgrow_their_flash() {
    let Ok(builds) = std::env::var("CHR_TEST_BUILDS") else {
        eprintln!("skipped: no builds for ARM (CHR_TEST_BUILDS=\"$(scripts/cross-build …)\")");
        return;
    };
    let mut looked = 0;
    for line in builds.lines() {
        let (target, path) = line.split_once(' ').expect(line);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let size = file.metadata().expect(path).len();
        let small = path.contains("/small/");
        let most = match target {
            "armv7-unknown-linux-musleabihf" if small => {
                let packed = Command::new("gzip")
                    .arg("-9nc")
                    .arg(&file)
                    .output()
                    .unwrap();
                let packed = packed.stdout.len() as u64;
                assert!(packed <= ROUTER_PACKED, "{path}: {packed} bytes by gzip");
                ROUTER
            }
            _ if target.starts_with("aarch64-") && !small => AARCH64,
            _ => continue,
        };
        assert!(size <= most, "{path}: {size} bytes");
        looked += 1;
    }
    assert!(looked > 0, "nothing in {builds:?} has a limit");
}
