//! Services that panic, hang or do not start: who is restarted, what devices
//! notice, when the process gives up, and what init hears.
//!
//! The faults exist in debug builds alone (`src/node/supervisor/faults.rs`).
#![cfg(debug_assertions)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::servers::*;
use common::tools::*;
use common::*;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

/// In the order in which they are started.
const SERVICES: [&str; 10] = [
    "store", "tickets", "edge", "peer", "dht", "reach", "rpc", "chain", "cron", "rewards",
];
/// Those that run: without `chain.url` the chain has ended as soon as it starts.
fn lasting() -> impl Iterator<Item = &'static str> {
    SERVICES.into_iter().filter(|service| *service != "chain")
}
/// What is found hanging was asked twice, ten seconds apart.
const HANG: Duration = Duration::from_secs(40);

fn node_with_fault(data: &Path, fault: &str) -> Node {
    let mut command = chr_node();
    command.env("TEST_FAULT", fault).env("RUST_BACKTRACE", "0");
    Node::start_command(command, data, &[])
}

/// The services that the log calls restarted, in the order in which they came up.
fn run_again(log: &str) -> Vec<&str> {
    log.lines()
        .filter_map(|line| line.split_once("service ")?.1.strip_suffix(" runs again"))
        .collect()
}

/// Whether an echo comes back through the route.
fn is_served(listen: SocketAddr) -> bool {
    let echo = || -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(listen)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.write_all(b"after the fault")?;
        stream.shutdown(Shutdown::Write)?;
        let mut back = Vec::new();
        stream.read_to_end(&mut back)?;
        Ok(back)
    };
    echo().is_ok_and(|back| back == b"after the fault")
}

/// The answer of `/health`, if HTTP is there.
fn health(node: &Node) -> io::Result<String> {
    let mut stream = TcpStream::connect(node.rpc())?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// One failure of `service`: it and all after it come back, those before it do
/// not notice, devices return by themselves and are served.
fn fails_once(service: &str, kind: &str, most: Duration) {
    let home = tempfile::tempdir().unwrap();
    let node = node_with_fault(home.path(), &format!("{service}:{kind}"));
    let route = Route::tcp(home.path(), &node.address(), echo_server());
    let at = SERVICES.iter().position(|s| *s == service).unwrap();
    let log = until(most, "all services run again", || {
        let log = node.program.stderr();
        (run_again(&log).last() == SERVICES.last()).then_some(log)
    });
    assert_eq!(run_again(&log), SERVICES[at..], "{log}");
    let complaint = format!(
        "service {service} failed: {}",
        match kind {
            "panic" => "panic: a panic that a test asked for",
            "hang" => "it hangs: no sign of life for 10 s",
            _ => "an end that a test asked for",
        }
    );
    assert!(log.contains(&complaint), "{log}");
    assert!(
        log.contains(&format!(
            "restarting {} in 100 ms",
            SERVICES[at..].join(", ")
        )),
        "{log}"
    );
    // A device that was told to come back does; the port did not change.
    until(SOON, "the devices are served again", || {
        is_served(route.listen).then_some(())
    });
    if at > SERVICES.iter().position(|s| *s == "edge").unwrap() {
        for device in [&route.publisher, &route.forwarder] {
            let event = device.event(Duration::ZERO);
            assert!(event.is_none(), "a device noticed: {event:?}");
        }
    }
    let mut node = node;
    node.program.signal("-TERM");
    assert_eq!(node.program.wait(SOON).code(), Some(0));
}

#[test]
fn a_panic_of_the_store_restarts_everything() {
    fails_once("store", "panic", SOON);
}

#[test]
fn a_writer_thread_that_is_gone_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    let node = node_with_fault(home.path(), "store:writer");
    let log = until(SOON, "all services run again", || {
        let log = node.program.stderr();
        (run_again(&log).last() == SERVICES.last()).then_some(log)
    });
    assert_eq!(run_again(&log), SERVICES, "{log}");
    let route = Route::tcp(home.path(), &node.address(), echo_server());
    assert_echo(route.listen, b"with a new writer");
    // Tickets are durable again: nothing is said about them.
    let health = health(&node).unwrap();
    let (_, reasons) = health.split_once("\"reasons\"").unwrap();
    assert!(!reasons.contains("\"storage\""), "{health}");
}

#[test]
fn a_panic_of_the_tickets_leaves_the_store_alone() {
    fails_once("tickets", "panic", SOON);
}

#[test]
fn a_panic_of_the_edge_leaves_store_and_tickets_alone() {
    fails_once("edge", "panic", SOON);
}

#[test]
fn a_panic_of_http_ends_no_device_session() {
    fails_once("rpc", "panic", SOON);
}

#[test]
fn a_panic_of_the_links_ends_no_device_session() {
    fails_once("peer", "panic", SOON);
}

#[test]
fn a_panic_of_the_dht_ends_no_device_session() {
    fails_once("dht", "panic", SOON);
}

#[test]
fn a_panic_of_the_chores_takes_only_the_rewards_along() {
    fails_once("cron", "panic", SOON);
}

#[test]
fn a_panic_of_the_rewards_restarts_them_alone() {
    fails_once("rewards", "panic", SOON);
}

#[test]
fn a_service_that_hangs_is_found_and_restarted() {
    // Each waits for the supervisor's second question: all at once.
    std::thread::scope(|scope| {
        for service in lasting() {
            scope.spawn(move || fails_once(service, "hang", HANG));
        }
    });
}

#[test]
fn a_service_that_does_not_start_is_tried_again_with_longer_pauses() {
    for service in lasting() {
        let home = tempfile::tempdir().unwrap();
        let node = node_with_fault(home.path(), &format!("{service}:start:2"));
        let log = until(SOON, "it runs again", || {
            let log = node.program.stderr();
            (run_again(&log).last() == SERVICES.last()).then_some(log)
        });
        let failed = format!("service {service} failed: it cannot be started");
        assert_eq!(log.matches(&failed).count(), 2, "{log}");
        for pause in ["100 ms", "200 ms", "400 ms"] {
            assert!(log.contains(pause), "{pause} is missing: {log}");
        }
        let at = SERVICES.iter().position(|s| *s == service).unwrap();
        assert_eq!(run_again(&log), SERVICES[at..], "{log}");
    }
}

#[test]
fn the_fourth_failure_within_ten_seconds_ends_the_process_with_1() {
    for (service, kind) in [("store", "panic"), ("edge", "panic"), ("rpc", "start")] {
        let home = tempfile::tempdir().unwrap();
        let mut node = node_with_fault(home.path(), &format!("{service}:{kind}:9"));
        let status = node.program.wait(SOON);
        let log = node.program.stderr();
        assert_eq!(status.code(), Some(1), "{log}");
        let failures = log.matches(&format!("service {service} failed")).count();
        assert_eq!(failures, 4, "{log}");
        let last = log.lines().last().unwrap();
        assert!(
            last.starts_with("chr-node: services failed too often") && last.contains(service),
            "{last}"
        );
        assert!(!home.path().join("run.json").exists());
    }
}

#[test]
fn a_restart_is_told_by_health_and_keeps_what_devices_paid() {
    let home = tempfile::tempdir().unwrap();
    let node = node_with_fault(home.path(), "tickets:panic");
    let health = until(SOON, "health tells of the restart", || {
        let answer = health(&node).ok()?;
        answer.contains("was started again").then_some(answer)
    });
    assert!(
        health.contains("degraded") && health.contains("tickets"),
        "{health}"
    );
    let route = Route::tcp(home.path(), &node.address(), echo_server());
    assert_echo(route.listen, b"paid for");
}

/// A socket as init gives one to a service.
struct Init {
    socket: UnixDatagram,
}

impl Init {
    fn new(folder: &Path) -> Init {
        let socket = UnixDatagram::bind(folder.join("notify")).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        Init { socket }
    }

    /// What has come until `most` has passed or `last` came.
    fn hear(&self, most: Duration, last: &str) -> Vec<String> {
        let end = Instant::now() + most;
        let mut heard = Vec::new();
        while Instant::now() < end && heard.last().is_none_or(|h: &String| !h.contains(last)) {
            let mut buffer = [0; 512];
            if let Ok(n) = self.socket.recv(&mut buffer) {
                heard.push(String::from_utf8_lossy(&buffer[..n]).trim().to_owned());
            }
        }
        heard
    }
}

fn node_of_init(home: &Path, settings: &[(&str, &str)]) -> (Init, Node) {
    let init = Init::new(home);
    let socket = home.join("notify");
    let mut all = vec![("NOTIFY_SOCKET", socket.to_str().unwrap())];
    all.extend(settings);
    let node = Node::start_with(&home.join("data"), &all);
    (init, node)
}

#[test]
fn init_hears_that_the_node_listens_lives_reloads_and_stops() {
    let home = tempfile::tempdir().unwrap();
    let (init, mut node) = node_of_init(home.path(), &[("WATCHDOG_USEC", "600000")]);
    // READY comes after the listeners: whoever waits for it can connect.
    assert_eq!(init.hear(SOON, "READY=1").last().unwrap(), "READY=1");
    TcpStream::connect(node.edge()).unwrap();
    let heard = init.hear(Duration::from_secs(3), "never");
    let alive = heard.iter().filter(|h| *h == "WATCHDOG=1").count();
    // Twice in the time that init allows.
    assert!((5..=12).contains(&alive), "{heard:?}");
    node.program.signal("-HUP");
    let heard = init.hear(SOON, "READY=1");
    let reload = heard.iter().find(|h| h.contains("RELOADING=1")).unwrap();
    assert!(reload.contains("MONOTONIC_USEC="), "{heard:?}");
    node.program.signal("-TERM");
    let heard = init.hear(SOON, "STOPPING=1");
    assert_eq!(heard.last().unwrap(), "STOPPING=1", "{heard:?}");
    assert_eq!(node.program.wait(SOON).code(), Some(0));
}

#[test]
fn init_hears_nothing_while_the_executor_stands_still() {
    let home = tempfile::tempdir().unwrap();
    let settings = [("WATCHDOG_USEC", "600000"), ("TEST_FAULT", "cron:block")];
    let (init, _node) = node_of_init(home.path(), &settings);
    init.hear(SOON, "READY=1");
    // The fault comes after 0.4 s and lasts 6.
    until(SOON, "the heartbeat stops", || {
        let heard = init.hear(Duration::from_secs(2), "never");
        heard.is_empty().then_some(())
    });
    let heard = init.hear(SOON, "WATCHDOG=1");
    assert_eq!(heard.last().unwrap(), "WATCHDOG=1", "it goes on: {heard:?}");
}

#[test]
fn without_init_nothing_is_said_and_nothing_is_missed() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(
        home.path(),
        &[
            ("NOTIFY_SOCKET", "/nonexistent/notify"),
            ("WATCHDOG_USEC", "garbage"),
        ],
    );
    let route = Route::tcp(home.path(), &node.address(), echo_server());
    assert_echo(route.listen, b"without init");
}
